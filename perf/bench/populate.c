/* populate.c - making the kernel give all pages of a range, in GB/s.
 *
 * As a limit (BENCH_LIMITS): mmap and MADV_POPULATE_WRITE, on 1 thread, and on 2 that take half of
 * the range each. On roma: a provider's acquire of the same length with as many populate threads.
 * Both on transparent huge pages and on hugetlb pages of the machine's default size. Both map,
 * advise and populate within the time, and unmap outside it. perf/populate.c alternates the two
 * within one process; here the driver does, from process to process. */
#include "bench.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef BENCH_LIMITS
#include <pthread.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#else
#include <roma.h>
#endif

struct plan {
    size_t bytes, huge_bytes; /* the range; one huge page */
    unsigned threads;
    bool is_hugetlb;
};

/* A number in a file of one, or behind a key; 0 when it is not there. */
static size_t number_in(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    char line[128];
    size_t number = 0;
    size_t length = strlen(key);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, key, length) == 0) {
            number = strtoull(line + length, NULL, 10);
            break;
        }
    if (file != NULL)
        (void)fclose(file);
    return number;
}

/* ---- the bare way --------------------------------------------------------------------------- */

#ifdef BENCH_LIMITS

struct part {
    char *address;
    size_t bytes;
};

static void *populate_part(void *argument)
{
    struct part *part = argument;
    if (madvise(part->address, part->bytes, MADV_POPULATE_WRITE) != 0)
        die("MADV_POPULATE_WRITE", errno);
    return NULL;
}

static double populate_ns(const struct plan *plan)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (plan->is_hugetlb ? MAP_HUGETLB : 0);
    size_t mapped = plan->bytes + plan->huge_bytes; /* room to begin at a huge page */
    size_t half = plan->bytes / 2 / plan->huge_bytes * plan->huge_bytes;
    pthread_t other;
    double start = now_ns();
    char *address = mmap(NULL, mapped, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (address == MAP_FAILED)
        die("mmap", errno);
    char *first = address + (-(uintptr_t)address & (plan->huge_bytes - 1));
    int code = madvise(first, plan->bytes, plan->is_hugetlb ? MADV_DONTFORK : MADV_HUGEPAGE);
    if (code != 0)
        die("madvise", errno);
    struct part parts[2] = {{first, plan->bytes}, {first + half, plan->bytes - half}};
    if (plan->threads == 2) {
        parts[0].bytes = half;
        code = pthread_create(&other, NULL, populate_part, &parts[1]);
        if (code != 0)
            die("a thread", code);
    }
    (void)populate_part(&parts[0]);
    if (plan->threads == 2)
        (void)pthread_join(other, NULL);
    double taken = now_ns() - start;
    (void)munmap(address, mapped);
    return taken;
}

/* ---- roma's way ----------------------------------------------------------------------------- */

#else

static double populate_ns(const struct plan *plan)
{
    roma_provider *provider = roma_provider_anonymous();
    roma_extent_request wish = roma_extent_request_default();
    roma_extent extent;
    roma_error error;
    wish.bytes = plan->bytes;
    wish.align = plan->huge_bytes;
    wish.pages = (roma_page_kind)(plan->is_hugetlb ? ROMA_PAGES_HUGETLB : ROMA_PAGES_THP);
    wish.populate_threads = plan->threads;
    double start = now_ns();
    int code = roma_provider_acquire(provider, &wish, &extent, &error);
    double taken = now_ns() - start;
    if (code < 0) {
        (void)roma_error_print(stderr, &error);
        die("roma_provider_acquire", code);
    }
    (void)roma_provider_release(provider, &extent, NULL);
    return taken;
}

#endif

/* ---- both ----------------------------------------------------------------------------------- */

void run_populate(const struct test *test)
{
    struct plan plan = {.bytes = (size_t)(settings.is_quick ? 8 : 512) << 20};
    double values[VALUES_MAX] = {0};
    plan.threads = test->name[strlen(test->name) - 1] == '2' ? 2 : 1;
    plan.is_hugetlb = strstr(test->name, "hugetlb") != NULL;
    if (plan.is_hugetlb)
        plan.huge_bytes = number_in("/proc/meminfo", "Hugepagesize:") * 1024;
    else
        plan.huge_bytes = number_in("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", "");
    if (plan.huge_bytes == 0 || plan.bytes < 2 * plan.huge_bytes) {
        skip(test->name, "this machine has no such huge pages, or too large ones");
        return;
    }
    size_t wanted = plan.bytes / plan.huge_bytes + 1; /* one more: the bare way's alignment */
    size_t free_pages = number_in("/proc/meminfo", "HugePages_Free:");
    if (plan.is_hugetlb && free_pages < wanted) {
        char reason[96];
        (void)snprintf(reason, sizeof reason,
                       "%zu of %zu huge pages free; run under scripts/with-huge-pages", free_pages,
                       wanted);
        skip(test->name, reason);
        return;
    }
    if (plan.threads > settings.cpus_count) {
        skip(test->name, "one CPU");
        return;
    }
    unpin(); /* two threads on one CPU would say nothing */
    for (unsigned i = 0; i <= settings.repeats; i++) {
        double rate = (double)plan.bytes / populate_ns(&plan);
        if (i > 0)
            values[i - 1] = rate;
    }
    pin(0);
    report(test->name, values, settings.repeats, "GB/s", plan.bytes);
}
