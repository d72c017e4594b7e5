/* submit.c - from ranges to a job in the engine's list.
 *
 * The submitter does what only it can: it checks the arguments, while they are still the caller's
 * business, and copies them into one record. Sorting, lengths of files, looking at what is resident
 * and all calls are left to whoever works for the engine. */
#include "prefetch/engine.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "prefetch/range.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>
#include <time.h>

/* ---- the record ----------------------------------------------------------------------------- */

struct layout {
    size_t asked, order, spare, files, runs, bytes;
};

static bool add_part(size_t *at, size_t count, size_t item_bytes, size_t *part)
{
    size_t bytes;
    *part = *at;
    return !roma__mul_overflows(count, item_bytes, &bytes) &&
           !roma__add_overflows(*at, bytes, at) && !roma__align_up_overflows(*at, 16, at);
}

/* Parts that are never touched cost no memory: each is sized for the worst. */
static bool lay_out(size_t n, struct layout *layout)
{
    size_t at = roma__align_up(sizeof(roma__job), 16);
    bool fits = n <= UINT32_MAX / 4 && add_part(&at, n, sizeof(roma__asked), &layout->asked) &&
                add_part(&at, n, sizeof(uint32_t), &layout->order) &&
                add_part(&at, n, sizeof(uint32_t), &layout->spare) &&
                add_part(&at, n, sizeof(roma__file), &layout->files) &&
                add_part(&at, roma__runs_most(n), sizeof(roma__run), &layout->runs);
    layout->bytes = at;
    return fits;
}

static roma__job *new_job(size_t n, roma_error *error)
{
    struct layout layout;
    if (!lay_out(n, &layout)) {
        (void)roma__error_subject(error, -EOVERFLOW, ROMA_WHY_INVALID, "n");
        return NULL;
    }
    char *record = roma__record_new(layout.bytes);
    if (record == NULL) {
        (void)roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
        return NULL;
    }
    roma__job *job = (roma__job *)(void *)record;
    job->record_bytes = layout.bytes;
    job->n = n;
    job->asked = (roma__asked *)(void *)(record + layout.asked);
    job->order = (uint32_t *)(void *)(record + layout.order);
    job->spare = (uint32_t *)(void *)(record + layout.spare);
    job->files = (roma__file *)(void *)(record + layout.files);
    job->runs = (roma__run *)(void *)(record + layout.runs);
    job->event_fd = job->own_fd = -1;
    return job;
}

static void free_new_job(roma__job *job)
{
    if (job->own_fd >= 0)
        (void)roma__sys->close(job->own_fd);
    roma__record_free(job, job->record_bytes);
}

/* ---- ranges --------------------------------------------------------------------------------- */

/* The job's index of a range's file, which is looked at when it is new. */
static int find_file(roma__job *job, const roma_file_range *range, size_t index, uint32_t *found,
                     roma_error *error)
{
    int fd = range->map != NULL ? roma_map_fd(range->map) : range->fd;
    for (size_t i = job->files_count; i-- > 0;) {
        if (job->files[i].fd == fd) {
            *found = (uint32_t)i;
            return 0;
        }
    }
    int code = roma__range_file(range, index, &job->files[job->files_count], error);
    *found = (uint32_t)job->files_count;
    if (code == 0)
        job->files_count++;
    return code;
}

static int read_ranges(roma__job *job, const roma_file_range *ranges, roma_error *error)
{
    for (size_t i = 0; i < job->n; i++) {
        uint32_t file = 0;
        int code = find_file(job, &ranges[i], i, &file, error);
        if (code == 0)
            code = roma__range_check(&ranges[i], i, &job->files[file], &job->asked[i], error);
        if (code < 0)
            return code;
        job->asked[i].file = file;
        if (job->level == ROMA_PREFETCH_MAPPED && job->asked[i].base == ROMA__UNMAPPED)
            return roma__range_error(error, i, roma__error_invalid(error, "address"));
    }
    return 0;
}

/* ---- the list ------------------------------------------------------------------------------- */

static void init_end(roma__job *job)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&job->ended, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

static void enlist(roma_prefetch_engine *engine, roma__job *job)
{
    job->engine = engine;
    job->next_all = engine->all;
    if (engine->all != NULL)
        engine->all->previous_all = job;
    engine->all = job;
    job->previous = engine->last;
    if (engine->last != NULL)
        engine->last->next = job;
    else
        engine->first = job;
    engine->last = job;
    engine->live_count++;
    engine->unplanned_count++;
    engine->references++;
    job->number = ++engine->figures.submits;
    for (size_t i = 0; i < job->n; i++)
        engine->figures.requested += job->asked[i].bytes;
}

static int submit(roma_prefetch_engine *engine, roma__job *job, const roma_file_range *ranges,
                  roma_prefetch_handle **handle, roma_error *error)
{
    int code = read_ranges(job, ranges, error);
    if (code < 0) {
        free_new_job(job);
        return code;
    }
    init_end(job);
    job->references = handle != NULL ? 2 : 1; /* the engine's, until it is settled */
    job->has_handle = handle != NULL;
    roma__engine_lock(engine);
    code = roma__engine_refuses(engine, error);
    if (code < 0) {
        roma__engine_unlock(engine);
        (void)pthread_cond_destroy(&job->ended);
        free_new_job(job);
        return code;
    }
    enlist(engine, job);
    if (handle != NULL)
        *handle = job;
    else
        job->references++; /* this call's own */
    roma__engine_unlock(engine);
    engine->way->submitted(engine, job);
    if (handle == NULL) {
        roma__engine_lock(engine);
        roma__job_drop(job);
        roma__engine_unlock(engine);
    }
    return 0;
}

static int begin(roma_prefetch_engine *engine, const roma_file_range *ranges, size_t n,
                 roma__job **job, roma_error *error)
{
    if (engine == NULL)
        return roma__error_invalid(error, "engine");
    if (ranges == NULL && n > 0)
        return roma__error_invalid(error, "ranges");
    if (roma__engine_is_gone(engine))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an engine of the parent");
    roma_error ours = {.node = -1};
    *job = new_job(n, &ours);
    if (*job != NULL)
        return 0;
    if (error != NULL)
        *error = ours;
    return ours.code;
}

int roma_prefetch_submit(roma_prefetch_engine *engine, const roma_file_range *ranges, size_t n,
                         roma_prefetch_level level, roma_prefetch_handle **handle,
                         roma_error *error)
{
    roma__job *job = NULL;
    if ((unsigned)level > ROMA_PREFETCH_MAPPED)
        return roma__error_invalid(error, "level");
    int code = begin(engine, ranges, n, &job, error);
    if (code < 0)
        return code;
    if (level != ROMA_PREFETCH_ISSUED && !engine->report.populate) {
        free_new_job(job);
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "MADV_POPULATE_READ (Linux 5.14)");
    }
    job->level = level;
    return submit(engine, job, ranges, handle, error);
}

int roma__submit_by_itself(roma_prefetch_engine *engine, const roma_file_range *range,
                           roma_prefetch_level level, roma_error *error)
{
    roma__job *job = NULL;
    roma_file_range own = *range;
    int code = begin(engine, range, 1, &job, error);
    if (code < 0)
        return code;
    own.fd = job->own_fd = roma__sys->dup(range->fd);
    if (own.fd < 0) {
        code = roma__error_call(error, "dup", errno);
        free_new_job(job);
        return code;
    }
    job->level = level;
    return submit(engine, job, &own, NULL, error);
}

int roma_flush_submit(roma_prefetch_engine *engine, const roma_file_range *ranges, size_t n,
                      roma_prefetch_handle **handle, roma_error *error)
{
    roma__job *job = NULL;
    int code = begin(engine, ranges, n, &job, error);
    if (code < 0)
        return code;
    job->is_flush = true;
    return submit(engine, job, ranges, handle, error);
}
