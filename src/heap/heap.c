/* heap.c - taking cells and letting them go.
 *
 * By length and alignment a cell comes from one of three places:
 *
 *   class  up to 256 KiB     a free bit of a slab of its class; a lock a class
 *   run    up to own_bytes   whole granules of a shared extent
 *   own    beyond, or aligned to more than a granule: an extent of its own
 *
 * own_bytes is the page size of the ladder's first step, but at least 1 MiB: so a block of n huge
 * pages is exactly n huge pages, and a block smaller than one shares it with others.
 *
 * A class keeps one empty slab and the heap one empty extent, so that a pair of allocate and free
 * does not go to the kernel each time; trim gives them back. */
#include "heap/internal.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/grant.h"
#include "heap/metadata.h"
#include "sys/records.h"

#include "base/text.h"

#include <errno.h>
#include <string.h>

enum { OWN_LEAST_BYTES = 1 << 20 };

/* ---- opening and closing -------------------------------------------------------------------- */

int roma__heap_open(const roma__heap_options *options, roma__heap **opened, roma_error *error)
{
    roma_check(options->ladder.count > 0);
    roma__heap *heap = roma__record_new(sizeof *heap);
    if (heap == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    heap->owner = options->owner;
    heap->own_bytes = roma__max(OWN_LEAST_BYTES, roma_page_bytes(options->ladder.steps[0].pages));
    struct roma__extents *extents = &heap->extents;
    pthread_mutex_init(&extents->lock, NULL);
    pthread_mutex_init(&heap->large_lock, NULL);
    extents->ladder = options->ladder;
    extents->growth_bytes = options->growth_bytes;
    extents->inherit = options->inherit;
    extents->owner = options->owner;
    extents->charge = options->charge;
    extents->credit = options->credit;
    extents->released = options->released;
    roma__text_copy(extents->label, sizeof extents->label, options->label);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        pthread_mutex_init(&heap->classes[i].lock, NULL);
    *opened = heap;
    return 0;
}

const roma__ladder *roma__heap_ladder(const roma__heap *heap)
{
    return &heap->extents.ladder;
}

uint64_t roma__heap_end_slab(struct roma__slab *slab)
{
    uint64_t live = 0;
    uint32_t cells = atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    for (uint32_t i = 0; i < cells; i++)
        live += roma__word_kill(&slab->words[i]);
    roma__slab_retire(slab);
    return live;
}

uint64_t roma__heap_clear(roma__heap *heap)
{
    uint64_t live = 0;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        struct roma__class *class = &heap->classes[i];
        pthread_mutex_lock(&class->lock);
        for (struct roma__slab *slab = class->all; slab != NULL; slab = slab->all_next)
            live += roma__heap_end_slab(slab);
        class->all = class->partial = NULL;
        pthread_mutex_unlock(&class->lock);
    }
    pthread_mutex_lock(&heap->large_lock);
    for (struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next)
        live += roma__heap_end_slab(slab);
    heap->large = NULL;
    pthread_mutex_unlock(&heap->large_lock);
    while (heap->extents.shared != NULL)
        roma__extents_release(&heap->extents, heap->extents.shared);
    while (heap->extents.owned != NULL)
        roma__extents_release(&heap->extents, heap->extents.owned);
    heap->extents.empty_count = 0;
    atomic_store_explicit(&heap->descriptor_bytes, 0, memory_order_relaxed);
    return live;
}

uint64_t roma__heap_close(roma__heap *heap)
{
    uint64_t live = roma__heap_clear(heap);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        pthread_mutex_destroy(&heap->classes[i].lock);
    pthread_mutex_destroy(&heap->large_lock);
    pthread_mutex_destroy(&heap->extents.lock);
    roma__record_free(heap, sizeof *heap);
    return live;
}

/* ---- lists of slabs ------------------------------------------------------------------------- */

static void count_descriptor(roma__heap *heap, const struct roma__slab *slab, bool stands)
{
    uint64_t bytes = roma__slab_record_bytes(slab);
    if (stands)
        atomic_fetch_add_explicit(&heap->descriptor_bytes, bytes, memory_order_relaxed);
    else
        atomic_fetch_sub_explicit(&heap->descriptor_bytes, bytes, memory_order_relaxed);
}

void roma__heap_push_partial(struct roma__class *class, struct roma__slab *slab)
{
    slab->previous = NULL;
    slab->next = class->partial;
    if (class->partial != NULL)
        class->partial->previous = slab;
    class->partial = slab;
}

static void drop_partial(struct roma__class *class, struct roma__slab *slab)
{
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        class->partial = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    slab->next = slab->previous = NULL;
}

static void push_all(struct roma__class *class, struct roma__slab *slab)
{
    slab->all_previous = NULL;
    slab->all_next = class->all;
    if (class->all != NULL)
        class->all->all_previous = slab;
    class->all = slab;
}

static void drop_all(struct roma__class *class, struct roma__slab *slab)
{
    if (slab->all_previous != NULL)
        slab->all_previous->all_next = slab->all_next;
    else
        class->all = slab->all_next;
    if (slab->all_next != NULL)
        slab->all_next->all_previous = slab->all_previous;
}

void roma__heap_push_large(roma__heap *heap, struct roma__slab *slab)
{
    pthread_mutex_lock(&heap->large_lock);
    slab->previous = NULL;
    slab->next = heap->large;
    if (heap->large != NULL)
        heap->large->previous = slab;
    heap->large = slab;
    pthread_mutex_unlock(&heap->large_lock);
    count_descriptor(heap, slab, true);
}

void roma__heap_drop_large(roma__heap *heap, struct roma__slab *slab)
{
    pthread_mutex_lock(&heap->large_lock);
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        heap->large = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    pthread_mutex_unlock(&heap->large_lock);
    count_descriptor(heap, slab, false);
}

/* ---- cells of a class ----------------------------------------------------------------------- */

static int no_descriptor(roma_grant *grant, roma_error *error)
{
    int code = roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    return roma__grant_fail(grant, code, error);
}

/* A new slab at the head of the class's partial list. Under the class's lock. */
static int add_slab(roma__heap *heap, unsigned class_index, bool *reused, roma_grant *grant,
                    roma_error *error)
{
    uint32_t granules = roma__class_granules(class_index);
    uint32_t cell_bytes = roma__class_bytes(class_index);
    uint32_t cells = (granules << ROMA__GRANULE_SHIFT) / cell_bytes;
    struct roma__extent_record *record;
    char *base;
    int code = roma__extents_cut(&heap->extents, granules, &base, &record, reused, grant, error);
    if (code < 0)
        return code;
    struct roma__slab *slab = roma__slab_prepare(base, cells, cell_bytes);
    if (slab == NULL) {
        roma__extents_give(&heap->extents, record, base, granules);
        return no_descriptor(grant, error);
    }
    slab->extent = record;
    roma__slab_publish(slab, heap, class_index, cells, cell_bytes, granules);
    roma__heap_push_partial(&heap->classes[class_index], slab);
    push_all(&heap->classes[class_index], slab);
    count_descriptor(heap, slab, true);
    return 0;
}

/* Make a free cell live: the only place that starts a life. The cell is the caller's alone. */
static void start_life(struct roma__slab *slab, uint32_t index, const roma__take *take)
{
    uint32_t word = atomic_load_explicit(&slab->words[index], memory_order_relaxed);
    roma__slab_set_tail(slab, index, take->bytes, take->flags);
    atomic_store_explicit(&slab->words[index], roma__word_make(roma__word_generation(word), 1),
                          memory_order_release);
}

static int take_from_class(roma__heap *heap, size_t bytes, const roma__take *take,
                           struct roma__slab **from, uint32_t *index, bool *reused,
                           roma_grant *grant, roma_error *error)
{
    unsigned class_index = roma__class_of(bytes);
    struct roma__class *class = &heap->classes[class_index];
    int code = 0;
    *reused = true;
    pthread_mutex_lock(&class->lock);
    if (class->partial == NULL)
        code = add_slab(heap, class_index, reused, grant, error);
    if (code == 0) {
        *from = class->partial;
        *index = roma__slab_take_bit(*from);
        if ((*from)->free_count == 0)
            drop_partial(class, *from);
        start_life(*from, *index, take);
    }
    pthread_mutex_unlock(&class->lock);
    return code;
}

void roma__heap_forget_slab(roma__heap *heap, struct roma__class *class, struct roma__slab *slab)
{
    if (slab->free_count > 0)
        drop_partial(class, slab);
    drop_all(class, slab);
    count_descriptor(heap, slab, false);
}

typedef void give_run(struct roma__extents *extents, struct roma__extent_record *record, char *base,
                      uint32_t granules);

/* Give an empty slab's granules back, by either way. Under the class's lock. */
static void remove_slab(roma__heap *heap, struct roma__class *class, struct roma__slab *slab,
                        give_run *give)
{
    struct roma__extent_record *record = slab->extent;
    char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    uint32_t granules = slab->granules;
    roma__heap_forget_slab(heap, class, slab);
    roma__slab_retire(slab);
    give(&heap->extents, record, base, granules);
}

static void recycle_to_class(roma__heap *heap, struct roma__slab *slab, uint32_t index)
{
    struct roma__class *class =
        &heap->classes[atomic_load_explicit(&slab->class_index, memory_order_relaxed)];
    uint32_t word = atomic_load_explicit(&slab->words[index], memory_order_relaxed);
    pthread_mutex_lock(&class->lock);
    if (roma__word_generation(word) == (slab->first_generation & ROMA__GENERATION_MASK))
        slab->turned = true;
    roma__slab_give_bit(slab, index);
    if (slab->free_count == 1)
        roma__heap_push_partial(class, slab);
    bool is_empty = slab->free_count ==
                    atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    bool is_only = class->partial == slab && slab->next == NULL;
    if (is_empty && !is_only)
        remove_slab(heap, class, slab, roma__extents_give);
    pthread_mutex_unlock(&class->lock);
}

/* ---- large cells ---------------------------------------------------------------------------- */

static int take_run(roma__heap *heap, size_t bytes, const roma__take *take,
                    struct roma__slab **from, bool *reused, roma_grant *grant, roma_error *error)
{
    size_t run_bytes = roma__align_up(bytes, ROMA__GRANULE_BYTES);
    uint32_t granules = (uint32_t)(run_bytes >> ROMA__GRANULE_SHIFT);
    struct roma__extent_record *record;
    char *base;
    int code = roma__extents_cut(&heap->extents, granules, &base, &record, reused, grant, error);
    if (code < 0)
        return code;
    struct roma__slab *slab = roma__slab_prepare(base, 1, run_bytes);
    if (slab == NULL) {
        roma__extents_give(&heap->extents, record, base, granules);
        return no_descriptor(grant, error);
    }
    slab->extent = record;
    roma__slab_publish(slab, heap, ROMA__CLASS_LARGE, 1, run_bytes, 1);
    start_life(slab, 0, take);
    roma__heap_push_large(heap, slab);
    *from = slab;
    return 0;
}

static int take_own(roma__heap *heap, size_t bytes, const roma__take *take,
                    struct roma__slab **from, roma_grant *grant, roma_error *error)
{
    struct roma__extent_record *record;
    int code = roma__extents_take_own(&heap->extents, bytes, take->align, take->populate_threads,
                                      &record, grant, error);
    if (code < 0)
        return code;
    struct roma__slab *slab = roma__slab_prepare(record->extent.address, 1, record->extent.bytes);
    if (slab == NULL) {
        roma__extents_release(&heap->extents, record);
        return no_descriptor(grant, error);
    }
    slab->extent = record;
    roma__slab_publish(slab, heap, ROMA__CLASS_LARGE, 1, record->extent.bytes, 1);
    start_life(slab, 0, take);
    roma__heap_push_large(heap, slab);
    *from = slab;
    return 0;
}

static void recycle_large(roma__heap *heap, struct roma__slab *slab)
{
    struct roma__extent_record *record = slab->extent;
    char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    size_t bytes = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    roma__heap_drop_large(heap, slab);
    roma__slab_retire(slab);
    if (record->own)
        roma__extents_release(&heap->extents, record);
    else
        roma__extents_give(&heap->extents, record, base, (uint32_t)(bytes >> ROMA__GRANULE_SHIFT));
}

/* ---- the calls ------------------------------------------------------------------------------ */

/* Make the pages under a cell of a shared extent present. */
static int populate_cell(const roma__cell *cell, unsigned threads, roma_error *error)
{
    const struct roma__extent_record *record = cell->slab->extent;
    size_t page_bytes = record->extent.page_bytes;
    size_t start = (size_t)((char *)cell->address - (char *)record->extent.address);
    size_t first = roma__align_down(start, page_bytes);
    size_t end = roma__min(roma__align_up(start + cell->usable, page_bytes), record->extent.bytes);
    roma_range range = {&record->extent, first, end - first};
    roma_populate_options options = {sizeof options, threads, NULL};
    return roma_provider_populate(roma__extents_provider(&cell->heap->extents, record), &range,
                                  &options, error);
}

int roma__heap_take(roma__heap *heap, const roma__take *take, roma__cell *cell, roma_grant *grant,
                    roma_error *error)
{
    size_t bytes;
    if (roma__align_up_overflows(roma__max(take->bytes, 1), take->align, &bytes) ||
        bytes > PTRDIFF_MAX - heap->own_bytes) {
        int code = roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
        roma__grant_clear(grant);
        return roma__grant_fail(grant, code, error);
    }
    struct roma__slab *slab = NULL;
    uint32_t index = 0;
    bool reused = false;
    bool own = take->align > ROMA__GRANULE_BYTES || bytes >= heap->own_bytes;
    int code;
    if (own)
        code = take_own(heap, roma__max(take->bytes, 1), take, &slab, grant, error);
    else if (bytes <= ROMA__CLASS_MAX_BYTES)
        code = take_from_class(heap, bytes, take, &slab, &index, &reused, grant, error);
    else
        code = take_run(heap, bytes, take, &slab, &reused, grant, error);
    if (code < 0)
        return code;
    roma__cell_fill(slab, index, cell);
    const struct roma__extent_record *record = slab->extent;
    if (grant != NULL && reused)
        roma__cell_grant(cell, grant);
    if (grant != NULL) {
        grant->bytes = cell->usable;
        grant->zeroed = take->zero || (own && record->extent.zeroed);
    }
    if (!own && take->populate_threads > 0 && !record->extent.populated) {
        code = populate_cell(cell, take->populate_threads, error);
        if (code < 0) {
            roma_check(roma__cell_drop(cell, ROMA__ANY_GENERATION) == 0);
            roma__cell_recycle(cell);
            return roma__grant_fail(grant, code, error);
        }
        if (grant != NULL)
            grant->populated = true;
    }
    if (take->zero && !(own && record->extent.zeroed))
        memset(cell->address, 0, take->bytes);
    return 0;
}

void roma__cell_recycle(roma__cell *cell)
{
    if (roma__slab_is_large(cell->slab))
        recycle_large(cell->heap, cell->slab);
    else
        recycle_to_class(cell->heap, cell->slab, cell->index);
}

size_t roma__heap_trim(roma__heap *heap, size_t keep_bytes)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        struct roma__class *class = &heap->classes[i];
        pthread_mutex_lock(&class->lock);
        struct roma__slab *slab = class->partial;
        while (slab != NULL) {
            struct roma__slab *next = slab->next;
            if (slab->free_count == atomic_load_explicit(&slab->cells_count, memory_order_relaxed))
                remove_slab(heap, class, slab, roma__extents_put);
            slab = next;
        }
        pthread_mutex_unlock(&class->lock);
    }
    return roma__extents_trim(&heap->extents, keep_bytes);
}

roma__heap_figures roma__heap_figures_of(roma__heap *heap)
{
    roma__heap_figures figures = {0};
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        struct roma__class *class = &heap->classes[i];
        pthread_mutex_lock(&class->lock);
        for (struct roma__slab *slab = class->all; slab != NULL; slab = slab->all_next)
            figures.cells_live += atomic_load_explicit(&slab->cells_count, memory_order_relaxed) -
                                  slab->free_count;
        pthread_mutex_unlock(&class->lock);
    }
    pthread_mutex_lock(&heap->large_lock);
    for (struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next)
        figures.cells_live++;
    pthread_mutex_unlock(&heap->large_lock);
    figures.extents_live = atomic_load_explicit(&heap->extents.count, memory_order_relaxed);
    figures.extents_bytes = atomic_load_explicit(&heap->extents.bytes, memory_order_relaxed);
    figures.metadata_bytes =
        sizeof *heap + atomic_load_explicit(&heap->descriptor_bytes, memory_order_relaxed) +
        atomic_load_explicit(&heap->extents.record_bytes, memory_order_relaxed) +
        (figures.extents_bytes >> ROMA__GRANULE_SHIFT) * sizeof(struct roma__map_entry);
    return figures;
}

size_t roma__heap_process_bytes(void)
{
    return roma__metadata_bytes() + roma__map_bytes();
}
