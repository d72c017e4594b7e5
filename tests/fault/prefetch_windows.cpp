/* prefetch_windows.cpp - what an engine maps for itself: smaller windows where addresses are few,
 * and nothing that is read by being mapped. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include <roma/prefetch.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>
#include <sys/mman.h>
#include <vector>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

constexpr size_t FILE_BYTES = 32 * MiB;

/* One page of each MiB. */
std::vector<roma_file_range> single_pages(const disk_file &file)
{
    std::vector<roma_file_range> pages;
    for (size_t at = 0; at < file.bytes; at += MiB)
        pages.push_back(file.range(at, page_bytes()));
    return pages;
}

void check_came(const disk_file &file)
{
    for (size_t at = 0; at < file.bytes; at += MiB)
        CHECK(file.came(at, page_bytes()) == page_bytes());
}

/* Mappings of files that are longer than `most` cannot be had. */
struct few_addresses {
    static inline std::atomic<size_t> most, longest, refused;
    static inline std::atomic<int> cause;
    faulty table;

    few_addresses(size_t bytes, int code)
    {
        most = bytes;
        cause = code;
        longest = refused = 0;
        table.calls.mmap = [](void *address, size_t length, int protection, int flags, int fd,
                              off_t offset) -> void * {
            if (fd >= 0 && length > most) {
                refused++;
                errno = cause;
                return MAP_FAILED;
            }
            if (fd >= 0 && length > longest)
                longest = length;
            return roma__sys_kernel.mmap(address, length, protection, flags, fd, offset);
        };
    }
};

/* Mappings of files are locked, and so read at once, as after mlockall(MCL_FUTURE); that would lock
 * the stacks of threads, too, and take more memory than small machines have. */
struct locks_files {
    static inline std::atomic<bool> may;
    faulty table;

    locks_files()
    {
        may = true;
        table.calls.mmap = [](void *address, size_t length, int protection, int flags, int fd,
                              off_t offset) -> void * {
            if (fd < 0)
                return roma__sys_kernel.mmap(address, length, protection, flags, fd, offset);
            void *mapped = roma__sys_kernel.mmap(address, length, protection, flags | MAP_LOCKED,
                                                 fd, offset);
            if (mapped == MAP_FAILED && (errno == EAGAIN || errno == EPERM))
                may = false;
            return mapped;
        };
    }
};

} // namespace

TEMPLATE_TEST_CASE("where addresses are few, short runs are read through smaller windows",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    COLD_FILE(file, FILE_BYTES);
    const int cause = GENERATE(ENOMEM, EAGAIN);
    few_addresses addresses(5 * MiB, cause);
    {
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        const std::vector<roma_file_range> pages = single_pages(file);
        owned_handle handle(engine, pages.data(), pages.size());
        CHECK(handle.wait() == 0);
        CHECK(adds_up(handle.progress()));
        CHECK(handle.progress().done_bytes == pages.size() * page_bytes());
    }
    check_came(file);
    CHECK(few_addresses::refused > 0);
    CHECK(few_addresses::longest > 2 * MiB); /* no smaller than need be */
}

TEMPLATE_TEST_CASE("where no page can be mapped, short runs fail for it", "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    COLD_FILE(file, FILE_BYTES);
    few_addresses addresses(SIZE_MAX, ENOMEM);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    few_addresses::most = 0;
    const std::vector<roma_file_range> pages = single_pages(file);
    owned_handle handle(engine, pages.data(), pages.size());
    CHECK(handle.wait() == -ENOMEM);
    CHECK(adds_up(handle.progress()));
    CHECK(handle.progress().failed_ranges == pages.size());
    roma_error error = {};
    CHECK(roma_prefetch_range_error(handle.self, 1, &error) == -ENOMEM);
    CHECK(std::string(error.call) == "mmap");
}

TEMPLATE_TEST_CASE("a process that locks what it maps has no more read than was asked for",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    COLD_FILE(file, FILE_BYTES);
    const locks_files locked;
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const std::vector<roma_file_range> pages = single_pages(file);
    owned_handle handle(engine, pages.data(), pages.size());
    const int code = handle.wait();
    if (!locks_files::may)
        SKIP_TEST("the process may not lock that much");
    CHECK(code == 0);
    check_came(file);
    CHECK(file.resident(0, file.bytes) < file.bytes / 2);
}

TEST_CASE("a process that locks what it maps reads nothing by asking what is resident",
          "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    COLD_FILE(file, FILE_BYTES);
    locks_files locked;
    locked.table.calls.cachestat = [](int, const void *, void *, unsigned) {
        errno = ENOSYS;
        return -1;
    };
    const roma_file_range all = file.range(0, file.bytes);
    roma_residency found = {};
    found.size = sizeof found;
    for (int i = 0; i < 2; i++) { /* nor has the first one read it */
        const int code = roma_residency_of(&all, 1, &found, nullptr);
        if (!locks_files::may)
            SKIP_TEST("the process may not lock that much");
        CHECK(code == 0);
        CHECK(found.resident_bytes == 0);
    }
}
