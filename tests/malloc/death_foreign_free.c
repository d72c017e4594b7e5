/* death_foreign_free.c - free of an address on the stack. */
#include "death.h"

int main(void)
{
    int other = 0;
    free(hidden(&other));
    return go_on();
}
