/* internal.h - an open store in this process, and what its files offer to one another.
 *
 * A *worker* is a lane in the hands of this process: that of a thread, that of a thread that has
 * ended (it waits for the next one), or that of a dead session while it is recovered. All changes
 * of the file are made by a worker, under its lane's tag.
 *
 * An operation is written like this (share.c, directory.c):
 *
 *     roma__worker *worker = roma__store_enter(store, &code);      -- no checkpoint from here on
 *     roma__op op;
 *     roma__op_begin(&op, worker);
 *     roma__op_lock_slot(&op, slot);                               -- stripes in their order
 *     roma__op_lock_block(&op, &block);
 *     roma__op_store(&op, slot, 0);                                -- pairs, in order of applying
 *     roma__op_drop(&op, &block);
 *     roma__op_commit(&op);                                        -- one step against a crash
 *     roma__store_leave(worker);
 *
 * Words of the file that others write are read once, by the macros of heap/atomics.h. */
#ifndef ROMA_STORE_INTERNAL_H
#define ROMA_STORE_INTERNAL_H

#include "heap/atomics.h"
#include "store/points.h"
#include "store/view.h"

#include <pthread.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma__worker roma__worker;
typedef struct roma__own_slab roma__own_slab;

/* ---- the store ------------------------------------------------------------------------------- */

struct roma_store {
    roma__view view;          /* first: a store is a view, too                                   */
    uint64_t serial;          /* of this opening: no two of a process have the same              */
    int fd;                   /* of a description that backs no mapping and keeps no lock        */
    int mapped_fd;            /* of the description behind the mapping, while it is being opened,
                                 or while it is mapped (filesystem.c, "Locks"): under the lock of
                                 openings                                                        */
    int shown_fd;             /* the same for roma_store_fd(), made when asked: locks that are taken
                                 for a moment must not outlive this process in somebody else     */
    bool is_read_only;
    bool is_stale;            /* a fork() came: this is the child                                */
    bool is_opening;          /* under the lock of openings: nobody was given it yet             */
    bool is_closing;          /* under the lock of openings: no thread's end touches it any more */
    bool is_in_memory;        /* memfd: without a path                                           */
    bool is_image;            /* a copy in private memory: no file, no locks, all sessions dead  */
    bool wants_shrink, wants_no_sync;
    bool maps_itself;         /* the mapping keeps the locks of the description behind it        */
    unsigned capabilities;
    uint32_t session;         /* index                                                           */
    uint32_t page_bytes;      /* the file is committed and punched in multiples                  */
    size_t reserved_bytes;    /* of address space                                                */
    char *path;               /* as opened, absolute; NULL in memory                             */
    roma__own_slab **slabs;   /* by unit: what a worker of this process owns there, else NULL    */
    size_t slabs_bytes;
    pthread_mutex_t lock;     /* workers, idle ones                                              */
    pthread_mutex_t super_lock; /* threads that have the file lock in turn: it is one description's.
                                 Taken before that, and nothing else under it                    */
    uint32_t *claims;         /* by session: a thread of this process has its byte, or wants it:
                                 a byte lock does not keep the threads of one process apart. That of
                                 the own session is claimed from opening to closing              */
    roma__worker *workers;    /* all, by `next`                                                  */
    uint32_t visitors;        /* threads that have, or want, an idle one's worker for a moment   */
    roma__own_slab *spare_slabs; /* records to use again: never given back before the end        */
    struct roma__cells *cells; /* which cells of this session name which block                   */
    roma_store *next;         /* in the process's list of openings                               */
};

/* Told of openings and closings of this process; set by the floor above before main(), else NULL.
 * opened: last step of a successful opening, also a read-only one. closing: first step of
 * roma_store_close(), also of a stale store in a child. Neither can fail. */
typedef struct roma__store_watcher {
    void (*opened)(roma_store *store);
    void (*closing)(roma_store *store);
} roma__store_watcher;
extern const roma__store_watcher *roma__store_watched_by;

/* ---- workers --------------------------------------------------------------------------------- */

/* The calling thread's worker, inside an operation: a checkpoint waits until it is left. NULL with
 * *code: -ESTALE, -EROFS, -EUSERS (no lane), -ENOMEM, -ENOSPC, -EINVAL (no store). */
roma__worker *roma__store_enter(roma_store *store, int *code);
void roma__store_leave(roma__worker *worker);

/* Can changes be made through it at all? 0, -EINVAL (no store), -ESTALE, -EROFS. */
int roma__store_may_enter(const roma_store *store);

roma_store *roma__worker_store(const roma__worker *worker);
uint32_t roma__worker_tag(const roma__worker *worker);

/* ---- stripes (stripe.c) ---------------------------------------------------------------------- */

/* Wait for it and take it. A dead holder's operation is finished on the way. */
void roma__stripe_lock(roma__worker *worker, unsigned stripe);
void roma__stripe_unlock(roma__worker *worker, unsigned stripe);
unsigned roma__stripe_of_slot(roma_ref slot);
unsigned roma__stripe_of_unit(uint64_t unit);

/* ---- operations (op.c) ----------------------------------------------------------------------- */

enum { ROMA__OP_STRIPES = 5, ROMA__OP_FREED = 48 };

typedef struct roma__op {
    roma__worker *worker;
    unsigned stripes[ROMA__OP_STRIPES]; /* held, in order of taking                              */
    unsigned stripes_count, pairs_count, tells_count;
    uint64_t tell_unit;
    uint32_t freed_count;               /* blocks that this op turns free, of own slabs          */
    roma_ref freed[ROMA__OP_FREED];
    roma__pair tells[32];               /* words of remote bits of one slab                      */
} roma__op;

void roma__op_begin(roma__op *op, roma__worker *worker);
/* In this order: names, slots, blocks. A stripe that is held already is not taken twice; two blocks
 * must be locked by one call. */
void roma__op_lock_names(roma__op *op);
void roma__op_lock_slot(roma__op *op, const roma_ref *slot);
void roma__op_lock_block(roma__op *op, const roma__block *block);
void roma__op_lock_blocks(roma__op *op, const roma__block *one, const roma__block *other);

/* A pair: `place` is in the store, 8-byte aligned. At most 16 by hand. */
void roma__op_store(roma__op *op, uint64_t *place, uint64_t value);

/* One more slot or cell names the block, which is in use and whose stripe is held. Returns 0 or
 * -EOVERFLOW. */
int roma__op_share(roma__op *op, const roma__block *block);

/* One less; the stripe is held. Adds what then follows: the free word, or telling the owner. To be
 * called last, and once an operation unless all blocks are of one slab. Returns 0, or -EUCLEAN (not
 * in use, or its count is 0: nothing is added). */
int roma__op_drop(roma__op *op, const roma__block *block);

/* Commit, apply, let go of the stripes, then do what follows: free bits, own slabs to look at. */
void roma__op_commit(roma__op *op);
/* Let go of the stripes; nothing has happened. */
void roma__op_cancel(roma__op *op);

/* ---- slots (share.c): what the public calls do, for a worker that has entered ---------------- */

/* Is that a place for a slot: in the store, aligned, in a root, a name, or among units in use? */
bool roma__slot_is_valid(const roma_store *store, const roma_ref *slot);
int roma__slot_link(roma__worker *worker, roma_ref *slot, void *block);
int roma__slot_relink(roma__worker *worker, roma_ref *slot, void *block);
int roma__slot_release(roma__worker *worker, roma_ref *slot);
/* Have what loading needs, so that it takes no units: for who will hold a stripe. 0 or -errno. */
int roma__slot_ready(roma__worker *worker);
/* Returns 1 with *block, 0 when the slot is empty, or -errno. */
int roma__slot_load(roma__worker *worker, roma_ref *slot, void **block);
int roma__block_alloc(roma__worker *worker, const roma_store_request *request, void **block);
int roma__block_release(roma__worker *worker, void *block);

/* roma_store_resize(): 0 with *block, or -errno. Unless it may move it keeps its address, or is
 * -ENOMEM (resize.c). */
int roma__store_resize(roma_store *store, void **block, size_t bytes, bool may_move);

/* ---- opening (file.c, open.c) ---------------------------------------------------------------- */

/* Take or give back byte locks; `wait`: until it can be had. Returns 0, -EAGAIN, -errno. */
int roma__byte_lock(int fd, int64_t byte, bool wait);
int roma__byte_unlock(int fd, int64_t byte);
/* Hold it together with others who do so; waits for who has it alone. */
int roma__byte_share(int fd, int64_t byte);
/* Give back the file lock and close: a description goes with its last descriptor, and a child that
 * another thread forked meanwhile has one. */
void roma__locked_close(int fd);
/* Does another description hold the byte? 1, 0, or -errno. */
int roma__byte_is_held(int fd, int64_t byte);

/* Take space for [from, to) of the file, for whole pages: where the file system has smaller blocks,
 * a page that is written needs several. Returns 0, -ENOSPC, -EFBIG (the process's limit, which
 * would be a signal else, or the file system's), -errno. */
int roma__store_file_back(int fd, uint64_t from, uint64_t to);

/* Open the file behind a descriptor once more, as a description of its own. Returns it, or -errno
 * with *error filled. */
int roma__file_reopen(int fd, bool read_only, roma_error *error);

/* Does the path name that file now? 1, 0 or -errno. */
int roma__file_has_name(int fd, const char *path);

/* Open the file of that path, unless a store cannot lie there: looked at before it is opened for
 * writing, which would copy a file of an overlay's lower layer (filesystem.c). Returns its
 * descriptor or -errno with *error filled. */
int roma__file_open(const char *path, bool read_only, roma_error *error);

/* May this process make a file so long? 0 or -EFBIG. To be asked before: the kernel would answer
 * with SIGXFSZ (RLIMIT_FSIZE). */
int roma__file_fits(uint64_t bytes);

typedef struct roma__file_system {
    unsigned capabilities;
    bool maps_itself; /* a mapping keeps the locks of the description that it was made from */
} roma__file_system;

/* What the file system can promise, or -EOPNOTSUPP with *error filled where a store cannot lie
 * (filesystem.c). */
int roma__file_judge(int fd, roma__file_system *found, roma_error *error);

/* Change the superblock: `change` edits the copy that counts, which is then written as the other
 * one. Under the file lock. */
int roma__super_change(roma_store *store, void (*change)(roma__super *super, void *context),
                       void *context, roma_error *error);

/* Is any session's byte held, but this store's own (NULL: any at all)? 1, 0 or -errno. */
int roma__sessions_alive(int fd, const roma__regions *regions, const roma_store *store);

/* This run of the machine, as text; "" when the kernel does not say. */
void roma__boot_id(char *text, size_t bytes);

/* ---- parking (park.c) ------------------------------------------------------------------------ */

/* Have every lane of all sessions be outside of operations, and stay there. The worker must not
 * have entered. Returns 0, or -ETIMEDOUT with the session that did not park, -EBUSY (another one
 * does this), -errno; then nobody is parked. */
int roma__store_park(roma_store *store, uint64_t timeout_ns, uint32_t *session);
void roma__store_unpark(roma_store *store);

/* ---- recovery, check ------------------------------------------------------------------------- */

/* Recover every dead session. Returns how many, or -errno. */
int roma__store_recover_all(roma__worker *worker);
/* The same for a thread that is in no operation, and may have no lane. */
int roma__store_recover_outside(roma_store *store);

/* Recover one dead session whose byte is claimed. Returns 0 or -errno. */
int roma__session_recover(roma_store *store, uint32_t session);

/* A store over an image in private memory (`bytes` of it, 4096-aligned; it must hold what the
 * superblock says), for proofs: there is no file, nothing can grow, every session is dead and can
 * be recovered at once by roma__session_recover(). Returns 0 or as roma__super_choose(). */
int roma__image_open(void *base, uint64_t bytes, roma_store **store);
void roma__image_close(roma_store *store);

/* The oracle, over any view at rest. `is_alive` tells of a session's index whether it lives (NULL:
 * none does, and what they hold is a fault unless `dead_may_hold`). Returns the number of faults,
 * what `visit` returned, or -ENOMEM. */
typedef struct roma__check_options {
    bool (*is_alive)(void *context, uint32_t session);
    void *context;
    bool dead_may_hold; /* sessions that were not recovered yet are no fault */
    roma_store_on_fault visit;
    void *visit_context;
} roma__check_options;
int64_t roma__view_check(const roma__view *view, const roma__check_options *options);

#ifdef __cplusplus
}
#endif
#endif
