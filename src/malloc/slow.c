/* slow.c - what the hot paths leave over.
 *
 * A thread's first slow call binds it to its cache of the heap. Until then, and from the thread's
 * end on, its hot paths meet a cache that is always closed, and all work is done here by calls on
 * the heap that need no cache.
 *
 * Where a policy has routes that part (routes.c), all work is done here in all threads, and what
 * caches they have is known there.
 *
 * In a hardened heap (ROMA_HARDENED=1: every cell has a state word, changed by compare-and-swap)
 * threads have caches, but the hot paths do not use them: every free looks at the word, so that a
 * second one is told at once.
 *
 * errno: free keeps it, as POSIX.1-2024 has it; so do calls that succeed, though they need not. */
#include "malloc/fast.h"
#include "malloc/settings.h"

#include <errno.h>
#include <string.h>

_Thread_local struct roma__mine roma__mine = {.fast = &roma__cache_closed};

/* ---- a thread and its cache ------------------------------------------------------------------ */

static void bind(roma__heap *heap)
{
    struct roma__mine *mine = &roma__mine;
    if (__builtin_expect(mine->state != ROMA__THREAD_NEW, 1))
        return;
    mine->state = ROMA__THREAD_BINDING; /* to be told of the thread's end may call malloc */
    roma_cache *cache = roma__shim_watch_thread() ? roma__heap_cache(heap) : NULL;
    if (!roma__routes_part) {
        mine->own = cache;
        if (cache != NULL && cache->words == ROMA__WORDS_NONE)
            mine->fast = cache;
    }
    mine->state = cache != NULL ? ROMA__THREAD_BOUND : ROMA__THREAD_NEW;
}

void roma__thread_ends(void *unused)
{
    (void)unused;
    struct roma__mine *mine = &roma__mine;
    mine->fast = &roma__cache_closed;
    mine->own = NULL;
    mine->state = ROMA__THREAD_ENDED;
    roma__caches_leave();
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* From the cache, where it only was not bound yet, or is not for the hot paths. */
static void *take_cached(size_t bytes, size_t align, bool zero)
{
    roma_cache *cache = roma__mine.own;
    bool is_plain = align <= ROMA__ALIGN_MIN;
    size_t length = is_plain ? bytes : roma__aligned_length(bytes, align);
    if (cache == NULL || length > ROMA__CLASS_MAX_BYTES || (length == 0 && !is_plain))
        return NULL;
    void *block = roma__cache_take(cache, length);
    if (block != NULL && zero)
        memset(block, 0, bytes);
    return block;
}

static void *take_from_heap(roma__heap *heap, size_t bytes, size_t align, bool zero)
{
    roma__take take = {.bytes = bytes, .align = align, .zero = zero};
    roma__cell cell;
    roma_error error;
    int code = roma__heap_take(heap, &take, &cell, NULL, &error);
    if (code < 0)
        roma__routes_failed(&error);
    return code < 0 ? NULL : cell.address;
}

/* Where all blocks are of one heap. Of several, which one's parked runs a length may have is known
 * by its route alone. */
static void *take_of_one(roma__heap *heap, size_t bytes, size_t align, bool zero)
{
    void *block = bytes <= ROMA__CLASS_MAX_BYTES ? take_cached(bytes, align, zero)
                  : zero                         ? NULL
                                                 : roma__heap_take_parked(heap, bytes, align);
    return block != NULL ? block : take_from_heap(heap, bytes, align, zero);
}

void *roma__take_slow(size_t bytes, size_t align, bool zero)
{
    void *block = NULL;
    bool is_bound = roma__mine.state == ROMA__THREAD_BOUND;
    if (is_bound && roma__routes_part) /* it has seen them opened */
        block = roma__routes_take_cached(bytes, align, zero);
    if (block != NULL)
        return block;
    int saved = errno;
    roma__heap *heap = roma__shim_heap();
    if (heap != NULL && bytes <= PTRDIFF_MAX) {
        if (!is_bound)
            bind(heap);
        block = roma__routes_part ? roma__routes_take(bytes, align, zero)
                                  : take_of_one(heap, bytes, align, zero);
        roma__background_serve();
    }
    errno = block != NULL ? saved : ENOMEM;
    return block;
}

void *roma__take_claimed(size_t bytes, unsigned class_index, void **top)
{
    void *block = roma__cache_take_settled(roma__mine.fast, class_index, top, bytes);
    return block != NULL ? block : roma__take_slow(bytes, ROMA__ALIGN_MIN, false);
}

/* ---- giving ---------------------------------------------------------------------------------- */

/* Threads that only free get a cache, too. */
static bool free_cached(void *block)
{
    roma__heap *heap = roma__shim_heap_if_open();
    if (heap == NULL || (roma__mine.state != ROMA__THREAD_NEW && !roma__routes_part))
        return false;
    bind(heap);
    return roma__routes_part ? roma__routes_give(block) : roma__free_fast(block);
}

void roma__free_slow(void *block)
{
    if (block == NULL)
        return;
    int saved = errno;
    if (!roma__heap_end_parked(block, SIZE_MAX) && !free_cached(block)) {
        roma__cell cell;
        int code = roma__cell_find(block, &cell);
        if (code == 0)
            code = roma__cell_release(&cell, ROMA__ANY_GENERATION);
        if (code < 0)
            roma__shim_misuse("free", block, code, &cell);
    }
    errno = saved;
}
