/* bins.c - a cache's slabs of each class: their free bits, new slabs, and those that go back.
 *
 * A bin lists its slabs with free cells; the first is used until it is full. One slab that is empty
 * is kept when it is the only one with room, so that a pair of refill and flush at the edge does
 * not go to the extents each time.
 *
 * Before a new slab is cut, orphans are looked at: caches whose thread has ended with cells of its
 * slabs in use. A slab with room changes over to the bin. Cells of it that are on their way to the
 * orphan are passed on from there (has_lost_slabs). */
#include "heap/cache.h"
#include "heap/internal.h"

#include "base/check.h"

/* ---- lists ---------------------------------------------------------------------------------- */

void roma__bin_push_partial(struct roma__bin *bin, struct roma__slab *slab)
{
    slab->previous = NULL;
    slab->next = bin->partial;
    if (bin->partial != NULL)
        bin->partial->previous = slab;
    bin->partial = slab;
}

static void drop_partial(struct roma__bin *bin, struct roma__slab *slab)
{
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        bin->partial = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    slab->next = slab->previous = NULL;
}

static void push_all(struct roma__bin *bin, struct roma__slab *slab)
{
    slab->all_previous = NULL;
    slab->all_next = bin->all;
    if (bin->all != NULL)
        bin->all->all_previous = slab;
    bin->all = slab;
}

static void drop_all(struct roma__bin *bin, struct roma__slab *slab)
{
    if (slab->all_previous != NULL)
        slab->all_previous->all_next = slab->all_next;
    else
        bin->all = slab->all_next;
    if (slab->all_next != NULL)
        slab->all_next->all_previous = slab->all_previous;
}

static struct roma__bin *bin_of(struct roma__cache *cache, const struct roma__slab *slab)
{
    return &cache->bins[roma__load(&slab->head.class_index)];
}

static bool is_empty(const struct roma__slab *slab)
{
    return slab->free_count == roma__load(&slab->head.cells_count);
}

/* Lists alone; the slab keeps its keeper. */
static void unlist(struct roma__bin *bin, struct roma__slab *slab)
{
    if (slab->free_count > 0)
        drop_partial(bin, slab);
    drop_all(bin, slab);
}

void roma__bin_forget(struct roma__cache *cache, struct roma__slab *slab)
{
    unlist(bin_of(cache, slab), slab);
    roma__heap_count_descriptor(cache->heap, slab, false);
}

void roma__bin_move(struct roma__cache *from, struct roma__cache *to, struct roma__slab *slab)
{
    unlist(bin_of(from, slab), slab);
    roma__store(&slab->keeper, to);
    roma__store(&slab->head.key, roma__cache_key_of(to));
    push_all(bin_of(to, slab), slab);
    if (slab->free_count > 0)
        roma__bin_push_partial(bin_of(to, slab), slab);
    from->has_lost_slabs = true;
}

/* ---- taking --------------------------------------------------------------------------------- */

uint32_t roma__bin_take(struct roma__cache *cache, unsigned class_index, void **addresses,
                        void **states, uint32_t count)
{
    struct roma__bin *bin = &cache->bins[class_index];
    uint32_t taken = 0;
    while (taken < count && bin->partial != NULL) {
        struct roma__slab *slab = bin->partial;
        taken += roma__slab_take_cells(slab, &addresses[taken],
                                       states == NULL ? NULL : &states[taken], count - taken);
        if (slab->free_count == 0)
            drop_partial(bin, slab);
    }
    return taken;
}

static int add_slab(struct roma__cache *cache, unsigned class_index, bool *reused,
                    roma_grant *grant, roma_error *error)
{
    roma__heap *heap = cache->heap;
    uint32_t granules = roma__class_granules(class_index);
    uint32_t cells = (granules << ROMA__GRANULE_SHIFT) / roma__class_bytes(class_index);
    struct roma__extent_record *record;
    char *base;
    int code = roma__extents_cut(&heap->extents, granules, &base, &record, reused, grant, error);
    if (code < 0)
        return code;
    struct roma__slab *slab = roma__slab_prepare(base, cells, heap->words != ROMA__WORDS_NONE);
    if (slab == NULL) {
        roma__extents_give(&heap->extents, record, base, granules);
        return roma__heap_no_descriptor(grant, error);
    }
    slab->extent = record;
    roma__slab_publish(slab, cache, class_index, cells, granules);
    roma__bin_push_partial(&cache->bins[class_index], slab);
    push_all(&cache->bins[class_index], slab);
    roma__heap_count_descriptor(heap, slab, true);
    return 0;
}

int roma__bin_grow(struct roma__cache *cache, unsigned class_index, bool *reused, roma_grant *grant,
                   roma_error *error)
{
    *reused = true;
    if (roma__orphans_serve(cache, class_index))
        return 0;
    return add_slab(cache, class_index, reused, grant, error);
}

/* ---- giving back ---------------------------------------------------------------------------- */

typedef void give_run(struct roma__extents *extents, struct roma__extent_record *record, char *base,
                      uint32_t granules);

static void remove_slab(struct roma__cache *cache, struct roma__slab *slab, give_run *give)
{
    struct roma__extent_record *record = slab->extent;
    char *base = roma__load(&slab->head.base);
    uint32_t granules = slab->granules;
    roma__bin_forget(cache, slab);
    roma__slab_retire(slab);
    give(&cache->heap->extents, record, base, granules);
}

void roma__bin_give(struct roma__cache *cache, struct roma__slab *slab, uint32_t index)
{
    struct roma__bin *bin = bin_of(cache, slab);
    if (!roma__slab_give_bit(slab, index)) {
        unsigned class_index = roma__load(&slab->head.class_index);
        roma__figure_add(&cache->handle.magazines[class_index].moved,
                         1); /* it had been counted out */
        roma__cache_late_misuse(cache, class_index, roma__slab_address(slab, index));
        return;
    }
    if (slab->free_count == 1)
        roma__bin_push_partial(bin, slab);
    if (is_empty(slab) && (bin->partial != slab || slab->next != NULL)) /* else the only one */
        remove_slab(cache, slab, roma__extents_give);
}

bool roma__bins_trim(struct roma__cache *cache)
{
    bool left = false;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        struct roma__slab *slab = cache->bins[i].partial;
        while (slab != NULL) {
            struct roma__slab *next = slab->next;
            if (is_empty(slab))
                remove_slab(cache, slab, roma__extents_put);
            slab = next;
        }
        left = left || cache->bins[i].all != NULL;
    }
    return left;
}

uint64_t roma__cache_clear(struct roma__cache *cache)
{
    uint64_t live = 0;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        for (struct roma__slab *slab = cache->bins[i].all, *next; slab != NULL; slab = next) {
            next = slab->all_next;
            live += roma__heap_end_slab(slab);
            roma__heap_count_descriptor(cache->heap, slab, false);
        }
        cache->bins[i].all = cache->bins[i].partial = NULL;
    }
    return live;
}
