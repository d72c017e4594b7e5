/* slab.h - descriptors: what is known of a run of granules that holds cells of one size.
 *
 * A slab is either one of a class (many cells of 16 B to 256 KiB), or large: one cell, being a run
 * of granules inside a shared extent or a whole extent of its own. Everything about it stands here,
 * outside the data:
 *
 *   head    what the inline paths need, a line of the processor's cache (<roma/cache.h>)
 *   states  8 bytes a cell: its word (word.h), and its tail: length asked for and flags. A heap
 *           without words has none, except for large cells, which have one in every heap, their
 *           tail elsewhere (large_tail) and in its place what parked.h says
 *   bits    a bit for each cell that is free in the slab: not live, in no magazine, not on its way
 *
 * Who writes. A slab of a class belongs to a *keeper*, the cache in whose bins it is; bits and
 * lists are the keeper's, under its lock (cache.h). In a heap with OWNED words the keeper is also
 * the owner, whose thread alone ends the lives of cells: the head's `key` is its cache.
 *
 * A descriptor belongs for ever to the granule where its slab starts (its *home* in the page map):
 * stale handles may be checked against it at any time, and a swap that a stale thread tries on one
 * of its words must meet that address's own history. A new slab at the same granule uses the same
 * descriptor, its words starting at a generation that no handle has reached. Where it needs more
 * states than there are, a descriptor at least twice as large replaces it and the old one is
 * abandoned, never reused: what is lost that way is less than what is in use.
 *
 * Fields that a stale reader may look at while a new slab is being made are atomic and read
 * relaxed: whatever mixture it sees, an index below the states' capacity comes out, and the word
 * there decides.
 *
 * Cost with words: 8 bytes and 1 bit a cell, and a header a slab: 50 % for cells of 16 bytes,
 * 12.5 % of 64, .2 % of 4 KiB. */
#ifndef ROMA_HEAP_SLAB_H
#define ROMA_HEAP_SLAB_H

#include "heap/heap.h"
#include "heap/pagemap.h"
#include "heap/word.h"

enum { ROMA__CLASS_LARGE = 0xFF };

struct roma__extent_record;
struct roma__cache;

struct roma__slab {
    struct roma__slab_head head;

    void *user;          /* the heap's owner: may outlive it here, a heap may not        */
    uint64_t large_tail; /* of a large slab: length asked for << 3 | flags               */
    uint32_t states_capacity, bits_capacity; /* states; 64-bit words: fixed               */
    struct roma__state *states; /* all of them, or NULL                                   */
    uint64_t *bits;

    struct roma__extent_record *extent;
    struct roma__cache *keeper;   /* NULL: large                                          */
    uint32_t granules;            /* mapped: all of a class's slab, only the first of a large one */
    uint32_t free_count, hint;    /* free cells; the first word of bits that may hold one  */
    uint32_t parked_generation;   /* of a large cell with a place, when it got it          */
    uint64_t first_generation;    /* of all its words at the start; not cut to 22 bits     */
    bool turned;                  /* a cell's generation has gone past its last one        */
    uint8_t page_shift;           /* log2 of the extent's pages, of one that ever had a place */
    uint64_t rested_ns;           /* when it last ended in its place (parked.h)            */
    struct roma__slab *next, *previous; /* in the bin's list of slabs with free cells, or the
                                           heap's list of large ones                       */
    struct roma__slab *all_next, *all_previous; /* in the bin's list of all slabs         */
};

/* The descriptor for a new slab of `cells` cells at `base`: its home's when that has room, else a
 * new one. NULL when there is no memory. The caller owns the granule. */
struct roma__slab *roma__slab_prepare(char *base, uint32_t cells, bool with_states);

/* A descriptor for one large cell, belonging to no address yet; NULL: no memory. It is settled at
 * an address that has none, or discarded (kept for the next who asks). */
struct roma__slab *roma__slab_aside(void);
void roma__slab_settle(struct roma__slab *slab, char *base);
void roma__slab_discard(struct roma__slab *slab);

/* Make it a slab of a class, `granules` granules from its base on, of that keeper: fresh words, all
 * cells free, in the page map. */
void roma__slab_publish(struct roma__slab *slab, struct roma__cache *keeper, unsigned class_index,
                        uint32_t cells, uint32_t granules);

/* Make it the slab of one large cell, free. */
void roma__slab_publish_large(struct roma__slab *slab, roma__heap *heap, size_t cell_bytes);

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
    return roma__load(&slab->head.base) + index * roma__load(&slab->head.cell_bytes);
}

/* Index of the cell around an address and how far inside it the address is; false outside. */
bool roma__slab_index(const struct roma__slab *slab, const void *address, uint32_t *index,
                      size_t *inside);

static inline bool roma__slab_is_large(const struct roma__slab *slab)
{
    return roma__load(&slab->head.class_index) == ROMA__CLASS_LARGE;
}

/* A cell's state; NULL in a heap without words. */
static inline struct roma__state *roma__slab_state(struct roma__slab *slab, uint32_t index)
{
    struct roma__state *states = roma__load(&slab->head.states);
    return states == NULL ? NULL : &states[index];
}

/* Requested length and flags of a cell. */
void roma__slab_set_tail(struct roma__slab *slab, uint32_t index, size_t bytes, unsigned flags);
size_t roma__slab_bytes(const struct roma__slab *slab, uint32_t index);
unsigned roma__slab_flags(const struct roma__slab *slab, uint32_t index);

/* A life of a large cell begins: it is the caller's alone. */
static inline void roma__slab_start_large(struct roma__slab *slab, size_t bytes, unsigned flags)
{
    uint32_t word = roma__load(&slab->states[0].word);
    roma__store_release(&slab->large_tail, (uint64_t)bytes << ROMA__FLAG_BITS | flags);
    roma__store_release(&slab->states[0].word, roma__word_make(roma__word_generation(word), 1));
}

/* Free bits: written by the keeper, under its lock; looked at by anybody. */

/* Take up to `count` free cells, the lowest first: addresses, and their states (NULL: not wanted).
 * Returns how many. */
uint32_t roma__slab_take_cells(struct roma__slab *slab, void **addresses, void **states,
                               uint32_t count);

/* A taken cell is free. Returns false, and changes nothing, where it was free already. */
bool roma__slab_give_bit(struct roma__slab *slab, uint32_t index);

static inline bool roma__slab_bit_is_free(const struct roma__slab *slab, uint32_t index)
{
    return slab->bits != NULL && (roma__load(&slab->bits[index / 64]) >> index % 64 & 1) != 0;
}

#endif
