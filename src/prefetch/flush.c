/* flush.c - flushes: which write is begun next, and when; and what came of it.
 *
 * Of a flush one write at a time is begun (SYNC_FILE_RANGE_WRITE): the call comes back when all its
 * pages are prepared and handed to the device. Before that each mapping of them is made read-only
 * again; where they are mapped one by one that interrupts all processors that run the program, for
 * each page. Threads that prepare pages side by side interrupt each other, and take four times as
 * long (docs/adr/0016); one that prepares and one device that writes keep each other busy. Pieces
 * have some 4 MiB, the first ones 1 MiB: the device begins sooner, and so do its answers.
 *
 * A device may tell of many writes together, when it has written all that it had; and then it has
 * nothing to do until the next ones come. So 24 are on their way, and the next one goes when the
 * first answer is there, while the kernel sees to the others. For that a write comes twice: once it
 * is begun, and again, to wait until it is written (SYNC_FILE_RANGE_WAIT_BEFORE). Not the last
 * ones, as much as may be on its way, since nothing is to come behind them: the sync waits for
 * these. Nor those that find the device idle: when a write has been begun, and but one of those
 * before it may be on its way still, preparing takes longer than writing, and some behind it are
 * not waited for. Who sleeps and wakes there takes time from who prepares.
 *
 * Runs below 4 MiB are left to the sync, which writes whatever is dirty in the file: that is a call
 * less, and of a list of pages thousands. */
#include "prefetch/work.h"

#include "base/bits.h"

#include <errno.h>

enum {
    PIECE_BYTES = 4 << 20,
    EARLY_BYTES = 8 << 20,        /* what a flush begins first                               */
    EARLY_PIECE_BYTES = 1 << 20,  /* has such pieces                                         */
    BEGUN_FEWEST_BYTES = 4 << 20, /* of a run                                               */
    WRITES_FEWEST = 4,            /* as many may be on their way, or none is waited for      */
    UNAWAITED_FEWEST = 4,         /* behind one that found the device idle; behind the next, */
    UNAWAITED_MOST = 16           /* twice as many                                           */
};

/* ---- how many, and how long ----------------------------------------------------------------- */

/* How many writes may be on their way; the other threads read meanwhile. 0: nobody may wait. A
 * caller's thread makes the calls, or the one of a broken ring; or there are too few, or the budget
 * is too small for some at a time. */
static size_t most_on_their_way(const roma_prefetch_engine *engine)
{
    const roma_prefetch_options *options = &engine->options;
    const size_t threads = engine->lacks_threads ? engine->threads_count : options->threads;
    const size_t most = roma__min(roma__min(threads, options->sparse_depth) / 4 * 3,
                                  ROMA__WRITES_WAITING);
    const bool fits = options->budget_bytes == 0 ||
                      options->budget_bytes / WRITES_FEWEST >= PIECE_BYTES;
    const bool has_waiters = options->way != ROMA_PREFETCH_PLAIN && !engine->broken;
    return has_waiters && fits && most >= WRITES_FEWEST ? most : 0;
}

static bool is_long(const roma__run *run)
{
    return run->bytes >= BEGUN_FEWEST_BYTES;
}

/* The length of the next write: none is short but what a ban or a budget cuts. They end at
 * multiples of what they may have; so the first and the last one of a run may be longer. */
static uint64_t next_bytes(const roma__job *job, const roma__run *run)
{
    const size_t budget = job->engine->options.budget_bytes;
    const size_t most = job->flush.begun_bytes < EARLY_BYTES ? EARLY_PIECE_BYTES : PIECE_BYTES;
    const uint64_t left = run->offset + run->bytes - job->at;
    uint64_t bytes = roma__work_piece_within(job, run, most);
    if (bytes < most / 2)
        bytes += most;
    if (left < bytes + most / 2)
        bytes = left;
    return budget == 0 ? bytes : roma__min(bytes, budget);
}

/* Is it worth to be told when a write of this length, the next one, is written? */
static bool is_to_be_awaited(const roma__job *job, uint64_t bytes, size_t most)
{
    const uint64_t behind = job->flush.left_bytes - bytes;
    return most > 0 && job->flush.unawaited == 0 && behind >= (uint64_t)most * PIECE_BYTES;
}

void roma__work_plan_flush(roma__job *job)
{
    for (size_t i = 0; i < job->runs_count; i++)
        if (is_long(&job->runs[i]))
            job->flush.left_bytes += job->runs[i].bytes;
}

/* ---- taking --------------------------------------------------------------------------------- */

/* The cursor moves on, over what is begun, or left out, or to the sync. */
static void advance(roma__job *job, uint64_t bytes)
{
    if (is_long(&job->runs[job->run]))
        job->flush.left_bytes -= bytes;
    roma__work_advance(job, bytes);
}

/* The device has enough, and somebody will tell when it has less. */
static bool is_full(const roma__job *job, size_t most)
{
    return job->flush.awaited > 0 && job->flush.on_their_way >= most;
}

static void note_beginning(roma__job *job, const roma__op *write)
{
    struct roma__flush *flush = &job->flush;
    flush->beginning = write;
    flush->begun_bytes += write->bytes;
    flush->awaited += write->waits;
    if (flush->unawaited > 0)
        flush->unawaited--;
    else
        flush->on_their_way++;
}

/* The next write, which nobody has begun; NULL: none may be. */
static roma__op *take_beginning(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    const size_t most = most_on_their_way(engine);
    while (job->run < job->runs_count && job->flush.beginning == NULL) {
        const roma__run *run = &job->runs[job->run];
        uint64_t bytes = next_bytes(job, run);
        if (roma__work_is_banned(job, run, job->at, &bytes)) {
            roma__work_account_cancelled(job, (uint32_t)job->run, job->at, bytes);
            advance(job, bytes);
            continue;
        }
        if (!is_long(run) || !engine->may_write_ranges) {
            job->runs[job->run].begun_bytes += bytes;
            advance(job, bytes);
            continue;
        }
        const bool waits = is_to_be_awaited(job, bytes, most);
        if (is_full(job, most) || (waits && engine->writing >= most) || engine->free_ops == NULL ||
            !roma__work_may_fly(engine, job, false, bytes))
            return NULL;
        roma__op *op = roma__work_new_op(job, ROMA__TASK_WRITE, (uint32_t)job->run, job->at, bytes);
        op->waits = waits;
        roma__work_add_flying(engine, op);
        note_beginning(job, op);
        advance(job, bytes);
        return op;
    }
    return NULL;
}

/* First what gives the device something to do. */
roma__op *roma__work_take_write(roma__job *job)
{
    roma__op *op = take_beginning(job);
    if (op == NULL && job->flush.begun != NULL) {
        op = job->flush.begun;
        job->flush.begun = op->next;
        op->next = NULL;
    }
    if (job->flush.begun != NULL) /* no depth keeps these, so nobody would look for them */
        roma__work_note_due(job);
    return op;
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

/* It is begun, and stays in flight: the next time it waits. */
static void push_begun(roma__job *job, roma__op *op)
{
    op->begun = true;
    op->next = NULL;
    if (job->flush.begun == NULL)
        job->flush.begun = op;
    else
        job->flush.begun_last->next = op;
    job->flush.begun_last = op;
    roma__work_note_due(job);
}

/* Of those before this one, of whatever flush, no more than one is on its way: the device waits for
 * who prepares. */
static void note_pace(roma__job *job)
{
    struct roma__flush *flush = &job->flush;
    if (job->engine->writing > 2) {
        flush->unawaited_next = 0;
        return;
    }
    const size_t twice = 2 * flush->unawaited_next;
    flush->unawaited_next = twice == 0 ? UNAWAITED_FEWEST : roma__min(twice, UNAWAITED_MOST);
    flush->unawaited = flush->unawaited_next;
}

/* Nothing of it is in flight any more. */
static void end_write(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    roma__work_remove_flying(engine, op);
    job->flush.awaited -= op->waits;
    job->flush.on_their_way = job->flush.awaited > 0 ? job->flush.on_their_way - op->waits : 0;
    if (job->cancelled) /* there will be no sync */
        roma__work_account_cancelled(job, op->run, op->offset, op->bytes);
    else
        job->runs[op->run].begun_bytes += op->bytes;
    roma__work_free_op(engine, op);
}

static void finish_beginning(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    const roma__file *file = op->file;
    const int result = op->results[0];
    job->flush.beginning = NULL;
    if (op->waits && !job->cancelled) {
        if (job->flush.begun_bytes > EARLY_BYTES)
            note_pace(job);
        push_begun(job, op);
    } else {
        end_write(engine, op);
    }
    roma__work_finish_begun(engine, file, result);
}

/* When it is done, the sync tells, or who waited for it: he may have been told of an error in its
 * place. */
void roma__work_finish_write(roma_prefetch_engine *engine, roma__op *op)
{
    const roma__file *file = op->file;
    const int result = op->results[0];
    if (!op->begun) {
        finish_beginning(engine, op);
        return;
    }
    end_write(engine, op);
    roma__work_finish_written(engine, file, result);
}
