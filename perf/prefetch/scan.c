/* scan.c - reading a file piece by piece from cold, with compute over each piece.
 *
 * Compute is a checksum over all words of the piece, `rounds` times; the first round touches the
 * pages. Where everything is resident already, the time is that of compute alone.
 *
 *   roma        a roma_scan: how long each step to the next piece took is told as a histogram, the
 *               first step, which waits for the device, apart from it
 *   none        a plain mapping; sequential: with that advice
 *   resident    all of it read before: compute alone */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEP_BYTES = 2 << 20, BUCKETS = 40 };

static volatile uint64_t sink;

static void compute(const char *at, size_t bytes, unsigned rounds)
{
    uint64_t sum = sink;
    for (unsigned round = 0; round < rounds; round++)
        for (size_t i = 0; i + sizeof sum <= bytes; i += sizeof sum) {
            uint64_t word;
            memcpy(&word, at + i, sizeof word);
            sum = (sum ^ word) * 0x9E3779B97F4A7C15u;
        }
    sink = sum;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Percentiles, and for powers of two of nanoseconds how many steps took no longer. */
static void put_waits(uint64_t *waits_ns, size_t count)
{
    size_t buckets[BUCKETS] = {0};
    char name[32];
    if (count == 0)
        return;
    qsort(waits_ns, count, sizeof *waits_ns, by_value);
    size_t middle = count / 2, last_but_hundredth = (count - 1) * 99 / 100;
    put("wait_p50_ms", (double)waits_ns[middle] / 1e6);
    put("wait_p99_ms", (double)waits_ns[last_but_hundredth] / 1e6);
    put("wait_most_ms", (double)waits_ns[count - 1] / 1e6);
    for (size_t i = 0; i < count; i++) {
        unsigned bucket = 0;
        while (bucket + 1 < BUCKETS && waits_ns[i] >> bucket != 0)
            bucket++;
        buckets[bucket]++;
    }
    for (unsigned i = 0; i < BUCKETS; i++)
        if (buckets[i] > 0) {
            snprintf(name, sizeof name, "waits_below_2^%u_ns", i);
            put(name, (double)buckets[i]);
        }
}

void scan_roma(const settings *s)
{
    int fd = open_file(s->file, O_RDONLY);
    make_cold(fd);
    roma_prefetch_engine *engine = engine_of(s);
    roma_map *map = roma_map_of(s, false);
    roma_segment piece, all = roma_map_segment(map);
    roma_file_range range = roma_file_range_of(map, 0, all.bytes);
    roma_scan_options options = roma_scan_options_default();
    roma_scan_progress progress = {.size = sizeof progress};
    roma_scan *scan;
    options.window_bytes = s->window_bytes;
    options.step_bytes = STEP_BYTES;
    size_t count = 0, room = all.bytes / STEP_BYTES + 2;
    uint64_t *waits_ns = calloc(room, sizeof *waits_ns), begin_ns, first_ns = 0;
    if (waits_ns == NULL)
        die("a list of waits", ENOMEM);
    stretch whole = stretch_begin();
    int code = roma_scan_open(engine, &range, &options, &scan, NULL);
    if (code < 0)
        die("roma_scan_open", code);
    for (;;) {
        begin_ns = now_ns();
        code = roma_scan_next(scan, &piece);
        uint64_t took_ns = now_ns() - begin_ns;
        if (code <= 0)
            break;
        if (count++ == 0)
            first_ns = took_ns;
        else
            waits_ns[count - 2] = took_ns;
        compute(piece.address, piece.bytes, s->rounds);
    }
    stretch_end(&whole);
    if (code < 0)
        die("roma_scan_next", code);
    put("bytes", (double)all.bytes);
    put("first_ms", (double)first_ns / 1e6);
    (void)roma_scan_progress_of(scan, &progress);
    put("waits", (double)progress.waits);
    put("waited_ms", (double)progress.waited_ns / 1e6);
    put_waits(waits_ns, count > 0 ? count - 1 : 0);
    free(waits_ns);
    roma_scan_close(scan);
    (void)roma_map_close(map);
    (void)roma_prefetch_destroy(engine);
}

static void scan_plainly(const settings *s, int advice, bool is_cold)
{
    int fd = open_file(s->file, O_RDONLY);
    uint64_t bytes = file_bytes(fd);
    if (s->bytes != 0 && s->bytes < bytes)
        bytes = s->bytes;
    make_cold(fd);
    if (!is_cold) { /* in the folios that roma makes: so the page faults of compute are the same */
        roma_prefetch_engine *engine = engine_of(s);
        roma_file_range range = roma_file_range_own(fd, 0, NULL, (size_t)bytes);
        read_with_roma(engine, &range, 1);
        (void)roma_prefetch_destroy(engine);
    }
    char *at = map_file(fd, bytes);
    (void)madvise(at, (size_t)bytes, advice);
    stretch all = stretch_begin();
    for (uint64_t i = 0; i < bytes; i += STEP_BYTES)
        compute(at + i, bytes - i < STEP_BYTES ? (size_t)(bytes - i) : STEP_BYTES, s->rounds);
    stretch_end(&all);
    put("bytes", (double)bytes);
}

void scan_none(const settings *s)
{
    scan_plainly(s, MADV_NORMAL, true);
}

void scan_sequential(const settings *s)
{
    scan_plainly(s, MADV_SEQUENTIAL, true);
}

void scan_resident(const settings *s)
{
    scan_plainly(s, MADV_NORMAL, false);
}
