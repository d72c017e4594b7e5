/* heaps.c - a manager's heaps: one for each ladder in use, found by what a request wishes.
 *
 * A wish is looked up in a list of routes, without a lock: routes are complete when they are
 * published at the head (release, paired with the acquire of the reader who loads it) and are never
 * changed or removed while the manager lives. Programs have few different wishes, so a list does. A
 * new wish builds its ladder; where another wish has led to the same ladder, both share its heap. A
 * ladder follows from the machine, too: once the topology was read anew, a wish is looked up anew.
 *
 * Requests without a wish, the common ones, do not even look into the list: see plain.c. */
#include "manager/manager.h"

#include "base/error.h"
#include "manager/tools.h"
#include "sys/records.h"

#include <errno.h>
#include <string.h>

static bool wishes_are_equal(const roma__wish *a, const roma__wish *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static const roma__route *find_route(roma_manager *manager, const roma__wish *wish,
                                     const roma_topology *topology)
{
    const roma__route *route = atomic_load_explicit(&manager->routes, memory_order_acquire);
    while (route != NULL && (route->topology != topology || !wishes_are_equal(&route->wish, wish)))
        route = route->next;
    return route;
}

const roma__route *roma__route_heap(const roma__route *route)
{
    while (route != NULL && !route->opened_heap)
        route = route->next;
    return route;
}

static roma__heap *heap_with(roma_manager *manager, const roma__wish *wish,
                             const roma__ladder *ladder)
{
    ROMA__EACH_HEAP (manager, route) {
        if (route->wish.inherit == wish->inherit &&
            route->wish.populate_threads == wish->populate_threads &&
            route->wish.apart_below == wish->apart_below &&
            roma__ladder_equal(roma__heap_ladder(route->heap), ladder))
            return route->heap;
    }
    return NULL;
}

roma__wisher roma__wisher_of(const roma_manager *manager)
{
    return (roma__wisher){
        .defaults = &manager->defaults,
        .providers = manager->providers,
        .providers_known = manager->providers_known,
        .providers_count = manager->providers_count,
    };
}

/* Addresses go back: what tools and notes remember of them ends. Under the heap's locks. */
static void addresses_released(void *owner, void *address, size_t bytes)
{
    roma_manager *manager = owner;
    roma__tools_open(address, bytes);
    roma__notes_forget_range(&manager->notes, address, bytes);
}

static int open_heap(roma_manager *manager, const roma__ladder *ladder, const roma__wish *wish,
                     roma__heap **heap, roma_error *error)
{
    roma__heap_options options = {
        .owner = manager,
        .ladder = *ladder,
        .growth_bytes = manager->growth_bytes,
        .inherit = wish->inherit,
        .words = manager->words,
        .bounded = manager->bounded,
        .lengths_below = wish->apart_below,
        .closed = manager->is_closed || wish->populate_threads > 0,
        .populate_threads = (unsigned)wish->populate_threads,
        .return_delay_ns = manager->return_delay_ns,
        .label = manager->name,
        .charge = roma__limit_charge,
        .credit = roma__limit_credit,
        .released = addresses_released,
        .late_misuse = roma__misuse_late,
    };
    return roma__heap_open(&options, heap, error);
}

/* Under the lock: nobody else has added it meanwhile. */
static int add_route(roma_manager *manager, const roma__wish *wish, const roma_topology *topology,
                     roma__heap **heap, roma_error *error)
{
    roma__ladder ladder;
    roma__wisher wisher = roma__wisher_of(manager);
    int code = roma__wish_ladder(&wisher, wish, &ladder, error);
    if (code < 0)
        return code;
    roma__route *route = roma__record_new(sizeof *route);
    if (route == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    route->wish = *wish;
    route->topology = topology;
    route->heap = heap_with(manager, wish, &ladder);
    if (route->heap == NULL) {
        code = open_heap(manager, &ladder, wish, &route->heap, error);
        route->opened_heap = true;
    }
    if (code < 0) {
        roma__record_free(route, sizeof *route);
        return code;
    }
    route->next = atomic_load_explicit(&manager->routes, memory_order_relaxed);
    atomic_store_explicit(&manager->routes, route, memory_order_release);
    *heap = route->heap;
    return 0;
}

int roma__heap_for(roma_manager *manager, const roma__wish *wish, roma__heap **heap,
                   roma_error *error)
{
    int code = 0;
    const roma_topology *topology = roma_topology_get(); /* the ladder may be of a newer one */
    const roma__route *route = find_route(manager, wish, topology);
    if (route == NULL) {
        pthread_mutex_lock(&manager->routes_lock);
        route = find_route(manager, wish, topology);
        if (route == NULL)
            code = add_route(manager, wish, topology, heap, error);
        pthread_mutex_unlock(&manager->routes_lock);
    }
    if (route != NULL)
        *heap = route->heap;
    return code;
}

uint64_t roma__heaps_close(roma_manager *manager)
{
    uint64_t live = 0;
    roma__route *route = atomic_load_explicit(&manager->routes, memory_order_acquire);
    atomic_store_explicit(&manager->routes, NULL, memory_order_relaxed);
    while (route != NULL) {
        roma__route *next = route->next;
        if (route->opened_heap)
            live += roma__heap_close(route->heap);
        roma__record_free(route, sizeof *route);
        route = next;
    }
    return live;
}
