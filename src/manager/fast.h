/* fast.h - the fast way in and out: a block from the calling thread's cache, and back into it.
 *
 * Where nobody looks at the bytes of blocks, a cell is a block as it is, and to begin or end its
 * life takes what <roma/cache.h> does inline: no lock, no locked instruction, no shared counter.
 * Each function here says whether that was enough; when it was not, nothing has changed, and the
 * caller goes the slow way through life.c, which knows every case. So what belongs to the slow way
 * alone (call sites, labels, limits, misuse) costs nothing here:
 *
 *   begin   the manager's plain heap is known and a cell is in the thread's magazine
 *   end     counted: one reference, no flags, a slab of this thread, or of another, to which it is
 *           sent; without counts: any class
 *
 * Managers that look at bytes have exact heaps (options.c), which never end a life here, and their
 * caches are closed, so that none begins. */
#ifndef ROMA_MANAGER_FAST_H
#define ROMA_MANAGER_FAST_H

#include "manager/manager.h"

#include "base/bits.h"
#include "heap/pagemap.h"

/* A call less on paths of some twenty instructions. */
#define ROMA__HOT static inline __attribute__((always_inline))

/* A block, or NULL. */
ROMA__HOT void *roma__fast_begin(roma_manager *manager, size_t bytes)
{
    if (__builtin_expect(manager == NULL || bytes > ROMA__CLASS_MAX_BYTES, 0))
        return NULL;
    roma__heap *heap = atomic_load_explicit(&manager->plain_heap, memory_order_acquire);
    roma_cache *cache = heap == NULL ? NULL : roma__heap_cache(heap);
    return cache == NULL ? NULL : roma__cache_take(cache, bytes);
}

/* A block of an extent of its own, one that waits for whoever asks; NULL: take the slow way. Where
 * plain requests are local it is a stand-in's heap, which has none. */
static inline void *roma__fast_begin_parked(roma_manager *manager, size_t bytes, size_t align)
{
    if (manager == NULL || bytes <= ROMA__CLASS_MAX_BYTES)
        return NULL;
    roma__heap *heap = atomic_load_explicit(&manager->plain_heap, memory_order_acquire);
    if (heap == NULL)
        return NULL;
    void *block = roma__heap_take_parked(heap, bytes,
                                         roma__max(align, roma__natural_align(manager, bytes)));
    if (block != NULL && manager->background)
        roma__background_ensure();
    return block;
}

/* The heap that a block is of, with slab and index of its cell. NULL: no block starts there. */
ROMA__HOT roma__heap *roma__fast_slab(const void *block, struct roma__slab_head **slab,
                                      uint64_t *index)
{
    *slab = roma__slab_at(roma__map_public(), block);
    if (__builtin_expect(*slab == NULL, 0))
        return NULL;
    *index = roma__slab_index_at(*slab, block);
    if (!roma__slab_has_index(*slab, *index))
        return NULL;
    return __atomic_load_n(&(*slab)->heap, __ATOMIC_RELAXED);
}

/* The calling thread's cache of that heap; NULL, also where there is none. */
ROMA__HOT roma_cache *roma__fast_find(const void *block, struct roma__slab_head **slab,
                                      uint64_t *index)
{
    roma__heap *heap = roma__fast_slab(block, slab, index);
    return heap == NULL ? NULL : roma__heap_cache(heap);
}

/* What is known of a block without having been told. */
enum { ROMA__CLASS_ANY = ROMA__CLASS_COUNT };

/* End a block's life if its tail (counted) or its class (without counts) is the one given. Equal
 * keys: this cache may take the slab's cells in, so it is a class's slab and not exact. Others
 * take a call. */
ROMA__HOT bool roma__fast_end_known(void *block, uint32_t tail, unsigned class_index)
{
    struct roma__slab_head *slab;
    uint64_t index;
    roma_cache *cache = roma__fast_find(block, &slab, &index);
    if (__builtin_expect(cache == NULL, 0))
        return false;
    if (__atomic_load_n(&slab->key, __ATOMIC_RELAXED) != cache->key)
        return roma__cache_end(cache, slab, index, block, tail);
    unsigned standing = __atomic_load_n(&slab->class_index, __ATOMIC_RELAXED);
    if (__builtin_expect(standing >= ROMA__CLASS_COUNT, 0)) /* a slab that has just gone */
        return false;
    if (cache->words != ROMA__WORDS_NONE)
        return roma__cache_put_counted(cache, standing, slab, index, block, tail);
    return (class_index == ROMA__CLASS_ANY || class_index == standing) &&
           roma__cache_put_plain(cache, standing, block);
}

ROMA__HOT bool roma__fast_end(void *block)
{
    return roma__fast_end_known(block, ROMA__TAIL_ANY, ROMA__CLASS_ANY);
}

/* The same for a block of this length. */
ROMA__HOT bool roma__fast_end_sized(void *block, size_t bytes)
{
    return bytes <= ROMA__CLASS_MAX_BYTES &&
           roma__fast_end_known(block, (uint32_t)bytes << ROMA__FLAG_BITS, roma__class_of(bytes));
}

#endif
