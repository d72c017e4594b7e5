/* openings.c - see openings.h.
 *
 * In a child made by fork() the mapping of a store is not there, and the parent's session must not
 * live on by what the child inherited: its store records are marked stale, and the descriptor is
 * opened anew, so that it shares no description with the parent (a byte lock that the parent takes
 * for a moment, while it recovers somebody, would else outlive it). Both are done by the child's
 * own thread, with calls that are safe after fork.
 *
 * So a store is in the list from before it has a lock until after it has none, and opening and
 * closing may take their time: they wait for other processes and for disks. The lock of the list is
 * held only where the list changes, and where a child would have what it does not know of: between
 * making the description of the session's lock and mapping, and the record of its descriptor. In
 * the child, a store that a thread of the parent was just opening is nobody's: what it has is
 * closed, and its record is left where it is. */
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

static void disinherit(roma_store *store)
{
    roma__store(&store->is_stale, true);
    if (store->mapped_fd >= 0)
        (void)roma__sys->close(store->mapped_fd);
    store->mapped_fd = -1;
    int own = store->is_opening ? -1 : roma__file_reopen(store->fd, store->is_read_only, NULL);
    (void)roma__sys->close(store->fd);
    store->fd = own;
}

static void fork_child(void)
{
    for (roma_store **at = &openings, *store = *at; store != NULL; store = *at) {
        disinherit(store);
        if (store->is_opening)
            *at = store->next;
        else
            at = &store->next;
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

void roma__opening_lock(void)
{
    (void)pthread_mutex_lock(&lock);
}

void roma__opening_unlock(void)
{
    (void)pthread_mutex_unlock(&lock);
}

int roma__opening_add(roma_store *store)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, add_handlers);
    if (!has_handlers)
        return -ENOMEM;
    (void)pthread_mutex_lock(&lock);
    store->is_opening = true;
    store->serial = ++serials;
    store->next = openings;
    openings = store;
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

void roma__opening_done(roma_store *store)
{
    (void)pthread_mutex_lock(&lock);
    store->is_opening = false;
    (void)pthread_mutex_unlock(&lock);
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
