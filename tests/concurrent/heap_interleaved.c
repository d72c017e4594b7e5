/* heap_interleaved.c - see heap_interleaved.h. */
#include "interleave_points.h" /* first: the headers' inline functions make points, too */

#include "heap_interleaved.h"

#include "heap/classes.h"
#include "sys/records.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct world world;

static world_size size;

/* Of magazines; all NULL but for those of the world's class. */
enum { STORAGES = 6 };
static void *storages[STORAGES][2 * ROMA__MAGAZINE_STRIDE];

/* The slab's: nothing is read there but that it is not one block's own. */
static struct roma__extent_record no_record;

/* ---- what the sources get instead ------------------------------------------------------------ */

void *interleaved_metadata_take(size_t bytes)
{
    if (bytes == sizeof(struct roma__batch) && world.batches_count < size.batches)
        return &world.batches[world.batches_count++];
    if (bytes == sizeof(struct roma__cache) && world.caches_count < size.caches)
        return &world.caches[world.caches_count++];
    return NULL;
}

void *interleaved_record_new(size_t bytes)
{
    if (bytes > sizeof storages[0] || world.storages_count == STORAGES)
        return NULL;
    return storages[world.storages_count++];
}

void interleaved_record_free(void *record, size_t bytes)
{
    (void)bytes;
    for (unsigned i = 0; i < size.heaps; i++)
        if (record == &world.heaps[i])
            world.is_gone[i] = true;
}

int interleaved_extents_cut(struct roma__extents *extents, uint32_t granules, char **base,
                            struct roma__extent_record **record, bool *reused, roma_grant *grant,
                            roma_error *error)
{
    (void)extents, (void)granules, (void)base, (void)record, (void)reused, (void)grant;
    (void)error;
    return -ENOMEM;
}

void interleaved_extents_give(struct roma__extents *extents, struct roma__extent_record *record,
                              char *base, uint32_t granules)
{
    (void)extents, (void)record, (void)base, (void)granules;
    if (world.slab_is_back)
        interleave_fail("a run of granules is given back twice");
    world.slab_is_back = true;
}

void interleaved_extents_put(struct roma__extents *extents, struct roma__extent_record *record,
                             char *base, uint32_t granules)
{
    interleaved_extents_give(extents, record, base, granules);
}

/* ---- the sources ----------------------------------------------------------------------------- */

/* Time would make every state a new one. */
#define clock_gettime(clock, now) (*(now) = (struct timespec){0}, 0)

/* In one piece, for the world looks at what is static. Names that two of them have, one as that of
 * a parameter, are no mistake. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#include "heap/bins.c"
#include "heap/cache.c"
#include "heap/cell.c"
#include "heap/check.c"
#include "heap/claim.c"
#include "heap/ends.c"
#include "heap/heap.c"
#include "heap/remote.c"
#include "heap/threads.c"
#pragma GCC diagnostic pop

/* ---- the world ------------------------------------------------------------------------------- */

/* A granule of address space, known to the page map. */
static char *granule(void)
{
    static char *base;
    if (base == NULL) {
        char *space = mmap(NULL, 2 * ROMA__GRANULE_BYTES, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        base = (char *)roma__align_up((uintptr_t)space, ROMA__GRANULE_BYTES);
        if (space == MAP_FAILED || roma__map_cover(base, ROMA__GRANULE_BYTES) < 0)
            abort();
    }
    return base;
}

static void tell(void *owner, void *address)
{
    (void)owner;
    world.told[((char *)address - granule()) / WORLD_BYTES % WORLD_CELLS]++;
}

/* Where the cells of the world's class stand in a storage, and how many there may be. */
static size_t magazine_start(size_t *count)
{
    size_t start = 0;
    for (unsigned i = 0; i < roma__class_of(WORLD_BYTES); i++)
        start += roma__magazine_most(&world.heaps[0], i) + 1;
    *count = roma__magazine_most(&world.heaps[0], roma__class_of(WORLD_BYTES)) + 1;
    return start;
}

static void clear_storages(void)
{
    size_t count, start = magazine_start(&count);
    for (unsigned i = 0; i < STORAGES && size.has_magazines; i++) {
        memset(&storages[i][start], 0, count * sizeof(void *));
        memset(&storages[i][start + ROMA__MAGAZINE_STRIDE], 0, count * sizeof(void *));
    }
}

void world_begin(uint32_t words)
{
    memset(&world, 0, offsetof(struct world, heaps));
    memset(world.heaps, 0, size.heaps * sizeof world.heaps[0]);
    memset(world.caches, 0, size.caches * sizeof world.caches[0]);
    memset(world.batches, 0, size.batches * sizeof world.batches[0]);
    clear_storages();
    batches.spare = NULL;
    memset(&registry, 0, sizeof registry);
    memset(&mine, 0, sizeof mine);
    registry.slots = world.slots;
    registry.slots_capacity = sizeof world.slots;
    for (unsigned i = 0; i < size.heaps; i++) {
        roma__heap *heap = &world.heaps[i];
        heap->words = words;
        heap->is_closed = !size.has_magazines;
        heap->extents.return_delay_ns = UINT64_MAX;
        heap->late_misuse = tell;
        heap->slot = roma__slot_take(&heap->serial);
        roma__cache_make(&heap->common);
        (void)roma__cache_open(&heap->common, heap, ROMA__CACHE_COMMON);
    }
    roma__map_set(granule(), NULL);
}

struct roma__cache *world_cache(unsigned heap, enum roma__cache_state state)
{
    struct roma__cache *cache = spare_or_new();
    (void)roma__cache_open(cache, &world.heaps[heap], state);
    link_cache(&world.heaps[heap], cache);
    world.heaps[heap].orphans_count += state == ROMA__CACHE_ORPHAN;
    return cache;
}

void world_slab(struct roma__cache *keeper, uint32_t live)
{
    struct roma__slab *slab = &world.slab;
    unsigned class_index = roma__class_of(WORLD_BYTES);
    slab->head.base = granule();
    slab->states = world.states;
    slab->states_capacity = WORLD_CELLS;
    slab->bits = world.bits;
    slab->bits_capacity = 1;
    slab->extent = &no_record;
    roma__map_past_of(granule())->floor = 1;
    roma__slab_publish(slab, keeper, class_index, WORLD_CELLS, 1);
    roma__bin_push_partial(&keeper->bins[class_index], slab);
    push_all(&keeper->bins[class_index], slab);
    roma__heap_count_descriptor(keeper->heap, slab, true);
    for (uint32_t i = 0; i < live; i++) {
        void *address;
        roma__figure_add(&keeper->handle.magazines[class_index].moved,
                         roma__bin_take(keeper, class_index, &address, NULL, 1));
        roma__state_begin(&world.states[i], WORLD_BYTES);
    }
}

void world_thread(struct roma__cache *first, struct roma__cache *second, bool is_ending)
{
    struct world_entry *entries = world.entries[interleave_self()];
    if (first != NULL)
        entries[0] = (struct world_entry){world.heaps[0].serial, first};
    if (second != NULL)
        entries[1] = (struct world_entry){world.heaps[1].serial, second};
    mine.entries = (struct entry *)(void *)entries;
    mine.capacity = WORLD_HEAPS;
    mine.is_ending = is_ending;
    mine.is_watched = true;
}

bool world_end_fast(struct roma__cache *cache, uint32_t index)
{
    const struct roma__slab_head *slab = &world.slab.head;
    void *block = roma__slab_address(&world.slab, index);
    unsigned class_index = roma__class_of(WORLD_BYTES);
    if (roma__load(&slab->key) != cache->handle.key)
        return roma__cache_end(&cache->handle, slab, index, block, ROMA__TAIL_ANY);
    return cache->handle.words == ROMA__WORDS_NONE
               ? roma__cache_put_plain(&cache->handle, class_index, block)
               : roma__cache_put_counted(&cache->handle, class_index, slab, index, block,
                                         ROMA__TAIL_ANY);
}

static bool is_of_cache(const struct roma__cache *cache, const void *place)
{
    return place == &cache->lock || place == &cache->inbox.head;
}

/* Where threads meet. What else the sources access is under one of these locks; or it is one
 * thread's own; or, as in a batch's depth, it does not matter. The registry's lock and that of the
 * spare batches are held for moments without a point. */
static bool is_quiet(const void *place)
{
    if (place == &world.slab.keeper || place == &world.slab.head.key)
        return false;
    for (unsigned i = 0; i < WORLD_CELLS; i++)
        if (place == &world.states[i].word)
            return false;
    for (unsigned i = 0; i < size.heaps; i++)
        if (place == &world.heaps[i].caches_lock || place == &world.heaps[i].orphans_count ||
            is_of_cache(&world.heaps[i].common, place))
            return false;
    for (unsigned i = 0; i < size.caches; i++)
        if (is_of_cache(&world.caches[i], place))
            return false;
    return true;
}

void world_look(const void *place, const char *function)
{
    (void)function;
    for (unsigned i = 0; i < size.heaps; i++) {
        const char *start = (const char *)&world.heaps[i];
        if (world.is_gone[i] && (const char *)place >= start &&
            (const char *)place < start + sizeof(roma__heap))
            interleave_fail("a heap is used that is gone");
    }
}

void world_fill(interleave_plan *plan, world_size wanted)
{
    static interleave_memory memory[6 + 2 * STORAGES];
    size = wanted;
    memory[0] = (interleave_memory){&world, offsetof(struct world, heaps)};
    memory[1] = (interleave_memory){world.heaps, size.heaps * sizeof world.heaps[0]};
    memory[2] = (interleave_memory){world.caches, size.caches * sizeof world.caches[0]};
    memory[3] = (interleave_memory){world.batches, size.batches * sizeof world.batches[0]};
    memory[4] = (interleave_memory){&batches, sizeof batches};
    memory[5] = (interleave_memory){&registry, sizeof registry};
    size_t count, start = magazine_start(&count);
    for (unsigned i = 0; i < STORAGES && size.has_magazines; i++) {
        memory[6 + 2 * i] = (interleave_memory){&storages[i][start], count * sizeof(void *)};
        memory[7 + 2 * i] = (interleave_memory){&storages[i][start + ROMA__MAGAZINE_STRIDE],
                                                count * sizeof(void *)};
    }
    plan->memory = memory;
    plan->memory_count = size.has_magazines ? 6 + 2 * STORAGES : 6;
    plan->own = (interleave_memory){&mine, sizeof mine};
    plan->is_quiet = is_quiet;
    plan->tries_locks = true;
    plan->on_access = world_look;
}

/* ---- afterwards ------------------------------------------------------------------------------ */

/* Each stands in exactly one place, or what is wrong. */
static const char *places_fault(const unsigned *places, unsigned count, const char *lost,
                                const char *twice)
{
    for (unsigned i = 0; i < count; i++)
        if (places[i] != 1)
            return places[i] == 0 ? lost : twice;
    return NULL;
}

/* Each in one heap's list or among the spare ones. */
static const char *caches_fault(void)
{
    unsigned places[WORLD_CACHES] = {0}, steps = 0;
    for (unsigned i = 0; i < size.heaps; i++) {
        const struct roma__cache *cache = world.is_gone[i] ? NULL : world.heaps[i].caches;
        for (; cache != NULL; cache = cache->next) {
            if (++steps > WORLD_CACHES)
                return "the lists of caches are knotted";
            if (cache->heap != &world.heaps[i] || cache->serial != world.heaps[i].serial)
                return "a cache is in another heap's list";
            places[cache - world.caches]++;
        }
    }
    for (const struct roma__cache *cache = registry.spare; cache != NULL; cache = cache->next) {
        if (++steps > WORLD_CACHES)
            return "the lists of caches are knotted";
        if (cache->state != ROMA__CACHE_SPARE || cache->serial != 0)
            return "a spare cache is somebody's";
        places[cache - world.caches]++;
    }
    return places_fault(places, world.caches_count, "a cache is lost", "a cache is in two lists");
}

/* All are spare, for nothing is on its way any more. */
static const char *batches_fault(void)
{
    unsigned places[WORLD_BATCHES] = {0}, steps = 0;
    for (const struct roma__batch *batch = batches.spare; batch != NULL; batch = batch->next) {
        if (++steps > WORLD_BATCHES)
            return "the list of spare batches is knotted";
        places[batch - world.batches]++;
    }
    return places_fault(places, world.batches_count, "a batch is lost", "a batch is spare twice");
}

static void note_fault(void *context, const char *sentence)
{
    static char kept[256];
    const char **fault = context;
    snprintf(kept, sizeof kept, "%s", sentence);
    *fault = kept;
}

const char *world_fault(void)
{
    const char *fault = caches_fault();
    for (unsigned i = 0; i < size.heaps && fault == NULL; i++) {
        roma__heap *heap = &world.heaps[i];
        if (!world.is_gone[i]) /* and all that is on its way arrives by that */
            (void)roma__heap_check(heap, note_fault, &fault);
    }
    return fault != NULL ? fault : batches_fault();
}
