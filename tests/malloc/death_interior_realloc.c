/* death_interior_realloc.c - realloc of an address inside a block. */
#include "death.h"

int main(void)
{
    char *block = malloc(1000);
    if (realloc(hidden(block + 16), 2000) != NULL)
        return 1;
    free(block);
    return go_on();
}
