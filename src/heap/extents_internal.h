/* extents_internal.h - between extents.c, obtain.c and giveback.c.
 *
 * Three things wait for their delay, each in the order of time: free spans, empty extents, cached
 * extents. So the oldest of each is all that a look has to see, besides the few places (parked.h),
 * and next_due_ns, which is never later than the first of them, all that a caller has to.
 *
 * Threads: all calls under the lock of the extents, except where said. */
#ifndef ROMA_HEAP_EXTENTS_INTERNAL_H
#define ROMA_HEAP_EXTENTS_INTERNAL_H

#include "heap/extents.h"

static inline bool roma__extent_is_empty(const struct roma__extent_record *record)
{
    return record->free_granules == record->granules;
}

static inline bool roma__extent_is_hugetlb(const roma_extent *extent)
{
    return roma_page_class(extent->pages) == ROMA_PAGE_CLASS_HUGETLB;
}

/* ---- obtain.c ------------------------------------------------------------------------------- */

/* With the owner; both also without the lock. */
int roma__extents_charge(struct roma__extents *extents, size_t bytes);
void roma__extents_credit(struct roma__extents *extents, size_t bytes);

/* An extent from the ladder. On success the owner has been charged for all of extent->bytes. Also
 * without the lock. */
int roma__extents_obtain(struct roma__extents *extents, size_t bytes, size_t align,
                         unsigned threads, roma_extent *extent, unsigned *step, roma_grant *grant,
                         roma_error *error);

/* An extent was obtained from this step. Do free extents hold pages of a pool that a step before it
 * could have given? Then it goes back, and they do, and the caller tries again. */
bool roma__extents_can_do_better(struct roma__extents *extents, roma_extent *extent, unsigned step);

/* Put an extent into a record, in the page map's reach and in the list. On failure it goes back. */
int roma__extents_adopt(struct roma__extents *extents, roma_extent *extent, unsigned step, bool own,
                        struct roma__extent_record **adopted, roma_grant *grant, roma_error *error);

/* Release an extent, of any kind and in any state, to its provider, and its record. */
void roma__extents_release_locked(struct roma__extents *extents,
                                  struct roma__extent_record *record);

/* ---- extents.c ------------------------------------------------------------------------------ */

/* An own extent that no cell has into the cache. */
void roma__extents_keep_locked(struct roma__extents *extents, struct roma__extent_record *record,
                               uint64_t now_ns);

/* ---- giveback.c ----------------------------------------------------------------------------- */

/* Something that became free at freed_ns waits. */
void roma__giveback_expect(struct roma__extents *extents, uint64_t freed_ns);

/* Give back what is past its delay. Returns bytes. */
size_t roma__giveback_due(struct roma__extents *extents, uint64_t now_ns);

/* Memory is short: give back all that waits, and cut free ends off shared extents. Returns bytes
 * that are held no more. */
size_t roma__giveback_all(struct roma__extents *extents);

/* A shared extent has become empty, or is no more. */
void roma__giveback_enter_empty(struct roma__extents *extents, struct roma__extent_record *record,
                                uint64_t now_ns);
void roma__giveback_leave_empty(struct roma__extents *extents, struct roma__extent_record *record);

#endif
