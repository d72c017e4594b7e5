/* leaves.c - a program that returns from main while its threads allocate and free: the end of the
 * process, and what is said there, comes in between any two of their steps. */
#include "expect.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

enum { THREADS = 4, BLOCKS = 4096, ROUNDS = 20000 };

static atomic_uint busy;

static void *churn(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    void **blocks = calloc(BLOCKS, sizeof *blocks);
    for (unsigned round = 0; blocks != NULL; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned i = (unsigned)(seed >> 52);
        free(blocks[i]);
        blocks[i] = malloc((size_t)(seed >> 20) % 300);
        if (round == ROUNDS)
            atomic_fetch_add(&busy, 1);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    expect_ours("malloc");
    for (uintptr_t i = 1; i <= THREADS; i++)
        EXPECT(pthread_create(&thread, NULL, churn, (void *)i) == 0);
    while (atomic_load(&busy) < THREADS)
        sched_yield();
    return finish("leaves");
}
