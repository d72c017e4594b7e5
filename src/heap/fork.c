/* fork.c - a heap across fork().
 *
 * Before fork every lock is held, in the order in which calls take them, so that the child's copy
 * of the heap is whole. What it is not is at rest: other threads of the parent, which the child has
 * not, may have been between two steps of an allocation or a release, with no lock held.
 *
 * So the child starts from the words, which are the truth. A cell that nobody counts is free: one
 * between its last drop and its recycling goes back. The granules in use are those of the slabs
 * that are listed: a run between cut and listed goes back. Cells on extents that are not inherited
 * (hugetlb pages, MADV_DONTFORK) die, for their memory is a hole in the child's address space:
 * handles say -ESTALE, addresses are unknown, and their providers are told to forget them.
 *
 * What a thread was obtaining from a provider at that moment, and had not yet given to the heap,
 * stays mapped in the child and is not used there. */
#include "heap/internal.h"

#include "heap/metadata.h"

void roma__heap_fork_hold(roma__heap *heap)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        pthread_mutex_lock(&heap->classes[i].lock);
    pthread_mutex_lock(&heap->large_lock);
    pthread_mutex_lock(&heap->extents.lock);
}

void roma__heap_fork_free(roma__heap *heap)
{
    pthread_mutex_unlock(&heap->extents.lock);
    pthread_mutex_unlock(&heap->large_lock);
    for (unsigned i = ROMA__CLASS_COUNT; i-- > 0;)
        pthread_mutex_unlock(&heap->classes[i].lock);
}

void roma__heap_process_fork_hold(void)
{
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
}

static bool is_here(const struct roma__slab *slab)
{
    return slab->extent->extent.inherited;
}

/* Cells that nobody holds and that are not marked free were on their way there. */
static void settle_slab(struct roma__class *class, struct roma__slab *slab)
{
    uint32_t cells = atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    bool was_full = slab->free_count == 0;
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t word = atomic_load_explicit(&slab->words[i], memory_order_acquire);
        if (roma__word_count(word) == 0 && !roma__slab_bit_is_free(slab, i))
            roma__slab_give_bit(slab, i);
    }
    if (was_full && slab->free_count > 0)
        roma__heap_push_partial(class, slab);
}

static uint64_t settle_class(roma__heap *heap, struct roma__class *class)
{
    uint64_t ended = 0;
    struct roma__slab *slab = class->all;
    while (slab != NULL) {
        struct roma__slab *next = slab->all_next;
        if (is_here(slab)) {
            settle_slab(class, slab);
        } else {
            roma__heap_forget_slab(heap, class, slab);
            ended += roma__heap_end_slab(slab);
        }
        slab = next;
    }
    return ended;
}

static uint64_t settle_large(roma__heap *heap)
{
    uint64_t ended = 0;
    struct roma__slab *slab = heap->large;
    while (slab != NULL) {
        struct roma__slab *next = slab->next;
        uint32_t word = atomic_load_explicit(&slab->words[0], memory_order_acquire);
        if (!is_here(slab) || roma__word_count(word) == 0) {
            roma__heap_drop_large(heap, slab);
            ended += roma__heap_end_slab(slab);
        }
        slab = next;
    }
    return ended;
}

uint64_t roma__heap_fork_child(roma__heap *heap)
{
    uint64_t ended = 0;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        ended += settle_class(heap, &heap->classes[i]);
    ended += settle_large(heap);

    roma__extents_unmark(&heap->extents);
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        for (struct roma__slab *slab = heap->classes[i].all; slab != NULL; slab = slab->all_next)
            roma__extents_mark(slab->extent, roma__slab_address(slab, 0), slab->granules);
    for (struct roma__slab *slab = heap->large; slab != NULL; slab = slab->next)
        roma__extents_mark(
            slab->extent, roma__slab_address(slab, 0),
            (uint32_t)(atomic_load_explicit(&slab->cell_bytes, memory_order_relaxed) >>
                       ROMA__GRANULE_SHIFT));
    roma__extents_settle(&heap->extents);
    return ended;
}
