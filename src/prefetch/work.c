/* work.c - what could be begun now, and what came of it: the engine's bookkeeping.
 *
 * take() walks the jobs in turn, so that a small one is not kept behind a large one, and cuts the
 * next piece off the first that may go on: within the depth for long or short runs, and within the
 * byte budget (but one piece may always fly, however large). finish() accounts for an op that came
 * back. Both are short, since they hold the engine's lock.
 *
 * One read for all: a piece is cut where an op of another job that is in flight begins or ends. The
 * part that both want follows that op: when it comes back well the follower is done, too (joined);
 * if not, or if the follower wants more than the op did (to be mapped), it is read by itself. A
 * follower takes no depth, and waits for nothing but ops in flight, so that chains cannot form.
 *
 * The cursor: a job's runs are begun in the order of the file. Long runs that are resident already
 * are passed over in stretches of up to 256 MiB, which one look each tells; a stretch that is not
 * is read chunk by chunk, with a look before each only where the stretch had some pages. */
#include "prefetch/engine.h"

#include "base/bits.h"
#include "base/check.h"

#include <errno.h>

enum {
    STRETCH_BYTES = 256 << 20,
    WINDOW_BYTES = 1 << 30, /* times 4: of a shadow for short runs, 8 MiB of page tables      */
    WRITE_BYTES = 16 << 20, /* of a flush at a time                                           */
    MEMORY_PIECE_BYTES =
        32 << 20 /* of files in memory                                            */
};

/* ---- ops ------------------------------------------------------------------------------------ */

static void add_flying(roma_prefetch_engine *engine, roma__op *op)
{
    if (op->dense)
        engine->dense_flying++;
    else
        engine->sparse_flying++;
    engine->flying_bytes += op->bytes;
    if (engine->flying_bytes > engine->figures.peak)
        engine->figures.peak = engine->flying_bytes;
}

static void remove_flying(roma_prefetch_engine *engine, const roma__op *op)
{
    if (op->dense)
        engine->dense_flying--;
    else
        engine->sparse_flying--;
    engine->flying_bytes -= op->bytes;
}

static bool is_piece(const roma__op *op)
{
    return op->task == ROMA__TASK_READ || op->task == ROMA__TASK_WRITE ||
           op->task == ROMA__TASK_SYNC;
}

static bool may_fly(const roma_prefetch_engine *engine, bool dense, uint64_t bytes)
{
    const roma_prefetch_options *options = &engine->options;
    if (dense ? engine->dense_flying >= options->dense_depth
              : engine->sparse_flying >= options->sparse_depth)
        return false;
    return options->budget_bytes == 0 || engine->flying_bytes == 0 ||
           engine->flying_bytes + bytes <= options->budget_bytes;
}

static roma__op *new_op(roma__job *job, roma__task task, uint32_t run, uint64_t offset,
                        uint64_t bytes)
{
    roma_prefetch_engine *engine = job->engine;
    roma__op *op = engine->free_ops;
    engine->free_ops = op->next;
    *op = (roma__op){
        .state = ROMA__OP_RUNS,
        .task = task,
        .job = job,
        .run = run,
        .offset = offset,
        .bytes = bytes,
    };
    if (task != ROMA__TASK_PLAN && task != ROMA__TASK_CLEAN) {
        op->file = &job->files[job->runs[run].file];
        op->dense = job->runs[run].dense;
    }
    job->active++;
    return op;
}

/* One that its job waits for: nobody else takes from the job meanwhile. */
static roma__op *new_step(roma__job *job, roma__task task, uint64_t offset, uint64_t bytes)
{
    job->held = true;
    return new_op(job, task, (uint32_t)job->run, offset, bytes);
}

static void free_op(roma_prefetch_engine *engine, roma__op *op)
{
    op->job->active--;
    op->state = ROMA__OP_FREE;
    op->next = engine->free_ops;
    engine->free_ops = op;
    (void)pthread_cond_broadcast(&engine->changed);
}

static void push_again(roma_prefetch_engine *engine, roma__op *op)
{
    op->state = ROMA__OP_AGAIN;
    op->next = NULL;
    if (engine->again == NULL)
        engine->again = op;
    else
        engine->again_last->next = op;
    engine->again_last = op;
}

/* ---- accounts ------------------------------------------------------------------------------- */

/* The ranges that a part of a run stands for get a code, those that have none yet. */
static void mark(roma__job *job, const roma__run *run, uint64_t offset, uint64_t bytes, int code)
{
    for (uint32_t i = 0; i < run->count; i++) {
        roma__asked *asked = &job->asked[job->order[run->first + i]];
        if (asked->code != 0 || asked->bytes == 0 || asked->offset >= offset + bytes ||
            asked->offset + asked->bytes <= offset)
            continue;
        asked->code = code;
        job->failed_ranges++;
    }
    if (job->code == 0)
        job->code = code;
}

static void account_done(roma__job *job, uint64_t bytes, bool resident)
{
    job->done_bytes += bytes;
    if (!resident) {
        job->engine->figures.read += bytes;
        return;
    }
    job->resident_bytes += bytes;
    job->engine->figures.resident += bytes;
}

static void account_failed(roma__job *job, uint32_t run, uint64_t offset, uint64_t bytes, int code)
{
    job->failed_bytes += bytes;
    job->engine->figures.failed += bytes;
    mark(job, &job->runs[run], offset, bytes, code);
}

static void account_cancelled(roma__job *job, uint32_t run, uint64_t offset, uint64_t bytes)
{
    job->cancelled_bytes += bytes;
    job->engine->figures.cancelled += bytes;
    mark(job, &job->runs[run], offset, bytes, -ECANCELED);
}

/* What nobody came to plan: lengths as asked, in whole pages. */
static void give_up_unplanned(roma__job *job)
{
    for (size_t i = 0; i < job->n; i++) {
        uint64_t start, end;
        roma__asked *asked = &job->asked[i];
        job->failed_ranges += asked->code != 0;
        if (asked->code != 0 || !roma__asked_pages(&job->files[asked->file], asked, &start, &end))
            continue;
        job->total_bytes += end - start;
        job->cancelled_bytes += end - start;
        job->engine->figures.cancelled += end - start;
        asked->code = -ECANCELED;
        job->failed_ranges++;
    }
    if (job->code == 0)
        job->code = -ECANCELED;
    job->planned = true;
}

void roma__job_give_up(roma__job *job)
{
    job->cancelled = true;
    if (job->held || atomic_load_explicit(&job->done, memory_order_relaxed))
        return; /* who has it will look */
    if (!job->planned) {
        give_up_unplanned(job);
        return;
    }
    for (; job->run < job->runs_count; job->run++) {
        const roma__run *run = &job->runs[job->run];
        uint64_t at = job->at > run->offset ? job->at : run->offset;
        if (at < run->offset + run->bytes)
            account_cancelled(job, (uint32_t)job->run, at, run->offset + run->bytes - at);
        job->at = 0;
    }
    /* What was begun of a flush is not synced: none of it is sure to be durable. */
    if (job->is_flush && job->sync_run < job->runs_count) {
        for (; job->sync_run < job->runs_count; job->sync_run++) {
            const roma__run *run = &job->runs[job->sync_run];
            mark(job, run, run->offset, run->bytes, -ECANCELED);
        }
    }
}

/* ---- the end of a job ----------------------------------------------------------------------- */

static void unlink_job(roma_prefetch_engine *engine, roma__job *job)
{
    if (job->previous != NULL)
        job->previous->next = job->next;
    else
        engine->first = job->next;
    if (job->next != NULL)
        job->next->previous = job->previous;
    else
        engine->last = job->previous;
    if (engine->turn == job)
        engine->turn = job->next;
    job->next = job->previous = NULL;
    engine->live_count--;
}

static void end_job(roma_prefetch_engine *engine, roma__job *job)
{
    roma_check(job->done_bytes + job->failed_bytes + job->cancelled_bytes == job->total_bytes);
    unlink_job(engine, job);
    /* Release: who sees it without the lock sees the accounts. */
    atomic_store_explicit(&job->done, 1, memory_order_release);
    job->settling = true;
    job->next_settling = NULL;
    if (engine->settling == NULL)
        engine->settling = job;
    else
        engine->settling_last->next_settling = job;
    engine->settling_last = job;
    (void)pthread_cond_broadcast(&job->ended);
    (void)pthread_cond_broadcast(&engine->changed);
}

/* ---- bans and overlaps ---------------------------------------------------------------------- */

/* Cut `*bytes` where a ban begins or ends; true when what is left lies in one. */
static bool is_banned(const roma__job *job, const roma__file *file, uint64_t at, uint64_t *bytes)
{
    for (unsigned i = 0; i < job->bans_count; i++) {
        const roma__ban *ban = &job->bans[i];
        if (ban->device != file->device || ban->inode != file->inode || ban->end <= at ||
            ban->offset >= at + *bytes)
            continue;
        if (ban->offset > at) {
            *bytes = ban->offset - at;
            continue;
        }
        if (ban->end < at + *bytes)
            *bytes = ban->end - at;
        return true;
    }
    return false;
}

static bool is_banned_file(const roma__job *job, const roma__file *file)
{
    for (unsigned i = 0; i < job->bans_count; i++)
        if (job->bans[i].device == file->device && job->bans[i].inode == file->inode)
            return true;
    return false;
}

bool roma__job_has_file(const roma__job *job, const roma__file *file)
{
    for (size_t i = 0; i < job->files_count; i++)
        if (roma__file_is_same(&job->files[i], file))
            return true;
    return false;
}

bool roma__op_is_in(const roma__op *op, const roma__file *file, uint64_t offset, uint64_t end)
{
    if (op->state != ROMA__OP_RUNS)
        return false;
    if (op->file == NULL)
        return roma__job_has_file(op->job, file);
    if (!roma__file_is_same(op->file, file))
        return false;
    return op->task == ROMA__TASK_SYNC || op->task == ROMA__TASK_WINDOW ||
           (op->offset < end && op->offset + op->bytes > offset);
}

/* The op in flight that reads what a piece of this job begins with. `*bytes` is cut where such an
 * op begins or ends. */
static roma__op *find_leader(roma_prefetch_engine *engine, const roma__job *job,
                             const roma__file *file, uint64_t at, uint64_t *bytes)
{
    roma__op *leader = NULL;
    for (size_t i = 0; i < engine->ops_count; i++) {
        roma__op *op = &engine->ops[i];
        if (op->state != ROMA__OP_RUNS || op->task != ROMA__TASK_READ || op->job == job ||
            op->offset >= at + *bytes || op->offset + op->bytes <= at ||
            !roma__file_is_same(op->file, file))
            continue;
        if (op->offset > at) {
            *bytes = op->offset - at;
            continue;
        }
        if (op->offset + op->bytes < at + *bytes)
            *bytes = op->offset + op->bytes - at;
        leader = op;
    }
    return leader;
}

static void follow(roma__op *op, roma__op *leader)
{
    op->state = ROMA__OP_FOLLOWS;
    op->next = leader->followers;
    leader->followers = op;
}

/* Whether what the leader did is what the follower wants. */
static bool is_enough(const roma__op *leader, const roma__op *follower)
{
    switch (follower->job->level) {
    case ROMA_PREFETCH_ISSUED: return true;
    case ROMA_PREFETCH_RESIDENT: return leader->dense || leader->job->level != ROMA_PREFETCH_ISSUED;
    case ROMA_PREFETCH_MAPPED: return false;
    }
    return false;
}

/* ---- taking: flushes ------------------------------------------------------------------------ */

static void advance(roma__job *job, uint64_t bytes)
{
    const roma__run *run = &job->runs[job->run];
    job->at += bytes;
    if (job->at < run->offset + run->bytes)
        return;
    job->run++;
    if (job->run < job->runs_count) {
        job->at = job->runs[job->run].offset;
        job->looked_to = 0;
        job->chunk_bytes = ROMA__CHUNK_FIRST_BYTES;
    }
}

static roma__op *take_write(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    while (job->run < job->runs_count) {
        const roma__run *run = &job->runs[job->run];
        const roma__file *file = &job->files[run->file];
        uint64_t bytes = roma__piece_bytes(run, job->at, WRITE_BYTES, WRITE_BYTES);
        if (is_banned(job, file, job->at, &bytes)) {
            account_cancelled(job, (uint32_t)job->run, job->at, bytes);
            advance(job, bytes);
            continue;
        }
        if (engine->free_ops == NULL || !may_fly(engine, false, bytes))
            return NULL;
        roma__op *op = new_op(job, ROMA__TASK_WRITE, (uint32_t)job->run, job->at, bytes);
        add_flying(engine, op);
        advance(job, bytes);
        return op;
    }
    return NULL;
}

/* After all is begun, each file is synced once; its runs stand one after the other. */
static roma__op *take_sync(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    while (job->active == job->syncing && job->sync_run < job->runs_count) {
        uint32_t first = (uint32_t)job->sync_run;
        const roma__run *run = &job->runs[first];
        const roma__file *file = &job->files[run->file];
        bool banned = is_banned_file(job, file);
        if (!banned && (engine->free_ops == NULL || !may_fly(engine, false, 0)))
            return NULL;
        while (job->sync_run < job->runs_count &&
               roma__file_is_same(&job->files[job->runs[job->sync_run].file], file)) {
            run = &job->runs[job->sync_run++];
            if (banned)
                mark(job, run, run->offset, run->bytes, -ECANCELED);
        }
        if (banned)
            continue;
        roma__op *op = new_op(job, ROMA__TASK_SYNC, first, 0, 0);
        add_flying(engine, op);
        job->syncing++;
        return op;
    }
    return NULL;
}

/* ---- taking: reads -------------------------------------------------------------------------- */

/* How long a piece at the cursor may be. */
static uint64_t next_bytes(const roma__job *job, const roma__run *run, const roma__file *file)
{
    size_t huge_bytes = roma__file_huge_bytes();
    if (run->dense)
        return roma__piece_bytes(run, job->at, job->chunk_bytes,
                                 huge_bytes != 0 ? huge_bytes : ROMA__CHUNK_FIRST_BYTES);
    size_t most = file->kind == ROMA__FILE_DISK || file->kind == ROMA__FILE_DEVICE
                      ? job->reach_bytes
                      : roma__max(MEMORY_PIECE_BYTES, file->page_bytes);
    return roma__piece_bytes(run, job->at, most, most);
}

/* A look at a stretch of a long run, where nobody has looked yet; NULL: none is due. */
static roma__op *take_look(roma__job *job, const roma__run *run, const roma__file *file)
{
    if (!run->dense || !file->may_ask || job->at < job->looked_to)
        return NULL;
    return new_step(job, ROMA__TASK_LOOK, job->at,
                    roma__piece_bytes(run, job->at, STRETCH_BYTES, STRETCH_BYTES));
}

/* Before each piece only what costs less than the call that it may save. */
static bool is_worth_a_look(const roma__job *job, const roma__op *op)
{
    if (!op->file->may_ask)
        return false;
    return op->dense ? !job->looked_empty : job->engine->report.cachestat;
}

static bool needs_window(const roma__job *job, const roma__run *run, const roma__file *file)
{
    return !run->dense && job->level == ROMA_PREFETCH_RESIDENT &&
           (file->kind == ROMA__FILE_DISK || file->kind == ROMA__FILE_DEVICE);
}

static bool window_has(const roma__job *job, const roma__run *run, uint64_t at, uint64_t bytes)
{
    const struct roma__window *window = &job->windows[job->window];
    return window->shadow.address != NULL && window->offset <= at && at + bytes <= window->end &&
           roma__file_is_same(&job->files[window->file], &job->files[run->file]);
}

/* Map the next window, from the cursor on as far as this file's short runs go; its end is told by
 * `bytes`. NULL when the other one is in use still. */
static roma__op *take_window(roma__job *job, const roma__run *run)
{
    unsigned other = (job->window + 1) % ROMA__WINDOWS;
    if (job->windows[other].users > 0)
        return NULL;
    const uint64_t most = (uint64_t)WINDOW_BYTES * 4;
    uint64_t end = run->offset + run->bytes;
    for (size_t i = job->run + 1; i < job->runs_count; i++) {
        const roma__run *later = &job->runs[i];
        if (!roma__file_is_same(&job->files[later->file], &job->files[run->file]) ||
            later->offset + later->bytes - job->at > most)
            break;
        end = later->dense ? end : later->offset + later->bytes;
    }
    return new_step(job, ROMA__TASK_WINDOW, job->at, end - job->at);
}

/* hugetlbfs below MAPPED: pages never leave, holes are not filled. */
static bool has_nothing_to_do(const roma__job *job, const roma__file *file)
{
    return file->kind == ROMA__FILE_HUGETLB && job->level != ROMA_PREFETCH_MAPPED;
}

static roma__op *take_read(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    while (job->run < job->runs_count) {
        const roma__run *run = &job->runs[job->run];
        const roma__file *file = &job->files[run->file];
        uint32_t index = (uint32_t)job->run;
        if (has_nothing_to_do(job, file)) {
            account_done(job, run->bytes, true);
            advance(job, run->bytes);
            continue;
        }
        uint64_t bytes = next_bytes(job, run, file);
        if (is_banned(job, file, job->at, &bytes)) {
            account_cancelled(job, index, job->at, bytes);
            advance(job, bytes);
            continue;
        }
        if (engine->free_ops == NULL)
            return NULL;
        roma__op *op = take_look(job, run, file);
        if (op != NULL)
            return op;
        bool windowed = needs_window(job, run, file);
        if (windowed && !window_has(job, run, job->at, bytes))
            return take_window(job, run);
        roma__op *leader = find_leader(engine, job, file, job->at, &bytes);
        if (leader == NULL && !may_fly(engine, run->dense, bytes))
            return NULL;
        op = new_op(job, ROMA__TASK_READ, index, job->at, bytes);
        op->look = is_worth_a_look(job, op);
        if (windowed) {
            op->window = job->window + 1;
            job->windows[job->window].users++;
        }
        advance(job, bytes);
        if (leader == NULL) {
            add_flying(engine, op);
            return op;
        }
        follow(op, leader);
    }
    return NULL;
}

/* ---- taking --------------------------------------------------------------------------------- */

static bool has_windows(const roma__job *job)
{
    for (unsigned i = 0; i < ROMA__WINDOWS; i++)
        if (job->windows[i].shadow.address != NULL)
            return true;
    return false;
}

static roma__op *take_from(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    if (job->held)
        return NULL;
    if (!job->planned)
        return engine->free_ops != NULL ? new_step(job, ROMA__TASK_PLAN, 0, 0) : NULL;
    roma__op *op = job->is_flush ? take_write(job) : take_read(job);
    if (op == NULL && job->is_flush && job->run == job->runs_count)
        op = take_sync(job);
    if (op != NULL || job->run < job->runs_count || job->active > 0)
        return op;
    if (!has_windows(job)) {
        end_job(engine, job);
        return NULL;
    }
    return engine->free_ops != NULL ? new_step(job, ROMA__TASK_CLEAN, 0, 0) : NULL;
}

static void cancel_op(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    account_cancelled(job, op->run, op->offset, op->bytes);
    if (op->window != 0)
        job->windows[op->window - 1].users--;
    free_op(engine, op);
}

/* The first op that is to be taken again and may fly. */
static roma__op *take_again(roma_prefetch_engine *engine)
{
    while (engine->again != NULL) {
        roma__op *op = engine->again;
        uint64_t bytes = op->bytes;
        bool given_up = op->job->cancelled || is_banned(op->job, op->file, op->offset, &bytes);
        roma__op *leader = given_up ? NULL
                                    : find_leader(engine, op->job, op->file, op->offset, &bytes);
        if (leader != NULL && bytes < op->bytes)
            leader = NULL; /* only a part of it: read it all */
        if (!given_up && leader == NULL && !may_fly(engine, op->dense, op->bytes))
            return NULL;
        engine->again = op->next;
        op->next = NULL;
        if (given_up) {
            cancel_op(engine, op);
            continue;
        }
        /* A page whose read failed is in the page cache, too: only who was not read yet looks. */
        op->look = op->tries == 0 && op->file->may_ask && (op->dense || engine->report.cachestat);
        if (leader != NULL) {
            follow(op, leader);
            continue;
        }
        op->state = ROMA__OP_RUNS;
        add_flying(engine, op);
        return op;
    }
    return NULL;
}

roma__op *roma__work_take(roma_prefetch_engine *engine)
{
    roma__op *op = take_again(engine);
    if (op != NULL)
        return op;
    roma__job *job = engine->turn != NULL ? engine->turn : engine->first;
    for (size_t left = engine->live_count; left > 0 && job != NULL; left--) {
        roma__job *next = job->next;
        op = take_from(job);
        if (op != NULL) {
            engine->turn = op->job->next;
            return op;
        }
        job = next != NULL ? next : engine->first;
    }
    return NULL;
}

/* ---- finishing ------------------------------------------------------------------------------ */

static void release_window(roma__op *op)
{
    if (op->window != 0)
        op->job->windows[op->window - 1].users--;
    op->window = 0;
}

/* A follower of an op that came back: with it done, or on its own. */
static void settle_follower(roma_prefetch_engine *engine, const roma__op *leader, roma__op *op)
{
    roma__job *job = op->job;
    if (job->cancelled) {
        cancel_op(engine, op);
        return;
    }
    if (leader->code != 0 || leader->come_again || !is_enough(leader, op)) {
        push_again(engine, op);
        return;
    }
    job->done_bytes += op->bytes;
    job->joined_bytes += op->bytes;
    engine->figures.joined += op->bytes;
    release_window(op);
    free_op(engine, op);
}

static void settle_followers(roma_prefetch_engine *engine, roma__op *op)
{
    roma__op *follower = op->followers;
    op->followers = NULL;
    while (follower != NULL) {
        roma__op *next = follower->next;
        settle_follower(engine, op, follower);
        follower = next;
    }
}

static void finish_read(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    remove_flying(engine, op);
    settle_followers(engine, op);
    if (op->code == 0 && !op->come_again) {
        account_done(job, op->bytes, op->was_resident);
        if (op->dense)
            job->chunk_bytes = op->was_resident ? engine->options.chunk_bytes
                                                : roma__chunk_next((size_t)op->bytes,
                                                                   roma__now_ns() - op->begun_ns,
                                                                   engine->options.chunk_bytes);
        release_window(op);
        free_op(engine, op);
        return;
    }
    if (op->code != 0) {
        uint64_t bad_bytes = op->bytes - op->good_bytes;
        account_failed(job, op->run, op->offset + op->good_bytes, bad_bytes, op->code);
        op->bytes = op->good_bytes;
    }
    if (op->bytes > 0) {
        op->tries++;
        push_again(engine, op);
        return;
    }
    release_window(op);
    free_op(engine, op);
}

/* All that was begun of a file may be lost, whatever the range. */
static void fail_sync(roma__job *job, uint32_t first, int code)
{
    const roma__file *file = &job->files[job->runs[first].file];
    for (size_t i = first; i < job->runs_count; i++) {
        const roma__run *run = &job->runs[i];
        if (!roma__file_is_same(&job->files[run->file], file))
            break;
        job->done_bytes -= run->bytes;
        account_failed(job, (uint32_t)i, run->offset, run->bytes, code);
    }
}

static void finish_write(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    remove_flying(engine, op);
    if (op->task == ROMA__TASK_WRITE) /* a beginning; whether it went well the sync tells */
        account_done(job, op->bytes, false);
    else {
        job->syncing--;
        if (op->code != 0)
            fail_sync(job, op->run, op->code);
    }
    free_op(engine, op);
}

static void finish_look(roma__op *op)
{
    roma__job *job = op->job;
    if (op->code != 0) { /* nobody tells: read it */
        job->files[job->runs[op->run].file].may_ask = false;
        return;
    }
    if (op->was_resident && job->level != ROMA_PREFETCH_MAPPED) {
        account_done(job, op->bytes, true);
        advance(job, op->bytes);
        return;
    }
    job->looked_to = op->offset + op->bytes;
    job->looked_empty = op->good_bytes == 0;
}

static void finish_plan(roma__op *op)
{
    roma__job *job = op->job;
    job->planned = true;
    for (size_t i = 0; i < job->runs_count; i++)
        job->total_bytes += job->runs[i].bytes;
    for (size_t i = 0; i < job->n; i++) {
        if (job->asked[i].code == 0)
            continue;
        job->failed_ranges++;
        if (job->code == 0)
            job->code = job->asked[i].code;
    }
    job->run = 0;
    job->at = job->runs_count > 0 ? job->runs[0].offset : 0;
    job->chunk_bytes = roma__min(ROMA__CHUNK_FIRST_BYTES, job->engine->options.chunk_bytes);
}

/* Without its window a short run cannot be proved to be resident: it failed. */
static void finish_window(roma__op *op)
{
    roma__job *job = op->job;
    if (op->code == 0) {
        job->window = op->window - 1;
        op->window = 0;
        return;
    }
    const roma__run *run = &job->runs[job->run];
    uint64_t bytes = run->offset + run->bytes - job->at;
    account_failed(job, (uint32_t)job->run, job->at, bytes, op->code);
    advance(job, bytes);
}

static void finish_step(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    job->held = false;
    switch (op->task) {
    case ROMA__TASK_PLAN: finish_plan(op); break;
    case ROMA__TASK_LOOK: finish_look(op); break;
    case ROMA__TASK_WINDOW: finish_window(op); break;
    default: break;
    }
    free_op(engine, op);
    if (job->cancelled)
        roma__job_give_up(job);
}

void roma__work_finish(roma_prefetch_engine *engine, roma__op *op)
{
    roma_check(op->state == ROMA__OP_RUNS);
    op->job->calls += op->calls_count;
    engine->figures.calls += op->calls_count;
    if (op->task == ROMA__TASK_READ)
        finish_read(engine, op);
    else if (is_piece(op))
        finish_write(engine, op);
    else
        finish_step(engine, op);
}

/* ---- proof ---------------------------------------------------------------------------------- */

static bool job_is_valid(const roma__job *job)
{
    if (!job->planned) /* its runs are the planner's, who has no lock */
        return job->references > 0;
    const uint64_t sum = job->done_bytes + job->failed_bytes + job->cancelled_bytes;
    return job->references > 0 && job->run <= job->runs_count && job->sync_run <= job->runs_count &&
           sum <= job->total_bytes && job->resident_bytes + job->joined_bytes <= job->done_bytes &&
           job->failed_ranges <= job->n;
}

bool roma__engine_is_valid(const roma_prefetch_engine *engine)
{
    unsigned dense = 0, sparse = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < engine->ops_count; i++) {
        const roma__op *op = &engine->ops[i];
        if (op->state != ROMA__OP_RUNS || !is_piece(op))
            continue;
        dense += op->dense;
        sparse += !op->dense;
        bytes += op->bytes;
    }
    size_t live = 0;
    for (const roma__job *job = engine->first; job != NULL; job = job->next, live++)
        if (!job_is_valid(job))
            return false;
    return dense == engine->dense_flying && sparse == engine->sparse_flying &&
           bytes == engine->flying_bytes && live == engine->live_count &&
           dense <= engine->options.dense_depth && sparse <= engine->options.sparse_depth;
}
