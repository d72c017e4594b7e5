/* memory.c - how much memory the process holds for what it asked for.
 *
 * memory: the mixed workload with 32 k live blocks, first and last byte of each written. Peak and
 * held memory are those of the process (resident pages and hugetlb pages) less what it had before
 * the first block, in MiB:
 *
 *   memory-peak      most that was ever resident
 *   memory-asked     sum of the lengths of the live blocks at the end of the run, for comparison
 *   memory-held      right after everything was freed
 *   memory-idle      after the delay, in which nothing was called: a background thread's work
 *   memory-called    after one more allocation and free of 64 bytes and of 1 MiB: the first calls
 *                    after the delay
 *
 * overhead-N: blocks of N bytes, 128 MiB of them, all live, linked through their first word so that
 * no table of them is needed; resident bytes a block beyond N.
 *
 * Each wants a process of its own: what an earlier test left in the allocator would be used again
 * and not be seen. Resident pages are read from smaps_rollup, which walks the page tables and is
 * exact; the peak is VmHWM, which the kernel keeps within some hundred KiB. */
#include "mixed.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MIB 1048576.0

/* The sum of the KiB that a file of /proc says behind any of the keys, in bytes; 0 without it. Does
 * not allocate. */
static double proc_bytes(const char *path, const char *const *keys)
{
    char text[8192];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    double bytes = 0;
    if (file >= 0)
        (void)close(file);
    if (length <= 0)
        return 0;
    text[length] = '\0';
    for (; *keys != NULL; keys++) {
        const char *found = strstr(text, *keys);
        if (found != NULL)
            bytes += (double)strtoull(found + strlen(*keys), NULL, 10) * 1024;
    }
    return bytes;
}

static double held_bytes(void)
{
    static const char *const ROLLUP[] = {"\nRss:", "\nShared_Hugetlb:", "\nPrivate_Hugetlb:", NULL};
    static const char *const STATUS[] = {"\nVmRSS:", "\nHugetlbPages:", NULL};
    double bytes = proc_bytes("/proc/self/smaps_rollup", ROLLUP);
    return bytes > 0 ? bytes : proc_bytes("/proc/self/status", STATUS);
}

static double peak_bytes(void)
{
    static const char *const KEYS[] = {"\nVmHWM:", "\nHugetlbPages:", NULL};
    return proc_bytes("/proc/self/status", KEYS);
}

static void report_one(const char *test, const char *what, double value, const char *unit)
{
    char name[32];
    (void)snprintf(name, sizeof name, "%s-%s", test, what);
    report(name, &value, 1, unit, 1);
}

/* ---- peak and held -------------------------------------------------------------------------- */

static size_t run_steps(struct mixed *mixed, subject here, uint64_t steps)
{
    size_t asked = 0;
    mixed_fill(mixed, here);
    for (uint32_t i = 0; i <= mixed->mask; i++)
        ((volatile char *)mixed->slots[i].block)[mixed->slots[i].bytes - 1] = 1;
    for (uint64_t i = 0; i < steps; i++) {
        struct slot *slot = mixed_step(mixed, here);
        touch_start(slot->block);
        ((volatile char *)slot->block)[slot->bytes - 1] = 1;
    }
    for (uint32_t i = 0; i <= mixed->mask; i++)
        asked += mixed->slots[i].bytes;
    return asked;
}

void run_memory(const struct test *test)
{
    struct timespec delay = {settings.delay_ms / 1000, (long)(settings.delay_ms % 1000) * 1000000};
    struct mixed *mixed = mixed_new(settings.is_quick ? 1u << 10 : 1u << 15, 1);
    subject here = subject_here();
    double before = held_bytes();
    size_t asked = run_steps(mixed, here, settings.is_quick ? 10000 : 2000000);
    double peak = peak_bytes();
    mixed_empty(mixed, here);
    double held = held_bytes();
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &delay, NULL);
    double idle = held_bytes();
    subject_free(here, subject_must_alloc(here, 64), 64);
    subject_free(here, subject_must_alloc(here, (size_t)1 << 20), (size_t)1 << 20);
    double called = held_bytes();
    report_one(test->name, "peak", (peak - before) / MIB, "MiB");
    report_one(test->name, "asked", (double)asked / MIB, "MiB");
    report_one(test->name, "held", (held - before) / MIB, "MiB");
    report_one(test->name, "idle", (idle - before) / MIB, "MiB");
    report_one(test->name, "called", (called - before) / MIB, "MiB");
    mixed_delete(mixed);
}

/* ---- overhead ------------------------------------------------------------------------------- */

void run_overhead(const struct test *test)
{
    size_t bytes = strtoul(strrchr(test->name, '-') + 1, NULL, 10);
    size_t count = ((size_t)(settings.is_quick ? 1 : 128) << 20) / bytes;
    subject here = subject_here();
    double before = held_bytes();
    void *last = NULL;
    for (size_t i = 0; i < count; i++) {
        void *block = subject_must_alloc(here, bytes);
        ((volatile char *)block)[bytes - 1] = 1;
        *(void **)block = last;
        last = block;
    }
    double value = (held_bytes() - before) / (double)count - (double)bytes;
    report(test->name, &value, 1, "B", count);
    while (last != NULL) {
        void *next = *(void **)last;
        subject_free(here, last, bytes);
        last = next;
    }
}
