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
    if (taken == 0 || (!roma__cache_commit(cache, class_index, top) &&
                       !roma__cache_settle(cache, class_index, top)))
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

/* How many come before the first NULL. Four at a time: this is most of what a plain batch costs. */
static size_t before_null(void *const *cells, size_t count)
{
    size_t i = 0;
    while (i + 4 <= count && cells[i] != NULL && cells[i + 1] != NULL && cells[i + 2] != NULL &&
           cells[i + 3] != NULL)
        i += 4;
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
    if (!roma__cache_commit(cache, class_index, top + put))
        (void)roma__cache_settle(cache, class_index, top + put);
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

/* A slab's head in registers, for cells that are neighbours. */
struct view {
    uintptr_t granule; /* of the cell that was looked up */
    struct roma__slab_head head;
};

/* Whether cells of the cell's slab may end by a store here, as cells of that class. */
static bool look_at(struct view *view, const roma_cache *cache, unsigned class_index, void *cell)
{
    const struct roma__slab_head *slab = roma__slab_at(cache->map, cell);
    if (slab == NULL || roma__load(&slab->key) != cache->key ||
        roma__load(&slab->class_index) != class_index)
        return false;
    view->granule = (uintptr_t)cell >> ROMA__GRANULE_SHIFT;
    view->head.base = roma__load(&slab->base);
    view->head.inverse = roma__load(&slab->inverse);
    view->head.shift = roma__load(&slab->shift);
    view->head.cells_count = roma__load(&slab->cells_count);
    view->head.states = roma__load(&slab->states);
    return true;
}

/* roma__cache_put_counted() with one look at the magazine, and one at the slab for neighbours. The
 * slab stays what it is: it is this cache's, and has a live cell until the call has it ended. */
static size_t put_some_counted(roma_cache *cache, unsigned class_index, uint32_t tail,
                               void *const *cells, size_t count)
{
    const uint64_t mask = (uint64_t)UINT32_MAX << 32 | ROMA__WORD_COUNT_MASK;
    const uint64_t sole = (uint64_t)tail << 32 | 1;
    struct roma__magazine *magazine = &cache->magazines[class_index];
    void **top = magazine->top;
    size_t room = roma__min(count, (size_t)(magazine->limit - top)), put = 0;
    struct view view = {.granule = UINTPTR_MAX};
    for (; put < room; put++) {
        void *cell = cells[put];
        if ((uintptr_t)cell >> ROMA__GRANULE_SHIFT != view.granule &&
            !look_at(&view, cache, class_index, cell))
            break;
        uint64_t index = roma__slab_index_at(&view.head, cell);
        if (!roma__slab_has_index(&view.head, index))
            break;
        struct roma__state *state = &view.head.states[index];
        uint64_t bits = roma__load_acquire((roma__state_bits *)state);
        uint32_t next;
        if ((bits & mask) != sole ||
            __builtin_add_overflow((uint32_t)bits, (uint32_t)ROMA__WORD_COUNT_MASK, &next))
            break;
        roma__store_release(&state->word, next);
        top[put] = cell;
        top[put + ROMA__MAGAZINE_STRIDE] = state;
    }
    count_put(cache, class_index, top, put);
    return put;
}

static bool put_one(roma_cache *cache, size_t bytes, void *cell)
{
    struct roma__slab_head *slab = roma__slab_at(cache->map, cell);
    if (slab == NULL || roma__load(&slab->heap) != cache->heap)
        return false;
    uint64_t index = roma__slab_index_at(slab, cell);
    if (!roma__slab_has_index(slab, index))
        return false;
    uint32_t tail = bytes == SIZE_MAX ? ROMA__TAIL_ANY : (uint32_t)bytes << ROMA__FLAG_BITS;
    if (roma__load(&slab->key) != cache->key)
        return roma__cache_end(cache, slab, index, cell, tail);
    unsigned class_index = roma__load(&slab->class_index);
    if (class_index >= ROMA__CLASS_COUNT)
        return false; /* a slab that has just gone */
    if (cache->words == ROMA__WORDS_NONE)
        return roma__cache_put_plain(cache, class_index, cell);
    return roma__cache_put_counted(cache, class_index, slab, index, cell, tail);
}

size_t roma__cache_put_many(roma_cache *cache, size_t bytes, void *const *cells, size_t count)
{
    bool is_known = bytes <= ROMA__CLASS_MAX_BYTES;
    if (is_known && cache->words == ROMA__WORDS_NONE)
        return put_some_plain(cache, roma__class_of(bytes), cells, count);
    size_t put = 0;
    while (put < count) {
        if (is_known && cache->words == ROMA__WORDS_OWNED)
            put += put_some_counted(cache, roma__class_of(bytes),
                                    (uint32_t)bytes << ROMA__FLAG_BITS, cells + put, count - put);
        if (put == count || cells[put] == NULL || !put_one(cache, bytes, cells[put]))
            break;
        put++;
    }
    return put;
}
