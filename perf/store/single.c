/* single.c - one process, one thread: the pair, batches, and a random order of frees.
 *
 * The same loops as perf/bench has for heaps: blocks of 64 bytes that nobody writes to. */
#include "store.h"

#ifdef STORE_ROMA
#include <roma.h>
#endif

enum { ORDER_COUNT = 1000 };
#define FILE_BYTES (UINT64_C(1) << 28)

static void measure_in_store(const struct test *test, void (*work)(void *context, uint64_t rounds),
                             void *context, uint64_t round_ops)
{
    subject_create(store_path(), FILE_BYTES);
    measure(test->name, work, context, round_ops, 1);
    subject_close();
    store_unlink();
}

static void pair_work(void *context, uint64_t rounds)
{
    (void)context;
    for (uint64_t i = 0; i < rounds; i++)
        subject_free(keep(subject_alloc()));
}

void run_pair(const struct test *test)
{
    measure_in_store(test, pair_work, NULL, 1);
}

static void batch_work(void *context, uint64_t rounds)
{
    void *blocks[BATCH_COUNT];
    (void)context;
    for (uint64_t round = 0; round < rounds; round++) {
        subject_alloc_batch(blocks);
        (void)keep(blocks);
        subject_free_batch(blocks);
    }
}

void run_batch(const struct test *test)
{
    measure_in_store(test, batch_work, NULL, BATCH_COUNT);
}

/* ---- by the calls that every manager takes --------------------------------------------------- */

#ifdef STORE_ROMA

static void managed_pair_work(void *context, uint64_t rounds)
{
    (void)context;
    roma_manager *manager = roma_store_manager(subject_store);
    for (uint64_t i = 0; i < rounds; i++)
        roma_free(keep(roma_alloc(manager, BLOCK_BYTES)));
}

void run_managed_pair(const struct test *test)
{
    measure_in_store(test, managed_pair_work, NULL, 1);
}

static void managed_batch_work(void *context, uint64_t rounds)
{
    void *blocks[BATCH_COUNT];
    (void)context;
    roma_manager *manager = roma_store_manager(subject_store);
    for (uint64_t round = 0; round < rounds; round++) {
        (void)roma_alloc_batch(manager, BLOCK_BYTES, blocks, BATCH_COUNT);
        roma_free_batch(blocks, BATCH_COUNT);
    }
}

void run_managed_batch(const struct test *test)
{
    measure_in_store(test, managed_batch_work, NULL, BATCH_COUNT);
}

#endif

/* ---- 1000, then free them in one fixed random order ------------------------------------------ */

struct order {
    void *blocks[ORDER_COUNT];
    uint16_t next[ORDER_COUNT];
};

static void random_work(void *context, uint64_t rounds)
{
    struct order *order = context;
    for (uint64_t round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < ORDER_COUNT; i++)
            order->blocks[i] = subject_alloc();
        for (unsigned i = 0; i < ORDER_COUNT; i++)
            subject_free(order->blocks[order->next[i]]);
    }
}

void run_random(const struct test *test)
{
    struct order *order = bench_map(sizeof *order);
    uint64_t state = 1;
    for (unsigned i = 0; i < ORDER_COUNT; i++) {
        unsigned j = (unsigned)(random_next(&state) % (i + 1));
        order->next[i] = order->next[j];
        order->next[j] = (uint16_t)i;
    }
    measure_in_store(test, random_work, order, ORDER_COUNT);
    bench_unmap(order, sizeof *order);
}
