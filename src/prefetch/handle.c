/* handle.c - what a program asks of a handle, and what happens when a job is done.
 *
 * A done job is settled by whoever works for the engine: its descriptor becomes readable, its
 * callback is called, and the engine's reference goes. A callback runs without the lock; while it
 * does, closing its handle waits for it, but in another callback.
 *
 * Nothing waits in a callback, whichever engine it is of. That an engine waited for is another one
 * helps nobody: its callbacks may wait for this one; and a callback that submits to an engine of
 * plain calls makes these on its thread, and then runs what callbacks are due there, which may wait
 * for the first. What is left are those plain calls themselves. They come to an end without any
 * callback: who has an op of that engine is in a call of the kernel, or on its way, and all others
 * this thread can take. */
#include "prefetch/engine.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>

static bool is_done(const roma__job *job)
{
    /* Acquire: pairs with the release of who finished it. */
    return atomic_load_explicit(&job->done, memory_order_acquire) != 0;
}

static int check_handle(const roma__job *job)
{
    if (job == NULL)
        return -EINVAL;
    return roma__engine_is_gone(job->engine) ? -ESTALE : 0;
}

/* ---- the end -------------------------------------------------------------------------------- */

static void call_back(roma_prefetch_engine *engine, roma__job *job, roma_on_done on_done,
                      void *context)
{
    const roma_prefetch_engine *before = roma__calling;
    job->calling = true;
    engine->calls_running++;
    roma__engine_unlock(engine);
    roma__calling = engine;
    on_done(context, job, job->code);
    roma__calling = before;
    roma__engine_lock(engine);
    engine->calls_running--;
    job->calling = false;
    (void)pthread_cond_broadcast(&job->ended);
    (void)pthread_cond_broadcast(&engine->changed);
}

static void tell_descriptor(int fd)
{
    const uint64_t one = 1;
    if (fd >= 0)
        (void)roma__sys->write(fd, &one, sizeof one);
}

bool roma__work_settle(roma_prefetch_engine *engine)
{
    bool had_one = engine->settling != NULL;
    while (engine->settling != NULL) {
        roma__job *job = engine->settling;
        engine->settling = job->next_settling;
        job->settling = false;
        tell_descriptor(job->event_fd);
        roma_on_done on_done = job->on_done;
        job->on_done = NULL;
        if (on_done != NULL)
            call_back(engine, job, on_done, job->context);
        roma__job_drop(job);
        (void)pthread_cond_broadcast(&engine->changed);
    }
    return had_one;
}

/* ---- waiting -------------------------------------------------------------------------------- */

/* When a time-out from now ends; false: never. */
static bool deadline_of(uint64_t timeout_ns, struct timespec *deadline)
{
    uint64_t end;
    if (timeout_ns == ROMA_FOREVER || __builtin_add_overflow(roma__now_ns(), timeout_ns, &end) ||
        end / 1000000000u > INT32_MAX)
        return false;
    deadline->tv_sec = (time_t)(end / 1000000000u);
    deadline->tv_nsec = (long)(end % 1000000000u);
    return true;
}

/* Wait once. Returns 0 (look again) or ETIMEDOUT. */
static int wait_once(pthread_cond_t *cond, roma_prefetch_engine *engine, bool ends,
                     const struct timespec *deadline)
{
    return ends ? pthread_cond_timedwait(cond, &engine->lock, deadline)
                : pthread_cond_wait(cond, &engine->lock);
}

int roma_prefetch_wait(roma_prefetch_handle *job, uint64_t timeout_ns)
{
    int code = check_handle(job);
    if (code < 0)
        return code;
    if (is_done(job))
        return job->code;
    if (timeout_ns == 0)
        return -ETIMEDOUT;
    roma_prefetch_engine *engine = job->engine;
    if (roma__calling != NULL)
        return -EDEADLK;
    struct timespec deadline;
    bool ends = deadline_of(timeout_ns, &deadline);
    roma__engine_lock(engine);
    int waited = 0;
    while (!is_done(job) && waited != ETIMEDOUT)
        waited = wait_once(&job->ended, engine, ends, &deadline);
    code = is_done(job) ? job->code : -ETIMEDOUT;
    roma__engine_unlock(engine);
    return code;
}

/* Callbacks are part of what it has to do: what they use may go afterwards. */
static bool has_nothing_to_do(const roma_prefetch_engine *engine)
{
    return engine->first == NULL && engine->settling == NULL && engine->calls_running == 0;
}

int roma_prefetch_drain(roma_prefetch_engine *engine, uint64_t timeout_ns)
{
    if (engine == NULL)
        return -EINVAL;
    if (roma__engine_is_gone(engine))
        return -ESTALE;
    if (roma__calling != NULL)
        return -EDEADLK;
    struct timespec deadline;
    bool ends = deadline_of(timeout_ns, &deadline);
    roma__engine_lock(engine);
    int waited = timeout_ns == 0 ? ETIMEDOUT : 0;
    while (!has_nothing_to_do(engine) && waited != ETIMEDOUT)
        waited = wait_once(&engine->changed, engine, ends, &deadline);
    int code = has_nothing_to_do(engine) ? 0 : -ETIMEDOUT;
    roma__engine_unlock(engine);
    return code;
}

int roma_prefetch_poll(roma_prefetch_handle *job)
{
    int code = check_handle(job);
    return code < 0 ? code : is_done(job);
}

/* ---- progress and errors -------------------------------------------------------------------- */

int roma_prefetch_progress_of(roma_prefetch_handle *job, roma_prefetch_progress *progress)
{
    if (progress == NULL || progress->size < sizeof *progress)
        return -EINVAL;
    int code = check_handle(job);
    if (code < 0)
        return code;
    size_t size = progress->size;
    roma__engine_lock(job->engine);
    *progress = (roma_prefetch_progress){
        .size = size,
        .total_bytes = job->planned ? job->total_bytes : 0,
        .done_bytes = job->done_bytes,
        .resident_bytes = job->resident_bytes,
        .joined_bytes = job->joined_bytes,
        .failed_bytes = job->failed_bytes,
        .cancelled_bytes = job->planned ? job->cancelled_bytes : 0,
        .calls = job->calls,
        .failed_ranges = job->failed_ranges,
        .code = is_done(job) ? job->code : -EINPROGRESS,
        .planned = job->planned,
    };
    roma__engine_unlock(job->engine);
    return 0;
}

static void tell_file_ends(const roma__job *job, const roma__asked *asked, roma_error *error)
{
    const roma__file *file = &job->files[asked->file];
    (void)roma__error(error, -EFAULT, ROMA_WHY_FILE_ENDS);
    if (asked->offset + asked->bytes <= file->bytes)
        return; /* it was cut after it was looked at */
    error->have = file->bytes;
    error->need = asked->offset + asked->bytes;
}

/* What the kernel could not do at all. Populating what may not be read is that, too. */
static const char *unsupported_by(const roma__job *job)
{
    if (job->is_flush)
        return "fdatasync";
    return job->level == ROMA_PREFETCH_MAPPED ? "populating a mapping that may not be read"
                                              : "reading ahead in this file";
}

/* What a code means that a range of this job got. */
static void tell_error(const roma__job *job, const roma__asked *asked, roma_error *error)
{
    const roma__file *file = &job->files[asked->file];
    const char *call = roma__call_name((roma__call_kind)asked->call);
    int code = asked->code;
    switch (code) {
    case 0: (void)roma__error(error, 0, ROMA_WHY_NONE); return;
    case -EFAULT: tell_file_ends(job, asked, error); return;
    case -EIO: (void)roma__error(error, code, ROMA_WHY_FILE_IO); break;
    case -ECANCELED: (void)roma__error(error, code, ROMA_WHY_CANCELLED); return;
    case -EOPNOTSUPP:
        (void)roma__error_subject(error, code, ROMA_WHY_UNSUPPORTED, unsupported_by(job));
        break;
    case -ENOMEM:
        if (file->kind == ROMA__FILE_HUGETLB) {
            (void)roma__error(error, code, ROMA_WHY_POOL_EMPTY);
            error->pages = (roma_page_kind)(ROMA_PAGE_CLASS_HUGETLB |
                                            roma__log2_floor(file->page_bytes));
            break;
        }
        (void)roma__error_call(error, call, ENOMEM);
        break;
    default: (void)roma__error_call(error, call, -code); break;
    }
    error->code = code;
    error->call = call;
    error->cause = -code;
}

int roma_prefetch_range_error(roma_prefetch_handle *job, size_t index, roma_error *error)
{
    int code = check_handle(job);
    if (code < 0)
        return code;
    if (index >= job->n)
        return -EINVAL;
    roma__engine_lock(job->engine);
    /* While it is planned its codes are written without the lock. */
    bool is_known = is_done(job) || (job->planned && job->asked[index].code != 0);
    code = is_known ? job->asked[index].code : -EINPROGRESS;
    if (is_known && error != NULL)
        tell_error(job, &job->asked[index], error);
    roma__engine_unlock(job->engine);
    return code;
}

/* ---- being told ----------------------------------------------------------------------------- */

int roma_prefetch_on_done(roma_prefetch_handle *job, roma_on_done on_done, void *context)
{
    int code = check_handle(job);
    if (code < 0)
        return code;
    roma__engine_lock(job->engine);
    bool is_late = is_done(job) && !job->settling;
    if (on_done != NULL && job->on_done != NULL)
        code = -EALREADY;
    else if (!is_late) {
        job->on_done = on_done;
        job->context = context;
    }
    roma__engine_unlock(job->engine);
    if (code < 0 || !is_late || on_done == NULL)
        return code;
    on_done(context, job, job->code);
    return 1;
}

int roma_prefetch_eventfd(roma_prefetch_handle *job)
{
    int code = check_handle(job);
    if (code < 0)
        return code;
    roma__engine_lock(job->engine);
    if (job->event_fd < 0) {
        bool is_late = is_done(job) && !job->settling;
        job->event_fd = roma__sys->eventfd(is_late ? 1 : 0, EFD_NONBLOCK);
        code = job->event_fd < 0 ? -errno : 0;
    }
    int fd = job->event_fd;
    roma__engine_unlock(job->engine);
    return fd >= 0 ? fd : code;
}

void roma_prefetch_close(roma_prefetch_handle *job)
{
    if (job == NULL)
        return;
    roma_prefetch_engine *engine = job->engine;
    if (roma__engine_is_gone(engine)) {
        roma__job_forget(job);
        return;
    }
    roma__engine_lock(engine);
    job->on_done = NULL;
    job->has_handle = false;
    while (job->calling && roma__calling == NULL)
        (void)pthread_cond_wait(&job->ended, &engine->lock);
    roma__job_drop(job);
    roma__engine_unlock(engine);
}
