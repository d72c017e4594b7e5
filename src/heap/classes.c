/* classes.c - see classes.h. */
#include "heap/classes.h"

#include "heap/pagemap.h"

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
