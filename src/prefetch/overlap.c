/* overlap.c - bans, and one read for all.
 *
 * A piece is cut where an op of another job that is in flight begins or ends. The part that both
 * want follows that op: when it comes back well the follower is done, too (joined); if not, or if
 * the follower wants more than the op did (to be mapped), it is read by itself. A follower takes no
 * depth, and waits for nothing but ops in flight, so that chains cannot form; there are only so
 * many at a time, since a long chunk may have thousands of short ones in it. A ban is a part of
 * a file that is to be left: whoever takes a piece in it cancels it. */
#include "prefetch/work.h"

bool roma__work_is_banned(const roma__job *job, const roma__file *file, uint64_t at,
                          uint64_t *bytes)
{
    for (unsigned i = 0; i < job->bans_count; i++) {
        const roma__ban *ban = &job->bans[i];
        if (ban->device != file->device || ban->inode != file->inode || ban->end <= at ||
            ban->offset >= at + *bytes)
            continue;
        if (ban->offset > at) {
            *bytes = ban->offset - at;
            continue;
        }
        if (ban->end < at + *bytes)
            *bytes = ban->end - at;
        return true;
    }
    return false;
}

bool roma__work_is_banned_file(const roma__job *job, const roma__file *file)
{
    for (unsigned i = 0; i < job->bans_count; i++)
        if (job->bans[i].device == file->device && job->bans[i].inode == file->inode)
            return true;
    return false;
}

bool roma__job_has_file(const roma__job *job, const roma__file *file)
{
    for (size_t i = 0; i < job->files_count; i++)
        if (roma__file_is_same(&job->files[i], file))
            return true;
    return false;
}

bool roma__op_is_in(const roma__op *op, const roma__file *file, uint64_t offset, uint64_t end)
{
    if (op->state != ROMA__OP_RUNS)
        return false;
    if (op->file == NULL)
        return roma__job_has_file(op->job, file);
    if (!roma__file_is_same(op->file, file))
        return false;
    return op->task == ROMA__TASK_SYNC || op->task == ROMA__TASK_WINDOW ||
           (op->offset < end && op->offset + op->bytes > offset);
}

roma__op *roma__work_find_leader(roma_prefetch_engine *engine, const roma__job *job,
                                 const roma__file *file, uint64_t at, uint64_t *bytes)
{
    roma__op *leader = NULL;
    if (engine->live_count == 1)
        return NULL;
    for (size_t i = 0; i < engine->ops_high; i++) {
        roma__op *op = &engine->ops[i];
        if (op->state != ROMA__OP_RUNS || op->task != ROMA__TASK_READ || op->job == job ||
            op->offset >= at + *bytes || op->offset + op->bytes <= at ||
            !roma__file_is_same(op->file, file))
            continue;
        if (op->offset > at) {
            *bytes = op->offset - at;
            continue;
        }
        if (op->offset + op->bytes < at + *bytes)
            *bytes = op->offset + op->bytes - at;
        leader = op;
    }
    return leader;
}

void roma__work_follow(roma__op *op, roma__op *leader)
{
    op->state = ROMA__OP_FOLLOWS;
    op->job->engine->followers++;
    op->next = leader->followers;
    leader->followers = op;
}

bool roma__work_is_enough(const roma__op *leader, const roma__op *follower)
{
    switch (follower->job->level) {
    case ROMA_PREFETCH_ISSUED: return true;
    case ROMA_PREFETCH_RESIDENT: /* a short run is not there when its read has only begun */
        if (leader->dense)
            return follower->dense || !leader->was_resident;
        return leader->job->level != ROMA_PREFETCH_ISSUED;
    case ROMA_PREFETCH_MAPPED: return false;
    }
    return false;
}
