/* emulated.hpp - is there a kernel below that answers for itself? qemu-user says yes to any advice
 * and shows the host's view of pages: what needs the truth about either is skipped by name. */
#ifndef ROMA_TESTS_EMULATED_HPP
#define ROMA_TESTS_EMULATED_HPP

#include "skip.hpp"

#include <sys/mman.h>

namespace roma_tests {

inline bool is_emulated()
{
    const int no_advice = 0x6e6f6e65;
    return madvise(nullptr, 0, no_advice) == 0;
}

} // namespace roma_tests

#define SKIP_WHERE_EMULATED()                                                                      \
    do {                                                                                           \
        if (roma_tests::is_emulated())                                                             \
            SKIP_TEST("an emulator answers for the kernel, and not truthfully about pages");       \
    } while (0)

#endif
