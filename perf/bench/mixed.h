/* mixed.h - the mixed workload: random sizes from 16 to 4096 bytes, a constant number of live
 * blocks, and in each step one of them, picked at random, freed and replaced.
 *
 * Sizes are uniform in bytes, so half of the blocks are larger than 2 KiB and their mean is 2 KiB:
 * 1 k live blocks are 2 MiB, 32 k are 64 MiB. Whether a block is written to is the test's to say:
 * a fresh one is seldom in the cache, and writing its first word costs as much as allocating it. */
#ifndef BENCH_MIXED_H
#define BENCH_MIXED_H

#include "subject.h"

enum { MIXED_BYTES_MIN = 16, MIXED_BYTES_MAX = 4096 };

struct slot {
    void *block;
    size_t bytes;
};

struct mixed {
    uint64_t random;
    uint32_t mask; /* slots less one: a power of two of them */
    struct slot slots[];
};

static inline size_t mixed_new_bytes(uint32_t live)
{
    return sizeof(struct mixed) + live * sizeof(struct slot);
}

static inline struct mixed *mixed_new(uint32_t live, uint64_t seed)
{
    struct mixed *mixed = bench_map(mixed_new_bytes(live));
    mixed->random = seed;
    mixed->mask = live - 1;
    return mixed;
}

static inline void mixed_delete(struct mixed *mixed)
{
    bench_unmap(mixed, mixed_new_bytes(mixed->mask + 1));
}

/* The upper 32 bits of a random number choose the size, the lower ones the slot. */
static inline size_t mixed_bytes(uint64_t random)
{
    return MIXED_BYTES_MIN + ((random >> 32) * (MIXED_BYTES_MAX - MIXED_BYTES_MIN + 1) >> 32);
}

static inline void mixed_fill(struct mixed *mixed, subject here)
{
    for (uint32_t i = 0; i <= mixed->mask; i++) {
        size_t bytes = mixed_bytes(random_next(&mixed->random));
        mixed->slots[i] = (struct slot){subject_must_alloc(here, bytes), bytes};
        touch_start(mixed->slots[i].block);
    }
}

/* Returns the slot that has a new block. */
static inline struct slot *mixed_step(struct mixed *mixed, subject here)
{
    uint64_t random = random_next(&mixed->random);
    struct slot *slot = &mixed->slots[random & mixed->mask];
    subject_free(here, slot->block, slot->bytes);
    slot->bytes = mixed_bytes(random);
    slot->block = subject_must_alloc(here, slot->bytes);
    return slot;
}

static inline void mixed_empty(struct mixed *mixed, subject here)
{
    for (uint32_t i = 0; i <= mixed->mask; i++)
        subject_free(here, mixed->slots[i].block, mixed->slots[i].bytes);
}

#endif
