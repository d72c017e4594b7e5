/* internal.h - the heap's own structure, for the files of this folder. */
#ifndef ROMA_HEAP_INTERNAL_H
#define ROMA_HEAP_INTERNAL_H

#include "heap/cache.h"
#include "heap/classes.h"
#include "heap/extents.h"
#include "heap/slab.h"

struct roma__heap {
    /* fixed when it was opened */
    void *owner;
    size_t lengths_below; /* of the options; SIZE_MAX: any                                      */
    size_t own_bytes; /* blocks of this length and more get an extent of their own              */
    uint32_t words;
    bool bounded, is_closed;
    unsigned populate_threads; /* of each cell                                                  */
    uint64_t serial;  /* of all heaps that there ever were                                       */
    uint32_t slot;    /* in the tables of threads (threads.c)                                    */
    void (*late_misuse)(void *owner, void *address);
    roma__heap *(*here)(void *owner); /* of a stand-in (threads.c), which uses no field below    */

    struct roma__extents extents;

    pthread_mutex_t large_lock; /* large cells: the list and its figures; after the extents'     */
    struct roma__slab *large;
    uint64_t large_takes, large_releases, large_bytes, large_usable_bytes;

    pthread_mutex_t caches_lock; /* before any cache's lock                                      */
    struct roma__cache *caches;  /* all but common                                               */
    uint32_t leaving_count;      /* threads that are ending; these two under the registry's lock  */
    bool is_closing;
    uint32_t orphans_count;      /* of them; read without the lock as a hint                     */
    struct roma__cache common;

    /* figures: of caches that are gone, under caches_lock; and those that anybody adds to */
    uint64_t past_taken[ROMA__CLASS_COUNT], past_given[ROMA__CLASS_COUNT];
    uint64_t past_sent_bytes; /* less those received                                             */
    uint64_t late_given[ROMA__CLASS_COUNT]; /* counted as given, and were none                    */
    uint64_t refused_given[ROMA__CLASS_COUNT], refused_bytes; /* sent, and received by nobody     */
    uint64_t published_bytes, peak_bytes;
    uint64_t visited_ns; /* when any thread last was on a slow path                              */
    uint64_t descriptor_bytes; /* of the slabs that stand now                                    */
};

/* A heap's cells have an address each; those that nobody can find free any more are told of here:
 * freed twice, or never a cell. Locks may be held. */
void roma__heap_late_misuse(roma__heap *heap, void *address);

/* The same of one whose sender counted it as released and who nobody received it from: the figures
 * are set right, its length as a guess, that of the life that is there now. */
void roma__heap_take_back(roma__heap *heap, unsigned class_index, void *address);

/* The sum of what caches publish has changed by `more`, modulo 2^64; note the peak. With 0: that of
 * what is parked has. */
void roma__heap_publish(roma__heap *heap, uint64_t more);

/* Correct the figures of class cells: so many live by class (NULL: none), and none is on its way.
 * Nobody else uses the heap. */
void roma__heap_settle_figures(roma__heap *heap, const uint64_t *live);

/* Somebody is on a slow path. Returns how long nobody was. */
uint64_t roma__heap_visit(roma__heap *heap, uint64_t now_ns);

/* A descriptor stands, or does no longer: its bytes count. */
void roma__heap_count_descriptor(roma__heap *heap, const struct roma__slab *slab, bool stands);

int roma__heap_no_descriptor(roma_grant *grant, roma_error *error);

/* What the words and tails say of a cell now. */
void roma__cell_fill(struct roma__slab *slab, uint32_t index, roma__cell *cell);

/* End the lives of a slab's cells, whatever their counts, and retire it. Returns how many lived;
 * without words, how many may have. */
uint64_t roma__heap_end_slab(struct roma__slab *slab);

/* ---- large.c --------------------------------------------------------------------------------- */

/* Take a cell of more than a class's bytes. Returns 0 or -errno. */
int roma__large_take(roma__heap *heap, size_t bytes, const roma__take *take,
                     struct roma__slab **from, bool *reused, roma_grant *grant, roma_error *error);

/* Its life has ended: give it back. */
void roma__large_recycle(roma__heap *heap, struct roma__slab *slab);

/* The heap's list of large slabs; both take its lock and count the descriptor. */
void roma__large_push(roma__heap *heap, struct roma__slab *slab);
void roma__large_drop(roma__heap *heap, struct roma__slab *slab);

/* ---- threads.c ------------------------------------------------------------------------------- */

/* The calling thread's cache of a heap, made if need be, or the heap's common one. */
struct roma__cache *roma__cache_for(roma__heap *heap);

/* The calling thread's cache, if it has one. */
struct roma__cache *roma__cache_if_any(const roma__heap *heap);

/* A number for a new heap's slot in the tables of threads, and its serial; UINT32_MAX: no
 * memory. */
uint32_t roma__slot_take(uint64_t *serial);
void roma__slot_give(uint32_t slot);

/* A slab with free cells of a class changes over from an orphan to the bin. We hold the cache's
 * lock. Returns whether there was one. */
bool roma__orphans_serve(struct roma__cache *cache, unsigned class_index);

/* Empty the caches of threads that are away, and of those that have ended. */
void roma__caches_flush(roma__heap *heap);

/* The same where nobody else uses the heap: needs no claim, so that nothing is left out. */
void roma__caches_flush_quiet(roma__heap *heap);

/* Empty those whose threads have been away for the return delay, without waiting for any lock: for
 * who holds the lock of his own cache. */
void roma__caches_flush_idle(struct roma__cache *own, uint64_t now_ns);

/* The heap is going: no thread that ends looks at it any more, and those that just do are waited
 * for. Then, when it is empty: all caches are nobody's. */
void roma__caches_await(roma__heap *heap);
void roma__caches_close(roma__heap *heap);

/* In a child after fork: the caches of all threads but the caller are orphans. */
void roma__caches_fork_child(roma__heap *heap);

void roma__threads_fork_hold(void);
void roma__threads_fork_free(void);

#endif
