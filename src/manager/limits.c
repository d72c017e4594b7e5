/* limits.c - how much memory a manager holds: the limit, the threshold, and giving back.
 *
 * Held memory is what providers gave, in blocks or not. The heaps charge before they obtain and
 * credit after they gave back, or when nothing was to be had, each under locks of its own, so one
 * atomic sum is the only meeting place.
 *
 * A charge that crosses the threshold leaves a mark, a credit that crosses it back wipes it off: an
 * attempt that fails is no rise. The thread that next comes out of all locks takes the mark and
 * calls the program's function. So one crossing is told once, and only a fall makes another one
 * possible. The peak is taken there too; an attempt under way on another thread may be in it. */
#include "manager/manager.h"

#include <errno.h>

static void raise_peak(_Atomic(uint64_t) *peak, uint64_t value)
{
    uint64_t seen = atomic_load_explicit(peak, memory_order_relaxed);
    while (seen < value && !atomic_compare_exchange_weak_explicit(
                               peak, &seen, value, memory_order_relaxed, memory_order_relaxed)) {
    }
}

int roma__limit_charge(void *owner, size_t bytes)
{
    roma_manager *manager = owner;
    uint64_t limit = atomic_load_explicit(&manager->limit_bytes, memory_order_relaxed);
    limit = limit == 0 ? UINT64_MAX : limit; /* read once: another thread may be changing it */
    uint64_t held = atomic_load_explicit(&manager->held_bytes, memory_order_relaxed);
    do {
        if (bytes > limit || held > limit - bytes)
            return -ENOMEM;
    } while (!atomic_compare_exchange_weak_explicit(&manager->held_bytes, &held, held + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    uint64_t threshold = manager->threshold_bytes;
    if (threshold > 0 && held <= threshold && held + bytes > threshold)
        atomic_store_explicit(&manager->has_risen, true, memory_order_relaxed);
    return 0;
}

void roma__limit_credit(void *owner, size_t bytes)
{
    roma_manager *manager = owner;
    uint64_t held = atomic_fetch_sub_explicit(&manager->held_bytes, bytes, memory_order_relaxed);
    uint64_t threshold = manager->threshold_bytes;
    if (threshold > 0 && held > threshold && held - bytes <= threshold)
        atomic_store_explicit(&manager->has_risen, false, memory_order_relaxed);
}

void roma__limit_explain(const roma_manager *manager, roma_error *error)
{
    uint64_t held = atomic_load_explicit(&manager->held_bytes, memory_order_relaxed);
    error->total = manager->limit_bytes;
    error->have = held < error->total ? error->total - held : 0;
}

void roma__limit_settle(roma_manager *manager)
{
    uint64_t held = atomic_load_explicit(&manager->held_bytes, memory_order_relaxed);
    raise_peak(&manager->held_peak_bytes, held);
    if (!atomic_load_explicit(&manager->has_risen, memory_order_relaxed) ||
        !atomic_exchange_explicit(&manager->has_risen, false, memory_order_relaxed))
        return;
    manager->on_threshold(manager->threshold_context, manager, held);
}

size_t roma__manager_trim(roma_manager *manager, size_t keep_bytes)
{
    size_t given = 0;
    ROMA__EACH_HEAP (manager, route) {
        uint64_t all = atomic_load_explicit(&manager->held_bytes, memory_order_relaxed);
        uint64_t here = roma__heap_held_bytes(route->heap);
        uint64_t elsewhere = all > here ? all - here : 0;
        given += roma__heap_trim(route->heap, keep_bytes > elsewhere ? keep_bytes - elsewhere : 0);
    }
    return given;
}

void roma__manager_settle(roma_manager *manager)
{
    ROMA__EACH_HEAP (manager, route) {
        (void)roma__heap_trim(route->heap, SIZE_MAX);
    }
}

int64_t roma_manager_trim(roma_manager *manager, size_t keep_bytes)
{
    if (manager == NULL)
        return -EINVAL;
    if (manager->store != NULL)
        return roma_store_trim(manager->store, keep_bytes);
    return (int64_t)roma__manager_trim(manager, keep_bytes);
}
