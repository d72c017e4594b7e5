/* ranges.c - the stores that this process has open, by address.
 *
 * A plain pointer says nothing of where it came from. Where the page map knows no slab, it may lie
 * in the range that an open store has reserved: a walk over these few ranges tells. It is on no
 * path of ordinary blocks, which the page map knows.
 *
 * Entries are never given back, only used again, so that a reader may look at any of them at any
 * time. An entry has a turn: odd while it changes, two more after each change. A reader takes what
 * lies between two equal even turns, and passes over an entry that is just changing: his own store
 * is open while he holds a block of it, so its entry stands still; whatever changes is somebody
 * else's. So nobody ever waits.
 *
 * Who writes: whoever opens a store claims an entry that names none, turn even -> odd by
 * compare-and-swap; afterwards only the closing of that store. No lock, so a child of fork() finds
 * nothing held; an entry that another thread was just changing stays odd in the child, unused.
 * Order: what is written comes before the turn that ends it (release), and after the one that
 * begins it (each store is a release after the odd turn); readers acquire each word in between, so
 * that the second look at the turn comes last.
 *
 * Limit: when there is no memory for more entries, a store is open all the same but has no manager,
 * and plain pointers into it are nobody's. */
#include "manager/ranges.h"

#include "manager/manager.h"
#include "store/internal.h"
#include "sys/records.h"

#include <string.h>

struct roma__store_range {
    _Atomic(uint64_t) turn;
    _Atomic(uintptr_t) base;
    _Atomic(size_t) bytes;
    _Atomic(roma_store *) store; /* NULL: to be claimed */
    _Atomic(roma_manager *) manager;
};

enum { FIRST_COUNT = 16, MORE_COUNT = 64 };

struct chunk {
    roma__store_range *entries;
    size_t count;
    _Atomic(struct chunk *) next; /* set once: release, acquire by readers */
};

static roma__store_range first_entries[FIRST_COUNT];
static struct chunk first = {first_entries, FIRST_COUNT, NULL};

/* ---- finding --------------------------------------------------------------------------------- */

static bool read_entry(roma__store_range *entry, uintptr_t address, roma__stored *stored)
{
    uint64_t turn = atomic_load_explicit(&entry->turn, memory_order_acquire);
    uintptr_t base = atomic_load_explicit(&entry->base, memory_order_acquire);
    size_t bytes = atomic_load_explicit(&entry->bytes, memory_order_acquire);
    roma_store *store = atomic_load_explicit(&entry->store, memory_order_acquire);
    if (store == NULL || address - base >= bytes || turn % 2 != 0 ||
        atomic_load_explicit(&entry->turn, memory_order_relaxed) != turn)
        return false;
    *stored = (roma__stored){store, entry};
    return true;
}

bool roma__stored_at(const void *address, roma__stored *stored)
{
    for (struct chunk *chunk = &first; chunk != NULL;
         chunk = atomic_load_explicit(&chunk->next, memory_order_acquire))
        for (size_t i = 0; i < chunk->count; i++)
            if (read_entry(&chunk->entries[i], (uintptr_t)address, stored))
                return true;
    return false;
}

/* ---- opening and closing --------------------------------------------------------------------- */

/* An entry that names no store, in its odd turn. */
static bool claim(roma__store_range *entry)
{
    uint64_t turn = atomic_load_explicit(&entry->turn, memory_order_relaxed);
    return turn % 2 == 0 && atomic_load_explicit(&entry->store, memory_order_relaxed) == NULL &&
           atomic_compare_exchange_strong_explicit(&entry->turn, &turn, turn + 1,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

/* Entries behind the last ones; of two threads that bring some, one takes its own back. */
static struct chunk *add_chunk(struct chunk *last)
{
    enum { BYTES = sizeof(struct chunk) + MORE_COUNT * sizeof(roma__store_range) };
    struct chunk *fresh = roma__record_new(BYTES), *none = NULL;
    if (fresh == NULL)
        return NULL;
    fresh->entries = (roma__store_range *)(void *)(fresh + 1);
    fresh->count = MORE_COUNT;
    if (atomic_compare_exchange_strong_explicit(&last->next, &none, fresh, memory_order_acq_rel,
                                                memory_order_acquire))
        return fresh;
    roma__record_free(fresh, BYTES);
    return none;
}

static roma__store_range *claim_any(void)
{
    for (struct chunk *chunk = &first, *next; chunk != NULL; chunk = next) {
        for (size_t i = 0; i < chunk->count; i++)
            if (claim(&chunk->entries[i]))
                return &chunk->entries[i];
        next = atomic_load_explicit(&chunk->next, memory_order_acquire);
        next = next != NULL ? next : add_chunk(chunk);
    }
    return NULL;
}

static void end_turn(roma__store_range *entry)
{
    uint64_t turn = atomic_load_explicit(&entry->turn, memory_order_relaxed);
    atomic_store_explicit(&entry->turn, turn + 1, memory_order_release);
}

static void opened(roma_store *store)
{
    roma__store_range *entry = claim_any();
    if (entry == NULL)
        return;
    atomic_store_explicit(&entry->base, (uintptr_t)store->view.base, memory_order_release);
    atomic_store_explicit(&entry->bytes, store->reserved_bytes, memory_order_release);
    atomic_store_explicit(&entry->manager, NULL, memory_order_release);
    atomic_store_explicit(&entry->store, store, memory_order_release);
    end_turn(entry);
}

static void closing(roma_store *store)
{
    roma__stored stored;
    if (!roma__stored_at(store->view.base, &stored))
        return;
    roma__store_range *entry = stored.range;
    atomic_fetch_add_explicit(&entry->turn, 1, memory_order_acq_rel);
    roma__store_manager_end(atomic_load_explicit(&entry->manager, memory_order_acquire));
    atomic_store_explicit(&entry->store, NULL, memory_order_release);
    end_turn(entry);
}

/* 101: before the constructors of a program that links us statically, which may open stores. */
__attribute__((constructor(101))) static void watch(void)
{
    static const roma__store_watcher watcher = {opened, closing};
    roma__store_watched_by = &watcher;
}

/* ---- managers -------------------------------------------------------------------------------- */

roma_manager *roma__stored_manager(const roma__stored *stored)
{
    roma__store_range *entry = stored->range;
    roma_manager *manager = atomic_load_explicit(&entry->manager, memory_order_acquire),
                 *none = NULL;
    if (manager != NULL)
        return manager;
    manager = roma__store_manager_make(stored->store);
    if (manager == NULL ||
        atomic_compare_exchange_strong_explicit(&entry->manager, &none, manager,
                                                memory_order_acq_rel, memory_order_acquire))
        return manager;
    roma__store_manager_end(manager); /* another thread was faster */
    return none;
}
