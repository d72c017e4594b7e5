/* store_shim.c - see store_shim.h. */
#include "store_shim.h"

#include "store/worker.h"

const roma__view *shim_view(const roma_store *store)
{
    return &store->view;
}

uint32_t shim_session(const roma_store *store)
{
    return store->session;
}

int shim_stay_inside(roma_store *store)
{
    int code = 0;
    return roma__store_enter(store, &code) != NULL ? 0 : code;
}

int shim_stay_parked(roma_store *store)
{
    uint32_t session;
    return roma__store_park(store, UINT64_C(1000000000), &session);
}

void shim_unpark(roma_store *store)
{
    roma__store_unpark(store);
}

uint64_t shim_leave_lane(roma_store *store)
{
    int code = 0;
    uint64_t left = 0;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return UINT64_MAX;
    roma__lane_leave(worker);
    for (uint64_t unit = 0; unit < store->view.regions.max_units; unit++)
        left += store->slabs[unit] != NULL && store->slabs[unit]->owner == worker;
    return left;
}
