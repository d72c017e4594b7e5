/* memory_file.hpp - a file whose pages are memory, for the time of a test: of tmpfs, or with
 * MFD_HUGETLB of hugetlbfs. */
#ifndef ROMA_TESTS_MEMORY_FILE_HPP
#define ROMA_TESTS_MEMORY_FILE_HPP

#include "catch.hpp"

#include <cstdint>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace roma_tests {

/* Bytes that a file has memory, or a disk, for. */
inline uint64_t allocated_of(int fd)
{
    struct stat status = {};
    REQUIRE(fstat(fd, &status) == 0);
    return static_cast<uint64_t>(status.st_blocks) * 512;
}

class memory_file {
  public:
    int fd;

    explicit memory_file(size_t bytes, unsigned flags = 0)
        : fd(memfd_create("roma-test", MFD_CLOEXEC | flags))
    {
        if (fd >= 0)
            REQUIRE(ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    }
    memory_file(const memory_file &) = delete;
    memory_file &operator=(const memory_file &) = delete;
    ~memory_file()
    {
        if (fd >= 0)
            close(fd);
    }

    uint64_t allocated() const { return allocated_of(fd); }
};

} // namespace roma_tests

#endif
