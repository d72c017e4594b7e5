/* resize.c - a cell gets longer or shorter: in place, or by moving its page tables.
 *
 * In place: within the cell; a run by the granules behind it; an own extent by its provider. Moving
 * is for own extents: the provider moves the pages (mremap), and the cell goes on under another
 * address. Copying is the manager's last resort and not here.
 *
 * Moving in order. The old address may belong to somebody else the moment that the provider has
 * moved the pages, so it leaves the page map before; and once they are moved there is no way back,
 * so what is needed at the new address (a descriptor, a leaf of the page map) is put aside before:
 *
 *   1 put a leaf and a descriptor aside        fails: nothing has happened
 *   2 end the life at the old address          fails when a weak handle became a reference: -EBUSY
 *   3 take the old address out of the map
 *   4 let the provider move                    fails: revive, the old word and all
 *   5 start a life at the new address */
#include "heap/internal.h"

#include "base/bits.h"
#include "base/check.h"
#include "heap/metadata.h"

#include <errno.h>

/* The figures of a live cell that gets another length. */
static void count_resize(roma__cell *cell, size_t usable, size_t bytes)
{
    roma__heap *heap = cell->heap;
    uint64_t more_usable = (uint64_t)usable - cell->usable; /* modulo 2^64 */
    if (!roma__slab_is_large(cell->slab))
        return; /* its length stands with it, and its cell stays */
    pthread_mutex_lock(&heap->large_lock);
    heap->large_bytes += (uint64_t)bytes - cell->bytes;
    heap->large_usable_bytes += more_usable;
    pthread_mutex_unlock(&heap->large_lock);
    roma__heap_publish(heap, more_usable);
}

static void set_length(roma__cell *cell, size_t usable, size_t bytes)
{
    struct roma__slab *slab = cell->slab;
    struct roma__state *state = roma__slab_state(slab, cell->index);
    if (state == NULL)
        return; /* its length is that of its class, whatever the caller asks */
    count_resize(cell, usable, bytes);
    if (usable != cell->usable)
        roma__store(&slab->head.cell_bytes, usable);
    roma__slab_set_tail(slab, cell->index, bytes, cell->flags);
    bool shrinks = bytes < cell->bytes;
    if (shrinks)
        roma__word_next_generation(&state->word);
    cell->usable = usable;
    cell->bytes = bytes;
    cell->generation = roma__word_generation(roma__load_acquire(&state->word));
    if (shrinks && cell->generation == 0) /* and not in the first life of all */
        roma__store(&slab->turned, true);
}

static int resize_run(roma__cell *cell, size_t bytes)
{
    struct roma__extents *extents = &cell->heap->extents;
    size_t rounded;
    if (roma__align_up_overflows(roma__max(bytes, 1), ROMA__GRANULE_BYTES, &rounded))
        return -ENOMEM;
    char *base = cell->address;
    size_t before = cell->usable;
    if (rounded > before) {
        if (rounded > cell->slab->extent->extent.bytes ||
            !roma__extents_lengthen(extents, cell->slab->extent, base,
                                    (uint32_t)(before >> ROMA__GRANULE_SHIFT),
                                    (uint32_t)(rounded >> ROMA__GRANULE_SHIFT)))
            return -ENOMEM;
    }
    set_length(cell, rounded, bytes);
    if (rounded < before)
        roma__extents_give(extents, cell->slab->extent, base + rounded,
                           (uint32_t)((before - rounded) >> ROMA__GRANULE_SHIFT));
    return 0;
}

static int resize_extent(struct roma__extents *extents, struct roma__extent_record *record,
                         size_t bytes, bool may_move)
{
    size_t before = record->extent.bytes;
    int code = roma__extents_resize(extents, record, bytes, may_move);
    if (code == 0 && record->extent.bytes > before)
        roma__extents_tell_obtained(extents);
    return code;
}

static int resize_own(roma__cell *cell, size_t bytes)
{
    struct roma__extent_record *record = cell->slab->extent;
    size_t rounded;
    if (roma__align_up_overflows(roma__max(bytes, 1), record->extent.page_bytes, &rounded))
        return -ENOMEM;
    if (rounded != record->extent.bytes) {
        int code = resize_extent(&cell->heap->extents, record, rounded, false);
        if (code < 0 && rounded > record->extent.bytes)
            return -ENOMEM;
        /* What cannot be given back from the end of a block stays with it. */
    }
    set_length(cell, record->extent.bytes, bytes);
    return 0;
}

size_t roma__cell_shrunk(const roma__cell *cell, size_t bytes)
{
    if (!roma__slab_is_large(cell->slab))
        return cell->usable;
    const struct roma__extent_record *record = cell->slab->extent;
    size_t unit = record->own ? record->extent.page_bytes : ROMA__GRANULE_BYTES;
    return roma__align_up(roma__max(bytes, 1), unit);
}

int roma__cell_resize(roma__cell *cell, size_t bytes)
{
    if (!roma__slab_is_large(cell->slab)) {
        if (bytes > cell->usable)
            return -ENOMEM;
        set_length(cell, cell->usable, bytes);
        return 0;
    }
    if (!cell->slab->extent->own)
        return resize_run(cell, bytes);
    roma__parked_leave(cell->slab);
    return resize_own(cell, bytes);
}

/* A descriptor for one large cell at `base`: what stood there before, or the one put aside. */
static struct roma__slab *settle(char *base, struct roma__slab *aside)
{
    struct roma__slab *slab = roma__load_acquire(&roma__map_past_of(base)->home);
    if (slab != NULL && slab->states_capacity > 0) {
        roma__slab_discard(aside);
        return slab;
    }
    roma__slab_settle(aside, base);
    return aside;
}

int roma__cell_move(roma__cell *cell, size_t bytes)
{
    roma__heap *heap = cell->heap;
    struct roma__slab *old = cell->slab;
    struct roma__extent_record *record = old->extent;
    size_t rounded;
    if (!roma__slab_is_large(old) || !record->own)
        return -EOPNOTSUPP;
    if (roma__align_up_overflows(roma__max(bytes, 1), record->extent.page_bytes, &rounded))
        return -ENOMEM;
    struct roma__slab *aside = roma__slab_aside();
    struct roma__map_leaf *leaf = aside == NULL ? NULL : roma__map_leaf_aside();
    if (leaf == NULL) {
        if (aside != NULL)
            roma__slab_discard(aside);
        return -ENOMEM;
    }
    roma__parked_leave(old);
    uint32_t had;
    int code = roma__word_end_sole(&old->states[0].word, &had);
    if (code == 0) {
        roma__large_drop(heap, old);
        roma__slab_retire(old);
        code = resize_extent(&heap->extents, record, rounded, true);
        if (code < 0) {
            roma__slab_revive(old, heap, had);
            roma__large_push(heap, old);
        }
    }
    if (code < 0) {
        roma__slab_discard(aside);
        roma__map_leaf_discard(leaf);
        return code;
    }
    char *base = record->extent.address;
    roma__map_cover_with(base, leaf);
    struct roma__slab *slab = settle(base, aside);
    slab->extent = record;
    roma__slab_publish_large(slab, heap, record->extent.bytes);
    roma__slab_set_tail(slab, 0, bytes, cell->flags);
    uint32_t word = roma__load(&slab->states[0].word);
    roma__store_release(&slab->states[0].word, roma__word_make(roma__word_generation(word), 1));
    count_resize(cell, record->extent.bytes, bytes);
    roma__large_push(heap, slab);
    cell->address = base;
    cell->slab = slab;
    cell->index = 0;
    cell->usable = record->extent.bytes;
    cell->bytes = bytes;
    cell->generation = roma__word_generation(word);
    return 0;
}
