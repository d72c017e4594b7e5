/* heap.c - a heap is opened and closed, and gives out cells.
 *
 * By length and alignment a cell comes from one of two places:
 *
 *   class   up to 256 KiB   the thread's cache (cache.h)
 *   large   beyond, or aligned to more than a granule (large.c)
 *
 * This is the way with everything: a grant, flags, zeroes, pages made present. The way of most
 * cells is inline (<roma/cache.h>) and comes here when a magazine is empty. */
#include "heap/claim.h"
#include "heap/internal.h"

#include "base/bits.h"
#include "base/check.h"
#include "base/error.h"
#include "base/grant.h"
#include "base/text.h"
#include "sys/records.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { OWN_LEAST_BYTES = 1 << 20 };

uint64_t roma__heap_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- opening and closing -------------------------------------------------------------------- */

static void open_extents(struct roma__extents *extents, const roma__heap_options *options)
{
    pthread_mutex_init(&extents->lock, NULL);
    extents->ladder = options->ladder;
    extents->growth_bytes = options->growth_bytes;
    extents->return_delay_ns = options->return_delay_ns;
    extents->inherit = options->inherit;
    extents->owner = options->owner;
    extents->charge = options->charge;
    extents->credit = options->credit;
    extents->obtained = options->obtained;
    extents->released = options->released;
    roma__text_copy(extents->label, sizeof extents->label, options->label);
}

/* A record with a slot; NULL: no memory. */
static roma__heap *new_record(void *owner)
{
    roma__heap *heap = roma__record_new(sizeof *heap);
    if (heap == NULL)
        return NULL;
    heap->owner = owner;
    heap->slot = roma__slot_take(&heap->serial);
    if (heap->slot != UINT32_MAX)
        return heap;
    roma__record_free(heap, sizeof *heap);
    return NULL;
}

static void free_record(roma__heap *heap)
{
    roma__slot_give(heap->slot);
    roma__record_free(heap, sizeof *heap);
}

int roma__heap_open(const roma__heap_options *options, roma__heap **opened, roma_error *error)
{
    roma_check(options->ladder.count > 0);
    roma__heap *heap = new_record(options->owner);
    if (heap == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    heap->own_bytes = roma__max(OWN_LEAST_BYTES, roma_page_bytes(options->ladder.steps[0].pages));
    heap->lengths_below = options->lengths_below == 0 ? SIZE_MAX : options->lengths_below;
    heap->words = options->words;
    heap->bounded = options->bounded;
    heap->is_closed = options->closed;
    heap->populate_threads = options->populate_threads;
    heap->late_misuse = options->late_misuse;
    pthread_mutex_init(&heap->large_lock, NULL);
    pthread_mutex_init(&heap->caches_lock, NULL);
    open_extents(&heap->extents, options);
    roma__cache_make(&heap->common);
    (void)roma__cache_open(&heap->common, heap, ROMA__CACHE_COMMON);
    *opened = heap;
    return 0;
}

int roma__heap_open_stand_in(void *owner, roma__heap *(*here)(void *owner), roma__heap **opened,
                             roma_error *error)
{
    roma__heap *heap = new_record(owner);
    if (heap == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    heap->here = here;
    *opened = heap;
    return 0;
}

void roma__heap_close_stand_in(roma__heap *heap)
{
    free_record(heap);
}

const roma__ladder *roma__heap_ladder(const roma__heap *heap)
{
    return &heap->extents.ladder;
}

bool roma__heap_takes(const roma__heap *heap, size_t bytes)
{
    return bytes < heap->lengths_below || heap->lengths_below == SIZE_MAX;
}

void *roma__heap_owner(const roma__heap *heap)
{
    return heap->owner;
}

uint64_t roma__heap_end_slab(struct roma__slab *slab)
{
    uint64_t live = 0;
    struct roma__state *states = roma__load(&slab->head.states);
    uint32_t cells = roma__load(&slab->head.cells_count);
    for (uint32_t i = 0; i < cells; i++) {
        bool lived = states == NULL ? !roma__slab_bit_is_free(slab, i)
                                    : roma__word_kill(&states[i].word);
        live += lived;
        /* A life has ended that nobody counted. Of one that never began it says nothing. */
        if (lived && states != NULL && roma__word_generation(roma__load(&states[i].word)) == 0)
            slab->turned = true;
    }
    roma__slab_retire(slab);
    return live;
}

/* After a clear: as many releases as takes, and no byte. */
static void settle_figures(roma__heap *heap)
{
    heap->large_releases = heap->large_takes;
    heap->large_bytes = heap->large_usable_bytes = 0;
    roma__heap_publish(heap, 0 - heap->published_bytes);
    roma__heap_settle_figures(heap, NULL);
}

uint64_t roma__heap_clear(roma__heap *heap)
{
    uint64_t live = roma__heap_figures_of(heap).cells_live;
    pthread_mutex_lock(&heap->caches_lock); /* threads may be ending */
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next) {
        roma__cache_discard(cache);
        (void)roma__cache_clear(cache);
    }
    roma__cache_discard(&heap->common);
    (void)roma__cache_clear(&heap->common);
    roma__parked_forget(heap);
    for (struct roma__slab *slab = heap->large, *next; slab != NULL; slab = next) {
        next = slab->next;
        (void)roma__heap_end_slab(slab);
    }
    heap->large = NULL;
    while (heap->extents.shared != NULL)
        roma__extents_release(&heap->extents, heap->extents.shared);
    while (heap->extents.owned != NULL)
        roma__extents_release(&heap->extents, heap->extents.owned);
    roma__store(&heap->descriptor_bytes, 0);
    pthread_mutex_unlock(&heap->caches_lock);
    settle_figures(heap);
    return live;
}

uint64_t roma__heap_close(roma__heap *heap)
{
    roma__caches_await(heap);
    uint64_t live = roma__heap_clear(heap);
    roma__caches_close(heap);
    roma__slot_give(heap->slot);
    pthread_mutex_destroy(&heap->common.lock);
    pthread_mutex_destroy(&heap->large_lock);
    pthread_mutex_destroy(&heap->caches_lock);
    pthread_mutex_destroy(&heap->extents.lock);
    roma__record_free(heap, sizeof *heap);
    return live;
}

/* ---- taking ---------------------------------------------------------------------------------- */

int roma__heap_no_descriptor(roma_grant *grant, roma_error *error)
{
    int code = roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    return roma__grant_fail(grant, code, error);
}

/* Make a free cell of a class live: the slow way's part of roma__cache_take(). */
static void start_life(struct roma__slab *slab, uint32_t index, const roma__take *take)
{
    struct roma__state *state = roma__slab_state(slab, index);
    if (state == NULL)
        return;
    roma__slab_set_tail(slab, index, take->bytes, take->flags);
    uint32_t word = roma__load(&state->word);
    roma__store_release(&state->word, roma__word_make(roma__word_generation(word), 1));
}

static int take_of_class(roma__heap *heap, size_t bytes, const roma__take *take,
                         struct roma__slab **slab, uint32_t *index, bool *reused, roma_grant *grant,
                         roma_error *error)
{
    struct roma__cache *cache = roma__cache_for(heap);
    unsigned class_index = roma__class_of(bytes);
    void *address;
    roma__cache_lock_own(cache);
    int code = roma__cache_pop(cache, class_index, &address, slab, index, reused, grant, error);
    if (code == 0)
        start_life(*slab, *index, take);
    pthread_mutex_unlock(&cache->lock);
    return code;
}

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

static int refuse(int code, enum roma_why why, roma_grant *grant, roma_error *error)
{
    roma__error(error, code, why);
    roma__grant_clear(grant);
    return roma__grant_fail(grant, code, error);
}

static int take_cell(roma__heap *heap, const roma__take *take, roma__cell *cell, roma_grant *grant,
                     roma_error *error)
{
    size_t bytes;
    if (roma__align_up_overflows(roma__max(take->bytes, 1), take->align, &bytes) ||
        bytes > PTRDIFF_MAX - heap->own_bytes)
        return refuse(-EOVERFLOW, ROMA_WHY_ADDRESS_SPACE, grant, error);
    struct roma__slab *slab = NULL;
    uint32_t index = 0;
    bool reused = false;
    bool is_of_class = bytes <= ROMA__CLASS_MAX_BYTES && take->align <= ROMA__GRANULE_BYTES;
    int code = is_of_class ? take_of_class(heap, bytes, take, &slab, &index, &reused, grant, error)
                           : roma__large_take(heap, bytes, take, &slab, &reused, grant, error);
    if (code < 0)
        return code;
    roma__cell_fill(slab, index, cell);
    const struct roma__extent_record *record = slab->extent;
    bool is_zero = record->own && record->extent.zeroed;
    if (grant != NULL && reused)
        roma__cell_grant(cell, grant);
    if (grant != NULL) {
        grant->bytes = cell->usable;
        grant->zeroed = take->zero || is_zero;
    }
    if (!record->own && take->populate_threads > 0 && !record->extent.populated) {
        code = populate_cell(cell, take->populate_threads, error);
        if (code < 0) {
            (void)roma__cell_release(cell, ROMA__ANY_GENERATION);
            return roma__grant_fail(grant, code, error);
        }
        if (grant != NULL)
            grant->populated = true;
    }
    if (take->zero && !is_zero)
        memset(cell->address, 0, take->bytes);
    return 0;
}

int roma__heap_take(roma__heap *heap, const roma__take *take, roma__cell *cell, roma_grant *grant,
                    roma_error *error)
{
    roma__take populated;
    if (take->populate_threads < heap->populate_threads) {
        populated = *take;
        populated.populate_threads = heap->populate_threads;
        take = &populated;
    }
    return take_cell(heap, take, cell, grant, error);
}

uint64_t roma__heap_visit(roma__heap *heap, uint64_t now_ns)
{
    uint64_t before_ns = roma__load(&heap->visited_ns);
    if ((int64_t)(now_ns - before_ns) <= 0) /* as a rule the same: the clock is coarse */
        return 0;
    roma__store(&heap->visited_ns, now_ns);
    return before_ns == 0 ? 0 : now_ns - before_ns;
}

/* ---- giving back ----------------------------------------------------------------------------- */

size_t roma__heap_trim(roma__heap *heap, size_t keep_bytes)
{
    roma__caches_flush(heap);
    return roma__extents_trim(&heap->extents, keep_bytes);
}

size_t roma__heap_return(roma__heap *heap, uint64_t now_ns, bool is_thorough)
{
    if (is_thorough)
        roma__caches_flush(heap);
    if (!roma__extents_is_due(&heap->extents, now_ns))
        return 0;
    return roma__extents_return(&heap->extents, now_ns);
}

void roma__heap_late_misuse(roma__heap *heap, void *address)
{
    if (heap->late_misuse != NULL)
        heap->late_misuse(heap->owner, address);
    else
        roma__check_failed("a block is freed once, and by its start", "roma", 0);
}
