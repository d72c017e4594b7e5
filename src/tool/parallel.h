/* parallel.h - the same work on several threads, timed as a whole. */
#ifndef ROMA_TOOL_PARALLEL_H
#define ROMA_TOOL_PARALLEL_H

#include <stdint.h>

/* Nanoseconds of a clock that only goes forward. */
uint64_t now_ns(void);

/* Run work(context, 0) to work(context, threads_count - 1) at once; one thread is the caller's own.
 *
 *  elapsed_ns  from the moment that all threads are ready to the end of the last; may be NULL
 *  Returns 0, or -errno when a thread cannot be started: then no work was done. */
int run_parallel(unsigned threads_count, void (*work)(void *context, unsigned index), void *context,
                 uint64_t *elapsed_ns);

#endif
