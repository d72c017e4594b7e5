/* geometry.c - how a slab of each class lies. Part of the format: a test keeps the whole table.
 *
 * Blocks stand from the slab's start on, so they are aligned to whatever power of two their class
 * is a multiple of. Behind the last block, at the slab's end, stand two words for each block, then
 * the remote bits. A slab has as many units as are needed to leave at most a sixteenth of it to no
 * block, with at least 8 blocks, and 16 units (1 MiB) at most. The classes are those of the
 * in-process heap up to 64 KiB; longer blocks, and those aligned to more, are whole units.
 *
 * An offset is divided by a block's size as offset * ceil(2^40 / size) >> 40: exact for offsets
 * below 2^20, since the error of the reciprocal, less than 1, times the offset stays below
 * 2^40 / size, for sizes of at most 2^16 * 16 / 16. */
#include "base/bits.h"
#include "heap/classes.h"
#include "store/view.h"

#include <pthread.h>

enum { SLAB_UNITS_MAX = 16, LEAST_BLOCKS = 8, CLASS_BYTES_MAX = ROMA__UNIT_BYTES };

static roma__geometry geometries[ROMA__CLASSES_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static uint32_t tail_bytes(uint32_t count)
{
    return count * 16 + (count + 63) / 64 * 8;
}

static uint32_t most_blocks(uint32_t slab_bytes, uint32_t bytes)
{
    uint32_t count = slab_bytes / (bytes + 16);
    while (count > 0 && count * bytes + tail_bytes(count) > slab_bytes)
        count--;
    return count;
}

static void fill(roma__geometry *geometry, uint32_t bytes)
{
    uint32_t units = 0, slab_bytes, count;
    do {
        slab_bytes = ++units * ROMA__UNIT_BYTES;
        count = most_blocks(slab_bytes, bytes);
    } while (
        units < SLAB_UNITS_MAX &&
        (count < LEAST_BLOCKS || slab_bytes - count * bytes - tail_bytes(count) > slab_bytes / 16));
    geometry->bytes = bytes;
    geometry->units = units;
    geometry->count = count;
    geometry->remote_words = (count + 63) / 64;
    geometry->remote_at = slab_bytes - geometry->remote_words * 8;
    geometry->words_at = (uint32_t)roma__align_down(geometry->remote_at - count * 16, 16);
    geometry->reciprocal = ((UINT64_C(1) << 40) + bytes - 1) / bytes;
}

static void fill_all(void)
{
    for (unsigned i = 0; i < ROMA__CLASSES_COUNT; i++)
        fill(&geometries[i], roma__class_bytes(i));
}

const roma__geometry *roma__geometries(void)
{
    (void)pthread_once(&once, fill_all);
    return geometries;
}

unsigned roma__store_class(uint64_t bytes, uint64_t align)
{
    if (bytes > CLASS_BYTES_MAX || align > ROMA__UNIT_BYTES)
        return ROMA__CLASSES_COUNT;
    if (align > 16) {
        uint64_t rounded = roma__align_up(bytes == 0 ? 1 : bytes, align);
        if (rounded > CLASS_BYTES_MAX)
            return ROMA__CLASSES_COUNT;
        bytes = rounded;
    }
    return roma__class_of(bytes);
}
