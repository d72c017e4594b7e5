/* giveback.c - giving memory back: after a delay, on trim, when memory is short; see extents.h.
 *
 * Pages are discarded in *units*: a span, or where pages are larger than spans, the spans of a
 * page. A unit goes when all of its spans are free past the delay; neighbours that are due as well
 * go in the same call. A span whose unit must stay leaves the queue and is not looked at again: the
 * last of the unit's spans to become free brings the others along.
 *
 * An extent is released when it has been empty for the delay. One is kept, the smallest of those
 * that came by, with its pages discarded: it costs address space and spares the next allocation the
 * mapping. One whose pages cannot be discarded is not worth that. */
#include "heap/extents_internal.h"

#include "base/bits.h"

#include <errno.h>

/* ---- what waits ----------------------------------------------------------------------------- */

static uint64_t due_at(const struct roma__extents *extents, uint64_t freed_ns)
{
    uint64_t when;
    return __builtin_add_overflow(freed_ns, extents->return_delay_ns, &when) ? UINT64_MAX : when;
}

void roma__giveback_expect(struct roma__extents *extents, uint64_t freed_ns)
{
    uint64_t when = due_at(extents, freed_ns);
    if (when < atomic_load_explicit(&extents->next_due_ns, memory_order_relaxed))
        atomic_store_explicit(&extents->next_due_ns, when, memory_order_relaxed);
}

static void look_for_next(struct roma__extents *extents)
{
    const struct roma__span *span = extents->spans.lists[ROMA__SPAN_WAITING].last;
    const struct roma__extent_record *cached = roma__large_cache_oldest(&extents->cache);
    atomic_store_explicit(&extents->next_due_ns, UINT64_MAX, memory_order_relaxed);
    if (span != NULL)
        roma__giveback_expect(extents, span->freed_ns);
    if (cached != NULL)
        roma__giveback_expect(extents, cached->freed_ns);
    if (extents->empty_first != NULL)
        roma__giveback_expect(extents, extents->empty_first->freed_ns);
    roma__parked_expect(extents);
}

static void leave_queue(struct roma__extents *extents, struct roma__extent_record *record)
{
    if (!record->is_queued)
        return;
    if (record->previous_empty != NULL)
        record->previous_empty->next_empty = record->next_empty;
    else
        extents->empty_first = record->next_empty;
    if (record->next_empty != NULL)
        record->next_empty->previous_empty = record->previous_empty;
    else
        extents->empty_last = record->previous_empty;
    record->is_queued = false;
}

void roma__giveback_enter_empty(struct roma__extents *extents, struct roma__extent_record *record,
                                uint64_t now_ns)
{
    extents->empty_count++;
    record->freed_ns = now_ns;
    record->is_queued = true;
    record->next_empty = NULL;
    record->previous_empty = extents->empty_last;
    if (extents->empty_last != NULL)
        extents->empty_last->next_empty = record;
    else
        extents->empty_first = record;
    extents->empty_last = record;
    roma__giveback_expect(extents, now_ns);
}

void roma__giveback_leave_empty(struct roma__extents *extents, struct roma__extent_record *record)
{
    extents->empty_count--;
    leave_queue(extents, record);
    if (extents->kept == record)
        extents->kept = NULL;
}

/* ---- discarding pages ----------------------------------------------------------------------- */

static uint32_t unit_spans(const struct roma__extent_record *record)
{
    size_t page_bytes = record->extent.page_bytes;
    return page_bytes <= ROMA__SPAN_BYTES ? 1 : (uint32_t)(page_bytes / ROMA__SPAN_BYTES);
}

static uint32_t unit_end(const struct roma__extent_record *record, uint32_t first)
{
    uint32_t end = first + unit_spans(record);
    return end < record->spans_count ? end : record->spans_count;
}

/* All of the unit's spans free and none since limit_ns, and some with pages. */
static bool unit_is_due(const struct roma__extent_record *record, uint32_t first, uint64_t limit_ns)
{
    bool has_pages = false;
    for (uint32_t i = first; i < unit_end(record, first); i++) {
        const struct roma__span *span = &record->spans[i];
        if (!roma__span_is_free(span) ||
            (span->place == ROMA__SPAN_WAITING && span->freed_ns > limit_ns))
            return false;
        has_pages = has_pages || !span->is_clean;
    }
    return has_pages;
}

/* Discard the pages of some free spans, whole units. Returns bytes that had pages; 0 when the
 * kernel would not: then they stay. */
static size_t discard(struct roma__extents *extents, struct roma__extent_record *record,
                      uint32_t first, uint32_t end)
{
    size_t offset = (size_t)first * ROMA__SPAN_BYTES;
    size_t length = roma__min((size_t)(end - first) * ROMA__SPAN_BYTES,
                              record->extent.bytes - offset);
    roma_range range = {&record->extent, offset, length};
    roma_error ignored;
    int code = roma_provider_advise(roma__extents_provider(extents, record), &range,
                                    ROMA_ADVICE_DISCARD, NULL, &ignored);
    if (code == -EOPNOTSUPP) { /* it never will */
        record->keeps_pages = true;
        first = 0;
        end = record->spans_count;
    }
    size_t given = 0;
    for (uint32_t i = first; i < end; i++) {
        struct roma__span *span = &record->spans[i];
        if (!roma__span_is_free(span) || span->is_clean)
            continue;
        if (code < 0) {
            roma__spans_set_staying(&extents->spans, span);
        } else {
            given += roma__span_bytes(span);
            roma__spans_set_clean(&extents->spans, span);
        }
    }
    return given;
}

static size_t discard_due(struct roma__extents *extents, uint64_t limit_ns)
{
    size_t given = 0;
    struct roma__span *span;
    while ((span = extents->spans.lists[ROMA__SPAN_WAITING].last) != NULL &&
           span->freed_ns <= limit_ns) {
        struct roma__extent_record *record = span->record;
        uint32_t unit = unit_spans(record);
        uint32_t first = (uint32_t)(span - record->spans) / unit * unit;
        uint32_t end = unit_end(record, first);
        if (!unit_is_due(record, first, limit_ns)) {
            roma__spans_set_staying(&extents->spans, span);
            continue;
        }
        while (first >= unit && unit_is_due(record, first - unit, limit_ns))
            first -= unit;
        while (end < record->spans_count && unit_is_due(record, end, limit_ns))
            end = unit_end(record, end);
        given += discard(extents, record, first, end);
    }
    return given;
}

/* Discard all free units of an extent, delay or not, as long as no more than `most_bytes` go. */
static size_t discard_free(struct roma__extents *extents, struct roma__extent_record *record,
                           size_t most_bytes)
{
    size_t given = 0;
    uint32_t first = 0;
    while (first < record->spans_count && !record->keeps_pages) {
        uint32_t end = first;
        while (end < record->spans_count && unit_is_due(record, end, UINT64_MAX) &&
               (size_t)(unit_end(record, end) - first) * ROMA__SPAN_BYTES <= most_bytes - given)
            end = unit_end(record, end);
        if (end > first)
            given += discard(extents, record, first, end);
        first = end > first ? end : unit_end(record, first);
    }
    return given;
}

/* ---- extents that are past their delay ------------------------------------------------------ */

static size_t release(struct roma__extents *extents, struct roma__extent_record *record)
{
    size_t bytes = record->extent.bytes;
    roma__extents_release_locked(extents, record);
    return bytes;
}

static bool is_clean(const struct roma__extent_record *record)
{
    for (uint32_t i = 0; i < record->spans_count; i++)
        if (!record->spans[i].is_clean)
            return false;
    return true;
}

/* Release an empty extent, or keep it and release the larger one that was kept. */
static size_t retire(struct roma__extents *extents, struct roma__extent_record *record)
{
    size_t given = 0;
    struct roma__extent_record *kept = extents->kept;
    if (kept == NULL || record->extent.bytes < kept->extent.bytes) {
        given = discard_free(extents, record, SIZE_MAX);
        if (is_clean(record)) {
            leave_queue(extents, record);
            extents->kept = record;
            record = kept;
        }
    }
    return record == NULL ? given : given + release(extents, record);
}

size_t roma__giveback_due(struct roma__extents *extents, uint64_t now_ns)
{
    size_t given = 0;
    if (now_ns >= extents->return_delay_ns) {
        uint64_t limit_ns = now_ns - extents->return_delay_ns;
        struct roma__extent_record *record;
        roma__parked_age(extents, limit_ns);
        while ((record = roma__parked_withdraw(extents, limit_ns, SIZE_MAX)) != NULL)
            given += release(extents, record);
        while ((record = roma__large_cache_oldest(&extents->cache)) != NULL &&
               record->freed_ns <= limit_ns)
            given += release(extents, record);
        while ((record = extents->empty_first) != NULL && record->freed_ns <= limit_ns)
            given += retire(extents, record);
        given += discard_due(extents, limit_ns);
    }
    look_for_next(extents);
    return given;
}

/* ---- when memory is short ------------------------------------------------------------------- */

/* Cut the free spans off the end of an extent, if its provider can. */
static size_t cut_end(struct roma__extents *extents, struct roma__extent_record *record)
{
    uint32_t used = record->spans_count;
    while (used > 0 && roma__span_is_free(&record->spans[used - 1]))
        used--;
    uint32_t left = (used + unit_spans(record) - 1) / unit_spans(record) * unit_spans(record);
    if (used == 0 || left >= record->spans_count)
        return 0;
    size_t before = record->extent.bytes;
    size_t after = (size_t)left * ROMA__SPAN_BYTES;
    if (extents->released != NULL)
        extents->released(extents->owner, (char *)record->extent.address + after, before - after);
    roma_error ignored;
    if (roma_provider_resize(roma__extents_provider(extents, record), &record->extent, after, false,
                             &ignored) < 0)
        return 0;
    roma__spans_shorten(&extents->spans, record, left * ROMA__SPAN_GRANULES);
    size_t given = before - record->extent.bytes;
    extents->shared_bytes -= given;
    atomic_fetch_sub_explicit(&extents->bytes, given, memory_order_relaxed);
    record->charged_bytes -= given;
    roma__extents_credit(extents, given);
    return given;
}

size_t roma__giveback_all(struct roma__extents *extents)
{
    size_t given = 0;
    struct roma__extent_record *record;
    while ((record = roma__parked_withdraw(extents, UINT64_MAX, SIZE_MAX)) != NULL)
        given += release(extents, record);
    while ((record = roma__large_cache_oldest(&extents->cache)) != NULL)
        given += release(extents, record);
    for (record = extents->shared; record != NULL;) {
        struct roma__extent_record *next = record->next;
        given += roma__extent_is_empty(record) ? release(extents, record)
                                               : cut_end(extents, record);
        record = next;
    }
    return given;
}

/* ---- the calls ------------------------------------------------------------------------------ */

size_t roma__extents_return(struct roma__extents *extents, uint64_t now_ns)
{
    pthread_mutex_lock(&extents->lock);
    size_t given = roma__giveback_due(extents, now_ns);
    pthread_mutex_unlock(&extents->lock);
    return given;
}

static uint64_t held_bytes(const struct roma__extents *extents)
{
    return atomic_load_explicit(&extents->bytes, memory_order_relaxed);
}

static bool can_spare(const struct roma__extents *extents, const struct roma__extent_record *record,
                      size_t keep_bytes)
{
    uint64_t held = held_bytes(extents);
    return held > keep_bytes && held - record->extent.bytes >= keep_bytes;
}

/* How much of what is held, in one piece, may go. */
static size_t spare_bytes(const struct roma__extents *extents, size_t keep_bytes)
{
    uint64_t held = held_bytes(extents);
    return held > keep_bytes ? held - keep_bytes : 0;
}

static size_t trim_locked(struct roma__extents *extents, size_t keep_bytes)
{
    size_t given = 0;
    struct roma__extent_record *parked;
    while ((parked = roma__parked_withdraw(extents, UINT64_MAX,
                                           spare_bytes(extents, keep_bytes))) != NULL)
        given += release(extents, parked);
    for (uint32_t i = 0; i < extents->cache.count;) {
        if (can_spare(extents, extents->cache.records[i], keep_bytes))
            given += release(extents, extents->cache.records[i]);
        else
            i++;
    }
    for (struct roma__extent_record *record = extents->shared, *next; record != NULL;
         record = next) {
        next = record->next;
        if (roma__extent_is_empty(record) && can_spare(extents, record, keep_bytes))
            given += release(extents, record);
    }
    for (struct roma__extent_record *record = extents->shared; record != NULL;
         record = record->next) {
        uint64_t with_pages = held_bytes(extents) - roma__extents_clean_bytes(extents);
        if (with_pages > keep_bytes)
            given += discard_free(extents, record, with_pages - keep_bytes);
    }
    look_for_next(extents);
    return given;
}

size_t roma__extents_trim(struct roma__extents *extents, size_t keep_bytes)
{
    pthread_mutex_lock(&extents->lock);
    size_t given = trim_locked(extents, keep_bytes);
    pthread_mutex_unlock(&extents->lock);
    return given;
}
