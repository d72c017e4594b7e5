/* subject.h - the allocator under test, as inline functions that every test is written against.
 *
 * The same tests are compiled three times:
 *
 *   BENCH_MALLOC  malloc, realloc, free: whatever LD_PRELOAD put behind these names (also without
 *                 any of the three)
 *   BENCH_CALLS   roma_alloc, roma_resize, roma_free: plain calls on a manager
 *   BENCH_CACHE   roma_cache_alloc, roma_cache_free: inline, on the thread's cache
 *
 * and one of them a fourth time for the limits, where nothing is allocated:
 *
 *   BENCH_LIMITS  an address that is always the same
 *
 * A `subject` is what a thread holds to allocate: nothing, a manager, or its cache. Functions that
 * can use the length at a free are given it; malloc has no place for it. That is the difference of
 * the interfaces, not an unfairness of the harness, but a ratio across them says so. */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include "bench.h"

#include <errno.h>
#include <stdlib.h>

/* So that a test is not a call longer on one of them. */
#define ALWAYS static inline __attribute__((__always_inline__))

/* Once, before any test: makes the manager that `settings` asks for. */
void subject_open(void);

/* ---- nothing -------------------------------------------------------------------------------- */

#ifdef BENCH_LIMITS

typedef int subject;

static inline subject subject_here(void)
{
    return 0;
}

static inline void *subject_alloc(subject here, size_t bytes)
{
    static char block;
    (void)here;
    (void)bytes;
    return keep(&block);
}

static inline void subject_free(subject here, void *block, size_t bytes)
{
    (void)here;
    (void)bytes;
    (void)keep(block);
}

/* ---- malloc --------------------------------------------------------------------------------- */

#elif !defined BENCH_CALLS && !defined BENCH_CACHE

typedef int subject; /* nothing */

ALWAYS subject subject_here(void)
{
    return 0;
}

ALWAYS void *subject_alloc(subject here, size_t bytes)
{
    (void)here;
    return keep(malloc(bytes));
}

ALWAYS void subject_free(subject here, void *block, size_t bytes)
{
    (void)here;
    (void)bytes;
    free(keep(block));
}

ALWAYS void *subject_resize(subject here, void *block, size_t bytes)
{
    (void)here;
    return keep(realloc(keep(block), bytes));
}

ALWAYS void subject_alloc_batch(subject here, size_t bytes, void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        blocks[i] = subject_alloc(here, bytes);
}

ALWAYS void subject_free_batch(subject here, size_t bytes, void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++)
        subject_free(here, blocks[i], bytes);
}

/* ---- roma, plain calls ---------------------------------------------------------------------- */

#elif defined BENCH_CALLS

#include <roma.h>

typedef roma_manager *subject;

extern roma_manager *subject_manager;

ALWAYS subject subject_here(void)
{
    return subject_manager;
}

ALWAYS void *subject_alloc(subject here, size_t bytes)
{
    return keep(roma_alloc(here, bytes));
}

ALWAYS void subject_free(subject here, void *block, size_t bytes)
{
    (void)here;
    (void)bytes;
    roma_free(keep(block));
}

ALWAYS void *subject_resize(subject here, void *block, size_t bytes)
{
    (void)here;
    return keep(roma_resize(keep(block), bytes));
}

ALWAYS void subject_alloc_batch(subject here, size_t bytes, void **blocks, size_t count)
{
    int code = roma_alloc_batch(here, bytes, blocks, count);
    if (code != 0)
        die("roma_alloc_batch", code);
    (void)keep(blocks);
}

ALWAYS void subject_free_batch(subject here, size_t bytes, void **blocks, size_t count)
{
    (void)here;
    (void)bytes;
    roma_free_batch(keep(blocks), count);
}

/* ---- roma, a thread's cache ----------------------------------------------------------------- */

#elif defined BENCH_CACHE

#include <roma.h>
#include <roma/cache.h>

typedef roma_cache *subject;

extern roma_manager *subject_manager;

ALWAYS subject subject_here(void)
{
    roma_cache *cache = roma_cache_of(subject_manager);
    if (cache == NULL)
        die("roma_cache_of", errno);
    return cache;
}

ALWAYS void *subject_alloc(subject here, size_t bytes)
{
    return keep(roma_cache_alloc(here, bytes));
}

ALWAYS void subject_free(subject here, void *block, size_t bytes)
{
    roma_cache_free(here, keep(block), bytes);
}

ALWAYS void *subject_resize(subject here, void *block, size_t bytes)
{
    (void)here;
    return keep(roma_resize(keep(block), bytes));
}

ALWAYS void subject_alloc_batch(subject here, size_t bytes, void **blocks, size_t count)
{
    int code = roma_cache_alloc_batch(here, bytes, blocks, count);
    if (code != 0)
        die("roma_cache_alloc_batch", code);
    (void)keep(blocks);
}

ALWAYS void subject_free_batch(subject here, size_t bytes, void **blocks, size_t count)
{
    roma_cache_free_batch(here, bytes, keep(blocks), count);
}

#endif

/* A block that a test cannot do without. */
ALWAYS void *subject_must_alloc(subject here, size_t bytes)
{
    void *block = subject_alloc(here, bytes);
    if (__builtin_expect(block == NULL, 0))
        die("allocating a block", errno);
    return block;
}

#endif
