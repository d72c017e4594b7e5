/* death_interior_reused.c - free of an address inside a large block, where small blocks stood
 * before: they have been freed, and this one has not. */
#include "death.h"

#include <stdint.h>

enum { COUNT = 16384, SMALL_BYTES = 1000, LARGE_BYTES = 300 << 10, TRIES = 40, GRANULE = 64 << 10 };

static void *blocks[COUNT];

/* Did a small block stand in the granule of an address? */
static int is_known(const char *address)
{
    for (int i = 0; i < COUNT; i++)
        if ((uintptr_t)blocks[i] / GRANULE == (uintptr_t)address / GRANULE)
            return 1;
    return 0;
}

int main(void)
{
    for (int i = 0; i < COUNT; i++)
        blocks[i] = malloc(SMALL_BYTES);
    for (int i = 0; i < COUNT; i++)
        free(blocks[i]);
    for (int i = 0; i < TRIES; i++) {
        char *large = malloc(LARGE_BYTES);
        if (!is_known(large + GRANULE))
            continue;
        free(hidden(large + GRANULE));
        free(large);
        return go_on();
    }
    say("no large block stands where small ones did\n");
    return 4;
}
