/* extents.h - a heap's extents: obtained through its ladder, cut, kept for a while, given back.
 *
 * A record is either *shared*, its spans cut into runs of granules (spans.h), or *own*: one large
 * cell has all of it, or the cache of large extents (large_cache.h).
 *
 * Growth. Where pages are given when they are first touched, a new shared extent is an eighth of
 * what is shared already, at least growth_bytes and at most 256 MiB, so that a heap of many GiB has
 * few mappings; else it is growth_bytes. Where that is not to be had, less is tried, down to just
 * what is needed.
 *
 * Giving back (giveback.c). Nothing that becomes free goes back at once, unless the delay is 0:
 *
 *   a span         its pages are discarded, whole pages only; the address range stays
 *   an extent      the address range goes, too, but for one extent that stays without pages
 *   an own extent  goes back to its provider, out of its place (parked.h) or the cache
 *
 * Nobody's clock ticks here: a caller that comes by asks roma__extents_is_due(), one load, and then
 * calls roma__extents_return(). What is not to be had otherwise (a limit, an empty page pool) is
 * looked for among what waits, before a request fails.
 *
 * One lock for all of it; the calls take it themselves, except where said. */
#ifndef ROMA_HEAP_EXTENTS_H
#define ROMA_HEAP_EXTENTS_H

#include "heap/heap.h"
#include "heap/large_cache.h"
#include "heap/parked.h"
#include "heap/spans.h"

#include <pthread.h>
#include <stdatomic.h>

/* The part of a heap that deals with extents. All zero but for lock and ladder: empty, without
 * delay. */
struct roma__extents {
    pthread_mutex_t lock;
    roma__ladder ladder;
    size_t growth_bytes;
    uint64_t return_delay_ns; /* 0: at once; UINT64_MAX: only on trim and when memory is short */
    bool inherit;
    struct roma__places places; /* own extents that keep their slabs between lives */
    char label[64];
    void *owner;
    int (*charge)(void *owner, size_t bytes);
    void (*credit)(void *owner, size_t bytes);
    void (*obtained)(void *owner);
    void (*released)(void *owner, void *address, size_t bytes);
    /* Called under the lock before a cached extent that has a slab leaves for its provider; NULL:
     * not called. */
    void (*evicted)(void *owner, struct roma__extent_record *record);
    struct roma__extent_record *shared, *owned; /* owned: the cached ones, too */
    struct roma__spans spans;
    struct roma__large_cache cache;
    uint32_t empty_count;                                 /* shared extents without a run: */
    struct roma__extent_record *empty_first, *empty_last; /* those that wait, the oldest first */
    struct roma__extent_record *kept;                     /* the one that stays, without pages */
    size_t shared_bytes;
    _Atomic(uint64_t) count, bytes, record_bytes;
    _Atomic(uint64_t) next_due_ns; /* nothing is due before */
};

/* The clock of all times here. Cheap: no system call. */
static inline uint64_t roma__extents_now(const struct roma__extents *extents)
{
    return roma__spans_now(&extents->spans);
}

/* A run of granules in a shared extent, with a new extent where none has room.
 * reused: whether no step had to be tried. Returns 0 or -errno with *error; grant (may be NULL) has
 * the steps tried. */
int roma__extents_cut(struct roma__extents *extents, uint32_t granules, char **base,
                      struct roma__extent_record **record, bool *reused, roma_grant *grant,
                      roma_error *error);

/* Give a run back. What that leaves free waits for its delay. */
void roma__extents_give(struct roma__extents *extents, struct roma__extent_record *record,
                        char *base, uint32_t granules);

/* The same, but nothing goes back, also without a delay: for trim, which decides itself. */
void roma__extents_put(struct roma__extents *extents, struct roma__extent_record *record,
                       char *base, uint32_t granules);

/* Lengthen a run at its end, if the granules there are free. */
bool roma__extents_lengthen(struct roma__extents *extents, struct roma__extent_record *record,
                            char *base, uint32_t granules, uint32_t wanted);

/* An extent of its own, new or cached: then the grant says reused, extent.zeroed is false, and
 * record->slab is what it was when its last cell gave it up. */
int roma__extents_take_own(struct roma__extents *extents, size_t bytes, size_t align,
                           unsigned populate_threads, struct roma__extent_record **record,
                           roma_grant *grant, roma_error *error);

/* What a cell that gets such an extent is told, and its wish for pages that are there. Returns 0 or
 * -errno; it is the caller's all the same. */
int roma__extents_reuse(struct roma__extents *extents, struct roma__extent_record *record,
                        unsigned populate_threads, roma_grant *grant, roma_error *error);

/* Its cell gives an own extent up: into the cache; to its provider without a delay, or where it was
 * migrated. */
void roma__extents_release_own(struct roma__extents *extents, struct roma__extent_record *record,
                               uint64_t now_ns);

/* Give any extent back to its provider, and its record. */
void roma__extents_release(struct roma__extents *extents, struct roma__extent_record *record);

/* Change the length of an own extent. Returns 0 or -errno; on failure it is as it was. The
 * extent is the caller's alone; the lock is taken for a moment, to say how it is now, and not over
 * the provider's work. A fork waits for it, and it for a fork. */
int roma__extents_resize(struct roma__extents *extents, struct roma__extent_record *record,
                         size_t bytes, bool may_move);

/* Move the pages of an own extent to other nodes. From then on they lie elsewhere than the step
 * says that obtained it, so it is nobody's but its cell's; what a resize adds follows them. Returns
 * and fills *migration as roma_provider_migrate(). The pages move without the lock: the extent is
 * the caller's. */
int roma__extents_migrate(struct roma__extents *extents, struct roma__extent_record *record,
                          const roma_nodes *nodes, roma_migration *migration, roma_error *error);

/* Would roma__extents_return() find something to do? One load, no lock. */
static inline bool roma__extents_is_due(const struct roma__extents *extents, uint64_t now_ns)
{
    return atomic_load_explicit(&extents->next_due_ns, memory_order_relaxed) <= now_ns;
}

/* Give back what has been free for longer than the delay. Returns the bytes whose pages went or
 * that are held no more. Cost: in proportion to what goes. */
size_t roma__extents_return(struct roma__extents *extents, uint64_t now_ns);

/* Give back whatever is free, delay or not, while more than keep_bytes are held: cached extents and
 * empty ones, and then the pages of free spans while more than keep_bytes have pages. Returns
 * bytes: of extents, and of pages discarded in those that stay. */
size_t roma__extents_trim(struct roma__extents *extents, size_t keep_bytes);

/* What a record's provider granted, as a grant of a reused extent. */
void roma__extents_grant(const struct roma__extents *extents,
                         const struct roma__extent_record *record, roma_grant *grant);

static inline roma_provider *roma__extents_provider(const struct roma__extents *extents,
                                                    const struct roma__extent_record *record)
{
    return extents->ladder.steps[record->step].provider;
}

/* Figures, readable at any time: held memory that is free and has pages, and that has none. */
static inline uint64_t roma__extents_dirty_bytes(const struct roma__extents *extents)
{
    return atomic_load_explicit(&extents->spans.dirty_bytes, memory_order_relaxed) +
           atomic_load_explicit(&extents->cache.held_bytes, memory_order_relaxed);
}

static inline uint64_t roma__extents_clean_bytes(const struct roma__extents *extents)
{
    return atomic_load_explicit(&extents->spans.clean_bytes, memory_order_relaxed);
}

/* Tell the owner that more is held than before, which is counted by now. */
static inline void roma__extents_tell_obtained(const struct roma__extents *extents)
{
    if (extents->obtained != NULL)
        extents->obtained(extents->owner);
}

/* The specification: NULL, or a sentence that says what is wrong. Threads: no other call. */
const char *roma__extents_fault(const struct roma__extents *extents);

/* In a child after fork, one thread: forget which granules are in use and which own extents are;
 * mark those that are; then give back what is not inherited or not in use any more. Cached extents
 * stay, where they are inherited. */
void roma__extents_unmark(struct roma__extents *extents);
void roma__extents_mark(struct roma__extent_record *record, const char *base, uint32_t granules);
void roma__extents_settle(struct roma__extents *extents);

/* Around what gives an own extent another place or length: no fork comes in between (fork.c), and
 * the thread is not cancelled. No lock is held then; that of the extents may be taken meanwhile,
 * for a moment. What the first returns is for the second. */
int roma__resizing_begin(void);
void roma__resizing_end(int cancelling);

void roma__extents_fork_hold(void);
void roma__extents_fork_free(void);

#endif
