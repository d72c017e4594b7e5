/* late_shim.c - see late_shim.h. */
#include "late_shim.h"

#include "heap/claim.h"
#include "heap/internal.h"
#include "heap/remote.h"

#include "base/check.h"

struct late_cell late_look(const void *address)
{
    struct late_cell cell = {.slab = roma__map_find(address)};
    size_t inside;
    roma_check(cell.slab != NULL && !roma__slab_is_large(cell.slab));
    bool is_found = roma__slab_index(cell.slab, address, &cell.index, &inside);
    roma_check(is_found && inside == 0);
    cell.word = roma__load_acquire(&roma__slab_state(cell.slab, cell.index)->word);
    return cell;
}

void late_send(roma_cache *from, const struct late_cell *cell)
{
    struct roma__cache *cache = (struct roma__cache *)from;
    roma__cache_lock_own(cache);
    int class_index = roma__remote_send(cache, cell->slab, cell->index, cell->word);
    if (class_index >= 0)
        roma__cache_count_sent(cache, (unsigned)class_index, 0);
    else
        roma__heap_late_misuse(cache->heap, roma__slab_address(cell->slab, cell->index));
    pthread_mutex_unlock(&cache->lock);
}

void *late_slab_base(const struct late_cell *cell)
{
    return roma__load(&cell->slab->head.base);
}

bool late_is_large(const struct late_cell *cell)
{
    return roma__slab_is_large(cell->slab);
}

const void *late_heap(const struct late_cell *cell)
{
    return roma__load(&cell->slab->head.heap);
}
