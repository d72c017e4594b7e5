/* bits.h - powers of two, rounding, and arithmetic that says when it overflows. No OS. */
#ifndef ROMA_BASE_BITS_H
#define ROMA_BASE_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool roma__is_power_of_two(size_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

static inline bool roma__is_aligned(size_t value, size_t power)
{
    return (value & (power - 1)) == 0;
}

static inline size_t roma__align_down(size_t value, size_t power)
{
    return value & ~(power - 1);
}

/* Round up to a multiple of a power of two; true when that overflows, *out is then 0. */
static inline bool roma__align_up_overflows(size_t value, size_t power, size_t *out)
{
    size_t sum;
    if (__builtin_add_overflow(value, power - 1, &sum)) {
        *out = 0;
        return true;
    }
    *out = roma__align_down(sum, power);
    return false;
}

/* The same where the caller has checked that it cannot overflow. */
static inline size_t roma__align_up(size_t value, size_t power)
{
    return roma__align_down(value + (power - 1), power);
}

static inline bool roma__add_overflows(size_t a, size_t b, size_t *sum)
{
    return __builtin_add_overflow(a, b, sum);
}

static inline bool roma__mul_overflows(size_t a, size_t b, size_t *product)
{
    return __builtin_mul_overflow(a, b, product);
}

/* Index of the highest set bit; value must not be 0. */
static inline unsigned roma__log2_floor(size_t value)
{
    return (unsigned)(63 - __builtin_clzll((unsigned long long)value));
}

static inline size_t roma__min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t roma__max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
