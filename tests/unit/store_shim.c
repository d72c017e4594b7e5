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

uint64_t shim_fill_list(roma_store *store, uint64_t count)
{
    int code = 0;
    uint64_t done = 0;
    roma__worker *worker = roma__store_enter(store, &code);
    for (uint32_t *entry; worker != NULL && done < count; done++) {
        if ((entry = roma__entry_take(worker)) == NULL)
            break;
        roma__store(entry, (uint32_t)store->view.regions.first_unit); /* + 1 is the first */
    }
    if (worker != NULL)
        roma__store_leave(worker);
    return done;
}

void shim_repeat_list(roma_store *store, const void *block)
{
    const roma__view *view = &store->view;
    int code = 0;
    (void)shim_fill_list(store, ROMA__LANE_LIST); /* more than the lane has itself */
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return;
    uint32_t *list = worker->lane->list, page = 0;
    for (uint32_t i = 0; i < ROMA__LANE_LIST; i++)
        if (list[i] > view->regions.first_unit &&
            roma__unit_kind(view->units[list[i] - 1].word) == ROMA__UNIT_LIST)
            page = list[i];
    uint32_t *entries = roma__view_at(view, (uint64_t)(page - 1) << ROMA__UNIT_SHIFT);
    for (uint32_t i = 0; i < ROMA__LIST_IN_UNIT; i++)
        entries[i] = (uint32_t)(roma__view_ref(view, block) >> ROMA__UNIT_SHIFT) + 1;
    for (uint32_t i = 1; i < ROMA__LANE_LIST; i++)
        list[i] = page;
    roma__store_leave(worker);
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
