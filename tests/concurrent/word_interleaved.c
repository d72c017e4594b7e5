/* word_interleaved.c - word.c compiled once more, with every atomic access and lock a point where
 * another thread may go on.
 *
 * Threads are coroutines (ucontext) on one real thread. A schedule is the list of choices made at
 * the points where more than one coroutine could run; depth-first search over these lists visits
 * every interleaving exactly once: replay a prefix, take the first free choice from there on, then
 * advance the last choice that has alternatives left. Memory is sequentially consistent here:
 * orders weaker than that are argued in word.h and looked at by ThreadSanitizer. A compare-and-swap
 * that may fail spuriously is the strong one here; its failure path is taken when the word did
 * change. */
#include "word_interleaved.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { STACK_BYTES = 64 << 10, CHOICES_MAX = 4096 };

static struct {
    ucontext_t scheduler, threads[INTERLEAVED_THREADS_MAX];
    char *stacks[INTERLEAVED_THREADS_MAX];
    bool done[INTERLEAVED_THREADS_MAX];
    const void *waits[INTERLEAVED_THREADS_MAX]; /* the lock that a thread waits for */
    unsigned running, count;
    const void *locked; /* the one lock, held by `holder` */
} run;

static void step(void)
{
    unsigned me = run.running;
    swapcontext(&run.threads[me], &run.scheduler);
}

static void lock(const void *which)
{
    step();
    while (run.locked != NULL) {
        run.waits[run.running] = which;
        step();
    }
    run.waits[run.running] = NULL;
    run.locked = which;
}

static void unlock(void)
{
    run.locked = NULL;
    step();
}

static uint32_t load(const uint32_t *word)
{
    step();
    return *(const volatile uint32_t *)word;
}

static void store(uint32_t *word, uint32_t value)
{
    step();
    *(volatile uint32_t *)word = value;
}

static bool swap(uint32_t *word, uint32_t *seen, uint32_t value)
{
    step();
    volatile uint32_t *plain = (volatile uint32_t *)word;
    if (*plain == *seen) {
        *plain = value;
        return true;
    }
    *seen = *plain;
    return false;
}

#include "heap/atomics.h"
#undef roma__load
#undef roma__load_acquire
#undef roma__store_release
#undef roma__compare_exchange
#define roma__load(place) load(place)
#define roma__load_acquire(place) load(place)
#define roma__store_release(place, value) store(place, value)
#define roma__compare_exchange(place, seen, value) swap(place, seen, value)
#define pthread_mutex_lock(which) lock(which)
#define pthread_mutex_unlock(which) unlock()
#define roma__word_references interleaved_word_references
#define roma__word_retain interleaved_word_retain
#define roma__word_drop interleaved_word_drop
#define roma__word_drop_shared interleaved_word_drop_shared
#define roma__word_end_sole interleaved_word_end_sole
#define roma__word_next_generation interleaved_word_next_generation
#define roma__word_kill interleaved_word_kill
#define roma__counts_fork_hold interleaved_counts_fork_hold
#define roma__counts_fork_free interleaved_counts_fork_free
#include "heap/word.c"

/* ---- one run --------------------------------------------------------------------------------- */

static const interleaved_scenario *scenario_now;
static interleaved_outcome outcome_now;
static uint32_t word_now;

static int perform(interleaved_op op, uint32_t generation)
{
    uint32_t had;
    switch (op) {
    case OP_RETAIN: return interleaved_word_retain(&word_now, generation);
    case OP_DROP: return interleaved_word_drop(&word_now, generation);
    case OP_DROP_ANY: return interleaved_word_drop(&word_now, UINT32_MAX);
    case OP_END_SOLE: return interleaved_word_end_sole(&word_now, &had);
    default: return 0;
    }
}

static void body(void)
{
    unsigned me = run.running;
    for (unsigned i = 0; i < INTERLEAVED_OPS_MAX; i++)
        outcome_now.results[me][i] = perform(scenario_now->ops[me][i], scenario_now->generation);
    run.done[me] = true;
    swapcontext(&run.threads[me], &run.scheduler);
}

static void start(void)
{
    memset(&outcome_now, 0, sizeof outcome_now);
    *(volatile uint32_t *)&word_now = roma__word_make(scenario_now->generation,
                                                      scenario_now->count);
    run.locked = NULL;
    for (unsigned i = 0; i < scenario_now->threads; i++) {
        run.done[i] = false;
        run.waits[i] = NULL;
        getcontext(&run.threads[i]);
        run.threads[i].uc_stack.ss_sp = run.stacks[i];
        run.threads[i].uc_stack.ss_size = STACK_BYTES;
        run.threads[i].uc_link = NULL;
        makecontext(&run.threads[i], body, 0);
    }
}

/* The threads that can go on: not done, and not waiting for a lock that is held. */
static unsigned runnable(unsigned *list)
{
    unsigned count = 0;
    for (unsigned i = 0; i < scenario_now->threads; i++)
        if (!run.done[i] && !(run.waits[i] != NULL && run.locked != NULL))
            list[count++] = i;
    return count;
}

/* Follow `choices` and extend it with zeros. Returns its length, or -1 when it is too long. */
static int follow(unsigned char *choices, unsigned char *widths, int known)
{
    int length = 0;
    unsigned list[INTERLEAVED_THREADS_MAX];
    for (unsigned count; (count = runnable(list)) > 0;) {
        unsigned pick = 0;
        if (count > 1) {
            if (length == CHOICES_MAX)
                return -1;
            if (length >= known)
                choices[length] = 0;
            widths[length] = (unsigned char)count;
            pick = choices[length++];
        }
        run.running = list[pick];
        swapcontext(&run.scheduler, &run.threads[run.running]);
    }
    return length;
}

static void settle(void)
{
    uint32_t word = *(volatile uint32_t *)&word_now;
    outcome_now.generation = roma__word_generation(word);
    outcome_now.references = (int)roma__word_count(word);
    if (roma__word_count(word) == ROMA__WORD_SATURATED)
        outcome_now.references = table_find(&word_now)->count;
    outcome_now.table_used = (unsigned)table.used;
    while (table.used > 0)
        table_remove(table_find(&word_now));
}

long interleaved_run(const interleaved_scenario *scenario,
                     const char *(*judge)(const interleaved_scenario *scenario,
                                          const interleaved_outcome *outcome),
                     const char **message)
{
    unsigned char choices[CHOICES_MAX], widths[CHOICES_MAX];
    scenario_now = scenario;
    for (unsigned i = 0; i < scenario->threads; i++)
        run.stacks[i] = malloc(STACK_BYTES);
    long runs = 0;
    int known = 0;
    do {
        start();
        int length = follow(choices, widths, known);
        settle();
        *message = length < 0 ? "a schedule is too long" : judge(scenario, &outcome_now);
        runs++;
        known = length;
        while (known > 0 && choices[known - 1] + 1 == widths[known - 1])
            known--;
        if (known > 0)
            choices[known - 1]++;
    } while (*message == NULL && known > 0);
    for (unsigned i = 0; i < scenario->threads; i++)
        free(run.stacks[i]);
    return *message == NULL ? runs : -1;
}
