/* skip.hpp - leave a test out by name, with the reason, when the machine lacks what it needs.
 *
 * A skip is printed and counted (main.cpp). It is never silent, and where skipping would hide that
 * something was not tested it is a failure:
 *
 *   ROMA_NO_SKIP=1        every skip fails (a run on a machine that is known to have everything)
 *   ROMA_HUGE_EXPECTED=1  SKIP_TEST_HUGE fails (the caller reserved huge pages for this run) */
#ifndef ROMA_TESTS_SKIP_HPP
#define ROMA_TESTS_SKIP_HPP

#include "catch.hpp"

#include <string>

namespace roma_tests {

/* Print and count the skip of the running test; true when this skip is a failure instead. */
bool skip(const std::string &reason, bool needs_huge_pages);

} // namespace roma_tests

#define ROMA_SKIP_TEST(reason, needs_huge_pages)                                                   \
    do {                                                                                           \
        if (roma_tests::skip((reason), (needs_huge_pages)))                                        \
            FAIL("skipped where nothing may be: " << (reason));                                    \
        return;                                                                                    \
    } while (0)

/* In the body of a test case, before its first assertion where possible. */
#define SKIP_TEST(reason) ROMA_SKIP_TEST(reason, false)

/* The same for the lack of free hugetlb pages. */
#define SKIP_TEST_HUGE(reason) ROMA_SKIP_TEST(reason, true)

#endif
