/* flush.c - flushes: which write is handed over next, and when; and what came of it.
 *
 * Where others than the caller's thread can wait, writes come back when they are written, sixteen
 * of all flushes on their way at a time: so the next ones go while the kernel sees to those that
 * were written. Where all is begun at once, a device that tells of many writes together has nothing
 * to do until the last of these has been seen to. Pieces below 4 MiB are begun, and the sync waits.
 *
 * Of a flush one write at a time is prepared. Before pages go to the device each mapping of them is
 * made read-only again; where they are mapped one by one that interrupts all processors that run
 * the program, for each page. Threads that prepare pages side by side interrupt each other, and
 * take ten times as long (docs/adr/0014). When a write is prepared nobody tells, so cachestat() is
 * asked whether pages of it are dirty still: when another write has come back, and after pauses.
 * Where none has become clean in some of these the next write goes all the same: the processors are
 * busy, or the device is, or the program writes there.
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
    WATCHED_BYTES = 4 << 20,       /* of a write that is watched,                              */
    UNWATCHED_BYTES = 16 << 20,    /* and of others                                            */
    UNWATCHED_FIRST = 4,           /* behind one that had little to write; behind the next one */
    UNWATCHED_MOST = 16,           /* twice as many                                            */
    WAITED_BYTES = 4 << 20,        /* one that has so much is waited for:                      */
    WRITES_FLYING = ROMA__WATCHES, /* so many, or half of the threads,                         */
    WRITES_FEWEST = 4,             /* but not so few that the disk waits for each              */
    PAUSES_MOST = 4                /* without a page that became clean                         */
};

/* ---- how many, and how long ----------------------------------------------------------------- */

/* How many writes may wait until they are written, or be watched; the other threads read meanwhile.
 * 0: a caller's thread makes the calls, or the one of a broken ring; or there are too few, or the
 * budget is too small for some at a time. */
static size_t most_that_wait(const roma_prefetch_engine *engine)
{
    const roma_prefetch_options *options = &engine->options;
    size_t threads = engine->lacks_threads ? engine->threads_count : options->threads;
    size_t most = roma__min(roma__min(threads, options->sparse_depth) / 2, WRITES_FLYING);
    bool fits = options->budget_bytes == 0 || options->budget_bytes / WRITES_FEWEST >= WAITED_BYTES;
    return engine->can_write_out && fits && most >= WRITES_FEWEST ? most : 0;
}

/* Of the budget one that waits has no more than leaves some for others. */
static size_t most_of_budget(const roma_prefetch_engine *engine)
{
    size_t budget = engine->options.budget_bytes;
    return budget == 0 ? SIZE_MAX : roma__align_down(budget / WRITES_FEWEST, (size_t)1 << 20);
}

/* The length of the next one that is watched. Only a run that is too short to wait for as a whole
 * has one that is; but for what a budget cuts. */
static uint64_t watched_bytes(const roma__job *job, const roma__run *run)
{
    const roma_prefetch_engine *engine = job->engine;
    const uint64_t left = run->offset + run->bytes - job->at;
    uint64_t bytes = roma__work_piece_within(job, run, WATCHED_BYTES);
    if (left < 2 * WATCHED_BYTES)
        bytes = left;
    else if (bytes < WATCHED_BYTES)
        bytes += WATCHED_BYTES;
    return roma__min(bytes, most_of_budget(engine));
}

static uint64_t unwatched_bytes(const roma__job *job, const roma__run *run, size_t most_waiting)
{
    size_t most = most_waiting > 0 ? most_of_budget(job->engine) : SIZE_MAX;
    return roma__work_piece_within(job, run, roma__min((size_t)UNWATCHED_BYTES, most));
}

/* ---- the write that is being prepared ------------------------------------------------------- */

static void begin_preparing(roma__job *job, const roma__op *write)
{
    struct roma__preparing *preparing = &job->preparing;
    preparing->write = write;
    preparing->begun_ns = roma__now_ns();
    preparing->is_paused = preparing->is_looked_at = false;
    preparing->is_due = preparing->has_paused = false;
    preparing->dirty_bytes = UINT64_MAX;
    preparing->idle_pauses = 0;
}

/* It is on its way, or written. That little is left says nothing of who comes late to see it. */
static void end_preparing(roma__job *job, bool has_little)
{
    struct roma__preparing *preparing = &job->preparing;
    bool is_soon = roma__now_ns() - preparing->begun_ns < 2 * (uint64_t)ROMA__PAUSE_NS;
    size_t more = roma__max((size_t)UNWATCHED_FIRST, 2 * preparing->unwatched);
    preparing->write = NULL;
    preparing->unwatched = has_little && is_soon ? roma__min(more, (size_t)UNWATCHED_MOST) : 0;
    preparing->unwatched_left = preparing->unwatched;
}

/* A look at it, or a pause before one; NULL: none is due. */
static roma__op *take_watch(roma__job *job)
{
    struct roma__preparing *preparing = &job->preparing;
    bool waits = preparing->is_looked_at || (preparing->is_paused && !preparing->is_due);
    if (waits || job->engine->free_ops == NULL)
        return NULL;
    const roma__op *write = preparing->write;
    roma__op *op = roma__work_new_op(job, ROMA__TASK_WATCH, write->run, write->offset,
                                     write->bytes);
    job->watching++;
    job->engine->watching++;
    op->pauses = !preparing->is_due;
    if (op->pauses)
        preparing->is_paused = true;
    else
        preparing->is_looked_at = true;
    preparing->is_due = false;
    return op;
}

/* Does less of it wait to be prepared than when it was looked at before? */
static bool goes_on(struct roma__preparing *preparing, uint64_t dirty_bytes)
{
    if (preparing->has_paused) {
        preparing->has_paused = false;
        bool is_less = dirty_bytes < preparing->dirty_bytes;
        preparing->idle_pauses = is_less ? 0 : preparing->idle_pauses + 1;
        preparing->dirty_bytes = dirty_bytes;
    }
    return preparing->idle_pauses < PAUSES_MOST;
}

static void judge_look(roma__job *job, const roma__op *look)
{
    if (look->code != 0)
        job->files[job->runs[look->run].file].is_silent = true;
    else if (look->dirty_bytes > look->bytes / 64 && goes_on(&job->preparing, look->dirty_bytes))
        return; /* a few pages are those that the program wrote meanwhile */
    end_preparing(job, look->dirty_bytes + look->writeback_bytes < look->bytes / 2);
}

void roma__work_finish_watch(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    struct roma__preparing *preparing = &job->preparing;
    const roma__op *write = preparing->write;
    if (write != NULL && write->run == op->run && write->offset == op->offset) {
        if (op->pauses) {
            preparing->is_paused = false;
            preparing->is_due = preparing->has_paused = true;
        } else {
            preparing->is_looked_at = false;
            judge_look(job, op);
        }
    }
    job->watching--;
    engine->watching--;
    roma__work_free_op(engine, op);
    roma__work_note_due(job);
}

/* ---- taking --------------------------------------------------------------------------------- */

roma__op *roma__work_take_write(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    const size_t most_waiting = most_that_wait(engine);
    const bool is_full = engine->writing + engine->watching >= most_waiting;
    while (job->run < job->runs_count) {
        if (most_waiting > 0 && job->preparing.write != NULL)
            return is_full ? NULL : take_watch(job);
        const roma__run *run = &job->runs[job->run];
        bool is_watched = most_waiting > 0 && job->preparing.unwatched_left == 0 &&
                          roma__work_has_cachestat(job, &job->files[run->file]);
        uint64_t bytes = is_watched ? watched_bytes(job, run)
                                    : unwatched_bytes(job, run, most_waiting);
        if (roma__work_is_banned(job, run, job->at, &bytes)) {
            roma__work_account_cancelled(job, (uint32_t)job->run, job->at, bytes);
            roma__work_advance(job, bytes);
            continue;
        }
        bool waits = most_waiting > 0 && bytes >= WAITED_BYTES;
        if ((waits && is_full) || engine->free_ops == NULL ||
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
    while (roma__work_has_begun(job) && job->sync_run < job->runs_count) {
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
        end_preparing(job, true);
    job->preparing.is_due = job->preparing.write != NULL;
    if (job->cancelled) /* there will be no sync */
        roma__work_account_cancelled(job, op->run, op->offset, op->bytes);
    else
        job->runs[op->run].begun_bytes += op->bytes;
    roma__work_free_op(engine, op);
    if (waited != NULL)
        roma__work_finish_written(engine, waited, result);
}
