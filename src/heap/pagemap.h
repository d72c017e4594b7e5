/* pagemap.h - the process-wide map from addresses to slabs.
 *
 * Memory is mapped in granules of 64 KiB (a base page where that is larger: on no machine today).
 * Two levels: a root of 2^16 leaves, each for 4 GiB of address space, made when first needed and
 * kept for ever, 24 bytes a granule: .04 % of the memory that is mapped. A look-up is two loads.
 *
 * Of each granule it holds
 *   current  the slab that covers it now; NULL: none. Read by anybody without a lock; an array of
 *            its own at the start of a leaf, so that a line of the processor's cache serves eight
 *            granules, and as <roma/cache.h> expects it
 *   home     the descriptor that has ever started at this granule, kept for its state words
 *   floor    a generation that no handle into this granule has reached: where new words start.
 *            Counted on where words wrap; 0: no slab has stood here yet
 * home and floor belong to the heap whose extent the granule is in; extents pass from one heap to
 * another through the kernel, and both are atomic so that the passing is ordered.
 *
 * Addresses of 48 bits: what x86-64 and aarch64 give to programs that do not ask for more. An
 * extent beyond is refused when it is registered. */
#ifndef ROMA_HEAP_PAGEMAP_H
#define ROMA_HEAP_PAGEMAP_H

#include "heap/atomics.h"

#include <roma/cache.h>

#include <stddef.h>
#include <stdint.h>

struct roma__slab;

enum { ROMA__GRANULE_BYTES = 1 << ROMA__GRANULE_SHIFT };
enum { ROMA__MAP_LEAF_ENTRIES = 1 << ROMA__MAP_LEAF_BITS };
enum { ROMA__MAP_ROOT_BITS = 48 - ROMA__GRANULE_SHIFT - ROMA__MAP_LEAF_BITS };

/* What is remembered of a granule, whoever has it now. */
struct roma__map_past {
    struct roma__slab *home;
    uint64_t floor;
};

struct roma__map_leaf {
    struct roma__slab *current[ROMA__MAP_LEAF_ENTRIES];
    struct roma__map_past past[ROMA__MAP_LEAF_ENTRIES];
};

extern struct roma__map_leaf *roma__map_root[1 << ROMA__MAP_ROOT_BITS];

/* The root in the eyes of <roma/cache.h>: a leaf is the array that it begins with, a slab the head
 * that it begins with. */
static inline struct roma__slab_head **const *roma__map_public(void)
{
    return (struct roma__slab_head **const *)(const void *)roma__map_root;
}

static inline size_t roma__map_index(const void *address)
{
    return (uintptr_t)address >> ROMA__GRANULE_SHIFT & (ROMA__MAP_LEAF_ENTRIES - 1);
}

/* The leaf of an address; NULL when nothing near it was ever registered. */
static inline struct roma__map_leaf *roma__map_leaf_of(const void *address)
{
    uintptr_t leaf_index = (uintptr_t)address >> ROMA__GRANULE_SHIFT >> ROMA__MAP_LEAF_BITS;
    if (leaf_index >> ROMA__MAP_ROOT_BITS != 0)
        return NULL;
    return roma__load_acquire(&roma__map_root[leaf_index]);
}

static inline struct roma__map_past *roma__map_past_of(const void *address)
{
    struct roma__map_leaf *leaf = roma__map_leaf_of(address);
    return leaf == NULL ? NULL : &leaf->past[roma__map_index(address)];
}

/* The slab that covers an address now, or NULL. */
static inline struct roma__slab *roma__map_find(const void *address)
{
    struct roma__map_leaf *leaf = roma__map_leaf_of(address);
    return leaf == NULL ? NULL : roma__load_acquire(&leaf->current[roma__map_index(address)]);
}

/* Who finds the slab finds all of it. The address is covered. */
static inline void roma__map_set(const void *address, struct roma__slab *slab)
{
    struct roma__map_leaf *leaf = roma__map_leaf_of(address);
    roma__store_release(&leaf->current[roma__map_index(address)], slab);
}

/* Make sure that entries exist for a range. Returns 0, -ENOMEM, or -EOVERFLOW (beyond 48 bits). */
int roma__map_cover(const void *address, size_t bytes);

/* The same for one address where failing is not an option: a leaf is put aside first, and either
 * used or given back. */
struct roma__map_leaf *roma__map_leaf_aside(void); /* NULL: no memory */
void roma__map_cover_with(const void *address, struct roma__map_leaf *aside);
void roma__map_leaf_discard(struct roma__map_leaf *aside);

/* The nearest slab that starts at or below an address, at most `reach` bytes below it; for naming
 * what a bad pointer points into. Slow. */
struct roma__slab *roma__map_find_below(const void *address, size_t reach);

size_t roma__map_bytes(void); /* address space that the leaves take; touched in part */

void roma__map_fork_hold(void);
void roma__map_fork_free(void);

#endif
