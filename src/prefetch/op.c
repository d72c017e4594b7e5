/* op.c - ops of the engine: made for a job, in flight, waiting to be taken again, free.
 *
 * They stand in one array and go from list to list; a piece in flight counts against the depth for
 * long or short runs and against the byte budget. */
#include "prefetch/work.h"

void roma__work_add_flying(roma_prefetch_engine *engine, roma__op *op)
{
    if (op->dense)
        engine->dense_flying++;
    else
        engine->sparse_flying++;
    engine->flying_bytes += op->bytes;
    if (engine->flying_bytes > engine->figures.peak)
        engine->figures.peak = engine->flying_bytes;
}

void roma__work_remove_flying(roma_prefetch_engine *engine, const roma__op *op)
{
    if (op->dense)
        engine->dense_flying--;
    else
        engine->sparse_flying--;
    engine->flying_bytes -= op->bytes;
}

bool roma__work_is_piece(const roma__op *op)
{
    return op->task == ROMA__TASK_READ || op->task == ROMA__TASK_WRITE ||
           op->task == ROMA__TASK_SYNC;
}

bool roma__work_may_fly(const roma_prefetch_engine *engine, bool dense, uint64_t bytes)
{
    const roma_prefetch_options *options = &engine->options;
    if (dense ? engine->dense_flying >= options->dense_depth
              : engine->sparse_flying >= options->sparse_depth)
        return false;
    return options->budget_bytes == 0 || engine->flying_bytes == 0 ||
           engine->flying_bytes + bytes <= options->budget_bytes;
}

roma__op *roma__work_new_op(roma__job *job, roma__task task, uint32_t run, uint64_t offset,
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

roma__op *roma__work_new_step(roma__job *job, roma__task task, uint64_t offset, uint64_t bytes)
{
    job->held = true;
    return roma__work_new_op(job, task, (uint32_t)job->run, offset, bytes);
}

void roma__work_free_op(roma_prefetch_engine *engine, roma__op *op)
{
    op->job->active--;
    op->state = ROMA__OP_FREE;
    op->next = engine->free_ops;
    engine->free_ops = op;
    (void)pthread_cond_broadcast(&engine->changed);
}

void roma__work_push_again(roma_prefetch_engine *engine, roma__op *op)
{
    op->state = ROMA__OP_AGAIN;
    op->next = NULL;
    if (engine->again == NULL)
        engine->again = op;
    else
        engine->again_last->next = op;
    engine->again_last = op;
}
