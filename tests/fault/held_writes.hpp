/* held_writes.hpp - flushes whose writes nobody makes, and whose waits for them last until a test
 * lets them go. */
#ifndef ROMA_TESTS_HELD_WRITES_HPP
#define ROMA_TESTS_HELD_WRITES_HPP

#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include <atomic>
#include <fcntl.h>
#include <unistd.h>

namespace roma_tests {

/* Nobody writes to these: a hole needs no room on a small disk. */
struct hollow_file : disk_file {
    explicit hollow_file(size_t length) : disk_file(MiB)
    {
        bytes = length;
        REQUIRE(ftruncate(fd, static_cast<off_t>(length)) == 0);
    }
};

/* Of calls by threads; one at a time. */
class held_writes {
  public:
    static inline std::atomic<unsigned> begun, beginning, beginning_most; /* writes              */
    static inline std::atomic<unsigned> awaited, now;                     /* waits; held now     */
    static inline std::atomic<unsigned> odd;                              /* neither             */
    static inline std::atomic<off_t> least_bytes, most_bytes;             /* of writes           */
    static inline std::atomic<int> only_fd; /* waits of other files are not held; -1: all are     */

    /* Each write takes so long, and each wait at least. */
    explicit held_writes(unsigned begin_us = 0, unsigned wait_us = 0)
    {
        begun = beginning = beginning_most = awaited = now = odd = 0;
        most_bytes = 0;
        only_fd = -1;
        least_bytes = off_t(1) << 40;
        is_open_ = false;
        begin_us_ = begin_us;
        wait_us_ = wait_us;
        table_.calls.sync_file_range = [](int fd, off_t offset, off_t bytes, unsigned flags) {
            if (fd < 0) /* the engine asks whether it may */
                return roma__sys_kernel.sync_file_range(fd, offset, bytes, flags);
            if (flags == SYNC_FILE_RANGE_WRITE)
                begin(bytes);
            else if (flags == SYNC_FILE_RANGE_WAIT_BEFORE)
                wait(fd);
            else
                odd++;
            return 0;
        };
    }
    /* So many waits are held, and no more. */
    bool await(unsigned count) const
    {
        for (int ms = 0; now < count && ms < 10000; ms++)
            usleep(1000);
        usleep(50000); /* for more than there may be */
        return now == count;
    }
    void let_all_go() { is_open_ = true; }

    /* Flush all of it, and hold none. */
    void pass(const owned_engine &engine, const disk_file &file)
    {
        REQUIRE(engine.self != nullptr);
        let_all_go();
        owned_flush flush(engine, file.range(0, file.bytes));
        CHECK(flush.wait() == 0);
        CHECK(flush.progress().done_bytes == file.bytes);
        CHECK(adds_up(flush.progress()));
    }
    const struct roma__sys &calls() const { return table_.calls; }

  private:
    static void begin(off_t bytes)
    {
        begun++;
        raise(&beginning_most, ++beginning);
        raise(&most_bytes, bytes);
        for (off_t least = least_bytes;
             bytes < least && !least_bytes.compare_exchange_weak(least, bytes);) {
        }
        usleep(begin_us_);
        beginning--;
    }
    static void wait(int fd)
    {
        awaited++;
        now++;
        usleep(wait_us_);
        while (!is_open_ && (only_fd < 0 || fd == only_fd))
            usleep(1000);
        now--;
    }
    template <typename number> static void raise(std::atomic<number> *most, number seen)
    {
        for (number before = *most; seen > before && !most->compare_exchange_weak(before, seen);) {
        }
    }

    static inline std::atomic<bool> is_open_;
    static inline std::atomic<unsigned> begin_us_, wait_us_;
    faulty table_;
};

} // namespace roma_tests

#endif
