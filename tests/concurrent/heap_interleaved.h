/* heap_interleaved.h - the sources of src/heap that threads meet in, compiled once more with points
 * (interleave.h), and a small world for them to work in: heaps, caches, slabs and batches in one
 * piece of memory that is the same at the start of each run.
 *
 * What the included sources define has other names here. One that is missing in the list is told by
 * the linker as defined twice. What they call and do not define is the library's own, with real
 * atomics: arithmetic, the bits and ends of slabs, figures. */
#ifndef ROMA_TESTS_HEAP_INTERLEAVED_H
#define ROMA_TESTS_HEAP_INTERLEAVED_H

/* bins.c */
#define roma__bin_forget interleaved_bin_forget
#define roma__bin_give interleaved_bin_give
#define roma__bin_grow interleaved_bin_grow
#define roma__bin_move interleaved_bin_move
#define roma__bin_push_partial interleaved_bin_push_partial
#define roma__bin_take interleaved_bin_take
#define roma__bins_trim interleaved_bins_trim
#define roma__cache_clear interleaved_cache_clear
/* cache.c */
#define roma__cache_closed interleaved_cache_closed
#define roma__cache_discard interleaved_cache_discard
#define roma__cache_drain interleaved_cache_drain
#define roma__cache_flush interleaved_cache_flush
#define roma__cache_give_home interleaved_cache_give_home
#define roma__cache_key_of interleaved_cache_key_of
#define roma__cache_late_misuse interleaved_cache_late_misuse
#define roma__cache_make interleaved_cache_make
#define roma__cache_open interleaved_cache_open
#define roma__cache_pass_by interleaved_cache_pass_by
#define roma__cache_pop interleaved_cache_pop
#define roma__cache_publish interleaved_cache_publish
#define roma__cache_push interleaved_cache_push
#define roma__cache_receive interleaved_cache_receive
#define roma__cache_reopen interleaved_cache_reopen
#define roma__cache_shut interleaved_cache_shut
#define roma__cache_take_away interleaved_cache_take_away
#define roma__cache_tick interleaved_cache_tick
#define roma__magazine_count interleaved_magazine_count
#define roma__magazine_most interleaved_magazine_most
/* cell.c */
#define roma__cell_around interleaved_cell_around
#define roma__cell_drop interleaved_cell_drop
#define roma__cell_fill interleaved_cell_fill
#define roma__cell_find interleaved_cell_find
#define roma__cell_grant interleaved_cell_grant
#define roma__cell_recycle interleaved_cell_recycle
#define roma__cell_release interleaved_cell_release
#define roma__cell_retain interleaved_cell_retain
#define roma__cell_where interleaved_cell_where
/* check.c */
#define roma__heap_check interleaved_heap_check
#define roma__heap_each interleaved_heap_each
/* claim.c */
#define roma__cache_lock_own interleaved_cache_lock_own
#define roma__cache_settle interleaved_cache_settle
#define roma__cache_take_settled interleaved_cache_take_settled
#define roma__claim interleaved_claim
#define roma__claim_settle interleaved_claim_settle
/* ends.c */
#define roma__cache_end interleaved_cache_end
/* heap.c */
#define roma__heap_clear interleaved_heap_clear
#define roma__heap_close interleaved_heap_close
#define roma__heap_close_stand_in interleaved_heap_close_stand_in
#define roma__heap_end_slab interleaved_heap_end_slab
#define roma__heap_ladder interleaved_heap_ladder
#define roma__heap_late_misuse interleaved_heap_late_misuse
#define roma__heap_no_descriptor interleaved_heap_no_descriptor
#define roma__heap_now_ns interleaved_heap_now_ns
#define roma__heap_open interleaved_heap_open
#define roma__heap_open_stand_in interleaved_heap_open_stand_in
#define roma__heap_owner interleaved_heap_owner
#define roma__heap_return interleaved_heap_return
#define roma__heap_take interleaved_heap_take
#define roma__heap_takes interleaved_heap_takes
#define roma__heap_trim interleaved_heap_trim
#define roma__heap_visit interleaved_heap_visit
/* remote.c */
#define roma__batch_free interleaved_batch_free
#define roma__inbox_take interleaved_inbox_take
#define roma__outgoing_of interleaved_outgoing_of
#define roma__remote_copy_open interleaved_remote_copy_open
#define roma__remote_flush interleaved_remote_flush
#define roma__remote_forget interleaved_remote_forget
#define roma__remote_fork_free interleaved_remote_fork_free
#define roma__remote_fork_hold interleaved_remote_fork_hold
#define roma__remote_send interleaved_remote_send
#define roma__remote_settle_open interleaved_remote_settle_open
/* threads.c */
#define roma__cache_for interleaved_cache_for
#define roma__cache_if_any interleaved_cache_if_any
#define roma__caches_await interleaved_caches_await
#define roma__caches_close interleaved_caches_close
#define roma__caches_flush interleaved_caches_flush
#define roma__caches_flush_idle interleaved_caches_flush_idle
#define roma__caches_flush_quiet interleaved_caches_flush_quiet
#define roma__caches_fork_child interleaved_caches_fork_child
#define roma__caches_leave interleaved_caches_leave
#define roma__caches_look_around interleaved_caches_look_around
#define roma__heap_cache interleaved_heap_cache
#define roma__heap_here interleaved_heap_here
#define roma__orphans_serve interleaved_orphans_serve
#define roma__slot_give interleaved_slot_give
#define roma__slot_take interleaved_slot_take
#define roma__threads_fork_free interleaved_threads_fork_free
#define roma__threads_fork_hold interleaved_threads_fork_hold
/* word.c, in word_interleaved.c */
#define roma__word_drop interleaved_word_drop
#define roma__word_drop_shared interleaved_word_drop_shared
#define roma__word_kill interleaved_word_kill
#define roma__word_references interleaved_word_references
#define roma__word_retain interleaved_word_retain
/* what the world has instead */
#define roma__extents_cut interleaved_extents_cut
#define roma__extents_give interleaved_extents_give
#define roma__extents_put interleaved_extents_put
#define roma__metadata_take interleaved_metadata_take
#define roma__record_free interleaved_record_free
#define roma__record_new interleaved_record_new

#include "heap/claim.h"
#include "heap/internal.h"
#include "heap/metadata.h"

#include "interleave.h"

enum { WORLD_HEAPS = 2, WORLD_CACHES = 4, WORLD_BATCHES = 6, WORLD_CELLS = 4, WORLD_BYTES = 16384 };

/* How many of these a scene has; what is not used is no part of its states. */
typedef struct world_size {
    unsigned heaps, caches, batches;
    bool has_magazines; /* else each cell goes straight to its slab and back: fewer states */
} world_size;

struct world {
    unsigned caches_count, batches_count, storages_count; /* handed out so far       */
    bool is_gone[WORLD_HEAPS];                            /* its memory was given back */
    bool slab_is_back;                                    /* its granule was           */
    unsigned told[WORLD_CELLS];                           /* of late misuse, by cell   */
    uint8_t slots[8];
    struct roma__slab slab; /* of WORLD_CELLS cells of WORLD_BYTES */
    struct roma__state states[WORLD_CELLS];
    uint64_t bits[1];
    struct world_entry {
        uint64_t serial;
        struct roma__cache *cache;
    } entries[INTERLEAVE_THREADS_MAX][WORLD_HEAPS]; /* the threads' tables (threads.c) */
    unsigned char scene[512];                       /* the scene's own: results, flags */
    /* the rest as far as it is used */
    roma__heap heaps[WORLD_HEAPS];
    struct roma__cache caches[WORLD_CACHES];
    struct roma__batch batches[WORLD_BATCHES];
};

extern struct world world;

/* Fill in the plan's memory and thread-local storage; accesses to what is gone are faults. */
void world_fill(interleave_plan *plan, world_size size);

/* Is that an access to what is gone? It is the plan's on_access, unless the scene has its own. */
void world_look(const void *place, const char *function);

/* Everything as at the start: heaps without caches and slabs, no batch, no cache. */
void world_begin(uint32_t words);

/* A cache of a heap, in its list. */
struct roma__cache *world_cache(unsigned heap, enum roma__cache_state state);

/* Have the slab kept by a cache; its first `live` cells live with one reference. */
void world_slab(struct roma__cache *keeper, uint32_t live);

/* The running thread has these caches (NULL: none yet) in the heaps; is_ending: it gets none. */
void world_thread(struct roma__cache *first, struct roma__cache *second, bool is_ending);

/* End a life without a lock, where that can be: roma__fast_end() of src/manager/fast.h. */
bool world_end_fast(struct roma__cache *cache, uint32_t index);

/* After a run: what is on its way arrives in the heaps that are there, then NULL, or what is wrong
 * with heaps, caches and batches. */
const char *world_fault(void);

#endif
