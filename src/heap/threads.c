/* threads.c - which cache a thread has in which heap: attaching, leaving, orphans.
 *
 * A thread has a table, indexed by the heap's slot, of (serial, cache). Slots are used again by
 * later heaps, serials never, so an entry of a heap that is gone matches nothing. The table grows
 * when a heap's slot is beyond it.
 *
 * Attaching: the first call of a thread in a heap adopts an orphan of that heap, or takes a spare
 * cache, or makes one. Where there is no memory for one, and when the thread is ending, it works
 * with the heap's common cache, under its lock.
 *
 * Leaving, when the thread ends: all cells of the magazines go home, all batches are sent, the
 * inbox is emptied, empty slabs go back. If slabs are left, because blocks of them live, the cache
 * becomes an orphan; else it is spare. What other threads then send to an orphan waits for whoever
 * looks next: a thread that adopts it, one that looks for a slab with room, or a trim.
 *
 * Why slabs may change over (roma__orphans_serve). Who ends the life of a cell by a plain store
 * must be the only one: the thread of the slab's owner. An orphan has none, and whoever holds its
 * lock stands in for it; the store of the new owner under both locks makes the other cache's thread
 * the only one. A thread that still reads the old owner sends its cell to the orphan, from where it
 * is passed on.
 *
 * Stand-ins. A manager that serves each thread from the node where it runs has a heap a node, and a
 * stand-in whose entry in a thread's table leads to the thread's cache of one of them. The inline
 * paths find it as they find any other; the slow ones ask where the thread runs, and turn the entry
 * to another cache when it has moved. Such an entry is told by the serial, which is the stand-in's
 * and not its cache's: nobody leaves a cache by it, since the entry of the heap itself does that.
 *
 * A heap that is closed while a thread is leaving: both meet in the registry. Leaving is announced
 * there (leaving_count) after a look whether the cache is still the heap's; closing says so, waits
 * until nobody is announced, and ends with taking the caches away. The
 * registry's lock is held for moments only, with no other lock taken under it. */
#include "heap/cache.h"
#include "heap/claim.h"
#include "heap/internal.h"
#include "heap/metadata.h"

#include "base/bits.h"
#include "sys/records.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

struct entry {
    uint64_t serial;
    struct roma__cache *cache;
};

/* The calling thread's. Constant-initialised, so that it is there before anything else. */
static __thread struct {
    struct entry *entries;
    uint32_t capacity;
    bool is_ending; /* its caches are gone, and it gets no more */
    bool is_watched;
} mine;

static struct {
    pthread_mutex_t lock;
    struct roma__cache *spare;
    uint64_t serials;
    uint8_t *slots; /* taken or not */
    uint32_t slots_capacity;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the end of threads ---------------------------------------------------------------------- */

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static bool has_key;

static void thread_ends(void *value)
{
    (void)value;
    roma__caches_leave();
}

static void make_key(void)
{
    has_key = pthread_key_create(&key, thread_ends) == 0;
}

/* Have the calling thread's end attended to. */
static bool watch_end(void)
{
    if (mine.is_watched)
        return true;
    pthread_once(&key_once, make_key);
    if (!has_key)
        return false;
    mine.is_watched = true; /* first: setting the value may allocate, and so come here again */
    mine.is_watched = pthread_setspecific(key, &mine) == 0;
    return mine.is_watched;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static bool more_slots(void)
{
    uint32_t capacity = registry.slots_capacity == 0 ? 4096 : 2 * registry.slots_capacity;
    uint8_t *slots = roma__record_new(capacity);
    if (slots == NULL)
        return false;
    if (registry.slots != NULL) {
        memcpy(slots, registry.slots, registry.slots_capacity);
        roma__record_free(registry.slots, registry.slots_capacity);
    }
    registry.slots = slots;
    registry.slots_capacity = capacity;
    return true;
}

uint32_t roma__slot_take(uint64_t *serial)
{
    pthread_mutex_lock(&registry.lock);
    uint32_t slot = 0;
    while (slot < registry.slots_capacity && registry.slots[slot] != 0)
        slot++;
    if (slot == registry.slots_capacity && !more_slots())
        slot = UINT32_MAX;
    if (slot != UINT32_MAX) {
        registry.slots[slot] = 1;
        *serial = ++registry.serials;
    }
    pthread_mutex_unlock(&registry.lock);
    return slot;
}

void roma__slot_give(uint32_t slot)
{
    pthread_mutex_lock(&registry.lock);
    registry.slots[slot] = 0;
    pthread_mutex_unlock(&registry.lock);
}

/* Room in the thread's table for a slot. */
static bool reserve_entry(uint32_t slot)
{
    if (slot < mine.capacity)
        return true;
    uint32_t capacity = (uint32_t)roma__max(256, (size_t)1 << (roma__log2_floor(slot | 1) + 1));
    struct entry *entries = roma__record_new(capacity * sizeof *entries);
    if (entries == NULL)
        return false;
    if (mine.entries != NULL) {
        memcpy(entries, mine.entries, mine.capacity * sizeof *entries);
        roma__record_free(mine.entries, mine.capacity * sizeof *entries);
    }
    mine.entries = entries;
    mine.capacity = capacity;
    return true;
}

/* ---- caches of a heap, under its caches_lock ------------------------------------------------- */

static void link_cache(roma__heap *heap, struct roma__cache *cache)
{
    cache->previous = NULL;
    cache->next = heap->caches;
    if (heap->caches != NULL)
        heap->caches->previous = cache;
    heap->caches = cache;
}

static void unlink_cache(roma__heap *heap, struct roma__cache *cache)
{
    if (cache->previous != NULL)
        cache->previous->next = cache->next;
    else
        heap->caches = cache->next;
    if (cache->next != NULL)
        cache->next->previous = cache->previous;
}

/* Its figures become the heap's own. */
static void fold_figures(roma__heap *heap, const struct roma__cache *cache)
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        const struct roma__magazine *magazine = &cache->handle.magazines[i];
        heap->past_taken[i] += magazine->given + magazine->moved;
        heap->past_given[i] += magazine->given + cache->sent_cells[i];
    }
    heap->past_sent_bytes += cache->sent_bytes - cache->received_bytes;
}

static struct roma__cache *adopt_orphan(roma__heap *heap)
{
    struct roma__cache *cache = heap->caches;
    while (cache != NULL && cache->state != ROMA__CACHE_ORPHAN)
        cache = cache->next;
    if (cache == NULL)
        return NULL;
    pthread_mutex_lock(&cache->lock);
    bool is_open = roma__cache_reopen(cache) == 0;
    if (is_open) {
        cache->state = ROMA__CACHE_ATTACHED;
        cache->visited_ns = roma__heap_now_ns();
        roma__store(&heap->orphans_count, heap->orphans_count - 1);
    }
    pthread_mutex_unlock(&cache->lock);
    return is_open ? cache : NULL;
}

static struct roma__cache *spare_or_new(void)
{
    pthread_mutex_lock(&registry.lock);
    struct roma__cache *cache = registry.spare;
    if (cache != NULL)
        registry.spare = cache->next;
    pthread_mutex_unlock(&registry.lock);
    if (cache == NULL) {
        cache = roma__metadata_take(sizeof *cache);
        if (cache != NULL)
            roma__cache_make(cache);
    }
    return cache;
}

static void make_spare(struct roma__cache *cache)
{
    pthread_mutex_lock(&registry.lock);
    roma__store(&cache->serial, 0);
    cache->state = ROMA__CACHE_SPARE;
    cache->next = registry.spare;
    registry.spare = cache;
    pthread_mutex_unlock(&registry.lock);
}

static struct roma__cache *attach(roma__heap *heap)
{
    pthread_mutex_lock(&heap->caches_lock);
    struct roma__cache *cache = heap->orphans_count > 0 ? adopt_orphan(heap) : NULL;
    if (cache == NULL) {
        cache = spare_or_new();
        if (cache != NULL && roma__cache_open(cache, heap, ROMA__CACHE_ATTACHED) < 0) {
            make_spare(cache);
            cache = NULL;
        }
        if (cache != NULL)
            link_cache(heap, cache);
    }
    pthread_mutex_unlock(&heap->caches_lock);
    return cache;
}

/* ---- a thread's cache ------------------------------------------------------------------------ */

static struct roma__cache *cache_of(const roma__heap *heap)
{
    if (heap->slot >= mine.capacity || mine.entries[heap->slot].serial != heap->serial)
        return NULL;
    return mine.entries[heap->slot].cache;
}

struct roma__cache *roma__cache_if_any(const roma__heap *heap)
{
    return cache_of(heap);
}

static struct roma__cache *attached(roma__heap *heap)
{
    if (mine.is_ending || !reserve_entry(heap->slot))
        return NULL;
    (void)watch_end(); /* where that fails, what the thread leaves is found when the heap closes */
    struct roma__cache *cache = attach(heap);
    if (cache == NULL)
        return NULL;
    mine.entries[heap->slot].serial = heap->serial;
    mine.entries[heap->slot].cache = cache;
    return cache;
}

/* Let the entry of a stand-in lead to the cache of a heap. */
static struct roma__cache *attached_here(roma__heap *stand_in, roma__heap *heap)
{
    roma_cache *handle = roma__heap_cache(heap);
    struct roma__cache *cache = (struct roma__cache *)handle;
    if (cache == NULL || !reserve_entry(stand_in->slot))
        return NULL;
    mine.entries[stand_in->slot].serial = stand_in->serial;
    mine.entries[stand_in->slot].cache = cache;
    return cache;
}

roma__heap *roma__heap_here(roma__heap *heap)
{
    if (heap->here == NULL)
        return heap;
    roma__heap *now = heap->here(heap->owner);
    const struct roma__cache *cache = cache_of(heap);
    if (now != NULL && (cache == NULL || cache->heap != now))
        (void)attached_here(heap, now);
    return now;
}

void roma__caches_look_around(void)
{
    for (uint32_t i = 0; i < mine.capacity; i++) {
        struct entry *entry = &mine.entries[i];
        if (entry->serial != 0 && roma__load_acquire(&entry->cache->serial) != entry->serial)
            entry->serial = 0; /* a stand-in's, or of a heap that is gone */
    }
}

/* A function of its own, so that the way to a cache that is there needs no stack. */
static __attribute__((noinline)) struct roma__cache *attached_anywhere(roma__heap *heap)
{
    if (heap->here == NULL)
        return attached(heap);
    roma__heap *now = heap->here(heap->owner);
    return now == NULL ? NULL : attached_here(heap, now);
}

roma_cache *roma__heap_cache(roma__heap *heap)
{
    struct roma__cache *cache = cache_of(heap);
    if (__builtin_expect(cache == NULL, 0))
        cache = attached_anywhere(heap);
    return cache == NULL ? NULL : &cache->handle;
}

struct roma__cache *roma__cache_for(roma__heap *heap)
{
    roma_cache *cache = roma__heap_cache(heap);
    return cache == NULL ? &heap->common : (struct roma__cache *)cache;
}

/* ---- leaving --------------------------------------------------------------------------------- */

/* Nobody's thread any more: an orphan, or spare. Under caches_lock and its own, with all cells
 * home; the latter is let go. */
static void abandon(roma__heap *heap, struct roma__cache *cache)
{
    bool has_slabs = roma__bins_trim(cache);
    roma__cache_shut(cache);
    if (has_slabs || cache->has_lost_slabs) {
        cache->state = ROMA__CACHE_ORPHAN;
        roma__store(&heap->orphans_count, heap->orphans_count + 1);
        pthread_mutex_unlock(&cache->lock);
        return;
    }
    fold_figures(heap, cache);
    unlink_cache(heap, cache);
    pthread_mutex_unlock(&cache->lock);
    make_spare(cache);
}

static void leave(struct roma__cache *cache)
{
    roma__heap *heap = cache->heap;
    pthread_mutex_lock(&heap->caches_lock);
    roma__cache_lock_own(cache);
    roma__cache_flush(cache);
    abandon(heap, cache);
    pthread_mutex_unlock(&heap->caches_lock);
}

/* Is the cache still that heap's, and the heap not closing? Then it is there until we let it go. */
static bool announce(const struct entry *entry)
{
    pthread_mutex_lock(&registry.lock);
    struct roma__cache *cache = entry->cache;
    bool is_there = cache != NULL && roma__load_acquire(&cache->serial) == entry->serial &&
                    !cache->heap->is_closing;
    if (is_there)
        cache->heap->leaving_count++;
    pthread_mutex_unlock(&registry.lock);
    return is_there;
}

static void let_go(roma__heap *heap)
{
    pthread_mutex_lock(&registry.lock);
    heap->leaving_count--;
    pthread_mutex_unlock(&registry.lock);
}

void roma__caches_leave(void)
{
    mine.is_ending = true;
    for (uint32_t i = 0; i < mine.capacity; i++)
        if (mine.entries[i].serial != 0 && announce(&mine.entries[i])) {
            roma__heap *heap = mine.entries[i].cache->heap;
            leave(mine.entries[i].cache);
            let_go(heap);
        }
    if (mine.entries != NULL)
        roma__record_free(mine.entries, mine.capacity * sizeof *mine.entries);
    mine.entries = NULL;
    mine.capacity = 0;
}

/* ---- orphans, and threads that are away ------------------------------------------------------ */

/* A slab with room in an orphan's bin, its inbox looked into before. */
static bool serve_from(struct roma__cache *orphan, struct roma__cache *cache, unsigned class_index)
{
    pthread_mutex_lock(&orphan->lock);
    roma__cache_drain(orphan);
    roma__remote_flush(orphan); /* what is passed on */
    struct roma__slab *slab = orphan->bins[class_index].partial;
    if (slab != NULL)
        roma__bin_move(orphan, cache, slab);
    pthread_mutex_unlock(&orphan->lock);
    return slab != NULL;
}

bool roma__orphans_serve(struct roma__cache *cache, unsigned class_index)
{
    roma__heap *heap = cache->heap;
    if (roma__load(&heap->orphans_count) == 0 || pthread_mutex_trylock(&heap->caches_lock) != 0)
        return false;
    bool is_served = false;
    for (struct roma__cache *orphan = heap->caches; orphan != NULL && !is_served;
         orphan = orphan->next)
        if (orphan->state == ROMA__CACHE_ORPHAN && orphan != cache)
            is_served = serve_from(orphan, cache, class_index);
    pthread_mutex_unlock(&heap->caches_lock);
    return is_served;
}

typedef void flush_one(struct roma__cache *cache);

static void flush_quiet(struct roma__cache *cache)
{
    roma__cache_lock_own(cache); /* or as good as */
    roma__cache_flush(cache);
    pthread_mutex_unlock(&cache->lock);
}

/* The caller's own needs no claim: its thread is here, and so on no fast path. */
static void flush_claimed(struct roma__cache *cache)
{
    if (cache == cache_of(cache->heap)) {
        roma__cache_lock_own(cache);
        roma__cache_flush(cache);
    } else {
        pthread_mutex_lock(&cache->lock);
        if (roma__claim(cache))
            roma__cache_flush(cache);
    }
    pthread_mutex_unlock(&cache->lock);
}

/* Three times: what the first round sends is in an inbox that it may have passed already, and that
 * may be an orphan's, which passes it on to a cache that the second round has passed. */
static void flush_each(roma__heap *heap, flush_one *flush)
{
    pthread_mutex_lock(&heap->caches_lock);
    for (int round = 0; round < 3; round++) {
        for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
            flush(cache);
        flush(&heap->common);
    }
    pthread_mutex_unlock(&heap->caches_lock);
}

void roma__caches_flush(roma__heap *heap)
{
    flush_each(heap, flush_claimed);
}

void roma__caches_flush_quiet(roma__heap *heap)
{
    flush_each(heap, flush_quiet);
}

static void flush_if_idle(struct roma__cache *cache, uint64_t now_ns)
{
    if (pthread_mutex_trylock(&cache->lock) != 0)
        return;
    int64_t away_ns = (int64_t)(now_ns - cache->visited_ns); /* it may have come since `now` */
    if (away_ns > 0 && (uint64_t)away_ns >= cache->heap->extents.return_delay_ns &&
        roma__claim(cache))
        roma__cache_flush(cache);
    pthread_mutex_unlock(&cache->lock);
}

void roma__caches_flush_idle(struct roma__cache *own, uint64_t now_ns)
{
    roma__heap *heap = own->heap;
    if (pthread_mutex_trylock(&heap->caches_lock) != 0)
        return;
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        if (cache != own)
            flush_if_idle(cache, now_ns);
    if (own != &heap->common)
        flush_if_idle(&heap->common, now_ns);
    pthread_mutex_unlock(&heap->caches_lock);
}

void roma__caches_await(roma__heap *heap)
{
    pthread_mutex_lock(&registry.lock);
    heap->is_closing = true;
    while (heap->leaving_count > 0) {
        pthread_mutex_unlock(&registry.lock);
        (void)sched_yield();
        pthread_mutex_lock(&registry.lock);
    }
    pthread_mutex_unlock(&registry.lock);
}

void roma__caches_close(roma__heap *heap)
{
    roma__caches_await(heap);
    while (heap->caches != NULL) {
        struct roma__cache *cache = heap->caches;
        roma__cache_shut(cache);
        unlink_cache(heap, cache);
        make_spare(cache);
    }
    heap->orphans_count = 0;
}

/* ---- fork ------------------------------------------------------------------------------------ */

void roma__caches_fork_child(roma__heap *heap)
{
    struct roma__cache *own = cache_of(heap);
    heap->leaving_count = 0; /* they are not here */
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next) {
        if (cache == own || cache->state != ROMA__CACHE_ATTACHED)
            continue;
        roma__claim_settle(cache);
        cache->state = ROMA__CACHE_ORPHAN;
        heap->orphans_count++;
    }
    roma__caches_flush_quiet(heap);
    /* Adopting lays magazines out anew, so those of orphans go; the slabs are settled later. */
    for (struct roma__cache *cache = heap->caches; cache != NULL; cache = cache->next)
        if (cache->state == ROMA__CACHE_ORPHAN && cache->storage != NULL)
            roma__cache_shut(cache);
}

void roma__threads_fork_hold(void)
{
    pthread_mutex_lock(&registry.lock);
}

void roma__threads_fork_free(void)
{
    pthread_mutex_unlock(&registry.lock);
}
