/* cell.c - finding a cell by an address, its references, and what can be asked of it.
 *
 * A look-up is two loads to the slab and a division to the cell. What is read there may be of a
 * life that has ended since, or of a slab that is being made (slab.h): whoever goes on to change
 * the cell does it by the word, in the generation that was read. */
#include "heap/claim.h"
#include "heap/internal.h"

#include "base/bits.h"

#include <errno.h>

/* A cell without a word is live unless its slab has it. In a magazine it looks live. */
static void fill_without_word(struct roma__slab *slab, uint32_t index, roma__cell *cell)
{
    cell->count = roma__slab_bit_is_free(slab, index) ? 0 : 1;
    cell->generation = 0;
}

static void fill_from_word(uint32_t *place, roma__cell *cell)
{
    uint32_t word = roma__load_acquire(place);
    cell->count = roma__word_count(word) < ROMA__WORD_SATURATED ? (int)roma__word_count(word)
                                                                : roma__word_references(place);
    cell->generation = roma__word_generation(word);
}

void roma__cell_fill(struct roma__slab *slab, uint32_t index, roma__cell *cell)
{
    struct roma__state *state = roma__slab_state(slab, index);
    if (state != NULL)
        fill_from_word(&state->word, cell);
    else
        fill_without_word(slab, index, cell);
    cell->address = roma__slab_address(slab, index);
    cell->usable = roma__load(&slab->head.cell_bytes);
    cell->bytes = roma__slab_bytes(slab, index);
    cell->flags = roma__slab_flags(slab, index);
    cell->heap = roma__load(&slab->head.heap);
    cell->owner = roma__load(&slab->user);
    cell->slab = slab;
    cell->index = index;
}

static bool is_parked(const struct roma__slab *slab)
{
    return roma__slab_is_large(slab) && roma__parked_state(slab) == ROMA__PARK_FREE;
}

int roma__cell_find(const void *address, roma__cell *cell)
{
    cell->slab = NULL;
    cell->owner = NULL;
    struct roma__slab *slab = roma__map_find(address);
    if (slab == NULL) {
        const struct roma__map_past *past = roma__map_past_of(address);
        bool once = past != NULL && roma__load(&past->floor) > 0;
        return once ? -ESTALE : -ENOENT;
    }
    uint32_t index;
    size_t inside;
    if (!roma__slab_index(slab, address, &index, &inside))
        return -EINVAL;
    roma__cell_fill(slab, index, cell);
    if (cell->heap == NULL)
        return -ESTALE; /* retired while we looked */
    if (cell->count == 0 && is_parked(slab)) {
        cell->slab = NULL;
        cell->owner = NULL;
        return -ESTALE; /* as if it had been */
    }
    return inside == 0 ? 0 : -EINVAL;
}

int roma__cell_around(const void *address, roma__cell *cell)
{
    /* The map holds the first granule of a large cell only. */
    enum { REACH_BYTES_LOG2 = 40 };
    uint32_t index;
    size_t inside;
    cell->slab = NULL;
    struct roma__slab *slab = roma__map_find_below(address, (size_t)1 << REACH_BYTES_LOG2);
    if (slab == NULL || !roma__slab_is_large(slab) ||
        !roma__slab_index(slab, address, &index, &inside))
        return -ENOENT;
    roma__cell_fill(slab, index, cell);
    if (cell->heap != NULL && cell->count > 0)
        return 0;
    cell->slab = NULL;
    return -ENOENT;
}

/* ---- references ------------------------------------------------------------------------------ */

int roma__cell_retain(roma__cell *cell, uint32_t generation)
{
    struct roma__state *state = roma__slab_state(cell->slab, cell->index);
    return state == NULL ? -EOPNOTSUPP : roma__word_retain(&state->word, generation);
}

/* Are this cell's words changed by compare-and-swap alone? */
static bool is_exact(const roma__cell *cell)
{
    return roma__slab_is_large(cell->slab) || cell->flags != 0 ||
           cell->heap->words == ROMA__WORDS_EXACT;
}

int roma__cell_drop(roma__cell *cell, uint32_t generation)
{
    int left = roma__word_drop(&roma__slab_state(cell->slab, cell->index)->word, generation);
    if (left == 0) { /* another holder may have resized the block since the cell was looked up */
        cell->usable = roma__load(&cell->slab->head.cell_bytes);
        cell->bytes = roma__slab_bytes(cell->slab, cell->index);
        cell->flags = roma__slab_flags(cell->slab, cell->index);
    }
    return left;
}

static void count_release(struct roma__cache *cache, const roma__cell *cell)
{
    unsigned class_index = roma__load(&cell->slab->head.class_index);
    roma__figure_add(&cache->handle.magazines[class_index].given, 1);
}

/* A cell that is free, and ours alone, goes into the caller's cache. */
static void pass_on(roma__cell *cell)
{
    struct roma__cache *cache = roma__cache_for(cell->heap);
    roma__cache_lock_own(cache);
    count_release(cache, cell);
    roma__cache_push(cache, cell->slab, cell->index);
    pthread_mutex_unlock(&cache->lock);
}

void roma__cell_recycle(roma__cell *cell)
{
    if (roma__slab_is_large(cell->slab)) {
        roma__large_recycle(cell->heap, cell->slab);
        return;
    }
    struct roma__state *state = roma__slab_state(cell->slab, cell->index);
    if (roma__word_generation(roma__load(&state->word)) == 0)
        roma__store(&cell->slab->turned, true);
    pass_on(cell);
}

/* The owner's thread ends a life by a store. Returns false when the word is not `seen` any more. */
static bool end_as_owner(struct roma__cache *cache, roma__cell *cell, uint32_t seen)
{
    uint32_t *word = &roma__slab_state(cell->slab, cell->index)->word;
    uint32_t next = roma__word_make(roma__word_generation(seen) + 1, 0);
    roma__cache_lock_own(cache);
    bool is_same = roma__load(&cell->slab->head.key) == cache->handle.key &&
                   roma__load_acquire(word) == seen;
    if (is_same) {
        if (roma__word_generation(next) == 0)
            roma__store(&cell->slab->turned, true);
        roma__store_release(word, next);
        count_release(cache, cell);
        roma__cache_push(cache, cell->slab, cell->index);
    }
    pthread_mutex_unlock(&cache->lock);
    return is_same;
}

static void send_to_owner(struct roma__cache *cache, roma__cell *cell, uint32_t seen)
{
    uint32_t tail = (uint32_t)(cell->bytes << ROMA__FLAG_BITS);
    roma__cache_lock_own(cache);
    int class_index = roma__remote_send(cache, cell->slab, cell->index, seen);
    if (class_index >= 0)
        roma__cache_count_sent(cache, (unsigned)class_index, tail);
    else
        roma__heap_late_misuse(cache->heap, cell->address);
    pthread_mutex_unlock(&cache->lock);
}

static int release_owned(roma__cell *cell, uint32_t generation)
{
    uint32_t *word = &roma__slab_state(cell->slab, cell->index)->word;
    struct roma__cache *cache = roma__cache_for(cell->heap);
    for (;;) {
        int left = roma__word_drop_shared(word, generation);
        if (left != -EBUSY)
            return left;
        uint32_t seen = roma__load_acquire(word);
        if (!roma__word_is(seen, generation))
            return -ESTALE;
        if (roma__word_count(seen) != 1)
            continue;
        cell->bytes = roma__slab_bytes(cell->slab, cell->index);
        if (roma__load(&cell->slab->head.key) != cache->handle.key) {
            send_to_owner(cache, cell, seen);
            return 0;
        }
        if (end_as_owner(cache, cell, seen))
            return 0;
    }
}

int roma__cell_release(roma__cell *cell, uint32_t generation)
{
    if (cell->heap == NULL)
        return -ESTALE;
    if (roma__slab_is_large(cell->slab) && roma__parked_end(cell->slab, generation))
        return 0;
    if (is_exact(cell)) {
        int left = roma__cell_drop(cell, generation);
        if (left == 0)
            roma__cell_recycle(cell);
        return left;
    }
    if (cell->heap->words == ROMA__WORDS_OWNED)
        return release_owned(cell, generation);
    if (cell->count == 0)
        return -ESTALE;
    pass_on(cell);
    return 0;
}

/* ---- questions ------------------------------------------------------------------------------- */

void roma__cell_grant(const roma__cell *cell, roma_grant *grant)
{
    roma__extents_grant(&cell->heap->extents, cell->slab->extent, grant);
    grant->bytes = cell->usable;
}

int roma__cell_where(const roma__cell *cell, roma_report *report, roma_error *error)
{
    const struct roma__extent_record *record = cell->slab->extent;
    size_t page_bytes = record->extent.page_bytes;
    size_t start = (size_t)((char *)cell->address - (char *)record->extent.address);
    size_t first = roma__align_down(start, page_bytes);
    size_t end = roma__min(roma__align_up(start + roma__max(cell->bytes, 1), page_bytes),
                           record->extent.bytes);
    roma_range range = {&record->extent, first, end - first};
    return roma_provider_query(roma__extents_provider(&cell->heap->extents, record), &range, report,
                               error);
}
