/* fork.c - a heap across fork().
 *
 * Before fork every lock is held, in the order in which calls take them, so that the child's copy
 * of the heap is whole where locks guard it. What it is not is at rest: other threads of the
 * parent, which the child has not, may have been on a fast path, or between two steps of a call
 * with no lock held.
 *
 * So the child makes orphans of all caches but its own, whose cells go home, and then starts from
 * the words, where there are some: they are the truth. A cell that nobody counts and that is in no
 * slab was on its way, in or out, and goes home. The granules in use are those of the slabs that
 * are listed: a run between cut and listed goes back. Cells on extents that are not inherited
 * (hugetlb pages, MADV_DONTFORK) die, for their memory is a hole in the child's address space:
 * handles say
 * -ESTALE, addresses are unknown, and their providers are told to forget them.
 *
 * Without words one cell of each other thread may be lost to the child: that which it was putting
 * on a magazine at that instant.
 *
 * What a thread was obtaining from a provider at that moment, and had not yet given to the heap,
 * stays mapped in the child and is not used there.
 *
 * An extent that is just getting another place or length is waited for: what it leaves may be
 * another's mapping a moment later, and a child that knew only the old place would unmap that.
 * Resizing takes no lock of the heap, for providers may take long over it; it is counted, in all
 * heaps together. A fork waits until nobody does it, before it takes any other lock, and keeps
 * others from beginning: a provider may use a manager over a resize, and so may whoever it waits
 * for. Where pages are populated as they are added, the fork waits as long as that takes.
 *
 * Threads that resize again and again let a fork by that waits, each for a moment: it needs one
 * instant at which nobody resizes. Not for ever, since a provider that resizes something else over
 * a resize is waited for itself. */
#include "heap/internal.h"

#include "heap/metadata.h"

#include <time.h>

/* ---- extents that are being resized ---------------------------------------------------------- */

enum { PAUSE_NS = 50000, PAUSES_MOST = 100 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t none; /* waited on by who is to fork, and so by nobody at a fork */
    unsigned count;
    unsigned forks; /* that wait */
} resizing = {.lock = PTHREAD_MUTEX_INITIALIZER, .none = PTHREAD_COND_INITIALIZER};

/* Neither realloc() nor fork() is where a thread may be cancelled, and it would end here with what
 * nobody gives back. */
static int keep_from_cancelling(void)
{
    int before = PTHREAD_CANCEL_ENABLE;
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static void restore_cancelling(int before)
{
    (void)pthread_setcancelstate(before, NULL);
}

int roma__resizing_begin(void)
{
    const struct timespec pause = {0, PAUSE_NS};
    int cancelling = keep_from_cancelling();
    pthread_mutex_lock(&resizing.lock);
    for (int pauses = 0; resizing.forks > 0 && pauses < PAUSES_MOST; pauses++) {
        pthread_mutex_unlock(&resizing.lock);
        (void)nanosleep(&pause, NULL);
        pthread_mutex_lock(&resizing.lock);
    }
    resizing.count++;
    pthread_mutex_unlock(&resizing.lock);
    return cancelling;
}

void roma__resizing_end(int cancelling)
{
    pthread_mutex_lock(&resizing.lock);
    if (--resizing.count == 0)
        pthread_cond_broadcast(&resizing.none);
    pthread_mutex_unlock(&resizing.lock);
    restore_cancelling(cancelling);
}

void roma__heaps_fork_hold(void)
{
    int cancelling = keep_from_cancelling();
    pthread_mutex_lock(&resizing.lock);
    resizing.forks++;
    while (resizing.count > 0)
        pthread_cond_wait(&resizing.none, &resizing.lock);
    resizing.forks--;
    restore_cancelling(cancelling);
}

void roma__heaps_fork_free(void)
{
    pthread_mutex_unlock(&resizing.lock);
}

/* ---- locks ----------------------------------------------------------------------------------- */

void roma__heap_fork_hold(roma__heap *heap)
{
    pthread_mutex_lock(&heap->caches_lock);
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        pthread_mutex_lock(&cache->lock);
    pthread_mutex_lock(&heap->common.lock);
    pthread_mutex_lock(&heap->extents.lock);
    pthread_mutex_lock(&heap->large_lock);
}

void roma__heap_fork_free(roma__heap *heap)
{
    pthread_mutex_unlock(&heap->large_lock);
    pthread_mutex_unlock(&heap->extents.lock);
    pthread_mutex_unlock(&heap->common.lock);
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        pthread_mutex_unlock(&cache->lock);
    pthread_mutex_unlock(&heap->caches_lock);
}

void roma__heap_process_fork_hold(void)
{
    roma__threads_fork_hold();
    roma__remote_fork_hold();
    roma__extents_fork_hold();
    roma__map_fork_hold();
    roma__counts_fork_hold();
    roma__metadata_fork_hold();
}

void roma__heap_process_fork_free(void)
{
    roma__metadata_fork_free();
    roma__counts_fork_free();
    roma__map_fork_free();
    roma__extents_fork_free();
    roma__remote_fork_free();
    roma__threads_fork_free();
}

/* ---- in the child ---------------------------------------------------------------------------- */

static bool is_here(const struct roma__slab *slab)
{
    return slab->extent->extent.inherited;
}

/* Cells that nobody holds and that are not marked free were on their way there. */
static void settle_slab(struct roma__cache *cache, struct roma__slab *slab)
{
    struct roma__state *states = roma__load(&slab->head.states);
    uint32_t cells = states == NULL ? 0 : roma__load(&slab->head.cells_count);
    bool was_full = slab->free_count == 0;
    for (uint32_t i = 0; i < cells; i++)
        if (roma__word_count(roma__load_acquire(&states[i].word)) == 0)
            (void)roma__slab_give_bit(slab, i);
    if (was_full && slab->free_count > 0)
        roma__bin_push_partial(&cache->bins[roma__load(&slab->head.class_index)], slab);
}

static uint64_t settle_cache(struct roma__cache *cache)
{
    uint64_t ended = 0;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        for (struct roma__slab *slab = cache->bins[i].all, *next; slab != NULL; slab = next) {
            next = slab->all_next;
            if (is_here(slab)) {
                settle_slab(cache, slab);
            } else {
                roma__bin_forget(cache, slab);
                ended += roma__heap_end_slab(slab);
            }
        }
    }
    return ended;
}

static uint64_t settle_large(roma__heap *heap)
{
    uint64_t ended = 0;
    for (struct roma__slab *slab = heap->large, *next; slab != NULL; slab = next) {
        next = slab->next;
        if (!is_here(slab) || roma__word_count(roma__load_acquire(&slab->states[0].word)) == 0) {
            roma__large_drop(heap, slab);
            ended += roma__heap_end_slab(slab);
        }
    }
    return ended;
}

static void mark_cache(struct roma__cache *cache)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        for (struct roma__slab *slab = cache->bins[i].all; slab != NULL; slab = slab->all_next)
            roma__extents_mark(slab->extent, roma__slab_address(slab, 0), slab->granules);
}

static void mark_large(roma__heap *heap)
{
    for (struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next)
        roma__extents_mark(slab->extent, roma__slab_address(slab, 0),
                           (uint32_t)(roma__load(&slab->head.cell_bytes) >> ROMA__GRANULE_SHIFT));
}

/* Live cells as the slabs have them, by class. */
static void count_live(struct roma__cache *cache, uint64_t live[ROMA__CLASS_COUNT])
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        for (struct roma__slab *slab = cache->bins[i].all; slab != NULL; slab = slab->all_next)
            live[i] += roma__load(&slab->head.cells_count) - slab->free_count;
}

static void count_afresh(roma__heap *heap)
{
    uint64_t live[ROMA__CLASS_COUNT] = {0};
    count_live(&heap->common, live);
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        count_live(cache, live);
    uint64_t large = 0;
    heap->large_bytes = heap->large_usable_bytes = 0;
    for (struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next) {
        large++;
        heap->large_bytes += roma__slab_bytes(slab, 0);
        heap->large_usable_bytes += roma__load(&slab->head.cell_bytes);
    }
    heap->large_releases = heap->large_takes - large;
    roma__heap_settle_figures(heap, live);
}

uint64_t roma__heap_fork_child(roma__heap *heap)
{
    roma__caches_fork_child(heap);
    uint64_t ended = settle_cache(&heap->common);
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        ended += settle_cache(cache);
    roma__parked_forget(heap); /* what was free in a place is nobody's, and goes */
    ended += settle_large(heap);

    roma__extents_unmark(&heap->extents);
    mark_cache(&heap->common);
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        mark_cache(cache);
    mark_large(heap);
    roma__extents_settle(&heap->extents);
    count_afresh(heap);
    return ended;
}
