/* pace.h - whether transparent huge pages come quickly enough to be asked for.
 *
 * As a rule the kernel clears a huge page faster than it hands the same bytes out in base pages: at
 * 15 to 20 GB/s against 1.5 to 3. But not always. Free memory of a virtual machine that was told to
 * the host (free page reporting, which tells of nothing smaller than a huge page) has lost what
 * stood behind it, and the host puts it back base page by base page: .3 to 1 GB/s. Memory in pieces
 * makes the kernel compact it first. Base pages come out of smaller pieces, which are neither told
 * nor compacted. A program of a few seconds that asks for huge pages then pays more for its first
 * touch than it gains. And one that needs little more than a base page pays for clearing all of a
 * huge one.
 *
 * No file of the kernel tells. So the first huge page of an extent, which is used first, is
 * populated and timed: a *try*. One that was slow makes its extent one of base pages, and those
 * that come after, until as many bytes have come so as a *rest* says; then the next extent is a try
 * again. A rest is twice as long as the one before, so that a program of any size pays for few slow
 * tries, and as short as at first once a try was quick. A process begins with a short rest: its
 * first extents are of base pages without a try.
 *
 * Threads: any. Two that try at once, or miss one another's bytes, only try once more or less. */
#ifndef ROMA_MALLOC_PACE_H
#define ROMA_MALLOC_PACE_H

#include "heap/atomics.h"

#include <stddef.h>
#include <stdint.h>

enum {
    ROMA__PACE_BYTES_PER_NS = 4, /* fewer are slow: base pages do up to 3 */
    ROMA__PACE_START_BYTES = 4 << 20,
    ROMA__PACE_REST_LEAST_BYTES = 32 << 20,
    ROMA__PACE_REST_MOST_BYTES = 1 << 30
};

struct roma__pace {
    uint64_t left; /* bytes to come in base pages before the next try    */
    uint64_t rest; /* the last slow try's; 0: there was none, or a quick one since */
};

#define ROMA__PACE_AT_START                                                                        \
    {                                                                                              \
        ROMA__PACE_START_BYTES, 0                                                                  \
    }

/* Are these bytes to come in base pages? They are counted. */
static inline bool roma__pace_rests(struct roma__pace *pace, size_t bytes)
{
    uint64_t left = roma__load(&pace->left);
    if (left == 0)
        return false;
    roma__store(&pace->left, left > bytes ? left - bytes : 0);
    return true;
}

/* A try's huge page, of so many bytes, took so long. Returns whether that was quick. */
static inline bool roma__pace_is_quick(struct roma__pace *pace, size_t bytes, uint64_t took_ns)
{
    uint64_t rest = roma__load(&pace->rest);
    if (took_ns <= bytes / ROMA__PACE_BYTES_PER_NS) {
        roma__store(&pace->rest, 0);
        return true;
    }
    if (rest == 0)
        rest = ROMA__PACE_REST_LEAST_BYTES;
    else if (rest < ROMA__PACE_REST_MOST_BYTES)
        rest *= 2;
    roma__store(&pace->rest, rest);
    roma__store(&pace->left, rest);
    return false;
}

#endif
