/* way_ring.c - one thread that keeps a ring of calls on their way, and sleeps while they are.
 *
 * All submissions to the kernel are this thread's. The kernel cancels what a thread has in flight
 * when it ends, and a program's threads come and go; and whoever hands calls over pays for starting
 * the kernel's workers. So a program's thread only puts its job into the list, and wakes this one
 * through a descriptor that a poll in the ring waits on, when it is asleep.
 *
 * Short runs that have to be resident are the exception to calls by the kernel's workers. A worker
 * that waits for a page sleeps, and 32 asleep are none left to begin reads; waking one takes longer
 * than beginning a read does. So this thread gives the advice by itself, and puts a read of one
 * byte behind it, which no worker has to sleep for: the ring answers when the page's own read ends.
 * What the byte says is nothing; the answer means that it is time to look. Where one thread cannot
 * keep up, because the device is quick or the way to a page has to be read first, nearly all of
 * many have come before the thread has slept for one: then workers give the advice, for a while.
 * (That many come together while it sleeps says nothing: there are devices that tell of all that
 * they have at once.)
 *
 * The loop: take ops and queue their calls as long as there are both ops and room; hand them over
 * and sleep until something comes back, but for when there was no more room; account for it. Before
 * a step that the engine does itself, what is queued is handed over, so that the device works
 * meanwhile. An op whose calls are linked is done when all have answered. Tags are the op's index
 * and the call's.
 *
 * Nobody takes a call of this ring back. Where one is answered with -ECANCELED, and is not linked
 * behind one that failed, the kernel gave it up: it had no worker for it, and the process may have
 * no more threads (RLIMIT_NPROC, pids.max). That may pass, and is no reason to fail: such a call is
 * made here, but for those that only wait.
 *
 * A ring may break: a filter that comes later can forbid io_uring_enter. Then what was not handed
 * over is called here, plainly, one after the other, as all that follows is; answers to what was
 * handed over come without a call, and are looked for in short intervals. The report tells. So it
 * is where the poll fails: a thread that sleeps without one would not be woken. */
#include "prefetch/engine.h"

#include "base/check.h"
#include "base/error.h"
#include "sys/sys.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>

#define WAKE_TAG (UINT64_MAX - 1) /* liburing keeps the last one for itself */

enum {
    ANSWERS = 64,
    PAUSE_NS = 1000000,
    ADVISED_HERE_MOST_BYTES = 128 << 10, /* longer ones are worth a worker */
    WORKERS_DEPTHS = 4 /* so many queues' worth of short runs are then advised by workers */
};
/* So long the kernel may say that it is busy, or short of memory, before the ring counts as
 * broken. */
static const uint64_t BUSY_MOST_NS = UINT64_C(5) * 1000000000;

/* ---- one op --------------------------------------------------------------------------------- */

static uint64_t tag_of(const roma_prefetch_engine *engine, const roma__op *op, unsigned call)
{
    return (uint64_t)(op - engine->ops) * ROMA__OP_CALLS + call;
}

static void finish(roma_prefetch_engine *engine, roma__op *op)
{
    roma__op_judge(op);
    roma__engine_lock(engine);
    roma__work_finish(engine, op);
    roma__engine_unlock(engine);
}

static void queue(roma_prefetch_engine *engine, const roma__op *op, unsigned call, bool linked)
{
    engine->queued = true;
    roma__rings->queue(engine->ring, &op->calls[call], tag_of(engine, op, call), linked);
}

/* Its advice was given: whoever of the two calls fails first ends it. */
static void advised(roma_prefetch_engine *engine, roma__op *op, int result)
{
    op->results[0] = result;
    if (result >= 0 && !engine->broken) {
        op->calls_left = 1;
        queue(engine, op, 1, false);
        return;
    }
    op->calls_left = 0;
    engine->awaited--;
    finish(engine, op);
}

static void leave_to_workers(roma_prefetch_engine *engine)
{
    engine->left_to_workers = WORKERS_DEPTHS * engine->options.sparse_depth;
}

static void begin_awaited(roma_prefetch_engine *engine, roma__op *op)
{
    engine->awaited++;
    op->calls_left = op->calls_count;
    bool by_worker = engine->left_to_workers > 0;
    engine->left_to_workers -= by_worker;
    if (by_worker || op->bytes > ADVISED_HERE_MOST_BYTES) {
        queue(engine, op, 0, false);
        return;
    }
    advised(engine, op, roma__rings->make(engine->ring, &op->calls[0]));
}

/* Hand over what is queued, before something is done that may take a while. */
static void hand_over(roma_prefetch_engine *engine)
{
    if (engine->queued && !engine->broken)
        engine->queued = roma__rings->enter(engine->ring, 0) < 0; /* else it is tried again */
}

/* To wait for a write would keep this thread from all else: the sync waits. */
static int make_here(const roma__call *call)
{
    return call->kind == ROMA__CALL_AWAIT_WRITE ? 0 : roma__call_make(call);
}

static void begin(roma_prefetch_engine *engine, roma__op *op)
{
    if (!roma__work_is_piece(op))
        hand_over(engine);
    roma__op_prepare(op);
    if (op->calls_count == 0 || engine->broken) {
        roma__op_make_calls(op, make_here);
        finish(engine, op);
        return;
    }
    if (op->awaited) {
        begin_awaited(engine, op);
        return;
    }
    op->calls_left = op->calls_count;
    for (unsigned i = 0; i < op->calls_count; i++)
        queue(engine, op, i, i + 1 < op->calls_count);
}

/* Whether the kernel gave a call up for want of a worker. To await is not worth this thread's
 * sleep: who has not come is populated. */
static bool is_given_up(const roma__op *op, unsigned call)
{
    return op->results[call] == -ECANCELED && op->calls[call].kind != ROMA__CALL_AWAIT;
}

/* Make what was given up, and what was linked behind it, here; nothing behind what fails. */
static void make_given_up(roma__op *op)
{
    for (unsigned i = 0; i < op->calls_count; i++) {
        if (is_given_up(op, i))
            op->results[i] = make_here(&op->calls[i]);
        if (op->results[i] < 0)
            return;
    }
}

static void answer(roma_prefetch_engine *engine, uint64_t tag, int result)
{
    roma__op *op = &engine->ops[tag / ROMA__OP_CALLS];
    unsigned call = tag % ROMA__OP_CALLS;
    roma_check(tag / ROMA__OP_CALLS < engine->ops_count && op->calls_left > 0);
    op->results[call] = result < 0 ? result : 0;
    if (op->awaited && call == 0) {
        if (is_given_up(op, 0))
            op->results[0] = roma__call_make(&op->calls[0]);
        advised(engine, op, op->results[0]);
        return;
    }
    if (--op->calls_left > 0)
        return;
    engine->awaited -= op->awaited;
    make_given_up(op);
    finish(engine, op);
}

/* ---- the loop ------------------------------------------------------------------------------- */

/* Take what can be begun. Returns false when the thread is to end. */
static bool begin_all(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    engine->asleep = false;
    for (;;) {
        bool has_room = engine->broken || roma__rings->room(engine->ring) > ROMA__OP_CALLS;
        roma__op *op = has_room ? roma__work_take(engine) : NULL;
        if (op == NULL && engine->settling != NULL) { /* callbacks */
            roma__engine_unlock(engine);
            hand_over(engine);
            roma__engine_lock(engine);
        }
        if (op == NULL && roma__work_settle(engine))
            continue; /* meanwhile there may be more to do */
        if (op == NULL) {
            bool goes_on = !engine->threads_stop;
            /* With the queue full there may be more to be taken after the next enter. */
            engine->is_full = !has_room;
            engine->asleep = goes_on && has_room && !engine->kicked;
            roma__engine_unlock(engine);
            return goes_on;
        }
        roma__engine_unlock(engine);
        begin(engine, op);
        roma__engine_lock(engine);
    }
}

static void take_kick(roma_prefetch_engine *engine)
{
    uint64_t count;
    (void)roma__sys->read(engine->wake_fd, &count, sizeof count);
    roma__engine_lock(engine);
    engine->kicked = false;
    roma__engine_unlock(engine);
}

/* The poll answered: somebody kicks, or it failed, and says nothing of that. Returns how many
 * answers this is. */
static unsigned answer_poll(roma_prefetch_engine *engine, int result)
{
    engine->polls = false;
    if (result < 0) {
        engine->poll_code = result;
        return 0;
    }
    take_kick(engine);
    return 1;
}

/* Returns how many answers were there, but for a poll that failed. */
static unsigned reap_all(roma_prefetch_engine *engine)
{
    roma__answer answers[ANSWERS];
    unsigned total = 0;
    for (;;) {
        unsigned count = roma__rings->reap(engine->ring, answers, ANSWERS);
        for (unsigned i = 0; i < count; i++) {
            if (answers[i].tag == WAKE_TAG) {
                total += answer_poll(engine, answers[i].result);
                continue;
            }
            answer(engine, answers[i].tag, answers[i].result);
            total++;
        }
        if (count < ANSWERS)
            return total;
    }
}

/* ---- a ring that broke ---------------------------------------------------------------------- */

/* What the kernel did not take is called here, but for what is linked behind a failure. */
static int make_untaken(const roma__op *op, unsigned call)
{
    bool is_behind_failure = call > 0 && op->results[call - 1] < 0;
    return is_behind_failure ? -ECANCELED : make_here(&op->calls[call]);
}

static void break_ring(roma_prefetch_engine *engine, const char *call, int code)
{
    roma__engine_lock(engine);
    engine->broken = true;
    engine->awaits = false;
    roma_prefetch_report *report = &engine->report;
    if (report->steps_count < ROMA_PREFETCH_STEPS) {
        struct roma_prefetch_step *step = &report->steps[report->steps_count++];
        *step = (struct roma_prefetch_step){ROMA_PREFETCH_URING, report->entries, {0}};
        (void)roma__error_call(&step->error, call, -code);
    }
    report->way = ROMA_PREFETCH_POOL;
    report->entries = 0;
    report->threads = 1;
    roma__engine_unlock(engine);

    uint64_t tag;
    while (roma__rings->unqueue(engine->ring, &tag)) {
        if (tag == WAKE_TAG)
            continue;
        const roma__op *op = &engine->ops[tag / ROMA__OP_CALLS];
        answer(engine, tag, make_untaken(op, tag % ROMA__OP_CALLS));
    }
}

/* Sleep until there is something to do, on a ring that cannot be entered; with calls in flight only
 * for a moment. */
static void wait_broken(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    if (!engine->kicked && engine->live_count > 0) {
        uint64_t end_ns = roma__now_ns() + PAUSE_NS;
        const struct timespec end = {(time_t)(end_ns / 1000000000u), (long)(end_ns % 1000000000u)};
        (void)pthread_cond_timedwait(&engine->work, &engine->lock, &end);
    } else if (!engine->kicked) {
        (void)pthread_cond_wait(&engine->work, &engine->lock);
    }
    engine->kicked = false;
    roma__engine_unlock(engine);
}

/* ---- going ---------------------------------------------------------------------------------- */

static void pause_briefly(void)
{
    const struct timespec pause = {0, PAUSE_NS};
    (void)nanosleep(&pause, NULL);
}

/* Whether a refusal is one that ends by itself. That it was interrupted (a debugger, a freezer)
 * says nothing of the ring, however often. */
static bool is_passing(roma_prefetch_engine *engine, int code)
{
    if (code == -EINTR)
        return true;
    if (code != -EAGAIN && code != -EBUSY && code != -ENOMEM)
        return false;
    uint64_t now_ns = roma__now_ns();
    if (engine->busy_since_ns == 0)
        engine->busy_since_ns = now_ns;
    return now_ns - engine->busy_since_ns < BUSY_MOST_NS;
}

/* Hand over what is queued, wait for so many answers, and account for all that are there. */
static int enter(roma_prefetch_engine *engine, unsigned wait, unsigned *count)
{
    int code = roma__rings->enter(engine->ring, wait);
    engine->queued = code < 0;
    *count = reap_all(engine);
    return code;
}

/* Hand over what is queued, and sleep until an answer comes where nothing more can be begun. */
static void go(roma_prefetch_engine *engine)
{
    if (engine->broken) {
        if (reap_all(engine) == 0)
            wait_broken(engine);
        return;
    }
    if (!engine->polls) {
        roma__rings->queue_poll(engine->ring, engine->wake_fd, WAKE_TAG);
        engine->polls = true;
    }
    const unsigned awaited = engine->awaited;
    unsigned count;
    int code = enter(engine, 0, &count);
    if (awaited >= engine->options.sparse_depth / 2 && engine->awaited < awaited / 4)
        leave_to_workers(engine); /* it has not slept, and they have come */
    else if (engine->awaited == 0 && count == 0)
        engine->left_to_workers = 0; /* the list that it was about is over */
    if (code == 0 && count == 0 && engine->polls && !engine->is_full)
        code = enter(engine, 1, &count);
    const char *call = code < 0 ? "io_uring_enter" : "IORING_OP_POLL_ADD"; /* whose code it is */
    code = code < 0 ? code : engine->poll_code;
    engine->poll_code = 0;
    if (code == 0 || count > 0)
        engine->busy_since_ns = 0;
    if (code < 0 && !is_passing(engine, code))
        break_ring(engine, call, code);
    else if (code < 0 && code != -EINTR && count == 0)
        pause_briefly(); /* the kernel has no memory for it now */
}

/* ---- the way -------------------------------------------------------------------------------- */

/* In the lock: a fork finds either all of it or nothing. */
static void close_ring(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    roma__rings->close(engine->ring);
    engine->ring = NULL;
    roma__engine_unlock(engine);
}

static int open_ring(roma_prefetch_engine *engine, roma_error *error)
{
    const roma_prefetch_options *options = &engine->options;
    int code = roma__engine_go_to_cpus(engine, error);
    if (code == 0)
        code = roma__rings->open(&engine->ring, options->entries, options->threads,
                                 options->cpus != NULL, error);
    if (code < 0)
        return code;
    engine->wake_fd = roma__sys->eventfd(0, EFD_NONBLOCK);
    if (engine->wake_fd < 0) {
        code = roma__error_call(error, "eventfd", errno);
        close_ring(engine);
        return code;
    }
    engine->report.entries = roma__rings->room(engine->ring); /* which the kernel may round */
    engine->awaits = true;
    return 0;
}

/* The ring is opened here: the kernel's workers, and how many there may be, belong to the thread
 * that opens one, and a program's thread may have rings of its own. */
static void *run(void *argument)
{
    roma__opening *given = argument;
    roma_prefetch_engine *engine = given->engine;
    int code = open_ring(engine, given->error);
    roma__engine_opened(given, code);
    while (code == 0 && begin_all(engine))
        go(engine);
    return NULL;
}

static int start(roma_prefetch_engine *engine, roma_error *error)
{
    return roma__engine_open(engine, &engine->thread, run, error);
}

/* The thread may wake by itself and end before the write: the descriptor is closed with the
 * engine's record, which who kicks has a reference of, or the registry's lock. */
static void kick(roma_prefetch_engine *engine)
{
    const uint64_t one = 1;
    roma__engine_lock(engine);
    bool is_due = engine->asleep && !engine->kicked;
    engine->kicked = engine->kicked || is_due;
    (void)pthread_cond_signal(&engine->work); /* for a broken ring */
    roma__engine_unlock(engine);
    for (int tries = 0; is_due && tries < ROMA__TRIES; tries++)
        if (roma__sys->write(engine->wake_fd, &one, sizeof one) >= 0)
            return;
    if (is_due) { /* the next one tries again */
        roma__engine_lock(engine);
        engine->kicked = false;
        roma__engine_unlock(engine);
    }
}

static void submitted(roma_prefetch_engine *engine, roma__job *job)
{
    (void)job;
    kick(engine);
}

static void stop(roma_prefetch_engine *engine)
{
    roma__engine_lock(engine);
    engine->threads_stop = true;
    roma__engine_unlock(engine);
    kick(engine);
    (void)roma__sys->thread_join(engine->thread);
    close_ring(engine);
}

const roma__way roma__way_ring = {start, kick, submitted, stop};
