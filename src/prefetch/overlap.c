/* overlap.c - bans, and one read for all.
 *
 * A piece is cut where an op of another job that is in flight begins or ends. The part that both
 * want follows that op: when it comes back well the follower is done, too (joined); if not, or if
 * the follower wants more than the op did (to be mapped), it is read by itself. A follower takes no
 * depth, and waits for nothing but ops in flight, so that chains cannot form; there are only so
 * many at a time, since a long chunk may have thousands of short ones in it.
 *
 * A ban is a part of a file that is to be left: whoever takes a piece in it cancels it. One of a
 * map that is closed is about pieces that go through the map's descriptor, or populate its
 * addresses; others of the same bytes go on. A run is of one descriptor all of whose bytes are in
 * ranges that name it: so what was asked for through others alone is never lost with it.
 *
 * A flush's sync is of the file, whatever its descriptor. Where the one that it was to go through
 * is a closed map's it goes through another one of the file that the request names. That one is
 * open: a program may close a descriptor once the handle is done, once its map's ban has been
 * waited for, or once it has cancelled all that was asked for through it; and a ban of cancelled
 * ranges is about every descriptor of the file, so that there is no sync. (One that was named for
 * no byte gets no ban, and is not taken.) The choice is made in the hold of the lock that puts the
 * op in flight: who closes a map has noted its ban before that, or finds the op there and waits. */
#include "prefetch/work.h"

bool roma__work_ban_has(const roma__ban *ban, const roma__job *job, const roma__file *file,
                        uintptr_t base)
{
    if (ban->device != file->device || ban->inode != file->inode)
        return false;
    return ban->fd < 0 || ban->fd == file->fd ||
           (job->level == ROMA_PREFETCH_MAPPED && ban->base == base);
}

bool roma__work_is_banned(const roma__job *job, const roma__run *run, uint64_t at, uint64_t *bytes)
{
    for (unsigned i = 0; i < job->bans_count; i++) {
        const roma__ban *ban = &job->bans[i];
        if (ban->end <= at || ban->offset >= at + *bytes ||
            !roma__work_ban_has(ban, job, &job->files[run->file], run->base))
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

/* Whether any is about this descriptor: its file is not to be synced through it. */
static bool is_banned_file(const roma__job *job, const roma__file *file)
{
    for (unsigned i = 0; i < job->bans_count; i++)
        if (roma__work_ban_has(&job->bans[i], job, file, ROMA__UNMAPPED))
            return true;
    return false;
}

const roma__file *roma__work_sync_through(const roma__job *job, const roma__file *file)
{
    if (!is_banned_file(job, file))
        return file;
    for (size_t i = 0; i < job->files_count; i++) {
        const roma__file *other = &job->files[i];
        if (other->wanted && roma__file_is_same(other, file) && !is_banned_file(job, other))
            return other;
    }
    return NULL;
}

/* A plan asks for the lengths of all files that its job has, through their descriptors. */
static bool plan_is_in(const roma__job *job, const roma__ban *ban)
{
    for (size_t i = 0; i < job->files_count; i++)
        if (roma__work_ban_has(ban, job, &job->files[i], ROMA__UNMAPPED))
            return true;
    return false;
}

bool roma__op_is_in(const roma__op *op, const roma__ban *ban)
{
    const roma__job *job = op->job;
    if (op->state != ROMA__OP_RUNS)
        return false;
    if (op->file == NULL)
        return plan_is_in(job, ban);
    if (!roma__work_ban_has(ban, job, op->file, job->runs[op->run].base))
        return false;
    return op->task == ROMA__TASK_SYNC || op->task == ROMA__TASK_WINDOW ||
           (op->offset < ban->end && op->offset + op->bytes > ban->offset);
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
