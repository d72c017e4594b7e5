/* emulated.hpp - is there a kernel below that answers for itself? qemu-user says yes to any advice
 * and shows the host's view of pages: what needs the truth about either is skipped by name. */
#ifndef ROMA_TESTS_EMULATED_HPP
#define ROMA_TESTS_EMULATED_HPP

#include "skip.hpp"

#include <sys/mman.h>
#include <unistd.h>

namespace roma_tests {

inline bool is_emulated()
{
    const int no_advice = 0x6e6f6e65;
    return madvise(nullptr, 0, no_advice) == 0;
}

/* Where pages of the emulated machine are larger than the host's, no: such a mapping is refused, or
 * ends with the host's last page. */
inline bool maps_files_past_their_end()
{
    const int fd = memfd_create("probe", MFD_CLOEXEC);
    const size_t bytes = size_t(4) * size_t(getpagesize());
    void *address = fd < 0 ? MAP_FAILED : mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    return address != MAP_FAILED && munmap(address, bytes) == 0;
}

} // namespace roma_tests

#define SKIP_WHERE_EMULATED()                                                                      \
    do {                                                                                           \
        if (roma_tests::is_emulated())                                                             \
            SKIP_TEST("an emulator answers for the kernel, and not truthfully about pages");       \
    } while (0)

#endif
