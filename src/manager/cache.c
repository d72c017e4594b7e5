/* cache.c - blocks by a thread's cache: the slow half of <roma/cache.h>.
 *
 * A cache is the heap's. What it lacks and what it may not do alone comes here, and takes the same
 * way as the plain calls. The caches of a manager that looks at the bytes of blocks, or has them
 * populated, are closed: empty and full at once, so that every call comes here. */
#include "manager/fast.h"

#include <errno.h>

roma_cache *roma_cache_of(roma_manager *manager)
{
    roma__heap *heap = NULL;
    roma_error error;
    int code = -EINVAL;
    if (manager != NULL)
        code = manager->store != NULL ? -EOPNOTSUPP : roma__heap_of_caches(manager, &heap, &error);
    roma_cache *cache = code == 0 ? roma__heap_cache(heap) : NULL;
    if (cache == NULL)
        errno = code < 0 ? -code : ENOMEM;
    return cache;
}

void *roma__cache_alloc_slow(roma_cache *cache, size_t bytes)
{
    void *block = roma__heap_take_parked(cache->heap, bytes, 1);
    if (block != NULL)
        return block;
    const roma__site site = ROMA__SITE_HERE();
    roma_manager *manager = roma__heap_owner(cache->heap);
    return roma__block_begin_in(manager, cache->heap, bytes, &site);
}

/* Not the fast way's, which so needs no stack. */
static __attribute__((noinline)) void free_rest(void *block, size_t bytes, const void *caller)
{
    if (bytes < SIZE_MAX && roma__heap_end_parked(block, bytes))
        return;
    const roma__site site = roma__site_take(caller);
    roma__block_end_sized(block, bytes, &site);
}

void roma__cache_free_slow(roma_cache *cache, void *block, size_t bytes)
{
    struct roma__slab_head *slab;
    uint64_t index = 0;
    /* Another thread's, as a rule; whatever it is, the block says where it belongs. */
    if (bytes > ROMA__CLASS_MAX_BYTES || roma__fast_slab(block, &slab, &index) != cache->heap ||
        !roma__cache_end(cache, slab, index, block, (uint32_t)bytes << ROMA__FLAG_BITS))
        free_rest(block, bytes, __builtin_return_address(0));
}
