/* flush.c - dirty pages to the device: a mapping is written all over, then flushed.
 *
 *   roma   roma_flush_submit and wait
 *   msync  msync(MS_SYNC) of all of it: the caller is blocked throughout */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A stretch of time, and how long of it the file's device had something to do: no flush is shorter
 * than that. */
typedef struct busy_stretch {
    int fd;
    uint64_t busy_ms;
    stretch whole;
} busy_stretch;

static busy_stretch begin(const settings *s)
{
    int fd = open_file(s->file, O_RDONLY);
    return (busy_stretch){fd, device_busy_ms(fd), stretch_begin()};
}

static void end(const busy_stretch *b)
{
    stretch_end(&b->whole);
    uint64_t busy_ms = device_busy_ms(b->fd) - b->busy_ms;
    if (busy_ms > 0)
        put("device_seconds", (double)busy_ms / 1e3);
    close(b->fd);
}

/* New bytes each time, so that no layer finds them written already. */
static roma_segment dirty(roma_map *map)
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
    busy_stretch whole = begin(s);
    uint64_t begin_ns = now_ns();
    int code = roma_flush_submit(engine, &range, 1, &handle, NULL);
    double caller_ms = (double)(now_ns() - begin_ns) / 1e6;
    if (code == 0)
        code = roma_prefetch_wait(handle, ROMA_FOREVER);
    end(&whole);
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
    busy_stretch whole = begin(s);
    if (msync(all.address, all.bytes, MS_SYNC) != 0)
        die("msync", errno);
    end(&whole);
    put("bytes", (double)all.bytes);
    (void)roma_map_close(map);
}
