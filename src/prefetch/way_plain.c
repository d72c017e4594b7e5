/* way_plain.c - plain calls, made by the thread that submits: it returns when its job is done.
 *
 * Several threads may submit at once. Each takes what can be begun, its own or another's, until its
 * own job is done, and sleeps only while others have what is left of it. Whatever may let one go on
 * wakes all: an op that is free or to be taken again, a step that was made, the last advice before
 * short runs may be waited for. */
#include "prefetch/engine.h"

static int start(roma_prefetch_engine *engine, roma_error *error)
{
    (void)engine;
    (void)error;
    return 0;
}

static void kick(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    (void)pthread_cond_broadcast(&engine->changed);
    roma__engine_unlock(engine);
}

static void submitted(roma_prefetch_engine *engine, roma__job *job)
{
    roma__engine_lock(engine);
    while (!atomic_load_explicit(&job->done, memory_order_relaxed)) {
        roma__op *op = roma__work_take(engine);
        if (op == NULL) {
            if (!atomic_load_explicit(&job->done, memory_order_relaxed))
                (void)pthread_cond_wait(&engine->changed, &engine->lock);
            continue;
        }
        roma__engine_unlock(engine);
        roma__op_prepare(op);
        roma__op_make_calls(op, roma__call_make);
        roma__op_judge(op);
        roma__engine_lock(engine);
        roma__work_finish(engine, op);
    }
    (void)pthread_cond_broadcast(&engine->changed); /* there may be ops that others wait to take */
    if (roma__calling != engine) /* else who called back goes on with these, one after the other */
        (void)roma__work_settle(engine);
    roma__engine_unlock(engine);
}

static void stop(roma_prefetch_engine *engine)
{
    (void)engine;
}

const roma__way roma__way_plain = {start, kick, submitted, stop};
