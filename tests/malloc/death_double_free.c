/* death_double_free.c - a small block is freed twice. Without state words it is found when the
 * block goes back to its slab: here, when the caches are emptied. Nothing is allocated in between:
 * both frees would be answered with the same block. */
#include "death.h"

int main(void)
{
    void *block = malloc(100);
    free(block);
    free(hidden(block));
    say("the second free returned\n");
    (void)malloc_trim(0);
    say("the trim returned\n");
    return go_on();
}
