/* bench.h - the tests of perf/bench, by file. What they are made with is in perf/support. */
#ifndef BENCH_H
#define BENCH_H

#include "perf/support/measure.h"

void run_pair(const struct test *test); /* small.c */
void run_lifo(const struct test *test);
void run_fifo(const struct test *test);
void run_random(const struct test *test);
void run_mixed(const struct test *test);
void run_batch(const struct test *test);
void run_remote(const struct test *test); /* remote.c */
void run_large(const struct test *test);  /* large.c */
void run_touched(const struct test *test);
void run_ring(const struct test *test);
void run_growth(const struct test *test);
void run_chase(const struct test *test);
void run_scaling(const struct test *test); /* curves.c */
void run_live(const struct test *test);
void run_memory(const struct test *test); /* memory.c */
void run_overhead(const struct test *test);
void run_populate(const struct test *test); /* populate.c; in roma's plain calls and the limits */
void run_freelist(const struct test *test); /* limits.c */
void run_array(const struct test *test);
void run_tls(const struct test *test);
void run_calls(const struct test *test);
void run_locked(const struct test *test);

#endif
