/* openings.c - see openings.h.
 *
 * In a child made by fork() the mapping of a store is not there, and the parent's session must not
 * live on by what the child inherited: its store records are marked stale, and the descriptor is
 * opened anew, so that it shares no description with the parent (a byte lock that the parent takes
 * for a moment, while it recovers somebody, would else outlive it). Both are done by the child's
 * own thread, with calls that are safe after fork. */
#include "store/openings.h"

#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static roma_store *openings;
static uint64_t serials;

static void fork_hold(void)
{
    (void)pthread_mutex_lock(&lock);
    for (roma_store *store = openings; store != NULL; store = store->next)
        (void)pthread_mutex_lock(&store->lock);
}

static void fork_free(void)
{
    for (roma_store *store = openings; store != NULL; store = store->next)
        (void)pthread_mutex_unlock(&store->lock);
    (void)pthread_mutex_unlock(&lock);
}

static void fork_child(void)
{
    for (roma_store *store = openings; store != NULL; store = store->next) {
        roma__store(&store->is_stale, true);
        int own = roma__file_reopen(store->fd, store->is_read_only, NULL);
        (void)roma__sys->close(store->fd);
        store->fd = own;
        (void)pthread_mutex_unlock(&store->lock);
    }
    roma__worker_forget_thread();
    (void)pthread_mutex_unlock(&lock);
}

static bool has_handlers;

static void add_handlers(void)
{
    has_handlers = pthread_atfork(fork_hold, fork_free, fork_child) == 0;
}

int roma__opening_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, add_handlers);
    if (!has_handlers)
        return -ENOMEM;
    (void)pthread_mutex_lock(&lock);
    return 0;
}

void roma__opening_unlock(void)
{
    (void)pthread_mutex_unlock(&lock);
}

void roma__opening_add(roma_store *store)
{
    store->serial = ++serials;
    store->next = openings;
    openings = store;
}

void roma__opening_end(roma_store *store)
{
    (void)pthread_mutex_lock(&lock);
    store->is_closing = true;
    (void)pthread_mutex_unlock(&lock);
}

void roma__opening_remove(roma_store *store)
{
    (void)pthread_mutex_lock(&lock);
    roma_store **at = &openings;
    while (*at != NULL && *at != store)
        at = &(*at)->next;
    if (*at != NULL)
        *at = (*at)->next;
    (void)pthread_mutex_unlock(&lock);
}

bool roma__opening_hold(roma_store *store, uint64_t serial)
{
    (void)pthread_mutex_lock(&lock);
    for (roma_store *at = openings; at != NULL; at = at->next)
        if (at == store && at->serial == serial && !at->is_stale && !at->is_closing)
            return true;
    (void)pthread_mutex_unlock(&lock);
    return false;
}

void roma__opening_free(void)
{
    (void)pthread_mutex_unlock(&lock);
}
