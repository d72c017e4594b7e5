/* death_interior_free.c - free of an address inside a block. */
#include "death.h"

int main(void)
{
    char *block = malloc(100);
    free(hidden(block + 24));
    free(block);
    return go_on();
}
