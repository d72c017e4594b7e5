/* large.c - cells larger than any class: runs of granules of a shared extent, and own extents.
 *
 *   run    up to own_bytes   whole granules of a shared extent
 *   own    beyond, or aligned to more than a granule: an extent of its own
 *
 * An own one that ends may stay as it is for the next (parked.h).
 *
 * own_bytes is the page size of the ladder's first step, but at least 1 MiB: so a block of n huge
 * pages is exactly n huge pages, and a block smaller than one shares it with others.
 *
 * A large cell has a state in every heap, and its word is changed by compare-and-swap: who changes
 * it from 1 to 0 gives the cell back. They are in a list of the heap, under a lock of its own,
 * which also guards their figures. */
#include "heap/internal.h"

#include "base/bits.h"

#include <errno.h>

/* ---- the list -------------------------------------------------------------------------------- */

static void link_large(roma__heap *heap, struct roma__slab *slab)
{
    slab->previous = NULL;
    slab->next = heap->large;
    if (heap->large != NULL)
        heap->large->previous = slab;
    heap->large = slab;
}

static void unlink_large(roma__heap *heap, struct roma__slab *slab)
{
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        heap->large = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
}

void roma__large_push(roma__heap *heap, struct roma__slab *slab)
{
    pthread_mutex_lock(&heap->large_lock);
    link_large(heap, slab);
    pthread_mutex_unlock(&heap->large_lock);
    roma__heap_count_descriptor(heap, slab, true);
}

void roma__large_drop(roma__heap *heap, struct roma__slab *slab)
{
    pthread_mutex_lock(&heap->large_lock);
    unlink_large(heap, slab);
    pthread_mutex_unlock(&heap->large_lock);
    roma__heap_count_descriptor(heap, slab, false);
}

/* ---- figures --------------------------------------------------------------------------------- */

static void count_take(roma__heap *heap, struct roma__slab *slab)
{
    uint64_t usable = roma__load(&slab->head.cell_bytes);
    pthread_mutex_lock(&heap->large_lock);
    heap->large_takes++;
    heap->large_bytes += roma__slab_bytes(slab, 0);
    heap->large_usable_bytes += usable;
    link_large(heap, slab);
    pthread_mutex_unlock(&heap->large_lock);
    roma__heap_count_descriptor(heap, slab, true);
    roma__heap_publish(heap, usable);
}

static void count_release(roma__heap *heap, struct roma__slab *slab)
{
    uint64_t usable = roma__load(&slab->head.cell_bytes);
    pthread_mutex_lock(&heap->large_lock);
    heap->large_releases++;
    heap->large_bytes -= roma__slab_bytes(slab, 0);
    heap->large_usable_bytes -= usable;
    unlink_large(heap, slab);
    pthread_mutex_unlock(&heap->large_lock);
    roma__heap_count_descriptor(heap, slab, false);
    roma__heap_publish(heap, 0 - usable);
}

/* ---- taking ---------------------------------------------------------------------------------- */

static int take_run(roma__heap *heap, size_t bytes, struct roma__slab **from, bool *reused,
                    roma_grant *grant, roma_error *error)
{
    size_t run_bytes = roma__align_up(bytes, ROMA__GRANULE_BYTES);
    uint32_t granules = (uint32_t)(run_bytes >> ROMA__GRANULE_SHIFT);
    struct roma__extent_record *record;
    char *base;
    int code = roma__extents_cut(&heap->extents, granules, &base, &record, reused, grant, error);
    if (code < 0)
        return code;
    *from = roma__slab_prepare(base, 1, true);
    if (*from == NULL) {
        roma__extents_give(&heap->extents, record, base, granules);
        (void)roma__heap_no_descriptor(grant, error);
        return -ENOMEM;
    }
    (*from)->extent = record;
    roma__slab_publish_large(*from, heap, run_bytes);
    return 0;
}

static int take_own(roma__heap *heap, const roma__take *take, struct roma__slab **from,
                    roma_grant *grant, roma_error *error)
{
    struct roma__extent_record *record;
    int code = roma__extents_take_own(&heap->extents, roma__max(take->bytes, 1), take->align,
                                      take->populate_threads, &record, grant, error);
    if (code < 0)
        return code;
    *from = roma__slab_prepare(record->extent.address, 1, true);
    if (*from == NULL) {
        roma__extents_release(&heap->extents, record);
        (void)roma__heap_no_descriptor(grant, error);
        return -ENOMEM;
    }
    (*from)->extent = record;
    roma__slab_publish_large(*from, heap, record->extent.bytes);
    return 0;
}

/* *from is NULL where none is parked that fits. */
static int take_parked(roma__heap *heap, const roma__take *take, struct roma__slab **from,
                       roma_grant *grant, roma_error *error)
{
    *from = roma__parked_take(heap, roma__max(take->bytes, 1), take->align);
    if (*from == NULL)
        return 0;
    int code = roma__extents_reuse(&heap->extents, (*from)->extent, take->populate_threads, grant,
                                   error);
    if (code < 0) {
        roma__parked_put_back(heap, *from);
        return code;
    }
    roma__slab_start_large(*from, take->bytes, take->flags);
    roma__parked_note_peak(heap);
    return 0;
}

int roma__large_take(roma__heap *heap, size_t bytes, const roma__take *take,
                     struct roma__slab **from, bool *reused, roma_grant *grant, roma_error *error)
{
    roma__cache_pass_by(heap);
    bool own = take->align > ROMA__GRANULE_BYTES || bytes >= heap->own_bytes;
    int code = own ? take_parked(heap, take, from, grant, error) : 0;
    if (code < 0 || (own && *from != NULL))
        return code;
    code = own ? take_own(heap, take, from, grant, error)
               : take_run(heap, bytes, from, reused, grant, error);
    if (code < 0)
        return code;
    roma__slab_start_large(*from, take->bytes, take->flags);
    count_take(heap, *from);
    return 0;
}

/* ---- giving back ----------------------------------------------------------------------------- */

/* In its place, or one that it gets now; but not where its generation has wrapped: a slab that
 * stands anew starts from what is noted. */
static bool rest(roma__heap *heap, struct roma__slab *slab)
{
    bool is_wrapped = roma__word_generation(roma__load(&slab->states[0].word)) == 0;
    if (roma__parked_state(slab) == ROMA__PARK_NONE)
        return !is_wrapped && roma__parked_put(heap, slab);
    roma__parked_put_back(heap, slab);
    return true;
}

void roma__large_recycle(roma__heap *heap, struct roma__slab *slab)
{
    if (rest(heap, slab))
        return;
    struct roma__extent_record *record = slab->extent;
    char *base = roma__load(&slab->head.base);
    size_t bytes = roma__load(&slab->head.cell_bytes);
    uint64_t now_ns = roma__heap_now_ns();
    count_release(heap, slab);
    roma__slab_retire(slab);
    if (record->own)
        roma__extents_release_own(&heap->extents, record, now_ns);
    else
        roma__extents_give(&heap->extents, record, base, (uint32_t)(bytes >> ROMA__GRANULE_SHIFT));
    if (roma__extents_is_due(&heap->extents, now_ns))
        (void)roma__extents_return(&heap->extents, now_ns);
}
