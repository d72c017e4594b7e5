/* parked.h - own extents that stay whole between two lives: slab, page map and all.
 *
 * A large cell of an extent of its own that ends has its slab retired, its record put into the
 * cache of large extents (large_cache.h), and all of that undone when the next one asks: two locks
 * each way. Programs that allocate and free a buffer of the same length in a loop pay for it at
 * every turn. So a heap has a few *places*. A run gets one at an end of its life, keeps it while it
 * is in use again, and its next end and the take after that are one compare-and-swap each, without
 * a lock. The essay is in parked.c.
 *
 *   NONE     no place: ends as it always did
 *   IN_USE   has a place, and is somebody's: of the holders of its cell's references, of who has
 *            just taken it or just ended it
 *   FREE     is in its place, nobody's, for whoever swaps this for IN_USE first
 *
 * For callers a run that is FREE is as good as one in the cache: held, free, with its pages, given
 * back after the delay; no address of it is a block's. It is lent by the same rule of fit. */
#ifndef ROMA_HEAP_PARKED_H
#define ROMA_HEAP_PARKED_H

#include "heap/records.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct roma__extents;
struct roma__heap;
struct roma__slab;

enum roma__parking { ROMA__PARK_NONE, ROMA__PARK_IN_USE, ROMA__PARK_FREE };

enum { ROMA__PLACES_COUNT = 4 };

/* All zero: empty. */
struct roma__places {
    /* Read by anybody, as a hint; written under the locks of the extents and of large cells. */
    struct roma__slab *slabs[ROMA__PLACES_COUNT];
    /* Under the lock of the extents: */
    uint32_t seen[ROMA__PLACES_COUNT];    /* the generation at the last look */
    uint64_t seen_ns[ROMA__PLACES_COUNT]; /* since when it is that           */
    uint32_t turned_away, turn; /* runs that found no place; whose place is taken next */
};

/* ---- without a lock -------------------------------------------------------------------------- */

/* The closest run that fits, now IN_USE and the caller's, its life not begun; NULL: none does. */
struct roma__slab *roma__parked_take(struct roma__heap *heap, size_t bytes, size_t align);

/* Its life has been begun: the heap's peak. */
void roma__parked_note_peak(struct roma__heap *heap);

/* It is not used after all, or its life was ended by other ways: it is FREE again. */
void roma__parked_put_back(struct roma__heap *heap, struct roma__slab *slab);

/* End the life of a large cell that has a place and one reference, of that generation or any:
 * returns false, with nothing changed, where it is not so. */
bool roma__parked_end(struct roma__slab *slab, uint32_t generation);

enum roma__parking roma__parked_state(const struct roma__slab *slab);

/* Bytes of the runs that are FREE: a glance. */
uint64_t roma__parked_bytes(const struct roma__extents *extents);

/* ---- taking the locks ------------------------------------------------------------------------ */

/* A life has ended by other ways and the run is the caller's: give it a place, FREE. Returns false
 * where there is none for it, and nothing is changed. */
bool roma__parked_put(struct roma__heap *heap, struct roma__slab *slab);

/* It loses its place; for a holder of a reference, before what a run with a place must not
 * undergo: another length, another address, other nodes. */
void roma__parked_leave(struct roma__slab *slab);

/* ---- under the lock of the extents ----------------------------------------------------------- */

/* The record of a run of at most so many bytes that has been FREE since limit_ns at the latest, out
 * of its place, its slab retired: as one that its cell gave up. NULL: there is none. */
struct roma__extent_record *roma__parked_withdraw(struct roma__extents *extents, uint64_t limit_ns,
                                                  size_t most_bytes);

/* Runs that were IN_USE, in the same life, since limit_ns lose their places. */
void roma__parked_age(struct roma__extents *extents, uint64_t limit_ns);

/* Have next_due_ns be no later than what is in places, or may be there by then, is due. */
void roma__parked_expect(struct roma__extents *extents);

/* Is one of them FREE and of pages of the kernel's pools? */
bool roma__parked_holds_hugetlb(const struct roma__extents *extents);

/* ---- under the lock of large cells ----------------------------------------------------------- */

/* What the runs with places add to the heap's figures of large cells. */
struct roma__parked_figures {
    uint64_t takes, releases, bytes, usable_bytes;
};
struct roma__parked_figures roma__parked_figures_of(const struct roma__heap *heap);

/* ---- nobody else uses the heap --------------------------------------------------------------- */

/* All places are given up; who is FREE stays in the list of large cells, free. */
void roma__parked_forget(struct roma__heap *heap);

/* NULL, or a sentence that says what is wrong. */
const char *roma__parked_fault(const struct roma__heap *heap);

#endif
