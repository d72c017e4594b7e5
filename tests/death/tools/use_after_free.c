/* use_after_free.c - a block is read after it was freed. */
#include <roma.h>

int main(void)
{
    volatile char *block = roma_alloc_zeroed(roma_default(), 100);
    roma_free((void *)block);
    return block[50];
}
