/* interior_free.c - an address inside a block is freed. */
#include <roma.h>

int main(void)
{
    char *block = roma_alloc(roma_default(), 100);
    roma_free(block + 24);
    return 0;
}
