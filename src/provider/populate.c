/* populate.c - making the pages of a range present; see populate.h.
 *
 * MADV_POPULATE_WRITE does what writing to each page would do, but answers with an error where the
 * write would end in SIGBUS. The time goes into clearing pages, which runs side by side on several
 * CPUs; so the range is cut into slices, and each of the threads at work takes the next one until
 * none is left. The caller is one of them. A thread that cannot be started costs nothing but its
 * speed, and neither does an executor that runs its parts late or never: the call waits for parts
 * that have begun, not for those that found nothing left to do. So it cannot wait for itself when
 * it is called on the executor's only thread.
 *
 * Who shares what: the cursor and the first failure are atomics; slices do not overlap. The job
 * lives in a record counted by those who may still look at it, because a late part outlives the
 * call.
 *
 * Pages that are to lie on a node are cleared fastest by a CPU of that node. So threads that are
 * started for such pages move there, also where the caller is pinned elsewhere and they would
 * inherit that; and a caller that is not there itself leaves the work to them.
 *
 * Trust: an emulator may answer 0 to any advice. An advice that no kernel knows tells it apart. */
#include "provider/populate.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "numa/machine.h"
#include "sys/kernel.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

enum {
    SLICE_BYTES = 32 << 20, /* some milliseconds of clearing: the call's own cost vanishes     */
    SLICES_PER_THREAD = 8,  /* so that threads that share a CPU with others end together       */
    THREADS_MAX = 1024,
    TRIES_MAX = 1000, /* EAGAIN for good is an answer, too                               */
    ADVICE_UNKNOWN = 0x6e6f6e65 /* of no kernel */
};

struct job {
    roma__populate wish;
    size_t slice_bytes;
    int honesty;            /* what test_honesty() said                              */
    _Atomic(size_t) next;   /* offset of the first slice that nobody took            */
    _Atomic(int) cause;     /* errno of the first failure; others stop at the sight  */
    _Atomic(unsigned) seen; /* who may still look at this record                     */
    pthread_mutex_t lock;   /* of the two below                                      */
    pthread_cond_t idle;    /* no submitted part is at work                          */
    unsigned working;
    bool over; /* the caller has gone: late parts leave at once         */
    unsigned threads_count;
    void *threads[];
};

/* ---- whether -------------------------------------------------------------------------------- */

static bool is_refusal(int cause)
{
    return cause == EINVAL || cause == EPERM || cause == ENOSYS || cause == EACCES;
}

static int refused(roma_error *error, int cause)
{
    static const char name[] = "MADV_POPULATE_WRITE";
    int code = cause == EINVAL ? roma__error(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED)
                               : roma__error_call(error, "madvise", cause);
    if (error != NULL) {
        error->call = "madvise";
        error->cause = cause;
        roma__text_copy(error->subject, sizeof error->subject,
                        cause == EINVAL ? "MADV_POPULATE_WRITE (Linux 5.14, writable memory)"
                                        : name);
    }
    return code;
}

/* Is an advice that no kernel knows refused? Asked each time: it costs less than one page, and what
 * a filter lets through may change. Returns 0, EINVAL for an emulator that agrees, or errno. */
static int test_honesty(void)
{
    if (roma__sys->madvise(NULL, 0, ADVICE_UNKNOWN) == 0)
        return EINVAL;
    return errno == EINVAL ? 0 : errno;
}

int roma__populate_ready(roma_error *error)
{
    int cause = test_honesty();
    if (cause == 0 && roma__sys->madvise(NULL, 0, MADV_POPULATE_WRITE) != 0)
        cause = errno;
    return cause == 0 ? 0 : refused(error, cause);
}

/* ---- one slice ------------------------------------------------------------------------------ */

/* Exchange a byte of each page for itself. It is a write in any case, and loses nobody else's; the
 * compiler may not leave it out, as it may an addition of nothing. The sanitizers must not take it
 * for an access of the program. */
__attribute__((no_sanitize("address"), no_sanitize("thread"))) static void touch(char *address,
                                                                                 size_t bytes,
                                                                                 size_t page_bytes)
{
    for (size_t at = 0; at < bytes; at += page_bytes) {
        char seen = __atomic_load_n(address + at, __ATOMIC_RELAXED);
        (void)__atomic_compare_exchange_n(address + at, &seen, seen, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED);
    }
}

static int populate_slice(char *address, size_t bytes)
{
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        if (roma__sys->madvise(address, bytes, MADV_POPULATE_WRITE) == 0)
            return 0;
        if (errno != EINTR && errno != EAGAIN)
            return errno;
    }
    return EAGAIN;
}

static int do_slice(const struct job *job, size_t offset, size_t bytes)
{
    const roma__populate *wish = &job->wish;
    char *address = wish->address + offset;
    int cause = job->honesty != 0 ? job->honesty : populate_slice(address, bytes);
    if ((job->honesty != 0 || is_refusal(cause)) && wish->may_touch) {
        touch(address, bytes, wish->page_bytes);
        return 0;
    }
    return cause;
}

/* ---- the parts ------------------------------------------------------------------------------ */

static void work(struct job *job)
{
    const roma__populate *wish = &job->wish;
    while (atomic_load_explicit(&job->cause, memory_order_relaxed) == 0) {
        size_t offset = atomic_fetch_add_explicit(&job->next, job->slice_bytes,
                                                  memory_order_relaxed);
        if (offset >= wish->bytes)
            return;
        int cause = do_slice(job, offset, roma__min(job->slice_bytes, wish->bytes - offset));
        int none = 0;
        if (cause != 0)
            (void)atomic_compare_exchange_strong_explicit(
                &job->cause, &none, cause, memory_order_relaxed, memory_order_relaxed);
    }
}

static size_t job_bytes(unsigned threads_count)
{
    return sizeof(struct job) + threads_count * sizeof(void *);
}

static void drop(struct job *job)
{
    /* Release and acquire: all looks at the record come before its end. */
    if (atomic_fetch_sub_explicit(&job->seen, 1, memory_order_acq_rel) != 1)
        return;
    (void)pthread_cond_destroy(&job->idle);
    (void)pthread_mutex_destroy(&job->lock);
    roma__record_free(job, job_bytes(job->threads_count));
}

static void *run_thread(void *argument)
{
    struct job *job = argument;
    if (!roma_nodes_is_empty(&job->wish.nodes))
        (void)roma__machine_run_on(&job->wish.nodes);
    work(job);
    return NULL;
}

static void run_submitted(void *argument)
{
    struct job *job = argument;
    pthread_mutex_lock(&job->lock);
    bool late = job->over;
    job->working += late ? 0 : 1;
    pthread_mutex_unlock(&job->lock);
    if (!late) {
        work(job);
        pthread_mutex_lock(&job->lock);
        if (--job->working == 0)
            pthread_cond_signal(&job->idle);
        pthread_mutex_unlock(&job->lock);
    }
    drop(job);
}

/* False: the executor runs no work of anybody's. */
static bool submit_parts(struct job *job, const roma_executor *executor, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        atomic_fetch_add_explicit(&job->seen, 1, memory_order_relaxed);
        int code = executor->submit(executor->self, run_submitted, job);
        if (code != 0)
            atomic_fetch_sub_explicit(&job->seen, 1, memory_order_relaxed);
        if (code == -EOPNOTSUPP && i == 0)
            return false;
    }
    return true;
}

static void wait_for_parts(struct job *job)
{
    pthread_mutex_lock(&job->lock);
    job->over = true;
    while (job->working > 0)
        pthread_cond_wait(&job->idle, &job->lock);
    pthread_mutex_unlock(&job->lock);
}

static bool run_on_executor(struct job *job, unsigned others)
{
    if (!submit_parts(job, job->wish.executor, others))
        return false;
    work(job);
    wait_for_parts(job);
    return true;
}

/* Does the caller run where the pages are to lie, as far as it can be told? */
static bool is_near(const roma_nodes *nodes)
{
    unsigned node;
    return roma_nodes_is_empty(nodes) || roma__machine_local_node(&node, NULL) != 0 ||
           roma_nodes_has(nodes, node);
}

static void run_on_threads(struct job *job, unsigned threads)
{
    unsigned started = 0;
    bool takes_part = is_near(&job->wish.nodes) || !roma__machine_has_cpus(&job->wish.nodes);
    unsigned others = takes_part ? threads - 1 : threads;
    while (started < others &&
           roma__sys->thread_start(&job->threads[started], run_thread, job) == 0)
        started++;
    if (takes_part || started == 0)
        work(job);
    while (started > 0)
        (void)roma__sys->thread_join(job->threads[--started]);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static size_t slice_bytes_of(const roma__populate *wish, unsigned threads)
{
    size_t share = wish->bytes / threads / (threads == 1 ? 1 : SLICES_PER_THREAD);
    return roma__align_up(roma__max(1, roma__min(share, SLICE_BYTES)), wish->page_bytes);
}

static int populate_alone(const roma__populate *wish)
{
    struct job alone = {
        .wish = *wish, .slice_bytes = slice_bytes_of(wish, 1), .honesty = test_honesty()};
    work(&alone);
    return atomic_load_explicit(&alone.cause, memory_order_relaxed);
}

static int populate_together(const roma__populate *wish, unsigned threads)
{
    struct job *job = roma__record_new(job_bytes(threads));
    if (job == NULL)
        return populate_alone(wish);
    job->wish = *wish;
    job->slice_bytes = slice_bytes_of(wish, threads);
    job->honesty = test_honesty();
    job->threads_count = threads;
    atomic_init(&job->seen, 1);
    (void)pthread_mutex_init(&job->lock, NULL);
    (void)pthread_cond_init(&job->idle, NULL);
    if (wish->executor == NULL || !run_on_executor(job, threads - 1))
        run_on_threads(job, threads);
    int cause = atomic_load_explicit(&job->cause, memory_order_relaxed);
    drop(job);
    return cause;
}

int roma__populate_now(const roma__populate *wish, roma_error *error)
{
    size_t pages = wish->bytes / wish->page_bytes;
    unsigned threads = wish->threads == 0 ? 1 : wish->threads;
    threads = (unsigned)roma__min(roma__min(threads, THREADS_MAX), roma__max(pages, 1));
    int cause = threads == 1 ? populate_alone(wish) : populate_together(wish, threads);
    if (cause == 0)
        return 0;
    if (is_refusal(cause))
        return refused(error, cause);
    (void)roma__error_call(error, "madvise", cause);
    if (error != NULL)
        roma__text_copy(error->subject, sizeof error->subject, "MADV_POPULATE_WRITE");
    return -cause;
}
