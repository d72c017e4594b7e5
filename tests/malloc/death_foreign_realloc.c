/* death_foreign_realloc.c - realloc of an address on the stack. */
#include "death.h"

int main(void)
{
    int other = 0;
    if (realloc(hidden(&other), 100) != NULL)
        return 1;
    return go_on();
}
