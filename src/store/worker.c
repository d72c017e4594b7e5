/* worker.c - a thread's way to its lane, and what becomes of lanes whose threads end.
 *
 * A thread keeps a short list of (opening, worker); the one used last stands in thread-local
 * variables. Openings have serial numbers, so what is left of a closed one is never mistaken for
 * another at the same address, and is dropped when it is met.
 *
 * References belong to the session, so a lane cannot be given up while the session lives: other
 * threads may hold what its thread allocated. When a thread ends, its worker becomes idle and the
 * next thread that needs one takes it, slabs and all.
 *
 * What a thread releases that another one's slab holds travels by the inbox of that worker: a list
 * under a lock, of this process alone, because a session's references die with it. A worker whose
 * thread is there empties it when it next looks; into the inbox of an idle one, who puts something
 * applies it, too. Applying it is a release as any, by the session's cell where the local count is
 * gone: who put it saw one, but the owner's thread may have spent it on another reference since.
 * `is_idle` is changed and looked at under the same lock, so nothing that is put into the inbox of
 * an idle one is left behind.
 *
 * A thread that ends waits for nobody, not for other processes nor for a checkpoint: it only says
 * that its worker is idle. What was put before stays until somebody takes the worker: the next
 * thread, who puts something, or who looks for memory (roma__idle_each). */
#include "store/open.h"
#include "store/openings.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { PATIENCE = 100 }; /* naps of a millisecond */

typedef struct link {
    roma_store *store;
    uint64_t serial;
    roma__worker *worker;
    struct link *next;
} link_t;

_Thread_local __attribute__((tls_model("initial-exec"))) struct roma__last roma__last;
static _Thread_local link_t *links;

static pthread_key_t ending;
static pthread_once_t ending_once = PTHREAD_ONCE_INIT;
static bool has_ending;

/* ---- threads that end ------------------------------------------------------------------------ */

/* Of a worker that was taken while it was idle, inside an operation of the caller's own: look at
 * what it was told, and let it go. `busy` is cleared before anybody else can take it. */
static void make_idle(roma__worker *worker)
{
    for (;;) {
        roma__worker_settle(worker);
        (void)pthread_mutex_lock(&worker->inbox_lock);
        bool is_idle = worker->inbox_count == 0;
        if (is_idle)
            roma__store_release(&worker->lane->busy, 0);
        worker->is_idle = is_idle;
        (void)pthread_mutex_unlock(&worker->inbox_lock);
        if (is_idle)
            return;
    }
}

/* As it is: whoever takes it looks at what it was told. */
static void leave_idle(roma__worker *worker)
{
    (void)pthread_mutex_lock(&worker->inbox_lock);
    worker->is_idle = true;
    (void)pthread_mutex_unlock(&worker->inbox_lock);
}

static void thread_ends(void *first)
{
    roma__last = (struct roma__last){NULL, 0, NULL};
    for (link_t *at = first, *next; at != NULL; at = next) {
        next = at->next;
        if (roma__opening_hold(at->store, at->serial)) {
            leave_idle(at->worker);
            roma__opening_free();
        }
        free(at);
    }
    links = NULL;
}

static void make_ending(void)
{
    has_ending = pthread_key_create(&ending, thread_ends) == 0;
}

/* ---- entering -------------------------------------------------------------------------------- */

static roma__worker *remember(roma_store *store, roma__worker *worker)
{
    roma__last = (struct roma__last){store, store->serial, worker};
    return worker;
}

static bool take_if_idle(roma__worker *worker)
{
    (void)pthread_mutex_lock(&worker->inbox_lock);
    bool was_idle = worker->is_idle;
    worker->is_idle = false;
    (void)pthread_mutex_unlock(&worker->inbox_lock);
    return was_idle;
}

static roma__worker *take_idle(roma_store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    roma__worker *worker = store->workers;
    while (worker != NULL && !take_if_idle(worker))
        worker = worker->next;
    (void)pthread_mutex_unlock(&store->lock);
    return worker;
}

/* One that nobody has is taken, else a new lane is. Where there is none, somebody may have an idle
 * one for a moment, to look at what it was told. */
static roma__worker *take_any(roma_store *store, int *code)
{
    static const struct timespec nap = {.tv_nsec = 1000 * 1000};
    roma__worker *worker = take_idle(store);
    for (int tries = 0; worker == NULL; tries++) {
        worker = roma__worker_new(store, code);
        if (worker != NULL) {
            (void)pthread_mutex_lock(&store->lock);
            worker->next = store->workers;
            store->workers = worker;
            (void)pthread_mutex_unlock(&store->lock);
            break;
        }
        bool is_short = *code == -EUSERS || *code == -ENOSPC || *code == -EFBIG;
        bool is_visited = roma__load_acquire(&store->visitors) != 0; /* before and after the look */
        worker = is_short ? take_idle(store) : NULL;
        is_visited = is_visited || roma__load_acquire(&store->visitors) != 0;
        if (worker != NULL || !is_short || !is_visited || tries == PATIENCE)
            break;
        (void)nanosleep(&nap, NULL);
    }
    return worker;
}

/* The thread's first call on this opening. */
static roma__worker *join(roma_store *store, int *code)
{
    (void)pthread_once(&ending_once, make_ending);
    link_t *here = malloc(sizeof *here);
    if (here == NULL || !has_ending) {
        free(here);
        *code = -ENOMEM;
        return NULL;
    }
    roma__worker *worker = take_any(store, code);
    if (worker == NULL) {
        free(here);
        return NULL;
    }
    *here = (link_t){store, store->serial, worker, links};
    links = here;
    (void)pthread_setspecific(ending, links);
    return worker;
}

int roma__store_may_enter(const roma_store *store)
{
    if (store == NULL)
        return -EINVAL;
    if (roma__load(&store->is_stale))
        return -ESTALE;
    return store->is_read_only ? -EROFS : 0;
}

static roma__worker *find(roma_store *store, int *code)
{
    *code = roma__store_may_enter(store);
    if (*code < 0)
        return NULL;
    for (link_t *at = links; at != NULL; at = at->next)
        if (at->store == store && at->serial == store->serial)
            return remember(store, at->worker);
    roma__worker *worker = join(store, code);
    return worker != NULL ? remember(store, worker) : NULL;
}

/* A checkpoint is being made: wait until it is, or until who made it is dead. */
static void wait_while_parked(roma__worker *worker)
{
    roma_store *store = worker->store;
    uint32_t *park = &store->view.live->park;
    for (uint32_t by = roma__load_acquire(park); by != 0; by = roma__load_acquire(park)) {
        roma__store_release(&worker->lane->busy, 0);
        roma__park_wait(store, by);
        roma__store(&worker->lane->busy, 1);
        __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
}

void roma__worker_pause(roma__worker *worker)
{
    roma__store(&worker->lane->busy, 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    if (roma__load_acquire(&worker->store->view.live->park) != 0)
        wait_while_parked(worker);
}

/* The park word is read after busy is seen to be set: the one who parks issues a barrier on all
 * processors between his store and his look (park.c), so a compiler barrier is enough. */
roma__worker *roma__store_enter(roma_store *store, int *code)
{
    roma__worker *worker = roma__last.worker;
    bool is_last = worker != NULL && store == roma__last.store &&
                   store->serial == roma__last.serial;
    if (!is_last)
        worker = find(store, code);
    if (worker != NULL)
        roma__worker_pause(worker);
    if (worker != NULL && !is_last && roma__load(&worker->has_inbox) != 0)
        roma__worker_settle(worker); /* it may be another thread's, which has ended */
    return worker;
}

void roma__store_leave(roma__worker *worker)
{
    roma__leave(worker);
}

roma_store *roma__worker_store(const roma__worker *worker)
{
    return worker->store;
}

uint32_t roma__worker_tag(const roma__worker *worker)
{
    return worker->tag;
}

void roma__worker_forget_thread(void)
{
    roma__last = (struct roma__last){NULL, 0, NULL};
}

/* ---- idle workers ---------------------------------------------------------------------------- */

bool roma__idle_each(roma_store *store, bool (*visit)(roma__worker *worker))
{
    (void)pthread_mutex_lock(&store->lock);
    roma__worker *worker = store->workers;
    (void)pthread_mutex_unlock(&store->lock);
    bool any = false;
    (void)__atomic_fetch_add(&store->visitors, 1, __ATOMIC_RELAXED);
    for (; worker != NULL; worker = worker->next) {
        if (!take_if_idle(worker))
            continue;
        roma__store(&worker->lane->busy, 1);
        any = visit(worker) || any;
        make_idle(worker);
    }
    (void)__atomic_fetch_sub(&store->visitors, 1, __ATOMIC_RELEASE);
    return any;
}

/* ---- inboxes --------------------------------------------------------------------------------- */

static roma__worker *worker_of(roma_store *store, uint32_t tag)
{
    (void)pthread_mutex_lock(&store->lock);
    roma__worker *worker = store->workers;
    while (worker != NULL && worker->tag != tag)
        worker = worker->next;
    (void)pthread_mutex_unlock(&store->lock);
    return worker;
}

/* Under its lock. */
static int put(roma__worker *worker, void *block)
{
    if (worker->inbox_count == worker->inbox_room) {
        size_t room = worker->inbox_room * 2 + 64;
        void **blocks = realloc(worker->inbox, room * sizeof *blocks);
        if (blocks == NULL)
            return -ENOMEM;
        worker->inbox = blocks;
        worker->inbox_room = room;
    }
    worker->inbox[worker->inbox_count++] = block;
    roma__store(&worker->has_inbox, 1);
    return 0;
}

/* Who is made later takes no lock before it is in the list. */
void roma__worker_let_go(roma_store *store, uint32_t *holder, uint32_t tag)
{
    (void)pthread_mutex_lock(&store->lock);
    const roma__worker *worker = store->workers;
    while (worker != NULL && worker->tag != tag)
        worker = worker->next;
    if (worker == NULL)
        (void)roma__compare_exchange(holder, &tag, 0);
    (void)pthread_mutex_unlock(&store->lock);
}

int roma__inbox_put(roma_store *store, uint32_t tag, void *block)
{
    roma__worker *worker = worker_of(store, tag);
    if (worker == NULL)
        return -ESTALE;
    (void)__atomic_fetch_add(&store->visitors, 1, __ATOMIC_RELAXED);
    (void)pthread_mutex_lock(&worker->inbox_lock);
    int code = put(worker, block);
    bool is_ours = code == 0 && worker->is_idle;
    if (is_ours)
        worker->is_idle = false;
    (void)pthread_mutex_unlock(&worker->inbox_lock);
    if (is_ours) {
        roma__store(&worker->lane->busy, 1);
        make_idle(worker);
    }
    (void)__atomic_fetch_sub(&store->visitors, 1, __ATOMIC_RELEASE);
    return code;
}

void roma__inbox_apply(roma__worker *worker)
{
    (void)pthread_mutex_lock(&worker->inbox_lock);
    void **blocks = worker->inbox;
    size_t count = worker->inbox_count;
    worker->inbox = NULL;
    worker->inbox_count = worker->inbox_room = 0;
    roma__store(&worker->has_inbox, 0);
    (void)pthread_mutex_unlock(&worker->inbox_lock);
    for (size_t i = 0; i < count; i++) {
        uint64_t unit = roma__view_ref(&worker->store->view, blocks[i]) >> ROMA__UNIT_SHIFT;
        roma__own_slab *slab = roma__load_acquire(&worker->store->slabs[unit]);
        if (slab != NULL && slab->owner == worker)
            (void)roma__block_release(worker, blocks[i]);
    }
    free(blocks);
}
