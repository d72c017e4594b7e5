/* death_double_free_large.c - a large block is freed twice: found at once, for its slab is gone. */
#include "death.h"

int main(void)
{
    void *block = malloc(8 << 20);
    free(block);
    free(hidden(block));
    say("the second free returned\n");
    return go_on();
}
