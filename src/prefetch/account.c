/* account.c - what of a job is done, failed, cancelled, and its end.
 *
 * Every byte of a planned job goes into one of three sums, once; when they come to its total, it is
 * done. Codes are kept for each range that was asked for, by the runs that stand for it. */
#include "prefetch/work.h"

#include "base/check.h"

#include <errno.h>

void roma__work_mark(roma__job *job, const roma__run *run, uint64_t offset, uint64_t bytes,
                     int code, roma__call_kind call)
{
    for (uint32_t i = 0; i < run->count; i++) {
        roma__asked *asked = &job->asked[job->order[run->first + i]];
        if (asked->code != 0 || asked->bytes == 0 || asked->offset >= offset + bytes ||
            asked->offset + asked->bytes <= offset)
            continue;
        roma__asked_end(asked, code, call);
        job->failed_ranges++;
    }
    if (job->code == 0)
        job->code = code;
}

void roma__work_account_done(roma__job *job, uint64_t bytes, bool resident)
{
    job->done_bytes += bytes;
    if (!resident) {
        job->engine->figures.read += bytes;
        return;
    }
    job->resident_bytes += bytes;
    job->engine->figures.resident += bytes;
}

void roma__work_account_failed(roma__job *job, uint32_t run, uint64_t offset, uint64_t bytes,
                               int code, roma__call_kind call)
{
    if (code == -ECANCELED) { /* by a kernel that gives up, and nobody's failure */
        roma__work_account_cancelled(job, run, offset, bytes);
        return;
    }
    job->failed_bytes += bytes;
    job->engine->figures.failed += bytes;
    roma__work_mark(job, &job->runs[run], offset, bytes, code, call);
}

void roma__work_account_cancelled(roma__job *job, uint32_t run, uint64_t offset, uint64_t bytes)
{
    job->cancelled_bytes += bytes;
    job->engine->figures.cancelled += bytes;
    roma__work_mark(job, &job->runs[run], offset, bytes, -ECANCELED, 0);
}

static void account_flushed(roma__job *job, roma__run *run, int code)
{
    uint64_t bytes = run->begun_bytes;
    run->begun_bytes = 0;
    if (code == 0) {
        job->done_bytes += bytes;
        job->engine->figures.flushed += bytes;
        if (roma__file_is_memory(&job->files[run->file])) /* which no sync makes durable */
            job->resident_bytes += bytes;
        return;
    }
    if (code == -ECANCELED) {
        job->cancelled_bytes += bytes;
        job->engine->figures.cancelled += bytes;
    } else {
        job->failed_bytes += bytes;
        job->engine->figures.failed += bytes;
    }
    roma__work_mark(job, run, run->offset, run->bytes, code, ROMA__CALL_SYNC);
}

size_t roma__work_account_sync(roma__job *job, size_t first, int code)
{
    const roma__file *file = &job->files[job->runs[first].file];
    size_t run = first;
    for (; run < job->runs_count && roma__file_is_same(&job->files[job->runs[run].file], file);
         run++)
        account_flushed(job, &job->runs[run], code);
    return run;
}

/* What nobody came to plan: lengths as asked, in whole pages. */
static void give_up_unplanned(roma__job *job)
{
    for (size_t i = 0; i < job->n; i++) {
        uint64_t start, end;
        roma__asked *asked = &job->asked[i];
        bool is_left = asked->code == 0;
        if (is_left && asked->bytes == 0)
            continue;
        if (is_left)
            asked->code = -ECANCELED; /* also past the end: the file may have grown since */
        job->failed_ranges++;
        if (job->code == 0)
            job->code = asked->code;
        if (!is_left || !roma__asked_pages(&job->files[asked->file], asked, &start, &end))
            continue;
        job->total_bytes += end - start;
        job->cancelled_bytes += end - start;
        job->engine->figures.cancelled += end - start;
    }
    job->planned = true;
    job->engine->unplanned_count--;
}

void roma__job_give_up(roma__job *job)
{
    job->cancelled = true;
    if (job->held || atomic_load_explicit(&job->done, memory_order_relaxed))
        return; /* who has it will look */
    roma__work_note_due(job);
    if (!job->planned) {
        give_up_unplanned(job);
        return;
    }
    for (; job->run < job->runs_count; job->run++) {
        const roma__run *run = &job->runs[job->run];
        uint64_t at = job->at > run->offset ? job->at : run->offset;
        if (at < run->offset + run->bytes)
            roma__work_account_cancelled(job, (uint32_t)job->run, at,
                                         run->offset + run->bytes - at);
        job->at = 0;
    }
    /* What was begun of a flush is not synced: none of it is sure to be durable. */
    while (job->is_flush && job->sync_run < job->runs_count)
        job->sync_run = roma__work_account_sync(job, job->sync_run, -ECANCELED);
}

void roma__work_advance(roma__job *job, uint64_t bytes)
{
    const roma__run *run = &job->runs[job->run];
    job->at += bytes;
    if (job->at < run->offset + run->bytes)
        return;
    job->run++;
    if (job->run < job->runs_count) {
        job->at = job->runs[job->run].offset;
        job->looked_to = 0;
    }
}

void roma__work_cancel_op(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    if (op->task == ROMA__TASK_SYNC) {
        job->syncing--;
        (void)roma__work_account_sync(job, op->run, -ECANCELED);
    } else {
        roma__work_account_cancelled(job, op->run, op->offset, op->bytes);
    }
    roma__work_release_window(op);
    roma__work_free_op(engine, op);
}

/* ---- the end of a job ----------------------------------------------------------------------- */

static void unlink_due(roma_prefetch_engine *engine, const roma__job *job)
{
    roma__job **link = &engine->due;
    while (*link != job)
        link = &(*link)->next_due;
    *link = job->next_due;
}

static void unlink_job(roma_prefetch_engine *engine, roma__job *job)
{
    if (job->is_due)
        unlink_due(engine, job);
    if (engine->refused == job)
        engine->refused = NULL;
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

void roma__work_end_job(roma_prefetch_engine *engine, roma__job *job)
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

/* ---- proof ---------------------------------------------------------------------------------- */

/* Of a flush one write is begun at a time; those that are begun are in flight, and looked for. */
static bool flush_is_valid(const roma__job *job)
{
    const struct roma__flush *flush = &job->flush;
    const roma_prefetch_engine *engine = job->engine;
    unsigned beginning = 0, awaited = 0;
    for (size_t i = 0; job->is_flush && i < engine->ops_high; i++) {
        const roma__op *op = &engine->ops[i];
        if (op->state != ROMA__OP_RUNS || op->job != job || op->task != ROMA__TASK_WRITE)
            continue;
        beginning += !op->begun;
        awaited += op->waits;
        if (!op->begun && op != flush->beginning)
            return false;
    }
    for (const roma__op *op = flush->begun; op != NULL; op = op->next)
        if (op->job != job || !op->begun || !op->waits || op->state != ROMA__OP_RUNS)
            return false;
    return beginning == (flush->beginning != NULL) && awaited == flush->awaited &&
           awaited <= flush->on_their_way && (flush->begun == NULL || job->is_due) &&
           flush->begun_bytes <= job->total_bytes && flush->left_bytes <= job->total_bytes;
}

static bool job_is_valid(const roma__job *job)
{
    if (!job->planned) /* its runs are the planner's, who has no lock */
        return job->references > 0;
    const uint64_t sum = job->done_bytes + job->failed_bytes + job->cancelled_bytes;
    return job->references > 0 && job->run <= job->runs_count && job->sync_run <= job->runs_count &&
           sum <= job->total_bytes && job->resident_bytes + job->joined_bytes <= job->done_bytes &&
           job->failed_ranges <= job->n && flush_is_valid(job);
}

bool roma__engine_is_valid(const roma_prefetch_engine *engine)
{
    unsigned dense = 0, sparse = 0, writing = 0, followers = 0, advising = 0, listed = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < engine->ops_count; i++) {
        const roma__op *op = &engine->ops[i];
        if (op->state != ROMA__OP_FREE && i >= engine->ops_high)
            return false;
        followers += op->state == ROMA__OP_FOLLOWS;
        if (op->state != ROMA__OP_RUNS || !roma__work_is_piece(op))
            continue;
        dense += op->dense;
        sparse += !op->dense;
        writing += op->waits;
        advising += op->window != 0 && !op->issued;
        bytes += op->bytes;
    }
    size_t live = 0, unplanned = 0;
    for (const roma__job *job = engine->first; job != NULL; job = job->next, live++) {
        unplanned += !job->planned;
        if (!job_is_valid(job))
            return false;
    }
    for (const roma__op *op = engine->issued; op != NULL; op = op->next)
        listed++;
    return advising == engine->advising && listed == engine->issued_count &&
           followers == engine->followers && followers <= ROMA__FOLLOWERS &&
           unplanned == engine->unplanned_count && dense == engine->dense_flying &&
           sparse == engine->sparse_flying && writing == engine->writing &&
           bytes == engine->flying_bytes && live == engine->live_count &&
           dense <= engine->options.dense_depth && sparse <= engine->options.sparse_depth;
}
