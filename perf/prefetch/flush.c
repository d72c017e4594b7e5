/* flush.c - dirty pages to the device: a mapping is written all over, then flushed.
 *
 *   roma   roma_flush_submit and wait
 *   msync  msync(MS_SYNC) of all of it: the caller is blocked throughout */
#include "measure.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

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
