/* measure.c - rounds that fill a repeat, medians, one line of CSV a measurement, CPUs, memory. */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- values --------------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void report(const char *name, double *values, unsigned count, const char *unit, uint64_t ops)
{
    qsort(values, count, sizeof *values, compare);
    double median = (values[(count - 1) / 2] + values[count / 2]) / 2;
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

/* ---- CPUs ----------------------------------------------------------------------------------- */

static void run_on(const unsigned *cpus, unsigned count)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (unsigned i = 0; i < count; i++)
        CPU_SET(cpus[i], &set);
    (void)sched_setaffinity(0, sizeof set, &set); /* refused: the figures are noisier, no worse */
}

void pin(unsigned index)
{
    if (settings.cpus_count > 1)
        run_on(&settings.cpus[index % settings.cpus_count], 1);
}

void unpin(void)
{
    if (settings.cpus_count > 1)
        run_on(settings.cpus, settings.cpus_count);
}

/* ---- memory --------------------------------------------------------------------------------- */

void *bench_map(size_t bytes)
{
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED)
        die("memory for the harness", errno);
    return address;
}

void bench_unmap(void *address, size_t bytes)
{
    (void)munmap(address, bytes);
}

uint64_t available_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    unsigned long long kib = 0;
    char line[128];
    while (file != NULL && kib == 0 && fgets(line, sizeof line, file) != NULL)
        (void)sscanf(line, "MemAvailable: %llu kB", &kib);
    if (file != NULL)
        (void)fclose(file);
    return kib * 1024;
}
