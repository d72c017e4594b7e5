/* finish.c - an op came back: what came of it goes into its job's accounts, its followers go on,
 * and what is to be tried again is queued. Short, since the engine's lock is held. */
#include "prefetch/work.h"

#include "base/bits.h"
#include "base/check.h"

#include <errno.h>

/* A follower of an op that came back: with it done, or on its own. */
static void settle_follower(roma_prefetch_engine *engine, const roma__op *leader, roma__op *op)
{
    roma__job *job = op->job;
    if (job->cancelled) {
        roma__work_cancel_op(engine, op);
        return;
    }
    if (leader->code != 0 || leader->come_again || !roma__work_is_enough(leader, op)) {
        roma__work_push_again(engine, op);
        return;
    }
    job->done_bytes += op->bytes;
    job->joined_bytes += op->bytes;
    engine->figures.joined += op->bytes;
    roma__work_release_window(op);
    roma__work_free_op(engine, op);
}

static void settle_followers(roma_prefetch_engine *engine, roma__op *op)
{
    roma__op *follower = op->followers;
    op->followers = NULL;
    while (follower != NULL) {
        roma__op *next = follower->next;
        engine->followers--;
        settle_follower(engine, op, follower);
        follower = next;
    }
}

/* How fast a whole chunk came tells how long the next one is; of one that was cut short,
 * nothing. */
static void measure_chunk(const roma_prefetch_engine *engine, const roma__op *op)
{
    roma__job *job = op->job;
    size_t most = engine->options.chunk_bytes;
    if (op->was_resident)
        job->chunk_bytes = most;
    else if (op->bytes >= job->chunk_bytes)
        job->chunk_bytes = roma__max(
            job->chunk_first,
            roma__chunk_next((size_t)op->bytes, roma__now_ns() - op->begun_ns, most));
}

/* A page could not be read or had, or may not be mapped: which one, nobody tells. */
static bool is_of_a_page(const roma__op *op)
{
    bool may_not_be = op->code == -EOPNOTSUPP && op->job->level == ROMA_PREFETCH_MAPPED;
    bool is_known = op->code == -EIO || op->code == -ENOMEM || op->code == -ENOSPC ||
                    op->code == -EHWPOISON || may_not_be;
    return is_known && op->calls_count > 0 && op->bytes > op->file->page_bytes;
}

/* Whether more than one range has a part of it. */
static bool is_of_several(const roma__op *op)
{
    const roma__job *job = op->job;
    const roma__run *run = &job->runs[op->run];
    unsigned count = 0;
    for (uint32_t i = 0; i < run->count && count < 2; i++) {
        const roma__asked *asked = &job->asked[job->order[run->first + i]];
        count += asked->bytes > 0 && asked->offset < op->offset + op->bytes &&
                 asked->offset + asked->bytes > op->offset;
    }
    return count == 2;
}

/* Read both halves by themselves, so that the error is told to whom it concerns. */
static bool halve(roma_prefetch_engine *engine, roma__op *op)
{
    op->tries = ROMA__FAULT_TRIES;
    uint64_t half = roma__align_up((size_t)op->bytes / 2, op->file->page_bytes);
    if (!roma__work_split(engine, op, half))
        return false;
    roma__work_push_again(engine, op);
    return true;
}

static void finish_read(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    bool is_good = op->code == 0 && !op->come_again;
    if (is_good && op->window != 0 && !op->issued && !op->was_resident && !op->has_come) {
        roma__work_push_issued(engine, op);
        return;
    }
    roma__work_remove_flying(engine, op);
    settle_followers(engine, op);
    if (is_good) {
        roma__work_account_done(job, op->bytes, op->was_resident);
        if (op->dense)
            measure_chunk(engine, op);
        roma__work_release_window(op);
        roma__work_free_op(engine, op);
        return;
    }
    if (is_of_a_page(op) && is_of_several(op) && halve(engine, op))
        return;
    if (op->code != 0) {
        uint64_t bad_bytes = op->bytes - op->good_bytes;
        roma__work_account_failed(job, op->run, op->offset + op->good_bytes, bad_bytes, op->code,
                                  op->failed);
        op->bytes = op->good_bytes;
    }
    if (op->bytes > 0) {
        op->tries++;
        roma__work_push_again(engine, op);
        return;
    }
    roma__work_release_window(op);
    roma__work_free_op(engine, op);
}

/* What another job has in flight is cached, and not there yet. */
static bool is_being_read(const roma__op *op)
{
    uint64_t bytes = op->bytes;
    return roma__work_find_leader(op->job->engine, op->job, op->file, op->offset, &bytes) != NULL ||
           bytes < op->bytes;
}

static void finish_look(roma__op *op)
{
    roma__job *job = op->job;
    if (op->code != 0) { /* nobody tells: read it */
        job->files[job->runs[op->run].file].is_silent = true;
        return;
    }
    if (op->was_resident && job->level != ROMA_PREFETCH_MAPPED && !is_being_read(op)) {
        roma__work_account_done(job, op->bytes, true);
        roma__work_advance(job, op->bytes);
        return;
    }
    job->looked_to = op->offset + op->bytes;
    job->looked_empty = op->good_bytes == 0;
}

static void finish_plan(roma__op *op)
{
    roma__job *job = op->job;
    job->planned = true;
    job->engine->unplanned_count--;
    for (size_t i = 0; i < job->runs_count; i++)
        job->total_bytes += job->runs[i].bytes;
    for (size_t i = 0; i < job->n; i++) {
        if (job->asked[i].code == 0)
            continue;
        job->failed_ranges++;
        if (job->code == 0)
            job->code = job->asked[i].code;
    }
    if (job->is_flush) {
        roma__work_plan_flush(job);
        roma__work_hear_untold(job->engine, job);
    }
    job->run = 0;
    job->at = job->runs_count > 0 ? job->runs[0].offset : 0;
    job->chunk_first = roma__min(job->chunk_first, job->engine->options.chunk_bytes);
    job->chunk_bytes = job->chunk_first;
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
    roma__work_account_failed(job, (uint32_t)job->run, job->at, bytes, op->code, ROMA__CALL_MMAP);
    roma__work_advance(job, bytes);
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
    roma__work_free_op(engine, op);
    roma__work_note_due(job);
    if (job->cancelled)
        roma__job_give_up(job);
}

void roma__work_finish(roma_prefetch_engine *engine, roma__op *op)
{
    roma_check(op->state == ROMA__OP_RUNS);
    op->job->calls += op->calls_count;
    engine->figures.calls += op->calls_count;
    switch (op->task) {
    case ROMA__TASK_READ: finish_read(engine, op); break;
    case ROMA__TASK_WRITE: roma__work_finish_write(engine, op); break;
    case ROMA__TASK_SYNC: roma__work_finish_sync(engine, op); break;
    default: finish_step(engine, op); break;
    }
}
