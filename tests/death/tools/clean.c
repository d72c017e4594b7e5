/* clean.c - much use, no misuse: a tool must find nothing, also in memory that roma gave back. */
#include <roma.h>

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static void use(roma_manager *manager, size_t bytes)
{
    char *block = roma_alloc_zeroed(manager, bytes), *others[20];
    if (block == NULL || (bytes > 0 && (block[0] != 0 || block[bytes - 1] != 0)))
        abort();
    memset(block, 1, bytes);
    for (size_t more = bytes; more < 3 * bytes + 100; more += bytes / 2 + 30) {
        block = roma_resize(block, more);
        memset(block, 2, more);
    }
    block = roma_resize(block, bytes / 3);
    memset(block, 3, bytes / 3);
    for (int i = 0; i < 20; i++)
        memset(others[i] = roma_alloc(manager, bytes), i, bytes);
    for (int i = 0; i < 20; i++)
        roma_free(others[i]);
    roma_free(block);
    if (roma_manager_check(manager) != 0)
        abort();
}

static void use_all(unsigned debug, roma_provider *provider)
{
    roma_options options = roma_options_default();
    options.debug = debug;
    options.growth_bytes = 1 << 18;
    if (provider != NULL) {
        options.providers = &provider;
        options.providers_count = 1;
    }
    roma_manager *manager;
    if (roma_manager_create(&manager, &options, NULL) < 0)
        abort();
    for (size_t bytes = 0; bytes < (provider != NULL ? 100000 : 3000000); bytes = bytes * 2 + 13)
        use(manager, bytes);
    void *rest = roma_alloc(manager, 1000);
    if (rest == NULL || roma_manager_trim(manager, 0) < 0 || roma_manager_destroy_all(manager) < 0)
        abort();
}

/* What was roma's a moment ago: the kernel is likely to give the same addresses. */
static void use_address_space(void)
{
    size_t bytes = 64 << 20;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    memset(memory, 1, bytes);
    munmap(memory, bytes);
}

int main(void)
{
    size_t bytes = 32 << 20;
    char *memory = malloc(bytes);
    roma_region_config config = {.size = sizeof config, .address = memory, .bytes = bytes};
    roma_provider *region;
    if (memory == NULL || roma_provider_region(&config, &region, NULL) < 0)
        abort();
    for (unsigned round = 0; round < 2; round++) {
        use_all(round == 0 ? 0 : ROMA_DEBUG_ALL & ~ROMA_DEBUG_LEAKS, NULL);
        use_all(round == 0 ? 0 : ROMA_DEBUG_ALL & ~ROMA_DEBUG_LEAKS, region);
        use_address_space();
        memset(memory, 1, bytes); /* the program's own again */
    }
    if (roma_provider_unregister(region) < 0)
        abort();
    free(memory);
    return 0;
}
