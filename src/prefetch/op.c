/* op.c - ops of the engine: made for a job, in flight, waiting to be taken again, free.
 *
 * They stand in one array and go from list to list; a piece in flight counts against the depth for
 * long or short runs and against the byte budget.
 *
 * A short run that has to be resident, and that no ring awaits, comes twice: once its read is
 * issued, and again, when others have been issued behind it, to see whether it has come. Most have
 * by then, and no thread had to sleep for them. Of those that a ring awaited only who had not come
 * when it answered comes again, at once. So does a write that is waited for (flush.c). */
#include "prefetch/work.h"

#include "base/bits.h"

void roma__work_add_flying(roma_prefetch_engine *engine, roma__op *op)
{
    if (op->dense)
        engine->dense_flying++;
    else
        engine->sparse_flying++;
    engine->writing += op->waits;
    engine->flying_bytes += op->bytes;
    if (engine->flying_bytes > engine->figures.peak)
        engine->figures.peak = engine->flying_bytes;
    engine->advising += op->window != 0;
}

void roma__work_remove_flying(roma_prefetch_engine *engine, const roma__op *op)
{
    if (op->dense)
        engine->dense_flying--;
    else
        engine->sparse_flying--;
    engine->writing -= op->waits;
    engine->flying_bytes -= op->bytes;
    engine->advising -= op->window != 0 && !op->issued;
}

bool roma__work_is_piece(const roma__op *op)
{
    return op->task == ROMA__TASK_READ || op->task == ROMA__TASK_WRITE ||
           op->task == ROMA__TASK_SYNC;
}

bool roma__work_has_depth(const roma_prefetch_engine *engine, bool dense)
{
    return dense ? engine->dense_flying < engine->options.dense_depth
                 : engine->sparse_flying < engine->options.sparse_depth;
}

bool roma__work_may_fly(roma_prefetch_engine *engine, const roma__job *job, bool dense,
                        uint64_t bytes)
{
    size_t budget = engine->options.budget_bytes;
    if (!roma__work_has_depth(engine, dense))
        return false;
    if (budget == 0)
        return true;
    if (engine->flying_bytes == 0) /* whoever was refused may have no more to ask for */
        engine->refused = NULL;
    bool fits = engine->flying_bytes == 0 || engine->flying_bytes + bytes <= budget;
    if (!fits && engine->refused == NULL)
        engine->refused = job;
    if (!fits || (engine->refused != NULL && engine->refused != job))
        return false;
    engine->refused = NULL;
    return true;
}

roma__op *roma__work_new_op(roma__job *job, roma__task task, uint32_t run, uint64_t offset,
                            uint64_t bytes)
{
    roma_prefetch_engine *engine = job->engine;
    roma__op *op = engine->free_ops;
    engine->free_ops = op->next;
    engine->ops_high = roma__max(engine->ops_high, (size_t)(op - engine->ops) + 1);
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

roma__op *roma__work_new_step(roma__job *job, roma__task task, uint64_t offset, uint64_t bytes)
{
    job->held = true;
    return roma__work_new_op(job, task, (uint32_t)job->run, offset, bytes);
}

void roma__work_free_op(roma_prefetch_engine *engine, roma__op *op)
{
    roma__job *job = op->job;
    job->active--;
    if (job->planned && job->run == job->runs_count && roma__work_is_written(job))
        roma__work_note_due(job);
    op->state = ROMA__OP_FREE;
    op->next = engine->free_ops;
    engine->free_ops = op;
    (void)pthread_cond_broadcast(&engine->changed);
}

void roma__work_release_window(roma__op *op)
{
    if (op->window != 0)
        op->job->windows[op->window - 1].users--;
    op->window = 0;
}

void roma__work_put_back(roma_prefetch_engine *engine, roma__op *op)
{
    op->state = ROMA__OP_AGAIN;
    op->issued = false; /* all of it is asked for anew */
    op->next = NULL;
    if (engine->again == NULL)
        engine->again = op;
    else
        engine->again_last->next = op;
    engine->again_last = op;
}

void roma__work_push_again(roma_prefetch_engine *engine, roma__op *op)
{
    roma__work_put_back(engine, op);
    /* Who waits for it to be in flight no more, and who may take it. */
    (void)pthread_cond_broadcast(&engine->changed);
}

bool roma__work_split(roma_prefetch_engine *engine, roma__op *op, uint64_t bytes)
{
    if (engine->free_ops == NULL)
        return false;
    roma__op *rest = roma__work_new_op(op->job, op->task, op->run, op->offset + bytes,
                                       op->bytes - bytes);
    rest->tries = op->tries;
    rest->window = op->window;
    if (rest->window != 0)
        op->job->windows[rest->window - 1].users++;
    op->bytes = bytes;
    roma__work_push_again(engine, rest);
    return true;
}

void roma__work_note_due(roma__job *job)
{
    if (job->is_due)
        return;
    job->is_due = true;
    job->next_due = job->engine->due;
    job->engine->due = job;
}

void roma__work_push_issued(roma_prefetch_engine *engine, roma__op *op)
{
    engine->advising--;
    op->issued = true;
    /* Who was awaited has had its time. */
    op->issued_at = engine->taken - (op->awaited ? engine->options.sparse_depth : 0);
    op->next = NULL;
    if (engine->issued == NULL)
        engine->issued = op;
    else
        engine->issued_last->next = op;
    engine->issued_last = op;
    engine->issued_count++;
    if (engine->advising == 0) /* all that are issued may be looked at, by as many as there are */
        (void)pthread_cond_broadcast(&engine->changed);
}

roma__op *roma__work_pop_issued(roma_prefetch_engine *engine)
{
    roma__op *op = engine->issued;
    engine->issued = op->next;
    engine->issued_count--;
    op->next = NULL;
    return op;
}
