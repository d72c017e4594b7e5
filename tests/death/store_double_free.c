/* store_double_free.c - a block of a store is freed twice, by its plain pointer. */
#include <roma.h>

int main(void)
{
    roma_store *store;
    if (roma_store_create_memory("death", NULL, &store, NULL) < 0)
        return 1;
    void *block = roma_alloc(roma_store_manager(store), 100);
    roma_free(block);
    roma_free(block);
    return 0;
}
