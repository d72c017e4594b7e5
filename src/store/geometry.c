/* geometry.c - how a slab of each class lies: a table, part of the format.
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

/* A class by its block's bytes, its slab's units and how many blocks that holds. */
#define REMOTE_WORDS(count) (((count) + 63) / 64)
#define REMOTE_AT(units, count) ((units)*ROMA__UNIT_BYTES - REMOTE_WORDS(count) * 8)
#define OF(bytes, units, count)                                                                    \
    {                                                                                              \
        (bytes), (units), (count), (REMOTE_AT(units, count) - (count)*16) / 16 * 16,               \
            REMOTE_AT(units, count), REMOTE_WORDS(count),                                          \
            ((UINT64_C(1) << 40) + (bytes)-1) / (bytes)                                            \
    }

const roma__geometry roma__geometry_table[ROMA__CLASSES_COUNT] = {
    OF(16, 1, 2040),  OF(32, 1, 1361), OF(48, 1, 1022),  OF(64, 1, 817),   OF(80, 1, 681),
    OF(96, 1, 584),   OF(112, 1, 511), OF(128, 1, 454),  OF(160, 1, 372),  OF(192, 1, 314),
    OF(224, 1, 272),  OF(256, 1, 240), OF(320, 1, 194),  OF(384, 1, 163),  OF(448, 1, 141),
    OF(512, 1, 124),  OF(640, 1, 99),  OF(768, 1, 83),   OF(896, 1, 71),   OF(1024, 1, 63),
    OF(1280, 1, 50),  OF(1536, 1, 42), OF(1792, 1, 36),  OF(2048, 1, 31),  OF(2560, 1, 25),
    OF(3072, 1, 21),  OF(3584, 1, 18), OF(4096, 1, 15),  OF(5120, 1, 12),  OF(6144, 1, 10),
    OF(7168, 1, 9),   OF(8192, 2, 15), OF(10240, 2, 12), OF(12288, 2, 10), OF(14336, 2, 9),
    OF(16384, 4, 15), OF(20480, 3, 9), OF(24576, 4, 10), OF(28672, 4, 9),  OF(32768, 8, 15),
    OF(40960, 6, 9),  OF(49152, 7, 9), OF(57344, 8, 9),  OF(65536, 16, 15)};

unsigned roma__store_class(uint64_t bytes, uint64_t align)
{
    if (bytes > ROMA__UNIT_BYTES || align > ROMA__UNIT_BYTES)
        return ROMA__CLASSES_COUNT;
    if (align > 16) {
        uint64_t rounded = roma__align_up(bytes == 0 ? 1 : bytes, align);
        if (rounded > ROMA__UNIT_BYTES)
            return ROMA__CLASSES_COUNT;
        bytes = rounded;
    }
    return roma__class_of(bytes);
}
