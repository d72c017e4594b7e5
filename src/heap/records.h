/* records.h - what a heap knows of an extent, and the memory that this knowledge takes.
 *
 * A record is *shared* or *own*. A shared extent is cut into spans of 2 MiB (the last may be
 * shorter) and those into granules; one bit a granule says whether it is free, and each span has a
 * descriptor that says how many are and in which list it stands (spans.h). An own extent is one
 * large cell's and has neither.
 *
 * Records come from the descriptors' memory and go to process-wide lists of spare ones, a list for
 * each size, so that obtaining an extent costs no system call but its own. No stale thread looks at
 * a record: they are reached only through a slab whose cell the caller holds. */
#ifndef ROMA_HEAP_RECORDS_H
#define ROMA_HEAP_RECORDS_H

#include <roma/provider.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct roma__slab;
struct roma__extent_record;

/* 2 MiB of an extent: see spans.h. */
struct roma__span {
    struct roma__span *next, *previous; /* in the list of its place              */
    struct roma__extent_record *record;
    uint64_t freed_ns;               /* when it last became wholly free       */
    uint8_t granules, free_granules; /* the last span of an extent may be short */
    uint8_t place;                   /* ROMA__SPAN_*                          */
    bool is_clean;                   /* nothing was written since its pages were given back, or
                                           since its extent was obtained without any */
};

struct roma__extent_record {
    roma_extent extent;
    unsigned step;        /* of the ladder that gave it                     */
    size_t charged_bytes; /* what the owner was charged for it and gets back */
    bool own;
    bool marked;      /* an own extent that has its cell: only kept up to date after fork   */
    bool is_cached;   /* own: no cell has it, it waits for the next who asks                */
    bool is_migrated; /* own: its pages lie elsewhere than its step says; no other cell gets it */
    bool keeps_pages; /* shared: its pages go back with all of it or not at all             */
    bool is_queued;   /* shared: empty, and in the list of those that wait for their delay  */
    uint32_t granules, free_granules, spans_count;
    uint64_t *bits; /* a bit for each free granule */
    struct roma__span *spans;
    uint64_t freed_ns;       /* when it became empty, or its cell gave it up */
    struct roma__slab *slab; /* own: the heap's; kept while it is cached, never looked at here */
    struct roma__extent_record *next, *previous;
    struct roma__extent_record *next_empty, *previous_empty;
    unsigned size_index; /* of the list of spare records that it goes to */
};

/* A record for an extent of so many granules; 0: for an own one. Its links, flags and slab are
 * clear, the rest is what it was in a former life. NULL: no memory. */
struct roma__extent_record *roma__extent_record_new(uint32_t granules);
void roma__extent_record_free(struct roma__extent_record *record);

size_t roma__extent_record_bytes(const struct roma__extent_record *record);

/* The lock over the spare records, across fork. */
void roma__extent_records_fork_hold(void);
void roma__extent_records_fork_free(void);

#endif
