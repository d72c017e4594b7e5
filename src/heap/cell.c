/* cell.c - finding a cell by an address, its references, and what can be asked of it.
 *
 * A look-up is two loads to the slab and a division to the cell. What is read there may be of a
 * life that has ended since, or of a slab that is being made (slab.h): whoever goes on to change
 * the cell does it by the word, in the generation that was read. */
#include "heap/internal.h"

#include "base/bits.h"

#include <errno.h>

void roma__cell_fill(struct roma__slab *slab, uint32_t index, roma__cell *cell)
{
    uint32_t word = atomic_load_explicit(&slab->words[index], memory_order_acquire);
    cell->address = roma__slab_address(slab, index);
    cell->usable = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    cell->bytes = roma__slab_bytes(slab, index);
    cell->flags = roma__slab_flags(slab, index);
    cell->count = roma__word_count(word) < ROMA__WORD_SATURATED
                      ? (int)roma__word_count(word)
                      : roma__word_references(&slab->words[index]);
    cell->generation = roma__word_generation(word);
    cell->heap = atomic_load_explicit(&slab->heap, memory_order_relaxed);
    cell->owner = atomic_load_explicit(&slab->owner, memory_order_relaxed);
    cell->slab = slab;
    cell->index = index;
}

int roma__cell_find(const void *address, roma__cell *cell)
{
    cell->slab = NULL;
    cell->owner = NULL;
    struct roma__slab *slab = roma__map_find(address);
    if (slab == NULL) {
        const struct roma__map_entry *entry = roma__map_entry_of(address);
        bool once = entry != NULL && atomic_load_explicit(&entry->floor, memory_order_relaxed) > 0;
        return once ? -ESTALE : -ENOENT;
    }
    uint32_t index;
    size_t inside;
    if (!roma__slab_index(slab, address, &index, &inside))
        return -EINVAL;
    roma__cell_fill(slab, index, cell);
    if (cell->heap == NULL)
        return -ESTALE; /* retired while we looked */
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

int roma__cell_retain(roma__cell *cell, uint32_t generation)
{
    return roma__word_retain(&cell->slab->words[cell->index], generation);
}

int roma__cell_drop(roma__cell *cell, uint32_t generation)
{
    int left = roma__word_drop(&cell->slab->words[cell->index], generation);
    if (left == 0) { /* another holder may have resized the block since the cell was looked up */
        cell->usable = atomic_load_explicit(&cell->slab->cell_bytes, memory_order_relaxed);
        cell->bytes = roma__slab_bytes(cell->slab, cell->index);
        cell->flags = roma__slab_flags(cell->slab, cell->index);
    }
    return left;
}

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
