/* store_shim.h - what tests of the store need to see inside, for C++. */
#ifndef ROMA_TESTS_UNIT_STORE_SHIM_H
#define ROMA_TESTS_UNIT_STORE_SHIM_H

#include "store/view.h"

#ifdef __cplusplus
extern "C" {
#endif

const roma__view *shim_view(const roma_store *store);
uint32_t shim_session(const roma_store *store); /* index of the own session */

/* Be in a call, and stay there; returns 0 or -errno. */
int shim_stay_inside(roma_store *store);

/* Park as a checkpoint does, and stay so. */
int shim_stay_parked(roma_store *store);
void shim_unpark(roma_store *store);

/* Have so many entries of the own lane's list name what is no unit, or as many as there can be.
 * Returns how many. */
uint64_t shim_fill_list(roma_store *store, uint64_t count);
/* Have all entries of the own lane's list name a page of it, and all of that the block's slab. */
void shim_repeat_list(roma_store *store, const void *block);
/* Give up all that the own lane has. Returns how many slabs the process still takes for its own. */
uint64_t shim_leave_lane(roma_store *store);

#ifdef __cplusplus
}
#endif
#endif
