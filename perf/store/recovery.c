/* recovery.c - one session is killed with a million blocks of its own; how long giving them back
 * takes, and what others notice of it.
 *
 * The one who notices is a process that allocates and frees batches of 64 blocks all the time and
 * notes how long each took: before the kill ("recovery-p99-normal"), and while the dead one is
 * recovered by a third ("recovery-p99"). It runs on the second CPU, the recovery on the first. With
 * one CPU only, all of this would be about the scheduler. */
#include "store.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { SAMPLES_MAX = 1 << 20, PHASES = 2, NORMAL_MS = 200, QUICK_COUNT = 10000 };

struct watch {
    _Atomic unsigned phase; /* 1 normal, 2 recovery, 3 over; 0: only run */
    _Atomic bool is_ready, is_filled;
    uint64_t blocks;
    _Atomic uint32_t count[PHASES]; /* written by the observer alone */
    float ns[PHASES][SAMPLES_MAX];
};

static void note(struct watch *watch, unsigned phase, float took_ns)
{
    uint32_t count = atomic_load_explicit(&watch->count[phase], memory_order_relaxed);
    if (count == SAMPLES_MAX)
        return;
    watch->ns[phase][count] = took_ns;
    atomic_store_explicit(&watch->count[phase], count + 1, memory_order_release);
}

static void observe(void *argument)
{
    struct watch *watch = argument;
    void *blocks[BATCH_COUNT];
    subject_open(store_path());
    unsigned phase;
    while ((phase = atomic_load_explicit(&watch->phase, memory_order_acquire)) <= PHASES) {
        double start = now_ns();
        subject_alloc_batch(blocks);
        subject_free_batch(blocks);
        float took = (float)(now_ns() - start);
        if (phase > 0)
            note(watch, phase - 1, took);
        atomic_store_explicit(&watch->is_ready, true, memory_order_relaxed);
    }
    subject_close();
}

static void hold_many(void *argument)
{
    struct watch *watch = argument;
    subject_open(store_path());
    for (uint64_t i = 0; i < watch->blocks; i++)
        if (subject_alloc() == NULL)
            die("roma_store_alloc", errno);
    atomic_store_explicit(&watch->is_filled, true, memory_order_release);
    for (;;)
        (void)pause();
}

static void wait_until(_Atomic bool *flag)
{
    unsigned spins = 0;
    while (!atomic_load_explicit(flag, memory_order_acquire))
        wait_a_little(&spins);
}

static void rest_ms(unsigned ms)
{
    struct timespec time = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL);
}

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double p99_of(struct watch *watch, unsigned phase)
{
    uint32_t count = atomic_load_explicit(&watch->count[phase], memory_order_acquire);
    qsort(watch->ns[phase], count, sizeof watch->ns[phase][0], compare);
    return (double)watch->ns[phase][(uint64_t)count * 99 / 100];
}

/* One life and death. Sets what the three figures are. */
static void die_once(struct watch *watch, double figures[3])
{
    subject_create(store_path(), UINT64_C(1) << 30);
    subject_close();
    int observer = process_start(observe, watch, 1);
    wait_until(&watch->is_ready);
    int holder = process_start(hold_many, watch, 0);
    wait_until(&watch->is_filled);
    atomic_store_explicit(&watch->phase, 1, memory_order_release);
    rest_ms(settings.is_quick ? 5 : NORMAL_MS);
    atomic_store_explicit(&watch->phase, 0, memory_order_release);
    (void)kill(holder, SIGKILL);
    (void)waitpid(holder, NULL, 0);
    subject_open(store_path());
    atomic_store_explicit(&watch->phase, 2, memory_order_release);
    double start = now_ns();
    int recovered = roma_store_recover(subject_store);
    figures[0] = (now_ns() - start) / 1e6;
    unsigned spins = 0; /* a recovery shorter than a batch: that one counts */
    while (atomic_load_explicit(&watch->count[1], memory_order_acquire) == 0)
        wait_a_little(&spins);
    atomic_store_explicit(&watch->phase, 3, memory_order_release);
    if (recovered < 0)
        die("roma_store_recover", recovered);
    process_wait(observer);
    subject_close();
    store_unlink();
    figures[1] = p99_of(watch, 0);
    figures[2] = p99_of(watch, 1);
}

void run_recovery(const struct test *test)
{
    double values[3][VALUES_MAX];
    if (settings.cpus_count < 2) {
        skip(test->name, "there is one CPU");
        return;
    }
    for (unsigned repeat = 0; repeat < settings.repeats; repeat++) {
        double figures[3];
        struct watch *watch = mmap(NULL, sizeof *watch, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (watch == MAP_FAILED)
            die("shared memory for the harness", errno);
        watch->blocks = settings.is_quick ? QUICK_COUNT : 1000000;
        die_once(watch, figures);
        for (unsigned i = 0; i < 3; i++)
            values[i][repeat] = figures[i];
        (void)munmap(watch, sizeof *watch);
    }
    report(test->name, values[0], settings.repeats, "ms", 1);
    report("recovery-p99-normal", values[1], settings.repeats, "ns", BATCH_COUNT);
    report("recovery-p99", values[2], settings.repeats, "ns", BATCH_COUNT);
}
