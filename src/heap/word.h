/* word.h - the state word of a cell: the only truth about it.
 *
 *   bits 31..10  generation: the number of lives that the cell has had, modulo 2^22
 *   bits  9..0   references: 0 free, 1..1022 so many, 1023 counted in a side table (word.c)
 *
 * Who writes. A live cell's word is changed by compare-and-swap, by any thread. Only the thread
 * whose swap took the count from 1 to 0 owns the free cell; that swap moves the generation on, so
 * of two racing releases one wins and the other finds a generation or count that it did not expect.
 * The owner hands the cell to its slab's free bitmap under the class's lock, and whoever takes it
 * from there under that lock owns it, and makes it live by a plain store: nobody else may swap a
 * word whose count is 0 (every swap demands a count of at least 1), and a stale thread's swap that
 * read the word in an earlier life fails, because generations only grow.
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

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    ROMA__WORD_COUNT_BITS = 10,
    ROMA__WORD_COUNT_MASK = (1 << ROMA__WORD_COUNT_BITS) - 1,
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
int roma__word_references(_Atomic(uint32_t) *word);

/* One more. Returns the new count, -ESTALE (free, or another generation), -EOVERFLOW, -ENOMEM (no
 * room in the side table). */
int roma__word_retain(_Atomic(uint32_t) *word, uint32_t generation_or_any);

/* One less. Returns the references left or -ESTALE. At 0 the cell is the caller's. */
int roma__word_drop(_Atomic(uint32_t) *word, uint32_t generation_or_any);

/* End the life of a cell that has exactly one reference, the caller's. Returns 0 and the word that
 * it had, or -EBUSY when a weak handle was turned into a reference meanwhile: nothing is
 * changed. */
int roma__word_end_sole(_Atomic(uint32_t) *word, uint32_t *had);

/* Move the generation of a live cell on, keeping its count: for its only holder. */
void roma__word_next_generation(_Atomic(uint32_t) *word);

/* End a life whatever the count: for owners of a whole heap. Returns whether it was live. */
bool roma__word_kill(_Atomic(uint32_t) *word);

void roma__counts_fork_hold(void);
void roma__counts_fork_free(void);

#endif
