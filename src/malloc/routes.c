/* routes.c - with a policy (ROMA_POLICY): which heap a length goes to.
 *
 * malloc has no labels and no hints, so of a policy the lengths count. From the shortest length up,
 * where another rule decides than below (roma__policy_next_parting()), a route begins: a wish, and
 * the heap for its ladder. Lengths that no rule decides on, and rules that wish nothing, have the
 * ladder that there is without a policy. A wish that follows the caller (local, say) has a heap for
 * each place that a thread was found at, opened when the first is, and a stand-in
 * (heap/threads.c) that leads each thread to the one of its place. Equal ladders share a heap.
 *
 * One route that follows nobody. Then the process has one heap as without a policy, and all is as
 * ever.
 *
 * Routes that part. The hot paths (fast.h) put a freed block into the thread's cache without a look
 * at whose it is, and so serve one heap. With several, no thread's `fast` is ever another than the
 * closed cache: each call comes here by the slow path, and the hot paths do not change by an
 * instruction. Here it is
 *
 *     take   length -> route -> the thread's cache of its heap -> its magazine, else the heap
 *     give   page map -> slab -> its heap -> the thread's cache of that heap, else a release
 *
 * So a thread has a cache in each heap that it has to do with, found in its table by the heap's
 * slot. A cache that a stand-in leads to is asked as long as it has blocks; when its magazine is
 * empty the stand-in asks anew where the thread runs. A thread that has no caches yet or no more
 * works with the heaps alone.
 *
 * Who writes. The routes are written once, under the lock of opening, before the heap is published,
 * and read by who has seen it. What a wish has led to is kept in a list that grows at its head
 * under a lock (release, paired with the acquire of who reads without it). */
#include "malloc/fast.h"
#include "malloc/settings.h"

#include "base/bits.h"
#include "base/error.h"
#include "numa/arena/named.h"
#include "policy/policy.h"
#include "policy/wish.h"
#include "sys/records.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A route ends where a rule's length begins or is over. */
enum { ROUTES_MAX = 2 * ROMA_RULES_MAX + 1, LINE_BYTES = 480 };

struct stand_in {
    roma__wish wish; /* its origin is found at each look */
};

struct route {
    size_t least_bytes;
    roma__heap *heap;          /* or the stand-in for several        */
    struct stand_in *stand_in; /* NULL: none                         */
    unsigned populate_threads;
};

/* The heap that a wish has led to. */
struct known {
    roma__wish wish;
    roma__heap *heap;
    struct known *next;
};

static struct {
    pthread_mutex_t lock; /* of what is added to `known`, and to the list of heaps */
    _Atomic(struct known *) known;
    unsigned count;
    struct route list[ROUTES_MAX]; /* by least_bytes */
    roma_request defaults;
    roma_provider *providers[ROMA_STEPS_MAX];
    size_t providers_known;
    bool aborts;
} routes = {.lock = PTHREAD_MUTEX_INITIALIZER};

bool roma__routes_part;

void roma__routes_lock(void)
{
    pthread_mutex_lock(&routes.lock);
}

void roma__routes_unlock(void)
{
    pthread_mutex_unlock(&routes.lock);
}

/* ---- what is wished -------------------------------------------------------------------------- */

static roma__wisher wisher(void)
{
    return (roma__wisher){.defaults = &routes.defaults,
                          .providers = routes.providers,
                          .providers_known = routes.providers_known,
                          .providers_count = 1};
}

/* What neither request nor rule says: as without a policy. */
static void set_defaults(void)
{
    routes.defaults = roma_request_default();
    routes.defaults.inherit = true;
    if (roma__settings.huge == ROMA__HUGE_HUGETLB)
        routes.defaults.pages = ROMA_PAGES_HUGETLB;
    else if (roma__settings.huge == ROMA__HUGE_OFF || roma__shim_thp_kind() == 0)
        routes.defaults.pages = ROMA_PAGES_BASE;
    routes.providers[0] = roma_provider_anonymous();
    routes.providers_known = 1;
}

/* Where a thread runs that asks now is left to who asks. */
static int wish_of(const roma_policy *policy, size_t bytes, roma__routing *routing,
                   roma_error *error)
{
    roma_request plain = roma_request_default();
    plain.bytes = bytes;
    roma__wisher own = wisher();
    int code = roma__wish_of(&own, policy, &plain, routing, error);
    routing->wish.populate_threads = routing->populate_threads;
    if (!roma__wish_follows(&routing->wish))
        return code;
    routing->wish.origin = -1;
    return 0;
}

/* Nothing that the ladder without a policy would not do. */
static bool is_no_wish(const roma__wish *wish)
{
    roma__wish plain = *wish;
    roma__routing none;
    roma_error error;
    plain.plain_at_last = false;
    return wish_of(NULL, 1, &none, &error) == 0 && memcmp(&plain, &none.wish, sizeof plain) == 0;
}

/* ---- wishes to heaps ------------------------------------------------------------------------- */

static roma__heap *find_known(const roma__wish *wish)
{
    const struct known *known = atomic_load_explicit(&routes.known, memory_order_acquire);
    while (known != NULL && memcmp(&known->wish, wish, sizeof *wish) != 0)
        known = known->next;
    return known == NULL ? NULL : known->heap;
}

static roma__heap *find_with(const roma__ladder *ladder, size_t populate_threads)
{
    const struct known *known = atomic_load_explicit(&routes.known, memory_order_relaxed);
    while (known != NULL && (known->wish.populate_threads != populate_threads ||
                             !roma__ladder_equal(roma__heap_ladder(known->heap), ladder)))
        known = known->next;
    return known == NULL ? NULL : known->heap;
}

/* Under the lock. */
static int add_known(const roma__wish *wish, roma__heap **heap, roma_error *error)
{
    roma__ladder ladder;
    roma__wisher own = wisher();
    int code = 0;
    if (is_no_wish(wish))
        ladder = roma__shim_ladder();
    else
        code = roma__wish_ladder(&own, wish, &ladder, error);
    if (code < 0)
        return code;
    struct known *added = roma__record_new(sizeof *added);
    if (added == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    added->wish = *wish;
    added->heap = find_with(&ladder, wish->populate_threads);
    if (added->heap == NULL)
        added->heap = roma__shim_heap_open(&ladder, (unsigned)wish->populate_threads, error);
    if (added->heap == NULL) {
        roma__record_free(added, sizeof *added);
        return -ENOMEM;
    }
    added->next = atomic_load_explicit(&routes.known, memory_order_relaxed);
    atomic_store_explicit(&routes.known, added, memory_order_release);
    *heap = added->heap;
    return 0;
}

static int heap_for(const roma__wish *wish, roma__heap **heap, roma_error *error)
{
    *heap = find_known(wish);
    if (*heap != NULL)
        return 0;
    int code = 0;
    roma__routes_lock();
    *heap = find_known(wish);
    if (*heap == NULL)
        code = add_known(wish, heap, error);
    roma__routes_unlock();
    return code;
}

static int heap_now(const struct stand_in *stand_in, roma__heap **heap, roma_error *error)
{
    roma__wish wish = stand_in->wish;
    int code = roma__wish_find_origin(&wish, error);
    return code < 0 ? code : heap_for(&wish, heap, error);
}

static roma__heap *heap_here(void *owner)
{
    roma__heap *heap = NULL;
    roma_error error;
    return heap_now(owner, &heap, &error) < 0 ? NULL : heap;
}

/* ---- making them ----------------------------------------------------------------------------- */

/* A ladder that cannot be built for where this thread runs cannot for others: it is told now. A
 * place that cannot be found is not its fault. */
static int open_stand_in(struct route *route, const roma__wish *wish, roma_error *error)
{
    roma__heap *heap;
    route->stand_in = roma__record_new(sizeof *route->stand_in);
    if (route->stand_in == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    route->stand_in->wish = *wish;
    int code = heap_now(route->stand_in, &heap, error);
    if (code == -EINVAL || code == -ENOMEM)
        return code;
    return roma__heap_open_stand_in(route->stand_in, heap_here, &route->heap, error);
}

static int add_route(const roma_policy *policy, size_t least_bytes, roma_error *error)
{
    roma__routing routing;
    struct route *route = &routes.list[routes.count++];
    int code = wish_of(policy, least_bytes, &routing, error);
    if (code < 0)
        return code;
    *route = (struct route){.least_bytes = least_bytes,
                            .populate_threads = routing.populate_threads};
    return roma__wish_follows(&routing.wish) ? open_stand_in(route, &routing.wish, error)
                                             : heap_for(&routing.wish, &route->heap, error);
}

static int add_routes(const roma_policy *policy, roma_error *error)
{
    int code = roma__wish_know_providers(policy, routes.providers, &routes.providers_known,
                                         roma__provider_named, error);
    size_t at = 0;
    while (code == 0 && at != SIZE_MAX) {
        code = add_route(policy, at, error);
        at = roma__policy_next_parting(policy, at);
    }
    return code;
}

/* The lower of both limits holds. */
static void set_limit(const roma_policy *policy)
{
    if (policy->limit_bytes > 0 && policy->limit_bytes < roma__settings.limit_bytes)
        roma__settings.limit_bytes = policy->limit_bytes;
}

/* Do all lengths go to one heap, wherever their thread runs? */
static bool is_one(void)
{
    const struct route *first = &routes.list[0];
    for (unsigned i = 0; i < routes.count; i++)
        if (routes.list[i].stand_in != NULL || routes.list[i].populate_threads > 0 ||
            routes.list[i].heap != first->heap)
            return false;
    return true;
}

static roma__heap *open_plain(void)
{
    roma_error error;
    roma__ladder ladder = roma__shim_ladder();
    return roma__shim_heap_open(&ladder, 0, &error);
}

roma__heap *roma__routes_open(void)
{
    const roma_policy *policy = roma__settings.policy;
    roma_error error;
    set_defaults();
    if (add_routes(policy, &error) < 0) {
        roma__settings_refuse_policy(&error);
        return open_plain();
    }
    set_limit(policy);
    routes.aborts = policy->otherwise == ROMA_OTHERWISE_ABORT;
    roma__routes_part = !is_one();
    struct roma__shim_heap *first = roma__shim_heaps(); /* NULL: none could be found from here */
    return first != NULL ? first->heap : open_plain();
}

/* ---- taking ---------------------------------------------------------------------------------- */

static const struct route *route_of(size_t bytes)
{
    const struct route *route = &routes.list[routes.count - 1];
    while (route->least_bytes > bytes)
        route--;
    return route;
}

/* A thread that has no caches is not to get one by looking where it runs. */
static int find_heap(const struct route *route, roma__heap **heap, roma_error *error)
{
    *heap = route->heap;
    if (route->stand_in == NULL)
        return 0;
    if (roma__mine.state != ROMA__THREAD_BOUND)
        return heap_now(route->stand_in, heap, error);
    *heap = roma__heap_here(route->heap);
    return *heap == NULL ? roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY) : 0;
}

/* A length of 0 is of the lowest class. */
void *roma__routes_take_cached(size_t bytes, size_t align, bool zero)
{
    size_t length = align <= ROMA__ALIGN_MIN ? bytes : roma__aligned_length(bytes, align);
    if (length > ROMA__CLASS_MAX_BYTES || (length == 0 && align > ROMA__ALIGN_MIN))
        return NULL;
    roma_cache *cache = roma__heap_cache(route_of(bytes)->heap); /* or its stand-in's */
    void *block = cache == NULL ? NULL : roma__cache_take(cache, length);
    return zero && block != NULL ? memset(block, 0, bytes) : block;
}

void *roma__routes_take(size_t bytes, size_t align, bool zero)
{
    const struct route *route = route_of(bytes);
    roma__heap *heap;
    roma__cell cell = {0};
    roma_error error;
    roma__take take = {
        .bytes = bytes, .align = align, .zero = zero, .populate_threads = route->populate_threads};
    int code = find_heap(route, &heap, &error);
    if (code == 0)
        code = roma__heap_take(heap, &take, &cell, NULL, &error);
    if (code < 0)
        roma__routes_failed(&error);
    return code < 0 ? NULL : cell.address;
}

void roma__routes_failed(const roma_error *error)
{
    char line[LINE_BYTES], sentence[256];
    if (!routes.aborts || roma__mine.may_fail)
        return;
    roma__text text = roma__shim_line_in(line, sizeof line);
    roma__text_put(&text, roma_error_text(error, sentence, sizeof sentence));
    roma__shim_tell(line);
    abort();
}

/* ---- giving ---------------------------------------------------------------------------------- */

bool roma__routes_give(void *block)
{
    const struct roma__slab_head *slab = roma__slab_of(block);
    if (slab == NULL || roma__mine.state != ROMA__THREAD_BOUND ||
        __atomic_load_n(&slab->states, __ATOMIC_RELAXED) != NULL)
        return false;
    uint32_t class_index = __atomic_load_n(&slab->class_index, __ATOMIC_RELAXED);
    roma__heap *heap = __atomic_load_n(&slab->heap, __ATOMIC_RELAXED);
    if (class_index >= ROMA__CLASS_COUNT || heap == NULL)
        return false;
    roma_cache *cache = roma__heap_cache(heap);
    return cache != NULL && roma__cache_put_plain(cache, class_index, block);
}

/* ---- staying --------------------------------------------------------------------------------- */

/* Is the heap one of those that a stand-in leads to? */
static bool leads_to(const struct stand_in *stand_in, const roma__heap *heap)
{
    const struct known *known = atomic_load_explicit(&routes.known, memory_order_acquire);
    for (; known != NULL; known = known->next) {
        roma__wish wish = known->wish;
        wish.origin = -1;
        if (known->heap == heap && memcmp(&wish, &stand_in->wish, sizeof wish) == 0)
            return true;
    }
    return false;
}

bool roma__routes_lead(size_t bytes, const roma__heap *heap)
{
    const struct route *route = route_of(bytes);
    return route->stand_in != NULL ? leads_to(route->stand_in, heap) : route->heap == heap;
}
