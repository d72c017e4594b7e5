/* shim.cpp - the malloc shim under threads that come and go, free each other's blocks, ask for
 * figures, trim and fork: with each of its settings that leads to other code.
 *
 * The shim reads its settings once a process. So each run is one of the program of
 * tests/concurrent/shim, in which the shim has names of its own; that is how ThreadSanitizer gets
 * to see it. Sanitizers limit what may be tried under them. With ThreadSanitizer a run with
 * children is one without its search for deadlocks, which ends a program at the 64th lock that a
 * thread holds, as fork() does. And a child of a process with threads starts none, which settings
 * decide: ThreadSanitizer refuses, and AddressSanitizer's allocator waits for ever for a lock that
 * a thread of the parent had. */
#include "catch.hpp"
#include "sanitized.hpp"
#include "skip.hpp"

#include <cstdlib>
#include <string>

#ifdef ROMA_TEST_SHIM

namespace {

struct setting {
    const char *variables;
    bool starts_threads;
};

const setting settings[] = {
    {"ROMA_RETURN_DELAY=5", false},
    {"ROMA_RETURN_DELAY=0 ROMA_HARDENED=1", false},
    {"ROMA_RETURN_DELAY=5 ROMA_BOUNDED=1 ROMA_LIMIT=48M", false},
    {"ROMA_RETURN_DELAY=5 ROMA_POLICY='size < 1K -> local; size < 64K -> pages base; "
     "any -> pages thp'",
     false},
    {"ROMA_RETURN_DELAY=50 ROMA_BACKGROUND=1 ROMA_HUGE=off", true},
    {"ROMA_RETURN_DELAY=50 ROMA_BACKGROUND=1 ROMA_POLICY='size < 64K -> local; "
     "size >= 512K -> populate 2; any -> pages base'",
     true},
};

int run(const char *variables, bool forks)
{
    std::string command = std::string("ROMA_REPORT=/dev/null ") + variables;
    if (forks)
        command += " TSAN_OPTIONS=\"$TSAN_OPTIONS detect_deadlocks=0\"";
    command += " exec '" ROMA_TEST_SHIM "'";
    return std::system((command + (forks ? " forks >/dev/null" : " >/dev/null")).c_str());
}

bool may_fork(const setting &of)
{
#ifdef ROMA_TESTS_UNDER_SANITIZER
    return !of.starts_threads;
#else
    (void)of;
    return true;
#endif
}

} // namespace

TEST_CASE("the shim's threads, watcher and background leave its blocks and figures right", "[shim]")
{
    for (const setting &of : settings) {
        INFO(of.variables);
        CHECK(run(of.variables, false) == 0);
    }
}

TEST_CASE("children that are made while threads use the shim can use it, too", "[shim]")
{
    for (const setting &of : settings) {
        INFO(of.variables);
        if (may_fork(of))
            CHECK(run(of.variables, true) == 0);
    }
}

#else

TEST_CASE("the shim's threads, watcher and background leave its blocks and figures right", "[shim]")
{
    SKIP_TEST("the malloc shim is for glibc, and its programs for this machine");
}

#endif
