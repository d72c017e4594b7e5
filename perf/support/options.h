/* options.h - the command line of a program of many tests.
 *
 * All of them take --allocator NAME, --tests LIST, --repeats N, --ms N, --live N, --quick and
 * --list. What a program takes beside these it names, and reads itself. */
#ifndef PERF_SUPPORT_OPTIONS_H
#define PERF_SUPPORT_OPTIONS_H

#include "perf/support/measure.h"

#include <getopt.h>

struct program {
    const char *usage; /* printed when a word is not understood                              */
    const struct test *tests;
    unsigned tests_count;
    unsigned long live_most;  /* of --live                                                   */
    const struct option *own; /* as getopt_long() takes them; their letters are none of the
                                 common ones: a l m p q r t                                  */
    void (*read_own)(int letter, const char *value);
};

/* Read the words into `settings`. Returns the list of tests, NULL for all. Ends with 2, having
 * printed the usage, when a word is not understood; with 0 after --list. */
const char *options_read(const struct program *program, int count, char **words);

/* A number from 1 to `most`; anything else is not understood. */
unsigned options_number(const char *text, unsigned long most);

/* Whether that word is the name of the test, or of its group. */
bool test_is_named(const struct test *test, const char *word, size_t length);

/* Whether a list of such words, separated by commas, has the test. NULL has all. */
bool test_is_listed(const struct test *test, const char *list);

#endif
