/* fork.c - a heap across fork().
 *
 * Before fork every lock is held, in the order in which calls take them, so that the child's copy
 * of the heap is whole. In the child, extents that are not inherited (hugetlb pages, MADV_DONTFORK)
 * are holes in the address space: their cells die, so that handles say -ESTALE and addresses are
 * unknown, and their providers are told to forget them. All else goes on as a copy. */
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

static uint64_t end_slab(struct roma__slab *slab)
{
    uint64_t ended = 0;
    uint32_t cells = atomic_load_explicit(&slab->cells_count, memory_order_relaxed);
    for (uint32_t i = 0; i < cells; i++)
        ended += roma__word_kill(&slab->words[i]);
    roma__slab_retire(slab);
    return ended;
}

/* The slabs of a class that stand on extents which are not there any more. */
static uint64_t end_class(roma__heap *heap, struct roma__class *class)
{
    uint64_t ended = 0;
    struct roma__slab *slab = class->all;
    while (slab != NULL) {
        struct roma__slab *next = slab->all_next;
        if (!slab->extent->extent.inherited) {
            roma__heap_forget_slab(heap, class, slab);
            ended += end_slab(slab);
        }
        slab = next;
    }
    return ended;
}

static void forget_extents(struct roma__extents *extents, struct roma__extent_record *record)
{
    while (record != NULL) {
        struct roma__extent_record *next = record->next;
        if (!record->extent.inherited)
            roma__extents_release(extents, record);
        record = next;
    }
}

uint64_t roma__heap_fork_child(roma__heap *heap)
{
    uint64_t ended = 0;
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++)
        ended += end_class(heap, &heap->classes[i]);
    struct roma__slab *slab = heap->large;
    while (slab != NULL) {
        struct roma__slab *next = slab->next;
        if (!slab->extent->extent.inherited) {
            roma__heap_drop_large(heap, slab);
            ended += end_slab(slab);
        }
        slab = next;
    }
    forget_extents(&heap->extents, heap->extents.shared);
    forget_extents(&heap->extents, heap->extents.owned);
    return ended;
}
