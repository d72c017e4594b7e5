/* way_pool.c - threads that make one call each at a time.
 *
 * The first thread starts with the engine, so that one that cannot have any is known at once; the
 * others when there is an op and nobody idle to take it. A thread that cannot be started later
 * costs nothing but speed. Each runs the loop of taking, calling and finishing, and settles what is
 * done. All signals are blocked in them. */
#include "prefetch/engine.h"

#include "base/error.h"
#include "sys/sys.h"

#include <errno.h>

static void *run(void *argument);

/* Lock held. */
static int start_thread(roma_prefetch_engine *engine)
{
    if (roma__sys->thread_start(&engine->threads[engine->threads_count], run, engine) < 0)
        return -errno;
    engine->threads_count++;
    return 0;
}

static void work_on(roma_prefetch_engine *engine, roma__op *op)
{
    /* There may be more where this came from. */
    if (engine->idle_count > 0)
        (void)pthread_cond_signal(&engine->work);
    else if (engine->threads_count < engine->options.threads && start_thread(engine) < 0)
        engine->lacks_threads = true;
    roma__engine_unlock(engine);
    roma__op_prepare(op);
    roma__op_make_calls(op, roma__call_make);
    roma__op_judge(op);
    roma__engine_lock(engine);
    roma__work_finish(engine, op);
}

static void *run(void *argument)
{
    roma_prefetch_engine *engine = argument;
    roma__engine_lock(engine);
    for (;;) {
        roma__op *op = roma__work_take(engine);
        if (op != NULL)
            work_on(engine, op);
        /* Before each sleep, and after what took the lock away for a while: is there more to do? */
        if (roma__work_settle(engine) || op != NULL)
            continue;
        if (engine->threads_stop)
            break;
        engine->idle_count++;
        (void)pthread_cond_wait(&engine->work, &engine->lock);
        engine->idle_count--;
    }
    roma__engine_unlock(engine);
    return NULL;
}

static void *run_first(void *argument)
{
    roma__opening *given = argument;
    roma_prefetch_engine *engine = given->engine;
    int code = roma__engine_go_to_cpus(engine, given->error);
    roma__engine_opened(given, code);
    return code == 0 ? run(engine) : NULL;
}

static int start(roma_prefetch_engine *engine, roma_error *error)
{
    int code = roma__engine_open(engine, &engine->threads[0], run_first, error);
    engine->threads_count = code == 0;
    return code;
}

/* All of them: what a cancelled handle needs may be in the hands of any. */
static void kick(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    (void)pthread_cond_broadcast(&engine->work);
    roma__engine_unlock(engine);
}

static void submitted(roma_prefetch_engine *engine, roma__job *job)
{
    (void)job;
    roma__engine_lock(engine);
    (void)pthread_cond_signal(&engine->work);
    roma__engine_unlock(engine);
}

static void stop(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    engine->threads_stop = true;
    (void)pthread_cond_broadcast(&engine->work);
    unsigned count = engine->threads_count; /* no more: nobody has an op */
    roma__engine_unlock(engine);
    for (unsigned i = 0; i < count; i++)
        (void)roma__sys->thread_join(engine->threads[i]);
}

const roma__way roma__way_pool = {start, kick, submitted, stop};
