/* use_after_resize.c - the part that a resize took away is written. */
#include <roma.h>

int main(void)
{
    char *block = roma_alloc(roma_default(), 100);
    volatile char *shorter = roma_resize(block, 50);
    shorter[60] = 'x';
    return 0;
}
