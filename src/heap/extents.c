/* extents.c - obtaining extents through the ladder, cutting them, taking them back; see extents.h.
 *
 * What is free waits in lists for whoever asks next; what leaves them is giveback.c's. */
#include "heap/extents.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/grant.h"
#include "heap/extents_internal.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

enum { GROWTH_BYTES = 2 << 20, GROWTH_MOST_BYTES = 256 << 20, GROWTH_SHARE = 8 };

void roma__extents_fork_hold(void)
{
    roma__extent_records_fork_hold();
}

void roma__extents_fork_free(void)
{
    roma__extent_records_fork_free();
}

/* ---- shared extents ------------------------------------------------------------------------- */

static bool pages_come_by_touch(const struct roma__extents *extents)
{
    return !extents->ladder.steps[0].strict &&
           roma_page_class(extents->ladder.steps[0].pages) != ROMA_PAGE_CLASS_HUGETLB;
}

static size_t growth_bytes(const struct roma__extents *extents)
{
    return roma__align_up(extents->growth_bytes == 0 ? GROWTH_BYTES : extents->growth_bytes,
                          ROMA__GRANULE_BYTES);
}

static size_t large_growth_bytes(const struct roma__extents *extents)
{
    if (!pages_come_by_touch(extents))
        return 0;
    size_t share = roma__min(extents->shared_bytes / GROWTH_SHARE, GROWTH_MOST_BYTES);
    return roma__align_down(share, ROMA__SPAN_BYTES);
}

/* A comfortable extent; where that is not to be had, a smaller one, and at last just what is needed
 * now. */
static int obtain_shared(struct roma__extents *extents, uint32_t granules, roma_extent *extent,
                         unsigned *step, roma_grant *grant, roma_error *error)
{
    size_t needed = (size_t)granules << ROMA__GRANULE_SHIFT;
    size_t usual = roma__max(needed, growth_bytes(extents));
    const size_t sizes[] = {roma__max(usual, large_growth_bytes(extents)), usual, needed};
    int code = -ENOMEM;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0] && code == -ENOMEM; i++)
        if (i == 0 || sizes[i] < sizes[i - 1])
            code = roma__extents_obtain(extents, sizes[i], 0, 0, extent, step, grant, error);
    return code;
}

static int grow(struct roma__extents *extents, uint32_t granules,
                struct roma__extent_record **record, roma_grant *grant, roma_error *error)
{
    roma_extent extent;
    unsigned step = 0;
    int code = obtain_shared(extents, granules, &extent, &step, grant, error);
    if (code == 0 && roma__extents_can_do_better(extents, &extent, step))
        code = obtain_shared(extents, granules, &extent, &step, grant, error);
    return code < 0 ? code
                    : roma__extents_adopt(extents, &extent, step, false, record, grant, error);
}

static struct roma__extent_record *find_long(const struct roma__extents *extents, uint32_t granules,
                                             uint32_t *first)
{
    struct roma__extent_record *record = extents->shared;
    while (record != NULL && (*first = roma__spans_find_in(record, granules)) == UINT32_MAX)
        record = record->next;
    return record;
}

static struct roma__extent_record *find(const struct roma__extents *extents, uint32_t granules,
                                        unsigned tries, uint32_t *first)
{
    return granules > ROMA__SPAN_GRANULES
               ? find_long(extents, granules, first)
               : roma__spans_find(&extents->spans, granules, tries, first);
}

/* A free run, out of a new extent if need be; before that fails, a search without bound, and a new
 * extent in the place of all that waits to be given back. */
static int find_or_grow(struct roma__extents *extents, uint32_t granules,
                        struct roma__extent_record **record, uint32_t *first, bool *reused,
                        roma_grant *grant, roma_error *error)
{
    *record = find(extents, granules, ROMA__SPAN_TRIES, first);
    *reused = *record != NULL;
    if (*reused)
        return 0;
    *first = 0;
    int code = grow(extents, granules, record, grant, error);
    if (code != -ENOMEM)
        return code;
    *record = find(extents, granules, UINT_MAX, first);
    *reused = *record != NULL;
    if (*reused)
        return 0;
    *first = 0;
    return roma__giveback_all(extents) > 0 ? grow(extents, granules, record, grant, error) : code;
}

static int cut_locked(struct roma__extents *extents, uint32_t granules, char **base,
                      struct roma__extent_record **found, bool *reused, roma_grant *grant,
                      roma_error *error)
{
    uint32_t first;
    struct roma__extent_record *record;
    int code = find_or_grow(extents, granules, &record, &first, reused, grant, error);
    if (code < 0)
        return code;
    if (roma__extent_is_empty(record))
        roma__giveback_leave_empty(extents, record);
    roma__spans_take(&extents->spans, record, first, granules);
    *base = (char *)record->extent.address + ((size_t)first << ROMA__GRANULE_SHIFT);
    *found = record;
    return 0;
}

int roma__extents_cut(struct roma__extents *extents, uint32_t granules, char **base,
                      struct roma__extent_record **record, bool *reused, roma_grant *grant,
                      roma_error *error)
{
    pthread_mutex_lock(&extents->lock);
    int code = cut_locked(extents, granules, base, record, reused, grant, error);
    pthread_mutex_unlock(&extents->lock);
    return code;
}

static uint32_t granule_of(const struct roma__extent_record *record, const char *base)
{
    return (uint32_t)((size_t)(base - (char *)record->extent.address) >> ROMA__GRANULE_SHIFT);
}

/* Returns whether anything waits now that did not before. */
static bool put_locked(struct roma__extents *extents, struct roma__extent_record *record,
                       const char *base, uint32_t granules)
{
    uint32_t first = granule_of(record, base), last = first + granules - 1;
    roma__spans_put(&extents->spans, record, first, granules);
    const struct roma__span *span = &record->spans[first / ROMA__SPAN_GRANULES];
    const struct roma__span *end = &record->spans[last / ROMA__SPAN_GRANULES];
    while (span <= end && !roma__span_is_free(span))
        span++;
    if (span > end)
        return false;
    roma__giveback_expect(extents, span->freed_ns);
    if (roma__extent_is_empty(record))
        roma__giveback_enter_empty(extents, record, end->freed_ns);
    return true;
}

void roma__extents_give(struct roma__extents *extents, struct roma__extent_record *record,
                        char *base, uint32_t granules)
{
    pthread_mutex_lock(&extents->lock);
    if (put_locked(extents, record, base, granules) && extents->return_delay_ns == 0)
        (void)roma__giveback_due(extents, roma__extents_now(extents));
    pthread_mutex_unlock(&extents->lock);
}

void roma__extents_put(struct roma__extents *extents, struct roma__extent_record *record,
                       char *base, uint32_t granules)
{
    pthread_mutex_lock(&extents->lock);
    (void)put_locked(extents, record, base, granules);
    pthread_mutex_unlock(&extents->lock);
}

bool roma__extents_lengthen(struct roma__extents *extents, struct roma__extent_record *record,
                            char *base, uint32_t granules, uint32_t wanted)
{
    pthread_mutex_lock(&extents->lock);
    uint32_t end = granule_of(record, base) + granules;
    uint32_t more = wanted - granules;
    bool fits = more <= record->granules - end && roma__spans_are_free(record, end, more);
    if (fits)
        roma__spans_take(&extents->spans, record, end, more);
    pthread_mutex_unlock(&extents->lock);
    return fits;
}

/* ---- own extents ---------------------------------------------------------------------------- */

/* It is what its step gave once; only the wish for pages that are there can be new. */
int roma__extents_reuse(struct roma__extents *extents, struct roma__extent_record *record,
                        unsigned populate_threads, roma_grant *grant, roma_error *error)
{
    if (grant != NULL)
        roma__extents_grant(extents, record, grant);
    if (populate_threads == 0 || record->extent.populated)
        return 0;
    roma_range range = {&record->extent, 0, record->extent.bytes};
    roma_populate_options options = {sizeof options, populate_threads, NULL};
    int code = roma_provider_populate(roma__extents_provider(extents, record), &range, &options,
                                      error);
    if (code < 0)
        return roma__grant_fail(grant, code, error);
    if (grant != NULL)
        grant->populated = true;
    return 0;
}

/* Populating takes long and needs nothing of the heap: only the adoption is locked. */
static int obtain_own(struct roma__extents *extents, size_t bytes, size_t align, unsigned threads,
                      struct roma__extent_record **record, roma_grant *grant, roma_error *error)
{
    roma_extent extent;
    unsigned step = 0;
    int code = roma__extents_obtain(extents, bytes, align, threads, &extent, &step, grant, error);
    if (code == -ENOMEM || (code == 0 && step > 0)) {
        pthread_mutex_lock(&extents->lock);
        bool again = code < 0 ? roma__giveback_all(extents) > 0
                              : roma__extents_can_do_better(extents, &extent, step);
        pthread_mutex_unlock(&extents->lock);
        if (again)
            code = roma__extents_obtain(extents, bytes, align, threads, &extent, &step, grant,
                                        error);
    }
    if (code < 0)
        return code;
    pthread_mutex_lock(&extents->lock);
    code = roma__extents_adopt(extents, &extent, step, true, record, grant, error);
    pthread_mutex_unlock(&extents->lock);
    return code;
}

int roma__extents_take_own(struct roma__extents *extents, size_t bytes, size_t align,
                           unsigned populate_threads, struct roma__extent_record **record,
                           roma_grant *grant, roma_error *error)
{
    pthread_mutex_lock(&extents->lock);
    *record = roma__large_cache_take(&extents->cache, bytes, roma__max(align, 1));
    pthread_mutex_unlock(&extents->lock);
    if (*record == NULL)
        return obtain_own(extents, bytes, align, populate_threads, record, grant, error);
    int code = roma__extents_reuse(extents, *record, populate_threads, grant, error);
    if (code < 0)
        roma__extents_release_own(extents, *record, roma__extents_now(extents));
    return code;
}

void roma__extents_keep_locked(struct roma__extents *extents, struct roma__extent_record *record,
                               uint64_t now_ns)
{
    struct roma__large_cache *cache = &extents->cache;
    if (roma__large_cache_is_full(cache))
        roma__extents_release_locked(extents, roma__large_cache_oldest(cache));
    /* Who read the clock first need not come first. */
    uint64_t newest_ns = cache->count == 0 ? 0 : cache->records[cache->count - 1]->freed_ns;
    record->freed_ns = newest_ns > now_ns ? newest_ns : now_ns;
    record->extent.zeroed = false;
    roma__large_cache_put(cache, record);
    roma__giveback_expect(extents, record->freed_ns);
}

void roma__extents_release_own(struct roma__extents *extents, struct roma__extent_record *record,
                               uint64_t now_ns)
{
    pthread_mutex_lock(&extents->lock);
    if (extents->return_delay_ns == 0 || record->is_migrated)
        roma__extents_release_locked(extents, record);
    else
        roma__extents_keep_locked(extents, record, now_ns);
    pthread_mutex_unlock(&extents->lock);
}

/* Only the cell's holder changes it, but who holds the lock may read it: where.c does. */
static void set_extent(struct roma__extents *extents, struct roma__extent_record *record,
                       const roma_extent *extent)
{
    pthread_mutex_lock(&extents->lock);
    record->extent = *extent;
    pthread_mutex_unlock(&extents->lock);
}

/* Returns what has been charged too much by now. Whole pages may be a little more than was charged:
 * that little is not refused. */
static size_t count_resized(struct roma__extents *extents, struct roma__extent_record *record,
                            size_t before, size_t charged_bytes)
{
    size_t after = record->extent.bytes;
    atomic_fetch_add_explicit(&extents->bytes, after - before, memory_order_relaxed);
    record->charged_bytes += charged_bytes;
    size_t excess = record->charged_bytes > after ? record->charged_bytes - after : 0;
    record->charged_bytes -= excess;
    return excess;
}

int roma__extents_resize(struct roma__extents *extents, struct roma__extent_record *record,
                         size_t bytes, bool may_move)
{
    roma_extent extent = record->extent;
    size_t before = extent.bytes;
    size_t more = bytes > before ? bytes - before : 0;
    if (more > 0 && roma__extents_charge(extents, more) < 0)
        return -ENOMEM;
    char *address = extent.address;
    roma_error ignored;
    int cancelling = roma__resizing_begin();
    int code = roma_provider_resize(roma__extents_provider(extents, record), &extent, bytes,
                                    may_move, &ignored);
    if (code == 0)
        set_extent(extents, record, &extent);
    size_t after = extent.bytes;
    size_t excess = code < 0 ? more : count_resized(extents, record, before, more);
    roma__resizing_end(cancelling);
    roma__extents_credit(extents, excess);
    if (code < 0)
        return code;
    if (after < before && extents->released != NULL)
        extents->released(extents->owner, address + after, before - after);
    return 0;
}

/* ---- after fork, in the child --------------------------------------------------------------- */

void roma__extents_unmark(struct roma__extents *extents)
{
    roma__spans_reset(&extents->spans);
    extents->empty_first = extents->empty_last = extents->kept = NULL;
    extents->empty_count = 0;
    for (struct roma__extent_record *record = extents->shared; record != NULL;
         record = record->next) {
        roma__spans_mark_all_free(record);
        record->is_queued = false;
    }
    for (struct roma__extent_record *record = extents->owned; record != NULL; record = record->next)
        record->marked = false;
}

void roma__extents_mark(struct roma__extent_record *record, const char *base, uint32_t granules)
{
    if (record->own)
        record->marked = true;
    else
        roma__spans_mark_taken(record, granule_of(record, base), granules);
}

void roma__extents_settle(struct roma__extents *extents)
{
    for (struct roma__extent_record *record = extents->shared, *next; record != NULL;
         record = next) {
        next = record->next;
        roma__spans_relist(&extents->spans, record);
        if (roma__extent_is_empty(record))
            roma__giveback_enter_empty(extents, record, roma__extents_now(extents));
        if (!record->extent.inherited)
            roma__extents_release_locked(extents, record);
    }
    for (struct roma__extent_record *record = extents->owned, *next; record != NULL;
         record = next) {
        next = record->next;
        if ((!record->marked && !record->is_cached) || !record->extent.inherited)
            roma__extents_release_locked(extents, record);
    }
    /* Whatever waits now, the next who comes by looks at it. */
    atomic_store_explicit(&extents->next_due_ns, 0, memory_order_relaxed);
}

/* ---- what is known -------------------------------------------------------------------------- */

void roma__extents_grant(const struct roma__extents *extents,
                         const struct roma__extent_record *record, roma_grant *grant)
{
    static const roma_error none = {.node = -1};
    memset(grant, 0, sizeof *grant);
    grant->steps_count = 1;
    grant->bytes = record->extent.bytes;
    grant->page_bytes = record->extent.page_bytes;
    grant->pages = record->extent.pages;
    grant->populated = record->extent.populated;
    grant->pinned = record->extent.pinned;
    grant->nodes = record->extent.nodes;
    grant->reused = true;
    roma__ladder_step_note(&extents->ladder, record->step, &none, &grant->steps[0]);
}

static const char *list_fault(const struct roma__extent_record *list, bool own, uint64_t *count,
                              uint64_t *bytes)
{
    const struct roma__extent_record *previous = NULL;
    for (const struct roma__extent_record *record = list; record != NULL; record = record->next) {
        if (record->own != own || record->previous != previous)
            return "a list of extents is broken";
        (*count)++;
        *bytes += record->extent.bytes;
        previous = record;
    }
    return NULL;
}

static const char *empties_fault(const struct roma__extents *extents)
{
    uint32_t empty = 0, known = extents->kept != NULL;
    for (const struct roma__extent_record *record = extents->shared; record != NULL;
         record = record->next)
        empty += roma__extent_is_empty(record);
    for (const struct roma__extent_record *record = extents->empty_first; record != NULL;
         record = record->next_empty) {
        if (!record->is_queued || !roma__extent_is_empty(record) || record == extents->kept)
            return "an extent that is in use or kept waits to be given back";
        known++;
    }
    if (extents->kept != NULL && !roma__extent_is_empty(extents->kept))
        return "the extent that is kept is in use";
    return empty == extents->empty_count && empty == known
               ? NULL
               : "not just the empty extents are known to be";
}

const char *roma__extents_fault(const struct roma__extents *extents)
{
    uint64_t count = 0, shared_bytes = 0, own_bytes = 0;
    const char *fault = list_fault(extents->shared, false, &count, &shared_bytes);
    if (fault == NULL)
        fault = list_fault(extents->owned, true, &count, &own_bytes);
    if (fault == NULL)
        fault = roma__spans_fault(&extents->spans, extents->shared);
    if (fault == NULL)
        fault = roma__large_cache_fault(&extents->cache);
    if (fault == NULL)
        fault = empties_fault(extents);
    if (fault != NULL)
        return fault;
    if (count != atomic_load_explicit(&extents->count, memory_order_relaxed))
        return "not as many extents are listed as are counted";
    return shared_bytes == extents->shared_bytes &&
                   shared_bytes + own_bytes ==
                       atomic_load_explicit(&extents->bytes, memory_order_relaxed)
               ? NULL
               : "the extents that are listed are not the bytes that are counted";
}
