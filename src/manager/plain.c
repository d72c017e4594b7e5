/* plain.c - the heap of plain requests, those that wish nothing but a length.
 *
 * They are nearly all, and the fast way (fast.h) takes their cells from the thread's cache of one
 * heap without a look at any rule. So the heap must be right for whatever its caches hold. A policy
 * with rules of length has a parting: the least length of the size class in which another rule
 * decides than on the shortest. Shorter requests share the plain heap; each longer one is routed by
 * itself. Their cells are in other heaps, so no cache of the plain heap ever holds one, and the
 * fast way finds nothing and comes here. For that no other wish may use the plain heap then,
 * though its ladder be the same: it is apart, and shared only with such as are for the same
 * lengths.
 *
 * Where plain requests are to be local, each node has a heap, and a stand-in (heap/threads.c) leads
 * each thread to the one of its node. Whoever comes here asks anew where the thread runs: that is
 * each time that a magazine is empty.
 *
 * The plain heap is published while the policy is held in place, so it is never one that follows
 * from a policy replaced since. Whether it follows from a topology replaced since is asked by those
 * who come here. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "heap/classes.h"
#include "numa/machine.h"
#include "policy/policy.h"
#include "sys/records.h"

#include <errno.h>
#include <string.h>

static int route_plain(roma_manager *manager, const roma_policy *policy, size_t bytes,
                       roma__routing *routing, roma_error *error)
{
    roma_request plain = roma_request_default();
    plain.bytes = bytes;
    roma__wisher wisher = roma__wisher_of(manager);
    return roma__wish_of(&wisher, policy, &plain, routing, error);
}

/* ---- requests that follow the caller -------------------------------------------------------- */

enum { KNOWN_NODES = 64 };

/* Leads each thread to the heap for where it runs. There is one for each wish that ever was that of
 * plain requests, and each topology, since a thread may still be on its way to one that is not in
 * use any more. */
struct roma__stand_in {
    roma_manager *manager;
    roma__wish wish;               /* its origin is found at each call */
    const roma_topology *topology; /* that the heaps below follow from */
    roma__heap *heap;
    /* Those found before, by origin: release when one is noted, acquire by who uses it. */
    _Atomic(roma__heap *) known[KNOWN_NODES];
    struct roma__stand_in *next;
};

static roma__heap *heap_here(void *owner)
{
    struct roma__stand_in *stand_in = owner;
    roma__wish wish = stand_in->wish;
    roma__heap *heap = NULL;
    roma_error error;
    if (roma__wish_find_origin(&wish, &error) < 0)
        return NULL;
    bool is_noted = wish.origin >= 0 && wish.origin < KNOWN_NODES;
    if (is_noted)
        heap = atomic_load_explicit(&stand_in->known[wish.origin], memory_order_acquire);
    if (heap != NULL || roma__heap_for(stand_in->manager, &wish, &heap, &error) < 0)
        return heap;
    if (is_noted)
        atomic_store_explicit(&stand_in->known[wish.origin], heap, memory_order_release);
    return heap;
}

static struct roma__stand_in *open_stand_in(roma_manager *manager, const roma__wish *wish,
                                            const roma_topology *topology, roma_error *error)
{
    struct roma__stand_in *stand_in = roma__record_new(sizeof *stand_in);
    if (stand_in == NULL) {
        (void)roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
        return NULL;
    }
    stand_in->manager = manager;
    stand_in->wish = *wish;
    stand_in->topology = topology;
    if (roma__heap_open_stand_in(stand_in, heap_here, &stand_in->heap, error) < 0) {
        roma__record_free(stand_in, sizeof *stand_in);
        return NULL;
    }
    stand_in->next = manager->stand_ins;
    manager->stand_ins = stand_in;
    return stand_in;
}

static int find_stand_in(roma_manager *manager, const roma__wish *wish,
                         const roma_topology *topology, roma__heap **heap, roma_error *error)
{
    roma__wish wanted = *wish;
    wanted.origin = -1;
    pthread_mutex_lock(&manager->routes_lock);
    struct roma__stand_in *stand_in = manager->stand_ins;
    while (stand_in != NULL &&
           (stand_in->topology != topology || memcmp(&stand_in->wish, &wanted, sizeof wanted) != 0))
        stand_in = stand_in->next;
    if (stand_in == NULL)
        stand_in = open_stand_in(manager, &wanted, topology, error);
    pthread_mutex_unlock(&manager->routes_lock);
    if (stand_in == NULL)
        return -ENOMEM;
    *heap = stand_in->heap;
    return 0;
}

void roma__plain_close(roma_manager *manager)
{
    while (manager->stand_ins != NULL) {
        struct roma__stand_in *stand_in = manager->stand_ins;
        manager->stand_ins = stand_in->next;
        roma__heap_close_stand_in(stand_in->heap);
        roma__record_free(stand_in, sizeof *stand_in);
    }
    atomic_store_explicit(&manager->plain_heap, NULL, memory_order_relaxed);
}

/* ---- finding -------------------------------------------------------------------------------- */

void roma__plain_forget(roma_manager *manager)
{
    atomic_store_explicit(&manager->plain_heap, NULL, memory_order_release);
}

/* The least length of the size class that a length is of. (Of the lowest class none is shared:
 * roma__heap_plain() takes a length of 0 for 1.) */
static size_t least_of_class(size_t bytes)
{
    if (bytes > ROMA__CLASS_MAX_BYTES)
        return bytes;
    unsigned class_index = roma__class_of(bytes);
    return class_index == 0 ? 1 : (size_t)roma__class_bytes(class_index - 1) + 1;
}

/* The heap that plain requests share, published for the fast way. The policy is held in place. */
static int open_plain(roma_manager *manager, const roma_policy *policy, roma__heap **heap,
                      roma_error *error)
{
    roma__routing routing;
    const roma_topology *topology = roma_topology_get();
    int code = route_plain(manager, policy, 1, &routing, error);
    if (code < 0)
        return code;
    size_t parting = policy == NULL ? SIZE_MAX : roma__policy_first_parting(policy);
    if (parting < SIZE_MAX)
        routing.wish.apart_below = least_of_class(parting);
    routing.wish.populate_threads = routing.populate_threads; /* or the fast way would not */
    code = roma__wish_follows(&routing.wish)
               ? find_stand_in(manager, &routing.wish, topology, heap, error)
               : roma__heap_for(manager, &routing.wish, heap, error);
    if (code < 0)
        return code;
    pthread_mutex_lock(&manager->routes_lock);
    atomic_store_explicit(&manager->plain_topology, topology, memory_order_relaxed);
    atomic_store_explicit(&manager->plain_heap, *heap, memory_order_release);
    pthread_mutex_unlock(&manager->routes_lock);
    return 0;
}

/* Was the topology read anew since the plain heap was found? */
static bool is_outdated(roma_manager *manager)
{
    return atomic_load_explicit(&manager->plain_topology, memory_order_relaxed) !=
           roma_topology_get();
}

int roma__heap_of_caches(roma_manager *manager, roma__heap **heap, roma_error *error)
{
    int code = 0;
    *heap = atomic_load_explicit(&manager->plain_heap, memory_order_acquire);
    if (*heap == NULL || is_outdated(manager)) {
        /* Also where there is no policy: the first one must not come between look and publishing.
         */
        pthread_mutex_lock(&manager->policy_lock);
        code = open_plain(manager, manager->policy, heap, error);
        pthread_mutex_unlock(&manager->policy_lock);
    }
    if (code < 0)
        return code;
    *heap = roma__heap_here(*heap);
    return *heap == NULL ? roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY) : 0;
}

/* A request that is routed by itself. */
static int find_own(roma_manager *manager, size_t bytes, roma__heap **heap,
                    unsigned *populate_threads, roma_error *error)
{
    roma__routing routing;
    bool is_held;
    const roma_policy *policy = roma__policy_hold(manager, &is_held);
    int code = route_plain(manager, policy, bytes, &routing, error);
    roma__policy_let_go(manager, is_held);
    *populate_threads = routing.populate_threads;
    return code < 0 ? code : roma__heap_for(manager, &routing.wish, heap, error);
}

int roma__heap_plain(roma_manager *manager, size_t bytes, size_t align, roma__heap **heap,
                     unsigned *populate_threads, roma_error *error)
{
    size_t cell_bytes = roma__align_up(roma__max(bytes, 1), roma__max(align, 1));
    /* The heap knows itself for which lengths it is, whatever policy is in place by now. Where it
     * is not to be had, what is then found by itself says why. */
    if (roma__heap_of_caches(manager, heap, error) < 0 || !roma__heap_takes(*heap, cell_bytes))
        return find_own(manager, bytes, heap, populate_threads, error);
    *populate_threads = 0;
    return 0;
}
