/* death_unmapped_free.c - free of an address where nothing is. */
#include "death.h"

int main(void)
{
    free(hidden((char *)0x1000 + 64));
    return go_on();
}
