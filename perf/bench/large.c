/* large.c - large blocks: with and without touching them, several live, grown, and walked through.
 *
 * Touching is one byte of each base page. What is seen then is mostly how often the kernel has to
 * clear pages anew: an allocator that keeps a freed run for its next request pays for that once. */
#include "subject.h"

#include <string.h>

enum { RING_LIVE = 8 };

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* ---- untouched and touched ------------------------------------------------------------------ */

static void untouched_work(void *context, uint64_t rounds)
{
    size_t bytes = *(const size_t *)context;
    subject here = subject_here();
    for (uint64_t i = 0; i < rounds; i++)
        subject_free(here, subject_must_alloc(here, bytes), bytes);
}

void run_large(const struct test *test)
{
    size_t bytes = strcmp(test->name, "large-64k") == 0 ? 64 * KIB : 64 * MIB;
    measure(test->name, untouched_work, &bytes, 1, 1);
}

static void touched_work(void *context, uint64_t rounds)
{
    size_t bytes = *(const size_t *)context;
    subject here = subject_here();
    for (uint64_t i = 0; i < rounds; i++) {
        void *block = subject_must_alloc(here, bytes);
        touch_pages(block, 0, bytes);
        subject_free(here, block, bytes);
    }
}

void run_touched(const struct test *test)
{
    size_t bytes = strcmp(test->name, "touched-1m") == 0 ? MIB : 64 * MIB;
    measure(test->name, touched_work, &bytes, 1, settings.is_quick ? 1 : 4);
}

/* ---- several live --------------------------------------------------------------------------- */

struct large_ring {
    size_t bytes;
    unsigned oldest;
    void *blocks[RING_LIVE];
};

static void ring_work(void *context, uint64_t rounds)
{
    struct large_ring *ring = context;
    subject here = subject_here();
    for (uint64_t i = 0; i < rounds; i++) {
        void **slot = &ring->blocks[ring->oldest++ % RING_LIVE];
        if (*slot != NULL)
            subject_free(here, *slot, ring->bytes);
        *slot = subject_must_alloc(here, ring->bytes);
        touch_pages(*slot, 0, ring->bytes);
    }
}

void run_ring(const struct test *test)
{
    struct large_ring ring = {.bytes = settings.is_quick ? MIB : 64 * MIB};
    subject here = subject_here();
    measure(test->name, ring_work, &ring, 1, 2 * RING_LIVE);
    for (unsigned i = 0; i < RING_LIVE; i++)
        if (ring.blocks[i] != NULL)
            subject_free(here, ring.blocks[i], ring.bytes);
}

/* ---- growth --------------------------------------------------------------------------------- */

static const double GROWTH_MAX_NS = 8e9; /* 8 s */

/* One block from 1 MiB to 1 GiB in steps of 1 MiB, each new part touched. Gives up when it takes
 * too long: copying the block at each step into pages that are cleared anew needs a minute. */
static double grow_once(size_t bytes_max)
{
    subject here = subject_here();
    double start = now_ns();
    size_t bytes = MIB;
    char *block = subject_must_alloc(here, bytes);
    touch_pages(block, 0, bytes);
    while (bytes < bytes_max && now_ns() - start < GROWTH_MAX_NS) {
        block = subject_resize(here, block, bytes + MIB);
        if (block == NULL)
            die("growing a block", errno);
        touch_pages(block, bytes, bytes + MIB);
        bytes += MIB;
    }
    subject_free(here, block, bytes);
    return now_ns() - start;
}

/* Seconds a run, so there are few: one that is thrown away, and at most three. */
void run_growth(const struct test *test)
{
    size_t bytes_max = settings.is_quick ? 16 * MIB : 1024 * MIB;
    double values[3] = {0};
    unsigned count = settings.repeats < 3 ? settings.repeats : 3;
    if (available_bytes() / 3 < bytes_max) { /* a copy needs the old block and the new one */
        skip(test->name, "too little memory");
        return;
    }
    if (grow_once(bytes_max) >= GROWTH_MAX_NS) {
        skip(test->name, "takes more than 8 s");
        return;
    }
    for (unsigned i = 0; i < count; i++)
        values[i] = grow_once(bytes_max);
    report(test->name, values, count, "ns", 1);
}

/* ---- chase ---------------------------------------------------------------------------------- */

/* A cycle through all lines of the block, each holding the address of the next. The order is that
 * of a linear congruential generator of full period: far jumps that no prefetcher follows, and
 * laid down in one pass over the block. The same line of neighbouring pages comes at the same
 * phase, which does not matter to what is measured: memory, and finding the page. */
static void chase_work(void *context, uint64_t rounds)
{
    void **at = *(void ***)context;
    for (uint64_t i = 0; i < rounds; i++)
        at = *at;
    *(void **)context = keep(at);
}

void run_chase(const struct test *test)
{
    size_t bytes = settings.is_quick ? MIB : 1024 * MIB, lines = bytes / LINE_BYTES;
    subject here = subject_here();
    if (available_bytes() / 2 < bytes) {
        skip(test->name, "too little memory");
        return;
    }
    char *block = subject_must_alloc(here, bytes);
    for (size_t i = 0; i < lines; i++) {
        size_t next = (i * UINT64_C(6364136223846793005) + 1442695040888963407) & (lines - 1);
        *(char **)(void *)(block + i * LINE_BYTES) = block + next * LINE_BYTES;
    }
    void *at = block;
    measure(test->name, chase_work, &at, 1, 1);
    subject_free(here, block, bytes);
}
