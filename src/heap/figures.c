/* figures.c - what a heap counts, and where.
 *
 * Takes and releases are counted by the caches, one writer each, without a locked instruction; a
 * heap's figures are the sum over its caches, those that are gone, and its large cells. Read one
 * after the other while others go on, so they are exact only when nobody does.
 *
 * Requested lengths are not counted: they stand with the cells, and are added up when they are
 * asked for. That costs a look at every cell, and nothing at every life.
 *
 * The peak cannot be had in either way. Caches tell the heap how many usable bytes live of theirs
 * (publish) whenever they come the slow way, and the peak is that of the sum told: it may miss what
 * comes and goes within a magazine. */
#include "heap/internal.h"

#include "heap/metadata.h"

/* Returns the peak. A sum may be negative for a while: one cache's releases are told before
 * another's takes. */
static uint64_t raise_peak(roma__heap *heap, uint64_t now)
{
    uint64_t peak = roma__load(&heap->peak_bytes);
    while ((int64_t)now > 0 && peak < now)
        if (__atomic_compare_exchange_n(&heap->peak_bytes, &peak, now, true, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
            return now;
    return peak;
}

void roma__heap_publish(roma__heap *heap, uint64_t more)
{
    uint64_t now = more == 0 ? roma__load(&heap->published_bytes)
                             : roma__add(&heap->published_bytes, more) + more;
    if ((int64_t)now > (int64_t)roma__load(&heap->peak_bytes))
        (void)raise_peak(heap, now - roma__parked_bytes(&heap->extents));
}

void roma__heap_count_descriptor(roma__heap *heap, const struct roma__slab *slab, bool stands)
{
    uint64_t bytes = roma__slab_record_bytes(slab);
    if (stands)
        (void)roma__add(&heap->descriptor_bytes, bytes);
    else
        (void)roma__subtract(&heap->descriptor_bytes, bytes);
}

void roma__heap_take_back(roma__heap *heap, unsigned class_index, void *address)
{
    const struct roma__slab *slab = roma__map_find(address);
    uint64_t index = slab == NULL ? 0 : roma__slab_index_at(&slab->head, address);
    uint64_t bytes = roma__class_bytes(class_index);
    if (slab != NULL && roma__load(&slab->head.heap) == heap &&
        roma__slab_has_index(&slab->head, index))
        bytes = roma__slab_bytes(slab, (uint32_t)index);
    (void)roma__add(&heap->refused_given[class_index], 1);
    (void)roma__add(&heap->refused_bytes, bytes);
    roma__heap_publish(heap, roma__class_bytes(class_index));
    roma__heap_late_misuse(heap, address);
}

struct sums {
    uint64_t taken[ROMA__CLASS_COUNT], given[ROMA__CLASS_COUNT];
    uint64_t bytes_live; /* requested lengths, of a heap with words */
};

static void add_cache(struct sums *sums, const struct roma__cache *cache)
{
    /* Releases first: a block that is seen to end has been seen to begin, but for other
     * threads'. */
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        const struct roma__magazine *magazine = &cache->handle.magazines[i];
        uint64_t given = roma__load_acquire(&magazine->given);
        sums->given[i] += given + roma__load(&cache->sent_cells[i]);
        sums->taken[i] += given + roma__load(&magazine->moved) - roma__magazine_count(cache, i);
    }
}

/* Lengths are with the cells, not counted at each life: live ones are added up here. A cell that
 * was released and is on its way to its owner lives there still, and was counted by its sender. */
static uint64_t lengths_of(const struct roma__slab *slab)
{
    const struct roma__state *states = roma__load(&slab->head.states);
    uint32_t cells = states == NULL ? 0 : roma__load(&slab->head.cells_count);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < cells; i++)
        if (roma__word_count(roma__load_acquire(&states[i].word)) > 0)
            bytes += roma__load(&states[i].tail) >> ROMA__FLAG_BITS;
    return bytes;
}

static void add_lengths(struct sums *sums, struct roma__cache *cache)
{
    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        for (const struct roma__slab *slab = cache->bins[i].all; slab != NULL;
             slab = slab->all_next)
            sums->bytes_live += lengths_of(slab);
    sums->bytes_live -= roma__load(&cache->sent_bytes) - roma__load(&cache->received_bytes);
    pthread_mutex_unlock(&cache->lock);
}

/* with_lengths: bytes_live, too, at the cost of a look at every cell. */
static struct sums sum_up(roma__heap *heap, bool with_lengths)
{
    struct sums sums;
    pthread_mutex_lock(&heap->caches_lock);
    sums.bytes_live = roma__load(&heap->refused_bytes) - heap->past_sent_bytes;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        uint64_t late = roma__load(&heap->late_given[i]);
        sums.taken[i] = heap->past_taken[i] - late;
        sums.given[i] = heap->past_given[i] - late - roma__load(&heap->refused_given[i]);
    }
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next) {
        add_cache(&sums, cache);
        if (with_lengths)
            add_lengths(&sums, cache);
    }
    add_cache(&sums, &heap->common);
    if (with_lengths)
        add_lengths(&sums, &heap->common);
    pthread_mutex_unlock(&heap->caches_lock);
    return sums;
}

uint64_t roma__heap_held_bytes(const roma__heap *heap)
{
    return atomic_load_explicit(&heap->extents.bytes, memory_order_relaxed);
}

/* Read while others are inside, an end may be seen whose beginning is not. */
static uint64_t not_negative(uint64_t sum)
{
    return (int64_t)sum < 0 ? 0 : sum;
}

roma__heap_figures roma__heap_figures_of(roma__heap *heap)
{
    roma__heap_figures figures = {0};
    bool has_words = heap->words != ROMA__WORDS_NONE;
    struct sums sums = sum_up(heap, has_words);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        figures.takes += sums.taken[i];
        figures.releases += sums.given[i];
        figures.usable_live += (sums.taken[i] - sums.given[i]) * roma__class_bytes(i);
    }
    figures.bytes_live = has_words ? sums.bytes_live : figures.usable_live;
    pthread_mutex_lock(&heap->large_lock);
    const struct roma__parked_figures parked = roma__parked_figures_of(heap);
    figures.takes += heap->large_takes + parked.takes;
    figures.releases += heap->large_releases + parked.releases;
    figures.bytes_live += heap->large_bytes + parked.bytes;
    figures.usable_live += heap->large_usable_bytes + parked.usable_bytes;
    pthread_mutex_unlock(&heap->large_lock);
    figures.cells_live = not_negative(figures.takes - figures.releases);
    figures.bytes_live = not_negative(figures.bytes_live);
    figures.usable_live = not_negative(figures.usable_live);
    figures.usable_peak = raise_peak(heap, figures.usable_live);
    const struct roma__extents *extents = &heap->extents;
    figures.extents_live = atomic_load_explicit(&extents->count, memory_order_relaxed);
    figures.extents_bytes = atomic_load_explicit(&extents->bytes, memory_order_relaxed);
    figures.free_bytes = roma__extents_dirty_bytes(extents) + roma__parked_bytes(extents);
    figures.returned_bytes = roma__extents_clean_bytes(extents);
    figures.metadata_bytes = sizeof *heap + roma__load(&heap->descriptor_bytes) +
                             atomic_load_explicit(&extents->record_bytes, memory_order_relaxed) +
                             (figures.extents_bytes >> ROMA__GRANULE_SHIFT) *
                                 (sizeof(void *) + sizeof(struct roma__map_past));
    return figures;
}

void roma__heap_settle_figures(roma__heap *heap, const uint64_t *live)
{
    struct sums sums = sum_up(heap, false);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        uint64_t wanted = live == NULL ? 0 : live[i];
        heap->past_given[i] += sums.taken[i] - sums.given[i] - wanted;
    }
    heap->past_sent_bytes = 0;
    roma__store(&heap->refused_bytes, 0);
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        cache->sent_bytes = cache->received_bytes = 0;
    heap->common.sent_bytes = heap->common.received_bytes = 0;
}

void roma__heap_takes_by_class(roma__heap *heap, uint64_t takes[ROMA__CLASS_COUNT + 1])
{
    struct sums sums = sum_up(heap, false);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        takes[i] = sums.taken[i];
    pthread_mutex_lock(&heap->large_lock);
    takes[ROMA__CLASS_COUNT] = heap->large_takes + roma__parked_figures_of(heap).takes;
    pthread_mutex_unlock(&heap->large_lock);
}

size_t roma__heap_process_bytes(void)
{
    return roma__metadata_bytes() + roma__map_bytes();
}
