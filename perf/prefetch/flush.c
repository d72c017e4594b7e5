/* flush.c - dirty pages to the device: a mapping is written all over, then flushed.
 *
 *   roma   roma_flush_submit and wait
 *   msync  msync(MS_SYNC) of all of it: the caller is blocked throughout
 *   begun  the plain way through io_uring, by which the target was set: the writing of all is
 *          begun, in 32 parts, and a sync is drained behind them */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#ifdef ROMA_HAS_LIBURING
#include <liburing.h>
#endif

enum { BEGUN_PARTS = 32 };

/* New bytes each time, so that no layer finds them written already. */
roma_segment dirty(roma_map *map)
{
    roma_segment all = roma_map_segment(map);
    memset(all.address, (int)(now_ns() >> 10 & 0xFF), all.bytes);
    return all;
}

void flush_roma(const settings *s)
{
    roma_prefetch_engine *engine = engine_of(s);
    roma_map *map = roma_map_of(s, true);
    roma_segment all = dirty(map);
    roma_file_range range = roma_file_range_of(map, 0, all.bytes);
    roma_prefetch_handle *handle;
    stretch whole = stretch_begin();
    uint64_t begin_ns = now_ns();
    int code = roma_flush_submit(engine, &range, 1, &handle, NULL);
    double caller_ms = (double)(now_ns() - begin_ns) / 1e6;
    if (code == 0)
        code = roma_prefetch_wait(handle, ROMA_FOREVER);
    stretch_end(&whole);
    if (code < 0)
        die("flushing", code);
    put("caller_ms", caller_ms);
    put("bytes", (double)all.bytes);
    roma_prefetch_close(handle);
    (void)roma_map_close(map);
    (void)roma_prefetch_destroy(engine);
}

void flush_msync(const settings *s)
{
    roma_map *map = roma_map_of(s, true);
    roma_segment all = dirty(map);
    stretch whole = stretch_begin();
    if (msync(all.address, all.bytes, MS_SYNC) != 0)
        die("msync", errno);
    stretch_end(&whole);
    put("bytes", (double)all.bytes);
    (void)roma_map_close(map);
}

#ifdef ROMA_HAS_LIBURING

static void submit_all(struct io_uring *ring, int fd, size_t bytes)
{
    const size_t part = bytes / BEGUN_PARTS;
    for (unsigned i = 0; i < BEGUN_PARTS; i++) {
        size_t length = i + 1 < BEGUN_PARTS ? part : bytes - i * part;
        io_uring_prep_sync_file_range(io_uring_get_sqe(ring), fd, (unsigned)length, i * part,
                                      SYNC_FILE_RANGE_WRITE);
    }
    struct io_uring_sqe *sync = io_uring_get_sqe(ring);
    io_uring_prep_fsync(sync, fd, IORING_FSYNC_DATASYNC);
    sync->flags |= IOSQE_IO_DRAIN;
    int count = io_uring_submit(ring);
    if (count != BEGUN_PARTS + 1)
        die("io_uring_submit", count < 0 ? count : EAGAIN);
}

static void wait_for_all(struct io_uring *ring)
{
    for (unsigned i = 0; i < BEGUN_PARTS + 1; i++) {
        struct io_uring_cqe *answer;
        int code = io_uring_wait_cqe(ring, &answer);
        if (code == 0)
            code = answer->res;
        if (code < 0)
            die("a flush through io_uring", code);
        io_uring_cqe_seen(ring, answer);
    }
}

void flush_begun(const settings *s)
{
    struct io_uring ring;
    if (io_uring_queue_init(2 * BEGUN_PARTS, &ring, 0) != 0)
        skip("no ring can be had");
    roma_map *map = roma_map_of(s, true);
    roma_segment all = dirty(map);
    stretch whole = stretch_begin();
    uint64_t begin_ns = now_ns();
    submit_all(&ring, roma_map_fd(map), all.bytes);
    double caller_ms = (double)(now_ns() - begin_ns) / 1e6;
    wait_for_all(&ring);
    stretch_end(&whole);
    put("caller_ms", caller_ms);
    put("bytes", (double)all.bytes);
    io_uring_queue_exit(&ring);
    (void)roma_map_close(map);
}

#else

void flush_begun(const settings *s)
{
    (void)s;
    skip("this was built without liburing");
}

#endif
