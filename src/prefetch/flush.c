/* flush.c - flushes: which write is handed over next, and when; and what came of it.
 *
 * Where others than the caller's thread can wait, writes come back when they are written, sixteen
 * of all flushes on their way at a time: so the next ones go while the kernel sees to those that
 * were written. Where all is begun at once, a device that tells of many writes together has nothing
 * to do until the last of these has been seen to. Runs below 4 MiB are begun, and the sync waits.
 *
 * Of a flush one such write at a time is prepared. Before pages go to the device each mapping of
 * them is made read-only again; where they are mapped one by one that interrupts all processors
 * that run the program, for each page. Threads that prepare pages side by side interrupt each
 * other, and take ten times as long (docs/adr/0014). When a write is prepared nobody tells, so
 * cachestat() is asked whether pages of it are dirty still: when another write has come back, and
 * after pauses. After some pauses the next write goes all the same: the processors are busy, or the
 * device is, or the program writes there.
 *
 * A write that is watched has 4 MiB, which are prepared in about a pause. Where little of one is
 * left by then, or it came back before, few of its pages were dirty, and some behind it are not
 * watched: a large file that is clean for the most part is flushed without many pauses. These have
 * 16 MiB, as all have where cachestat() tells nothing: a worker prepares four requests in a row,
 * and seldom two do at a time. */
#include "prefetch/work.h"

#include "base/bits.h"

#include <errno.h>

enum {
    WATCHED_BYTES = 4 << 20,    /* of a write that is watched,                              */
    UNWATCHED_BYTES = 16 << 20, /* and of others                                            */
    UNWATCHED_FIRST = 4,        /* behind one that had little to write; behind the next one */
    UNWATCHED_MOST = 16,        /* twice as many                                            */
    WAITED_BYTES = 4 << 20,     /* one that has so much is waited for:                      */
    WRITES_FEWEST = 4,          /* as many as may be, but not so few that the disk waits    */
    PAUSES_MOST = 8             /* for one write                                            */
};

/* ---- how many, and how long ----------------------------------------------------------------- */

/* How many writes may wait until they are written, or be watched; the other threads read meanwhile.
 * 0: a caller's thread makes the calls, or the one of a broken ring; or there are too few, or the
 * budget is too small for some at a time. */
static size_t most_that_wait(const roma_prefetch_engine *engine)
{
    const roma_prefetch_options *options = &engine->options;
    size_t threads = engine->lacks_threads ? engine->threads_count : options->threads;
    size_t most = roma__min(roma__min(threads, options->sparse_depth) / 2, ROMA__WRITES_WAITING);
    bool fits = options->budget_bytes == 0 || options->budget_bytes / WRITES_FEWEST >= WAITED_BYTES;
    return engine->can_write_out && fits && most >= WRITES_FEWEST ? most : 0;
}

/* The length of the next write, where it may have about `most`: none is too short to be waited for
 * but a whole run, and what a ban or a budget cuts. */
static uint64_t next_bytes(const roma__job *job, const roma__run *run, size_t most, bool may_wait)
{
    if (!may_wait)
        return roma__work_piece_within(job, run, most);
    const size_t budget = job->engine->options.budget_bytes;
    const uint64_t left = run->offset + run->bytes - job->at;
    uint64_t bytes = roma__work_piece_within(job, run, most);
    if (left < most + WAITED_BYTES)
        bytes = left;
    else if (bytes < WAITED_BYTES)
        bytes += most;
    /* One has no more of the budget than leaves some for others. */
    const uint64_t share = roma__align_down(budget / WRITES_FEWEST, (size_t)1 << 20);
    return budget == 0 ? bytes : roma__min(bytes, share);
}

/* ---- the write that is being prepared ------------------------------------------------------- */

static void begin_preparing(roma__job *job, const roma__op *write)
{
    const size_t unwatched = job->preparing.unwatched;
    job->preparing = (struct roma__preparing){
        .write = write,
        .begun_ns = roma__now_ns(),
        .unwatched = unwatched,
    };
}

/* It is on its way, or written: few of its pages were dirty, or many. That few are left says
 * nothing to who comes late to see it. */
static void end_preparing(roma__job *job, bool has_few)
{
    struct roma__preparing *preparing = &job->preparing;
    const bool is_late = roma__now_ns() - preparing->begun_ns > 2 * (uint64_t)ROMA__WATCH_PAUSE_NS;
    size_t unwatched = preparing->unwatched;
    if (!has_few)
        unwatched = 0;
    else if (!is_late)
        unwatched = roma__min(roma__max((size_t)UNWATCHED_FIRST, 2 * unwatched),
                              (size_t)UNWATCHED_MOST);
    *preparing = (struct roma__preparing){.unwatched = unwatched, .unwatched_left = unwatched};
}

/* A look at it, or a pause before one; NULL: none is due. */
static roma__op *take_watch(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    struct roma__preparing *preparing = &job->preparing;
    const bool waits = preparing->look != NULL || (preparing->pause != NULL && !preparing->is_due);
    if (waits || engine->watching == ROMA__WRITES_WAITING || engine->free_ops == NULL)
        return NULL;
    const roma__op *write = preparing->write;
    const roma__task task = preparing->is_due ? ROMA__TASK_WATCH : ROMA__TASK_PAUSE;
    roma__op *op = roma__work_new_op(job, task, write->run, write->offset, write->bytes);
    *(preparing->is_due ? &preparing->look : &preparing->pause) = op;
    preparing->is_due = false;
    job->watching++;
    engine->watching++;
    return op;
}

static void finish_look(roma__job *job, const roma__op *look)
{
    struct roma__preparing *preparing = &job->preparing;
    preparing->look = NULL;
    if (look->code != 0) {
        job->files[job->runs[look->run].file].is_silent = true;
        end_preparing(job, false);
        return;
    }
    /* A few pages are those that the program wrote meanwhile. */
    if (look->dirty_bytes <= look->bytes / 64 || preparing->pauses >= PAUSES_MOST)
        end_preparing(job, look->dirty_bytes + look->writeback_bytes < look->bytes / 2);
}

/* One that was about an earlier write is no news. */
void roma__work_finish_watch(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    struct roma__preparing *preparing = &job->preparing;
    if (preparing->look == op) {
        finish_look(job, op);
    } else if (preparing->pause == op) {
        preparing->pause = NULL;
        preparing->pauses++;
        preparing->is_due = true;
    }
    job->watching--;
    engine->watching--;
    roma__work_free_op(engine, op);
    roma__work_note_due(job);
}

/* ---- taking --------------------------------------------------------------------------------- */

/* As many writes as may wait do; who watches one sleeps, too, where there is no ring. */
static bool is_full(const roma_prefetch_engine *engine, size_t most_waiting)
{
    const bool has_ring = engine->ring != NULL;
    return engine->writing + (has_ring ? 0 : engine->watching) >= most_waiting;
}

roma__op *roma__work_take_write(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    const size_t most_waiting = most_that_wait(engine);
    const bool may_wait = most_waiting > 0;
    while (job->run < job->runs_count) {
        if (may_wait && job->preparing.write != NULL)
            return is_full(engine, most_waiting) ? NULL : take_watch(job);
        const roma__run *run = &job->runs[job->run];
        const bool is_watched = may_wait && job->preparing.unwatched_left == 0 &&
                                roma__work_has_cachestat(job, &job->files[run->file]);
        uint64_t bytes = next_bytes(job, run, is_watched ? WATCHED_BYTES : UNWATCHED_BYTES,
                                    may_wait);
        if (roma__work_is_banned(job, run, job->at, &bytes)) {
            roma__work_account_cancelled(job, (uint32_t)job->run, job->at, bytes);
            roma__work_advance(job, bytes);
            continue;
        }
        const bool waits = may_wait && bytes >= WAITED_BYTES;
        if ((waits && is_full(engine, most_waiting)) || engine->free_ops == NULL ||
            !roma__work_may_fly(engine, job, false, bytes))
            return NULL;
        roma__op *op = roma__work_new_op(job, ROMA__TASK_WRITE, (uint32_t)job->run, job->at, bytes);
        op->waits = waits;
        if (waits && is_watched)
            begin_preparing(job, op);
        else if (job->preparing.unwatched_left > 0)
            job->preparing.unwatched_left--;
        roma__work_add_flying(engine, op);
        roma__work_advance(job, bytes);
        return op;
    }
    return NULL;
}

/* After all is begun, each file is synced once; its runs stand one after the other. */
roma__op *roma__work_take_sync(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    while (roma__work_is_written(job) && job->sync_run < job->runs_count) {
        size_t first = job->sync_run;
        const roma__file *file = &job->files[job->runs[first].file];
        const roma__file *through = roma__work_sync_through(job, file);
        if (through == NULL) {
            job->sync_run = roma__work_account_sync(job, first, -ECANCELED);
            continue;
        }
        if (engine->free_ops == NULL || !roma__work_may_fly(engine, job, false, 0))
            return NULL;
        while (job->sync_run < job->runs_count &&
               roma__file_is_same(&job->files[job->runs[job->sync_run].file], file))
            job->sync_run++;
        roma__op *op = roma__work_new_op(job, ROMA__TASK_SYNC, (uint32_t)first, 0, 0);
        op->file = through;
        roma__work_add_flying(engine, op);
        job->syncing++;
        return op;
    }
    return NULL;
}

/* ---- ends ----------------------------------------------------------------------------------- */

/* A beginning; whether it went well, and when it is done, the sync tells. Who waited may have been
 * told in its place. */
void roma__work_finish_write(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    const roma__file *waited = op->waits ? op->file : NULL;
    int result = op->results[0];
    roma__work_remove_flying(engine, op);
    if (job->preparing.write == op)
        end_preparing(job, true); /* before anybody had seen that it is prepared */
    job->preparing.is_due = job->preparing.write != NULL;
    if (job->cancelled) /* there will be no sync */
        roma__work_account_cancelled(job, op->run, op->offset, op->bytes);
    else
        job->runs[op->run].begun_bytes += op->bytes;
    roma__work_free_op(engine, op);
    if (waited != NULL)
        roma__work_finish_written(engine, waited, result);
}
