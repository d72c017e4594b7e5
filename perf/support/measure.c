/* measure.c - rounds that fill a repeat, and one line of CSV a measurement. */
#include "perf/support/measure.h"
#include "perf/support/figures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void report(const char *name, double *values, unsigned count, const char *unit, uint64_t ops)
{
    double median = median_of(values, count);
    double spread = median > 0 ? (values[count - 1] - values[0]) / median : 0;
    printf("%s,%s,%.6g,%.6g,%.6g,%.4f,%s,%llu,%u\n", name, settings.allocator, median, values[0],
           values[count - 1], spread, unit, (unsigned long long)ops, count);
    (void)fflush(stdout);
}

void skip(const char *name, const char *reason)
{
    printf("# skipped %s: %s\n", name, reason);
    (void)fflush(stdout);
}

void die(const char *what, int code)
{
    (void)fprintf(stderr, "bench: %s: %s\n", what, strerror(code < 0 ? -code : code));
    exit(1);
}

static double time_of(void (*work)(void *context, uint64_t rounds), void *context, uint64_t rounds)
{
    double start = now_ns();
    work(context, rounds);
    return now_ns() - start;
}

void measure(const char *name, void (*work)(void *context, uint64_t rounds), void *context,
             uint64_t round_ops, uint64_t rounds_min)
{
    double values[VALUES_MAX] = {0}, least_ns = settings.repeat_ms * 1e6;
    uint64_t rounds = rounds_min;
    /* Twice in a row: the first time may be long for what is done only once. The last of these is
     * the repeat that is thrown away. */
    for (unsigned filled = 0; filled < 2;) {
        bool is_filled = time_of(work, context, rounds) >= least_ns;
        filled = is_filled ? filled + 1 : 0;
        rounds = is_filled ? rounds : 2 * rounds;
    }
    for (unsigned i = 0; i < settings.repeats; i++)
        values[i] = time_of(work, context, rounds) / (double)rounds / (double)round_ops;
    report(name, values, settings.repeats, "ns", rounds * round_ops);
}
