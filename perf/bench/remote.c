/* remote.c - blocks that one thread allocates and another frees.
 *
 * A producer allocates batches of 64 blocks and puts each batch into a ring of 16; a consumer takes
 * batches out and frees the blocks. Both run at once, each on its own CPU where there are two, and
 * the ring bounds how far the producer runs ahead (1024 blocks). The time of one object is that of
 * the whole pipeline, from the first allocation until the last block is freed, divided by the
 * objects: what the slower side costs. Neither side touches the blocks, so no cache line travels
 * but those of the ring (8 bytes an object) and those that the allocator itself moves: writing a
 * link into a freed block costs the allocator a miss, as it should.
 *
 * The ring: one producer writes `head`, one consumer writes `tail`, each with a release store after
 * the slots that it covers and read with acquire by the other side. */
#include "subject.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum { BATCH_COUNT = 64, RING_BATCHES = 16, SPINS_MAX = 2000 };

struct ring {
    _Alignas(LINE_BYTES) atomic_bool is_closed;
    size_t bytes; /* of each block */
    _Alignas(LINE_BYTES) _Atomic uint64_t head;
    _Alignas(LINE_BYTES) _Atomic uint64_t tail;
    _Alignas(LINE_BYTES) void *batches[RING_BATCHES][BATCH_COUNT];
};

static void spin_once(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#else
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Waits for a turn of the other side: at first without giving up the CPU, since it is about to
 * come, then letting others run, since there may be no second CPU. */
static void wait_a_little(unsigned *spins)
{
    if (++*spins < SPINS_MAX)
        spin_once();
    else
        (void)sched_yield();
}

static void *consume(void *argument)
{
    struct ring *ring = argument;
    pin(1);
    subject here = subject_here();
    uint64_t tail = 0;
    unsigned spins = 0;
    for (;;) {
        if (atomic_load_explicit(&ring->head, memory_order_acquire) == tail) {
            if (atomic_load_explicit(&ring->is_closed, memory_order_relaxed))
                return NULL;
            wait_a_little(&spins);
            continue;
        }
        spins = 0;
        void **batch = ring->batches[tail % RING_BATCHES];
        for (unsigned i = 0; i < BATCH_COUNT; i++)
            subject_free(here, batch[i], ring->bytes);
        atomic_store_explicit(&ring->tail, ++tail, memory_order_release);
    }
}

static void wait_for_tail(struct ring *ring, uint64_t tail)
{
    unsigned spins = 0;
    while (atomic_load_explicit(&ring->tail, memory_order_acquire) < tail)
        wait_a_little(&spins);
}

static void produce_work(void *context, uint64_t rounds)
{
    struct ring *ring = context;
    subject here = subject_here();
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    for (uint64_t round = 0; round < rounds; round++) {
        if (head >= RING_BATCHES)
            wait_for_tail(ring, head - RING_BATCHES + 1);
        void **batch = ring->batches[head % RING_BATCHES];
        for (unsigned i = 0; i < BATCH_COUNT; i++)
            batch[i] = subject_alloc(here, ring->bytes);
        atomic_store_explicit(&ring->head, ++head, memory_order_release);
    }
    wait_for_tail(ring, head);
}

void run_remote(const struct test *test)
{
    struct ring *ring = bench_map(sizeof *ring);
    pthread_t consumer;
    ring->bytes = strcmp(test->name, "remote-64") == 0 ? 64 : 512;
    int code = pthread_create(&consumer, NULL, consume, ring);
    if (code != 0)
        die("a thread", code);
    measure(test->name, produce_work, ring, BATCH_COUNT, RING_BATCHES);
    atomic_store_explicit(&ring->is_closed, true, memory_order_relaxed);
    (void)pthread_join(consumer, NULL);
    bench_unmap(ring, sizeof *ring);
}
