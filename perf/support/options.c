/* options.c - the command line of a program of many tests: one table for getopt_long(), made of the
 * common options and the program's own. */
#include "perf/support/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OPTIONS_MAX = 16 };

static const struct option COMMON[] = {{"allocator", required_argument, NULL, 'a'},
                                       {"tests", required_argument, NULL, 't'},
                                       {"repeats", required_argument, NULL, 'r'},
                                       {"ms", required_argument, NULL, 'm'},
                                       {"live", required_argument, NULL, 'l'},
                                       {"quick", no_argument, NULL, 'q'},
                                       {"list", no_argument, NULL, 'p'}};
enum { COMMON_COUNT = sizeof COMMON / sizeof COMMON[0] };

static const char *usage_text = "";

static _Noreturn void usage(void)
{
    (void)fputs(usage_text, stderr);
    exit(2);
}

unsigned options_number(const char *text, unsigned long most)
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

bool test_is_named(const struct test *test, const char *word, size_t length)
{
    return is_word(test->name, word, length) || is_word(test->group, word, length);
}

bool test_is_listed(const struct test *test, const char *list)
{
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ",");
        if (test_is_named(test, list, length))
            return true;
        list += length + (list[length] == ',');
    }
    return list == NULL;
}

static _Noreturn void print_tests(const struct program *program)
{
    for (unsigned i = 0; i < program->tests_count; i++)
        printf("%s %s\n", program->tests[i].group, program->tests[i].name);
    exit(0);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void set_quick(void)
{
    settings.is_quick = true;
    settings.repeats = 2;
    settings.repeat_ms = 1;
    settings.threads_max = 2;
    settings.delay_ms = 10;
    settings.live_max = 10000;
}

/* The common options, the program's own, and the end. */
static void join_options(const struct option *own, struct option *options)
{
    unsigned count = COMMON_COUNT;
    memcpy(options, COMMON, sizeof COMMON);
    for (; own->name != NULL; own++) {
        if (count == OPTIONS_MAX - 1)
            abort();
        options[count++] = *own;
    }
    options[count] = (struct option){NULL, 0, NULL, 0};
}

const char *options_read(const struct program *program, int count, char **words)
{
    struct option options[OPTIONS_MAX];
    const char *list = NULL;
    int letter;
    usage_text = program->usage;
    join_options(program->own, options);
    while ((letter = getopt_long(count, words, "", options, NULL)) != -1) {
        switch (letter) {
        case 'a': settings.allocator = optarg; break;
        case 't': list = optarg; break;
        case 'r': settings.repeats = options_number(optarg, VALUES_MAX); break;
        case 'm': settings.repeat_ms = options_number(optarg, 60000); break;
        case 'l': settings.live_max = options_number(optarg, program->live_most); break;
        case 'q': set_quick(); break;
        case 'p': print_tests(program);
        case '?': usage();
        default: program->read_own(letter, optarg);
        }
    }
    if (optind != count)
        usage();
    return list;
}
