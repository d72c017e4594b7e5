/* asleep.hpp - wait until another thread is where the test wants it. */
#ifndef ROMA_TESTS_ASLEEP_HPP
#define ROMA_TESTS_ASLEEP_HPP

#include <cstdio>
#include <string>
#include <unistd.h>

namespace roma_tests {

/* Until it is so; not for ever. */
template <class condition> bool await(const condition &is_so, int most_ms = 10000)
{
    for (int ms = 0; !is_so() && ms < most_ms; ms++)
        usleep(1000);
    return is_so();
}

/* Does a thread of this process sleep, in whatever call? */
inline bool is_asleep(pid_t thread)
{
    char state = 0;
    const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
    if (FILE *stat = std::fopen(path.c_str(), "r")) {
        (void)std::fscanf(stat, "%*d (%*[^)]) %c", &state);
        std::fclose(stat);
    }
    return state == 'S';
}

} // namespace roma_tests

#endif
