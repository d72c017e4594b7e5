/* prefetch_arriving.cpp - long runs whose pages are all in the page cache, some of them not read
 * yet: they are not taken for resident. */
#include "between.hpp"
#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <unistd.h>

using namespace roma_tests;

namespace {

constexpr size_t BYTES = 40 * MiB;

/* As `struct cachestat` and its range. */
struct cached_range {
    uint64_t offset, bytes;
};
struct cached_pages {
    uint64_t cached, dirty, writeback, evicted, recently_evicted;
};

/* All of any range is cached, and of a map of the whole file this byte is in a page that is being
 * read. */
struct arriving {
    static inline std::atomic<size_t> unread;
    static inline std::atomic<uintptr_t> map;
    static inline std::atomic<unsigned> populated;
    faulty table;

    explicit arriving(size_t byte)
    {
        unread = byte;
        map = 0;
        populated = 0;
        table.calls.cachestat = [](int, const void *range, void *found, unsigned) {
            *static_cast<cached_pages *>(found) = {static_cast<const cached_range *>(range)->bytes /
                                                       static_cast<size_t>(getpagesize()),
                                                   0, 0, 0, 0};
            return 0;
        };
        table.calls.mmap = [](void *address, size_t bytes, int protection, int flags, int fd,
                              off_t offset) {
            void *mapped = roma__sys_kernel.mmap(address, bytes, protection, flags, fd, offset);
            if (fd >= 0) /* one at a time: plain calls are one thread's */
                map = reinterpret_cast<uintptr_t>(mapped) - static_cast<uintptr_t>(offset);
            return mapped;
        };
        table.calls.mincore = [](void *address, size_t bytes, unsigned char *present) {
            const size_t page_bytes = static_cast<size_t>(getpagesize()),
                         at = reinterpret_cast<uintptr_t>(address) - map;
            memset(present, 1, bytes / page_bytes);
            if (at <= unread && unread < at + bytes)
                present[(unread - at) / page_bytes] = 0;
            return 0;
        };
        table.calls.madvise = [](void *address, size_t bytes, int advice) {
            const int populate_read = 22;
            populated += advice == populate_read && address != nullptr;
            return roma__sys_kernel.madvise(address, bytes, advice);
        };
    }
};

} // namespace

TEST_CASE("a long run that is cached is resident when what comes last of it has been read",
          "[prefetch]")
{
    FILE_ON_DISK(file, BYTES);
    for (auto level : {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT})
        for (size_t byte : {BYTES - 1, 32 * MiB - 1, BYTES}) {
            INFO("byte " << byte);
            const arriving pages(byte);
            owned_engine engine(ROMA_PREFETCH_PLAIN);
            SKIP_WITHOUT(engine);
            owned_handle handle(engine, file.range(0, file.bytes), level);
            CHECK(handle.wait() == 0);
            CHECK((handle.progress().resident_bytes == file.bytes) == (byte == BYTES));
            CHECK((pages.populated > 0) == (byte < BYTES));
        }
}

TEMPLATE_TEST_CASE("a long run that another handle is still reading is not resident", "[prefetch]",
                   by_ring, by_threads)
{
    COLD_FILE(file, 8 * MiB);
    static std::atomic<bool> is_held;
    is_held = true;
    between calls;
    calls.holds = [](const made_call &) { return is_held.load(); }; /* its pages are there then */
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    owned_handle first(engine, file.range(0, file.bytes));
    for (int ms = 0; file.resident(0, file.bytes) < file.bytes && ms < 10000; ms++)
        usleep(1000);
    owned_handle second(engine, file.range(0, file.bytes));
    for (int ms = 0; !second.progress().planned && ms < 10000; ms++)
        usleep(1000);
    usleep(50000); /* who took it for resident is done */
    const int was_done = roma_prefetch_poll(second.self);
    is_held = false;
    CHECK(was_done == 0);
    CHECK(first.wait() == 0);
    CHECK(second.wait() == 0);
    CHECK(adds_up(second.progress()));
}
