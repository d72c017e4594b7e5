/* obtain.c - extents from the ladder into records, and from records back to their providers. */
#include "heap/extents_internal.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/grant.h"

#include <errno.h>

/* ---- lists, under the lock ------------------------------------------------------------------ */

static struct roma__extent_record **list_of(struct roma__extents *extents,
                                            const struct roma__extent_record *record)
{
    return record->own ? &extents->owned : &extents->shared;
}

static void link_record(struct roma__extents *extents, struct roma__extent_record *record)
{
    struct roma__extent_record **head = list_of(extents, record);
    record->previous = NULL;
    record->next = *head;
    if (*head != NULL)
        (*head)->previous = record;
    *head = record;
}

static void unlink_record(struct roma__extents *extents, struct roma__extent_record *record)
{
    if (record->previous != NULL)
        record->previous->next = record->next;
    else
        *list_of(extents, record) = record->next;
    if (record->next != NULL)
        record->next->previous = record->previous;
}

/* ---- from and to the provider --------------------------------------------------------------- */

int roma__extents_charge(struct roma__extents *extents, size_t bytes)
{
    return extents->charge == NULL ? 0 : extents->charge(extents->owner, bytes);
}

void roma__extents_credit(struct roma__extents *extents, size_t bytes)
{
    if (extents->credit != NULL && bytes > 0)
        extents->credit(extents->owner, bytes);
}

static int refused_by_limit(roma_grant *grant, roma_error *error, size_t bytes)
{
    int code = roma__error(error, -ENOMEM, ROMA_WHY_MANAGER_LIMIT);
    error->need = bytes;
    roma__grant_clear(grant);
    return roma__grant_fail(grant, code, error);
}

static void return_extent(struct roma__extents *extents, unsigned step, roma_extent *extent,
                          size_t charged_bytes)
{
    if (extents->released != NULL)
        extents->released(extents->owner, extent->address, extent->bytes);
    roma_error ignored;
    int code = roma_provider_release(extents->ladder.steps[step].provider, extent, &ignored);
    /* A kernel that cannot unmap (too many mappings) keeps the memory; there is nobody to tell, and
     * the address range stays unused. */
    (void)code;
    roma__extents_credit(extents, charged_bytes);
}

/* The limit counts what is asked before it is obtained, and what a step's page size adds after:
 * where that is too much, the next step has smaller pages. */
int roma__extents_obtain(struct roma__extents *extents, size_t bytes, size_t align,
                         unsigned threads, roma_extent *extent, unsigned *step, roma_grant *grant,
                         roma_error *error)
{
    if (roma__extents_charge(extents, bytes) < 0)
        return refused_by_limit(grant, error, bytes);
    roma_extent_request ask = roma_extent_request_default();
    ask.bytes = bytes;
    ask.align = roma__max(align, ROMA__GRANULE_BYTES);
    ask.label = extents->label;
    ask.inherit = extents->inherit;
    ask.populate_threads = threads;
    int code = -ENOMEM;
    for (unsigned first = 0; first < extents->ladder.count; first = *step + 1) {
        code = roma__ladder_walk(&extents->ladder, first, &ask, extent, step, grant, error);
        if (code < 0)
            break;
        if (extent->bytes <= bytes || roma__extents_charge(extents, extent->bytes - bytes) == 0)
            return 0;
        size_t got = extent->bytes;
        return_extent(extents, *step, extent, 0);
        code = roma__error(error, -ENOMEM, ROMA_WHY_MANAGER_LIMIT);
        error->need = got;
        if (grant != NULL) {
            grant->steps[*step].error = *error;
            roma__grant_fail(grant, code, error);
        }
    }
    roma__extents_credit(extents, bytes);
    return code;
}

int roma__extents_adopt(struct roma__extents *extents, roma_extent *extent, unsigned step, bool own,
                        struct roma__extent_record **adopted, roma_grant *grant, roma_error *error)
{
    uint32_t granules = (uint32_t)(extent->bytes >> ROMA__GRANULE_SHIFT);
    struct roma__extent_record *record = roma__extent_record_new(own ? 0 : granules);
    int code = record == NULL ? -ENOMEM : roma__map_cover(extent->address, own ? 1 : extent->bytes);
    if (code < 0) {
        if (record != NULL)
            roma__extent_record_free(record);
        return_extent(extents, step, extent, extent->bytes);
        roma__error(error, code, code == -ENOMEM ? ROMA_WHY_OUT_OF_MEMORY : ROMA_WHY_ADDRESS_SPACE);
        return roma__grant_fail(grant, code, error);
    }
    record->extent = *extent;
    record->step = step;
    record->charged_bytes = extent->bytes;
    record->own = own;
    record->marked = own;
    record->granules = own ? 0 : granules;
    record->free_granules = record->spans_count = 0;
    if (!own) {
        /* A hugetlb page that was discarded could be a SIGBUS; one whose place was proved when it
         * was populated would come back unproved. */
        record->keeps_pages = extent->populated || roma__extent_is_hugetlb(extent);
        roma__spans_adopt(&extents->spans, record);
        extents->shared_bytes += extent->bytes;
        roma__giveback_enter_empty(extents, record, roma__extents_now(extents));
    }
    link_record(extents, record);
    atomic_fetch_add_explicit(&extents->count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&extents->bytes, extent->bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&extents->record_bytes, roma__extent_record_bytes(record),
                              memory_order_relaxed);
    roma__extents_tell_obtained(extents);
    *adopted = record;
    return 0;
}

void roma__extents_release_locked(struct roma__extents *extents, struct roma__extent_record *record)
{
    if (record->is_cached) {
        if (record->slab != NULL && extents->evicted != NULL)
            extents->evicted(extents->owner, record);
        roma__large_cache_remove(&extents->cache, record);
    }
    if (!record->own) {
        if (roma__extent_is_empty(record))
            roma__giveback_leave_empty(extents, record);
        roma__spans_forget(&extents->spans, record);
        extents->shared_bytes -= record->extent.bytes;
    }
    unlink_record(extents, record);
    atomic_fetch_sub_explicit(&extents->count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&extents->bytes, record->extent.bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&extents->record_bytes, roma__extent_record_bytes(record),
                              memory_order_relaxed);
    return_extent(extents, record->step, &record->extent, record->charged_bytes);
    roma__extent_record_free(record);
}

void roma__extents_release(struct roma__extents *extents, struct roma__extent_record *record)
{
    pthread_mutex_lock(&extents->lock);
    roma__extents_release_locked(extents, record);
    pthread_mutex_unlock(&extents->lock);
}

/* ---- steps that free memory holds back ------------------------------------------------------ */

static bool holds_back(const struct roma__extent_record *record, unsigned step)
{
    return record->step < step && roma__extent_is_hugetlb(&record->extent);
}

/* Does something free hold pages of a pool that a step before this one could have given? (What has
 * a place is of the first step.) */
static bool is_held_back(const struct roma__extents *extents, unsigned step)
{
    if (roma__parked_holds_hugetlb(extents))
        return true;
    for (uint32_t i = 0; i < extents->cache.count; i++)
        if (holds_back(extents->cache.records[i], step))
            return true;
    const struct roma__extent_record *record = extents->empty_first;
    while (record != NULL && !holds_back(record, step))
        record = record->next_empty;
    return record != NULL;
}

bool roma__extents_can_do_better(struct roma__extents *extents, roma_extent *extent, unsigned step)
{
    if (step == 0 || !is_held_back(extents, step))
        return false;
    return_extent(extents, step, extent, extent->bytes);
    (void)roma__giveback_all(extents);
    return true;
}
