/* chance.h - random numbers that a seed repeats, for each thread its own (xorshift). */
#ifndef ROMA_TESTS_CRASH_CHANCE_H
#define ROMA_TESTS_CRASH_CHANCE_H

#include <stdint.h>

/* The seed, and never 0. */
extern _Thread_local uint64_t chance_state;

/* From 0 to below - 1; inline, since some do little else. The lowest bits are dropped. */
static inline uint64_t chance_draw(uint64_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return (chance_state >> 11) % below;
}

#endif
