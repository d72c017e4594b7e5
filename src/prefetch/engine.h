/* engine.h - the engine's records, and what its parts ask of each other.
 *
 * The parts, from a request to the kernel and back:
 *
 *   submit.c   checks ranges, makes a job of them, puts it into the engine's list
 *   work.h     the bookkeeping: what could be begun now, overlaps, accounts, what came of an op
 *   prepare.c  what of an op needs no lock: looking at residency, mapping shadows, judging results
 *   the way    runs the loop take - prepare - calls - judge - finish - settle:
 *              way_ring.c on one thread over a ring, way_pool.c on threads, way_plain.c on the
 *              thread that submits
 *   handle.c   what a program asks a handle: wait, progress, errors, descriptors, callbacks
 *   cancel.c   giving up handles, ranges, all; until when a part of a file is left
 *   engine.c   making and ending engines
 *   thread.c   the first thread of an engine, and where its threads run
 *   life.c     references, the list of all engines, leaving a file with all of them, fork
 *   executor.h an engine as what providers hand their ranges to
 *
 * A job is one request; a handle is the program's view of it, and the same record. An op is one
 * piece of a job on its way: one or two calls of the kernel, made one after the other, or a step
 * that the engine does itself (planning, looking, mapping).
 *
 * Locking: one mutex an engine guards all below but what is said to be else. It is held for
 * bookkeeping, never over a call of the kernel that reads, looks, or maps a file; a job that such a
 * step belongs to is `held`, so that nobody else takes from it meanwhile. Short calls are made in
 * it, where what they do and what is noted of it have to be one: starting a thread, making and
 * signalling a handle's descriptor, closing a ring with nothing in flight, asking of a file whose
 * write failed when its inode was made (sync.c). The registry's lock comes before an engine's, and
 * both are held over fork(), so that a child finds the records whole (life.c). Callbacks run
 * without locks.
 *
 * Life: a job is referenced by its handle and, until it is done and settled, by its engine; an
 * engine by its program and by every job. So handles outlive their engine. */
#ifndef ROMA_PREFETCH_ENGINE_H
#define ROMA_PREFETCH_ENGINE_H

#include <roma/prefetch.h>

#include "prefetch/calls.h"
#include "prefetch/plan.h"
#include "prefetch/ring.h"
#include "prefetch/shadow.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    ROMA__OP_CALLS = 2,
    ROMA__DENSE_DEPTH = 4,
    ROMA__SPARSE_DEPTH = 96,
    ROMA__FOLLOWERS = 64,       /* ops beyond the depths: those that wait for others' reads       */
    ROMA__WRITES_WAITING = 24,  /* writes of all flushes that are waited for, at most             */
    ROMA__OPS_MOST = 4096,
    ROMA__WORKERS = 32,
    ROMA__WORKERS_MOST = 256,
    ROMA__BANS = 8,
    ROMA__UNTOLD = 16,
    ROMA__WINDOWS = 2,
    ROMA__TRIES = 100,          /* of a call that is told to come again                           */
    ROMA__FAULT_TRIES = 3       /* of one that met a page that cannot be read                     */
};

typedef struct roma_prefetch_handle roma__job;
typedef struct roma__op roma__op;

/* ---- ops ------------------------------------------------------------------------------------ */

typedef enum roma__task {
    ROMA__TASK_PLAN = 1, /* ranges become runs                                                    */
    ROMA__TASK_LOOK,     /* is a long stretch resident already?                                   */
    ROMA__TASK_WINDOW,   /* map the shadow that short runs are populated through                  */
    ROMA__TASK_READ,     /* a piece                                                               */
    ROMA__TASK_WRITE,    /* a piece of a flush                                                    */
    ROMA__TASK_SYNC,     /* a file's end of a flush                                               */
    ROMA__TASK_CLEAN     /* unmap the windows                                                     */
} roma__task;

typedef enum roma__op_state {
    ROMA__OP_FREE = 0,
    ROMA__OP_RUNS,    /* taken: somebody prepares it, or the kernel has it                        */
    ROMA__OP_FOLLOWS, /* waits for the end of another op, that reads the same                     */
    ROMA__OP_AGAIN    /* to be taken once more                                                    */
} roma__op_state;

struct roma__op {
    roma__op_state state;
    roma__task task;
    roma__job *job;
    roma__op *next;           /* of the free, of those to be taken again, issued, begun, or
                                 followers                                                        */
    roma__op *followers;
    const roma__file *file;   /* of the job's; for a sync the descriptor that it goes through     */
    uint32_t run;
    bool dense;
    bool look;                /* ask whether it is resident, before reading it or waiting for it  */
    bool issued;              /* its fadvise was made: next it is seen whether it came            */
    bool awaited;             /* the ring tells when to see that                                  */
    bool waits;               /* a write that is in flight until it is written, not begun;        */
    bool begun;               /* and was begun: next it is waited for                             */
    unsigned tries;
    uint64_t offset;
    uint64_t bytes;
    uint64_t begun_ns;
    uint64_t issued_at;       /* how many ops had been taken by then                              */
    unsigned window;          /* index + 1 of the job's window that it uses; 0: none              */

    /* Of who prepares it, until finish. */
    roma__call calls[ROMA__OP_CALLS];
    int results[ROMA__OP_CALLS];
    unsigned calls_count, calls_left;
    roma__shadow shadow;      /* its own                                                          */
    bool was_resident;
    bool has_come;            /* awaited, and seen to be there                                    */
    int code;                 /* judged: 0, or -errno of what is past `good_bytes`                */
    roma__call_kind failed;   /* with a code: what met it                                         */
    uint64_t good_bytes;      /* with a code: this much from its start is to be read again        */
    bool come_again;

    /* Of a sync, and of a write that is waited for (sync.c), in ops taken; 0: not yet. */
    uint64_t returned_at; /* it came back                                                         */
    uint64_t met_at;      /* a sync of the file did, while this one was in flight                 */
};

/* ---- jobs ----------------------------------------------------------------------------------- */

/* A part of a file that is to be left: by all who have to do with it, or by those alone who do
 * through one map. */
typedef struct roma__ban {
    uint64_t device, inode, offset, end;
    int fd;         /* the map's; -1: whatever the descriptor                                     */
    uintptr_t base; /* with `fd`: of addresses in the map, for who populates these                */
} roma__ban;

struct roma_prefetch_handle {
    roma_prefetch_engine *engine;
    size_t record_bytes;
    roma__job *next_all, *previous_all; /* every job of the engine                                */
    roma__job *next, *previous;         /* those that are not done                                */
    roma__job *next_settling;
    roma__job *next_due;
    uint64_t number;      /* of its submission to the engine, from 1                              */
    unsigned references;
    bool is_flush, planned, held, cancelled, settling, calling;
    bool has_handle; /* the program has one, and will close it                                    */
    bool is_due;     /* in the engine's list of those                                             */
    roma_prefetch_level level;

    size_t n;
    roma__asked *asked;   /* offsets and bytes: constant; codes: the engine's lock                */
    uint32_t *order, *spare;
    roma__file *files;    /* written at submission and by the plan                                */
    size_t files_count;
    roma__run *runs;      /* constant once planned                                                */
    size_t runs_count;

    size_t run;           /* the cursor: this run,                                                */
    uint64_t at;          /* from here in the file                                                */
    uint64_t looked_to;   /* up to here it is known not to be resident as a whole,                */
    bool looked_empty;    /* or not at all                                                        */
    size_t chunk_bytes;   /* of the next chunk of a long run,                                     */
    size_t chunk_first;   /* and of the shortest one                                              */
    size_t reach_bytes;   /* of a short one                                                       */
    struct roma__flush {           /* (flush.c)                                                   */
        const roma__op *beginning; /* the write whose pages are being prepared; NULL: none        */
        roma__op *begun;           /* those that are to be waited for, oldest first               */
        roma__op *begun_last;
        uint64_t begun_bytes;      /* of all writes                                               */
        uint64_t left_bytes;       /* of long runs, behind the cursor                             */
        unsigned on_their_way;     /* writes that may not be written yet, but for those that
                                      found the device idle;                                      */
        unsigned awaited;          /* of these: those in flight, which will be known to be        */
        size_t unawaited;          /* how many of the next writes are not waited for,             */
        size_t unawaited_next;     /* and were the last time                                      */
    } flush;
    size_t sync_run;      /* the flush's second cursor                                            */
    unsigned syncing;     /* ops of that                                                          */
    unsigned active;      /* ops                                                                  */
    struct roma__window {
        roma__shadow shadow;
        uint64_t offset, end;
        uint32_t file;
        unsigned users;
    } windows[ROMA__WINDOWS];
    unsigned window;      /* the one in use                                                       */
    roma__ban bans[ROMA__BANS];
    unsigned bans_count;

    uint64_t total_bytes, done_bytes, resident_bytes, joined_bytes, failed_bytes, cancelled_bytes;
    uint64_t calls;
    size_t failed_ranges;
    int code;
    atomic_int done;      /* 0 or 1; released by who finishes it: code and progress are final     */
    pthread_cond_t ended;
    int event_fd;
    roma_on_done on_done;
    void *context;
    int own_fd;           /* to be closed with the record; -1: none                               */
};

/* ---- engines -------------------------------------------------------------------------------- */

/* A way to make calls. */
typedef struct roma__way {
    /* Begin. Returns 0, or -errno with *error (never NULL); nothing is left behind then. */
    int (*start)(roma_prefetch_engine *engine, roma_error *error);
    /* There is something to do, or to stop. Without the lock. */
    void (*kick)(roma_prefetch_engine *engine);
    /* A job was submitted: come back when it may go on by itself. Without the lock. */
    void (*submitted)(roma_prefetch_engine *engine, roma__job *job);
    /* `stopping` is set and nothing is in flight: end all threads. Without the lock. */
    void (*stop)(roma_prefetch_engine *engine);
} roma__way;

extern const roma__way roma__way_ring, roma__way_pool, roma__way_plain;

struct roma_prefetch_engine {
    pthread_mutex_t lock;
    pthread_cond_t changed;   /* an op or a job ended                                             */
    roma_prefetch_engine *next_engine, *previous_engine; /* the registry's lock                   */
    unsigned generation;      /* of the process that made it                                      */
    unsigned references;
    bool stopping;            /* it is being destroyed,                                           */
    bool over;                /* and was: handles have it still                                   */
    bool claimed;             /* somebody is about to free it                                     */
    unsigned users;           /* scans, managers, providers that wait: it is not destroyed  */

    roma_prefetch_options options; /* with all defaults filled in; constant                       */
    roma_prefetch_report report;   /* constant after making, but for a ring that broke            */
    const roma__way *way;          /* constant                                                    */
    bool is_misplaced;             /* while it is made: its thread could not go to its CPUs       */
    bool may_write_ranges;         /* else a filter refuses sync_file_range                       */

    roma__job *all;
    roma__job *first, *last;  /* not done, in order of submission                                 */
    roma__job *turn;          /* who is next                                                      */
    roma__job *settling, *settling_last;
    roma__job *dead;          /* to be freed by who unlocks                                       */
    roma__job *due;           /* to be looked at out of turn: at their end, or after a step or a
                                 write                                                            */
    size_t live_count;        /* not done                                                         */
    size_t unplanned_count;   /* of those: nobody has planned them yet                            */
    unsigned calls_running;   /* callbacks                                                        */

    roma__op *ops;
    size_t ops_count;
    size_t ops_high;          /* behind the last one that was ever used                           */
    roma__op *free_ops;
    roma__op *again, *again_last;
    roma__op *issued, *issued_last; /* in flight, oldest first                                    */
    unsigned issued_count;
    unsigned advising;              /* in flight, to be issued                                    */
    uint64_t taken;                 /* ops, but for short runs that were issued before            */
    unsigned dense_flying, sparse_flying;
    unsigned writing;         /* of the latter: writes that are waited for, or will be            */
    unsigned followers;       /* ops                                                              */
    uint64_t flying_bytes;
    struct roma__untold {     /* what writes of flushes met, and none has told yet (sync.c)       */
        uint64_t device, inode;
        uint64_t birth_ns; /* of the inode, whose number a later file may have; 0: not known      */
        int code;
    } untold[ROMA__UNTOLD];
    size_t untold_count;      /* of all time: the latest are kept                                 */
    const roma__job *refused; /* whose piece was too long for what the budget has left: others wait
                                 until it flies                                                   */

    struct {
        uint64_t submits, requested, read, resident, joined, flushed, failed, cancelled, calls;
        uint64_t peak;
    } figures;

    /* Of the ring's way. */
    roma__ring *ring;
    void *thread;
    int wake_fd;              /* constant, and closed with the record                             */
    bool asleep, kicked;      /* the thread sleeps, or is about to; and was woken for it          */
    bool broken;              /* the ring refuses to go on: its thread makes plain calls          */
    /* The thread's own: a poll of wake_fd is in the ring; calls are queued and not handed over;
     * there was no room for more; and since when enter has said nothing but that it is busy. */
    bool polls, queued, is_full;
    int poll_code; /* with which the poll failed, until the thread has judged that; 0 */
    /* Its own, too: short runs have a call behind their advice that tells when they may have come
     * (constant, but for a ring that broke); how many have been begun and not come; and how many
     * more are to be advised by workers, as the thread could not keep up. */
    bool awaits;
    unsigned awaited, left_to_workers;
    uint64_t busy_since_ns;

    /* Of the pool's. */
    pthread_cond_t work;
    void *threads[ROMA__WORKERS_MOST];
    unsigned threads_count, idle_count;
    bool lacks_threads; /* one more could not be started: so few there are to be                  */
    bool threads_stop;
};

/* The engine whose callback this thread is in, the innermost; NULL: in none, and it may wait. */
extern _Thread_local const roma_prefetch_engine *roma__calling;

/* ---- life.c --------------------------------------------------------------------------------- */

void roma__engine_lock(roma_prefetch_engine *engine);
/* Unlock, and free what died meanwhile: the engine too, when this was its end. */
void roma__engine_unlock(roma_prefetch_engine *engine);
/* Made by a parent of this process. */
bool roma__engine_is_gone(const roma_prefetch_engine *engine);
/* One that has no thread and is not in the list of all. */
void roma__engine_free(roma_prefetch_engine *engine);
/* Into the list of all; who frees it takes it out. */
void roma__engine_register(roma_prefetch_engine *engine);
/* It is destroyed in a child of fork(). */
void roma__engine_forget(roma_prefetch_engine *engine);
/* A reference of a job less. Lock held. */
void roma__job_drop(roma__job *job);
/* A handle is closed in a child of fork(). */
void roma__job_forget(roma__job *job);
/* Give up what all engines have to do there, and wait until they have left it. Nobody may submit
 * anything there meanwhile. */
void roma__engines_leave(const roma__ban *ban);
/* -ESHUTDOWN with *error (may be NULL) once it is being destroyed, else 0. Lock held. */
int roma__engine_refuses(const roma_prefetch_engine *engine, roma_error *error);
/* A scan, a manager or a provider that waits begins or ends to use an engine: it is not destroyed
 * meanwhile. Returns 0, or -ESHUTDOWN with *error (may be NULL). */
int roma__engine_hold(roma_prefetch_engine *engine, roma_error *error);
void roma__engine_let(roma_prefetch_engine *engine);

/* ---- thread.c ------------------------------------------------------------------------------- */

/* What a way that starts and its first thread share until the latter has said how it went. */
typedef struct roma__opening {
    roma_prefetch_engine *engine;
    roma_error *error;
    bool is_over;
    int code;
} roma__opening;

/* Start the first thread, with a roma__opening of its engine, and wait for what it says. Returns
 * that, or -errno with *error; the thread is over then. */
int roma__engine_open(roma_prefetch_engine *engine, void **thread, void *(*run)(void *),
                      roma_error *error);
/* It says that the engine can begin (0), or why not, with the error filled; `given` is gone
 * then. */
void roma__engine_opened(roma__opening *given, int code);
/* Go where the options say. Returns 0; -EINVAL (no CPU that is allowed), or -errno, with *error. */
int roma__engine_go_to_cpus(roma_prefetch_engine *engine, roma_error *error);

/* ---- submit.c ------------------------------------------------------------------------------- */

/* Submit one range without a handle, read through a duplicate of its descriptor: it may be closed
 * at once. Returns as roma_prefetch_submit(), and -errno of duplicating. */
int roma__submit_by_itself(roma_prefetch_engine *engine, const roma_file_range *range,
                           roma_prefetch_level level, roma_error *error);

/* ---- work.h: the lock is held --------------------------------------------------------------- */

/* An op that can be begun; NULL: nothing at the moment. Jobs that have come to their end are
 * finished on the way. */
roma__op *roma__work_take(roma_prefetch_engine *engine);
void roma__work_finish(roma_prefetch_engine *engine, roma__op *op);
/* What a job still has to do becomes cancelled. */
void roma__job_give_up(roma__job *job);
/* Whether an op is in flight in what a ban is about. */
bool roma__op_is_in(const roma__op *op, const roma__ban *ban);
bool roma__engine_is_valid(const roma_prefetch_engine *engine);

/* Tell of jobs that are done; callbacks run without the lock. Returns whether there was one. */
bool roma__work_settle(roma_prefetch_engine *engine);

/* ---- prepare.c: without the lock ------------------------------------------------------------ */

/* Make an op ready: its calls stand in calls[0..calls_count), 0 of them when there is nothing that
 * the kernel is to be asked. */
void roma__op_prepare(roma__op *op);
/* All calls of it are done, or were not made: what came of it. */
void roma__op_judge(roma__op *op);
/* Make its calls here, one after the other. */
void roma__op_make_calls(roma__op *op, int (*make)(const roma__call *call));
/* Is it a part of a run, and no step that its job waits for? */
bool roma__work_is_piece(const roma__op *op);
uint64_t roma__now_ns(void);

/* ---- cancel.c ------------------------------------------------------------------------------- */

/* Who gives up knows the jobs that are there by the number of the last one. */
#define ROMA__ALL_JOBS UINT64_MAX

/* Give up what a ban is about in all jobs up to `last`; returns how many it concerned. Lock
 * held. */
size_t roma__engine_ban(roma_prefetch_engine *engine, const roma__ban *ban, uint64_t last);
/* Whether no op of them is in it. Lock held. */
bool roma__engine_has_left(const roma_prefetch_engine *engine, const roma__ban *ban,
                           uint64_t last);
/* Wait until none is. Lock held, released meanwhile. */
void roma__engine_await_left(roma_prefetch_engine *engine, const roma__ban *ban, uint64_t last);

#endif
