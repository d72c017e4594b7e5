/* thread.c - the first thread of an engine: it goes to the CPUs that the engine is to run on, and
 * says whether the engine can begin before who makes it is told.
 *
 * A thread runs where the one that started it did. So the threads of a pool, which are started by
 * one another, follow the first; the kernel's workers of a ring do on some kernels, and are told
 * where to go in any case (ring_liburing.c). */
#include "prefetch/engine.h"

#include "base/cpus.h"
#include "base/error.h"
#include "sys/sys.h"

#include <errno.h>

int roma__engine_open(roma_prefetch_engine *engine, void **thread, void *(*run)(void *),
                      roma_error *error)
{
    roma__opening ours = {engine, error, false, 0};
    if (roma__sys->thread_start(thread, run, &ours) < 0)
        return roma__error_call(error, "pthread_create", errno);
    roma__engine_lock(engine);
    while (!ours.is_over)
        (void)pthread_cond_wait(&engine->changed, &engine->lock);
    roma__engine_unlock(engine);
    if (ours.code < 0)
        (void)roma__sys->thread_join(*thread);
    return ours.code;
}

void roma__engine_opened(roma__opening *given, int code)
{
    roma_prefetch_engine *engine = given->engine;
    roma__engine_lock(engine);
    given->code = code;
    given->is_over = true;
    (void)pthread_cond_broadcast(&engine->changed);
    roma__engine_unlock(engine);
}

static int go_to(const char *list, roma_error *error)
{
    roma__cpus cpus = {{0}};
    (void)roma__cpus_add(&cpus, list); /* which was found to be one */
    if (roma__sys->set_affinity(sizeof cpus, &cpus) == 0)
        return 0;
    return errno == EINVAL ? roma__error_invalid(error, "cpus") /* none that is allowed */
                           : roma__error_call(error, "sched_setaffinity", errno);
}

int roma__engine_go_to_cpus(roma_prefetch_engine *engine, roma_error *error)
{
    int code = engine->options.cpus == NULL ? 0 : go_to(engine->options.cpus, error);
    engine->is_misplaced = code < 0;
    return code;
}
