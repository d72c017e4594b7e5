/* main.c - one measurement of reading or flushing a file, by one method, in one process.
 *
 *     measure METHOD --file FILE [--bytes SIZE] [--pages N] [--page SIZE] [--seed N] [--rounds N]
 *                    [--window SIZE] [--way WORD] [--cpus LIST] [--to FILE]
 *     measure --list
 *
 * Prints a figure a line, "name value". What is expected of the figures stands in `expected`; the
 * driver `run` beside it states that first, then runs these in turn and compares. A process for
 * each measurement: descriptors, read-ahead states and page tables of one do not help the next.
 *
 * Ends with 0 when measured, 77 when this machine cannot do it (with the reason on stdout), 1 on
 * errors. */
#include "measure.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXIT_SKIPPED = 77 };

static const struct method {
    const char *name;
    void (*run)(const settings *s);
} methods[] = {
    {"make", file_make},
    {"state", file_state},
    {"singly", file_singly},
    {"cold", dense_cold},
    {"dense-roma", dense_roma},
    {"dense-direct", dense_direct},
    {"dense-populate", dense_populate},
    {"dense-touch", dense_touch},
    {"dense-sequential", dense_sequential},
    {"dense-willneed", dense_willneed},
    {"resident-roma", resident_roma},
    {"random-roma", random_roma},
    {"random-direct", random_direct},
    {"random-touch", random_touch},
    {"scan-roma", scan_roma},
    {"scan-none", scan_none},
    {"scan-sequential", scan_sequential},
    {"scan-resident", scan_resident},
    {"flush-roma", flush_roma},
    {"flush-msync", flush_msync},
    {"flush-begun", flush_begun},
    {"flush-direct", flush_direct},
};
enum { METHODS_COUNT = sizeof methods / sizeof methods[0] };

static const char *method_name = "";

/* ---- telling -------------------------------------------------------------------------------- */

void put(const char *name, double value)
{
    printf("%s %.9g\n", name, value);
}

void die(const char *what, int code)
{
    fprintf(stderr, "measure: %s: %s: %s\n", method_name, what, strerror(code < 0 ? -code : code));
    exit(EXIT_FAILURE);
}

void skip(const char *why)
{
    printf("skipped %s\n", why);
    exit(EXIT_SKIPPED);
}

/* ---- time ----------------------------------------------------------------------------------- */

uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The account of scheduler and clock ticks together is exact on kernels that count each switch. */
uint64_t cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

stretch stretch_begin(void)
{
    stretch s = {.begin_cpu_ns = cpu_ns()};
    s.begin_ns = now_ns();
    return s;
}

void stretch_end(const stretch *s)
{
    uint64_t end_ns = now_ns();
    put("seconds", (double)(end_ns - s->begin_ns) / 1e9);
    put("cpu_seconds", (double)(cpu_ns() - s->begin_cpu_ns) / 1e9);
}

/* ---- arguments ------------------------------------------------------------------------------ */

static uint64_t read_size(const char *text)
{
    uint64_t size;
    if (roma_size_parse(text, &size) != 0) {
        fprintf(stderr, "measure: '%s' is not a size\n", text);
        exit(2);
    }
    return size;
}

static roma_prefetch_way read_way(const char *text)
{
    for (int way = ROMA_PREFETCH_URING; way <= ROMA_PREFETCH_PLAIN; way++)
        if (strcmp(roma_prefetch_way_text((roma_prefetch_way)way), text) == 0)
            return (roma_prefetch_way)way;
    fprintf(stderr, "measure: '%s' is not a way\n", text);
    exit(2);
}

static void read_settings(int argc, char **argv, settings *s)
{
    static const struct option options[] = {
        {"file", required_argument, NULL, 'f'},   {"bytes", required_argument, NULL, 'b'},
        {"pages", required_argument, NULL, 'n'},  {"page", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 's'},   {"rounds", required_argument, NULL, 'r'},
        {"window", required_argument, NULL, 'w'}, {"way", required_argument, NULL, 'y'},
        {"cpus", required_argument, NULL, 'c'},   {"to", required_argument, NULL, 't'},
        {"list", no_argument, NULL, 'l'},         {0}};
    *s = (settings){.pages = 10000, .page_bytes = 16384, .seed = 1, .rounds = 1};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        switch (option) {
        case 'f': s->file = optarg; break;
        case 'b': s->bytes = read_size(optarg); break;
        case 'n': s->pages = (unsigned)read_size(optarg); break;
        case 'p': s->page_bytes = (size_t)read_size(optarg); break;
        case 's': s->seed = read_size(optarg); break;
        case 'r': s->rounds = (unsigned)read_size(optarg); break;
        case 'w': s->window_bytes = (size_t)read_size(optarg); break;
        case 'y': s->way = read_way(optarg); break;
        case 'c': s->cpus = optarg; break;
        case 't': s->to = optarg; break;
        case 'l':
            for (size_t i = 0; i < METHODS_COUNT; i++)
                puts(methods[i].name);
            exit(EXIT_SUCCESS);
        default: exit(2);
        }
    if (optind == argc - 1)
        s->method = argv[optind];
}

int main(int argc, char **argv)
{
    settings s;
    read_settings(argc, argv, &s);
    for (size_t i = 0; s.method != NULL && i < METHODS_COUNT; i++)
        if (strcmp(methods[i].name, s.method) == 0 && s.file != NULL) {
            method_name = s.method;
            methods[i].run(&s);
            return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
        }
    fprintf(stderr, "measure: usage: measure METHOD --file FILE ...; measure --list\n");
    return 2;
}
