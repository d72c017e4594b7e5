/* subject.c - opens the allocator under test. */
#include "subject.h"

#if !defined BENCH_CALLS && !defined BENCH_CACHE

void subject_open(void) {}

#else

#include <stdio.h>
#include <string.h>

roma_manager *subject_manager;

void subject_open(void)
{
    roma_options options = roma_options_default();
    roma_error error;
    options.name = "bench";
    if (strcmp(settings.counts, "counted") == 0)
        options.counts = ROMA_COUNTS_COUNTED;
    else if (strcmp(settings.counts, "none") == 0)
        options.counts = ROMA_COUNTS_NONE;
    else if (strcmp(settings.counts, "exact") == 0)
        options.counts = ROMA_COUNTS_EXACT;
    else
        die(settings.counts, EINVAL);
    int code = roma_manager_create(&subject_manager, &options, &error);
    if (code != 0) {
        (void)roma_error_print(stderr, &error);
        die("roma_manager_create", code);
    }
}

#endif
