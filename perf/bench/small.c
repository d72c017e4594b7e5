/* small.c - small blocks on one thread: the pair, three orders of freeing, mixed sizes, batches.
 *
 * All of it is about the allocator's own instructions and cache misses. Blocks are not written to,
 * but in the tests named so: what a program does with a block would be most of what is seen. */
#include "mixed.h"

#include <string.h>

enum { PAIR_BYTES = 64, ORDER_COUNT = 1000, BATCH_COUNT = 64 };

/* ---- pair ----------------------------------------------------------------------------------- */

static void pair_work(void *context, uint64_t rounds)
{
    subject here = subject_here();
    (void)context;
    for (uint64_t i = 0; i < rounds; i++)
        subject_free(here, subject_alloc(here, PAIR_BYTES), PAIR_BYTES);
}

void run_pair(const struct test *test)
{
    measure(test->name, pair_work, NULL, 1, 1);
}

/* ---- 1000, then free them ------------------------------------------------------------------- */

struct order {
    void *blocks[ORDER_COUNT];
    uint16_t next[ORDER_COUNT]; /* which to free first, second, ... */
};

static void order_work(void *context, uint64_t rounds)
{
    struct order *order = context;
    subject here = subject_here();
    for (uint64_t round = 0; round < rounds; round++) {
        for (unsigned i = 0; i < ORDER_COUNT; i++)
            order->blocks[i] = subject_alloc(here, PAIR_BYTES);
        for (unsigned i = 0; i < ORDER_COUNT; i++)
            subject_free(here, order->blocks[order->next[i]], PAIR_BYTES);
    }
}

/* Every order reads its table, so that they differ in the order alone. */
static void run_order(const struct test *test, const struct order *order)
{
    struct order *mapped = bench_map(sizeof *mapped);
    *mapped = *order;
    measure(test->name, order_work, mapped, ORDER_COUNT, 1);
    bench_unmap(mapped, sizeof *mapped);
}

void run_lifo(const struct test *test)
{
    struct order order = {0};
    for (unsigned i = 0; i < ORDER_COUNT; i++)
        order.next[i] = (uint16_t)(ORDER_COUNT - 1 - i);
    run_order(test, &order);
}

void run_fifo(const struct test *test)
{
    struct order order = {0};
    for (unsigned i = 0; i < ORDER_COUNT; i++)
        order.next[i] = (uint16_t)i;
    run_order(test, &order);
}

void run_random(const struct test *test)
{
    struct order order = {0};
    uint64_t random = 1;
    for (unsigned i = 0; i < ORDER_COUNT; i++) {
        unsigned other = (unsigned)(random_next(&random) % (i + 1));
        order.next[i] = order.next[other];
        order.next[other] = (uint16_t)i;
    }
    run_order(test, &order);
}

/* ---- mixed sizes ---------------------------------------------------------------------------- */

static void mixed_work(void *context, uint64_t rounds)
{
    struct mixed *mixed = context;
    subject here = subject_here();
    for (uint64_t i = 0; i < rounds; i++)
        (void)mixed_step(mixed, here);
}

static void mixed_touched_work(void *context, uint64_t rounds)
{
    struct mixed *mixed = context;
    subject here = subject_here();
    for (uint64_t i = 0; i < rounds; i++)
        touch_start(mixed_step(mixed, here)->block);
}

/* "mixed-1k", "mixed-32k", and the same with "-touched" behind. */
void run_mixed(const struct test *test)
{
    uint32_t live = strncmp(test->name, "mixed-1k", 8) == 0 ? 1u << 10 : 1u << 15;
    bool touches = strstr(test->name, "-touched") != NULL;
    struct mixed *mixed = mixed_new(live, 1);
    subject here = subject_here();
    mixed_fill(mixed, here);
    measure(test->name, touches ? mixed_touched_work : mixed_work, mixed, 1, 1);
    mixed_empty(mixed, here);
    mixed_delete(mixed);
}

/* ---- batches -------------------------------------------------------------------------------- */

static void batch_work(void *context, uint64_t rounds)
{
    void *blocks[BATCH_COUNT];
    subject here = subject_here();
    (void)context;
    for (uint64_t round = 0; round < rounds; round++) {
        subject_alloc_batch(here, PAIR_BYTES, blocks, BATCH_COUNT);
        subject_free_batch(here, PAIR_BYTES, blocks, BATCH_COUNT);
    }
}

void run_batch(const struct test *test)
{
    measure(test->name, batch_work, NULL, BATCH_COUNT, 1);
}
