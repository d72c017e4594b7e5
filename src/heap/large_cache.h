/* large_cache.h - own extents whose cells have gone, kept for the next who asks.
 *
 * An allocation of 64 MiB costs the kernel tens of milliseconds to fill and to unmap; the next one
 * of about that length gets the same pages. What fits is an extent that wastes at most an eighth of
 * what is asked, where what the extent's page size rounds up is no waste. Of those the one of the
 * earliest step of the ladder is taken, then the closest, then the newest.
 *
 * A short array in the order of time: the lengths stand together, so that a search reads them and
 * few records. The oldest leaves when it is full, or by its delay (giveback.c). The extents stay in
 * the heap's list of own ones, and charged.
 *
 * Threads: all calls under the lock of the extents; held_bytes may be read without. */
#ifndef ROMA_HEAP_LARGE_CACHE_H
#define ROMA_HEAP_LARGE_CACHE_H

#include "heap/records.h"

#include <stdatomic.h>

enum { ROMA__LARGE_CACHE_ENTRIES = 32 };

/* All zero: empty. */
struct roma__large_cache {
    uint32_t count;
    size_t bytes[ROMA__LARGE_CACHE_ENTRIES]; /* of the extents; the oldest first */
    struct roma__extent_record *records[ROMA__LARGE_CACHE_ENTRIES];
    _Atomic(uint64_t) held_bytes;
};

static inline bool roma__large_cache_is_full(const struct roma__large_cache *cache)
{
    return cache->count == ROMA__LARGE_CACHE_ENTRIES;
}

/* The one that has been there longest; NULL: the cache is empty. */
static inline struct roma__extent_record *roma__large_cache_oldest(
    const struct roma__large_cache *cache)
{
    return cache->count == 0 ? NULL : cache->records[0];
}

enum { ROMA__LARGE_CACHE_WASTE_SHARE = 8 };

/* Is an extent not too long for so many bytes, whole pages of its own? */
static inline bool roma__large_cache_fits(size_t extent_bytes, size_t asked)
{
    return extent_bytes - asked <= asked / ROMA__LARGE_CACHE_WASTE_SHARE;
}

/* Put one in; the cache must not be full. */
void roma__large_cache_put(struct roma__large_cache *cache, struct roma__extent_record *record);

/* Take the best that fits out; NULL: none does. */
struct roma__extent_record *roma__large_cache_take(struct roma__large_cache *cache, size_t bytes,
                                                   size_t align);

/* Take one out that is in. */
void roma__large_cache_remove(struct roma__large_cache *cache, struct roma__extent_record *record);

/* NULL, or a sentence that says what is wrong. */
const char *roma__large_cache_fault(const struct roma__large_cache *cache);

#endif
