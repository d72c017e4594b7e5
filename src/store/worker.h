/* worker.h - lanes in the hands of this process, and the slabs that they own.
 *
 * What stands here is in process memory and belongs to one thread at a time: the thread whose
 * worker it is, or who took an idle one (store->lock), or who recovers a dead session. Nobody else
 * writes it but the inbox, which has a lock of its own. Slab records are reached from other threads
 * through store->slabs[unit] to compare `owner`: they are never freed before the store is closed,
 * and a stale owner is never the reader itself. */
#ifndef ROMA_STORE_WORKER_H
#define ROMA_STORE_WORKER_H

#include "store/internal.h"

#include <errno.h>

enum { ROMA__SLAB_BIT_WORDS = 32 }; /* for 2040 blocks of 16 bytes */

/* An own slab, or large block. Free bits are hints for finding; the block's first word decides. */
struct roma__own_slab {
    roma__worker *owner;      /* NULL: a spare record */
    char *base;
    uint64_t *words, *remote;
    uint64_t offset;          /* of its first unit, in the file */
    uint64_t reciprocal;
    uint32_t bytes, count, free_count;
    uint32_t at;              /* word of `bits` to look at first */
    uint32_t bit_words;
    uint16_t class_index;     /* CLASSES_COUNT: large */
    bool is_partial, is_queued, needs_scan, is_looked_at;
    uint32_t units;
    uint64_t unit;
    uint32_t *entry;          /* in the lane's list */
    roma__own_slab *next, *previous;                 /* all of its owner, or spare ones */
    roma__own_slab *next_partial, *previous_partial;
    roma__own_slab *next_queued;
    uint64_t bits[ROMA__SLAB_BIT_WORDS];
};

struct roma__worker {
    roma_store *store;
    roma__lane *lane;
    uint32_t tag;
    bool is_ghost;            /* leaves, or recovers: keeps no records, allocates no blocks */
    bool is_settling;
    roma__own_slab *current[ROMA__CLASSES_COUNT];
    roma__own_slab *partial[ROMA__CLASSES_COUNT];
    roma__own_slab *empty[ROMA__CLASSES_COUNT]; /* one kept a class, among the partial ones */
    roma__own_slab *slabs;
    roma__own_slab *queue;        /* to be looked at: bits were set, or adopted */

    /* the lane's list and its cells */
    uint32_t pages_count;     /* of the list: those that are there have numbers below */
    uint32_t piece, piece_at; /* where the search for a free entry goes on */
    uint64_t **spare_cells;
    uint64_t spare_cells_count, spare_cells_room;
    uint32_t cells_fresh;     /* inline ones that were never used are from here on */
    uint64_t *page_fresh;     /* the same of the newest page */
    uint32_t page_fresh_left;

    /* what other threads of the session release of ours */
    pthread_mutex_t inbox_lock;
    void **inbox;
    size_t inbox_count, inbox_room;
    uint32_t has_inbox;       /* hint, without the lock */
    bool is_idle;             /* under inbox_lock: its thread has ended */

    /* while it leaves: by unit, the walk over the list that met it last; may be NULL */
    uint8_t *met;
    uint64_t met_count;
    uint8_t walk;

    roma__worker *next;       /* all of the store */
};

/* ---- lane.c ---------------------------------------------------------------------------------- */

/* Take a free lane for the session and make a worker of it. Returns it, or NULL with *code. */
roma__worker *roma__worker_new(roma_store *store, int *code);
void roma__worker_free(roma__worker *worker);
/* A worker that acts as a lane of a dead session. */
void roma__worker_ghost(roma__worker *worker, roma_store *store, uint32_t lane);

/* An entry of the lane's list that is 0 and may be set; NULL when there is no room for more. No
 * stripe is held: it may take a unit. */
uint32_t *roma__entry_take(roma__worker *worker);
/* The same for a slab that is adopted already: a few more, where there is no unit. */
uint32_t *roma__entry_take_adopted(roma__worker *worker);
/* Call for each unit that the list names, with an entry that does; a LIST page after what it names.
 * roma__entries_end() after the last walk. */
typedef void roma__visit_entry(roma__worker *worker, uint32_t *entry, void *context);
void roma__entries_each(roma__worker *worker, roma__visit_entry *visit, void *context);
void roma__entries_end(roma__worker *worker);
/* A cell that is 0; NULL with *code. roma__cell_give() takes back what was not used or is 0. */
uint64_t *roma__cell_take(roma__worker *worker, int *code);
void roma__cell_give(roma__worker *worker, uint64_t *cell);

/* ---- cells.c --------------------------------------------------------------------------------- */

int roma__cells_open(roma_store *store);
void roma__cells_close(roma_store *store);
/* All under the stripe of the block. */
uint64_t *roma__cells_find(roma_store *store, roma_ref ref, uint64_t unit);
int roma__cells_reserve(roma_store *store, uint64_t unit); /* 0 or -ENOMEM */
void roma__cells_add(roma_store *store, roma_ref ref, uint64_t unit, uint64_t *cell);
/* The same as find, with where it was found, for removing it. */
typedef struct roma__cell_place {
    uint64_t *cell; /* NULL: there is none */
    void *table;
    uint32_t at;
} roma__cell_place;
roma__cell_place roma__cells_find_place(roma_store *store, roma_ref ref, uint64_t unit);
void roma__cells_remove(const roma__cell_place *place);

static inline uint64_t roma__cell_make(roma_ref ref, uint64_t count)
{
    return ref / 16 << ROMA__CELL_REF_SHIFT | count;
}
static inline roma_ref roma__cell_ref(uint64_t cell)
{
    return (cell >> ROMA__CELL_REF_SHIFT) * 16;
}
static inline uint64_t roma__cell_count(uint64_t cell)
{
    return cell & ROMA__CELL_COUNT_MASK;
}

/* ---- units.c --------------------------------------------------------------------------------- */

/* Take `length` free units at a multiple of `align` units, growing the file where needed: their
 * head says CLAIMED by the worker. `entry` then names them. Returns 0, or -ENOSPC, -errno. */
int roma__units_take(roma__worker *worker, uint64_t length, uint64_t align, uint32_t *entry,
                     uint64_t *unit);
/* Is it for want of space: the file system's, or what the process may use of it? */
static inline bool roma__is_full(int code)
{
    return code == -ENOSPC || code == -EFBIG;
}
/* Give them back, if the head's word is still that one. */
bool roma__units_give(roma__worker *worker, uint64_t unit, uint64_t word, uint32_t *entry);
/* Change the length of an own large block in place. Returns 0, -ENOSPC (what is behind it is not
 * free) or -EAGAIN (somebody told us something: look first). */
int roma__units_resize(roma__worker *worker, uint64_t unit, uint64_t word, uint64_t length);
/* Derive the free bits of a range again. */
void roma__units_repair(const roma__view *view, uint64_t intent);
/* Punch free units out of the file, but for so many bytes. Returns bytes or -errno. */
int64_t roma__units_punch(roma__worker *worker, uint64_t keep_bytes);

/* ---- slab.c ---------------------------------------------------------------------------------- */

/* Each returns 0 with a slab in current[class] that has a free block, or -errno. */
int roma__slab_refill(roma__worker *worker, unsigned class_index);
/* A large block, its words not yet set. */
int roma__slab_large(roma__worker *worker, uint64_t length, uint64_t align, roma__own_slab **slab);
/* The index-th block was turned free. */
void roma__slab_freed(roma__worker *worker, roma__own_slab *slab, uint32_t index);
/* The same after its bit was set: the slab has its first, or its last free block. */
void roma__slab_turned(roma__worker *worker, roma__own_slab *slab);
/* Give an empty slab back to the store; false when somebody told us something meanwhile. */
bool roma__slab_return(roma__worker *worker, roma__own_slab *slab);
/* An own slab has remote bits, or has just been adopted (no record yet). */
void roma__slab_told(roma__worker *worker, uint64_t unit, bool is_adopted);
/* Look at what was told: queue, mail, inbox. */
void roma__worker_settle(roma__worker *worker);
/* Look at every own slab, mail or not. */
void roma__worker_settle_all(roma__worker *worker);
/* Look at every own slab, and give back those that are empty. Returns whether any was. */
bool roma__worker_shed(roma__worker *worker);
/* The same of those that are told of and kept, at once. True too when something was looked at. */
bool roma__worker_shed_kept(roma__worker *worker);
void roma__slab_forget(roma__worker *worker, roma__own_slab *slab); /* only the record */

/* ---- end.c ----------------------------------------------------------------------------------- */

/* If an own block is in use and nobody names it: release what it names, and turn it free. Returns
 * whether it is free now. */
bool roma__block_finish(roma__worker *worker, const roma__block *block);
/* Clear PENDING and look at all blocks with remote bits of an own slab; `freed` (may be NULL) is
 * told of each that turned free. */
void roma__slab_drain(roma__worker *worker, uint64_t unit,
                      void (*freed)(roma__worker *worker, uint32_t index, void *context),
                      void *context);

/* ---- leave.c --------------------------------------------------------------------------------- */

/* Drop all that the worker's lane holds, and set it free. */
void roma__lane_leave(roma__worker *worker);

/* ---- op.c, recover.c ------------------------------------------------------------------------- */

/* A pair into the record; the caller knows that there is room. */
static inline void roma__op_pair(roma__op *op, uint64_t *place, uint64_t value)
{
    roma__pair *pair = &op->worker->lane->pairs[op->pairs_count++];
    roma__store(&pair->location, roma__view_ref(&op->worker->store->view, place));
    roma__store(&pair->value, value);
    roma__step("op.pair");
}
/* Tell the owner of a slab to look at some of its blocks. */
void roma__op_tell(roma__op *op, uint64_t unit, uint64_t *remote, uint64_t bits);
/* Apply a valid record and clear it. Returns whether an orphan slab was adopted for the lane. */
bool roma__redo_apply(const roma__view *view, roma__lane *lane, uint32_t tag, uint64_t head);
/* What waiting for a holder that may be dead comes to: finish its operation if it is. */
void roma__holder_look(roma_store *store, uint32_t *holder, uint32_t seen);
/* Have a session's byte, which is then certainly dead. */
bool roma__session_claim(roma_store *store, uint32_t session);
void roma__session_unclaim(roma_store *store, uint32_t session);
/* Be inside an operation as a dead session, whose byte is had, until it is recovered. */
void roma__session_enter_dead(roma_store *store, uint32_t session);
/* The half of recovery that takes no stripe, for all lanes of a claimed session. */
void roma__session_first_half(roma_store *store, uint32_t session);

/* ---- park.c ---------------------------------------------------------------------------------- */

/* Outside of operations, having read `tag`, not 0, from park: wait a little, unless who parks is
 * dead; then it is taken back. */
void roma__park_wait(roma_store *store, uint32_t tag);

/* ---- worker.c -------------------------------------------------------------------------------- */

/* The opening that the thread used last, and its worker there. */
struct roma__last {
    roma_store *store;
    uint64_t serial;
    roma__worker *worker;
};
extern _Thread_local __attribute__((tls_model("initial-exec"))) struct roma__last roma__last;

/* roma__store_enter() and roma__store_leave(), for the hottest paths. */
static inline roma__worker *roma__enter(roma_store *store, int *code)
{
    roma__worker *worker = roma__last.worker;
    if (__builtin_expect(worker != NULL && store == roma__last.store &&
                         store->serial == roma__last.serial, 1)) {
        roma__store(&worker->lane->busy, 1);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
        if (__builtin_expect(roma__load_acquire(&store->view.live->park) == 0, 1))
            return worker;
    }
    return roma__store_enter(store, code);
}

static inline void roma__leave(roma__worker *worker)
{
    if (__builtin_expect(worker->queue != NULL, 0))
        roma__worker_settle(worker);
    roma__store_release(&worker->lane->busy, 0);
}

/* Visit the idle workers, each taken meanwhile. Returns whether a visit said yes. */
bool roma__idle_each(roma_store *store, bool (*visit)(roma__worker *worker));
/* A lock that a lane of this session is said to have: nobody's, where no thread has such a lane. */
void roma__worker_let_go(roma_store *store, uint32_t *holder, uint32_t tag);
/* Hand a block to the worker that owns its slab: a thread of the session releases it. */
int roma__inbox_put(roma_store *store, uint32_t tag, void *block);
/* Apply what is in the own inbox. */
void roma__inbox_apply(roma__worker *worker);
void roma__worker_forget_store(roma_store *store);

/* ---- alloc.c, release.c ---------------------------------------------------------------------- */

/* A free block taken out of the free bits, and its words; the caller commits. `second` is what its
 * second word is to be, shared count and flags aside. Returns 0 or -errno. */
typedef struct roma__cell_taken {
    roma__own_slab *slab;
    uint32_t index;
    char *address;
    uint64_t *words;
    uint64_t second;
} roma__taken;
int roma__block_take(roma__worker *worker, const roma_store_request *request, roma__taken *taken);
void roma__block_untake(roma__worker *worker, const roma__taken *taken);

/* Give up one local reference of an own block; as roma__block_release() for its owner. -EAGAIN:
 * there is none. */
int roma__block_release_own(roma__worker *worker, roma__own_slab *slab, void *block);

#endif
