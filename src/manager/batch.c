/* batch.c - many blocks at once.
 *
 * The thread's cache copies addresses as long as it can; the block at which it cannot goes the slow
 * way alone, which knows every case, and the copying goes on behind it. */
#include "manager/manager.h"

#include "base/bits.h"
#include "manager/fast.h"

#include <errno.h>

/* ---- begin ----------------------------------------------------------------------------------- */

static bool is_cell_length(size_t bytes)
{
    return bytes <= ROMA__CLASS_MAX_BYTES;
}

/* Blocks of one length, to that cache where it can (NULL: there is none). */
static void end_all(roma_cache *cache, size_t bytes, void *const *blocks, size_t count,
                    const roma__site *site)
{
    size_t done = 0;
    while (done < count) {
        if (cache != NULL && is_cell_length(bytes))
            done += roma__cache_put_many(cache, bytes, blocks + done, count - done);
        if (done < count)
            roma__block_end_sized(blocks[done++], bytes, site);
    }
}

/* All or none. cache: of that heap, or NULL. */
static int begin_all(roma_manager *manager, roma__heap *heap, roma_cache *cache, size_t bytes,
                     void **blocks, size_t count, const roma__site *site)
{
    bool by_cache = cache != NULL && is_cell_length(bytes) && !manager->is_closed &&
                    roma__heap_takes(heap, roma__max(bytes, 1));
    size_t done = 0;
    while (done < count) {
        if (by_cache)
            done += roma__cache_take_many(cache, bytes, blocks + done, count - done);
        if (done == count)
            break;
        /* Also what the cache had no memory for: here the limit gives back and tries again. */
        blocks[done] = roma__block_begin_in(manager, heap, bytes, site);
        if (blocks[done] == NULL) {
            int code = -errno;
            end_all(cache, bytes, blocks, done, site);
            return code;
        }
        done++;
    }
    roma__limit_settle(manager); /* the cache may have obtained memory */
    return 0;
}

int roma_alloc_batch(roma_manager *manager, size_t bytes, void **blocks, size_t count)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__heap *heap;
    roma_error error;
    unsigned threads;
    if (manager == NULL || (blocks == NULL && count > 0))
        return -EINVAL;
    if (count == 0)
        return 0;
    if (manager->store != NULL)
        return roma__stored_begin_many(manager, bytes, blocks, count);
    int code = roma__heap_plain(manager, bytes, 0, &heap, &threads, &error);
    if (code < 0) {
        atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
        return code;
    }
    return begin_all(manager, heap, roma__heap_cache(heap), bytes, blocks, count, &site);
}

int roma_cache_alloc_batch(roma_cache *cache, size_t bytes, void **blocks, size_t count)
{
    const roma__site site = ROMA__SITE_HERE();
    if (cache == NULL || (blocks == NULL && count > 0))
        return -EINVAL;
    roma__heap *heap = cache->heap;
    return begin_all(roma__heap_owner(heap), heap, cache, bytes, blocks, count, &site);
}

/* ---- end ------------------------------------------------------------------------------------- */

/* What is in no slab: blocks of one store together, else one alone. Returns how many. */
static size_t end_unmapped(void *const *blocks, size_t count, const roma__site *site)
{
    size_t done = blocks[0] == NULL ? 0 : roma__stored_end_many(blocks, count, site);
    if (done == 0)
        roma__block_end(blocks[done++], site);
    return done;
}

void roma_free_batch(void *const *blocks, size_t count)
{
    const roma__site site = ROMA__SITE_HERE();
    struct roma__slab_head *slab;
    uint64_t index;
    size_t done = 0;
    while (done < count) { /* they may be of several managers */
        roma_cache *cache = roma__fast_find(blocks[done], &slab, &index);
        if (cache != NULL)
            done += roma__cache_put_many(cache, SIZE_MAX, blocks + done, count - done);
        if (done < count && slab == NULL)
            done += end_unmapped(blocks + done, count - done, &site);
        else if (done < count)
            roma__block_end(blocks[done++], &site);
    }
}

void roma_cache_free_batch(roma_cache *cache, size_t bytes, void *const *blocks, size_t count)
{
    const roma__site site = ROMA__SITE_HERE();
    end_all(cache, bytes, blocks, count, &site);
}
