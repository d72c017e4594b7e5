/* store_shim.c - see store_shim.h. */
#include "store_shim.h"

#include "store/internal.h"

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
