/* work.h - the parts of the engine's bookkeeping, for one another; the engine's lock is held.
 *
 *   op.c       ops: made, in flight, taken again, free     overlap.c  bans, and one read for all
 *   account.c  what of a job is done, failed, cancelled    finish.c   what came of an op
 *   flush.c    flushes: the next write, and when           work.c     what could be begun now
 *   sync.c     what came of a flush's sync, and for whom */
#ifndef ROMA_PREFETCH_WORK_H
#define ROMA_PREFETCH_WORK_H

#include "prefetch/engine.h"

/* ---- op.c ----------------------------------------------------------------------------------- */

void roma__work_add_flying(roma_prefetch_engine *engine, roma__op *op);
void roma__work_remove_flying(roma_prefetch_engine *engine, const roma__op *op);
/* Is there depth left for long or short runs? */
bool roma__work_has_depth(const roma_prefetch_engine *engine, bool dense);
/* May a piece of this job fly: is there depth for it, and is it within the byte budget? One piece
 * always is. One that is refused for its length is the next of all: shorter ones would else keep it
 * from ever flying. */
bool roma__work_may_fly(roma_prefetch_engine *engine, const roma__job *job, bool dense,
                        uint64_t bytes);
/* There is a free op. */
roma__op *roma__work_new_op(roma__job *job, roma__task task, uint32_t run, uint64_t offset,
                            uint64_t bytes);
/* One that its job waits for: nobody else takes from the job meanwhile. */
roma__op *roma__work_new_step(roma__job *job, roma__task task, uint64_t offset, uint64_t bytes);
void roma__work_free_op(roma_prefetch_engine *engine, roma__op *op);
/* Its job's window, if it uses one, may be mapped anew as far as it is concerned. */
void roma__work_release_window(roma__op *op);
void roma__work_push_again(roma_prefetch_engine *engine, roma__op *op);
/* One that was taken from there and may not fly: that is no news, and wakes nobody. */
void roma__work_put_back(roma_prefetch_engine *engine, roma__op *op);
/* What an op that is not in flight has from `bytes` on becomes another, to be taken again. False:
 * no op is free for it. */
bool roma__work_split(roma_prefetch_engine *engine, roma__op *op, uint64_t bytes);
/* This job is to be looked at out of turn. */
void roma__work_note_due(roma__job *job);
/* It stays in flight: its read has been issued, and nobody has seen yet that it came. */
void roma__work_push_issued(roma_prefetch_engine *engine, roma__op *op);
/* The one that was issued first. */
roma__op *roma__work_pop_issued(roma_prefetch_engine *engine);

/* ---- account.c ------------------------------------------------------------------------------ */

/* The ranges that a part of a run stands for get a code, those that have none yet, and the call
 * that met it (0: none). */
void roma__work_mark(roma__job *job, const roma__run *run, uint64_t offset, uint64_t bytes,
                     int code, roma__call_kind call);
void roma__work_account_done(roma__job *job, uint64_t bytes, bool resident);
void roma__work_account_failed(roma__job *job, uint32_t run, uint64_t offset, uint64_t bytes,
                               int code, roma__call_kind call);
void roma__work_account_cancelled(roma__job *job, uint32_t run, uint64_t offset, uint64_t bytes);
/* What was begun of a flush in the file of this run, its first, comes to its end: durable, failed
 * or, with -ECANCELED, given up. Returns the run behind those of the file. */
size_t roma__work_account_sync(roma__job *job, size_t first, int code);
/* The cursor moves on. */
void roma__work_advance(roma__job *job, uint64_t bytes);
/* An op that is not in flight goes, cancelled. */
void roma__work_cancel_op(roma_prefetch_engine *engine, roma__op *op);
void roma__work_end_job(roma_prefetch_engine *engine, roma__job *job);

/* ---- work.c --------------------------------------------------------------------------------- */

/* The length of a piece at the cursor that may have `most` bytes, where the budget allows so
 * much. */
uint64_t roma__work_piece_within(const roma__job *job, const roma__run *run, size_t most);

/* Whether the kernel tells, as far as is known, what of a file is cached, */
static inline bool roma__work_may_look(const roma__file *file)
{
    return file->may_ask && !file->is_silent;
}

/* and by the call that costs little. */
static inline bool roma__work_has_cachestat(const roma__job *job, const roma__file *file)
{
    return roma__work_may_look(file) && job->engine->report.cachestat && !file->is_stacked;
}

/* No write of a flush is in flight: what is are its syncs. */
static inline bool roma__work_is_written(const roma__job *job)
{
    return job->active == job->syncing;
}

/* ---- flush.c -------------------------------------------------------------------------------- */

/* Its runs are known. */
void roma__work_plan_flush(roma__job *job);
/* The next write, or one that was begun and is to be waited for; NULL: none may be, or is left. */
roma__op *roma__work_take_write(roma__job *job);
/* When all writes are over: the next sync. NULL: none may be begun, or is left. */
roma__op *roma__work_take_sync(roma__job *job);
void roma__work_finish_write(roma_prefetch_engine *engine, roma__op *op);

/* ---- sync.c --------------------------------------------------------------------------------- */

/* A sync came back, and was judged: its flush, or several, come to their end. */
void roma__work_finish_sync(roma_prefetch_engine *engine, roma__op *op);
/* A write of that file was waited for, with that result, and is not in flight any more. */
void roma__work_finish_written(roma_prefetch_engine *engine, const roma__file *file, int result);
/* A write of that file was begun, with that result: it is to be waited for, or not in flight any
 * more. */
void roma__work_finish_begun(roma_prefetch_engine *engine, const roma__file *file, int result);
/* A flush was planned: it tells what was met before, and told by nobody. */
void roma__work_hear_untold(const roma_prefetch_engine *engine, roma__job *job);

/* ---- overlap.c ------------------------------------------------------------------------------ */

/* Whether a ban is about what a job does through this descriptor, and to addresses of this base. */
bool roma__work_ban_has(const roma__ban *ban, const roma__job *job, const roma__file *file,
                        uintptr_t base);
/* Of a run, cut `*bytes` where a ban begins or ends; true when what is left lies in one. */
bool roma__work_is_banned(const roma__job *job, const roma__run *run, uint64_t at,
                          uint64_t *bytes);
/* Through which of a planned job's descriptors a file is to be synced: this one, or where it was
 * left another one of the file. NULL: the file is not to be synced. */
const roma__file *roma__work_sync_through(const roma__job *job, const roma__file *file);
/* The op in flight that reads what a piece of this job begins with. `*bytes` is cut where such an
 * op begins or ends. */
roma__op *roma__work_find_leader(roma_prefetch_engine *engine, const roma__job *job,
                                 const roma__file *file, uint64_t at, uint64_t *bytes);
void roma__work_follow(roma__op *op, roma__op *leader);
/* Whether what the leader did is what the follower wants. */
bool roma__work_is_enough(const roma__op *leader, const roma__op *follower);

#endif
