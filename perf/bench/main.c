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

#include <dlfcn.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

static _Noreturn void usage(void)
{
    (void)fputs("usage: bench-KIND [--allocator NAME] [--tests LIST] [--repeats N] [--ms N]\n"
                "                  [--counts counted|none|exact] [--threads N] [--live N]\n"
                "                  [--delay MS] [--quick] [--list]\n",
                stderr);
    exit(2);
}

static unsigned number_of(const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value == 0 || value > most)
        usage();
    return (unsigned)value;
}

/* ---- tests by name -------------------------------------------------------------------------- */

static bool is_word(const char *name, const char *word, size_t length)
{
    return strlen(name) == length && memcmp(name, word, length) == 0;
}

/* Whether a list of names, separated by commas, has the test or its group. NULL has all. */
static bool is_listed(const char *list, const struct test *test)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ",");
        if (is_word(test->name, list, length) || is_word(test->group, list, length))
            return true;
        list += length + (list[length] == ',');
    }
    return list == NULL;
}

/* A name that no test has is a mistake, not an empty answer. */
static void check_list(const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ",");
        bool is_known = false;
        for (unsigned i = 0; i < TESTS_COUNT; i++)
            is_known = is_known || is_word(TESTS[i].name, list, length) ||
                       is_word(TESTS[i].group, list, length);
        if (!is_known) {
            (void)fprintf(stderr, "bench: no test or group here is named %.*s\n", (int)length,
                          list);
            exit(2);
        }
        list += length + (list[length] == ',');
    }
}

static _Noreturn void print_tests(void)
{
    for (unsigned i = 0; i < TESTS_COUNT; i++)
        printf("%s %s\n", TESTS[i].group, TESTS[i].name);
    exit(0);
}

/* ---- options -------------------------------------------------------------------------------- */

static void set_quick(void)
{
    settings.is_quick = true;
    settings.repeats = 2;
    settings.repeat_ms = 1;
    settings.threads_max = 2;
    settings.delay_ms = 10;
    settings.live_max = 10000;
}

/* Returns the list of tests, NULL for all. */
static const char *read_options(int count, char **words)
{
    static const struct option OPTIONS[] = {{"allocator", required_argument, NULL, 'a'},
                                            {"tests", required_argument, NULL, 't'},
                                            {"repeats", required_argument, NULL, 'r'},
                                            {"ms", required_argument, NULL, 'm'},
                                            {"counts", required_argument, NULL, 'c'},
                                            {"threads", required_argument, NULL, 'n'},
                                            {"live", required_argument, NULL, 'l'},
                                            {"delay", required_argument, NULL, 'd'},
                                            {"quick", no_argument, NULL, 'q'},
                                            {"list", no_argument, NULL, 'p'},
                                            {NULL, 0, NULL, 0}};
    const char *list = NULL;
    int option;
    while ((option = getopt_long(count, words, "", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'a': settings.allocator = optarg; break;
        case 't': list = optarg; break;
        case 'r': settings.repeats = number_of(optarg, VALUES_MAX); break;
        case 'm': settings.repeat_ms = number_of(optarg, 60000); break;
        case 'c': settings.counts = optarg; break;
        case 'n': settings.threads_max = number_of(optarg, THREADS_MAX); break;
        case 'l': settings.live_max = number_of(optarg, 50000000); break;
        case 'd': settings.delay_ms = number_of(optarg, 600000); break;
        case 'q': set_quick(); break;
        case 'p': print_tests();
        default: usage();
        }
    }
    if (optind != count)
        usage();
    check_list(list);
    return list;
}

static void read_machine(void)
{
    cpu_set_t set;
    settings.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return; /* more CPUs than a set has: threads run where the kernel wants */
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && settings.cpus_count < CPUS_MAX; cpu++)
        if (CPU_ISSET(cpu, &set))
            settings.cpus[settings.cpus_count++] = cpu;
}

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
    const char *list = read_options(count, words);
    read_machine();
    pin(0);
    print_origin();
#ifndef BENCH_LIMITS
    subject_open();
#endif
    for (unsigned i = 0; i < TESTS_COUNT; i++)
        if (is_listed(list, &TESTS[i]))
            TESTS[i].run(&TESTS[i]);
    return 0;
}
