/* sync.c - a sync came back, or a wait for a write: what it met concerns every flush of the file.
 *
 * The kernel tells of an error in writing back once for each open file, to whom it asks first. Two
 * flushes through one descriptor, or a duplicate of it, both lost pages; the one whose sync comes
 * second hears 0, and must not call that durable. So an error is noted in every flush of the file
 * that the engine has then, whatever its descriptor, and is its result where its own sync met none.
 *
 * Syncs of a file may run at once, and writes of flushes, which are told as well; the one that was
 * told may come back last. So a sync that came back well stays in flight until those have come back
 * that were in flight then: a write with its beginning, and where it is waited for with that. Of
 * these the time is noted, in ops taken, of the first sync that came back before them; who begins
 * later has none yet, or a later one, and is not waited for: a steady stream of flushes delays
 * nobody for long.
 *
 * A file system may also lose pages while their write is begun, and tell that call alone (ext4,
 * where blocks that it had promised cannot be had). So what a beginning met counts as well, but for
 * what leaves the pages dirty: the sync writes them then.
 *
 * A flush that is given up may have heard, and ends without a sync that tells. So what a write met
 * is kept until a flush of the file has told it: the next one does, if nobody else. A file that got
 * the inode number of one that is gone is told by when its inode was made, where the file system
 * keeps that. Of more files than are kept the latest count.
 *
 * What others hear is not known here: another engine, a provider's sync, the program's own. */
#include "prefetch/work.h"

#include "sys/birth.h"

#include <errno.h>

/* Is a result about the call alone, and nobody else's? A file system may give errors names of its
 * own: what is not known to be of calls is of the file's pages. */
static bool is_of_call(int code)
{
    return code >= 0 || code == -EBADF || code == -ECANCELED || code == -ENOSYS;
}

/* These two a sync may be told when it is interrupted; it was made again as often as it may be. */
static bool is_of_sync(int code)
{
    return is_of_call(code) || code == -EAGAIN || code == -EINTR;
}

/* Nor has such a call looked at any page. */
static bool is_of_wait(int code)
{
    return is_of_call(code) || code == -ESPIPE;
}

/* After these the pages are dirty still. */
static bool is_of_beginning(int code)
{
    return is_of_wait(code) || code == -EAGAIN || code == -EINTR || code == -ENOMEM;
}

static void tell_all(roma_prefetch_engine *engine, const roma__file *file, int code)
{
    for (roma__job *job = engine->first; job != NULL; job = job->next)
        for (size_t i = 0; job->is_flush && i < job->files_count; i++)
            if (roma__file_is_same(&job->files[i], file) && job->files[i].sync_code == 0)
                job->files[i].sync_code = code;
}

/* Is it told of errors of this file when it comes back? */
static bool hears_of(const roma__op *op, const roma__file *file)
{
    const bool is_told = op->task == ROMA__TASK_SYNC || op->task == ROMA__TASK_WRITE;
    return op->state == ROMA__OP_RUNS && is_told && roma__file_is_same(op->file, file);
}

static void note_return(roma_prefetch_engine *engine, roma__op *returned)
{
    returned->returned_at = engine->taken + 1;
    for (size_t i = 0; i < engine->ops_high; i++) {
        roma__op *op = &engine->ops[i];
        if (op->met_at == 0 && op->returned_at == 0 && hears_of(op, returned->file))
            op->met_at = returned->returned_at;
    }
}

/* Whether a sync that came back well may yet hear of an error from one that has not. */
static bool must_wait(const roma_prefetch_engine *engine, const roma__op *returned)
{
    if (returned->code != 0 || returned->file->sync_code != 0)
        return false;
    for (size_t i = 0; i < engine->ops_high; i++) {
        const roma__op *op = &engine->ops[i];
        if (op->met_at != 0 && op->met_at <= returned->returned_at && op->returned_at == 0 &&
            hears_of(op, returned->file))
            return true;
    }
    return false;
}

/* ---- what nobody has told ------------------------------------------------------------------- */

static bool is_untold_of(const struct roma__untold *untold, const roma__file *file)
{
    return untold->code != 0 && untold->device == file->device && untold->inode == file->inode;
}

/* Of another file that had this one's inode number. */
static bool is_of_before(const struct roma__untold *untold, const roma__file *file)
{
    uint64_t birth_ns = untold->birth_ns != 0 ? roma__birth_ns(file->fd) : 0;
    return birth_ns != 0 && birth_ns != untold->birth_ns;
}

static void note_untold(roma_prefetch_engine *engine, const roma__file *file, int code)
{
    for (size_t i = 0; i < ROMA__UNTOLD; i++) {
        struct roma__untold *untold = &engine->untold[i];
        if (!is_untold_of(untold, file))
            continue;
        if (!is_of_before(untold, file))
            return;
        untold->code = 0;
    }
    engine->untold[engine->untold_count++ % ROMA__UNTOLD] = (struct roma__untold){
        file->device, file->inode, roma__birth_ns(file->fd), code};
}

static void forget_untold(roma_prefetch_engine *engine, const roma__file *file)
{
    for (size_t i = 0; i < ROMA__UNTOLD; i++)
        if (is_untold_of(&engine->untold[i], file))
            engine->untold[i].code = 0;
}

void roma__work_hear_untold(const roma_prefetch_engine *engine, roma__job *job)
{
    for (size_t i = 0; i < job->files_count; i++)
        for (size_t k = 0; k < ROMA__UNTOLD; k++)
            if (job->files[i].sync_code == 0 && is_untold_of(&engine->untold[k], &job->files[i]) &&
                !is_of_before(&engine->untold[k], &job->files[i]))
                job->files[i].sync_code = engine->untold[k].code;
}

/* ---- ends ----------------------------------------------------------------------------------- */

/* Of a sync that failed all that was begun of its file may be lost, whatever the range. */
static void end_sync(roma_prefetch_engine *engine, roma__op *op)
{
    int told = op->file->sync_code;
    roma__work_remove_flying(engine, op);
    op->job->syncing--;
    if (told != 0)
        forget_untold(engine, op->file);
    (void)roma__work_account_sync(op->job, op->run, told != 0 ? told : op->code);
    roma__work_free_op(engine, op);
}

/* Those that waited for nobody else. */
static void end_syncs(roma_prefetch_engine *engine, const roma__file *file)
{
    for (size_t i = 0; i < engine->ops_high; i++) {
        roma__op *returned = &engine->ops[i];
        if (hears_of(returned, file) && returned->returned_at != 0 && !must_wait(engine, returned))
            end_sync(engine, returned);
    }
}

static void hear(roma_prefetch_engine *engine, const roma__file *file, int code)
{
    note_untold(engine, file, code);
    tell_all(engine, file, code);
}

void roma__work_finish_begun(roma_prefetch_engine *engine, const roma__file *file, int result)
{
    if (!is_of_beginning(result))
        hear(engine, file, result);
    end_syncs(engine, file);
}

void roma__work_finish_written(roma_prefetch_engine *engine, const roma__file *file, int result)
{
    if (!is_of_wait(result)) /* who made such a call again would be told 0 */
        hear(engine, file, result == -EINTR || result == -EAGAIN ? -EIO : result);
    end_syncs(engine, file);
}

void roma__work_finish_sync(roma_prefetch_engine *engine, roma__op *op)
{
    const roma__file *file = op->file;
    if (op->come_again) {
        roma__work_remove_flying(engine, op);
        op->tries++;
        op->met_at = 0;
        roma__work_push_again(engine, op);
    } else {
        note_return(engine, op);
        if (!is_of_sync(op->code))
            tell_all(engine, file, op->code);
    }
    end_syncs(engine, file);
}
