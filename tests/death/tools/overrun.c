/* overrun.c - the byte behind a block is written, by a block that just fills its cell. */
#include <roma.h>

int main(void)
{
    volatile char *block = roma_alloc(roma_default(), 112);
    block[112] = 'x';
    return 0;
}
