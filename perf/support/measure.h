/* measure.h - what the measuring programs of perf/bench and perf/store share.
 *
 * A test measures one thing, or one curve, and reports values. Work that is timed comes as a
 * function of a number of rounds; measure() finds how many rounds fill the time of one repeat, runs
 * one repeat that is thrown away, and then those that count. Nothing of the harness itself comes
 * from the allocator under test: its arrays are mapped (bench_map), so that they neither take
 * blocks out of the allocator's lists nor show up in its memory.
 *
 * A program defines `settings` with what holds if nothing else is asked; options.h reads its
 * command line. */
#ifndef PERF_SUPPORT_MEASURE_H
#define PERF_SUPPORT_MEASURE_H

#include "perf/support/clock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CPUS_MAX = 1024, VALUES_MAX = 64, THREADS_MAX = 64, LINE_BYTES = 64 };

struct settings {
    const char *allocator; /* name in the output                                     */
    const char *counts;    /* of roma's manager: "counted", "none" or "exact"        */
    unsigned repeats;      /* that count                                             */
    unsigned repeat_ms;    /* least time of one                                      */
    unsigned threads_max;  /* of the curve of scaling                                */
    unsigned delay_ms;     /* how long memory rests before it should be given back   */
    uint64_t live_max;     /* of the curve of live blocks                            */
    bool is_quick;         /* small sizes, to see that everything works              */
    size_t page_bytes;     /* base page                                              */
    unsigned cpus[CPUS_MAX], cpus_count; /* where this process may run               */
};
extern struct settings settings;

/* Tests of one group may run in one process after another; a driver starts one for each group, so
 * that what one group left in the allocator is not there for the next. */
struct test {
    const char *name, *group;
    void (*run)(const struct test *test);
};

/* ---- measuring ------------------------------------------------------------------------------ */

/* Run `work` for a number of rounds that fills a repeat, and report the time of one operation in
 * ns; a round is `round_ops` operations. `rounds_min` keeps slow work from running a single round
 * where that would not be its steady state. */
void measure(const char *name, void (*work)(void *context, uint64_t rounds), void *context,
             uint64_t round_ops, uint64_t rounds_min);

/* Report values measured otherwise: one line of CSV. Sorts them. */
void report(const char *name, double *values, unsigned count, const char *unit, uint64_t ops);

/* Say why a test is not measured here. */
void skip(const char *name, const char *reason);

/* End the program: the machine refused something that it needs. */
_Noreturn void die(const char *what, int code);

/* ---- the machine ---------------------------------------------------------------------------- */

/* Fill in page_bytes and cpus of the settings. */
void machine_read(void);

/* The calling thread on the index-th CPU of those it may use, when there is more than one. */
void pin(unsigned index);
void unpin(void);

/* Zeroed memory that the allocator under test knows nothing of, all of it present. */
void *bench_map(size_t bytes);
void bench_unmap(void *address, size_t bytes);

/* Bytes that the machine can give without swapping. */
uint64_t available_bytes(void);

/* ---- inside of what is timed ---------------------------------------------------------------- */

/* The address, which for all that the compiler knows somebody else has seen: it can leave out
 * neither the block nor what was written to memory before. */
static inline void *keep(void *address)
{
    __asm__ volatile("" : : "r"(address) : "memory");
    return address;
}

/* splitmix64: all bits good, and the chain from one step to the next is an addition, so that the
 * processor computes it beside the allocator rather than before it. */
static inline uint64_t random_next(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ mixed >> 31;
}

/* Write to a fresh block as a program would: its first word, which is where a list or a vtable
 * pointer stands. */
static inline void touch_start(void *block)
{
    *(volatile uint64_t *)block = 1;
}

/* One byte of each base page of [from, bytes). */
static inline void touch_pages(void *block, size_t from, size_t bytes)
{
    for (size_t offset = from; offset < bytes; offset += settings.page_bytes)
        ((volatile char *)block)[offset] = 1;
}

#endif
