/* tour_measure.c - the measurements of the tour, on any memory.
 *
 * The chase is one random cycle through all cache lines of the working set (Sattolo's shuffle), so
 * that each access depends on the one before and neither the caches nor the prefetchers help: its
 * time is that of memory plus that of finding the page, which is what huge pages make shorter. The
 * cycle lives in the lines themselves; there is no index beside it to disturb the caches. */
#include "tour.h"

#include "parallel.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

double rate_of(uint64_t bytes, uint64_t elapsed_ns)
{
    return (double)bytes / (double)(elapsed_ns > 0 ? elapsed_ns : 1);
}

static int compare_doubles(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

double median(double *values, unsigned count)
{
    qsort(values, count, sizeof *values, compare_doubles);
    return count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* ---- touching and writing ------------------------------------------------------------------- */

typedef struct share_out {
    roma_segment segment;
    size_t page_bytes;
    unsigned threads;
} share_out;

/* The part of thread `index`: whole pages, the rest with the last. */
static roma_segment part_of(const share_out *all, unsigned index)
{
    size_t part_bytes = all->segment.bytes / all->threads / all->page_bytes * all->page_bytes;
    size_t offset = part_bytes * index;
    bool is_last = index + 1 == all->threads;
    return roma_segment_slice(all->segment, offset,
                              is_last ? all->segment.bytes - offset : part_bytes);
}

static void touch_part(void *context, unsigned index)
{
    const share_out *all = context;
    roma_segment part = part_of(all, index);
    volatile char *bytes = part.address;
    for (size_t offset = 0; offset < part.bytes; offset += all->page_bytes)
        bytes[offset] = 1;
}

static void fill_part(void *context, unsigned index)
{
    roma_segment_fill(part_of(context, index), 0x5A);
}

static double rate_of_work(roma_segment segment, size_t page_bytes, unsigned threads,
                           void (*work)(void *context, unsigned index))
{
    share_out all = {segment, page_bytes, threads};
    uint64_t elapsed_ns;
    if (run_parallel(threads, work, &all, &elapsed_ns) != 0)
        return -1;
    return rate_of(segment.bytes, elapsed_ns);
}

double touch_rate(roma_segment segment, size_t page_bytes, unsigned threads)
{
    return rate_of_work(segment, page_bytes, threads, touch_part);
}

double memset_rate(roma_segment segment, size_t page_bytes, unsigned threads)
{
    return rate_of_work(segment, page_bytes, threads, fill_part);
}

/* ---- the chase ------------------------------------------------------------------------------ */

static size_t cache_line_bytes(void)
{
    long bytes = -1;
#ifdef _SC_LEVEL1_DCACHE_LINESIZE
    bytes = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
#endif
    return bytes >= (long)sizeof(void *) ? (size_t)bytes : 64;
}

/* splitmix64: the same sequence in each run, good enough to have no pattern. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void **line_at(roma_segment segment, size_t line_bytes, size_t index)
{
    return (void **)((char *)segment.address + index * line_bytes);
}

void chase_link(roma_segment segment)
{
    size_t line_bytes = cache_line_bytes();
    size_t count = segment.bytes / line_bytes;
    uint64_t state = 1;
    for (size_t i = 0; i < count; i++)
        *line_at(segment, line_bytes, i) = line_at(segment, line_bytes, i);
    for (size_t i = count; i-- > 1;) {
        size_t j = (size_t)(next_random(&state) % i); /* below i: one cycle, not many */
        void **a = line_at(segment, line_bytes, i), **b = line_at(segment, line_bytes, j);
        void *kept = *a;
        *a = *b;
        *b = kept;
    }
}

double chase_time_ns(roma_segment segment, unsigned passes, bool quick)
{
    const size_t accesses = (size_t)(quick ? 1 : 4) << 20;
    double times_ns[TOUR_PASSES_MAX] = {0};
    void **volatile start = segment.address; /* volatile: so that the walk has a use */
    for (unsigned pass = 0; pass <= passes; pass++) {
        void **line = start;
        uint64_t begin_ns = now_ns();
        for (size_t i = 0; i < accesses; i++)
            line = *line;
        uint64_t elapsed_ns = now_ns() - begin_ns;
        start = line;
        if (pass > 0) /* the first one brings page tables into the caches */
            times_ns[pass - 1] = (double)elapsed_ns / (double)accesses;
    }
    return median(times_ns, passes);
}
