/* foreign_free.c - an address that no manager has given out is freed. */
#include <roma.h>

int main(void)
{
    int other = 0;
    void *block = roma_alloc(roma_default(), 100);
    roma_free(block);
    roma_free(&other);
    return 0;
}
