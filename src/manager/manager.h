/* manager.h - a manager's inside, and what the files of this folder do for each other.
 *
 *   options.c  a manager's options                   fast.h    the fast way in and out
 *   request.c  a request is read and checked         life.c    a block's life, the slow way
 *   policy.c   the rules of its wish (policy/wish.h) block.c   blocks by pointer
 *   heaps.c    a wish becomes a heap                 batch.c   many at once
 *   plain.c    the heap of plain requests
 *   limits.c   the limit and the threshold
 *   figures.c  sums over the heaps                   cache.c   blocks by a thread's cache
 *   misuse.c   telling of misuse, leaks.c of leaks   handle.c  blocks by handle
 *   fork.c     all managers over fork()              resize.c  another length
 *   background.c  the thread that gives memory back
 *   migrate.c  other nodes for a block
 *   advise.c   a block's pages present, needed, cold; the engine for those of files
 *   sites.c notes.c tools.c debug.c  what debug options need
 *   ranges.c store.c stored.c  which stores are open, managers over them, their blocks
 *
 * Locks, outermost first: the background thread's, the list of managers (fork.c), the policy of a
 * manager, its routes, locks of its heaps, its notes, the process-wide ones of the heap floor. The
 * caller's functions (on_threshold, on_misuse) are called with none held, but for what
 * roma_manager_check() finds and for a release that the heap finds wrong after its call. */
#ifndef ROMA_MANAGER_MANAGER_H
#define ROMA_MANAGER_MANAGER_H

#include <roma/block.h>
#include <roma/policy.h>
#include <roma/store.h>
#include <roma/topology.h>

#include "heap/heap.h"
#include "manager/notes.h"
#include "manager/ranges.h"
#include "manager/sites.h"
#include "policy/wish.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROMA__NAME_BYTES = 32, ROMA__GUARD_BYTES = 16 };
#define ROMA__ALIGN_MAX ((size_t)1 << 30)
/* Longer blocks are -EOVERFLOW: no sum of length, guard, alignment and page overflows below it. */
#define ROMA__BYTES_MAX ((size_t)PTRDIFF_MAX - 4 * ROMA__ALIGN_MAX)

/* Where a wish goes. Several wishes may have the same ladder; the first one opened the heap. Routes
 * are only ever added: written before they are published, not changed afterwards. */
typedef struct roma__route {
    roma__wish wish;
    const roma_topology *topology; /* that the ladder was made by */
    roma__heap *heap;
    bool opened_heap;
    struct roma__route *next;
} roma__route;

struct roma_manager {
    /* fixed when it was made */
    char name[ROMA__NAME_BYTES];
    roma_store *store; /* that it is over; NULL: one with heaps. With it all below is unused but
                          what misuse and failures need, and there is no plain heap ever */
    roma_request defaults; /* placement, nodes, pages, strict, inherit, populate_threads */
    roma_provider *providers[ROMA_STEPS_MAX]; /* those of its options, then what policies named */
    size_t providers_count;                   /* of the former                                  */
    size_t page_bytes; /* the machine's base page */
    size_t growth_bytes;
    size_t options_limit_bytes, options_threshold_bytes;
    roma_on_threshold on_threshold;
    void *threshold_context;
    unsigned debug;
    bool under_tool;
    bool looks_at_bytes; /* of blocks: by debug options or for a tool                     */
    bool is_closed;      /* no block may begin without life.c, which looks or populates   */
    uint32_t words;      /* ROMA__WORDS_* of its heaps                                    */
    bool bounded, background;
    uint64_t return_delay_ns;
    FILE *leak_stream;
    roma_on_misuse on_misuse;
    void *misuse_context;

    /* heaps.c: head of the routes; release when one is added, paired with the acquire of readers */
    _Atomic(roma__route *) routes;
    pthread_mutex_t routes_lock; /* who adds one */

    /* plain.c: for requests that wish nothing; NULL before the first, and when the policy changed.
     * Set under policy_lock, where the policy that it follows from is the one in
     * place; with it the topology that it follows from: both under routes_lock, and a reader who
     * meets halves of two pairs uses either heap once. */
    _Atomic(roma__heap *) plain_heap;
    _Atomic(const roma_topology *) plain_topology;
    struct roma__stand_in *stand_ins; /* that there ever were; under routes_lock */

    /* policy.c: a copy of our own; NULL: none. Its lock is held by who routes and by who
     * replaces it. */
    pthread_mutex_t policy_lock;
    roma_policy *policy;
    _Atomic(bool) has_policy;        /* without it nobody needs the lock                   */
    _Atomic(size_t) providers_known; /* those of the options, and what policies named besides */
    _Atomic(bool) aborts;            /* when all steps fail                                */
    /* Of the policy in place, else of the options. */
    _Atomic(size_t) limit_bytes, threshold_bytes;

    roma__notes notes;

    struct roma_prefetch_engine *engine; /* advise.c: that reads files for it, held; NULL: none */

    /* Figures: relaxed, each right in itself, not at one instant. Those of blocks are kept by the
     * heaps, in the caches of threads. */
    _Atomic(uint64_t) failures, misuses;
    _Atomic(uint64_t) held_bytes, held_peak_bytes;
    _Atomic(bool) has_risen; /* past the threshold, and nobody was told yet */

    /* fork.c: all managers */
    struct roma_manager *next, *previous;
    /* background.c: those that asked for the thread, under its lock */
    struct roma_manager *background_next;
};

/* ---- options.c ------------------------------------------------------------------------------- */

/* Check options and lay them down in a manager that is zero. Returns 0, -EINVAL, -E2BIG. */
int roma__options_take(roma_manager *manager, const roma_options *given, roma_error *error);

/* ---- request.c ------------------------------------------------------------------------------- */

/* Can a manager that keeps no counts meet it? Returns 0 or -EOPNOTSUPP with *error filled. */
int roma__request_check_counts(const roma_manager *manager, const roma_request *request,
                               roma_error *error);

/* Read and check a request. Returns 0, -EINVAL, -E2BIG, -EOVERFLOW with *error filled. */
int roma__request_read(roma_request *own, const roma_request *given, roma_error *error);

/* Alignment that a block of this length has without being asked: the largest power of two that
 * divides it, at least 16, at most a base page. */
size_t roma__natural_align(const roma_manager *manager, size_t bytes);

/* ---- heaps.c --------------------------------------------------------------------------------- */

/* The heap of a wish, opened when there is none. Returns 0, -EINVAL, -ENOMEM with *error filled. */
int roma__heap_for(roma_manager *manager, const roma__wish *wish, roma__heap **heap,
                   roma_error *error);

/* The manager as one who wishes, with the providers known by now. */
roma__wisher roma__wisher_of(const roma_manager *manager);

/* Walk over the heaps: the first route that opened one from `route` on; NULL: no more. */
const roma__route *roma__route_heap(const roma__route *route);

#define ROMA__EACH_HEAP(manager, route)                                                            \
    for (const roma__route *route = roma__route_heap(                                              \
             atomic_load_explicit(&(manager)->routes, memory_order_acquire));                      \
         route != NULL; route = roma__route_heap(route->next))

/* Close all heaps and forget the routes. Returns how many blocks were live. */
uint64_t roma__heaps_close(roma_manager *manager);

/* ---- plain.c -------------------------------------------------------------------------------- */

/* The heap of requests that wish nothing but this length (and an alignment, which makes cells
 * longer), and on how many threads their pages are to be populated, if not by the heap itself.
 * Lengths are at most ROMA__BYTES_MAX. Returns as roma__heap_for(). */
int roma__heap_plain(roma_manager *manager, size_t bytes, size_t align, roma__heap **heap,
                     unsigned *populate_threads, roma_error *error);

/* The heap that plain requests share, whose caches the fast way and roma_cache_of() use: for where
 * the caller runs. */
int roma__heap_of_caches(roma_manager *manager, roma__heap **heap, roma_error *error);

/* The policy has changed, or there was none before: plain requests are routed anew. Under
 * policy_lock. */
void roma__plain_forget(roma_manager *manager);

/* The manager ends: after its heaps. */
void roma__plain_close(roma_manager *manager);

/* ---- policy.c ------------------------------------------------------------------------------- */

void roma__policy_open(roma_manager *manager);
void roma__policy_close(roma_manager *manager);

/* Hold the policy in place. NULL: there is none. To be let go in either case. */
const roma_policy *roma__policy_hold(roma_manager *manager, bool *is_held);
void roma__policy_let_go(roma_manager *manager, bool is_held);

/* All steps of a request failed: what the policy says of that is done. */
void roma__policy_failed(const roma_manager *manager, const roma_error *error);

/* ---- limits.c -------------------------------------------------------------------------------- */

/* The heap's callbacks; owner is the manager. */
int roma__limit_charge(void *owner, size_t bytes);
void roma__limit_credit(void *owner, size_t bytes);

/* Complete the error of a refused charge. */
void roma__limit_explain(const roma_manager *manager, roma_error *error);

/* After what may have obtained memory, with no lock held: note the peak, and call on_threshold if
 * memory has risen past it. */
void roma__limit_settle(roma_manager *manager);

/* Give back what no block needs, but for keep_bytes in all. Returns bytes. */
size_t roma__manager_trim(roma_manager *manager, size_t keep_bytes);

/* Have releases that are on their way between threads arrive. No other thread is inside. */
void roma__manager_settle(roma_manager *manager);

/* ---- figures.c ------------------------------------------------------------------------------- */

/* What the heaps of a manager sum up to; bytes are the blocks', without guards and redzones. */
typedef struct roma__figures {
    uint64_t live, allocations, releases;
    uint64_t bytes, usable_bytes;
    uint64_t peak_bytes; /* the sum of the heaps' peaks, guards and redzones included */
    uint64_t extents, held_bytes, free_bytes, returned_bytes, metadata_bytes;
} roma__figures;

roma__figures roma__figures_of(roma_manager *manager);

/* ---- life.c ---------------------------------------------------------------------------------- */

typedef struct roma__wanted {
    size_t bytes, align;
    bool zero;
    unsigned flags; /* ROMA__CELL_WEAK, ROMA__CELL_REGISTERED */
    unsigned populate_threads;
    const char *label; /* NULL: none */
} roma__wanted;

/* Bytes behind a block that are not the caller's: guard bytes, or a tool's redzone. */
size_t roma__tail_bytes(const roma_manager *manager, const roma__heap *heap);
/* Length of the block in a cell, and what it could reach in place. */
size_t roma__length_of(const roma__cell *cell);
size_t roma__usable_of(const roma__cell *cell);

/* The live block that starts at an address. Returns 0, -EINVAL (no block starts here: cell->slab is
 * NULL unless it is inside one), -ESTALE (free). */
int roma__life_at(const void *address, roma__cell *cell);

/* Returns 0 with *cell and *grant (may be NULL), or -errno with both *error and *grant filled. */
int roma__life_begin(roma_manager *manager, roma__heap *heap, const roma__wanted *wanted,
                     const roma__site *site, roma__cell *cell, roma_grant *grant,
                     roma_error *error);

/* Take or give up a reference of the life that `cell` was found in; the last one ends it, or has
 * it ended by the owner of its slab. Returns the count afterwards, -ESTALE, and for retain also
 * -EOVERFLOW, -ENOMEM, -EOPNOTSUPP. */
int roma__life_retain(roma__cell *cell, const roma__site *site);
int roma__life_drop(roma__cell *cell, const roma__site *site);

/* Lay guard bytes behind a block of `bytes`; check those of a live or just dropped one, telling of
 * damage (site may be NULL). Without ROMA_DEBUG_GUARDS nothing, and whole. */
void roma__guard_lay(const roma__cell *cell, size_t bytes);
bool roma__guard_check(const roma__cell *cell, const roma__site *site);

/* ---- block.c --------------------------------------------------------------------------------- */

/* A block of a plain request; and one of a given heap, where the policy has it share one. The
 * address, or NULL with errno. */
void *roma__block_begin(roma_manager *manager, size_t bytes, size_t align, bool zero,
                        const roma__site *site);
void *roma__block_begin_in(roma_manager *manager, roma__heap *heap, size_t bytes,
                           const roma__site *site);

/* Give up one reference; what is wrong goes to on_misuse. NULL is no mistake here. */
void roma__block_end(void *block, const roma__site *site);
/* The same where the caller says the length. */
void roma__block_end_sized(void *block, size_t bytes, const roma__site *site);

/* ---- stored.c: blocks of stores -------------------------------------------------------------- */

/* As the calls of block.c, for a manager over a store. */
void *roma__stored_begin(roma_manager *manager, size_t bytes, size_t align, bool zero);
void *roma__stored_begin_with(roma_manager *manager, const roma_request *request,
                              roma_grant *grant);
int roma__stored_begin_many(roma_manager *manager, size_t bytes, void **blocks, size_t count);

/* What a request wishes that no store can do. Returns 0 or -EOPNOTSUPP with *error filled. */
int roma__stored_check(const roma_request *request, roma_error *error);
/* A grant's only step, and the page kind that comes of it. */
void roma__stored_step(const roma_store *store, roma_grant *grant);

/* For a pointer that roma__life_at() knows no live block at, with the code that it gave: what the
 * public call returns, which is that code (by errno where that is its way) where the pointer is in
 * no store. */
int roma__stored_retain(void *block, int code);
int roma__stored_release(void *block, int code);
size_t roma__stored_bytes(const void *block, int code);
size_t roma__stored_usable(const void *block, int code);
int roma__stored_count(const void *block, int code);
roma_manager *roma__stored_manager_of(const void *block, int code);
const char *roma__stored_label_of(const void *block, int code);
int roma__stored_where(const void *block, roma_report *report, int code);
int roma__stored_handle(const void *block, roma_block *handle, int code);
/* *block is the address afterwards. */
int roma__stored_resize(void **block, size_t bytes, unsigned flags, int code);

/* Does the handle name a live block of a store? */
bool roma__stored_is_live(roma_block handle);

/* Give up one reference where the pointer is in a store; what is wrong is told. False: in none. */
bool roma__stored_end(void *block, const roma__site *site);
bool roma__stored_end_sized(void *block, size_t bytes, const roma__site *site);
/* The same for blocks from the start of a list (the first one is no NULL) for as long as they are
 * of one store. Returns how many. */
size_t roma__stored_end_many(void *const *blocks, size_t count, const roma__site *site);

/* A block of a store, of which a part is to be worked on. */
typedef struct roma__stored_part {
    roma__stored stored;
    const void *block;
    size_t usable_bytes;
    int code; /* 0: it lives; -EINVAL, -ESTALE */
} roma__stored_part;

/* False: in no store. */
bool roma__stored_part_of(const void *block, roma__stored_part *part);
/* As roma_populate() and roma_advise(), of a part that lives and is as long. */
int roma__stored_populate(const roma__stored_part *part, size_t offset, size_t bytes,
                          unsigned threads, roma_error *error);
int roma__stored_advise(const roma__stored_part *part, size_t offset, size_t bytes,
                        roma_advice advice, roma_error *error);

/* ---- advise.c -------------------------------------------------------------------------------- */

/* The engine of a manager, as far as it is one of this process; NULL: none. */
struct roma_prefetch_engine *roma__manager_engine(const roma_manager *manager);
/* At its end. */
void roma__manager_let_engine(roma_manager *manager);

/* ---- store.c: managers over stores ----------------------------------------------------------- */

/* NULL: no memory for it. */
roma_manager *roma__store_manager_make(roma_store *store);
/* NULL is fine. */
void roma__store_manager_end(roma_manager *manager);

/* As roma_manager_blocks(). */
int roma__stored_each(roma_store *store,
                      int (*visit)(void *context, const roma_block_info *block), void *context);

/* The place of a block that an address is inside of. False: of none. */
typedef struct roma__stored_around {
    const void *address;
    size_t offset; /* > 0 */
    bool is_live;
} roma__stored_around;
bool roma__stored_find_around(const roma__stored *stored, const void *address,
                              roma__stored_around *around);

/* ---- resize.c -------------------------------------------------------------------------------- */

/* Another length for a block that the caller has a reference of; flags as roma_block_resize().
 * *cell is the block afterwards. Returns 0 or -errno; then the block is as it was. */
int roma__resize(roma__cell *cell, size_t bytes, unsigned flags, const roma__site *site);

/* ---- misuse.c -------------------------------------------------------------------------------- */

/* Giving up a reference of `address` failed with `code`; *found as roma__life_at() left it. */
void roma__misuse_release(const void *address, int code, const roma__cell *found,
                          const roma__site *site);
void roma__misuse_size(const roma__cell *cell, size_t given_bytes, const roma__site *site);
/* Guard byte `index` behind the block in `cell` was overwritten. site may be NULL. */
void roma__misuse_overrun(const roma__cell *cell, size_t index, const roma__site *site);
/* Byte `index` of a freed block was; `note` is about that one. */
void roma__misuse_written(roma_manager *manager, const roma__note *note, size_t index);
/* A release was found to be a second one after its call had returned. The heaps' callback. */
void roma__misuse_late(void *owner, void *address);
/* Giving up a reference of a store's block failed; or of one among some, from `address` on. */
void roma__misuse_stored(const roma__stored *stored, const void *address, size_t among, int code,
                         const roma__site *site);
void roma__misuse_stored_size(const roma__stored *stored, const void *address, size_t bytes,
                              size_t given_bytes, const roma__site *site);
void roma__misuse_damage(roma_manager *manager, const char *sentence);
void roma__misuse_leak(roma_manager *manager, uint64_t blocks, uint64_t bytes);

/* ---- leaks.c --------------------------------------------------------------------------------- */

/* List the live blocks on the manager's stream. */
void roma__leaks_list(roma_manager *manager);

/* Call `visit` for each live block of all heaps. A non-zero return ends the walk. */
int roma__cells_each(roma_manager *manager, int (*visit)(void *context, const roma__cell *cell),
                     void *context);

/* ---- background.c ---------------------------------------------------------------------------- */

/* Have the thread serve this manager, and start it where it does not run; and no longer. Returns 0,
 * -ENOMEM, -EAGAIN. After leaving the thread is not in the manager's heaps. */
int roma__background_join(roma_manager *manager, roma_error *error);
void roma__background_leave(roma_manager *manager);

/* On slow paths of a manager that asked for it: a child of fork() makes the thread anew. */
void roma__background_ensure(void);

/* Around fork(). */
void roma__background_fork_hold(void);
void roma__background_fork_free(bool in_child);

/* ---- fork.c ---------------------------------------------------------------------------------- */

/* Have fork() attended to from now on. Returns 0 or -ENOMEM; the same each time. */
int roma__managers_watch_fork(void);

/* Add to and remove from the list of all managers. */
void roma__managers_add(roma_manager *manager);
void roma__managers_remove(roma_manager *manager);

#endif
