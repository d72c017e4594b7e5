/* background.c - the one thread that gives memory back for managers that asked for it.
 *
 * Memory that is free goes back to the kernel when its delay is over and somebody comes by: a slow
 * path, or trim. Behind a process that has gone idle nobody comes by. A manager with
 * roma_options.background is then visited by this thread, four times in its delay: so what is freed
 * last, and lies in the cache of a thread that sleeps, is back after at most one and a half delays.
 *
 * The thread is there while such managers are, one for all of them. It is started through the table
 * of system calls, which blocks signals in it. A fork leaves it behind: the child marks that, and
 * makes a new one at its next slow path, because a handler of fork() is no place to start threads.
 *
 * Two locks. `life` is held by who starts or ends the thread, also while waiting for its end.
 * `lock` is for everything else and inside of `life`; the thread holds it while it works, so that a
 * manager that leaves finds the thread outside of its heaps. Limit: leaving, joining and fork()
 * wait for a visit under way, which lasts as long as the kernel takes to free what is due. */
#include "manager/manager.h"

#include "base/error.h"
#include "sys/sys.h"

#include <errno.h>
#include <time.h>

static struct {
    pthread_mutex_t life, lock;
    pthread_cond_t wake; /* managers or must_end have changed  */
    bool wake_is_made;
    bool is_running, must_end;
    void *thread;
    roma_manager *first;
    _Atomic(bool)
        was_left; /* by a fork: the thread is to be made anew; relaxed, who swaps it acts */
} background = {.life = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the thread ------------------------------------------------------------------------------ */

enum { LEAST_INTERVAL_NS = 1000000, VISITS = 4, SECOND_NS = 1000000000 };

static uint64_t interval_ns(void)
{
    uint64_t interval = UINT64_MAX / VISITS;
    for (roma_manager *manager = background.first; manager; manager = manager->background_next)
        if (manager->return_delay_ns / VISITS < interval)
            interval = manager->return_delay_ns / VISITS;
    return interval < LEAST_INTERVAL_NS ? LEAST_INTERVAL_NS : interval;
}

static struct timespec time_in(uint64_t delay_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t ns = (uint64_t)now.tv_nsec + delay_ns % SECOND_NS;
    now.tv_sec += (time_t)(delay_ns / SECOND_NS + ns / SECOND_NS);
    now.tv_nsec = (long)(ns % SECOND_NS);
    return now;
}

static void visit_all(void)
{
    uint64_t now_ns = roma__heap_now_ns();
    for (roma_manager *manager = background.first; manager; manager = manager->background_next)
        ROMA__EACH_HEAP (manager, route)
            (void)roma__heap_return(route->heap, now_ns, true);
}

static void *serve(void *nothing)
{
    pthread_mutex_lock(&background.lock);
    while (!background.must_end) {
        struct timespec until = time_in(interval_ns());
        if (pthread_cond_timedwait(&background.wake, &background.lock, &until) == ETIMEDOUT)
            visit_all();
    }
    pthread_mutex_unlock(&background.lock);
    return nothing;
}

/* ---- its life -------------------------------------------------------------------------------- */

/* Waits are measured by the clock that nobody sets. */
static void make_wake(void)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&background.wake, &attributes);
    pthread_condattr_destroy(&attributes);
    background.wake_is_made = true;
}

/* Under `life`. Returns 0 or -errno. */
static int start(void)
{
    if (background.is_running)
        return 0;
    if (!background.wake_is_made)
        make_wake();
    background.must_end = false;
    if (roma__sys->thread_start(&background.thread, serve, NULL) != 0)
        return -errno;
    background.is_running = true;
    return 0;
}

/* Under `life`, when no manager is left. */
static void stop(void)
{
    if (!background.is_running)
        return;
    pthread_mutex_lock(&background.lock);
    background.must_end = true;
    pthread_cond_signal(&background.wake);
    pthread_mutex_unlock(&background.lock);
    (void)roma__sys->thread_join(background.thread);
    background.is_running = false;
}

/* ---- managers -------------------------------------------------------------------------------- */

int roma__background_join(roma_manager *manager, roma_error *error)
{
    pthread_mutex_lock(&background.life);
    int code = start();
    if (code == 0) {
        pthread_mutex_lock(&background.lock);
        manager->background_next = background.first;
        background.first = manager;
        pthread_cond_signal(&background.wake); /* its delay may be the shortest */
        pthread_mutex_unlock(&background.lock);
    }
    pthread_mutex_unlock(&background.life);
    return code == 0 ? 0 : roma__error_call(error, "pthread_create", -code);
}

void roma__background_leave(roma_manager *manager)
{
    pthread_mutex_lock(&background.life);
    pthread_mutex_lock(&background.lock);
    roma_manager **link = &background.first;
    while (*link != manager)
        link = &(*link)->background_next;
    *link = manager->background_next;
    bool is_last = background.first == NULL;
    pthread_mutex_unlock(&background.lock);
    if (is_last)
        stop();
    pthread_mutex_unlock(&background.life);
}

void roma__background_ensure(void)
{
    if (!atomic_load_explicit(&background.was_left, memory_order_relaxed) ||
        !atomic_exchange_explicit(&background.was_left, false, memory_order_relaxed))
        return;
    pthread_mutex_lock(&background.life);
    if (background.first != NULL)
        (void)start(); /* without it memory goes back later, at slow paths */
    pthread_mutex_unlock(&background.life);
}

/* ---- fork ------------------------------------------------------------------------------------ */

void roma__background_fork_hold(void)
{
    pthread_mutex_lock(&background.life);
    pthread_mutex_lock(&background.lock);
}

void roma__background_fork_free(bool in_child)
{
    if (in_child && background.is_running) {
        background.is_running = false;
        background.wake_is_made = false; /* it may count a waiter that is not here */
        atomic_store_explicit(&background.was_left, true, memory_order_relaxed);
    }
    pthread_mutex_unlock(&background.lock);
    pthread_mutex_unlock(&background.life);
}
