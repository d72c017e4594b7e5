/* spans.c - the lists of spans and the bits of granules; see spans.h. */
#include "heap/spans.h"

#include "base/check.h"

#include <string.h>
#include <time.h>

uint64_t roma__spans_now(const struct roma__spans *spans)
{
    if (spans->clock != NULL)
        return spans->clock();
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- lists ---------------------------------------------------------------------------------- */

/* Written under the lock alone, so that no locked instruction is needed. */
static void count(_Atomic(uint64_t) *figure, uint64_t more)
{
    uint64_t value = atomic_load_explicit(figure, memory_order_relaxed);
    atomic_store_explicit(figure, value + more, memory_order_relaxed);
}

static void count_place(struct roma__spans *spans, unsigned place, uint64_t bytes)
{
    if (place == ROMA__SPAN_CLEAN)
        count(&spans->clean_bytes, bytes);
    else if (place >= ROMA__SPAN_WAITING)
        count(&spans->dirty_bytes, bytes);
}

static void leave(struct roma__spans *spans, struct roma__span *span)
{
    struct roma__span_list *list = &spans->lists[span->place];
    if (span->place == ROMA__SPAN_UNLISTED)
        return;
    if (span->previous != NULL)
        span->previous->next = span->next;
    else
        list->first = span->next;
    if (span->next != NULL)
        span->next->previous = span->previous;
    else
        list->last = span->previous;
    if (list->first == NULL && span->place < ROMA__SPAN_GRANULES)
        spans->partial &= ~(UINT32_C(1) << span->place);
    count_place(spans, span->place, (uint64_t)0 - roma__span_bytes(span));
    span->place = ROMA__SPAN_UNLISTED;
}

static void enter(struct roma__spans *spans, struct roma__span *span, unsigned place)
{
    struct roma__span_list *list = &spans->lists[place];
    span->place = (uint8_t)place;
    if (place == ROMA__SPAN_UNLISTED)
        return;
    span->previous = NULL;
    span->next = list->first;
    if (list->first != NULL)
        list->first->previous = span;
    else
        list->last = span;
    list->first = span;
    if (place < ROMA__SPAN_GRANULES)
        spans->partial |= UINT32_C(1) << place;
    count_place(spans, place, roma__span_bytes(span));
}

static unsigned place_of(const struct roma__span *span)
{
    if (!roma__span_is_free(span))
        return span->free_granules; /* none: ROMA__SPAN_UNLISTED */
    if (span->is_clean)
        return ROMA__SPAN_CLEAN;
    return span->record->keeps_pages ? ROMA__SPAN_STAYING : ROMA__SPAN_WAITING;
}

static void move_to(struct roma__spans *spans, struct roma__span *span, unsigned place)
{
    leave(spans, span);
    enter(spans, span, place);
}

void roma__spans_set_clean(struct roma__spans *spans, struct roma__span *span)
{
    span->is_clean = true;
    move_to(spans, span, ROMA__SPAN_CLEAN);
}

void roma__spans_set_staying(struct roma__spans *spans, struct roma__span *span)
{
    move_to(spans, span, ROMA__SPAN_STAYING);
}

/* ---- bits ----------------------------------------------------------------------------------- */

static uint32_t index_of(const struct roma__span *span)
{
    return (uint32_t)(span - span->record->spans);
}

static uint32_t bits_of(const struct roma__span *span)
{
    uint32_t index = index_of(span);
    return (uint32_t)(span->record->bits[index / 2] >> (index % 2 * 32));
}

static uint32_t mask_of(uint32_t low, uint32_t granules)
{
    return (granules == 32 ? UINT32_MAX : (UINT32_C(1) << granules) - 1) << low;
}

/* Those of the set bits where a run of so many set bits begins: the length that is known to hold
 * doubles in each step. */
static uint32_t starts_of_runs(uint32_t bits, uint32_t length)
{
    for (uint32_t known = 1; known < length && bits != 0;) {
        uint32_t step = known < length - known ? known : length - known;
        bits &= bits >> step;
        known += step;
    }
    return bits;
}

static void flip(struct roma__span *span, uint32_t low, uint32_t granules, bool is_free)
{
    uint32_t mask = mask_of(low, granules);
    roma_check((bits_of(span) & mask) == (is_free ? 0 : mask));
    span->record->bits[index_of(span) / 2] ^= (uint64_t)mask << (index_of(span) % 2 * 32);
    uint32_t change = is_free ? granules : (uint32_t)0 - granules;
    span->free_granules = (uint8_t)(span->free_granules + change);
    span->record->free_granules += change;
}

/* The part of a run that is in the span of its first granule. */
struct part {
    struct roma__span *span;
    uint32_t low, granules;
};

static struct part next_part(const struct roma__extent_record *record, uint32_t first, uint32_t end)
{
    uint32_t low = first % ROMA__SPAN_GRANULES;
    uint32_t room = ROMA__SPAN_GRANULES - low;
    struct part part = {&record->spans[first / ROMA__SPAN_GRANULES], low,
                        end - first < room ? end - first : room};
    return part;
}

bool roma__spans_are_free(const struct roma__extent_record *record, uint32_t first,
                          uint32_t granules)
{
    struct part part;
    for (uint32_t at = first, end = first + granules; at < end; at += part.granules) {
        part = next_part(record, at, end);
        uint32_t mask = mask_of(part.low, part.granules);
        if ((bits_of(part.span) & mask) != mask)
            return false;
    }
    return true;
}

void roma__spans_take(struct roma__spans *spans, struct roma__extent_record *record, uint32_t first,
                      uint32_t granules)
{
    struct part part;
    for (uint32_t at = first, end = first + granules; at < end; at += part.granules) {
        part = next_part(record, at, end);
        leave(spans, part.span);
        flip(part.span, part.low, part.granules, false);
        part.span->is_clean = false;
        enter(spans, part.span, place_of(part.span));
    }
}

void roma__spans_put(struct roma__spans *spans, struct roma__extent_record *record, uint32_t first,
                     uint32_t granules)
{
    struct part part;
    for (uint32_t at = first, end = first + granules; at < end; at += part.granules) {
        part = next_part(record, at, end);
        leave(spans, part.span);
        flip(part.span, part.low, part.granules, true);
        if (roma__span_is_free(part.span))
            part.span->freed_ns = roma__spans_now(spans);
        enter(spans, part.span, place_of(part.span));
    }
}

/* ---- looking for a run ---------------------------------------------------------------------- */

static struct roma__span *choose(const struct roma__span_list *list, uint32_t granules,
                                 unsigned tries)
{
    struct roma__span *in_empty_extent = NULL;
    for (struct roma__span *span = list->first; span != NULL && tries > 0; span = span->next) {
        tries--;
        if (starts_of_runs(bits_of(span), granules) == 0)
            continue;
        if (span->record->free_granules < span->record->granules)
            return span;
        if (in_empty_extent == NULL)
            in_empty_extent = span;
    }
    return in_empty_extent;
}

struct roma__extent_record *roma__spans_find(const struct roma__spans *spans, uint32_t granules,
                                             unsigned tries, uint32_t *first)
{
    struct roma__span *span = NULL;
    uint32_t lists = granules >= ROMA__SPAN_GRANULES ? 0 : spans->partial >> granules << granules;
    for (; span == NULL && lists != 0; lists &= lists - 1)
        span = choose(&spans->lists[__builtin_ctz(lists)], granules, tries);
    for (unsigned place = ROMA__SPAN_WAITING; span == NULL && place < ROMA__SPAN_PLACES; place++)
        span = choose(&spans->lists[place], granules, tries);
    if (span == NULL)
        return NULL;
    *first = index_of(span) * ROMA__SPAN_GRANULES +
             (uint32_t)__builtin_ctz(starts_of_runs(bits_of(span), granules));
    return span->record;
}

uint32_t roma__spans_find_in(const struct roma__extent_record *record, uint32_t granules)
{
    if (record->free_granules < granules)
        return UINT32_MAX;
    uint32_t run = 0;
    for (uint32_t i = 0; i < record->granules; i++) {
        if (i % 64 == 0 && record->bits[i / 64] == 0) { /* 64 taken ones at once */
            run = 0;
            i += 63;
        } else if ((record->bits[i / 64] >> i % 64 & 1) == 0) {
            run = 0;
        } else if (++run == granules) {
            return i + 1 - granules;
        }
    }
    return UINT32_MAX;
}

/* ---- records come and go -------------------------------------------------------------------- */

void roma__spans_mark_all_free(struct roma__extent_record *record)
{
    memset(record->bits, 0, ((size_t)record->granules + 63) / 64 * sizeof(uint64_t));
    record->free_granules = 0;
    for (uint32_t i = 0; i < record->spans_count; i++) {
        struct roma__span *span = &record->spans[i];
        span->place = ROMA__SPAN_UNLISTED;
        span->free_granules = 0;
        flip(span, 0, span->granules, true);
    }
}

void roma__spans_mark_taken(struct roma__extent_record *record, uint32_t first, uint32_t granules)
{
    struct part part;
    for (uint32_t at = first, end = first + granules; at < end; at += part.granules) {
        part = next_part(record, at, end);
        flip(part.span, part.low, part.granules, false);
        part.span->is_clean = false;
    }
}

/* From the last to the first, so that the lowest is the first in its list: what is never needed is
 * an extent's end, which can be cut off. */
void roma__spans_relist(struct roma__spans *spans, struct roma__extent_record *record)
{
    uint64_t now_ns = roma__spans_now(spans);
    for (uint32_t i = record->spans_count; i-- > 0;) {
        struct roma__span *span = &record->spans[i];
        span->freed_ns = now_ns;
        enter(spans, span, place_of(span));
    }
}

void roma__spans_adopt(struct roma__spans *spans, struct roma__extent_record *record)
{
    record->spans_count = (record->granules + ROMA__SPAN_GRANULES - 1) / ROMA__SPAN_GRANULES;
    for (uint32_t i = 0; i < record->spans_count; i++) {
        struct roma__span *span = &record->spans[i];
        uint32_t left = record->granules - i * ROMA__SPAN_GRANULES;
        span->record = record;
        span->granules = (uint8_t)(left < ROMA__SPAN_GRANULES ? left : ROMA__SPAN_GRANULES);
        span->is_clean = !record->extent.populated;
    }
    roma__spans_mark_all_free(record);
    roma__spans_relist(spans, record);
}

void roma__spans_forget(struct roma__spans *spans, struct roma__extent_record *record)
{
    for (uint32_t i = 0; i < record->spans_count; i++)
        leave(spans, &record->spans[i]);
}

void roma__spans_shorten(struct roma__spans *spans, struct roma__extent_record *record,
                         uint32_t granules)
{
    roma_check(granules % ROMA__SPAN_GRANULES == 0 && granules < record->granules);
    uint32_t left = granules / ROMA__SPAN_GRANULES;
    for (uint32_t i = left; i < record->spans_count; i++) {
        struct roma__span *span = &record->spans[i];
        roma_check(roma__span_is_free(span));
        leave(spans, span);
        flip(span, 0, span->granules, false);
    }
    record->spans_count = left;
    record->granules = granules;
}

void roma__spans_reset(struct roma__spans *spans)
{
    memset(spans->lists, 0, sizeof spans->lists);
    spans->partial = 0;
    atomic_store_explicit(&spans->dirty_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&spans->clean_bytes, 0, memory_order_relaxed);
}

/* ---- the specification ---------------------------------------------------------------------- */

static bool place_is_right(const struct roma__span *span)
{
    if (!roma__span_is_free(span))
        return span->place == span->free_granules;
    if (span->is_clean)
        return span->place == ROMA__SPAN_CLEAN;
    return span->place == ROMA__SPAN_STAYING ||
           (span->place == ROMA__SPAN_WAITING && !span->record->keeps_pages);
}

static const char *record_fault(const struct roma__extent_record *record)
{
    uint32_t granules = 0, free_granules = 0;
    for (uint32_t i = 0; i < record->spans_count; i++) {
        const struct roma__span *span = &record->spans[i];
        uint32_t bits = bits_of(span);
        if (span->record != record)
            return "a span belongs to another extent";
        if (span->granules == 0 || span->granules > ROMA__SPAN_GRANULES ||
            (span->granules < ROMA__SPAN_GRANULES && i + 1 < record->spans_count))
            return "a span that is not the last of its extent is short";
        if ((bits & ~mask_of(0, span->granules)) != 0)
            return "a granule behind a span's end is free";
        if ((uint32_t)__builtin_popcount(bits) != span->free_granules)
            return "a span does not have the free granules that it counts";
        if (!place_is_right(span))
            return "a span is in the wrong list";
        granules += span->granules;
        free_granules += span->free_granules;
    }
    if (granules != record->granules)
        return "an extent's spans are not all of it";
    return free_granules == record->free_granules ? NULL
                                                  : "an extent's free granules are not its spans'";
}

static const char *list_fault(const struct roma__spans *spans, unsigned place, uint64_t *listed)
{
    const struct roma__span *previous = NULL;
    for (const struct roma__span *span = spans->lists[place].first; span != NULL;
         span = span->next) {
        if (span->place != place || span->previous != previous)
            return "a list of spans is broken";
        if (place == ROMA__SPAN_WAITING && previous != NULL && previous->freed_ns < span->freed_ns)
            return "the spans that wait for their delay are not in the order of time";
        (*listed)++;
        previous = span;
    }
    if (spans->lists[place].last != previous)
        return "a list of spans has another end";
    bool has_bit = place < ROMA__SPAN_GRANULES && (spans->partial >> place & 1) != 0;
    return has_bit == (place < ROMA__SPAN_GRANULES && previous != NULL)
               ? NULL
               : "a list of partly used spans is not known to have any, or known to";
}

const char *roma__spans_fault(const struct roma__spans *spans,
                              const struct roma__extent_record *shared)
{
    uint64_t listed = 0, with_room = 0, dirty_bytes = 0, clean_bytes = 0;
    for (unsigned place = 1; place < ROMA__SPAN_PLACES; place++) {
        const char *fault = list_fault(spans, place, &listed);
        if (fault != NULL)
            return fault;
    }
    for (const struct roma__extent_record *record = shared; record != NULL; record = record->next) {
        const char *fault = record_fault(record);
        if (fault != NULL)
            return fault;
        for (uint32_t i = 0; i < record->spans_count; i++) {
            const struct roma__span *span = &record->spans[i];
            uint64_t free_bytes = roma__span_is_free(span) ? roma__span_bytes(span) : 0;
            with_room += span->free_granules > 0;
            clean_bytes += span->is_clean ? free_bytes : 0;
            dirty_bytes += span->is_clean ? 0 : free_bytes;
        }
    }
    if (listed != with_room)
        return "not just the spans with a free granule are listed";
    if (dirty_bytes != atomic_load_explicit(&spans->dirty_bytes, memory_order_relaxed))
        return "the free spans with pages are not the bytes that are counted";
    return clean_bytes == atomic_load_explicit(&spans->clean_bytes, memory_order_relaxed)
               ? NULL
               : "the free spans without pages are not the bytes that are counted";
}
