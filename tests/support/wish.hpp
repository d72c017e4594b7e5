/* wish.hpp - what a forked child checks: it has no Catch2, so a wish that does not hold is told by
 * its line, and the function that it stands in returns 1. */
#ifndef ROMA_TESTS_WISH_HPP
#define ROMA_TESTS_WISH_HPP

#include <cerrno>
#include <cstdio>

#define WISH(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            std::fprintf(stderr, "%s:%d: not so: %s (errno %d)\n", __FILE__, __LINE__, #condition, \
                         errno);                                                                   \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

#endif
