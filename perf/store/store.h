/* store.h - what the files of the store's measuring program share, beside perf/support. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "perf/support/measure.h"
#include "subject.h"

/* Tests, by file. */
void run_pair(const struct test *test); /* single.c */
void run_batch(const struct test *test);
void run_managed_pair(const struct test *test); /* of roma alone, as the next */
void run_managed_batch(const struct test *test);
void run_random(const struct test *test);
void run_two(const struct test *test); /* processes.c */
void run_remote(const struct test *test);
void run_parcels(const struct test *test);
void run_open_size(const struct test *test); /* opening.c; of roma alone, as the next */
void run_open_live(const struct test *test);
void run_recovery(const struct test *test); /* recovery.c */

/* The file of a test: made anew, and unlinked at its end. */
const char *store_path(void);
void store_unlink(void);

/* Start a process that runs work(argument) on the index-th CPU and ends; and wait for one. */
int process_start(void (*work)(void *argument), void *argument, unsigned cpu);
void process_wait(int process);

/* Let the other side go on: at first without giving up the CPU. */
void wait_a_little(unsigned *spins);

#endif
