/* roma/manager.h - managers: what allocates, resizes and frees blocks.
 *
 * A manager routes each request down a ladder of (provider, nodes, page kind) and cuts blocks out
 * of the extents that it gets. There is one for the process, roma_default(), which cannot be
 * destroyed; others are made with options of their own.
 *
 * Unless a declaration says otherwise: Threads: any, at once. Signals: no: not in a handler, and
 * not to be left by longjmp. Cost: a lock or two, no system call. Since: 0.1.
 *
 * Counts. What a manager keeps about each block is one of three (roma_options.counts):
 *   COUNTED  length, references and generation, 8 bytes a block. The thread whose cache a block
 *            came from ends its life without a locked instruction; what other threads release
 *            travels to it and is ended at its next call that needs more than its cache has, at its
 *            end, or at a trim.
 *   EXACT    the same 8 bytes, and every end is at once, by whichever thread: some ns more each.
 *   NONE     nothing. A block is freed by its first release: roma_retain() is -EOPNOTSUPP,
 *            roma_count() 1. Up to 256 KiB its length is that of its size class: roma_bytes() is
 *            roma_usable(), and a sized free is misuse where the length does not fit in. There are
 *            no handles (EOPNOTSUPP); weak and registered blocks are -EOPNOTSUPP; labels are not
 *            kept. A double free is found when the block goes back to its slab, or not at all when
 *            it has been handed out again by then.
 * Debug options and memory tools (AddressSanitizer, Valgrind's memcheck) look at every step of a
 * block's life: with them a manager is EXACT whatever was asked, NONE too, and caches of threads
 * hold nothing.
 *
 * Fork: in a child, blocks on ordinary pages are the child's copies and it may allocate and free.
 * Blocks on hugetlb pages are not there (unless asked for with `inherit`): access is SIGSEGV,
 * handles say -ESTALE, plain pointers to them are unknown to roma. What other threads of the parent
 * were freeing at that moment is free in the child; what they were obtaining from the kernel stays
 * mapped there and unused. The child looks at every block once: some ns a block. */
#ifndef ROMA_MANAGER_H
#define ROMA_MANAGER_H

#include <roma/provider.h>
#include <roma/request.h>
#include <roma/visitor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma_manager roma_manager;
struct roma_store;           /* roma/store.h */
struct roma_prefetch_engine; /* roma/prefetch.h */

/** What kind of misuse was found. */
typedef enum roma_misuse_kind {
    ROMA_MISUSE_FOREIGN = 1, /**< an address that no manager knows                          */
    ROMA_MISUSE_INTERIOR,    /**< an address inside a block, not its start                  */
    ROMA_MISUSE_DOUBLE_FREE, /**< the block was free already                                */
    ROMA_MISUSE_OVERRUN,     /**< guard bytes behind the block were overwritten             */
    ROMA_MISUSE_WRITE_FREED, /**< a free block was written to (fill patterns)               */
    ROMA_MISUSE_SIZE,        /**< freed with a length that is not the block's               */
    ROMA_MISUSE_LEAK,        /**< blocks live at roma_manager_destroy_all(), with
                                  ROMA_DEBUG_LEAKS; for a function of the program's own only  */
    ROMA_MISUSE_DAMAGE       /**< roma's own records do not agree: roma_manager_check()     */
} roma_misuse_kind;

typedef struct roma_misuse {
    roma_misuse_kind kind;
    const void *address;   /**< as given, or the block's                                        */
    roma_manager *manager; /**< NULL when no manager is known                                   */
    const char *text;      /**< one sentence, with call sites where they are kept; valid during
                                the callback only                                               */
} roma_misuse;

/** Called for misuse found outside a call that can return it; it may not call the manager, and may
 *  be called by any thread that does, the background thread too, with locks held. When it returns,
 *  a call that was the misuse has no effect, and one that found damage done before (an overrun, a
 *  write to a free block) goes on. The default prints the text to stderr and aborts. */
typedef void (*roma_on_misuse)(void *context, const roma_misuse *misuse);

/** Called once each time that the memory obtained rises past the threshold; it may free. */
typedef void (*roma_on_threshold)(void *context, roma_manager *manager, size_t held_bytes);

/** Debug options, bits; each costs time and memory, none is on by default. */
enum {
    ROMA_DEBUG_PATTERNS = 1u << 0, /**< fill on allocate (0xA5) and on free (0x5A), and check the
                                        latter on reuse and in roma_manager_check(); cells of more
                                        than 256 KiB are given back instead and not checked       */
    ROMA_DEBUG_GUARDS = 1u << 1,   /**< 16 guard bytes behind each block, checked on free, resize
                                        and roma_manager_check()                                  */
    ROMA_DEBUG_SITES = 1u << 2,    /**< keep where each block was allocated, last retained, last
                                        released: file and line where the caller is compiled with
                                        ROMA_CALL_SITES, else the return address                  */
    ROMA_DEBUG_LEAKS = 1u << 3,    /**< destroy lists the blocks still live, with sites if kept */
    ROMA_DEBUG_ALL = ROMA_DEBUG_PATTERNS | ROMA_DEBUG_GUARDS | ROMA_DEBUG_SITES | ROMA_DEBUG_LEAKS
};

/** What a manager keeps about its blocks: see the top of this header. */
typedef enum roma_counts {
    ROMA_COUNTS_COUNTED = 0,
    ROMA_COUNTS_NONE,
    ROMA_COUNTS_EXACT
} roma_counts;

/** Values of roma_options.return_delay_ns. */
#define ROMA_RETURN_AT_ONCE ((uint64_t)1)     /**< the next slow path gives back what is free */
#define ROMA_RETURN_NEVER (~(uint64_t)0)      /**< only roma_manager_trim() does              */

typedef struct roma_options {
    size_t size;                     /**< of this struct                                          */
    const char *name;                /**< for reports, copied, up to 31 bytes; NULL: "manager"    */
    const roma_request *request;     /**< defaults for placement, nodes, pages, strict, inherit and
                                          populate_threads of requests that leave them unset;
                                          copied; NULL: none                                      */
    roma_provider *const *providers; /**< tried in this order within each (nodes, page kind);
                                          copied; NULL: the anonymous one                         */
    size_t providers_count;
    size_t limit_bytes;              /**< most memory to hold; 0: no limit                        */
    size_t threshold_bytes;          /**< call on_threshold past this; 0: never                   */
    roma_on_threshold on_threshold;
    void *threshold_context;
    size_t growth_bytes;             /**< least bytes of a new extent for small blocks; 0: 2 MiB */
    unsigned debug;                  /**< ROMA_DEBUG_*                                            */
    FILE *leak_stream;               /**< where the leak list goes; NULL: stderr                  */
    roma_on_misuse on_misuse;        /**< NULL: print and abort                                   */
    void *misuse_context;
    uint64_t return_delay_ns;        /**< how long free memory keeps its pages before they go back
                                          to the kernel, at the next call that needs more than its
                                          thread's cache has; 0: 1 s                              */
    roma_counts counts;              /**< what is kept about blocks                               */
    bool background;                 /**< a thread gives memory back, too, when no call does: one
                                          for all such managers of the process, signals blocked in
                                          it, remade in a child of fork() at a later call of it;
                                          refused with ROMA_RETURN_NEVER                          */
    bool bounded;                    /**< a cache keeps 32 KiB of free blocks of a size class at
                                          most, not 256 KiB; at most 1024 blocks and at least 2 in
                                          both cases                                              */
    bool reserved[2];                /**< 0                                                       */
} roma_options;

static inline roma_options roma_options_default(void)
{
    roma_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

/** The process's manager, made at first use, never destroyed. Never NULL.
 *
 *  It is routed by what the environment variable ROMA_POLICY says then (roma_policy_from()), until
 *  roma_manager_policy() says otherwise. A mistake in it is told in one line on stderr, and it is
 *  ignored; so it is, without a word, in a program that gained privileges at its start.
 *  Threads: any.  Signals: no.  Cost: one load after the first call.  Since: 0.1 */
ROMA_API roma_manager *roma_default(void);

/** Say once that the calling thread runs on the CPUs of this node from now on, as a thread does
 * that
 *  is pinned; -1: it may run anywhere, and is asked where when its cache is empty, as before.
 *
 *  It decides what ROMA_LOCAL, and the placements that begin at the caller, mean on this thread.
 *  The thread is not pinned by it.
 *  Returns 0, or -EINVAL: no such node.
 *  Threads: of the caller alone.  Signals: no.  Cost: no system call after the first.  Since: 0.1
  */
ROMA_API int roma_thread_bind(int node);

/** Make a manager.
 *
 *  manager  receives it
 *  options  NULL: all defaults
 *  error    may be NULL; `subject` names the wrong option
 *  Returns 0, -EINVAL, -E2BIG (options newer than the library), -ENOMEM, -EAGAIN (no background
 *  thread can be started). No memory is obtained for blocks before the first is allocated.
 *  Threads: any.  Signals: no.  Since: 0.1 */
ROMA_API int roma_manager_create(roma_manager **manager, const roma_options *options,
                                 roma_error *error);

/** The manager over an open store: one for each opening, made when it is first asked for, and ended
 *  by roma_store_close(). It takes the calls of roma/manager.h and roma/block.h, and those that
 *  take a block alone find its store by themselves. What is different:
 *
 *   - roma_count(), and what retain and release return, is what the file tells at that moment: the
 *     references of the session that the block's slab belongs to, and one for each slot and each
 *     other session that holds it.
 *   - A request may name length, alignment, zero and populate_threads; hints are taken and a label
 *     is not kept. Placement, pages, strict, weak, registered and inherit are -EOPNOTSUPP by name.
 *   - Handles compare the store's generations, which return after 2^24 lives of a place. They stay
 *     good when a resize leaves the block where it is. roma_block_try_retain() is -EINVAL.
 *   - roma_resize() copies where others hold the block or a slot names it; a block with slots of
 *     its own that cannot stay is -EOPNOTSUPP.
 *   - roma_free_batch() gives the store its blocks 64 at a time; a block among them that had gone
 *     before is told of as one of those.
 *   - roma_migrate(), roma_cache_of(), roma_manager_policy() and roma_manager_clear() are
 *     -EOPNOTSUPP, roma_manager_destroy() and _destroy_all() -EINVAL.
 *   - roma_manager_stats() visits "name", the store's own figures (roma_store_stats()), then
 *     "failures.count" and "misuse.count"; roma_manager_check() is roma_store_check(), and
 *     roma_manager_blocks() shows the blocks of all sessions.
 *   - In a child made by fork() all of it is -ESTALE, and freeing a block is misuse.
 *
 *  Misuse of its blocks is told to the function of roma_manager_on_misuse().
 *  Returns NULL with errno EINVAL (NULL) or ENOMEM.
 *  Threads: any.  Signals: no.  Cost: a small allocation at the first call, then some ns.
 *  Since: 0.1 */
ROMA_API roma_manager *roma_store_manager(struct roma_store *store);

/** Have misuse of this manager's blocks told to another function than before (NULL: print and
 *  abort); for the default manager, and those over stores, which are made without options.
 *  Threads: no other call on this manager may run at the same time.  Signals: no.  Since: 0.1 */
ROMA_API void roma_manager_on_misuse(roma_manager *manager, roma_on_misuse on_misuse,
                                     void *context);

/** Have an engine read what a file stands behind, for roma_populate(), roma_advise() and requests
 *  that populate: blocks of a store, by the manager over it; blocks on a file provider (but for
 *  requests). Without one, the calls populate and advise by themselves.
 *
 *  engine  held: roma_prefetch_destroy() is -EBUSY until the manager ends, its store is closed, or
 *          another engine, or NULL, is set
 *  error   may be NULL
 *  Returns 0, -EINVAL, -ESTALE (an engine of the parent, in a child of fork(); there a manager has
 *  none that was set before), -ESHUTDOWN (from a callback while the engine is destroyed): then the
 *  manager has the one that it had.
 *  Threads: no other call on this manager may run at the same time.  Signals: no.  Since: 0.1 */
ROMA_API int roma_manager_engine(roma_manager *manager, struct roma_prefetch_engine *engine,
                                 roma_error *error);

/** Give back all memory and the manager itself.
 *
 *  Returns 0, -EBUSY while blocks live (nothing is changed; with ROMA_DEBUG_LEAKS they are listed),
 *  -EINVAL for NULL and for the default manager.
 *  Threads: no other call on this manager may run at the same time.  Signals: no.  Since: 0.1 */
ROMA_API int roma_manager_destroy(roma_manager *manager);

/** The same, though blocks live: they are freed first, handles to them are stale afterwards. With
 *  ROMA_DEBUG_LEAKS they are listed.  Returns 0, -EBUSY when a registered block lives (nothing is
 *  changed), -EINVAL.  Since: 0.1 */
ROMA_API int roma_manager_destroy_all(roma_manager *manager);

/** Free all blocks whatever their counts; handles to them are stale afterwards. Memory is given
 *  back.
 *
 *  Returns how many blocks were freed, -EBUSY when a registered block lives (nothing is changed),
 *  -EINVAL.
 *  Threads: no other call on this manager may run at the same time.  Signals: no.  Since: 0.1 */
ROMA_API int64_t roma_manager_clear(roma_manager *manager);

/** Give memory that holds no block back to the kernel, but keep at least `keep_bytes` held.
 *
 *  The caches of all threads are emptied first, those of idle ones too, and releases on their way
 *  between threads arrive. (Where the kernel refuses membarrier(), caches of other threads keep
 *  what they have.)
 *  Returns the bytes given back, or -EINVAL.
 *  Threads: any.  Signals: no.  Cost: a system call for each extent given back, and one or two for
 *  each thread's cache.  Since: 0.1 */
ROMA_API int64_t roma_manager_trim(roma_manager *manager, size_t keep_bytes);

/** Visit the manager's figures, in this order:
 *  "name" (text), "blocks.live", "blocks.bytes" (requested lengths), "blocks.usable_bytes",
 *  "blocks.peak_bytes", "allocations.count", "releases.count", "failures.count",
 *  "extents.live", "extents.bytes" (held), "extents.peak_bytes", "free.bytes" (of those held: in no
 *  block nor slab, with pages), "returned.bytes" (the same, without: given back or not touched
 *  yet), "metadata.bytes" (descriptors and debug records of this manager), "limit.bytes",
 *  "misuse.count".
 *
 *  "blocks.peak_bytes" is the most of "blocks.usable_bytes" that was seen whenever a thread's cache
 *  was filled or emptied, or these figures read: a shorter peak between is missed. It adds up the
 *  peaks of the manager's page kinds and nodes, and counts guard bytes and tools' redzones. Without
 *  counts, "blocks.bytes" is usable bytes, too.
 *
 *  Returns 0, what the visitor returned, or -EINVAL. The figures are read one after the other, not
 *  at one instant, and those of blocks are exact only while no other thread is inside a call.
 *  Threads: any.  Signals: no.  Cost: with counts, a look at every block's state: 8 bytes each.
 *  Since: 0.1 */
ROMA_API int roma_manager_stats(roma_manager *manager, roma_visit visit, void *context);

/** Write the same figures as one JSON object, dots in keys as nested objects, and a newline.
 *
 *  Returns 0, -EINVAL, or -errno of writing.  Allocates nothing.  Threads: any.  Signals: no.
 *  Since: 0.1 */
ROMA_API int roma_manager_json(roma_manager *manager, int fd);

/** Prove the manager: descriptors, counts and figures agree, guard bytes and free patterns are
 *  intact where debug options keep them. Damage found is reported to on_misuse.
 *
 *  Returns how many faults were found, or -EINVAL.
 *  Threads: no other call on this manager may run at the same time.  Signals: no.
 *  Cost: visits every block.  Since: 0.1 */
ROMA_API int64_t roma_manager_check(roma_manager *manager);

/** What a live block is, for roma_manager_blocks(). */
typedef struct roma_block_info {
    void *address;
    size_t bytes, usable_bytes;
    int count;
    uint64_t generation;
    const char *label;       /**< "" when none                                              */
    const char *file;        /**< allocation site; NULL when not known                      */
    int line;
    const void *return_address; /**< allocation site where no file is known; NULL else      */
} roma_block_info;

/** Visit the live blocks. A non-zero return of `visit` ends the walk and is returned.
 *  Threads: no other call on this manager may run at the same time.  Signals: no.  Since: 0.1 */
ROMA_API int roma_manager_blocks(roma_manager *manager,
                                 int (*visit)(void *context, const roma_block_info *block),
                                 void *context);

/** What a request would get here, step by step, without doing it: each step's error is what its
 *  provider's probe says now. `grant->code` is 0 when some step would work, `grant->pages` its
 *  kind.
 *
 *  All steps are listed, also those after the first that would work. The manager's limit, and what
 *  it holds already, are not looked at.
 *  Returns 0, or what allocating returns for a request that reaches no step: -EINVAL, -E2BIG,
 *  -EOVERFLOW, -EOPNOTSUPP (counts), -EXDEV (strict, and no node is left), -errno of asking where
 *  the caller runs (strict ROMA_LOCAL), -ENOMEM.  Threads: any.  Signals: no.
 *  Cost: reads of /sys and /proc for each step.  Since: 0.1 */
ROMA_API int roma_explain(roma_manager *manager, const roma_request *request, roma_grant *grant);

#ifdef __cplusplus
}
#endif
#endif
