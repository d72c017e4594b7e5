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

static void set_length(roma__cell *cell, size_t usable, size_t bytes)
{
    bool shrinks = bytes < cell->bytes;
    if (usable != cell->usable)
        atomic_store_explicit(&cell->slab->cell_bytes, usable, memory_order_relaxed);
    roma__slab_set_tail(cell->slab, cell->index, bytes, cell->flags);
    if (shrinks)
        roma__word_next_generation(&cell->slab->words[cell->index]);
    cell->usable = usable;
    cell->bytes = bytes;
    cell->generation = roma__word_generation(
        atomic_load_explicit(&cell->slab->words[cell->index], memory_order_acquire));
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

static int resize_own(roma__cell *cell, size_t bytes)
{
    struct roma__extent_record *record = cell->slab->extent;
    size_t rounded;
    if (roma__align_up_overflows(roma__max(bytes, 1), record->extent.page_bytes, &rounded))
        return -ENOMEM;
    if (rounded != record->extent.bytes) {
        int code = roma__extents_resize(&cell->heap->extents, record, rounded, false);
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
    return cell->slab->extent->own ? resize_own(cell, bytes) : resize_run(cell, bytes);
}

/* A descriptor for one large cell at `base`: what stood there before, or the one put aside. */
static struct roma__slab *settle(char *base, struct roma__slab *aside)
{
    struct roma__map_entry *entry = roma__map_entry_of(base);
    struct roma__slab *slab = atomic_load_explicit(&entry->home, memory_order_acquire);
    if (slab != NULL && slab->words_capacity > 0) {
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
    uint32_t had;
    int code = roma__word_end_sole(&old->words[0], &had);
    if (code == 0) {
        roma__heap_drop_large(heap, old);
        roma__slab_retire(old);
        code = roma__extents_resize(&heap->extents, record, rounded, true);
        if (code < 0) {
            roma__slab_revive(old, heap, had);
            roma__heap_push_large(heap, old);
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
    roma__slab_publish(slab, heap, ROMA__CLASS_LARGE, 1, record->extent.bytes, 1);
    roma__slab_set_tail(slab, 0, bytes, cell->flags);
    uint32_t word = atomic_load_explicit(&slab->words[0], memory_order_relaxed);
    atomic_store_explicit(&slab->words[0], roma__word_make(roma__word_generation(word), 1),
                          memory_order_release);
    roma__heap_push_large(heap, slab);
    cell->address = base;
    cell->slab = slab;
    cell->index = 0;
    cell->usable = record->extent.bytes;
    cell->bytes = bytes;
    cell->generation = roma__word_generation(word);
    return 0;
}
