/* large_cache.c - see large_cache.h. */
#include "heap/large_cache.h"

#include "base/bits.h"
#include "base/check.h"

#include <string.h>

static void count_held(struct roma__large_cache *cache, uint64_t more)
{
    uint64_t held = atomic_load_explicit(&cache->held_bytes, memory_order_relaxed);
    atomic_store_explicit(&cache->held_bytes, held + more, memory_order_relaxed);
}

void roma__large_cache_put(struct roma__large_cache *cache, struct roma__extent_record *record)
{
    roma_check(!roma__large_cache_is_full(cache) && !record->is_cached);
    cache->bytes[cache->count] = record->extent.bytes;
    cache->records[cache->count++] = record;
    record->is_cached = true;
    count_held(cache, record->extent.bytes);
}

static void remove_at(struct roma__large_cache *cache, uint32_t index)
{
    count_held(cache, (uint64_t)0 - cache->bytes[index]);
    cache->records[index]->is_cached = false;
    cache->count--;
    uint32_t behind = cache->count - index;
    memmove(&cache->bytes[index], &cache->bytes[index + 1], behind * sizeof cache->bytes[0]);
    memmove(&cache->records[index], &cache->records[index + 1], behind * sizeof cache->records[0]);
}

void roma__large_cache_remove(struct roma__large_cache *cache, struct roma__extent_record *record)
{
    uint32_t index = 0;
    while (index < cache->count && cache->records[index] != record)
        index++;
    roma_check(index < cache->count);
    remove_at(cache, index);
}

/* How far an extent is from what is asked, in whole pages of its own; SIZE_MAX: it does not fit. */
static size_t waste_of(const struct roma__extent_record *record, size_t bytes, size_t align)
{
    size_t asked;
    if (roma__align_up_overflows(bytes, record->extent.page_bytes, &asked) ||
        record->extent.bytes < asked ||
        !roma__is_aligned((size_t)(uintptr_t)record->extent.address, align))
        return SIZE_MAX;
    return roma__large_cache_fits(record->extent.bytes, asked) ? record->extent.bytes - asked
                                                               : SIZE_MAX;
}

struct roma__extent_record *roma__large_cache_take(struct roma__large_cache *cache, size_t bytes,
                                                   size_t align)
{
    uint32_t best = UINT32_MAX;
    size_t best_waste = SIZE_MAX;
    for (uint32_t i = cache->count; i-- > 0;) {
        if (cache->bytes[i] < bytes)
            continue;
        const struct roma__extent_record *record = cache->records[i];
        size_t waste = waste_of(record, bytes, align);
        if (waste == SIZE_MAX)
            continue;
        if (best == UINT32_MAX || record->step < cache->records[best]->step ||
            (record->step == cache->records[best]->step && waste < best_waste)) {
            best = i;
            best_waste = waste;
        }
        if (waste == 0 && record->step == 0)
            break;
    }
    if (best == UINT32_MAX)
        return NULL;
    struct roma__extent_record *record = cache->records[best];
    remove_at(cache, best);
    return record;
}

const char *roma__large_cache_fault(const struct roma__large_cache *cache)
{
    uint64_t held = 0;
    for (uint32_t i = 0; i < cache->count; i++) {
        const struct roma__extent_record *record = cache->records[i];
        if (!record->own || !record->is_cached)
            return "an extent that is not free is in the cache of large ones";
        if (record->extent.bytes != cache->bytes[i])
            return "a cached extent is not as long as it was";
        if (i > 0 && cache->records[i - 1]->freed_ns > record->freed_ns)
            return "the cached extents are not in the order of time";
        held += cache->bytes[i];
    }
    return held == atomic_load_explicit(&cache->held_bytes, memory_order_relaxed)
               ? NULL
               : "the cached extents are not the bytes that are counted";
}
