/* life.c - how long engines and jobs stay: references, who uses an engine, the list of all engines,
 * and what fork() does.
 *
 * The registry has an engine from its making until its record is freed: who closes a map looks
 * there for what is in flight, and fork() for locks. That it is destroyed is not the end of it:
 * handles outlive their engine, and calls on them take its lock.
 *
 * Order of locks: the registry's, then engines'; only fork() has several of these at once. Who
 * gives up the last reference claims the record under the engine's lock, lets go of that, and only
 * then takes the registry's to take it out and to free it, with the last jobs. Who looks through
 * the registry locks engines that it has no reference of; one that is claimed it finds with nothing
 * to do, and there until the registry is unlocked. Locks of others that are held where an engine is
 * used (a manager's) come before both, at a fork, too.
 *
 * Fork: the registry's lock and those of all engines are held over it, so a child finds their
 * records whole. It has none of the engine's threads, and its ring would be its parent's; so an
 * engine of another generation is refused everywhere, and only its memory is given back: with the
 * last handle and user where the engine was destroyed before, else when the child destroys it, or
 * with those that are left then. Where its parent was destroying it meanwhile, it was not yet. One
 * that was destroyed before, and was claimed with its last handle, is freed at once: the thread
 * that had claimed it is the parent's. (Of an engine that stays, a handle's record that was being
 * freed at that moment stays in the child, as what any other thread had in its hands.) */
#include "prefetch/engine.h"

#include "base/error.h"
#include "provider/fork.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>

static pthread_mutex_t registry_lock = PTHREAD_MUTEX_INITIALIZER;
static roma_prefetch_engine *registry;

/* ---- fork ----------------------------------------------------------------------------------- */

static void before_fork(void)
{
    pthread_mutex_lock(&registry_lock);
    for (roma_prefetch_engine *engine = registry; engine != NULL; engine = engine->next_engine)
        pthread_mutex_lock(&engine->lock);
}

static void after_fork(void)
{
    for (roma_prefetch_engine *engine = registry; engine != NULL; engine = engine->next_engine)
        pthread_mutex_unlock(&engine->lock);
    pthread_mutex_unlock(&registry_lock);
}

static void free_claimed(void);

/* It may have been made in a callback: what may not wait there is another process's now. */
static void in_child(void)
{
    roma__calling = NULL;
    after_fork();
    free_claimed();
}

/* After that of provider/fork.c, whose generation a child has then already. */
__attribute__((constructor(102))) static void set_up(void)
{
    (void)pthread_atfork(before_fork, after_fork, in_child);
}

bool roma__engine_is_gone(const roma_prefetch_engine *engine)
{
    return engine->generation != roma__fork_generation();
}

/* ---- the registry --------------------------------------------------------------------------- */

void roma__engine_register(roma_prefetch_engine *engine)
{
    pthread_mutex_lock(&registry_lock);
    engine->next_engine = registry;
    if (registry != NULL)
        registry->previous_engine = engine;
    registry = engine;
    pthread_mutex_unlock(&registry_lock);
}

/* Its lock is held. */
static void unregister(roma_prefetch_engine *engine)
{
    if (engine->previous_engine != NULL)
        engine->previous_engine->next_engine = engine->next_engine;
    else
        registry = engine->next_engine;
    if (engine->next_engine != NULL)
        engine->next_engine->previous_engine = engine->previous_engine;
}

/* ---- life ----------------------------------------------------------------------------------- */

static void free_record(roma_prefetch_engine *engine)
{
    if (engine->wake_fd >= 0)
        (void)roma__sys->close(engine->wake_fd);
    roma__record_free(engine->ops, engine->ops_count * sizeof *engine->ops);
    roma__record_free(engine, sizeof *engine);
}

void roma__engine_free(roma_prefetch_engine *engine)
{
    (void)pthread_cond_destroy(&engine->changed);
    (void)pthread_cond_destroy(&engine->work);
    (void)pthread_mutex_destroy(&engine->lock);
    free_record(engine);
}

static void close_descriptors(const roma__job *job)
{
    if (job->event_fd >= 0)
        (void)roma__sys->close(job->event_fd);
    if (job->own_fd >= 0)
        (void)roma__sys->close(job->own_fd);
}

static void free_job(roma__job *job)
{
    close_descriptors(job);
    (void)pthread_cond_destroy(&job->ended);
    roma__record_free(job, job->record_bytes);
}

static void free_jobs(roma__job *dead)
{
    while (dead != NULL) {
        roma__job *next = dead->next;
        free_job(dead);
        dead = next;
    }
}

/* In one hold of the registry's lock: a fork finds all of it there, or nothing. */
static void end_claimed(roma_prefetch_engine *engine)
{
    pthread_mutex_lock(&registry_lock);
    unregister(engine);
    free_jobs(engine->dead);
    roma__engine_free(engine);
    pthread_mutex_unlock(&registry_lock);
}

void roma__engine_lock(roma_prefetch_engine *engine)
{
    pthread_mutex_lock(&engine->lock);
}

void roma__engine_unlock(roma_prefetch_engine *engine)
{
    roma__job *dead = NULL;
    bool is_last = engine->references == 0 && !engine->claimed;
    engine->claimed = engine->claimed || is_last;
    if (!engine->claimed) { /* else they go with it */
        dead = engine->dead;
        engine->dead = NULL;
    }
    pthread_mutex_unlock(&engine->lock);
    free_jobs(dead);
    if (is_last)
        end_claimed(engine);
}

static void unlist_job(roma__job *job)
{
    if (job->previous_all != NULL)
        job->previous_all->next_all = job->next_all;
    else
        job->engine->all = job->next_all;
    if (job->next_all != NULL)
        job->next_all->previous_all = job->previous_all;
}

void roma__job_drop(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    if (--job->references > 0)
        return;
    unlist_job(job);
    job->next = engine->dead;
    engine->dead = job;
    engine->references--;
}

/* In a child: unlock, and free the record when the engine was destroyed and nobody asks for it any
 * more. */
static void unlock_forgotten(roma_prefetch_engine *engine)
{
    bool is_last = engine->over && engine->all == NULL && engine->users == 0;
    pthread_mutex_unlock(&engine->lock);
    if (!is_last)
        return;
    pthread_mutex_lock(&registry_lock);
    unregister(engine);
    free_record(engine);
    pthread_mutex_unlock(&registry_lock);
}

int roma__engine_refuses(const roma_prefetch_engine *engine, roma_error *error)
{
    return engine->stopping ? roma__error_subject(error, -ESHUTDOWN, ROMA_WHY_UNSUPPORTED,
                                                  "an engine that is being destroyed")
                            : 0;
}

/* Under the lock, as who destroys looks for users and refuses new ones under it at once. */
int roma__engine_hold(roma_prefetch_engine *engine, roma_error *error)
{
    roma__engine_lock(engine);
    int code = roma__engine_refuses(engine, error);
    engine->users += code == 0;
    roma__engine_unlock(engine);
    return code;
}

/* In a child the record may have waited for this. */
void roma__engine_let(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    engine->users--;
    if (roma__engine_is_gone(engine))
        unlock_forgotten(engine);
    else
        roma__engine_unlock(engine);
}

/* ---- in a child ----------------------------------------------------------------------------- */

/* What it has is memory, and descriptors that its parent has, too. Conditions are left
 * as they are: threads of the parent may have waited for them. */
static void free_forgotten(roma__job *job)
{
    close_descriptors(job);
    roma__record_free(job, job->record_bytes);
}

static void forget_job(roma__job *job)
{
    unlist_job(job);
    free_forgotten(job);
}

/* What threads of the parent had claimed, but for who was destroying one: that is not over. */
static void free_claimed(void)
{
    pthread_mutex_lock(&registry_lock);
    for (roma_prefetch_engine *engine = registry, *next; engine != NULL; engine = next) {
        next = engine->next_engine;
        if (!engine->claimed || !engine->over)
            continue;
        unregister(engine);
        for (roma__job *job = engine->dead, *after; job != NULL; job = after) {
            after = job->next;
            free_forgotten(job);
        }
        free_record(engine);
    }
    pthread_mutex_unlock(&registry_lock);
}

/* Records of handles that the program has still stay, and the engine's with the last of them and of
 * its users. */
void roma__engine_forget(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    engine->over = true;
    for (roma__job *job = engine->all, *next; job != NULL; job = next) {
        next = job->next_all;
        if (!job->has_handle)
            forget_job(job);
    }
    if (engine->ring != NULL)
        roma__rings->forget(engine->ring);
    unlock_forgotten(engine);
}

void roma__job_forget(roma__job *job)
{
    roma_prefetch_engine *engine = job->engine;
    roma__engine_lock(engine);
    job->has_handle = false;
    if (engine->over)
        forget_job(job);
    unlock_forgotten(engine);
}

/* ---- leaving -------------------------------------------------------------------------------- */

/* Of any engine that has ops there; with a reference, so that it stays. */
static roma_prefetch_engine *find_busy(const roma__ban *ban)
{
    roma_prefetch_engine *busy = NULL;
    pthread_mutex_lock(&registry_lock);
    for (roma_prefetch_engine *engine = registry; engine != NULL && busy == NULL;
         engine = engine->next_engine) {
        if (roma__engine_is_gone(engine))
            continue;
        roma__engine_lock(engine);
        if (!roma__engine_has_left(engine, ban, ROMA__ALL_JOBS)) {
            engine->references++;
            busy = engine;
        }
        roma__engine_unlock(engine);
    }
    pthread_mutex_unlock(&registry_lock);
    return busy;
}

/* The registry is not locked over the waiting: a callback that is waited for may make an engine. */
void roma__engines_leave(const roma__ban *ban)
{
    pthread_mutex_lock(&registry_lock);
    for (roma_prefetch_engine *engine = registry; engine != NULL; engine = engine->next_engine) {
        if (roma__engine_is_gone(engine))
            continue;
        roma__engine_lock(engine);
        size_t concerned = roma__engine_ban(engine, ban, ROMA__ALL_JOBS);
        roma__engine_unlock(engine);
        if (concerned > 0)
            engine->way->kick(engine);
    }
    pthread_mutex_unlock(&registry_lock);
    for (;;) {
        roma_prefetch_engine *engine = find_busy(ban);
        if (engine == NULL)
            return;
        roma__engine_lock(engine);
        roma__engine_await_left(engine, ban, ROMA__ALL_JOBS);
        engine->references--;
        roma__engine_unlock(engine);
    }
}
