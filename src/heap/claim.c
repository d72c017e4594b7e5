/* claim.c - see claim.h. */
#include "heap/claim.h"

#include "heap/atomics.h"
#include "heap/cache.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>

/* Every running thread of the process passes a full barrier before this returns true. */
static bool barrier_everywhere(void)
{
#ifdef ROMA__UNDER_TSAN
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return true;
#else
    /* A process registers once; one that has not is told so by EPERM. */
    if (roma__sys->membarrier(ROMA__MEMBARRIER_PRIVATE_EXPEDITED, 0) == 0)
        return true;
    return errno == EPERM &&
           roma__sys->membarrier(ROMA__MEMBARRIER_REGISTER_PRIVATE_EXPEDITED, 0) == 0 &&
           roma__sys->membarrier(ROMA__MEMBARRIER_PRIVATE_EXPEDITED, 0) == 0;
#endif
}

/* A fast path takes some ns, unless its thread was taken off the processor in the middle of it. */
static bool is_left_soon(const struct roma__cache *cache)
{
    for (int i = 0; i < 1000; i++) {
        if (roma__load_acquire(&cache->handle.busy) == 0)
            return true;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    return false;
}

bool roma__claim(struct roma__cache *cache)
{
    if (cache->state != ROMA__CACHE_ATTACHED)
        return true;
    __atomic_store_n(&cache->handle.magazines, roma__magazines_closed, __ATOMIC_SEQ_CST);
    if (barrier_everywhere() && is_left_soon(cache))
        return true;
    roma__claim_end(cache);
    return false;
}

void roma__claim_end(struct roma__cache *cache)
{
    if (cache->state == ROMA__CACHE_ATTACHED && !cache->is_closed)
        roma__store_release(&cache->handle.magazines, cache->magazines);
}
