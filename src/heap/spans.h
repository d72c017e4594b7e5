/* spans.h - shared extents as spans of 2 MiB, and the runs of granules cut from them.
 *
 * A span is 32 granules of 64 KiB: so large whatever the page size of its extent is, which may be
 * less (many pages a span) or more (many spans a page). Every span that has a free granule is in
 * the list of its *place*:
 *
 *   1 to 31   partly used, by the number of its free granules
 *   WAITING   wholly free, its pages still there; newest first, so that the oldest is last
 *   STAYING   the same, but its pages cannot be given back as things are
 *   CLEAN     wholly free, without pages: given back, or not touched yet
 *
 * A run of up to 32 granules comes from one span, and is looked for in that order: the fullest span
 * that has room, so that the emptier ones become free; then free memory that has pages, the warmest
 * first; then what the kernel must fill. Among free spans one of an extent that is in use goes
 * first, so that empty extents stay so. Longer runs take neighbouring granules of any spans of one
 * extent, first fit.
 *
 * Why a span is STAYING: its extent keeps its pages (hugetlb pages, which the kernel discards not;
 * pages whose place was proved, which would come back anywhere); or a page is larger than a span
 * and another span in it is in use; or the kernel refused.
 *
 * A search is bounded: so many tries in a list, because a span with enough granules may have them
 * apart. Who must know asks again without a bound.
 *
 * Threads: all calls under the lock of the extents; the figures may be read without. */
#ifndef ROMA_HEAP_SPANS_H
#define ROMA_HEAP_SPANS_H

#include "heap/pagemap.h"
#include "heap/records.h"

#include <stdatomic.h>

enum {
    ROMA__SPAN_GRANULES = 32,
    ROMA__SPAN_BYTES = ROMA__SPAN_GRANULES * ROMA__GRANULE_BYTES,
    ROMA__SPAN_TRIES = 8 /* spans of one list that a bounded search looks at */
};

enum {
    ROMA__SPAN_UNLISTED, /* full; or its record is being made, or made anew after fork */
    ROMA__SPAN_WAITING = ROMA__SPAN_GRANULES,
    ROMA__SPAN_STAYING,
    ROMA__SPAN_CLEAN,
    ROMA__SPAN_PLACES
};

struct roma__span_list {
    struct roma__span *first, *last;
};

/* All zero is a heap's spans before the first extent. */
struct roma__spans {
    struct roma__span_list lists[ROMA__SPAN_PLACES];
    uint32_t partial;        /* a bit for each list 1 to 31 that is not empty              */
    uint64_t (*clock)(void); /* NULL: the machine's; for tests                             */
    _Atomic(uint64_t) dirty_bytes, clean_bytes; /* of wholly free spans, with pages and without */
};

/* The time that spans are stamped with: monotonic, some milliseconds coarse. */
uint64_t roma__spans_now(const struct roma__spans *spans);

/* List the spans of a new record, whose extent, granules and keeps_pages are set, as free. */
void roma__spans_adopt(struct roma__spans *spans, struct roma__extent_record *record);

/* Take a record's spans off the lists, in use or not. */
void roma__spans_forget(struct roma__spans *spans, struct roma__extent_record *record);

/* Take the free granules from `granules` on, a whole number of spans, off the record's end. */
void roma__spans_shorten(struct roma__spans *spans, struct roma__extent_record *record,
                         uint32_t granules);

/* A record with a free run of at most 32 granules, and the run's first granule; NULL: none found
 * within `tries` spans of each list. */
struct roma__extent_record *roma__spans_find(const struct roma__spans *spans, uint32_t granules,
                                             unsigned tries, uint32_t *first);

/* First fit in one extent, of any length; UINT32_MAX: none. */
uint32_t roma__spans_find_in(const struct roma__extent_record *record, uint32_t granules);

bool roma__spans_are_free(const struct roma__extent_record *record, uint32_t first,
                          uint32_t granules);

/* Mark a free run taken, and a taken one free: anything else is a fault of ours. */
void roma__spans_take(struct roma__spans *spans, struct roma__extent_record *record, uint32_t first,
                      uint32_t granules);
void roma__spans_put(struct roma__spans *spans, struct roma__extent_record *record, uint32_t first,
                     uint32_t granules);

/* Note of a free span that its pages are gone, or that they cannot go. */
void roma__spans_set_clean(struct roma__spans *spans, struct roma__span *span);
void roma__spans_set_staying(struct roma__spans *spans, struct roma__span *span);

/* In a child after fork: empty all lists; then, for each record, take all granules for free, mark
 * the runs that are in use, and list the spans again. */
void roma__spans_reset(struct roma__spans *spans);
void roma__spans_mark_all_free(struct roma__extent_record *record);
void roma__spans_mark_taken(struct roma__extent_record *record, uint32_t first, uint32_t granules);
void roma__spans_relist(struct roma__spans *spans, struct roma__extent_record *record);

/* The specification: NULL, or a sentence that says what is wrong. */
const char *roma__spans_fault(const struct roma__spans *spans,
                              const struct roma__extent_record *shared);

static inline bool roma__span_is_free(const struct roma__span *span)
{
    return span->free_granules == span->granules;
}

static inline size_t roma__span_bytes(const struct roma__span *span)
{
    return (size_t)span->granules * ROMA__GRANULE_BYTES;
}

#endif
