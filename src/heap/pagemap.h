/* pagemap.h - the process-wide map from addresses to slabs.
 *
 * Memory is mapped in granules of 64 KiB (a base page where that is larger: on no machine today).
 * Two levels: a root of 2^16 leaves, each for 4 GiB of address space, made when first needed and
 * kept for ever, 24 bytes a granule: .04 % of the memory that is mapped. A look-up is two loads.
 *
 * An entry holds
 *   current  the slab that covers the granule now; NULL: none. Read by anybody without a lock.
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

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct roma__slab;

enum { ROMA__GRANULE_SHIFT = 16, ROMA__GRANULE_BYTES = 1 << ROMA__GRANULE_SHIFT };
enum { ROMA__MAP_LEAF_BITS = 16, ROMA__MAP_LEAF_ENTRIES = 1 << ROMA__MAP_LEAF_BITS };
enum { ROMA__MAP_ROOT_BITS = 48 - ROMA__GRANULE_SHIFT - ROMA__MAP_LEAF_BITS };

struct roma__map_entry {
    _Atomic(struct roma__slab *) current;
    _Atomic(struct roma__slab *) home;
    _Atomic(uint64_t) floor;
};

struct roma__map_leaf {
    struct roma__map_entry entries[ROMA__MAP_LEAF_ENTRIES];
};

extern _Atomic(struct roma__map_leaf *) roma__map_root[1 << ROMA__MAP_ROOT_BITS];

/* The entry of an address; NULL when nothing near it was ever registered. */
static inline struct roma__map_entry *roma__map_entry_of(const void *address)
{
    uintptr_t granule = (uintptr_t)address >> ROMA__GRANULE_SHIFT;
    uintptr_t leaf_index = granule >> ROMA__MAP_LEAF_BITS;
    if (leaf_index >> ROMA__MAP_ROOT_BITS != 0)
        return NULL;
    struct roma__map_leaf *leaf =
        atomic_load_explicit(&roma__map_root[leaf_index], memory_order_acquire);
    return leaf == NULL ? NULL : &leaf->entries[granule & (ROMA__MAP_LEAF_ENTRIES - 1)];
}

/* The slab that covers an address now, or NULL. */
static inline struct roma__slab *roma__map_find(const void *address)
{
    struct roma__map_entry *entry = roma__map_entry_of(address);
    return entry == NULL ? NULL : atomic_load_explicit(&entry->current, memory_order_acquire);
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
