/* fast.h - the hot paths of all calls: a magazine of the thread's cache, in and out.
 *
 * Taking needs the size class, the thread's cache and its magazine. Giving finds the slab by the
 * page map, proves that the address is where a cell starts (a multiplication), and puts it into the
 * magazine of the slab's class, whoever's slab it is. So a pointer that no block starts at is
 * caught at its free and never enters a magazine; and it needs no test for NULL, which is no
 * slab's.
 *
 * Neither has a locked instruction. What does not fit (no cache yet, magazine empty or full, large,
 * not ours) is for slow.c, which is jumped to: a hot path has no stack frame. */
#ifndef ROMA_MALLOC_FAST_H
#define ROMA_MALLOC_FAST_H

#include "heap/pagemap.h"
#include "malloc/shim.h"

/* What every block is aligned to: the C library's max_align_t, and the least cell; and the most
 * that one can be. */
enum { ROMA__ALIGN_MIN = 16, ROMA__ALIGN_MAX = 1 << 30 };

/* A block, or NULL: take the slow way. What roma__cache_take() does in a cache without words. */
static inline void *roma__take_fast(size_t bytes)
{
    if (__builtin_expect(bytes > ROMA__CLASS_MAX_BYTES, 0))
        return NULL;
    roma_cache *cache = roma__mine.fast;
    unsigned class_index = roma__class_of(bytes);
    void **top = cache->magazines[class_index].top - 1;
    void *block = *top;
    if (__builtin_expect(block == NULL, 0) || roma__cache_commit(cache, class_index, top))
        return block;
    return roma__cache_take_settled(cache, class_index, top, bytes);
}

/* Cells of a class start at multiples of every power of two, up to a granule, that divides a length
 * of the class (heap/classes.h). So an aligned block is one of a length rounded up to the
 * alignment. Returns 0 where it cannot be done so. */
static inline size_t roma__aligned_length(size_t bytes, size_t align)
{
    size_t rounded;
    if (align > ROMA__GRANULE_BYTES || __builtin_add_overflow(bytes, align - 1, &rounded))
        return 0;
    rounded &= ~(align - 1);
    return rounded == 0 ? align : rounded;
}

/* The slab whose cell starts at an address, or NULL. */
static inline struct roma__slab_head *roma__slab_of(const void *block)
{
    struct roma__slab_head *slab = roma__slab_at(roma__map_public(), block);
    if (__builtin_expect(slab == NULL, 0) ||
        !roma__slab_has_index(slab, roma__slab_index_at(slab, block)))
        return NULL;
    return slab;
}

/* Returns whether the block is given back; else take the slow way. */
static inline bool roma__free_fast(void *block)
{
    struct roma__slab_head *slab = roma__slab_of(block);
    if (__builtin_expect(slab == NULL, 0))
        return false;
    uint32_t class_index = __atomic_load_n(&slab->class_index, __ATOMIC_RELAXED);
    if (__builtin_expect(class_index >= ROMA__CLASS_COUNT, 0))
        return false;
    return roma__cache_put_plain(roma__mine.fast, class_index, block);
}

/* malloc and free under names that no program can take over. The first is roma__take_fast() with
 * jumps instead of calls. */
static inline void *roma__malloc(size_t bytes)
{
    if (__builtin_expect(bytes > ROMA__CLASS_MAX_BYTES, 0))
        return roma__take_slow(bytes, ROMA__ALIGN_MIN, false);
    roma_cache *cache = roma__mine.fast;
    unsigned class_index = roma__class_of(bytes);
    void **top = cache->magazines[class_index].top - 1;
    void *block = *top;
    if (__builtin_expect(block == NULL, 0))
        return roma__take_slow(bytes, ROMA__ALIGN_MIN, false);
    if (!roma__cache_commit(cache, class_index, top))
        return roma__take_claimed(bytes, class_index, top);
    return block;
}

static inline void roma__free(void *block)
{
    if (__builtin_expect(!roma__free_fast(block), 0))
        roma__free_slow(block);
}

#endif
