/* death_interior_large.c - free of an address far inside a large block. */
#include "death.h"

int main(void)
{
    char *block = malloc(8 << 20);
    free(hidden(block + 3000000));
    free(block);
    return go_on();
}
