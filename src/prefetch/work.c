/* work.c - what could be begun now.
 *
 * take() walks the jobs in turn, so that a small one is not kept behind a large one, and cuts the
 * next piece off the first that may go on: within the depth for long or short runs, and within the
 * byte budget (but one piece may always fly, however large). It is short, since the engine's lock
 * is held.
 *
 * The cursor: a job's runs are begun in the order of the file. Long runs that are resident already
 * are passed over in stretches of up to 256 MiB, which one look each tells; a stretch that is not
 * is read chunk by chunk, with a look before each only where the stretch had some pages. */
#include "prefetch/work.h"

#include "base/bits.h"

enum {
    STRETCH_BYTES = 256 << 20,
    WRITE_BYTES = 16 << 20,       /* of a flush at a time */
    MEMORY_PIECE_BYTES = 32 << 20 /* of files in memory   */
};
/* Of a shadow for short runs: 8 MiB of page tables. */
static const uint64_t WINDOW_BYTES = UINT64_C(4) << 30;

/* ---- taking: flushes ------------------------------------------------------------------------ */

static roma__op *take_write(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    while (job->run < job->runs_count) {
        const roma__run *run = &job->runs[job->run];
        const roma__file *file = &job->files[run->file];
        uint64_t bytes = roma__piece_bytes(run, job->at, WRITE_BYTES, WRITE_BYTES);
        if (roma__work_is_banned(job, file, job->at, &bytes)) {
            roma__work_account_cancelled(job, (uint32_t)job->run, job->at, bytes);
            roma__work_advance(job, bytes);
            continue;
        }
        if (engine->free_ops == NULL || !roma__work_may_fly(engine, false, bytes))
            return NULL;
        roma__op *op = roma__work_new_op(job, ROMA__TASK_WRITE, (uint32_t)job->run, job->at, bytes);
        roma__work_add_flying(engine, op);
        roma__work_advance(job, bytes);
        return op;
    }
    return NULL;
}

/* After all is begun, each file is synced once; its runs stand one after the other. */
static roma__op *take_sync(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    while (job->active == job->syncing && job->sync_run < job->runs_count) {
        size_t first = job->sync_run;
        const roma__file *file = &job->files[job->runs[first].file];
        if (roma__work_is_banned_file(job, file)) {
            job->sync_run = roma__work_account_sync(job, first, -ECANCELED);
            continue;
        }
        if (engine->free_ops == NULL || !roma__work_may_fly(engine, false, 0))
            return NULL;
        while (job->sync_run < job->runs_count &&
               roma__file_is_same(&job->files[job->runs[job->sync_run].file], file))
            job->sync_run++;
        roma__op *op = roma__work_new_op(job, ROMA__TASK_SYNC, (uint32_t)first, 0, 0);
        roma__work_add_flying(engine, op);
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
    return roma__work_new_step(job, ROMA__TASK_LOOK, job->at,
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
            roma__work_account_done(job, run->bytes, true);
            roma__work_advance(job, run->bytes);
            continue;
        }
        uint64_t bytes = next_bytes(job, run, file);
        if (roma__work_is_banned(job, file, job->at, &bytes)) {
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
        roma__op *leader = roma__work_find_leader(engine, job, file, job->at, &bytes);
        if (leader == NULL && !roma__work_may_fly(engine, run->dense, bytes))
            return NULL;
        op = roma__work_new_op(job, ROMA__TASK_READ, index, job->at, bytes);
        op->look = is_worth_a_look(job, op);
        if (windowed) {
            op->window = job->window + 1;
            job->windows[job->window].users++;
        }
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

static roma__op *take_from(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    if (job->held)
        return NULL;
    if (!job->planned)
        return engine->free_ops != NULL ? roma__work_new_step(job, ROMA__TASK_PLAN, 0, 0) : NULL;
    roma__op *op = job->is_flush ? take_write(job) : take_read(job);
    if (op == NULL && job->is_flush && job->run == job->runs_count)
        op = take_sync(job);
    if (op != NULL || job->run < job->runs_count || job->active > 0)
        return op;
    if (!has_windows(job)) {
        roma__work_end_job(engine, job);
        return NULL;
    }
    return engine->free_ops != NULL ? roma__work_new_step(job, ROMA__TASK_CLEAN, 0, 0) : NULL;
}

/* The first op that is to be taken again and may fly. */
static roma__op *take_again(roma_prefetch_engine *engine)
{
    while (engine->again != NULL) {
        roma__op *op = engine->again;
        uint64_t bytes = op->bytes;
        bool given_up = op->job->cancelled ||
                        roma__work_is_banned(op->job, op->file, op->offset, &bytes);
        roma__op *leader = given_up ? NULL
                                    : roma__work_find_leader(engine, op->job, op->file, op->offset,
                                                             &bytes);
        if (leader != NULL && bytes < op->bytes)
            leader = NULL; /* only a part of it: read it all */
        if (!given_up && leader == NULL && !roma__work_may_fly(engine, op->dense, op->bytes))
            return NULL;
        engine->again = op->next;
        op->next = NULL;
        if (given_up) {
            roma__work_cancel_op(engine, op);
            continue;
        }
        /* A page whose read failed is in the page cache, too: only who was not read yet looks. */
        op->look = op->tries == 0 && op->file->may_ask && (op->dense || engine->report.cachestat);
        if (leader != NULL) {
            roma__work_follow(op, leader);
            continue;
        }
        op->state = ROMA__OP_RUNS;
        roma__work_add_flying(engine, op);
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
