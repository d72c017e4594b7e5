/* batch.c - many cells at once, by the fast way: see roma__cache_take() and its kin for one. */
#include "heap/internal.h"

#include "base/bits.h"

#include <string.h>

/* As many as the magazine has. */
static size_t take_some(roma_cache *cache, unsigned class_index, size_t bytes, void **cells,
                        size_t count)
{
    void **top = cache->magazines[class_index].top;
    size_t held = (size_t)(top - ((struct roma__cache *)cache)->bottoms[class_index]);
    size_t taken = roma__min(count, held);
    top -= taken;
    memcpy(cells, top, taken * sizeof *cells);
    if (taken == 0 || !roma__cache_commit(cache, class_index, top))
        return 0;
    if (cache->words != ROMA__WORDS_NONE)
        for (size_t i = 0; i < taken; i++)
            roma__state_begin(top[i + ROMA__MAGAZINE_STRIDE], bytes);
    return taken;
}

size_t roma__cache_take_many(roma_cache *cache, size_t bytes, void **cells, size_t count)
{
    unsigned class_index = roma__class_of(bytes);
    roma__take one = {.bytes = bytes, .align = 16};
    size_t taken = 0;
    while (taken < count) {
        taken += take_some(cache, class_index, bytes, cells + taken, count - taken);
        if (taken == count)
            break;
        /* One the slow way, which fills the magazine. */
        roma__cell cell;
        roma_error error;
        if (roma__heap_take(cache->heap, &one, &cell, NULL, &error) < 0)
            break;
        cells[taken++] = cell.address;
    }
    return taken;
}

static size_t before_null(void *const *cells, size_t count)
{
    size_t i = 0;
    while (i < count && cells[i] != NULL)
        i++;
    return i;
}

/* What all of a batch's releases have in common. */
static void count_put(roma_cache *cache, unsigned class_index, void **top, size_t put)
{
    if (put == 0)
        return;
    roma__figure_add(&cache->magazines[class_index].given, put);
    (void)roma__cache_commit(cache, class_index, top + put);
}

/* Addresses alone: what they are is looked at when they go home. */
static size_t put_some_plain(roma_cache *cache, unsigned class_index, void *const *cells,
                             size_t count)
{
    struct roma__magazine *magazine = &cache->magazines[class_index];
    void **top = magazine->top;
    size_t put = before_null(cells, roma__min(count, (size_t)(magazine->limit - top)));
    memcpy(top, cells, put * sizeof *cells);
    count_put(cache, class_index, top, put);
    return put;
}

/* roma__cache_put_counted() with one look at the magazine, and one at the slab for neighbours. */
static size_t put_some_counted(roma_cache *cache, unsigned class_index, uint32_t tail,
                               void *const *cells, size_t count)
{
    struct roma__magazine *magazine = &cache->magazines[class_index];
    void **top = magazine->top;
    size_t room = roma__min(count, (size_t)(magazine->limit - top)), put = 0;
    const uint64_t whole = (uint64_t)UINT32_MAX << 32 | ROMA__WORD_COUNT_MASK;
    const uint64_t sole = (uint64_t)tail << 32 | 1;
    const struct roma__slab_head *slab = NULL;
    uintptr_t granule = 0; /* of that slab; no block is in the first */
    for (; put < room; put++) {
        uintptr_t here = (uintptr_t)cells[put] >> ROMA__GRANULE_SHIFT;
        if (here != granule) {
            slab = roma__slab_at(cache->map, cells[put]);
            granule = here;
            if (slab == NULL || roma__load(&slab->key) != cache->key ||
                roma__load(&slab->class_index) != class_index)
                break;
        }
        uint64_t index = slab == NULL ? UINT64_MAX : roma__slab_index_at(slab, cells[put]);
        if (slab == NULL || !roma__slab_has_index(slab, index))
            break;
        struct roma__state *state = &roma__load(&slab->states)[index];
        uint64_t bits = roma__load_acquire((roma__state_bits *)state);
        uint32_t next;
        if ((bits & whole) != sole ||
            __builtin_add_overflow((uint32_t)bits, (uint32_t)ROMA__WORD_COUNT_MASK, &next))
            break;
        roma__store_release(&state->word, next);
        top[put] = cells[put];
        top[put + ROMA__MAGAZINE_STRIDE] = state;
    }
    count_put(cache, class_index, top, put);
    return put;
}

static bool put_one(roma_cache *cache, size_t bytes, void *cell)
{
    struct roma__slab_head *slab = roma__slab_at(cache->map, cell);
    if (slab == NULL || roma__load(&slab->key) != cache->key)
        return false;
    uint64_t index = roma__slab_index_at(slab, cell);
    if (!roma__slab_has_index(slab, index))
        return false;
    unsigned class_index = roma__load(&slab->class_index);
    if (cache->words == ROMA__WORDS_NONE)
        return roma__cache_put_plain(cache, class_index, cell);
    return roma__cache_put_counted(cache, class_index, slab, index, cell,
                                   bytes == SIZE_MAX ? ROMA__TAIL_ANY
                                                     : (uint32_t)bytes << ROMA__FLAG_BITS);
}

size_t roma__cache_put_many(roma_cache *cache, size_t bytes, void *const *cells, size_t count)
{
    if (cache->words == ROMA__WORDS_NONE && bytes <= ROMA__CLASS_MAX_BYTES)
        return put_some_plain(cache, roma__class_of(bytes), cells, count);
    if (cache->words == ROMA__WORDS_OWNED && bytes <= ROMA__CLASS_MAX_BYTES)
        return put_some_counted(cache, roma__class_of(bytes), (uint32_t)bytes << ROMA__FLAG_BITS,
                                cells, count);
    size_t put = 0;
    while (put < count && cells[put] != NULL && put_one(cache, bytes, cells[put]))
        put++;
    return put;
}
