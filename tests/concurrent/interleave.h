/* interleave.h - runs a few threads under every interleaving of their steps.
 *
 * The threads are coroutines on one real thread. A source under test is compiled once more with
 * interleave_points.h in place of its atomics and locks; there every access is a point, at which
 * the scheduler may let another thread go on. A schedule is the list of choices at the points where
 * more than one thread could. Depth-first search over these lists runs each interleaving exactly
 * once: follow a known beginning, take the first thread from there on, then advance the last choice
 * that has others left.
 *
 * Every interleaving (plan without `memory`) is feasible for some 20 points in all. A plan that
 * names all memory that its threads change is searched by states instead: what the threads' stacks,
 * registers and locks and that memory hold at a choice is what decides all that can follow, so a
 * run ends where it comes to a state that an earlier run has been in. All states that some
 * interleaving reaches are still reached, and every different end is judged. What is left out of
 * `memory` and changes makes this wrong: results that `judge` looks at belong there, too. States
 * are told apart by 64 bits of hash: of a million, two are taken for one with a chance of
 * 3 * 10^-8. Runs must not depend on anything else, as clocks and addresses from malloc.
 *
 * Memory is sequentially consistent here: orders weaker than that are argued beside the sources and
 * looked at by ThreadSanitizer. What lies between two points is one step, so plain accesses that
 * race with each other are not seen. AddressSanitizer's fake stacks (off in gcc, and in clang up to
 * 14) would hide locals from the states, and search less. ThreadSanitizer does not follow
 * swapcontext: no runs under it. */
#ifndef ROMA_TESTS_INTERLEAVE_H
#define ROMA_TESTS_INTERLEAVE_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { INTERLEAVE_THREADS_MAX = 4 };

typedef struct interleave_memory {
    void *address;
    size_t bytes;
} interleave_memory;

typedef struct interleave_plan {
    unsigned threads;
    void *context;
    void (*begin)(void *context);                   /* before a run: all is as at the start       */
    void (*thread)(void *context, unsigned number); /* what each thread does                      */
    const char *(*judge)(void *context);            /* after a run: NULL, or what is wrong        */
    unsigned preemptions_max; /* how often a thread is made to wait that could go on; 0: any      */
    const interleave_memory *memory; /* what makes a state, see above; NULL: all runs             */
    size_t memory_count;
    interleave_memory own; /* thread-local storage: each thread has what `begin` left, for itself */
    /* Accesses to these places, and giving these locks back, make no points: only one thread does
     * it, or only with a lock, or nobody writes. NULL: none. */
    bool (*is_quiet)(const void *place);
    bool tries_locks; /* some are tried: giving one back is a step, not part of the one before */
    /* Told of each access, locks included, and each store before it is made; NULL: nobody. */
    void (*on_access)(const void *place, const char *function);
    void (*on_store)(const void *place, unsigned long value, const char *function);
} interleave_plan;

typedef struct interleave_result {
    long runs;           /* schedules, those that ended in a known state included */
    long states;         /* known at the end                                      */
    const char *message; /* what was wrong in the last run; NULL: all hold        */
    const char *trace;   /* that run: thread and function of each stretch         */
} interleave_result;

/* Run until a run is judged wrong, a deadlock is met, or all are through. The texts are good until
 * the next call. */
interleave_result interleave_run(const interleave_plan *plan);

/* ---- for what the threads do ----------------------------------------------------------------- */

/* Outside of a run all of these do what they say at once. */

/* Before an access to `place`, by `function` of the source under test. */
void interleave_point(const void *place, const char *function);
void interleave_storing(const void *place, unsigned long value, const char *function);

void interleave_lock(const void *lock, const char *function);
int interleave_trylock(const void *lock, const char *function); /* 0 or EBUSY */
void interleave_unlock(const void *lock, const char *function);
bool interleave_is_locked(const void *lock);

/* In a loop that waits: the others go first. In a plan without `memory` only one thread at a time
 * may wait like that, for two would take turns for ever. */
void interleave_yield(const char *function);

/* Wait until another thread has set the flag. */
void interleave_await(const bool *flag);

/* The number of the thread that runs; INTERLEAVE_THREADS_MAX: none. */
unsigned interleave_self(void);

/* End the run: something must never happen and did. Does not return; the compiler is not told, for
 * AddressSanitizer would look at the stack first, and not know it. */
void interleave_fail(const char *message);

/* ---- mutants --------------------------------------------------------------------------------- */

/* What one function of the source does wrong, on purpose, so that a test can show that it would be
 * noticed. */
typedef enum interleave_mutation {
    INTERLEAVE_TORN,      /* its exchange or compare-and-swap is a load and then a store         */
    INTERLEAVE_FORGETFUL, /* of what it writes between lock and unlock, the plan's memory, nothing
                             stays; there is no point in between                                 */
    INTERLEAVE_MEDDLED    /* `meddle` is called before each access, lock included, and once more
                             when that is taken                                                  */
} interleave_mutation;

typedef struct interleave_mutant {
    const char *function; /* NULL: none */
    interleave_mutation mutation;
    void (*meddle)(const void *place);
    unsigned long met; /* how often it was otherwise than it should be */
} interleave_mutant;

extern interleave_mutant interleave_mutant_now;

bool interleave_is_torn(const char *function);

#ifdef __cplusplus
}
#endif
#endif
