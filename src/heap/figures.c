/* figures.c - what a heap counts, and where.
 *
 * Takes and releases are counted by the caches, one writer each, without a locked instruction; a
 * heap's figures are the sum over its caches, those that are gone, and its large cells. Read one
 * after the other while others go on, so they are exact only when nobody does.
 *
 * The peak of bytes_live cannot be had that way. Caches tell the heap how far they have come
 * (publish) whenever they come the slow way, and the peak is that of the sum told: it may miss what
 * comes and goes within a magazine. */
#include "heap/internal.h"

#include "heap/metadata.h"

void roma__heap_publish(roma__heap *heap, uint64_t more)
{
    if (more == 0)
        return;
    uint64_t now = roma__add(&heap->published_bytes, more) + more;
    uint64_t peak = roma__load(&heap->peak_bytes);
    if ((int64_t)now < 0) /* one cache's releases before another's takes were told */
        return;
    while (peak < now && !__atomic_compare_exchange_n(&heap->peak_bytes, &peak, now, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

void roma__heap_count_descriptor(roma__heap *heap, const struct roma__slab *slab, bool stands)
{
    uint64_t bytes = roma__slab_record_bytes(slab);
    if (stands)
        (void)roma__add(&heap->descriptor_bytes, bytes);
    else
        (void)roma__subtract(&heap->descriptor_bytes, bytes);
}

struct sums {
    uint64_t taken[ROMA__CLASS_COUNT], given[ROMA__CLASS_COUNT];
    uint64_t bytes_taken, bytes_given;
};

static void add_cache(struct sums *sums, const struct roma__cache *cache)
{
    /* Releases first: a block that is seen to end has been seen to begin, but for other threads'. */
    sums->bytes_given += roma__load(&cache->handle.bytes_given);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        uint64_t given = roma__load_acquire(&cache->magazines[i].given);
        sums->given[i] += given;
        sums->taken[i] += given + roma__load(&cache->magazines[i].moved) -
                          roma__magazine_count(cache, i);
    }
    sums->bytes_taken += roma__load(&cache->handle.bytes_taken);
}

static struct sums sum_up(roma__heap *heap)
{
    struct sums sums;
    pthread_mutex_lock(&heap->caches_lock);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        sums.taken[i] = heap->past_taken[i];
        sums.given[i] = heap->past_given[i];
    }
    sums.bytes_taken = heap->past_bytes_taken;
    sums.bytes_given = heap->past_bytes_given;
    for (const struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        add_cache(&sums, cache);
    add_cache(&sums, &heap->common);
    pthread_mutex_unlock(&heap->caches_lock);
    return sums;
}

roma__heap_figures roma__heap_figures_of(roma__heap *heap)
{
    roma__heap_figures figures = {0};
    struct sums sums = sum_up(heap);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        figures.takes += sums.taken[i];
        figures.releases += sums.given[i];
        figures.usable_live += (sums.taken[i] - sums.given[i]) * roma__class_bytes(i);
    }
    figures.bytes_live = heap->words == ROMA__WORDS_NONE
                             ? figures.usable_live
                             : sums.bytes_taken - sums.bytes_given +
                                   roma__load(&heap->bytes_resized);
    pthread_mutex_lock(&heap->large_lock);
    figures.takes += heap->large_takes;
    figures.releases += heap->large_releases;
    figures.bytes_live += heap->large_bytes;
    figures.usable_live += heap->large_usable_bytes;
    pthread_mutex_unlock(&heap->large_lock);
    figures.cells_live = figures.takes - figures.releases;
    figures.bytes_peak = roma__load(&heap->peak_bytes);
    if (figures.bytes_peak < figures.bytes_live)
        figures.bytes_peak = figures.bytes_live;
    const struct roma__extents *extents = &heap->extents;
    figures.extents_live = atomic_load_explicit(&extents->count, memory_order_relaxed);
    figures.extents_bytes = atomic_load_explicit(&extents->bytes, memory_order_relaxed);
    figures.free_bytes = roma__extents_dirty_bytes(extents);
    figures.returned_bytes = roma__extents_clean_bytes(extents);
    figures.metadata_bytes = sizeof *heap + roma__load(&heap->descriptor_bytes) +
                             atomic_load_explicit(&extents->record_bytes, memory_order_relaxed) +
                             (figures.extents_bytes >> ROMA__GRANULE_SHIFT) *
                                 (sizeof(void *) + sizeof(struct roma__map_past));
    return figures;
}

void roma__heap_settle_figures(roma__heap *heap, const uint64_t *live, uint64_t bytes)
{
    struct sums sums = sum_up(heap);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        uint64_t wanted = live == NULL ? 0 : live[i];
        heap->past_given[i] += sums.taken[i] - sums.given[i] - wanted;
    }
    heap->past_bytes_given += sums.bytes_taken - sums.bytes_given - bytes;
}

void roma__heap_takes_by_class(roma__heap *heap, uint64_t takes[ROMA__CLASS_COUNT + 1])
{
    struct sums sums = sum_up(heap);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        takes[i] = sums.taken[i];
    pthread_mutex_lock(&heap->large_lock);
    takes[ROMA__CLASS_COUNT] = heap->large_takes;
    pthread_mutex_unlock(&heap->large_lock);
}

size_t roma__heap_process_bytes(void)
{
    return roma__metadata_bytes() + roma__map_bytes();
}
