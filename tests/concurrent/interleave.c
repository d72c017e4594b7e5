/* interleave.c - the scheduler; see interleave.h. */
#include "interleave.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

enum { STACK_BYTES = 64 << 10, STEPS_MAX = 4096, LOCKS_MAX = 16, NOBODY = INTERLEAVE_THREADS_MAX };

struct thread {
    ucontext_t context, fresh; /* fresh: the same in each run, registers, too */
    char *stack;
    uintptr_t lowest; /* that its stack pointer was seen at, in all runs */
    bool is_done;
    unsigned rests;    /* yields since another thread went on               */
    const void *waits; /* for this lock                                  */
    const bool *awaits;
    const char *function; /* of the point where it stands                 */
    void *own;
};

struct step {
    unsigned thread;
    const char *function;
};

static struct {
    const interleave_plan *plan;
    ucontext_t scheduler;
    struct thread threads[INTERLEAVE_THREADS_MAX];
    unsigned running;
    struct lock {
        const void *lock;
        unsigned holder;
    } locks[LOCKS_MAX];
    unsigned locks_count;
    unsigned last, preemptions; /* thread of the step before; how many others were made to wait */
    const char *fault;
    void *forgotten; /* the plan's memory, when a forgetful function took its lock */
    struct step steps[STEPS_MAX];
    unsigned steps_count;
    unsigned char choices[STEPS_MAX], widths[STEPS_MAX];
} run = {.running = NOBODY};

interleave_mutant interleave_mutant_now;

/* ---- mutants --------------------------------------------------------------------------------- */

static bool is_mutant(const char *function, interleave_mutation mutation)
{
    interleave_mutant *mutant = &interleave_mutant_now;
    if (mutant->function == NULL || mutant->mutation != mutation || run.running == NOBODY ||
        strcmp(mutant->function, function) != 0)
        return false;
    mutant->met++;
    return true;
}

bool interleave_is_torn(const char *function)
{
    return is_mutant(function, INTERLEAVE_TORN);
}

static void meddle(const void *place, const char *function)
{
    if (is_mutant(function, INTERLEAVE_MEDDLED))
        interleave_mutant_now.meddle(place);
}

/* Copy the plan's memory to the copy, or from it. */
static void copy_memory(char *copy, bool back)
{
    for (size_t i = 0; i < run.plan->memory_count; i++) {
        const interleave_memory *memory = &run.plan->memory[i];
        if (back)
            memcpy(memory->address, copy, memory->bytes);
        else
            memcpy(copy, memory->address, memory->bytes);
        copy += memory->bytes;
    }
}

static size_t memory_bytes(void)
{
    size_t bytes = 0;
    for (size_t i = 0; i < run.plan->memory_count; i++)
        bytes += run.plan->memory[i].bytes;
    return bytes;
}

/* ---- what the threads do --------------------------------------------------------------------- */

unsigned interleave_self(void)
{
    return run.running;
}

static void stop_here(void)
{
    swapcontext(&run.threads[run.running].context, &run.scheduler);
}

static void step(const char *function)
{
    if (run.running == NOBODY)
        return;
    run.threads[run.running].function = function;
    stop_here();
}

/* The thread that stands at a point goes on. */
static void access(const void *place, const char *function)
{
    meddle(place, function);
    if (run.running != NOBODY && run.plan->on_access != NULL)
        run.plan->on_access(place, function);
}

static bool is_quiet(const void *place)
{
    return run.running != NOBODY && run.plan->is_quiet != NULL && run.plan->is_quiet(place);
}

void interleave_point(const void *place, const char *function)
{
    if (!is_quiet(place))
        step(function);
    access(place, function);
}

void interleave_storing(const void *place, unsigned long value, const char *function)
{
    if (run.running != NOBODY && run.plan->on_store != NULL)
        run.plan->on_store(place, value, function);
}

void interleave_fail(const char *message)
{
    if (run.running == NOBODY) {
        fprintf(stderr, "interleave: %s\n", message);
        abort();
    }
    run.fault = message;
    for (;;)
        stop_here();
}

static struct lock *find_lock(const void *which)
{
    for (unsigned i = 0; i < run.locks_count; i++)
        if (run.locks[i].lock == which)
            return &run.locks[i];
    return NULL;
}

bool interleave_is_locked(const void *which)
{
    return find_lock(which) != NULL;
}

static void take_lock(const void *which, const char *function)
{
    if (run.locks_count == LOCKS_MAX)
        interleave_fail("too many locks are held");
    run.locks[run.locks_count++] = (struct lock){which, run.running};
    if (is_mutant(function, INTERLEAVE_FORGETFUL))
        copy_memory(run.forgotten, false);
    access(which, function);
}

void interleave_lock(const void *which, const char *function)
{
    step(function);
    access(which, function);
    while (find_lock(which) != NULL) {
        if (run.running == NOBODY)
            interleave_fail("outside of a run a lock is held that is wanted");
        run.threads[run.running].waits = which;
        stop_here();
    }
    if (run.running != NOBODY)
        run.threads[run.running].waits = NULL;
    take_lock(which, function);
}

int interleave_trylock(const void *which, const char *function)
{
    step(function);
    access(which, function);
    if (find_lock(which) != NULL)
        return EBUSY;
    take_lock(which, function);
    return 0;
}

void interleave_unlock(const void *which, const char *function)
{
    bool is_step = !is_quiet(which), is_step_before = run.plan != NULL && run.plan->tries_locks;
    if (is_step && is_step_before)
        step(function);
    struct lock *lock = find_lock(which);
    if (lock == NULL || lock->holder != run.running)
        interleave_fail("a lock is given back by who does not hold it");
    access(which, function);
    if (is_mutant(function, INTERLEAVE_FORGETFUL))
        copy_memory(run.forgotten, true);
    *lock = run.locks[--run.locks_count];
    if (is_step && !is_step_before)
        step(function);
}

void interleave_yield(const char *function)
{
    if (run.running == NOBODY)
        interleave_fail("outside of a run nobody is there to wait for");
    run.threads[run.running].rests++;
    step(function);
}

void interleave_await(const bool *flag)
{
    if (run.running == NOBODY)
        return;
    run.threads[run.running].awaits = flag;
    step(__func__);
    run.threads[run.running].awaits = NULL;
}

/* ---- states ---------------------------------------------------------------------------------- */

static struct {
    uint64_t *entries; /* 0: none */
    size_t capacity, count;
} known;

static void known_put(uint64_t *entries, size_t capacity, uint64_t state)
{
    size_t i = state & (capacity - 1);
    while (entries[i] != 0)
        i = (i + 1) & (capacity - 1);
    entries[i] = state;
}

static void known_grow(void)
{
    size_t capacity = known.capacity == 0 ? 1 << 12 : 2 * known.capacity;
    uint64_t *entries = calloc(capacity, sizeof *entries);
    for (size_t i = 0; i < known.capacity; i++)
        if (known.entries[i] != 0)
            known_put(entries, capacity, known.entries[i]);
    free(known.entries);
    known.entries = entries;
    known.capacity = capacity;
}

/* Returns whether it is new. */
static bool known_add(uint64_t state)
{
    if (2 * known.count >= known.capacity)
        known_grow();
    for (size_t i = state & (known.capacity - 1); known.entries[i] != 0;
         i = (i + 1) & (known.capacity - 1))
        if (known.entries[i] == state)
            return false;
    known_put(known.entries, known.capacity, state);
    known.count++;
    return true;
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

/* Stacks are read here as they are, whatever AddressSanitizer thinks of parts of them. Four lanes,
 * because a multiplication takes several cycles. */
__attribute__((no_sanitize("address"))) static uint64_t mix_words(uint64_t hash, const void *from,
                                                                  size_t bytes)
{
    const volatile uint64_t *words = from;
    uint64_t lanes[4] = {1, 2, 3, 4};
    size_t count = bytes / sizeof *words, i = 0;
    for (; i + 4 <= count; i += 4)
        for (unsigned lane = 0; lane < 4; lane++)
            lanes[lane] = mix(lanes[lane], words[i + lane]);
    for (; i < count; i++)
        hash = mix(hash, words[i]);
    for (unsigned lane = 0; lane < 4; lane++)
        hash = mix(hash, lanes[lane]);
    const volatile unsigned char *rest = (const volatile unsigned char *)(words + count);
    for (i = 0; i < bytes % sizeof *words; i++)
        hash = mix(hash, rest[i]);
    return hash;
}

__attribute__((no_sanitize("address"))) static void clear_words(uintptr_t from, uintptr_t to)
{
    for (uintptr_t at = from; at < to; at += sizeof(uint64_t))
        *(volatile uint64_t *)at = 0;
}

/* Where its stack is in use from, as far as is known of this machine. */
static uintptr_t stack_in_use(const struct thread *thread)
{
#if defined(__x86_64__)
    return (uintptr_t)thread->context.uc_mcontext.gregs[REG_RSP];
#elif defined(__aarch64__)
    return (uintptr_t)thread->context.uc_mcontext.sp & ~(uintptr_t)7;
#else
    return (uintptr_t)thread->stack;
#endif
}

static uint64_t mix_thread(uint64_t hash, struct thread *thread)
{
    hash = mix(hash, thread->is_done);
    if (thread->is_done)
        return hash;
    uintptr_t from = stack_in_use(thread);
    if (from < thread->lowest)
        thread->lowest = from;
    hash = mix(hash, thread->rests);
    hash = mix(hash, (uintptr_t)thread->waits);
    hash = mix(hash, (uintptr_t)thread->awaits);
    hash = mix_words(hash, &thread->context.uc_mcontext, sizeof thread->context.uc_mcontext);
    return mix_words(hash, (const void *)from, (uintptr_t)thread->stack + STACK_BYTES - from);
}

static uint64_t state_now(void)
{
    uint64_t hash = 0, locks = 0;
    for (unsigned i = 0; i < run.plan->threads; i++) {
        hash = mix_thread(hash, &run.threads[i]);
        hash = mix_words(hash, run.threads[i].own, run.plan->own.bytes);
    }
    for (unsigned i = 0; i < run.locks_count; i++) /* in whatever order they stand there */
        locks += mix(run.locks[i].holder + 1, (uintptr_t)run.locks[i].lock);
    hash = mix(hash, locks);
    if (run.plan->preemptions_max > 0)
        hash = mix(hash, (uint64_t)run.preemptions << 8 | run.last);
    for (size_t i = 0; i < run.plan->memory_count; i++)
        hash = mix_words(hash, run.plan->memory[i].address, run.plan->memory[i].bytes);
    return hash != 0 ? hash : 1;
}

/* ---- one run --------------------------------------------------------------------------------- */

static void body(void)
{
    struct thread *self = &run.threads[run.running];
    run.plan->thread(run.plan->context, run.running);
    self->is_done = true;
    stop_here();
}

static void start(void)
{
    run.fault = NULL;
    run.locks_count = run.steps_count = run.preemptions = 0;
    run.last = NOBODY;
    run.plan->begin(run.plan->context);
    for (unsigned i = 0; i < run.plan->threads; i++) {
        struct thread *thread = &run.threads[i];
        thread->is_done = false;
        thread->rests = 0;
        thread->waits = NULL;
        thread->awaits = NULL;
        thread->function = "start";
        uintptr_t end = (uintptr_t)thread->stack + STACK_BYTES;
        clear_words(thread->lowest, end); /* what is left there would tell equal states apart */
        if (run.plan->own.bytes > 0)
            memcpy(thread->own, run.plan->own.address, run.plan->own.bytes);
        thread->context = thread->fresh;
        thread->context.uc_stack.ss_sp = thread->stack;
        thread->context.uc_stack.ss_size = STACK_BYTES;
        thread->context.uc_link = NULL;
        makecontext(&thread->context, body, 0);
    }
}

static bool can_go_on(const struct thread *thread)
{
    return !thread->is_done && (thread->waits == NULL || !interleave_is_locked(thread->waits)) &&
           (thread->awaits == NULL || *thread->awaits);
}

/* The threads that may be chosen. Those that yielded only when no other can go on. */
static unsigned runnable(unsigned *list)
{
    unsigned count = 0, rested = 0;
    for (unsigned i = 0; i < run.plan->threads; i++)
        if (can_go_on(&run.threads[i])) {
            if (run.threads[i].rests == 0)
                list[count++] = i;
            else
                rested = rested == 0 || run.threads[i].rests < run.threads[rested - 1].rests
                             ? i + 1
                             : rested;
        }
    if (count == 0 && rested > 0)
        list[count++] = rested - 1;
    if (run.plan->preemptions_max > 0 && run.preemptions == run.plan->preemptions_max)
        for (unsigned i = 0; i < count; i++)
            if (list[i] == run.last) {
                list[0] = run.last;
                return 1;
            }
    return count;
}

static void go_on(unsigned pick)
{
    struct thread *thread = &run.threads[pick];
    bool was_made_to_wait = run.last != NOBODY && run.last != pick &&
                            can_go_on(&run.threads[run.last]) && run.threads[run.last].rests == 0;
    run.preemptions += was_made_to_wait;
    run.last = pick;
    if (run.steps_count < STEPS_MAX)
        run.steps[run.steps_count++] = (struct step){pick, thread->function};
    size_t own_bytes = run.plan->own.bytes;
    if (own_bytes > 0)
        memcpy(run.plan->own.address, thread->own, own_bytes);
    run.running = pick;
    swapcontext(&run.scheduler, &thread->context);
    run.running = NOBODY;
    if (own_bytes > 0)
        memcpy(thread->own, run.plan->own.address, own_bytes);
    for (unsigned i = 0; i < run.plan->threads; i++)
        if (i != pick)
            run.threads[i].rests = 0;
}

static bool all_are_done(void)
{
    bool done = true;
    for (unsigned i = 0; i < run.plan->threads; i++)
        done = done && run.threads[i].is_done;
    return done;
}

static bool somebody_turns_in_circles(void)
{
    for (unsigned i = 0; i < run.plan->threads; i++)
        if (run.threads[i].rests > 2)
            return true;
    return false;
}

/* Follow the first `beginning` choices and go on with zeros from there. Returns how many choices
 * there were; *is_known: it ended in a state that was known. */
static unsigned follow(unsigned beginning, bool *is_known)
{
    unsigned length = 0, list[INTERLEAVE_THREADS_MAX];
    *is_known = false;
    for (unsigned count; run.fault == NULL && (count = runnable(list)) > 0;) {
        unsigned pick = 0;
        if (run.steps_count == STEPS_MAX)
            run.fault = "a schedule is too long";
        else if (somebody_turns_in_circles())
            run.fault = "a thread waits for what nobody will do";
        if (run.fault != NULL)
            break;
        if (count > 1) {
            if (length >= beginning) {
                run.choices[length] = 0;
                *is_known = run.plan->memory != NULL && !known_add(state_now());
                if (*is_known)
                    break;
            }
            run.widths[length] = (unsigned char)count;
            pick = run.choices[length++];
        }
        go_on(list[pick]);
    }
    return length;
}

static const char *judge(void)
{
    if (run.fault != NULL)
        return run.fault;
    if (!all_are_done())
        return "a deadlock: those that are not done wait for each other";
    if (run.locks_count > 0)
        return "a lock is held at the end";
    return run.plan->judge(run.plan->context);
}

/* ---- all runs -------------------------------------------------------------------------------- */

/* The last steps of the run, a line for each stretch of one thread. */
static const char *trace(void)
{
    static char text[16 << 10];
    size_t used = 0;
    unsigned first = run.steps_count > 150 ? run.steps_count - 150 : 0;
    text[0] = '\0';
    for (unsigned i = first; i < run.steps_count; i++) {
        const struct step *now = &run.steps[i];
        if (i == first || now[-1].thread != now->thread)
            used += (size_t)snprintf(text + used, sizeof text - used, "\n%u:", now->thread);
        used += (size_t)snprintf(text + used, sizeof text - used, " %.60s", now->function);
    }
    return text;
}

static void make_room(void)
{
    for (unsigned i = 0; i < run.plan->threads; i++) {
        run.threads[i].stack = calloc(1, STACK_BYTES);
        run.threads[i].lowest = (uintptr_t)run.threads[i].stack + STACK_BYTES;
        run.threads[i].own = calloc(1, run.plan->own.bytes + 1);
        getcontext(&run.threads[i].fresh);
    }
    run.forgotten = calloc(1, memory_bytes() + 1);
}

static void give_room_back(void)
{
    for (unsigned i = 0; i < run.plan->threads; i++) {
        free(run.threads[i].stack);
        free(run.threads[i].own);
    }
    free(run.forgotten);
    free(known.entries);
    memset(&known, 0, sizeof known);
}

interleave_result interleave_run(const interleave_plan *plan)
{
    interleave_result result = {0, 0, NULL, ""};
    unsigned beginning = 0;
    run.plan = plan;
    make_room();
    do {
        bool is_known;
        start();
        unsigned length = follow(beginning, &is_known);
        if (!is_known)
            result.message = judge();
        result.runs++;
        beginning = length;
        while (beginning > 0 && run.choices[beginning - 1] + 1 == run.widths[beginning - 1])
            beginning--;
        if (beginning > 0)
            run.choices[beginning - 1]++;
    } while (result.message == NULL && beginning > 0);
    result.states = (long)known.count;
    if (result.message != NULL)
        result.trace = trace();
    give_room_back();
    return result;
}
