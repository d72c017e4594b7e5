/* dense.c - a long range from cold, by each method: how long until all of it is in memory, how long
 * the caller was kept from its work, and how much CPU it took.
 *
 *   roma        submit and wait
 *   populate    MADV_POPULATE_READ of all of it on a MADV_HUGEPAGE mapping, in one call
 *   touch       a byte of each page of a plain mapping; sequential: with that advice
 *   willneed    posix_fadvise(POSIX_FADV_WILLNEED) of all of it in one call, which returns at once
 *               and reads little; then what is left by touching
 *   cold        nothing: makes the file cold for a program that is run next */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { RESIDENT_REPEATS = 5 };

/* ---- what all of them do -------------------------------------------------------------------- */

/* How much of it came, by the kernel's word. */
static void put_resident(int fd, uint64_t bytes)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    put("resident_share", (double)resident_bytes(fd, bytes) / (double)whole);
    put("bytes", (double)bytes);
}

static void touch(const char *at, uint64_t bytes)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    for (uint64_t i = 0; i < bytes; i += page)
        (void)*(const volatile char *)(at + i);
}

/* ---- roma ----------------------------------------------------------------------------------- */

roma_prefetch_engine *engine_of(const settings *s)
{
    roma_prefetch_options options = roma_prefetch_options_default();
    roma_prefetch_engine *engine;
    roma_error error;
    options.way = s->way;
    options.cpus = s->cpus;
    int code = roma_prefetch_create(&engine, &options, &error);
    if (code < 0) {
        roma_error_print(stderr, &error);
        die("roma_prefetch_create", code);
    }
    return engine;
}

roma_map *roma_map_of(const settings *s, bool writable)
{
    roma_map_options options = roma_map_options_default();
    roma_map *map;
    options.writable = writable;
    options.bytes = (size_t)s->bytes;
    int code = roma_map_open(s->file, &options, &map, NULL);
    if (code < 0)
        die("roma_map_open", code);
    return map;
}

void read_with_roma(roma_prefetch_engine *engine, const roma_file_range *ranges, size_t n)
{
    roma_prefetch_handle *handle;
    roma_prefetch_progress progress = {.size = sizeof progress};
    uint64_t begin_ns = now_ns();
    int code = roma_prefetch_submit(engine, ranges, n, ROMA_PREFETCH_RESIDENT, &handle, NULL);
    uint64_t submitted_ns = now_ns();
    if (code < 0)
        die("roma_prefetch_submit", code);
    code = roma_prefetch_wait(handle, ROMA_FOREVER);
    if (code < 0)
        die("roma_prefetch_wait", code);
    put("caller_ms", (double)(submitted_ns - begin_ns) / 1e6);
    (void)roma_prefetch_progress_of(handle, &progress);
    put("calls", (double)progress.calls);
    roma_prefetch_close(handle);
}

void dense_roma(const settings *s)
{
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    roma_prefetch_engine *engine = engine_of(s);
    roma_map *map = roma_map_of(s, false);
    roma_file_range range = roma_file_range_of(map, 0, roma_map_segment(map).bytes);
    stretch all = stretch_begin();
    read_with_roma(engine, &range, 1);
    stretch_end(&all);
    put_resident(fd, bytes);
    (void)roma_map_close(map);
    (void)roma_prefetch_destroy(engine);
}

/* All of it is there, in the folios that roma makes: what does it cost to be told so? */
void resident_roma(const settings *s)
{
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    roma_prefetch_engine *engine = engine_of(s);
    roma_map *map = roma_map_of(s, false);
    roma_file_range range = roma_file_range_of(map, 0, roma_map_segment(map).bytes);
    roma_prefetch_handle *handle;
    uint64_t best_ns = UINT64_MAX;
    for (int i = 0; i < 1 + RESIDENT_REPEATS; i++) {
        uint64_t begin_ns = now_ns();
        int code = roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, &handle, NULL);
        if (code == 0)
            code = roma_prefetch_wait(handle, ROMA_FOREVER);
        uint64_t took_ns = now_ns() - begin_ns;
        if (code < 0)
            die("reading", code);
        roma_prefetch_close(handle);
        if (i > 0 && took_ns < best_ns) /* the first one has read it */
            best_ns = took_ns;
    }
    put("seconds", (double)best_ns / 1e9);
    put_resident(fd, bytes);
    (void)roma_map_close(map);
    (void)roma_prefetch_destroy(engine);
}

/* ---- the kernel's own ways ------------------------------------------------------------------ */

void dense_populate(const settings *s)
{
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    char *at = map_file(fd, bytes);
    (void)madvise(at, (size_t)bytes, MADV_HUGEPAGE);
    stretch all = stretch_begin();
    if (madvise(at, (size_t)bytes, MADV_POPULATE_READ) != 0)
        die("MADV_POPULATE_READ", errno);
    stretch_end(&all);
    put_resident(fd, bytes);
}

static void touch_with(const settings *s, int advice)
{
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    char *at = map_file(fd, bytes);
    (void)madvise(at, (size_t)bytes, advice);
    stretch all = stretch_begin();
    touch(at, bytes);
    stretch_end(&all);
    put_resident(fd, bytes);
}

void dense_touch(const settings *s)
{
    touch_with(s, MADV_NORMAL);
}

void dense_sequential(const settings *s)
{
    touch_with(s, MADV_SEQUENTIAL);
}

void dense_willneed(const settings *s)
{
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    char *at = map_file(fd, bytes);
    stretch all = stretch_begin();
    uint64_t begin_ns = now_ns();
    (void)posix_fadvise(fd, 0, (off_t)bytes, POSIX_FADV_WILLNEED);
    put("caller_ms", (double)(now_ns() - begin_ns) / 1e6);
    touch(at, bytes);
    stretch_end(&all);
    put_resident(fd, bytes);
}

void dense_cold(const settings *s)
{
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    put("bytes", (double)bytes);
    close(fd);
}
