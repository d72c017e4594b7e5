/* word.h - the state word of a cell: the only truth about it.
 *
 *   bits 31..10  generation: the number of lives that the cell has had, modulo 2^22
 *   bits  9..0   references: 0 free, 1..1022 so many, 1023 counted in a side table (word.c)
 *
 * Who writes, in an EXACT heap, and of cells with flags and large ones in every heap. A live cell's
 * word is changed by compare-and-swap, by any thread. Only the thread whose swap took the count
 * from 1 to 0 owns the free cell; that swap moves the generation on, so of two racing releases one
 * wins and the other finds a generation or count that it did not expect. The owner passes the cell
 * on, through magazines, batches and free bits, and whoever takes it out has it alone and makes it
 * live by a plain store: nobody else may swap a word whose count is 0 (every swap demands a count
 * of at least 1), and a stale thread's swap that read the word in an earlier life fails, because
 * generations only grow.
 *
 * In an OWNED heap, of cells without flags. Counts above 1 are changed by compare-and-swap, too.
 * But the step from 1 to 0 is a load and a store by one thread alone, that of the slab's owner; any
 * other that gives up the last reference sends (address, word) to it. While the count is 1 the one
 * reference is its holder's, so nobody else has a reason to change the word: who does it all the
 * same has released, or retained, what was not his.
 *   - Two last releases, of the owner and another: the owner's store comes before or after the
 *     other's word is compared in the inbox; it differs then, or the owner's own look finds count
 *     0.
 *   - Of two others: the inbox is one list, and the second to be compared differs.
 *   - A retain that races with the owner's store may say yes, and be overwritten: the next call
 *     with that reference is told. Blocks that are to survive such races are made weak.
 * So a generation moves on once a life, and no cell is free twice.
 *
 * Order. The store that makes a cell live is a release, paired with the acquire of whoever gets the
 * address or handle by other means first. A drop is a release: what its thread did to the block
 * comes before the block's end. The drop that ends it is also an acquire, paired with the other
 * drops: the one who recycles sees all that the others did. A retain needs no order (its caller
 * holds a reference already) but try_retain does: an acquire, so that the block's contents are seen
 * as the releasing of the handle's publisher left them. One order for all swaps, acq_rel, costs
 * nothing on x86-64 and little on aarch64.
 *
 * Stale readers. Words live in descriptors that are never unmapped or used for another address
 * range (slab.h), so reading through a stale pointer is harmless: it finds a later generation. */
#ifndef ROMA_HEAP_WORD_H
#define ROMA_HEAP_WORD_H

#include "heap/atomics.h"

#include <roma/cache.h>

enum {
    ROMA__WORD_SATURATED = ROMA__WORD_COUNT_MASK,
    ROMA__GENERATION_BITS = 32 - ROMA__WORD_COUNT_BITS,
    ROMA__GENERATION_MASK = (1 << ROMA__GENERATION_BITS) - 1
};

static inline uint32_t roma__word_count(uint32_t word)
{
    return word & ROMA__WORD_COUNT_MASK;
}

static inline uint32_t roma__word_generation(uint32_t word)
{
    return word >> ROMA__WORD_COUNT_BITS;
}

static inline uint32_t roma__word_make(uint32_t generation, uint32_t count)
{
    return generation << ROMA__WORD_COUNT_BITS | count; /* the shift drops what wraps */
}

static inline bool roma__word_is(uint32_t word, uint32_t generation_or_any)
{
    return roma__word_count(word) > 0 &&
           (generation_or_any == UINT32_MAX || roma__word_generation(word) == generation_or_any);
}

/* References of a live cell; 0 when it is free. */
int roma__word_references(uint32_t *word);

/* One more. Returns the new count, -ESTALE (free, or another generation), -EOVERFLOW, -ENOMEM (no
 * room in the side table). */
int roma__word_retain(uint32_t *word, uint32_t generation_or_any);

/* One less. Returns the references left or -ESTALE. At 0 the cell is the caller's. */
int roma__word_drop(uint32_t *word, uint32_t generation_or_any);

/* One less, if it is not the last. Returns the references left, -EBUSY (it is the last: nothing is
 * changed) or -ESTALE. */
int roma__word_drop_shared(uint32_t *word, uint32_t generation_or_any);

/* End the life of a cell that has exactly one reference, the caller's. Returns 0 and the word that
 * it had, or -EBUSY when a weak handle was turned into a reference meanwhile: nothing is
 * changed. */
int roma__word_end_sole(uint32_t *word, uint32_t *had);

/* Move the generation of a live cell on, keeping its count: for its only holder. */
void roma__word_next_generation(uint32_t *word);

/* End a life whatever the count: for owners of a whole heap. Returns whether it was live. */
bool roma__word_kill(uint32_t *word);

void roma__counts_fork_hold(void);
void roma__counts_fork_free(void);

#endif
