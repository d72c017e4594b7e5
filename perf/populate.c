/* populate.c - what a provider's populate costs beside the bare kernel call, for hugetlb pages.
 *
 * Expected: at least 0.95 of the speed of MADV_POPULATE_WRITE on a bare mapping, with 1 thread and
 * with several; the kernel clears the pages in both cases and nothing else takes time.
 *
 * Four ways are measured in turn, one after the other in every pass, so that what else the machine
 * does meets all of them: `acquire` (a provider's acquire, which maps, looks and populates) and
 * bare mmap + MADV_POPULATE_WRITE, each on 1 thread and on N. Bare with N threads splits the range
 * evenly. Bare does what acquire does: map, advise against fork, populate. The first pass is thrown
 * away; medians are compared. Unmapping is not timed.
 *
 *     populate [--bytes SIZE] [--threads N] [--passes N] [--pages KIND]
 *
 * Ends with 0 when measured, 77 when there are too few free huge pages, 1 on errors. */
#include "perf/support/clock.h"
#include "perf/support/figures.h"

#include <roma.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26
#endif

enum { PASSES_MAX = 1000, THREADS_MAX = 256, EXIT_SKIPPED = 77 };

struct settings {
    size_t bytes;
    unsigned threads, passes;
    roma_page_kind pages;
    size_t page_bytes;
};

static int die(const char *what, int code)
{
    (void)fprintf(stderr, "populate: %s: %s\n", what, strerror(code < 0 ? -code : code));
    exit(1);
}

/* ---- the bare way --------------------------------------------------------------------------- */

struct part {
    pthread_t thread;
    char *address;
    size_t bytes;
    int cause;
};

static void *populate_part(void *argument)
{
    struct part *part = argument;
    part->cause = madvise(part->address, part->bytes, MADV_POPULATE_WRITE) == 0 ? 0 : errno;
    return NULL;
}

static void populate_bare(const struct settings *settings, char *address, unsigned threads)
{
    static struct part parts[THREADS_MAX];
    size_t pages = settings->bytes / settings->page_bytes, done = 0;
    for (unsigned i = 0; i < threads; i++) {
        size_t until = pages * (i + 1) / threads;
        parts[i].address = address + done * settings->page_bytes;
        parts[i].bytes = (until - done) * settings->page_bytes;
        done = until;
        int code = i == 0 ? 0 : pthread_create(&parts[i].thread, NULL, populate_part, &parts[i]);
        if (code != 0)
            (void)die("a thread", code);
    }
    (void)populate_part(&parts[0]);
    for (unsigned i = 1; i < threads; i++)
        (void)pthread_join(parts[i].thread, NULL);
    for (unsigned i = 0; i < threads; i++)
        if (parts[i].cause != 0)
            (void)die("MADV_POPULATE_WRITE", parts[i].cause);
}

static double time_bare(const struct settings *settings, unsigned threads)
{
    int shift = __builtin_ctzll(settings->page_bytes);
    double start = now_ns();
    char *address = mmap(NULL, settings->bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_HUGETLB |
                             (shift << MAP_HUGE_SHIFT),
                         -1, 0);
    if (address == MAP_FAILED)
        (void)die("mmap", errno);
    if (madvise(address, settings->bytes, MADV_DONTFORK) != 0)
        (void)die("madvise", errno);
    populate_bare(settings, address, threads);
    double taken = now_ns() - start;
    (void)munmap(address, settings->bytes);
    return taken;
}

/* ---- roma's way ----------------------------------------------------------------------------- */

static double time_acquire(const struct settings *settings, unsigned threads)
{
    roma_provider *provider = roma_provider_anonymous();
    roma_extent_request wish = roma_extent_request_default();
    roma_extent extent;
    roma_error error;
    wish.bytes = settings->bytes;
    wish.pages = settings->pages;
    wish.populate_threads = threads;
    double start = now_ns();
    int code = roma_provider_acquire(provider, &wish, &extent, &error);
    double taken = now_ns() - start;
    if (code < 0) {
        (void)roma_error_print(stderr, &error);
        exit(1);
    }
    (void)roma_provider_release(provider, &extent, NULL);
    return taken;
}

/* ---- measuring ------------------------------------------------------------------------------ */

struct way {
    const char *name;
    double (*time)(const struct settings *settings, unsigned threads);
    unsigned threads;
    double taken_ns[PASSES_MAX];
};

static void measure(const struct settings *settings)
{
    static struct way ways[] = {{"bare", time_bare, 1, {0}},
                                {"acquire", time_acquire, 1, {0}},
                                {"bare", time_bare, 0, {0}},
                                {"acquire", time_acquire, 0, {0}}};
    enum { WAYS = sizeof ways / sizeof ways[0] };
    ways[2].threads = ways[3].threads = settings->threads;
    /* One pass more than counted; each pass starts with another way. */
    for (unsigned pass = 0; pass <= settings->passes; pass++)
        for (unsigned i = 0; i < WAYS; i++) {
            struct way *way = &ways[(pass + i) % WAYS];
            double taken_ns = way->time(settings, way->threads);
            if (pass > 0)
                way->taken_ns[pass - 1] = taken_ns;
        }
    for (unsigned i = 0; i < WAYS; i += 2) {
        double bare_ns = median_of(ways[i].taken_ns, settings->passes);
        double acquire_ns = median_of(ways[i + 1].taken_ns, settings->passes);
        double bytes = (double)settings->bytes; /* a byte a ns is a gigabyte a second */
        printf("%2u thread%s  bare %6.2f GB/s  acquire %6.2f GB/s  ratio %.3f\n", ways[i].threads,
               ways[i].threads == 1 ? " " : "s", bytes / bare_ns, bytes / acquire_ns,
               bare_ns / acquire_ns);
    }
}

/* ---- options -------------------------------------------------------------------------------- */

static int usage(void)
{
    (void)fputs("usage: populate [--bytes SIZE] [--threads N] [--passes N] [--pages KIND]\n"
                "       SIZE as 512M; KIND a hugetlb size as 2M\n",
                stderr);
    exit(1);
}

static unsigned number_of(const char *text, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value == 0 || value > most)
        (void)usage();
    return (unsigned)value;
}

static void read_options(int count, char **words, struct settings *settings)
{
    uint64_t bytes;
    roma_pages pages;
    for (int i = 1; i < count; i += 2) {
        const char *value = i + 1 < count ? words[i + 1] : "";
        if (strcmp(words[i], "--bytes") == 0 && roma_size_parse(value, &bytes) == 0)
            settings->bytes = (size_t)bytes;
        else if (strcmp(words[i], "--threads") == 0)
            settings->threads = number_of(value, THREADS_MAX);
        else if (strcmp(words[i], "--passes") == 0)
            settings->passes = number_of(value, PASSES_MAX);
        else if (strcmp(words[i], "--pages") == 0 && roma_pages_parse(value, &pages) == 0)
            settings->pages = roma_pages_at(pages, 0);
        else
            (void)usage();
    }
    settings->pages = roma_topology_resolve(roma_topology_get(), settings->pages);
    settings->page_bytes = roma_page_bytes(settings->pages);
    if (settings->page_bytes == 0 || roma_page_class(settings->pages) != ROMA_PAGE_CLASS_HUGETLB) {
        (void)fputs("populate: this machine has no such hugetlb pages\n", stderr);
        exit(EXIT_SKIPPED);
    }
    settings->bytes -= settings->bytes % settings->page_bytes;
    if (settings->bytes == 0)
        (void)usage();
}

static void check_pages(const struct settings *settings)
{
    roma_extent_request wish = roma_extent_request_default();
    roma_error error;
    wish.bytes = settings->bytes;
    wish.pages = settings->pages;
    if (roma_provider_probe(roma_provider_anonymous(), &wish, &error) == 0)
        return;
    (void)roma_error_print(stderr, &error);
    exit(EXIT_SKIPPED);
}

int main(int count, char **words)
{
    struct settings settings = {.bytes = (size_t)512 << 20,
                                .threads = 2,
                                .passes = 11,
                                .pages = (roma_page_kind)ROMA_PAGES_2M};
    char size[32], kind[40];
    read_options(count, words, &settings);
    printf("populate %s of %s pages, median of %u passes after one that is thrown away\n"
           "expected: ratio >= 0.95 with 1 thread and with %u\n",
           roma_size_text(settings.bytes, size, sizeof size),
           roma_page_kind_text(settings.pages, kind, sizeof kind), settings.passes,
           settings.threads);
    check_pages(&settings);
    measure(&settings);
    return 0;
}
