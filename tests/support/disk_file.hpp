/* disk_file.hpp - a file on a disk for the time of a test, whose pages can be evicted, and what a
 * test asks about it. Byte i of it is pattern(i). */
#ifndef ROMA_TESTS_DISK_FILE_HPP
#define ROMA_TESTS_DISK_FILE_HPP

#include "catch.hpp"
#include "emulated.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <vector>

namespace roma_tests {

constexpr size_t MiB = size_t(1) << 20;

inline size_t page_bytes()
{
    return static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

class disk_file {
  public:
    std::string path;
    int fd = -1;
    size_t bytes = 0;
    bool on_disk = false; /* else its pages are the file */

    explicit disk_file(size_t length) : bytes(length)
    {
        /* /tmp is memory on many machines; /var/tmp is to survive a restart. */
        const char *wanted = std::getenv("TMPDIR");
        for (const char *folder : {wanted != nullptr ? wanted : "/var/tmp", "/var/tmp", "/tmp"}) {
            path = std::string(folder) + "/roma-test-XXXXXX";
            fd = mkstemp(path.data());
            if (fd >= 0)
                break;
        }
        REQUIRE(fd >= 0);
        struct statfs system = {};
        REQUIRE(fstatfs(fd, &system) == 0);
        on_disk = system.f_type != 0x01021994;
        write_pattern(0, length);
        REQUIRE(fsync(fd) == 0);
    }
    disk_file(const disk_file &) = delete;
    disk_file &operator=(const disk_file &) = delete;
    ~disk_file()
    {
        unlink(path.c_str());
        if (fd >= 0)
            close(fd);
    }

    static unsigned char pattern(size_t at)
    {
        return static_cast<unsigned char>(at * 31 + (at >> 12) * 7 + (at >> 20));
    }

    void write_pattern(size_t from, size_t length)
    {
        std::vector<unsigned char> part(MiB);
        for (size_t at = from; at < from + length; at += part.size()) {
            const size_t count = std::min(part.size(), from + length - at);
            for (size_t i = 0; i < count; i++)
                part[i] = pattern(at + i);
            REQUIRE(pwrite(fd, part.data(), count, static_cast<off_t>(at)) ==
                    static_cast<ssize_t>(count));
        }
    }

    roma_file_range range(size_t offset, size_t length) const
    {
        return roma_file_range_own(fd, offset, nullptr, length);
    }

    /* Resident bytes of a part. */
    uint64_t resident(size_t offset, size_t length) const
    {
        const roma_file_range part = range(offset, length);
        roma_residency found = {};
        found.size = sizeof found;
        REQUIRE(roma_residency_of(&part, 1, &found, nullptr) == 0);
        return found.resident_bytes;
    }

    /* The same, and those that were there and that the kernel has reclaimed since, as it may do at
     * any time: cachestat() tells of them. What is evicted on purpose is not among them. */
    uint64_t came(size_t offset, size_t length) const
    {
        const struct {
            uint64_t offset, bytes;
        } part = {offset, length};
        struct {
            uint64_t present, dirty, writeback, reclaimed, recently_reclaimed;
        } pages = {};
        if (syscall(cachestat_number, fd, &part, &pages, 0) != 0)
            return resident(offset, length);
        /* Of a file of an overlay it tells nothing. */
        return std::max<uint64_t>((pages.present + pages.reclaimed) * page_bytes(),
                                  resident(offset, length));
    }

    /* Out of the page cache with it; false where something keeps it there. */
    bool chill() const
    {
        for (int tries = 0; tries < 20; tries++) {
            fdatasync(fd);
            posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
            if (resident(0, bytes) == 0)
                return true;
            usleep(10000);
        }
        return false;
    }

    static constexpr long cachestat_number = 451; /* Linux 6.5, on every machine */

    /* Does what is mapped at `address` hold the pattern from `offset` on? */
    static bool holds(const void *address, size_t offset, size_t length)
    {
        const auto *at = static_cast<const unsigned char *>(address);
        for (size_t i = 0; i < length; i += 509)
            if (at[i] != pattern(offset + i))
                return false;
        return true;
    }
};

/* All of a file is in the page cache, and stays: it is mapped, and locked as far as one may.
 * What is mapped in no process, and is clean, the kernel may reclaim at any time. */
class kept_warm {
  public:
    explicit kept_warm(const disk_file &file)
        : bytes_(file.bytes), at_(mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, file.fd, 0))
    {
        REQUIRE(at_ != MAP_FAILED);
        (void)syscall(SYS_mlock, at_, bytes_); /* sanitizers' own does nothing */
        bool is_there = false;
        for (int tries = 0; tries < 20 && !is_there; tries++) {
            for (size_t i = 0; i < bytes_; i += page_bytes())
                (void)static_cast<volatile unsigned char *>(at_)[i];
            is_there = file.resident(0, bytes_) >= bytes_;
        }
        REQUIRE(is_there);
    }
    kept_warm(const kept_warm &) = delete;
    kept_warm &operator=(const kept_warm &) = delete;
    ~kept_warm() { munmap(at_, bytes_); }

  private:
    size_t bytes_;
    void *at_;
};

/* A map of a file, for the time of a test. */
class owned_map {
  public:
    roma_map *self = nullptr;

    explicit owned_map(const disk_file &file, roma_map_options options = roma_map_options_default())
    {
        REQUIRE(roma_map_open(file.path.c_str(), &options, &self, nullptr) == 0);
    }
    owned_map(const owned_map &) = delete;
    owned_map &operator=(const owned_map &) = delete;
    ~owned_map() { CHECK(roma_map_close(self) == 0); }

    roma_segment segment() const { return roma_map_segment(self); }
    unsigned char *address() const { return static_cast<unsigned char *>(segment().address); }
    roma_file_range range(size_t offset, size_t length) const
    {
        return roma_file_range_of(self, offset, length);
    }
    roma_file_range all() const { return range(0, segment().bytes); }
};

} // namespace roma_tests

/* A disk_file `name` of which is asked what is in memory: the test is left out by name where that
 * cannot be told, or nothing is ever out of it. */
#define FILE_ON_DISK(name, length)                                                                 \
    SKIP_WHERE_EMULATED();                                                                         \
    roma_tests::disk_file name(length);                                                            \
    if (!name.on_disk)                                                                             \
    SKIP_TEST("neither /var/tmp nor /tmp is on a disk")

/* The same, and nothing of it is in memory. */
#define COLD_FILE(name, length)                                                                    \
    FILE_ON_DISK(name, length);                                                                    \
    REQUIRE(name.chill())

#endif
