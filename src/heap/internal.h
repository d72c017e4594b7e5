/* internal.h - the heap's own structure, for the files of this folder. */
#ifndef ROMA_HEAP_INTERNAL_H
#define ROMA_HEAP_INTERNAL_H

#include "heap/classes.h"
#include "heap/extents.h"
#include "heap/slab.h"

/* One size class: its slabs, under its lock. Lock order: class, then extents, then the process-wide
 * locks of page map, records, counts and metadata, which are leaves. */
struct roma__class {
    pthread_mutex_t lock;
    struct roma__slab *partial; /* slabs with a free cell */
    struct roma__slab *all;
};

struct roma__heap {
    void *owner;
    size_t own_bytes; /* blocks of this length and more get an extent of their own */
    struct roma__extents extents;
    pthread_mutex_t large_lock;
    struct roma__slab *large;          /* runs and own extents, under large_lock */
    _Atomic(uint64_t) descriptor_bytes; /* of the slabs that stand now           */
    struct roma__class classes[ROMA__CLASS_COUNT];
};

/* The heap's list of large slabs; both take its lock and count the descriptor. */
void roma__heap_push_large(roma__heap *heap, struct roma__slab *slab);
void roma__heap_drop_large(roma__heap *heap, struct roma__slab *slab);

/* What the words and tails say of a cell now. */
void roma__cell_fill(struct roma__slab *slab, uint32_t index, roma__cell *cell);

/* End the lives of a slab's cells, whatever their counts, and retire it. Returns how many lived. */
uint64_t roma__heap_end_slab(struct roma__slab *slab);

/* List a slab as having free cells. Under the class's lock. */
void roma__heap_push_partial(struct roma__class *class, struct roma__slab *slab);

/* Take a slab off its class's lists, whatever its cells. Under the class's lock. */
void roma__heap_forget_slab(roma__heap *heap, struct roma__class *class, struct roma__slab *slab);

static inline bool roma__slab_is_large(const struct roma__slab *slab)
{
    return atomic_load_explicit(&slab->class_index, memory_order_relaxed) == ROMA__CLASS_LARGE;
}

#endif
