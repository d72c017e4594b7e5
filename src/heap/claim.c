/* claim.c - see claim.h. */
#include "heap/claim.h"

#include "heap/atomics.h"
#include "heap/cache.h"
#include "heap/internal.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

/* Every running thread of the process passes a full barrier before this returns true. */
static bool barrier_everywhere(void)
{
    /* A process registers once; one that has not is told so by EPERM. */
    if (roma__sys->membarrier(ROMA__MEMBARRIER_PRIVATE_EXPEDITED, 0) == 0)
        return true;
    return errno == EPERM &&
           roma__sys->membarrier(ROMA__MEMBARRIER_REGISTER_PRIVATE_EXPEDITED, 0) == 0 &&
           roma__sys->membarrier(ROMA__MEMBARRIER_PRIVATE_EXPEDITED, 0) == 0;
}

static void set_closed(struct roma__cache *cache, uint32_t closed)
{
    __atomic_store_n(&cache->handle.closed, closed, __ATOMIC_SEQ_CST);
}

/* Step c, for magazines and open batches. */
static void see(struct roma__cache *cache)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        roma__store(&cache->seen[i],
                    __atomic_load_n(&cache->handle.magazines[i].top, __ATOMIC_SEQ_CST));
}

bool roma__claim(struct roma__cache *cache)
{
    if (cache->state != ROMA__CACHE_ATTACHED || cache->storage == NULL)
        return true;
    if (roma__load(&cache->handle.closed) != 0) {
        roma__remote_copy_open(cache); /* its thread may have gone on sending */
        return true;
    }
    set_closed(cache, 1);
    if (!barrier_everywhere()) {
        set_closed(cache, 0);
        return false;
    }
    see(cache);
    roma__cache_take_away(cache);
    roma__remote_copy_open(cache);
    return true;
}

/* What the owner has above what was seen moves down. */
static void settle_magazine(struct roma__cache *cache, unsigned class_index)
{
    struct roma__magazine *magazine = &cache->handle.magazines[class_index];
    void **bottom = cache->bottoms[class_index], **seen = cache->seen[class_index];
    size_t left = magazine->top > seen ? (size_t)(magazine->top - seen) : 0;
    memmove(bottom, seen, left * sizeof *bottom);
    if (cache->heap->words != ROMA__WORDS_NONE)
        memmove(bottom + ROMA__MAGAZINE_STRIDE, seen + ROMA__MAGAZINE_STRIDE,
                left * sizeof *bottom);
    roma__store(&magazine->top, bottom + left);
}

void roma__claim_settle(struct roma__cache *cache)
{
    if (roma__load(&cache->handle.closed) == 0)
        return;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        settle_magazine(cache, i);
    roma__remote_settle_open(cache);
    set_closed(cache, 0);
}

void roma__cache_lock_own(struct roma__cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    if (cache->state == ROMA__CACHE_ATTACHED)
        roma__claim_settle(cache);
}

bool roma__cache_settle(roma_cache *handle, unsigned class_index, void **top)
{
    struct roma__cache *cache = (struct roma__cache *)handle;
    pthread_mutex_lock(&cache->lock);
    /* Where no barrier was to be had, the claimer has opened the cache again: nobody took. */
    bool is_in_time = roma__load(&handle->closed) == 0 || top >= cache->seen[class_index];
    roma__claim_settle(cache);
    pthread_mutex_unlock(&cache->lock);
    return is_in_time;
}

void *roma__cache_take_settled(roma_cache *cache, unsigned class_index, void **top, size_t bytes)
{
    void *block = *top; /* settling moves what is above, if anything: not this */
    struct roma__state *state = cache->words == ROMA__WORDS_NONE ? NULL
                                                                 : top[ROMA__MAGAZINE_STRIDE];
    if (!roma__cache_settle(cache, class_index, top))
        return NULL;
    if (state != NULL)
        roma__state_begin(state, bytes);
    return block;
}
