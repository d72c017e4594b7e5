/* stripe.c - the locks of the file: a word that holds the tag of a lane.
 *
 * Taking is a compare-and-swap (acquire), letting go a store (release): what a holder wrote under a
 * stripe is seen by the next one, also when that is another process. No process ever waits for a
 * dead one: who waits for long looks whether the holder's session lives, and finishes the holder's
 * operation if it does not (recover.c). A holder that is stopped is waited for.
 *
 * Stripes are spread over blocks by their slab, not one by one: so many blocks of one slab are
 * released by one record under one stripe. */
#include "store/worker.h"

#include <sched.h>
#include <time.h>

enum { SPINS = 100, YIELDS = 20 };

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The `round`-th look found somebody there. */
static void wait_for(roma_store *store, uint32_t *holder, uint32_t seen, unsigned round)
{
    if (round < SPINS) {
        pause_cpu();
        return;
    }
    roma__holder_look(store, holder, seen);
    if (round < SPINS + YIELDS) {
        (void)sched_yield();
        return;
    }
    unsigned more = round - SPINS - YIELDS;
    struct timespec nap = {0, more < 20 ? 50 * 1000L : 1000 * 1000L};
    (void)nanosleep(&nap, NULL);
}

void roma__stripe_lock(roma__worker *worker, unsigned stripe)
{
    uint32_t *holder = &worker->store->view.stripes[stripe].holder;
    for (unsigned round = 0;; round++) {
        uint32_t seen = 0;
        if (roma__compare_exchange(holder, &seen, worker->tag))
            break;
        if (seen == worker->tag)
            break; /* damage: nobody else can have it */
        wait_for(worker->store, holder, seen, round);
    }
    roma__step("stripe.locked");
}

void roma__stripe_unlock(roma__worker *worker, unsigned stripe)
{
    roma__step("stripe.unlock");
    roma__store_release(&worker->store->view.stripes[stripe].holder, 0);
}

/* Fibonacci hashing: the high bits of the product. */
static unsigned spread(uint64_t key, unsigned count_log2)
{
    return (unsigned)(key * UINT64_C(0x9e3779b97f4a7c15) >> (64 - count_log2));
}

_Static_assert(ROMA__STRIPE_SLOTS_COUNT == 512 && ROMA__STRIPE_BLOCKS_COUNT == 512, "2^9");

unsigned roma__stripe_of_slot(roma_ref slot)
{
    return ROMA__STRIPE_SLOTS + spread(slot / 8, 9);
}

unsigned roma__stripe_of_unit(uint64_t unit)
{
    return ROMA__STRIPE_BLOCKS + spread(unit, 9);
}
