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

static int each_of(const roma__heap *heap, struct roma__slab *slab,
                   int (*visit)(void *context, const roma__cell *cell), void *context)
{
    uint32_t cells = atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    for (uint32_t i = 0; i < cells; i++) {
        if (roma__word_count(atomic_load_explicit(&slab->words[i], memory_order_acquire)) == 0)
            continue;
        roma__cell cell;
        fill(heap, slab, i, &cell);
        int result = visit(context, &cell);
        if (result != 0)
            return result;
    }
    return 0;
}

int roma__heap_each(roma__heap *heap, int (*visit)(void *context, const roma__cell *cell),
                    void *context)
{
    int result = 0;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT && result == 0; i++)
        for (struct roma__slab *slab = heap->classes[i].all; slab != NULL && result == 0;
             slab = slab->all_next)
            result = each_of(heap, slab, visit, context);
    for (struct roma__slab *slab = heap->large; slab != NULL && result == 0; slab = slab->next)
        result = each_of(heap, slab, visit, context);
    return result;
}

static void check_map(struct checker *checker, struct roma__slab *slab)
{
    char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    for (uint32_t i = 0; i < slab->granules; i++)
        expect(checker, roma__map_find(base + (size_t)i * ROMA__GRANULE_BYTES) == slab,
               "granule %u of the slab at %p is mapped to another slab", i, (void *)base);
}

static void check_slab(struct checker *checker, const roma__heap *heap, unsigned class_index,
                       struct roma__slab *slab)
{
    const void *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    uint32_t cells = atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    size_t cell_bytes = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    expect(checker, atomic_load_explicit(&slab->heap, memory_order_relaxed) == heap,
           "the slab at %p belongs to another heap", base);
    expect(checker, cell_bytes == roma__class_bytes(class_index),
           "the slab at %p has cells of %zu bytes in a class of %u", base, cell_bytes,
           roma__class_bytes(class_index));
    check_map(checker, slab);
    uint32_t free_count = 0;
    for (uint32_t i = 0; i < cells; i++) {
        bool is_free = roma__word_count(
                           atomic_load_explicit(&slab->words[i], memory_order_acquire)) == 0;
        free_count += is_free;
        expect(checker, is_free == roma__slab_bit_is_free(slab, i),
               "cell %u of the slab at %p: its word says %s and its bit does not", i, base,
               is_free ? "free" : "live");
        expect(checker, is_free || roma__slab_bytes(slab, i) <= cell_bytes,
               "cell %u of the slab at %p is longer than its cell", i, base);
    }
    expect(checker, free_count == slab->free_count,
           "the slab at %p counts %u free cells and has %u", base, slab->free_count, free_count);
}

static void check_partial(struct checker *checker, const struct roma__class *class)
{
    uint64_t listed = 0, with_room = 0;
    for (const struct roma__slab *slab = class->partial; slab != NULL; slab = slab->next) {
        listed++;
        expect(checker, slab->free_count > 0, "a full slab is listed as having free cells");
        expect(checker, slab->next == NULL || slab->next->previous == slab,
               "a class's list of slabs is broken");
    }
    for (const struct roma__slab *slab = class->all; slab != NULL; slab = slab->all_next)
        with_room += slab->free_count > 0;
    expect(checker, listed == with_room, "%llu slabs are listed as having free cells, %llu have",
           (unsigned long long)listed, (unsigned long long)with_room);
}

static void check_large(struct checker *checker, const roma__heap *heap, struct roma__slab *slab)
{
    const char *base = atomic_load_explicit(&slab->base, memory_order_relaxed);
    size_t bytes = atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed);
    const roma_extent *extent = &slab->extent->extent;
    expect(checker, atomic_load_explicit(&slab->heap, memory_order_relaxed) == heap,
           "the large cell at %p belongs to another heap", (const void *)base);
    expect(checker, roma__slab_bytes(slab, 0) <= bytes, "the large cell at %p is longer than it is",
           (const void *)base);
    expect(checker,
           base >= (char *)extent->address &&
               base + bytes <= (char *)extent->address + extent->bytes,
           "the large cell at %p reaches out of its extent", (const void *)base);
    check_map(checker, slab);
}

static void check_extents(struct checker *checker, const struct roma__extents *extents)
{
    uint64_t count = 0, bytes = 0;
    uint32_t empty = 0;
    for (const struct roma__extent_record *record = extents->shared; record != NULL;
         record = record->next) {
        uint32_t free_granules = 0;
        for (uint32_t i = 0; i < record->granules; i++)
            free_granules += record->bits[i / 64] >> i % 64 & 1;
        expect(checker, free_granules == record->free_granules,
               "the extent at %p counts %u free granules and has %u", record->extent.address,
               record->free_granules, free_granules);
        empty += record->free_granules == record->granules;
        count++;
        bytes += record->extent.bytes;
    }
    for (const struct roma__extent_record *record = extents->owned; record != NULL;
         record = record->next) {
        count++;
        bytes += record->extent.bytes;
    }
    expect(checker, empty == extents->empty_count, "%u extents are empty, %u are counted", empty,
           extents->empty_count);
    expect(checker, count == atomic_load_explicit(&extents->count, memory_order_relaxed),
           "%llu extents are listed and another number is counted", (unsigned long long)count);
    expect(checker, bytes == atomic_load_explicit(&extents->bytes, memory_order_relaxed),
           "%llu bytes are held and another number is counted", (unsigned long long)bytes);
}

uint64_t roma__heap_check(roma__heap *heap, void (*report)(void *context, const char *sentence),
                          void *context)
{
    struct checker checker = {report, context, 0};
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        for (struct roma__slab *slab = heap->classes[i].all; slab != NULL; slab = slab->all_next)
            check_slab(&checker, heap, i, slab);
        check_partial(&checker, &heap->classes[i]);
    }
    for (struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next)
        check_large(&checker, heap, slab);
    check_extents(&checker, &heap->extents);
    return checker.faults;
}
