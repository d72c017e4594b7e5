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

/* Give up all that the own lane has. Returns how many slabs the process still takes for its own. */
uint64_t shim_leave_lane(roma_store *store);

#ifdef __cplusplus
}
#endif
#endif
