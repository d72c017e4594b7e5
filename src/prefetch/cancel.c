/* cancel.c - giving up what is still to be done, and waiting until what was begun is over.
 *
 * A handle is given up at its cursor: what lies behind it is cancelled at once, what is in flight
 * comes to its end. Ranges are given up by a note in each job that has them (a ban): pieces that
 * lie in it are cancelled when the cursor comes to them. A job has room for a few that do not
 * touch; one more gives up the whole job. Nothing is asked of the kernel: few calls are in flight
 * at a time, and a read that has begun cannot be taken back.
 *
 * Who gives up waits for the jobs that were there, by their numbers: what these have in flight is
 * all that there will be of them. Jobs that come later are not given up, so a wait for them, too,
 * would last as long as somebody submits. */
#include "prefetch/range.h"
#include "prefetch/work.h"

#include "base/bits.h"
#include "base/error.h"

#include <errno.h>

int roma_prefetch_cancel(roma_prefetch_handle *job)
{
    if (job == NULL)
        return -EINVAL;
    roma_prefetch_engine *engine = job->engine;
    if (roma__engine_is_gone(engine))
        return -ESTALE;
    roma__engine_lock(engine);
    bool is_done = atomic_load_explicit(&job->done, memory_order_relaxed) != 0;
    if (!is_done && !job->cancelled)
        roma__job_give_up(job);
    /* Not `over`: with the engine gone, all of its jobs are done. */
    roma__engine_unlock(engine);
    if (!is_done)
        engine->way->kick(engine);
    return 0;
}

/* ---- ranges --------------------------------------------------------------------------------- */

static bool has_file(const roma__job *job, const roma__ban *ban)
{
    for (size_t i = 0; i < job->files_count; i++)
        if (job->files[i].device == ban->device && job->files[i].inode == ban->inode)
            return true;
    return false;
}

static bool is_about(const roma__ban *ban, const roma__job *job, const roma__asked *asked)
{
    return asked->bytes > 0 && asked->offset < ban->end &&
           asked->offset + asked->bytes > ban->offset &&
           roma__work_ban_has(ban, job, &job->files[asked->file], asked->base);
}

static bool wants(const roma__job *job, const roma__ban *ban)
{
    if (!has_file(job, ban)) /* few files, many ranges */
        return false;
    for (size_t i = 0; i < job->n; i++)
        if (is_about(ban, job, &job->asked[i]))
            return true;
    return false;
}

/* A job that nobody has planned yet: what lies in the ban as a whole will be in no run, and a file
 * with no other range is not looked at any more. So this is about ranges as asked, wherever the
 * file ends. */
static void give_up_inside(roma__job *job, const roma__ban *ban)
{
    for (size_t i = 0; i < job->n; i++) {
        roma__asked *asked = &job->asked[i];
        uint64_t start, stop;
        if (asked->code != 0 || !is_about(ban, job, asked) || asked->offset < ban->offset ||
            asked->offset + asked->bytes > ban->end)
            continue;
        asked->code = -ECANCELED;
        if (!roma__asked_pages(&job->files[asked->file], asked, &start, &stop))
            continue;
        job->total_bytes += stop - start;
        job->cancelled_bytes += stop - start;
        job->engine->figures.cancelled += stop - start;
    }
}

static bool touches(const roma__ban *a, const roma__ban *b)
{
    return a->device == b->device && a->inode == b->inode && a->fd == b->fd && a->base == b->base &&
           a->offset <= b->end && b->offset <= a->end;
}

/* Note it, as one with all that it touches, and return what it has become. NULL: there is no room.
 * Bans that are noted do not touch, so one look at each is enough. */
static const roma__ban *note_ban(roma__job *job, const roma__ban *new)
{
    roma__ban all = *new;
    unsigned kept = 0;
    for (unsigned i = 0; i < job->bans_count; i++) {
        const roma__ban ban = job->bans[i];
        if (touches(&ban, new)) {
            all.offset = roma__min(all.offset, ban.offset);
            all.end = roma__max(all.end, ban.end);
        } else {
            job->bans[kept++] = ban;
        }
    }
    job->bans_count = kept;
    if (kept == ROMA__BANS)
        return NULL;
    job->bans[kept] = all;
    return &job->bans[job->bans_count++];
}

size_t roma__engine_ban(roma_prefetch_engine *engine, const roma__ban *ban, uint64_t last)
{
    size_t count = 0;
    for (roma__job *job = engine->first; job != NULL && job->number <= last; job = job->next) {
        if (!wants(job, ban))
            continue;
        count++;
        const roma__ban *noted = note_ban(job, ban);
        if (!job->planned && !job->held)
            give_up_inside(job, noted != NULL ? noted : ban);
        if (noted == NULL)
            roma__job_give_up(job);
        else if (!job->held)
            roma__work_note_due(job);
    }
    return count;
}

bool roma__engine_has_left(const roma_prefetch_engine *engine, const roma__ban *ban, uint64_t last)
{
    for (size_t i = 0; i < engine->ops_high; i++) {
        const roma__op *op = &engine->ops[i];
        if (roma__op_is_in(op, ban) && op->job->number <= last)
            return false;
    }
    return true;
}

void roma__engine_await_left(roma_prefetch_engine *engine, const roma__ban *ban, uint64_t last)
{
    while (!roma__engine_has_left(engine, ban, last))
        (void)pthread_cond_wait(&engine->changed, &engine->lock);
}

/* Read one range: its file, whatever the descriptor, and the whole pages that it touches, to the
 * end of addresses where it reaches past the file's. */
static int read_range(const roma_file_range *range, size_t index, roma__ban *ban, roma_error *error)
{
    roma__file file = {0};
    roma__asked asked = {0};
    int code = roma__range_file(range, index, &file, error);
    if (code == 0)
        code = roma__range_check(range, index, &file, &asked, error);
    if (code < 0)
        return code;
    uint64_t mask = file.page_bytes - 1;
    *ban = (roma__ban){.device = file.device, .inode = file.inode, .fd = -1};
    ban->offset = ban->end = asked.offset & ~mask;
    if (asked.bytes > 0)
        ban->end = (asked.offset + asked.bytes + mask) & ~mask;
    return 0;
}

int64_t roma_prefetch_cancel_ranges(roma_prefetch_engine *engine, const roma_file_range *ranges,
                                    size_t n, roma_error *error)
{
    if (engine == NULL || (ranges == NULL && n > 0))
        return roma__error_invalid(error, engine == NULL ? "engine" : "ranges");
    if (roma__engine_is_gone(engine))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an engine of the parent");
    if (roma__calling != NULL)
        return roma__error_subject(error, -EDEADLK, ROMA_WHY_UNSUPPORTED, "waiting in a callback");
    roma__ban ban;
    for (size_t i = 0; i < n; i++) { /* all are checked before any is given up */
        int code = read_range(&ranges[i], i, &ban, error);
        if (code < 0)
            return code;
    }
    int64_t count = 0;
    roma__engine_lock(engine);
    const uint64_t last = engine->figures.submits;
    roma__engine_unlock(engine);
    for (size_t i = 0; i < n; i++) {
        if (read_range(&ranges[i], i, &ban, error) < 0 || ban.offset == ban.end)
            continue;
        roma__engine_lock(engine);
        count += (int64_t)roma__engine_ban(engine, &ban, last);
        roma__engine_unlock(engine);
        engine->way->kick(engine);
        roma__engine_lock(engine);
        roma__engine_await_left(engine, &ban, last);
        roma__engine_unlock(engine);
    }
    return count;
}

/* ---- all ------------------------------------------------------------------------------------ */

int64_t roma_prefetch_cancel_all(roma_prefetch_engine *engine)
{
    if (engine == NULL)
        return -EINVAL;
    if (roma__engine_is_gone(engine))
        return -ESTALE;
    if (roma__calling != NULL)
        return -EDEADLK;
    int64_t count = 0;
    roma__engine_lock(engine);
    const uint64_t last = engine->figures.submits;
    for (roma__job *job = engine->first; job != NULL; job = job->next) {
        count++;
        if (!job->cancelled)
            roma__job_give_up(job);
    }
    roma__engine_unlock(engine);
    engine->way->kick(engine);
    roma__engine_lock(engine);
    while (engine->first != NULL && engine->first->number <= last)
        (void)pthread_cond_wait(&engine->changed, &engine->lock);
    roma__engine_unlock(engine);
    return count;
}
