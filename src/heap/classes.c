/* classes.c - see classes.h. */
#include "heap/classes.h"

#include "base/bits.h"
#include "heap/pagemap.h"

unsigned roma__class_of(size_t bytes)
{
    if (bytes <= 16 * ROMA__CLASS_LINEAR)
        return bytes == 0 ? 0 : (unsigned)((bytes - 1) / 16);
    /* 2^log2 < bytes <= 2^(log2 + 1): which quarter of this doubling? */
    unsigned log2 = roma__log2_floor(bytes - 1);
    unsigned quarter = (unsigned)((bytes - 1) >> (log2 - 2)) & 3;
    return ROMA__CLASS_LINEAR + (log2 - 7) * 4 + quarter;
}

uint32_t roma__class_bytes(unsigned class_index)
{
    if (class_index < ROMA__CLASS_LINEAR)
        return (class_index + 1) * 16;
    unsigned log2 = 7 + (class_index - ROMA__CLASS_LINEAR) / 4;
    unsigned quarter = (class_index - ROMA__CLASS_LINEAR) % 4;
    return (1u << log2) + ((quarter + 1) << (log2 - 2));
}

uint32_t roma__class_granules(unsigned class_index)
{
    uint32_t cell = roma__class_bytes(class_index);
    uint32_t wanted_cells = cell <= 4096 ? 64 : 16;
    for (uint32_t granules = 1; granules < 32; granules++) {
        uint32_t bytes = granules << ROMA__GRANULE_SHIFT;
        if (bytes / cell >= wanted_cells && bytes % cell <= bytes / 16)
            return granules;
    }
    return 32;
}
