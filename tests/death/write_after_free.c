/* write_after_free.c - a free block is written to; the manager keeps fill patterns. */
#include <roma.h>

int main(void)
{
    roma_options options = roma_options_default();
    options.debug = ROMA_DEBUG_PATTERNS;
    roma_manager *manager;
    if (roma_manager_create(&manager, &options, NULL) < 0)
        return 1;
    volatile char *block = roma_alloc(manager, 100);
    roma_free((void *)block);
    block[7] = 'x';
    void *next = roma_alloc(manager, 100);
    return next == NULL;
}
