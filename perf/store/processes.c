/* processes.c - several processes in one store.
 *
 * processes: each takes 1000 blocks and frees them in turn, for a fixed time; millions of pairs a
 * second of all together, for one process ("processes-1") and for two on a CPU each.
 *
 * remote: a producer allocates blocks and puts them into a ring of slots in the store, a consumer
 * takes them out and frees them, both at once. "remote" is the whole pipeline, from the first
 * allocation to the last free, divided by the blocks: what the slower side costs. Of it, two parts
 * of what the consumer spends on a batch of 64, divided by 64: "remote-take", to take them out of
 * their slots, and "remote-free", to free them. In the test of parcels a slot carries 64 blocks.
 *
 * Where the two sides are stands in memory that they share apart from the store, each count on a
 * line of its own, with release and acquire. */
#include "store.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { RING_BATCHES = 16, PROCESSES_MAX = 2, HAMMER_COUNT = 1000 };
#define FILE_BYTES (UINT64_C(1) << 28)

static void *map_shared(size_t bytes)
{
    void *address = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED)
        die("shared memory for the harness", errno);
    return address;
}

/* ---- hammering ------------------------------------------------------------------------------- */

struct hammer {
    _Atomic unsigned ready;
    unsigned count;
    _Atomic bool is_over;
    struct {
        _Alignas(LINE_BYTES) double pairs_us; /* pairs a microsecond */
    } by[PROCESSES_MAX];
};

struct part {
    struct hammer *hammer;
    unsigned index;
};

static void hammer_work(void *argument)
{
    struct part *part = argument;
    struct hammer *hammer = part->hammer;
    void *blocks[HAMMER_COUNT];
    unsigned spins = 0;
    subject_open(store_path());
    uint64_t pairs = 0;
    for (unsigned warm = 0; warm < 2; warm++) {
        for (unsigned i = 0; i < HAMMER_COUNT; i++)
            blocks[i] = subject_alloc();
        for (unsigned i = 0; i < HAMMER_COUNT; i++)
            subject_free(blocks[i]);
    }
    atomic_fetch_add(&hammer->ready, 1);
    while (atomic_load(&hammer->ready) < hammer->count)
        wait_a_little(&spins);
    double start = now_ns(), end = start + settings.repeat_ms * 1e6, now;
    do {
        for (unsigned i = 0; i < HAMMER_COUNT; i++)
            blocks[i] = subject_alloc();
        for (unsigned i = 0; i < HAMMER_COUNT; i++)
            subject_free(blocks[i]);
        pairs += HAMMER_COUNT;
        now = now_ns();
    } while (now < end);
    hammer->by[part->index].pairs_us = (double)pairs / (now - start) * 1e3;
    /* Nobody closes while another one still measures. */
    atomic_fetch_add(&hammer->ready, 1);
    while (atomic_load(&hammer->ready) < 2 * hammer->count)
        wait_a_little(&spins);
    subject_close();
}

static void run_hammers(const char *name, unsigned count)
{
    double values[VALUES_MAX];
    struct hammer *hammer = map_shared(sizeof *hammer);
    for (unsigned repeat = 0; repeat < settings.repeats; repeat++) {
        int processes[PROCESSES_MAX];
        struct part parts[PROCESSES_MAX];
        atomic_store(&hammer->ready, 0);
        hammer->count = count;
        for (unsigned i = 0; i < count; i++) {
            parts[i] = (struct part){hammer, i};
            processes[i] = process_start(hammer_work, &parts[i], i);
        }
        values[repeat] = 0;
        for (unsigned i = 0; i < count; i++) {
            process_wait(processes[i]);
            values[repeat] += hammer->by[i].pairs_us;
        }
    }
    report(name, values, settings.repeats, "Mop/s", 1);
    (void)munmap(hammer, sizeof *hammer);
}

void run_two(const struct test *test)
{
    (void)test;
    if (!subject_is_shared()) {
        skip("processes-1", "it is for one process at a time");
        skip("processes-2", "it is for one process at a time");
        return;
    }
    subject_create(store_path(), FILE_BYTES);
    subject_close();
    run_hammers("processes-1", 1);
    if (settings.cpus_count > 1)
        run_hammers("processes-2", 2);
    else
        skip("processes-2", "there is one CPU");
    store_unlink();
}

/* ---- from one to another --------------------------------------------------------------------- */

struct pipeline {
    _Alignas(LINE_BYTES) _Atomic uint64_t head;
    _Alignas(LINE_BYTES) _Atomic uint64_t tail;
    _Alignas(LINE_BYTES) uint64_t batches;
    double total_ns, take_ns, free_ns;
    _Atomic unsigned ready;
    bool by_parcel; /* a slot carries a batch */
};

static uint64_t *slot_of(const struct pipeline *pipeline, uint64_t *ring, uint64_t batch)
{
    uint64_t slots = pipeline->by_parcel ? 1 : BATCH_COUNT;
    return ring + batch % RING_BATCHES * slots;
}

static void wait_for(_Atomic uint64_t *count, uint64_t value)
{
    unsigned spins = 0;
    while (atomic_load_explicit(count, memory_order_acquire) < value)
        wait_a_little(&spins);
}

static void meet(struct pipeline *pipeline)
{
    unsigned spins = 0;
    atomic_fetch_add(&pipeline->ready, 1);
    while (atomic_load(&pipeline->ready) % 2 != 0)
        wait_a_little(&spins);
}

static void receive(struct pipeline *pipeline, uint64_t *slot)
{
    void *blocks[BATCH_COUNT];
    if (pipeline->by_parcel) {
        subject_free_parcel(slot);
        return;
    }
    double start = now_ns();
    for (unsigned i = 0; i < BATCH_COUNT; i++)
        blocks[i] = subject_take(slot + i);
    double taken = now_ns();
    subject_free_batch(blocks);
    pipeline->take_ns += taken - start;
    pipeline->free_ns += now_ns() - taken;
}

static void consume(void *argument)
{
    struct pipeline *pipeline = argument;
    subject_open(store_path());
    uint64_t *ring = subject_ring_find();
    meet(pipeline);
    for (uint64_t batch = 0; batch < pipeline->batches; batch++) {
        wait_for(&pipeline->head, batch + 1);
        receive(pipeline, slot_of(pipeline, ring, batch));
        atomic_store_explicit(&pipeline->tail, batch + 1, memory_order_release);
    }
    meet(pipeline);
    subject_close();
}

static void produce(void *argument)
{
    struct pipeline *pipeline = argument;
    subject_open(store_path());
    uint64_t *ring = subject_ring_find();
    meet(pipeline);
    double start = now_ns();
    for (uint64_t batch = 0; batch < pipeline->batches; batch++) {
        if (batch >= RING_BATCHES)
            wait_for(&pipeline->tail, batch - RING_BATCHES + 1);
        uint64_t *slot = slot_of(pipeline, ring, batch);
        for (unsigned i = 0; !pipeline->by_parcel && i < BATCH_COUNT; i++)
            subject_send(slot + i);
        if (pipeline->by_parcel)
            subject_send_parcel(slot);
        atomic_store_explicit(&pipeline->head, batch + 1, memory_order_release);
    }
    wait_for(&pipeline->tail, pipeline->batches);
    pipeline->total_ns = now_ns() - start;
    meet(pipeline);
    subject_close();
}

/* One run of so many batches. */
static void run_pipeline(struct pipeline *pipeline, uint64_t batches)
{
    bool by_parcel = pipeline->by_parcel;
    *pipeline = (struct pipeline){.batches = batches, .by_parcel = by_parcel};
    int consumer = process_start(consume, pipeline, 1);
    int producer = process_start(produce, pipeline, 0);
    process_wait(producer);
    process_wait(consumer);
}

static void measure_pipeline(const struct test *test, bool by_parcel)
{
    struct pipeline *pipeline = map_shared(sizeof *pipeline);
    double totals[VALUES_MAX], takes[VALUES_MAX], frees[VALUES_MAX];
    uint64_t batches = RING_BATCHES;
    pipeline->by_parcel = by_parcel;
    subject_create(store_path(), FILE_BYTES);
    (void)subject_ring_make(by_parcel ? RING_BATCHES : RING_BATCHES * BATCH_COUNT);
    subject_close();
    for (run_pipeline(pipeline, batches); pipeline->total_ns < settings.repeat_ms * 1e6;
         run_pipeline(pipeline, batches))
        batches *= 2;
    for (unsigned i = 0; i < settings.repeats; i++) {
        run_pipeline(pipeline, batches);
        totals[i] = pipeline->total_ns / (double)(batches * BATCH_COUNT);
        takes[i] = pipeline->take_ns / (double)(batches * BATCH_COUNT);
        frees[i] = pipeline->free_ns / (double)(batches * BATCH_COUNT);
    }
    report(test->name, totals, settings.repeats, "ns", batches * BATCH_COUNT);
    if (!by_parcel) {
        report("remote-take", takes, settings.repeats, "ns", batches * BATCH_COUNT);
        report("remote-free", frees, settings.repeats, "ns", batches * BATCH_COUNT);
    }
    store_unlink();
    (void)munmap(pipeline, sizeof *pipeline);
}

void run_remote(const struct test *test)
{
    if (subject_is_shared())
        measure_pipeline(test, false);
    else
        skip(test->name, "it is for one process at a time");
}

void run_parcels(const struct test *test)
{
    if (subject_has_parcels())
        measure_pipeline(test, true);
    else
        skip(test->name, "it has no slot that carries several blocks");
}
