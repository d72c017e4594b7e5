/* wrong_size.c - a block is freed with another length than it has. */
#include <roma.h>

int main(void)
{
    void *block = roma_alloc(roma_default(), 100);
    roma_free_sized(block, 200);
    return 0;
}
