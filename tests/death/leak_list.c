/* leak_list.c - a manager is destroyed while blocks live: they are listed. Ends well. */
#define ROMA_CALL_SITES
#include <roma.h>

int main(void)
{
    roma_options options = roma_options_default();
    options.debug = ROMA_DEBUG_LEAKS | ROMA_DEBUG_SITES;
    options.name = "leaky";
    roma_manager *manager;
    if (roma_manager_create(&manager, &options, NULL) < 0)
        return 1;
    void *block = roma_alloc(manager, 100);
    return roma_retain(block) != 2 || roma_manager_destroy_all(manager) != 0;
}
