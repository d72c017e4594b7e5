/* overrun.c - a byte behind a block is written; the manager keeps guard bytes. */
#include <roma.h>

int main(void)
{
    roma_options options = roma_options_default();
    options.debug = ROMA_DEBUG_GUARDS;
    roma_manager *manager;
    if (roma_manager_create(&manager, &options, NULL) < 0)
        return 1;
    volatile char *block = roma_alloc(manager, 100);
    block[101] = 'x';
    roma_free((void *)block);
    return 0;
}
