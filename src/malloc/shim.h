/* shim.h - libroma_malloc.so: a malloc for whole programs, by LD_PRELOAD.
 *
 *   malloc.c      malloc and free, nothing but their hot paths; fast.h
 *   family.c      the rest of the C family
 *   new.c         operator new and delete, in C
 *   slow.c        what the hot paths leave: binding a thread to its cache, large, aligned, foreign
 *   start.c       opening, fork, the program's start and end
 *   heaps.c       the heap, or heaps, their ladder without a policy, and what they hold together
 *   routes.c      with a policy: which heap a length goes to
 *   pages.c       the provider of ordinary pages;  pace.h  whether huge ones come quickly
 *   settings.c    environment variables
 *   misuse.c      free of what is not a block
 *   figures.c     mallinfo and its like;  report.c  the line that is written at the end
 *   background.c  the thread that gives memory back behind an idle program
 *
 * The contract with the process:
 *
 *   Any time. A call may come from the dynamic linker, before any constructor, from thread-local
 *   destructors and after ours have run. There is no order of constructors that matters: the first
 *   call, whichever, opens the heap (start.c), and what a thread has not got is replaced by a
 *   slower way. So the library is not linked with -z initfirst, of which a process has room for
 *   one. Never itself. Nothing here calls malloc, or what calls it, before the heap is open; nor
 *   does the heap, ever. Afterwards the few C library functions that may (pthread_setspecific with
 *   many keys, pthread_atfork with many handlers, pthread_create) are called with no lock held, and
 *   find a malloc that works.
 *   Never away. Nothing is torn down at exit: other destructors come after ours.
 *   Not in signal handlers, as POSIX says of malloc.
 *
 * A thread that ends. Thread-local storage is there to the last instruction of a thread, but its
 * cache is not. The destructor of a thread-specific key, made before the heap's, gives the cache up
 * and marks the thread; from then on its calls go the slow way, which needs no cache. */
#ifndef ROMA_MALLOC_SHIM_H
#define ROMA_MALLOC_SHIM_H

#include "base/text.h"
#include "heap/heap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Marks what the library is for; all else is hidden. */
#define ROMA__EXPORT __attribute__((visibility("default")))

/* ---- a thread's own, slow.c ------------------------------------------------------------------ */

enum roma__thread_state {
    ROMA__THREAD_NEW,     /* has made no slow call yet, or found no memory for a cache */
    ROMA__THREAD_BINDING, /* getting one: calls from within take none                 */
    ROMA__THREAD_BOUND,
    ROMA__THREAD_ENDED /* has given it up                                             */
};

struct roma__mine {
    roma_cache *fast; /* what the hot paths use; the closed cache sends them the slow way        */
    roma_cache *own;  /* the thread's; NULL: none. Not `fast` in a hardened heap, whose frees are
                         all to be looked at */
    enum roma__thread_state state;
    bool may_fail; /* the request at hand: its caller can do without it, and no policy ends us  */
};

/* Initial-exec: one addition to the thread pointer. A preloaded library is there when the static
 * block is laid out. */
extern __attribute__((tls_model("initial-exec"))) _Thread_local struct roma__mine roma__mine;

/* Give the cache up: at the thread's end. */
void roma__thread_ends(void *unused);

/* ---- slow paths, slow.c ---------------------------------------------------------------------- */

/* Any block, or NULL with errno ENOMEM. align: a power of two of at least 16. */
void *roma__take_slow(size_t bytes, size_t align, bool zero);
void roma__free_slow(void *block);

/* The hot path took a block of that class, and found the thread's cache claimed. */
void *roma__take_claimed(size_t bytes, unsigned class_index, void **top);

/* ---- opening, start.c ------------------------------------------------------------------------ */

/* The heap, opened by the first who asks; NULL: no memory. Where routes part it is one of several,
 * and only says that they are open. */
roma__heap *roma__shim_heap(void);

/* The same if it is open; NULL: not yet. */
roma__heap *roma__shim_heap_if_open(void);

/* Call roma__thread_ends() when this thread ends. Returns whether it will be. */
bool roma__shim_watch_thread(void);

uint64_t roma__shim_start_ns(void);      /* of this process, roma__heap_now_ns()         */

/* ---- all heaps, heaps.c ---------------------------------------------------------------------- */

/* The heaps in the order in which they were opened. More may come at the end; none goes. */
struct roma__shim_heap {
    roma__heap *heap;
    _Atomic(struct roma__shim_heap *) next; /* NULL: the last */
};

struct roma__shim_heap *roma__shim_heaps(void);
struct roma__shim_heap *roma__shim_heap_behind(const struct roma__shim_heap *at);

#define ROMA__EACH_SHIM_HEAP(at)                                                                   \
    for (struct roma__shim_heap *at = roma__shim_heaps(); at != NULL;                              \
         at = roma__shim_heap_behind(at))

/* Open one more. populate_threads > 0: each block's pages are present, and none comes from a cache.
 * NULL with *error: no memory. By one thread at a time. */
roma__heap *roma__shim_heap_open(const roma__ladder *ladder, unsigned populate_threads,
                                 roma_error *error);

/* The ladder that ROMA_HUGE asks for. */
roma__ladder roma__shim_ladder(void);

uint64_t roma__shim_held_bytes(void);    /* address space of the extents, now            */
uint64_t roma__shim_held_peak_bytes(void);

/* ---- routes by length, routes.c -------------------------------------------------------------- */

/* Do lengths go to different heaps, or to that of where their thread runs? Then no thread has a
 * cache for its hot paths. Written before the heap is open. */
extern bool roma__routes_part;

/* Make the routes of roma__settings.policy, under the lock of opening; one that cannot be put in
 * place is told and ignored. Returns the heap, as roma__shim_heap() is to; NULL: no memory. */
roma__heap *roma__routes_open(void);

/* Where routes part. Take: a block, or NULL; from the thread's cache, if it is bound, and else from
 * the heap. Give: whether the thread's cache of the block's heap had room for it. */
void *roma__routes_take_cached(size_t bytes, size_t align, bool zero);
void *roma__routes_take(size_t bytes, size_t align, bool zero);
bool roma__routes_give(void *block);

/* May a block of this heap have this length, without going elsewhere? */
bool roma__routes_lead(size_t bytes, const roma__heap *heap);

static inline bool roma__routes_allow(size_t bytes, const roma__heap *heap)
{
    return __builtin_expect(!roma__routes_part, 1) || roma__routes_lead(bytes, heap);
}

/* A request has failed: the policy may have the program end, unless roma__mine.may_fail. */
void roma__routes_failed(const roma_error *error);

/* Over fork: no heap is added. */
void roma__routes_lock(void);
void roma__routes_unlock(void);

/* ---- the provider, pages.c ------------------------------------------------------------------- */

/* Ordinary pages, transparent huge or base, for one heap. */
roma_provider *roma__shim_pages(void);

/* The kinds of them; 0: this machine's huge pages are too large to be of use (pages.c). */
roma_page_kind roma__shim_base_kind(void);
roma_page_kind roma__shim_thp_kind(void);

/* ---- misuse.c -------------------------------------------------------------------------------- */

/* A block that roma__cell_find() or roma__cell_release() refused with `code`, in the call of that
 * name. Does not return, unless ROMA_MISUSE=report. */
void roma__shim_misuse(const char *call, const void *address, int code, const roma__cell *found);

/* The heap's: found when the block went back to its slab. Under the heap's locks. */
void roma__shim_late_misuse(void *owner, void *address);

/* One line to stderr, "roma: " before it. */
void roma__shim_tell(const char *sentence);

/* Begin a line about the process: "malloc of roma in NAME (PID): ", without the name before the C
 * library knows it. */
roma__text roma__shim_line_in(char *line, size_t bytes);

/* ---- the end --------------------------------------------------------------------------------- */

/* What is used, in one line on stderr (figures.c). */
void roma__shim_tell_figures(void);

/* Append the line to the file that ROMA_REPORT names (report.c). */
void roma__shim_report(void);

/* The figures of all heaps together, and what of them is held with pages (figures.c). */
roma__heap_figures roma__shim_figures(void);
uint64_t roma__shim_held(const roma__heap_figures *figures);

/* ---- background.c ---------------------------------------------------------------------------- */

/* There is enough held to be given back one day: the thread is to run. Any thread, any locks. */
void roma__background_wish(void);

/* Start it if it is wished for and not there; no locks held. Cheap else. */
void roma__background_serve(void);

void roma__background_allow(void);    /* constructors run: threads may be started */
void roma__background_in_child(void); /* after fork: it is not there              */

#endif
