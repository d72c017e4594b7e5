/* curves.c - two curves: throughput against threads, and the cost of a pair against live blocks.
 *
 * scaling-N: N threads each run the mixed workload with 1 k live blocks of their own, the first
 * word of each new one written, for a fixed time; the value is what all of them did together, in
 * millions of pairs a second. Up to as many threads as CPUs each has its CPU; beyond, the kernel
 * schedules them as it likes.
 *
 * live-N: N blocks live, and in each step a random one is freed and replaced. Sizes are uniform
 * from 16 to 128 bytes, so that 50 million fit a small machine. The first word of a block is
 * written when it is allocated and read when it is freed, as a program would look at what it frees:
 * with many blocks, each step misses the cache for the slot, for the block that goes, and for the
 * one that comes. The length stands beside the slot: in the block, only those who are told the
 * length would have to wait for it. The curve grows within one process, and ends where memory
 * does. */
#include "mixed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- scaling -------------------------------------------------------------------------------- */

enum { SCALING_LIVE = 1 << 10, STEPS_A_LOOK = 64, WINDOW_REPEATS = 5 };

struct team {
    pthread_barrier_t ready;
    pthread_mutex_t gate; /* held by the starter until the clock runs */
    atomic_bool is_over;
    bool pins;
};

struct worker {
    _Alignas(LINE_BYTES) struct team *team;
    pthread_t thread;
    unsigned index;
    uint64_t steps;
};

static void *work_until_over(void *argument)
{
    struct worker *worker = argument;
    struct team *team = worker->team;
    if (team->pins)
        pin(worker->index);
    else
        unpin();
    subject here = subject_here();
    struct mixed *mixed = mixed_new(SCALING_LIVE, worker->index + 1);
    mixed_fill(mixed, here);
    (void)pthread_barrier_wait(&team->ready);
    (void)pthread_mutex_lock(&team->gate);
    (void)pthread_mutex_unlock(&team->gate);
    uint64_t steps = 0;
    while (!atomic_load_explicit(&team->is_over, memory_order_relaxed)) {
        for (unsigned i = 0; i < STEPS_A_LOOK; i++)
            touch_start(mixed_step(mixed, here)->block);
        steps += STEPS_A_LOOK;
    }
    worker->steps = steps;
    mixed_empty(mixed, here);
    mixed_delete(mixed);
    return NULL;
}

static void check_thread(int code)
{
    if (code != 0)
        die("a thread", code);
}

/* Millions of pairs a second. */
static double team_rate(unsigned threads, unsigned window_ms)
{
    static struct worker workers[THREADS_MAX];
    struct team team = {.gate = PTHREAD_MUTEX_INITIALIZER, .pins = threads <= settings.cpus_count};
    struct timespec window = {window_ms / 1000, (long)(window_ms % 1000) * 1000000};
    check_thread(pthread_barrier_init(&team.ready, NULL, threads + 1));
    check_thread(pthread_mutex_lock(&team.gate));
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.team = &team, .index = i};
        check_thread(pthread_create(&workers[i].thread, NULL, work_until_over, &workers[i]));
    }
    (void)pthread_barrier_wait(&team.ready);
    double start = now_ns();
    (void)pthread_mutex_unlock(&team.gate);
    (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &window, NULL);
    atomic_store_explicit(&team.is_over, true, memory_order_relaxed);
    double taken = now_ns() - start;
    uint64_t steps = 0;
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        steps += workers[i].steps;
    }
    (void)pthread_barrier_destroy(&team.ready);
    (void)pthread_mutex_destroy(&team.gate);
    return (double)steps / taken * 1e3;
}

void run_scaling(const struct test *test)
{
    unsigned window_ms = settings.repeat_ms * WINDOW_REPEATS;
    double values[VALUES_MAX] = {0};
    char name[32];
    unpin(); /* the starter sleeps, and must not wait for the first worker's CPU when it wakes */
    for (unsigned threads = 1; threads <= settings.threads_max; threads *= 2) {
        (void)team_rate(threads, window_ms);
        for (unsigned i = 0; i < settings.repeats; i++)
            values[i] = team_rate(threads, window_ms);
        (void)snprintf(name, sizeof name, "%s-%u", test->name, threads);
        report(name, values, settings.repeats, "Mop/s", window_ms);
    }
    pin(0);
}

/* ---- live blocks ---------------------------------------------------------------------------- */

enum { LIVE_BYTES_MIN = 16, LIVE_BYTES_MAX = 128 };

/* A block with its owner, and room for an allocator that needs half as much again. */
enum { LIVE_BYTES_PLANNED = 128 };

/* Who owns a block knows its length, as a vector or a string does. */
struct owner {
    uint64_t *block;
    size_t bytes;
};

struct live {
    uint64_t random, count;
    uint64_t seen; /* sum of what stood in blocks that went */
    struct owner *owners;
};

static struct owner live_block(subject here, uint64_t random)
{
    size_t bytes = LIVE_BYTES_MIN + ((random >> 32) * (LIVE_BYTES_MAX - LIVE_BYTES_MIN + 1) >> 32);
    uint64_t *block = subject_must_alloc(here, bytes);
    *block = random;
    return (struct owner){block, bytes};
}

static void live_work(void *context, uint64_t rounds)
{
    struct live *live = context;
    subject here = subject_here();
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t random = random_next(&live->random);
        struct owner *owner = &live->owners[(random & UINT32_MAX) * live->count >> 32];
        live->seen += *owner->block;
        subject_free(here, owner->block, owner->bytes);
        *owner = live_block(here, random);
    }
}

/* As many as memory allows, with something left for everybody else. */
static uint64_t live_count_max(void)
{
    uint64_t available = available_bytes(), rest = UINT64_C(1) << 30;
    uint64_t fitting = available > rest ? (available - rest) / LIVE_BYTES_PLANNED : 0;
    return fitting < settings.live_max ? fitting : settings.live_max;
}

void run_live(const struct test *test)
{
    static const uint64_t COUNTS[] = {1000, 10000, 100000, 1000000, 10000000, 50000000};
    uint64_t count_max = live_count_max();
    size_t mapped = (count_max + 1) * sizeof(struct owner);
    subject here = subject_here();
    struct live live = {.random = 1, .owners = bench_map(mapped)};
    char name[32];
    for (unsigned i = 0; i < sizeof COUNTS / sizeof COUNTS[0]; i++) {
        if (COUNTS[i] > settings.live_max)
            break;
        (void)snprintf(name, sizeof name, "%s-%llu", test->name, (unsigned long long)COUNTS[i]);
        if (COUNTS[i] > count_max) {
            skip(name, "too little memory");
            continue;
        }
        while (live.count < COUNTS[i])
            live.owners[live.count++] = live_block(here, random_next(&live.random));
        measure(name, live_work, &live, 1, COUNTS[i] < 100000 ? COUNTS[i] : 100000);
    }
    for (uint64_t i = 0; i < live.count; i++)
        subject_free(here, live.owners[i].block, live.owners[i].bytes);
    bench_unmap(live.owners, mapped);
}
