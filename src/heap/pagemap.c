/* pagemap.c - making leaves, and the slow search; see pagemap.h. */
#include "heap/pagemap.h"

#include "base/bits.h"
#include "base/check.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>

struct roma__map_leaf *roma__map_root[1 << ROMA__MAP_ROOT_BITS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t leaves_count;

struct roma__map_leaf *roma__map_leaf_aside(void)
{
    void *leaf = roma__sys->mmap(NULL, sizeof(struct roma__map_leaf), PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return leaf == MAP_FAILED ? NULL : leaf;
}

void roma__map_leaf_discard(struct roma__map_leaf *leaf)
{
    roma__sys->munmap(leaf, sizeof *leaf);
}

/* Use the leaf where there is none yet, else give it back. */
static void place_leaf(uintptr_t leaf_index, struct roma__map_leaf *leaf)
{
    pthread_mutex_lock(&lock);
    bool wanted = roma__load(&roma__map_root[leaf_index]) == NULL;
    if (wanted) { /* release: whoever finds the leaf finds its zeroes */
        roma__store_release(&roma__map_root[leaf_index], leaf);
        leaves_count++;
    }
    pthread_mutex_unlock(&lock);
    if (!wanted)
        roma__map_leaf_discard(leaf);
}

static uintptr_t leaf_index_of(const void *address)
{
    return (uintptr_t)address >> ROMA__GRANULE_SHIFT >> ROMA__MAP_LEAF_BITS;
}

void roma__map_cover_with(const void *address, struct roma__map_leaf *aside)
{
    roma_check(leaf_index_of(address) >> ROMA__MAP_ROOT_BITS == 0);
    place_leaf(leaf_index_of(address), aside);
}

int roma__map_cover(const void *address, size_t bytes)
{
    uintptr_t last = leaf_index_of((const char *)address + bytes - 1);
    if (last >> ROMA__MAP_ROOT_BITS != 0)
        return -EOVERFLOW;
    for (uintptr_t i = leaf_index_of(address); i <= last; i++) {
        if (roma__load_acquire(&roma__map_root[i]) != NULL)
            continue;
        struct roma__map_leaf *leaf = roma__map_leaf_aside();
        if (leaf == NULL)
            return -ENOMEM;
        place_leaf(i, leaf);
    }
    return 0;
}

struct roma__slab *roma__map_find_below(const void *address, size_t reach)
{
    uintptr_t at = (uintptr_t)address;
    uintptr_t end = at > reach ? at - reach : 0;
    while (at >= end) {
        size_t step = ROMA__GRANULE_BYTES;
        struct roma__slab *slab = roma__map_find((const void *)at);
        if (slab != NULL)
            return slab;
        if (roma__map_leaf_of((const void *)at) == NULL)
            step = (size_t)ROMA__GRANULE_BYTES << ROMA__MAP_LEAF_BITS; /* no leaf: skip all of it */
        uintptr_t floor = roma__align_down(at, step);
        if (floor == 0)
            return NULL;
        at = floor - 1;
    }
    return NULL;
}

size_t roma__map_bytes(void)
{
    pthread_mutex_lock(&lock);
    size_t bytes = leaves_count * sizeof(struct roma__map_leaf);
    pthread_mutex_unlock(&lock);
    return bytes;
}

void roma__map_fork_hold(void)
{
    pthread_mutex_lock(&lock);
}

void roma__map_fork_free(void)
{
    pthread_mutex_unlock(&lock);
}
