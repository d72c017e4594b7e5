/* late_shim.h - the halves of a release by another thread than the owner's, for C++, which does not
 * take C11 atomics: the look at the cell, and the sending. */
#ifndef ROMA_TESTS_LATE_SHIM_H
#define ROMA_TESTS_LATE_SHIM_H

#include <roma/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

struct roma__slab;

struct late_cell {
    struct roma__slab *slab;
    uint32_t index, word;
};

/* What a release finds at an address where a block of a class starts. */
struct late_cell late_look(const void *address);

/* Send it to its owner, as the calling thread does, whose cache that is: of a block of length 0. */
void late_send(roma_cache *from, const struct late_cell *cell);

/* Where its slab stands now; is that a large one, and in which heap is it? */
void *late_slab_base(const struct late_cell *cell);
bool late_is_large(const struct late_cell *cell);
const void *late_heap(const struct late_cell *cell);

#ifdef __cplusplus
}
#endif
#endif
