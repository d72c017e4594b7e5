/* main.c - the measuring program: which tests there are, and what is asked of them.
 *
 *     bench-KIND [--allocator NAME] [--tests LIST] [--repeats N] [--ms N] [--counts KIND]
 *                [--threads N] [--live N] [--delay MS] [--quick] [--list]
 *
 * KIND is what the tests are compiled against: malloc, calls, cache (see subject.h), or limits for
 * what the machine allows. Prints a line of CSV for each measurement,
 *
 *     test,allocator,median,min,max,spread,unit,operations,repeats
 *
 * the values being those of one operation, and spread (max - min) / median. Lines that begin with #
 * say what was skipped and why, and whose malloc is measured. LIST names tests or groups, separated
 * by commas; --list prints them as `group test`. perf/bench/run starts these programs, compares
 * them with each other and with what is expected (perf/bench/expected).
 *
 * Ends with 0 when everything was measured or skipped, 1 on errors, 2 for wrong arguments. */
#include "bench.h"
#include "perf/support/options.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef BENCH_LIMITS
#include "subject.h"
#endif

struct settings settings = {.allocator = "unnamed",
                            .counts = "counted",
                            .repeats = 7,
                            .repeat_ms = 20,
                            .threads_max = THREADS_MAX,
                            .delay_ms = 2000,
                            .live_max = 50000000};

static const struct test TESTS[] = {
#ifdef BENCH_LIMITS
    {"limit-freelist", "limits", run_freelist},
    {"limit-array", "limits", run_array},
    {"limit-tls", "limits", run_tls},
    {"limit-calls", "limits", run_calls},
    {"limit-locked", "limits", run_locked},
    {"limit-remote", "limits", run_remote},
#else
    {"pair", "small", run_pair},
    {"lifo", "small", run_lifo},
    {"fifo", "small", run_fifo},
    {"random", "small", run_random},
    {"batch", "small", run_batch},
    {"mixed-1k", "mixed", run_mixed},
    {"mixed-32k", "mixed", run_mixed},
    {"mixed-1k-touched", "mixed", run_mixed},
    {"mixed-32k-touched", "mixed", run_mixed},
    {"remote-64", "remote", run_remote},
    {"remote-512", "remote", run_remote},
    {"large-64k", "large", run_large},
    {"large-64m", "large", run_large},
    {"touched-1m", "touched", run_touched},
    {"touched-64m", "touched", run_touched},
    {"touched-64m-8live", "touched", run_ring},
    {"realloc-1g", "realloc", run_growth},
    {"chase", "chase", run_chase},
    {"scaling", "scaling", run_scaling},
    {"live", "live", run_live},
    {"memory", "memory", run_memory},
    {"overhead-16", "overhead-16", run_overhead},
    {"overhead-64", "overhead-64", run_overhead},
    {"overhead-256", "overhead-256", run_overhead},
    {"overhead-4096", "overhead-4096", run_overhead},
#endif
#if defined BENCH_CALLS || defined BENCH_LIMITS
    {"populate-thp-1", "populate", run_populate},
    {"populate-thp-2", "populate", run_populate},
    {"populate-hugetlb-1", "populate", run_populate},
    {"populate-hugetlb-2", "populate", run_populate},
#endif
};
enum { TESTS_COUNT = sizeof TESTS / sizeof TESTS[0] };

/* ---- options -------------------------------------------------------------------------------- */

/* A name that no test has is a mistake, not an empty answer. */
static void check_list(const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ",");
        bool is_known = false;
        for (unsigned i = 0; i < TESTS_COUNT; i++)
            is_known = is_known || test_is_named(&TESTS[i], list, length);
        if (!is_known) {
            (void)fprintf(stderr, "bench: no test or group here is named %.*s\n", (int)length,
                          list);
            exit(2);
        }
        list += length + (list[length] == ',');
    }
}

static void read_own(int letter, const char *value)
{
    switch (letter) {
    case 'c': settings.counts = value; break;
    case 'n': settings.threads_max = options_number(value, THREADS_MAX); break;
    case 'd': settings.delay_ms = options_number(value, 600000); break;
    }
}

static const struct option OWN[] = {{"counts", required_argument, NULL, 'c'},
                                    {"threads", required_argument, NULL, 'n'},
                                    {"delay", required_argument, NULL, 'd'},
                                    {NULL, 0, NULL, 0}};

static const struct program PROGRAM = {
    .usage = "usage: bench-KIND [--allocator NAME] [--tests LIST] [--repeats N] [--ms N]\n"
             "                  [--counts counted|none|exact] [--threads N] [--live N]\n"
             "                  [--delay MS] [--quick] [--list]\n",
    .tests = TESTS,
    .tests_count = TESTS_COUNT,
    .live_most = 50000000,
    .own = OWN,
    .read_own = read_own};

/* ---- the whole ------------------------------------------------------------------------------ */

/* The loader goes on without a library that it cannot preload; who compares must know. */
static void print_origin(void)
{
#ifdef BENCH_MALLOC
    Dl_info origin;
    if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &origin) != 0)
        printf("# malloc of %s\n", origin.dli_fname);
#endif
}

int main(int count, char **words)
{
    const char *list = options_read(&PROGRAM, count, words);
    check_list(list);
    machine_read();
    pin(0);
    print_origin();
#ifndef BENCH_LIMITS
    subject_open();
#endif
    for (unsigned i = 0; i < TESTS_COUNT; i++)
        if (test_is_listed(&TESTS[i], list))
            TESTS[i].run(&TESTS[i]);
    return 0;
}
