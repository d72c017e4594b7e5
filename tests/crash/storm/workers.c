/* workers.c - who makes the storm's calls: worker processes, a second thread in them now and then,
 * and children that they fork.
 *
 * A worker goes on until the leader kills it, wherever it is. Its beats tell the leader that it
 * gets on. A forked child finds the store stale, closes it, attaches anew and works a little. */
#include "storm.h"

#include "../support/chance.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ---- threads --------------------------------------------------------------------------------- */

/* A worker has a second thread now and then. What either of them holds the other one may get: it
 * is the session's. */
enum { HANDED_MAX = 16 };
static struct {
    pthread_mutex_t lock;
    scene_hold held[HANDED_MAX];
    unsigned count;
    bool has_thread;
    pthread_t thread;
} both = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void do_hand_over(void)
{
    (void)pthread_mutex_lock(&both.lock);
    if (storm_me.count != 0 && both.count < HANDED_MAX && chance_draw(2) != 0)
        both.held[both.count++] = storm_let_go((unsigned)chance_draw(storm_me.count));
    else if (both.count != 0 && storm_me.count < STORM_HELD_MAX)
        storm_me.held[storm_me.count++] = both.held[--both.count];
    (void)pthread_mutex_unlock(&both.lock);
}

static void do_some(unsigned count);

static void *help(void *context)
{
    const struct storm_worker *worker = context;
    storm_me.index = worker->index;
    storm_me.store = worker->store;
    storm_me.is_helper = true;
    chance_state = __atomic_add_fetch(&storm_shared->marks, 1, __ATOMIC_RELAXED) *
                       UINT64_C(0x9e3779b97f4a7c15) |
                   1;
    do_some(300);
    if (chance_draw(2) != 0)
        storm_release_all(); /* else what it holds stays the session's to its end */
    return NULL;
}

static void end_thread(void)
{
    if (both.has_thread)
        (void)pthread_join(both.thread, NULL);
    both.has_thread = false;
}

static void do_thread(void)
{
    static struct storm_worker worker;
    end_thread();
    worker = storm_me;
    both.has_thread = pthread_create(&both.thread, NULL, help, &worker) == 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

static void attach(void)
{
    roma_store_options open = roma_store_options_default();
    open.label = "storm";
    open.unsynced = true;
    roma_error error = {0};
    char sentence[256];
    int code = roma_store_attach(storm_fd, &open, &storm_me.store, &error);
    if (code < 0) {
        (void)printf("VIOLATION: cannot attach: %s\n",
                     roma_error_text(&error, sentence, sizeof sentence));
        _exit(STORM_EXIT_VIOLATION);
    }
    storm_me.count = 0;
}

static void reattach(void)
{
    end_thread();
    both.count = 0;
    storm_must(roma_store_close(storm_me.store), 0, 0, "close", NULL);
    attach();
}

/* The child dies with its parent, wherever it is. */
static void do_fork(void)
{
    (void)pthread_mutex_lock(&both.lock);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        both.count = 0;
    (void)pthread_mutex_unlock(&both.lock);
    if (pid != 0)
        return;
    both.has_thread = false;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    if (!roma_store_is_stale(storm_me.store) || roma_store_alloc(storm_me.store, 16) != NULL ||
        errno != ESTALE)
        storm_violation("a store is not stale after fork()", NULL, -EINVAL);
    storm_must(roma_store_close(storm_me.store), 0, 0, "close after fork", NULL);
    chance_state += (uint64_t)getpid();
    attach();
    do_some(200);
    end_thread();
    if (chance_draw(2) != 0)
        storm_must(roma_store_close(storm_me.store), 0, 0, "close", NULL);
    _exit(0);
}

static void do_often(void)
{
    unsigned call = (unsigned)chance_draw(storm_calls_count + 1);
    if (call == storm_calls_count)
        do_hand_over();
    else
        storm_calls[call]();
}

static void do_one(void)
{
    if (storm_me.count > STORM_HELD_MAX - 4)
        storm_release_all();
    uint64_t rare = chance_draw(2000);
    if (rare == 0)
        storm_trim();
    else if (rare == 1)
        storm_recover();
    else if (rare == 2 && !storm_me.is_helper)
        reattach();
    else if (rare == 3)
        storm_release_all();
    else if (rare < 12 && !storm_me.is_helper)
        do_thread();
    else
        do_often();
}

static void do_some(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        do_one();
    __atomic_add_fetch(&storm_shared->calls, count, __ATOMIC_RELAXED);
    __atomic_add_fetch(&storm_shared->beats[storm_me.index], 1, __ATOMIC_RELAXED);
}

void storm_work(unsigned index, uint64_t seed)
{
    storm_me.index = index;
    chance_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    (void)signal(SIGCHLD, SIG_IGN);
    attach();
    for (;;) {
        do_some(20);
        if (chance_draw(400) == 0) {
            __atomic_add_fetch(&storm_shared->forks, 1, __ATOMIC_RELAXED);
            do_fork();
        }
    }
}
