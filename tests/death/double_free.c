/* double_free.c - a block is freed twice; the manager keeps call sites. */
#define ROMA_CALL_SITES
#include <roma.h>

int main(void)
{
    roma_options options = roma_options_default();
    options.debug = ROMA_DEBUG_SITES;
    roma_manager *manager;
    if (roma_manager_create(&manager, &options, NULL) < 0)
        return 1;
    void *block = roma_alloc(manager, 100);
    roma_free(block);
    roma_free(block);
    return 0;
}
