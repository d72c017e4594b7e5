/* slab.h - descriptors: what is known of a run of granules that holds cells of one size.
 *
 * A slab is either one of a class (many cells of 16 B to 256 KiB), or large: one cell, being a run
 * of granules inside a shared extent or a whole extent of its own. Everything about it stands here,
 * outside the data:
 *
 *   words   the state word of each cell (word.h)
 *   tails   what the caller did not ask for of each cell, and the cell's flags: 2 bytes for cells
 *   up
 *           to 4 KiB (13 + 3 bits), else 4; a large slab has one of 8 in the descriptor
 *   bits    a bit for each free cell: a cache of the words, under the class's lock
 *
 * A descriptor belongs for ever to the granule where its slab starts (its *home* in the page map):
 * stale handles may be checked against it at any time, and a swap that a stale thread tries on one
 * of its words must meet that address's own history. A new slab at the same granule uses the same
 * descriptor, its words starting at a generation that no handle has reached. Where it needs more
 * words than there are, a descriptor at least twice as large replaces it and the old one is
 * abandoned, never reused: what is lost that way is less than what is in use.
 *
 * Fields that a stale reader may look at while a new slab is being made are atomic and read
 * relaxed:
 * whatever mixture it sees, an index below the words' capacity comes out, and the word there
 * decides.
 *
 * Cost for cells of 4 KiB: 4 + 2 bytes and 1 bit each, and a header a slab of 64: .2 %. */
#ifndef ROMA_HEAP_SLAB_H
#define ROMA_HEAP_SLAB_H

#include "heap/heap.h"
#include "heap/pagemap.h"
#include "heap/word.h"

#include <stdatomic.h>

enum { ROMA__CLASS_LARGE = 0xFF };
enum { ROMA__NARROW_MAX_BYTES = 4096, ROMA__FLAG_BITS = 3 };

struct roma__extent_record;

struct roma__slab {
    _Atomic(char *) base;
    _Atomic(size_t) cell_bytes;   /* of a large slab: the cell's usable bytes                     */
    _Atomic(uint32_t) cells_count;
    _Atomic(uint32_t) class_index; /* or ROMA__CLASS_LARGE                                        */
    _Atomic(roma__heap *) heap;   /* NULL while no slab stands here                               */
    _Atomic(void *) owner;        /* the heap's: may outlive it here, a heap may not              */
    _Atomic(uint64_t) large_tail; /* of a large slab: length asked for << 3 | flags              */

    uint32_t words_capacity, tails_capacity, bits_capacity; /* words; bytes; 64-bit words: fixed  */
    _Atomic(uint32_t) *words;
    void *tails;
    uint64_t *bits;

    /* under the class's lock */
    struct roma__extent_record *extent;
    uint32_t granules;            /* mapped: all of a class's slab, only the first of a large one */
    uint64_t first_generation;    /* of all its words at the start; not cut to 22 bits           */
    bool turned;                  /* a cell has come to that generation again                     */
    uint32_t free_count, hint;    /* free cells; the first word of bits that may hold one         */
    struct roma__slab *next, *previous; /* in the class's list of slabs with free cells, or the
                                           heap's list of large ones                              */
    struct roma__slab *all_next, *all_previous; /* in the heap's list of all class slabs          */
};

/* The descriptor for a new slab of `cells` cells at `base`: its home's when that has room, else a
 * new one. NULL when there is no memory. The caller owns the granule. */
struct roma__slab *roma__slab_prepare(char *base, uint32_t cells, size_t cell_bytes);

/* A descriptor for one large cell, belonging to no address yet; NULL: no memory. It is settled at
 * an address that has none, or discarded (kept for the next who asks). */
struct roma__slab *roma__slab_aside(void);
void roma__slab_settle(struct roma__slab *slab, char *base);
void roma__slab_discard(struct roma__slab *slab);

/* Make it the slab of `granules` granules from its base on: fresh words, all cells free, in the
 * page map. */
void roma__slab_publish(struct roma__slab *slab, roma__heap *heap, unsigned class_index,
                        uint32_t cells, size_t cell_bytes, uint32_t granules);

/* Take it out of the page map; no cell may be live. Its granules remember how far generations
 * got. */
void roma__slab_retire(struct roma__slab *slab);

/* Undo the retiring of a large slab whose address range was not given up after all: its cell lives
 * again with the word that it had. */
void roma__slab_revive(struct roma__slab *slab, roma__heap *heap, uint32_t word);

/* Bytes that a descriptor of this shape takes. */
size_t roma__slab_record_bytes(const struct roma__slab *slab);

static inline void *roma__slab_address(const struct roma__slab *slab, uint32_t index)
{
    return atomic_load_explicit(&slab->base, memory_order_relaxed) +
           index * atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
}

/* Index of the cell around an address and how far inside it the address is; false outside. */
bool roma__slab_index(const struct roma__slab *slab, const void *address, uint32_t *index,
                      size_t *inside);

/* Requested length and flags of a cell. */
void roma__slab_set_tail(struct roma__slab *slab, uint32_t index, size_t bytes, unsigned flags);
size_t roma__slab_bytes(const struct roma__slab *slab, uint32_t index);
unsigned roma__slab_flags(const struct roma__slab *slab, uint32_t index);

/* The lowest free cell, marked taken; the slab must have one. Under the class's lock. */
uint32_t roma__slab_take_bit(struct roma__slab *slab);
void roma__slab_give_bit(struct roma__slab *slab, uint32_t index);
bool roma__slab_bit_is_free(const struct roma__slab *slab, uint32_t index);

#endif
