/* check.c - walking a heap's live cells, and proving its data: the specification, executable.
 *
 * Nobody else may use the heap meanwhile. What must hold is written in the sentences reported. */
#include "heap/internal.h"

#include <stdarg.h>
#include <stdio.h>

struct checker {
    void (*report)(void *context, const char *sentence);
    void *context;
    uint64_t faults;
};

__attribute__((format(printf, 3, 4))) static void expect(struct checker *checker, bool holds,
                                                         const char *format, ...);

static void expect(struct checker *checker, bool holds, const char *format, ...)
{
    if (holds)
        return;
    checker->faults++;
    if (checker->report == NULL)
        return;
    char sentence[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    checker->report(checker->context, sentence);
}

static void fill(const roma__heap *heap, struct roma__slab *slab, uint32_t index, roma__cell *cell)
{
    roma__cell_find(roma__slab_address(slab, index), cell);
    cell->owner = heap->owner;
}

static bool is_live(struct roma__slab *slab, uint32_t index)
{
    struct roma__state *state = roma__slab_state(slab, index);
    return state == NULL ? !roma__slab_bit_is_free(slab, index)
                         : roma__word_count(roma__load_acquire(&state->word)) > 0;
}

static int each_of(const roma__heap *heap, struct roma__slab *slab,
                   int (*visit)(void *context, const roma__cell *cell), void *context)
{
    uint32_t cells = roma__load(&slab->head.cells_count);
    for (uint32_t i = 0; i < cells; i++) {
        if (!is_live(slab, i))
            continue;
        roma__cell cell;
        fill(heap, slab, i, &cell);
        int result = visit(context, &cell);
        if (result != 0)
            return result;
    }
    return 0;
}

static int each_in(roma__heap *heap, struct roma__cache *cache,
                   int (*visit)(void *context, const roma__cell *cell), void *context)
{
    int result = 0;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT && result == 0; i++)
        for (struct roma__slab *slab = cache->bins[i].all; slab != NULL && result == 0;
             slab = slab->all_next)
            result = each_of(heap, slab, visit, context);
    return result;
}

int roma__heap_each(roma__heap *heap, int (*visit)(void *context, const roma__cell *cell),
                    void *context)
{
    /* What was sent to other threads' slabs is free, and shall look so. */
    roma__caches_flush_quiet(heap);
    pthread_mutex_lock(&heap->caches_lock); /* threads may be ending, and unlink their caches */
    int result = each_in(heap, &heap->common, visit, context);
    for (struct roma__cache *cache = heap->caches; cache != NULL && result == 0;
         cache = cache->next)
        result = each_in(heap, cache, visit, context);
    for (struct roma__slab *slab = heap->large; slab != NULL && result == 0; slab = slab->next)
        result = each_of(heap, slab, visit, context);
    pthread_mutex_unlock(&heap->caches_lock);
    return result;
}

static void check_map(struct checker *checker, struct roma__slab *slab)
{
    char *base = roma__load(&slab->head.base);
    for (uint32_t i = 0; i < slab->granules; i++)
        expect(checker, roma__map_find(base + (size_t)i * ROMA__GRANULE_BYTES) == slab,
               "granule %u of the slab at %p is mapped to another slab", i, (void *)base);
}

static void check_slab(struct checker *checker, const struct roma__cache *cache,
                       unsigned class_index, struct roma__slab *slab)
{
    const void *base = roma__load(&slab->head.base);
    uint32_t cells = roma__load(&slab->head.cells_count);
    size_t cell_bytes = roma__load(&slab->head.cell_bytes);
    bool has_words = roma__load(&slab->head.states) != NULL;
    expect(checker, roma__load(&slab->head.heap) == cache->heap,
           "the slab at %p belongs to another heap", base);
    expect(checker, roma__load(&slab->keeper) == cache, "the slab at %p has another keeper", base);
    expect(checker, cell_bytes == roma__class_bytes(class_index),
           "the slab at %p has cells of %zu bytes in a class of %u", base, cell_bytes,
           roma__class_bytes(class_index));
    check_map(checker, slab);
    uint32_t free_count = 0;
    for (uint32_t i = 0; i < cells; i++) {
        bool is_free = roma__slab_bit_is_free(slab, i);
        free_count += is_free;
        expect(checker, !has_words || is_free != is_live(slab, i),
               "cell %u of the slab at %p: its word says %s and its bit does not", i, base,
               is_free ? "live" : "free");
        expect(checker, is_free || roma__slab_bytes(slab, i) <= cell_bytes,
               "cell %u of the slab at %p is longer than its cell", i, base);
    }
    expect(checker, free_count == slab->free_count,
           "the slab at %p counts %u free cells and has %u", base, slab->free_count, free_count);
}

static void check_partial(struct checker *checker, const struct roma__bin *bin)
{
    uint64_t listed = 0, with_room = 0;
    for (const struct roma__slab *slab = bin->partial; slab != NULL; slab = slab->next) {
        listed++;
        expect(checker, slab->free_count > 0, "a full slab is listed as having free cells");
        expect(checker, slab->next == NULL || slab->next->previous == slab,
               "a bin's list of slabs is broken");
    }
    for (const struct roma__slab *slab = bin->all; slab != NULL; slab = slab->all_next)
        with_room += slab->free_count > 0;
    expect(checker, listed == with_room, "%llu slabs are listed as having free cells, %llu have",
           (unsigned long long)listed, (unsigned long long)with_room);
}

static void check_large(struct checker *checker, const roma__heap *heap, struct roma__slab *slab)
{
    const char *base = roma__load(&slab->head.base);
    size_t bytes = roma__load(&slab->head.cell_bytes);
    const roma_extent *extent = &slab->extent->extent;
    expect(checker, roma__load(&slab->head.heap) == heap,
           "the large cell at %p belongs to another heap", (const void *)base);
    expect(checker, roma__slab_bytes(slab, 0) <= bytes, "the large cell at %p is longer than it is",
           (const void *)base);
    expect(checker,
           base >= (char *)extent->address &&
               base + bytes <= (char *)extent->address + extent->bytes,
           "the large cell at %p reaches out of its extent", (const void *)base);
    check_map(checker, slab);
}

static void check_cache(struct checker *checker, const struct roma__cache *cache)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        for (struct roma__slab *slab = cache->bins[i].all; slab != NULL; slab = slab->all_next)
            check_slab(checker, cache, i, slab);
        check_partial(checker, &cache->bins[i]);
    }
}

uint64_t roma__heap_check(roma__heap *heap, void (*report)(void *context, const char *sentence),
                          void *context)
{
    struct checker checker = {report, context, 0};
    roma__caches_flush_quiet(heap); /* what is in magazines and on its way goes home */
    pthread_mutex_lock(&heap->caches_lock);
    check_cache(&checker, &heap->common);
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        check_cache(&checker, cache);
    for (struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next)
        check_large(&checker, heap, slab);
    pthread_mutex_unlock(&heap->caches_lock);
    const char *fault = roma__parked_fault(heap);
    expect(&checker, fault == NULL, "%s", fault == NULL ? "" : fault);
    fault = roma__extents_fault(&heap->extents);
    expect(&checker, fault == NULL, "%s", fault == NULL ? "" : fault);
    return checker.faults;
}
