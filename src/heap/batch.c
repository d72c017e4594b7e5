/* batch.c - many cells at once, by the fast way: see roma__cache_take() and its kin for one. */
#include "heap/internal.h"

/* As many as the magazine has. */
static size_t take_some(roma_cache *cache, unsigned class_index, size_t bytes, void **cells,
                        size_t count)
{
    struct roma__magazine *magazine = &roma__cache_enter(cache)[class_index];
    void **top = magazine->top;
    size_t taken = 0;
    bool has_words = cache->words != ROMA__WORDS_NONE;
    uint32_t tail = (uint32_t)bytes << ROMA__FLAG_BITS;
    while (taken < count && top[-1] != NULL) {
        cells[taken++] = *--top;
        if (has_words) {
            struct roma__state *state = top[ROMA__MAGAZINE_STRIDE];
            uint32_t word = roma__load(&state->word);
            roma__store(&state->tail, tail);
            roma__store_release(&state->word, word + 1);
        }
    }
    if (taken > 0) {
        roma__store(&magazine->top, top);
        roma__figure_add(&cache->bytes_taken, has_words ? taken * bytes : 0);
    }
    roma__cache_leave(cache);
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

/* Addresses alone: what they are is looked at when they go home. */
static size_t put_some_plain(roma_cache *cache, unsigned class_index, void *const *cells,
                             size_t count)
{
    struct roma__magazine *magazine = &roma__cache_enter(cache)[class_index];
    void **top = magazine->top;
    size_t put = 0;
    while (put < count && top != magazine->limit && cells[put] != NULL)
        *top++ = cells[put++];
    if (put > 0) {
        roma__store(&magazine->top, top);
        roma__figure_add(&magazine->given, put);
    }
    roma__cache_leave(cache);
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
    if (cache->words == ROMA__WORDS_NONE)
        return roma__cache_put_plain(cache, roma__load(&slab->class_index), cell);
    return roma__cache_put_counted(cache, slab, index, cell,
                                   bytes == SIZE_MAX ? ROMA__TAIL_ANY
                                                     : (uint32_t)bytes << ROMA__FLAG_BITS);
}

size_t roma__cache_put_many(roma_cache *cache, size_t bytes, void *const *cells, size_t count)
{
    if (cache->words == ROMA__WORDS_NONE && bytes <= ROMA__CLASS_MAX_BYTES)
        return put_some_plain(cache, roma__class_of(bytes), cells, count);
    size_t put = 0;
    while (put < count && cells[put] != NULL && put_one(cache, bytes, cells[put]))
        put++;
    return put;
}
