/* child.hpp - a part of a test that runs in a child of fork(). */
#ifndef ROMA_TESTS_CHILD_HPP
#define ROMA_TESTS_CHILD_HPP

#include "catch.hpp"

#include <sys/wait.h>
#include <unistd.h>

namespace roma_tests {

/* Run `work` in a child; what it returns is its exit code, and is returned here. The child may kill
 * itself, or be killed: then this is minus the signal. */
template <typename function> int in_child(const function &work)
{
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(work());
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

} // namespace roma_tests

#endif
