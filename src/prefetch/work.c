/* work.c - what could be begun now.
 *
 * take() walks the jobs in turn, so that a small one is not kept behind a large one, and cuts the
 * next piece off the first that may go on: within the depth for long or short runs, and within the
 * byte budget. It is short, since the engine's lock is held: with both depths full only those are
 * looked at that are due, which are at their end or have just made a step or a write, and who is to
 * be planned.
 *
 * Short runs that have to be resident, where no ring awaits them: their reads are issued first.
 * Three quarters of the depth later each is looked at, and waited for if it has not come: most
 * have.
 *
 * The cursor: a job's runs are begun in the order of the file. Long runs that are resident already
 * are passed over in stretches of up to 256 MiB, which one look each tells; a stretch that is not
 * is read chunk by chunk, with a look before each only where the stretch had some pages. */
#include "prefetch/work.h"

#include "base/bits.h"

enum {
    STRETCH_BYTES = 256 << 20,
    MEMORY_PIECE_BYTES = 32 << 20, /* of files in memory: so much, or a page,       */
    MEMORY_MOST_BYTES = 1 << 30    /* but no more: the length of a call has 32 bits */
};
/* Of a shadow for short runs: 8 MiB of page tables. */
static const uint64_t WINDOW_BYTES = UINT64_C(4) << 30;

uint64_t roma__work_piece_within(const roma__job *job, const roma__run *run, size_t most)
{
    size_t budget = job->engine->options.budget_bytes;
    most = budget != 0 ? roma__min(most, budget) : most;
    return roma__piece_bytes(run, job->at, most, roma__is_power_of_two(most) ? most : 1);
}

/* ---- taking: reads -------------------------------------------------------------------------- */

/* How long a piece at the cursor may be. */
static uint64_t next_bytes(const roma__job *job, const roma__run *run, const roma__file *file)
{
    size_t huge_bytes = roma__file_huge_bytes();
    if (run->dense)
        return roma__piece_bytes(run, job->at, job->chunk_bytes,
                                 huge_bytes != 0 ? huge_bytes : ROMA__CHUNK_FIRST_BYTES);
    if (file->kind == ROMA__FILE_DISK || file->kind == ROMA__FILE_DEVICE)
        return roma__work_piece_within(job, run, job->reach_bytes);
    return roma__work_piece_within(
        job, run, roma__min(roma__max(MEMORY_PIECE_BYTES, file->page_bytes), MEMORY_MOST_BYTES));
}

/* A look at a stretch of a long run, where nobody has looked yet; NULL: none is due. */
static roma__op *take_look(roma__job *job, const roma__run *run, const roma__file *file)
{
    if (!run->dense || !roma__work_may_look(file) || job->at < job->looked_to)
        return NULL;
    return roma__work_new_step(job, ROMA__TASK_LOOK, job->at,
                               roma__piece_bytes(run, job->at, STRETCH_BYTES, STRETCH_BYTES));
}

/* Before each piece only what costs less than the call that it may save. A short run is looked at
 * in its window, or by cachestat(). */
static bool is_worth_a_look(const roma__job *job, const roma__op *op)
{
    if (!roma__work_may_look(op->file))
        return false;
    if (op->dense)
        return !job->looked_empty;
    return op->window != 0 || roma__work_has_cachestat(job, op->file);
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
    const uint64_t most = WINDOW_BYTES;
    uint64_t end = run->offset + run->bytes;
    for (size_t i = job->run + 1; i < job->runs_count; i++) {
        const roma__run *later = &job->runs[i];
        if (!roma__file_is_same(&job->files[later->file], &job->files[run->file]) ||
            later->offset + later->bytes - job->at > most)
            break;
        end = later->dense ? end : later->offset + later->bytes;
    }
    return roma__work_new_step(job, ROMA__TASK_WINDOW, job->at, end - job->at);
}

/* hugetlbfs and ramfs below MAPPED: pages never leave, holes are not filled. */
static bool has_nothing_to_do(const roma__job *job, const roma__file *file)
{
    return roma__file_stays(file) && job->level != ROMA_PREFETCH_MAPPED;
}

static roma__op *take_read(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    while (job->run < job->runs_count) {
        const roma__run *run = &job->runs[job->run];
        const roma__file *file = &job->files[run->file];
        uint32_t index = (uint32_t)job->run;
        if (has_nothing_to_do(job, file)) {
            roma__work_account_done(job, run->bytes, true);
            roma__work_advance(job, run->bytes);
            continue;
        }
        uint64_t bytes = next_bytes(job, run, file);
        if (roma__work_is_banned(job, run, job->at, &bytes)) {
            roma__work_account_cancelled(job, index, job->at, bytes);
            roma__work_advance(job, bytes);
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
        /* A follower needs no depth; but there are thousands of short runs, and searching costs. */
        if (!run->dense && !roma__work_has_depth(engine, false))
            return NULL;
        roma__op *leader = roma__work_find_leader(engine, job, file, job->at, &bytes);
        if (leader != NULL ? engine->followers == ROMA__FOLLOWERS
                           : !roma__work_may_fly(engine, job, run->dense, bytes))
            return NULL;
        op = roma__work_new_op(job, ROMA__TASK_READ, index, job->at, bytes);
        if (windowed) {
            op->window = job->window + 1;
            job->windows[job->window].users++;
        }
        op->look = is_worth_a_look(job, op);
        roma__work_advance(job, bytes);
        if (leader == NULL) {
            roma__work_add_flying(engine, op);
            return op;
        }
        roma__work_follow(op, leader);
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

/* Of a flush: a sync that may not begin yet, for want of depth, or because another job is waited
 * for, while none is in flight. */
static bool is_sync_left(const roma__job *job)
{
    return job->is_flush && job->sync_run < job->runs_count;
}

static roma__op *take_from(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    if (job->held)
        return NULL;
    if (!job->planned)
        return engine->free_ops != NULL ? roma__work_new_step(job, ROMA__TASK_PLAN, 0, 0) : NULL;
    roma__op *op = job->is_flush ? roma__work_take_write(job) : take_read(job);
    if (op == NULL && job->is_flush && job->run == job->runs_count)
        op = roma__work_take_sync(job);
    if (op != NULL || job->run < job->runs_count || job->active > 0 || is_sync_left(job))
        return op;
    if (!has_windows(job)) {
        roma__work_end_job(engine, job);
        return NULL;
    }
    return engine->free_ops != NULL ? roma__work_new_step(job, ROMA__TASK_CLEAN, 0, 0) : NULL;
}

/* Leave what lies in a ban: a sync goes over to another descriptor; of a piece a part is cancelled,
 * and what is behind it goes on by itself, or goes with it where no op is free for that. False:
 * nothing of the op is to be done any more. */
static bool leave_bans(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    if (job->cancelled)
        return false;
    if (op->task == ROMA__TASK_SYNC) {
        const roma__file *through = roma__work_sync_through(job, op->file);
        op->file = through != NULL ? through : op->file;
        return through != NULL;
    }
    uint64_t bytes = op->bytes;
    bool is_banned = roma__work_is_banned(job, &job->runs[op->run], op->offset, &bytes);
    if (bytes < op->bytes && !roma__work_split(engine, op, bytes) && !is_banned) {
        roma__work_account_cancelled(job, op->run, op->offset + bytes, op->bytes - bytes);
        op->bytes = bytes;
    }
    return !is_banned;
}

/* The op in flight that reads all of this one; NULL: none, or it has enough that follow. */
static roma__op *leader_of(roma_prefetch_engine *engine, const roma__op *op)
{
    uint64_t bytes = op->bytes;
    if (op->task != ROMA__TASK_READ || engine->followers == ROMA__FOLLOWERS)
        return NULL;
    roma__op *leader = roma__work_find_leader(engine, op->job, op->file, op->offset, &bytes);
    return bytes == op->bytes ? leader : NULL;
}

/* The first op that is to be taken again and may fly. Those that may not go to the end of the list:
 * behind them there may be one that may, or is given up. They wait for nothing but ops in
 * flight. */
static roma__op *take_again(roma_prefetch_engine *engine)
{
    const roma__op *stays = NULL;
    for (roma__op *op = engine->again; op != NULL && op != stays; op = engine->again) {
        engine->again = op->next;
        op->next = NULL;
        if (!leave_bans(engine, op)) {
            roma__work_cancel_op(engine, op);
            continue;
        }
        /* A page whose read failed is in the page cache, too: only who was not read yet looks. */
        op->look = op->task == ROMA__TASK_READ && op->tries == 0 &&
                   (op->dense ? roma__work_may_look(op->file) : is_worth_a_look(op->job, op));
        roma__op *leader = leader_of(engine, op);
        if (leader != NULL) {
            roma__work_follow(op, leader);
            continue;
        }
        if (!roma__work_may_fly(engine, op->job, op->dense, op->bytes)) {
            stays = stays != NULL ? stays : op;
            roma__work_put_back(engine, op);
            continue;
        }
        op->state = ROMA__OP_RUNS;
        roma__work_add_flying(engine, op);
        return op;
    }
    return NULL;
}

static roma__op *take_due(roma_prefetch_engine *engine)
{
    roma__op *op = NULL;
    while (op == NULL && engine->due != NULL) {
        roma__job *job = engine->due;
        engine->due = job->next_due;
        job->is_due = false;
        op = take_from(job);
    }
    return op;
}

/* The short run that was issued first, to be seen whether it has come. */
static roma__op *take_issued(roma_prefetch_engine *engine)
{
    roma__op *op = roma__work_pop_issued(engine);
    op->look = roma__work_may_look(op->file);
    return op;
}

static roma__op *take_in_turn(roma_prefetch_engine *engine)
{
    roma__job *job = engine->turn != NULL ? engine->turn : engine->first;
    for (size_t left = engine->live_count; left > 0 && job != NULL; left--) {
        roma__job *next = job->next;
        roma__op *op = take_from(job);
        if (op != NULL) {
            engine->turn = op->job->next;
            return op;
        }
        job = next != NULL ? next : engine->first;
    }
    return NULL;
}

/* Has the one that was issued first had time to come? It was awaited, or others were issued behind
 * it, or have been taken since: it is not kept behind those for long. */
static bool is_issued_due(const roma_prefetch_engine *engine)
{
    if (engine->issued_count == 0)
        return false;
    const unsigned depth = engine->options.sparse_depth;
    return engine->issued_count > depth / 4 * 3 ||
           engine->taken - engine->issued->issued_at >= depth;
}

static roma__op *take_new(roma_prefetch_engine *engine)
{
    roma__op *op = take_again(engine);
    if (op == NULL)
        op = take_due(engine);
    if (op == NULL && (engine->unplanned_count > 0 || roma__work_has_depth(engine, true) ||
                       roma__work_has_depth(engine, false)))
        op = take_in_turn(engine);
    engine->taken += op != NULL;
    return op;
}

roma__op *roma__work_take(roma_prefetch_engine *engine)
{
    if (is_issued_due(engine))
        return take_issued(engine);
    roma__op *op = take_new(engine);
    /* Nothing more will be issued for a while: none of these gets younger. */
    if (op == NULL && engine->issued_count > 0 && engine->advising == 0)
        op = take_issued(engine);
    return op;
}
