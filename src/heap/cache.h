/* cache.h - a thread's cache of one heap: magazines of free cells, and the slabs that they are
 * from.
 *
 * In and out. A magazine is a stack of addresses of free cells of one class. Taking and giving are
 * the inline functions of <roma/cache.h>: they touch the magazine, and where the heap keeps words
 * the cell's state. Only when a magazine is empty or full does a call get here:
 *
 *   refill   cells that other threads sent back (inbox), else free bits of the cache's own slabs,
 *            else a new slab: half a magazine at a time
 *   flush    the older half of a full magazine goes back to where it came from: a free bit of an
 *            own slab, or on its way to the cache whose slab it is
 *
 * How much a magazine may hold (its limit) starts small and doubles with each refill and flush, up
 * to 256 KiB of cells, at least 2 and at most 1024 cells: a thread that allocates little keeps
 * little. Slow paths are rare only where the magazines hold what a program's lengths swing by.
 *
 * Ownership. A slab of a class is in the bins of one cache, its keeper, and only the keeper looks
 * at its free bits. What the three kinds of words make of that:
 *
 *   NONE, EXACT  whoever frees a cell may put it into its own magazine and hand it out again; it
 *                goes home to its keeper when it is flushed
 *   OWNED        the keeper is also the owner: it alone turns a live cell free, so that a plain
 *                store is enough, and it alone has the cell in a magazine. Another thread that
 *                gives up the last reference sends the cell to it, with the word that it saw; the
 *                owner compares when it looks into its inbox
 *
 * Locks. A cache has one. Its thread holds it on slow paths, anybody else while claiming it
 * (claim.h). With it held by a thread, everything here is that thread's, but for the inbox's head,
 * which is pushed to without it, and what is marked as figures. Order of locks: the heap's
 * caches_lock, a cache's, the heap's extents, the process-wide ones. With a cache's lock held
 * caches_lock may only be tried.
 *
 * Life. Caches are never unmapped: a late sender, or a handle that a program kept too long, meets
 * memory that is a cache. They are used again, by other threads and heaps. */
#ifndef ROMA_HEAP_CACHE_H
#define ROMA_HEAP_CACHE_H

#include "heap/heap.h"
#include "heap/remote.h"

#include <pthread.h>

struct roma__slab;

/* A cache's slabs of one class. */
struct roma__bin {
    struct roma__slab *partial; /* with a free cell */
    struct roma__slab *all;
};

enum roma__cache_state {
    ROMA__CACHE_SPARE,    /* nobody's                                         */
    ROMA__CACHE_ATTACHED, /* a thread's                                       */
    ROMA__CACHE_ORPHAN,   /* its thread has ended, and slabs of it are in use */
    ROMA__CACHE_COMMON    /* the heap's own, for threads that have none: no magazines */
};

struct roma__cache {
    struct roma_cache handle; /* first: it is the owner that slabs and programs know */
    pthread_mutex_t lock;
    roma__heap *heap;
    uint64_t serial; /* of the heap; 0: spare                                       */
    enum roma__cache_state state; /* under the heap's caches_lock                   */
    bool is_closed;  /* for good: every call is to come the slow way                */
    bool has_lost_slabs;      /* some went to another cache while it was an orphan  */
    uint64_t visited_ns;      /* when its thread last came this way                 */
    struct roma__bin bins[ROMA__CLASS_COUNT];
    struct roma__outgoing outgoing; /* its thread's                                 */
    struct roma__outgoing errand;   /* of whoever claimed it, for what is to go on  */
    struct roma__inbox inbox;
    void **bottoms[ROMA__CLASS_COUNT]; /* of the magazines: above the NULL           */
    void **seen[ROMA__CLASS_COUNT]; /* of a closed cache: the tops that the claimer saw */
    uint64_t published_bytes[ROMA__CLASS_COUNT]; /* live, as the heap has been told    */
    /* Releases that were made here and are applied elsewhere, and those the other way round. */
    uint64_t sent_cells[ROMA__CLASS_COUNT], sent_bytes, received_bytes;
    void **storage;           /* of the magazines; NULL until first used            */
    struct roma__cache *next, *previous; /* of the heap                             */
};

/* Most cells that a magazine of the class may hold. */
uint32_t roma__magazine_most(const roma__heap *heap, unsigned class_index);

/* A release is counted that another cache is to apply. */
static inline void roma__cache_count_sent(struct roma__cache *cache, unsigned class_index,
                                          uint32_t tail)
{
    roma__figure_add(&cache->sent_cells[class_index], 1);
    roma__figure_add(&cache->sent_bytes, tail >> ROMA__FLAG_BITS);
}

/* The key of its slabs, NULL where no cell may be freed by a store alone; and how many cells are in
 * a magazine, for figures: a glance. */
const void *roma__cache_key_of(const struct roma__cache *cache);
uint64_t roma__magazine_count(const struct roma__cache *cache, unsigned class_index);

/* Prepare zeroed memory, once in its life. */
void roma__cache_make(struct roma__cache *cache);

/* Make it a cache of a heap: magazines empty. Returns 0, or -ENOMEM. */
int roma__cache_open(struct roma__cache *cache, roma__heap *heap, enum roma__cache_state state);

/* A cache that was shut gets its magazines again. Returns 0, or -ENOMEM. */
int roma__cache_reopen(struct roma__cache *cache);

/* Magazines are given up; whatever is in them must be elsewhere. */
void roma__cache_shut(struct roma__cache *cache);

/* ---- under the cache's lock ------------------------------------------------------------------ */

/* A free cell of a class, with its slab and index. reused: whether no extent had to be obtained.
 * Returns 0 or -errno, with *error and *grant (may be NULL) filled. */
int roma__cache_pop(struct roma__cache *cache, unsigned class_index, void **address,
                    struct roma__slab **slab, uint32_t *index, bool *reused, roma_grant *grant,
                    roma_error *error);

/* A cell that has just become free: into the magazine, or home. */
void roma__cache_push(struct roma__cache *cache, struct roma__slab *slab, uint32_t index);

/* A free cell goes home: to a bit of its slab, or on its way to the slab's keeper. */
void roma__cache_give_home(struct roma__cache *cache, struct roma__slab *slab, uint32_t index);

/* Look into the inbox; take the cells of one batch in. */
void roma__cache_drain(struct roma__cache *cache);
void roma__cache_receive(struct roma__cache *cache, const struct roma__batch *batch);

/* What a claimer saw in the magazines goes home. */
void roma__cache_take_away(struct roma__cache *cache);

/* All cells home, all batches sent, the inbox drained, empty slabs back to the heap. */
void roma__cache_flush(struct roma__cache *cache);

/* A release that was counted proves to have been none: take it off the figures again, and tell. */
void roma__cache_late_misuse(struct roma__cache *cache, unsigned class_index, void *address);

/* Tell the heap how many usable bytes of a class live, since the last time. */
void roma__cache_publish(struct roma__cache *cache, unsigned class_index);

/* On a slow path: memory past its delay goes back; what a thread keeps that was away for as long
 * goes home; and where nobody came for that long, so does what the others keep, and all goes
 * back. */
void roma__cache_tick(struct roma__cache *cache);

/* Forget the cells of the magazines and those on their way: the heap is being cleared. */
void roma__cache_discard(struct roma__cache *cache);

/* End the lives of all cells of all its slabs, and retire these. Returns how many lived. Nobody
 * else uses the heap. */
uint64_t roma__cache_clear(struct roma__cache *cache);

/* ---- without its lock ------------------------------------------------------------------------ */

/* The same, by the way, for calls that do not need the cache. */
void roma__cache_pass_by(roma__heap *heap);

/* ---- bins (bins.c) --------------------------------------------------------------------------- */

/* Up to `count` free cells of a class from the bin's slabs, lowest first: addresses, and their
 * states (NULL: not wanted). Returns how many. */
uint32_t roma__bin_take(struct roma__cache *cache, unsigned class_index, void **addresses,
                        void **states, uint32_t count);

/* A slab with free cells for the bin: an orphan's, or a new one. Returns 0 or -errno. */
int roma__bin_grow(struct roma__cache *cache, unsigned class_index, bool *reused,
                   roma_grant *grant, roma_error *error);

/* A cell of one of the cache's own slabs is free. The slab goes back to the heap when that makes it
 * empty and it is not the only one with room. */
void roma__bin_give(struct roma__cache *cache, struct roma__slab *slab, uint32_t index);

/* Give back all empty slabs. Returns whether slabs are left. */
bool roma__bins_trim(struct roma__cache *cache);

/* A slab changes over: both locks are held. */
void roma__bin_move(struct roma__cache *from, struct roma__cache *to, struct roma__slab *slab);

/* Take a slab off the lists, and list it as having free cells. */
void roma__bin_forget(struct roma__cache *cache, struct roma__slab *slab);
void roma__bin_push_partial(struct roma__bin *bin, struct roma__slab *slab);

#endif
