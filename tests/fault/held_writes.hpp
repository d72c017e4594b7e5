/* held_writes.hpp - flushes whose writes stay in their calls until a test lets them go, and a test
 * says what cachestat() finds of their pages. */
#ifndef ROMA_TESTS_HELD_WRITES_HPP
#define ROMA_TESTS_HELD_WRITES_HPP

#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include "prefetch/file.h"
#include "sys/kernel.h"

#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <functional>
#include <unistd.h>

namespace roma_tests {

/* Nobody writes to these: a hole needs no room on a small disk. */
struct hollow_file : disk_file {
    explicit hollow_file(size_t length) : disk_file(MiB)
    {
        bytes = length;
        REQUIRE(ftruncate(fd, static_cast<off_t>(length)) == 0);
    }
    /* Does cachestat() tell of its pages? Of a file of an overlay it does not. */
    bool is_told_of() const
    {
        roma__file file = {};
        REQUIRE(roma__file_look(fd, &file, nullptr) == 0);
        return file.may_ask && !file.is_stacked;
    }
};

/* What cachestat() finds of pages that are being written. */
enum class found_of_pages {
    CLEAN,
    UNDER_WAY, /* all are being written         */
    DIRTY,     /* none is                       */
    HELD,      /* it does not come back         */
    REFUSED,   /* EPERM, once there is a file   */
    UNKNOWN    /* there is no such call         */
};

/* Put into the table of system calls; one at a time. */
struct told_pages {
    static inline std::atomic<found_of_pages> found;
    static inline std::atomic<unsigned> looks, held;
    static inline std::function<void(unsigned look)> looked; /* from 0; it has no answer yet */

    static void put_into(struct roma__sys *calls)
    {
        found = found_of_pages::CLEAN;
        looks = held = 0;
        looked = nullptr;
        calls->cachestat = [](int fd, const void *range, void *given, unsigned) {
            /* The engine asks by no file whether there is such a call. */
            if (found == found_of_pages::UNKNOWN || fd < 0) {
                errno = found == found_of_pages::UNKNOWN ? ENOSYS : EBADF;
                return -1;
            }
            const unsigned look = looks++;
            if (looked)
                looked(look);
            const uint64_t pages = static_cast<const roma__cachestat_range *>(range)->bytes /
                                   page_bytes();
            roma__cachestat seen = {};
            switch (found_of_pages(found)) {
            case found_of_pages::CLEAN: break;
            case found_of_pages::UNDER_WAY: seen.writeback = pages; break;
            case found_of_pages::DIRTY: seen.dirty = pages; break;
            case found_of_pages::HELD:
                held++;
                while (found == found_of_pages::HELD)
                    usleep(1000);
                held--;
                break;
            default: errno = EPERM; return -1;
            }
            *static_cast<roma__cachestat *>(given) = seen;
            return 0;
        };
    }
};

/* Writes of threads: each is held until it is let go. */
class held_writes {
  public:
    static inline std::atomic<unsigned> now, waiting, begun, odd;
    static inline std::atomic<off_t> least_bytes, most_bytes;

    explicit held_writes(found_of_pages found = found_of_pages::CLEAN)
    {
        now = waiting = begun = odd = 0;
        most_bytes = 0;
        least_bytes = off_t(1) << 40;
        is_open_ = false;
        told_pages::put_into(&table_.calls);
        told_pages::found = found;
        table_.calls.sync_file_range = [](int fd, off_t offset, off_t bytes, unsigned flags) {
            if (fd < 0) /* the engine asks whether it may */
                return roma__sys_kernel.sync_file_range(fd, offset, bytes, flags);
            /* That somebody waits the kernel knows by all three of them alone. */
            const unsigned all = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                 SYNC_FILE_RANGE_WAIT_AFTER;
            const bool waits = flags == all;
            (waits ? waiting : begun)++;
            odd += !waits && flags != SYNC_FILE_RANGE_WRITE;
            note(&most_bytes, bytes, true);
            note(&least_bytes, bytes, false);
            now++;
            while (!is_open_)
                usleep(1000);
            now--;
            return 0;
        };
    }
    /* So many are held, and no more. */
    bool await(unsigned count) const
    {
        for (int ms = 0; now < count && ms < 10000; ms++)
            usleep(1000);
        usleep(50000); /* for more than there may be */
        return now == count;
    }
    /* Looks, too. */
    void let_all_go()
    {
        is_open_ = true;
        if (told_pages::found == found_of_pages::HELD)
            told_pages::found = found_of_pages::CLEAN;
    }

    /* Flush all of it: so many are on their way, of this length each, until they are let go. */
    void hold(const owned_engine &engine, const disk_file &file, unsigned count, size_t each)
    {
        REQUIRE(engine.self != nullptr);
        owned_flush flush(engine, file.range(0, file.bytes));
        CHECK(await(count));
        CHECK(least_bytes == static_cast<off_t>(each));
        CHECK(most_bytes == static_cast<off_t>(each));
        let_all_go();
        CHECK(flush.wait() == 0);
    }
    /* Flush all of it, and hold none. */
    void pass(const owned_engine &engine, const disk_file &file)
    {
        REQUIRE(engine.self != nullptr);
        let_all_go();
        CHECK(owned_flush(engine, file.range(0, file.bytes)).wait() == 0);
    }
    const struct roma__sys &calls() const { return table_.calls; }

  private:
    static void note(std::atomic<off_t> *extreme, off_t bytes, bool most)
    {
        off_t seen = *extreme;
        while ((most ? bytes > seen : bytes < seen) &&
               !extreme->compare_exchange_weak(seen, bytes)) {
        }
    }

    static inline std::atomic<bool> is_open_;
    faulty table_;
};

} // namespace roma_tests

/* A hollow_file `name`, whose writes are watched: that cachestat() is there, and what it tells, is
 * the test's choice. */
#define WATCHED_FILE(name, length)                                                                 \
    SKIP_WHERE_EMULATED();                                                                         \
    roma_tests::hollow_file name(length);                                                          \
    if (!(name).is_told_of())                                                                      \
    SKIP_TEST("of files here cachestat would tell nothing: an overlay, or somebody else's")

#endif
