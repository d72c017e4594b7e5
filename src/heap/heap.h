/* heap.h - blocks out of extents: the interface that managers and the malloc shim build on.
 *
 * A heap serves one ladder. It obtains extents by walking it, cuts them into cells, and knows the
 * state of every cell: generation, references, requested length. What a manager adds (labels, guard
 * bytes, fill patterns, call sites, misuse reports) is not known here.
 *
 * Each thread has a cache of free cells (<roma/cache.h>, heap/cache.h), whose inline functions are
 * the fast way in and out; the calls here do everything, at a slower pace. What a heap keeps about
 * its cells is one of three:
 *
 *   NONE   nothing: a cell is live until it is freed, and its length is that of its class. There
 *          are no references: retain is -EOPNOTSUPP, generations are 0.
 *   OWNED  words; the thread that owns a slab ends the lives of its cells, without a locked
 *          instruction, and other threads send theirs to it. Cells with flags are as in EXACT.
 *   EXACT  words, by compare-and-swap throughout.
 *
 * A cell's life, with words:   take -> retain and release, any thread -> the last release
 * For cells with flags and in EXACT heaps the last release can be taken apart into drop and
 * recycle: in between the cell is nobody's, the caller may still look at its bytes (fill patterns,
 * guards), handles to it are stale already, and it cannot be taken again.
 *
 * Any address finds its cell through the process-wide page map, so callers need no heap for that.
 * Threads: all calls from any thread, except where said. */
#ifndef ROMA_HEAP_HEAP_H
#define ROMA_HEAP_HEAP_H

#include "policy/ladder.h"

#include <roma/cache.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma__heap roma__heap;
struct roma__slab;

typedef struct roma__heap_options {
    void *owner; /* the manager; given back by find */
    roma__ladder ladder;
    size_t growth_bytes; /* least bytes of an extent that cells share; 0: 2 MiB  */
    bool inherit;        /* extents are there in a child made by fork()          */
    uint32_t words;      /* ROMA__WORDS_*                                         */
    bool bounded;        /* caches keep 32 KiB of a class at most, not 256 KiB   */
    size_t lengths_below; /* > 0: only shorter cells are to be had by its caches: kept for callers,
                             who see to it (roma__heap_takes)                    */
    bool closed;         /* somebody looks at each cell: no call may stay inline */
    unsigned populate_threads; /* > 0: the pages of each cell are present on return, whatever the
                                  call; then closed, too                         */
    uint64_t return_delay_ns; /* how long free memory keeps its pages; UINT64_MAX: for ever */
    const char *label;   /* for the kernel's names of the extents; copied         */
    /* Called before memory is obtained and after it was given back. charge refuses with -ENOMEM
     * (the manager's limit). Both may run under the heap's locks: they must not call the heap. */
    int (*charge)(void *owner, size_t bytes);
    void (*credit)(void *owner, size_t bytes);
    /* Called when more is held than before, and roma__heap_held_bytes() has it; not of what was
     * charged and was not to be had. With the heap's locks held or not; NULL: not called. */
    void (*obtained)(void *owner);
    /* Called before an address range is given back to its provider, for tools that keep marks on
     * memory; NULL: not called. Under the heap's locks, too. */
    void (*released)(void *owner, void *address, size_t bytes);
    /* Told of a release that proves wrong after the call that made it: a second one of the same
     * life that met the first on its way, a cell that comes back to its slab and is free there.
     * Called with the heap's locks held: must not call the heap; NULL: message and abort. */
    void (*late_misuse)(void *owner, void *address);
} roma__heap_options;

/* Flags that a manager gives a cell at take; kept until its next life. */
enum {
    ROMA__CELL_WEAK = 1u << 0,
    ROMA__CELL_REGISTERED = 1u << 1,
    ROMA__CELL_NOTED = 1u << 2, /* the manager keeps a note about this block */
    ROMA__CELL_FLAGS = 7u
};

/* What is known of a cell. A snapshot: count and generation may change under the caller unless it
 * holds a reference. */
typedef struct roma__cell {
    void *address;
    size_t bytes;  /* requested                                     */
    size_t usable; /* to the end of the cell                        */
    int count;     /* references; 0: free                           */
    uint32_t generation;
    unsigned flags;
    roma__heap *heap;
    void *owner;
    struct roma__slab *slab;
    uint32_t index;
} roma__cell;

typedef struct roma__take {
    size_t bytes;              /* any, also 0                                              */
    size_t align;              /* power of two, 16 to 1 GiB                                */
    bool zero;
    unsigned flags;            /* ROMA__CELL_*                                             */
    unsigned populate_threads; /* > 0: the cell's pages are present on return              */
} roma__take;

/* Make a heap. Returns 0, or -ENOMEM. Obtains no extent. */
int roma__heap_open(const roma__heap_options *options, roma__heap **heap, roma_error *error);

/* Free all cells, whatever their counts, give all extents back, and the heap itself. Returns how
 * many cells were live. No other thread may use the heap or its cells. */
uint64_t roma__heap_close(roma__heap *heap);

/* Free all cells and give all extents back; the heap stays. Returns how many were live. Threads: as
 * close. */
uint64_t roma__heap_clear(roma__heap *heap);

const roma__ladder *roma__heap_ladder(const roma__heap *heap);

/* Is a cell of this length one of those that the heap's caches are for? */
bool roma__heap_takes(const roma__heap *heap, size_t bytes);

/* The owner that its options named. */
void *roma__heap_owner(const roma__heap *heap);

/* Allocate a cell with one reference. grant (may be NULL) is filled in full, also on failure.
 * Returns 0 with *cell, or -ENOMEM, -EXDEV, ... with *error. */
int roma__heap_take(roma__heap *heap, const roma__take *take, roma__cell *cell, roma_grant *grant,
                    roma_error *error);

/* The same for one of the lengths that get an extent of their own, where one waits that is as it
 * was, and nothing else is wished for: an address, or NULL. Without a lock. */
void *roma__heap_take_parked(roma__heap *heap, size_t bytes, size_t align);

/* End the life at an address in the same way: a large cell with one reference and without flags, of
 * which nobody looks at the bytes; of that length, where one is given (SIZE_MAX: none is; without
 * words it may be shorter). Returns false, with nothing changed, where anything is not so. */
bool roma__heap_end_parked(const void *block, size_t bytes);

/* Empty all caches, those of idle threads too, and give back what holds no cell, as long as more
 * than keep_bytes stay held. Returns bytes. */
size_t roma__heap_trim(roma__heap *heap, size_t keep_bytes);

/* Give back what has been free for longer than the return delay. Cheap when nothing is due.
 * is_thorough: empty the caches of all threads first, but of those that are in a call at that
 * instant (a background thread does). Returns bytes. */
size_t roma__heap_return(roma__heap *heap, uint64_t now_ns, bool is_thorough);

/* The clock of return delays: monotonic, coarse. */
uint64_t roma__heap_now_ns(void);

typedef struct roma__heap_figures {
    uint64_t cells_live;     /* these six: exact only when no other thread is inside          */
    uint64_t takes, releases;
    uint64_t bytes_live;     /* requested lengths; in a heap without words, usable ones       */
    uint64_t usable_live;
    uint64_t usable_peak;    /* of usable_live, as seen whenever a cache was filled or emptied */
    uint64_t extents_live, extents_bytes;
    uint64_t free_bytes;     /* of extents_bytes: in no slab and no large cell, with pages    */
    uint64_t returned_bytes; /* of extents_bytes: the same, without: given back or untouched  */
    uint64_t metadata_bytes; /* descriptors of this heap's slabs, page map share included     */
} roma__heap_figures;

/* Cost: with words, a look at every cell, and each cache's lock for those of its slabs. */
roma__heap_figures roma__heap_figures_of(roma__heap *heap);

/* extents_bytes alone: one load. */
uint64_t roma__heap_held_bytes(const roma__heap *heap);

/* Takes so far by size class; [ROMA__CLASS_COUNT]: larger cells. */
void roma__heap_takes_by_class(roma__heap *heap, uint64_t takes[ROMA__CLASS_COUNT + 1]);

/* Where the pages of all extents are: counted by page size and node. Returns 0 or -errno. */
int roma__heap_where(roma__heap *heap, roma_report *report, roma_error *error);

/* Of two reports one; an empty one of which all is known is {.kinds_known, .nodes_known}. */
void roma__report_add(roma_report *sum, const roma_report *part);

/* ---- caches --------------------------------------------------------------------------------- */

/* The calling thread's cache, made at its first call. NULL: no memory for one, or the thread is
 * ending; roma__heap_take() and release work all the same. */
roma_cache *roma__heap_cache(roma__heap *heap);

/* A cache that is always closed: what a thread that has none yet may point to. */
extern roma_cache roma__cache_closed;

/* End a life for which there is no inline way, without a lock: of a slab of another thread, or in
 * an EXACT heap; one reference, no flags, `tail` as in roma__cache_put_counted(). By the cache's
 * thread; the block is where a cell of the slab begins, and of the cache's heap. Returns whether
 * that was enough; else nothing is changed. */
bool roma__cache_end(roma_cache *cache, const struct roma__slab_head *slab, uint64_t index,
                     void *block, uint32_t tail);

/* The calling thread gives its caches of all heaps up now, as at its end. */
void roma__caches_leave(void);

/* Take up to `count` cells of `bytes` <= ROMA__CLASS_MAX_BYTES, without flags; by the cache's
 * thread. Returns how many: fewer where memory is not to be had. */
size_t roma__cache_take_many(roma_cache *cache, size_t bytes, void **cells, size_t count);

/* Release cells of `bytes` each from the start of the list for as long as the fast way can (live,
 * one reference, no flags, that length, this cache's heap; NULLs are none). bytes = SIZE_MAX: of
 * any length. Returns how many that were. */
size_t roma__cache_put_many(roma_cache *cache, size_t bytes, void *const *cells, size_t count);

/* Visit the live cells. A non-zero return ends the walk and is returned. Threads: no other call on
 * this heap. */
int roma__heap_each(roma__heap *heap, int (*visit)(void *context, const roma__cell *cell),
                    void *context);

/* The specification of a heap's data, checked: returns how many invariants are broken, each told to
 * `report` (may be NULL) as a sentence. Threads: no other call on this heap. */
uint64_t roma__heap_check(roma__heap *heap, void (*report)(void *context, const char *sentence),
                          void *context);

/* ---- heaps by where a thread runs ------------------------------------------------------------ */

/* Open a stand-in for several heaps, one for each node: it has no cells. For each thread its cache
 * is that of the heap that `here` names, asked at the thread's first call and at each
 * roma__heap_here(); so the inline paths take no step more than with one heap. `here` may return
 * NULL (no memory for the heap). Takes roma__heap_cache(), _here() and _close_stand_in(), no other
 * call. Returns 0 or -ENOMEM. */
int roma__heap_open_stand_in(void *owner, roma__heap *(*here)(void *owner), roma__heap **heap,
                             roma_error *error);
void roma__heap_close_stand_in(roma__heap *heap);

/* The heap that the calling thread is to use: itself, of a stand-in the one for where the thread
 * runs now; then its cache is the stand-in's from now on. NULL: no memory. */
roma__heap *roma__heap_here(roma__heap *heap);

/* The calling thread runs elsewhere now, of its own accord: all stand-ins ask again. */
void roma__caches_look_around(void);

/* ---- cells by address ----------------------------------------------------------------------- */

/* Find the cell that starts at an address. Returns 0 (also for a free cell: count is 0), or
 * -ENOENT (no heap's address), -ESTALE (no heap's now, but cells stood there once), -EINVAL (inside
 * a cell or between cells; *cell is then that of the cell around it where there is one, else its
 * slab is NULL). An address inside a large cell, past its first 64 KiB, is -ENOENT or -ESTALE
 * here. */
int roma__cell_find(const void *address, roma__cell *cell);

/* The live large cell around an address that roma__cell_find() does not know; for saying what a bad
 * pointer points into. Slow: it searches downwards. Returns 0 or -ENOENT. */
int roma__cell_around(const void *address, roma__cell *cell);

enum { ROMA__ANY_GENERATION = UINT32_MAX };

/* One more reference, if the cell lives and has that generation. Returns the new count, or -ESTALE,
 * -EOVERFLOW. */
int roma__cell_retain(roma__cell *cell, uint32_t generation);

/* One reference less; the last one ends the cell's life, or sends it to the owner of its slab, who
 * ends it. Returns the references left, or -ESTALE. For any cell whose bytes nobody looks at. */
int roma__cell_release(roma__cell *cell, uint32_t generation);

/* The same in two steps, for cells with flags and in EXACT heaps. drop: one reference less. Returns
 * the references left, or -ESTALE. At 0 the caller, and nobody else, must call recycle; the
 * generation has already moved on. */
int roma__cell_drop(roma__cell *cell, uint32_t generation);

/* Let a dropped cell be taken again; may give its extent back. */
void roma__cell_recycle(roma__cell *cell);


/* Change the requested length without moving the cell: within it, or by growing or shrinking its
 * extent in place. Only for the holder of the only reference. A shrink moves the generation on.
 * Returns 0 with *cell up to date, or -ENOMEM: then nothing is changed. */
int roma__cell_resize(roma__cell *cell, size_t bytes);

/* Bytes up to the end that the cell would have after a shrink to `bytes` where it is. */
size_t roma__cell_shrunk(const roma__cell *cell, size_t bytes);

/* Give the cell a new address by moving its page tables, where it has an extent of its own and the
 * provider can. Contents and reference stay; the generation at the new address is fresh, the old
 * address is nobody's. Returns 0 with *cell up to date, or -EOPNOTSUPP, -ENOMEM: nothing is
 * changed.
 * Only for the holder of the only reference. */
int roma__cell_move(roma__cell *cell, size_t bytes);

/* Where its pages are. Returns 0 or -errno. */
int roma__cell_where(const roma__cell *cell, roma_report *report, roma_error *error);

/* Move its pages to other nodes, where it has an extent of its own. Address, contents, references
 * and generation stay. Returns and fills *migration as roma_provider_migrate(), and -EOPNOTSUPP for
 * a cell that shares its pages with others. For a holder of a reference, who is not resizing it.
 * Takes a lock for a moment only. */
int roma__cell_migrate(const roma__cell *cell, const roma_nodes *nodes, roma_migration *migration,
                       roma_error *error);

/* Make a part of its pages present, widened to whole ones; advise them, narrowed but for NEED. The
 * executor may be NULL. Return as roma_provider_populate() and _advise(). For a holder of a
 * reference. */
int roma__cell_populate(const roma__cell *cell, size_t offset, size_t bytes, unsigned threads,
                        const roma_executor *executor, roma_error *error);
int roma__cell_advise(const roma__cell *cell, size_t offset, size_t bytes, roma_advice advice,
                      const roma_executor *executor, roma_error *error);

/* The step that obtained the extent under a cell, and the extent's properties, as a grant. */
void roma__cell_grant(const roma__cell *cell, roma_grant *grant);

/* ---- fork ----------------------------------------------------------------------------------- */

/* Before fork, and before any other lock is taken for it: wait until no extent is being resized,
 * and keep it so; after it, in parent and child, when all other locks have been let go. */
void roma__heaps_fork_hold(void);
void roma__heaps_fork_free(void);

/* Before fork: hold every lock of the heap; after it in the parent: let go. The process-wide part
 * (page map, descriptors' memory) has its own pair, taken last. */
void roma__heap_fork_hold(roma__heap *heap);
void roma__heap_fork_free(roma__heap *heap);
void roma__heap_process_fork_hold(void);
void roma__heap_process_fork_free(void);

/* In the child, after the locks were let go: cells on extents that are not inherited are gone,
 * their handles stale, their extents forgotten. Returns how many cells that were. */
uint64_t roma__heap_fork_child(roma__heap *heap);

/* Bytes of process-wide records that are kept for ever (page map, descriptors of all heaps). */
size_t roma__heap_process_bytes(void);

#ifdef __cplusplus
}
#endif
#endif
