/* fork.c - all managers over fork().
 *
 * A child has one thread, the one that forked, but the locks as all threads left them. So before
 * the fork every lock is taken, from the outermost inwards and always in the same order: that of
 * extents which are being resized (heap/fork.c), the background thread's, the list of managers,
 * then of each manager its policy, its routes, its heaps and its notes, then those of the process.
 * A thread that holds one of them meanwhile needs only locks further in, which we take later, so it
 * gets out of our way. Afterwards parent and child let go of all in reverse.
 *
 * The child then forgets what it has not inherited: blocks on hugetlb pages are gone for it. */
#include "manager/manager.h"

static struct {
    pthread_mutex_t lock;
    roma_manager *first;
    pthread_once_t once;
    int code; /* of registering the handlers, once that was tried */
} managers = {.lock = PTHREAD_MUTEX_INITIALIZER, .once = PTHREAD_ONCE_INIT};

/* ---- before ---------------------------------------------------------------------------------- */

static void hold_manager(roma_manager *manager)
{
    pthread_mutex_lock(&manager->policy_lock);
    pthread_mutex_lock(&manager->routes_lock);
    ROMA__EACH_HEAP (manager, route) {
        roma__heap_fork_hold(route->heap);
    }
    roma__notes_fork_hold(&manager->notes);
}

static void hold_all(void)
{
    roma__heaps_fork_hold();
    roma__background_fork_hold();
    pthread_mutex_lock(&managers.lock);
    for (roma_manager *manager = managers.first; manager != NULL; manager = manager->next)
        hold_manager(manager);
    roma__heap_process_fork_hold();
}

/* ---- after ----------------------------------------------------------------------------------- */

static void free_manager(roma_manager *manager)
{
    roma__notes_fork_free(&manager->notes);
    ROMA__EACH_HEAP (manager, route) {
        roma__heap_fork_free(route->heap);
    }
    pthread_mutex_unlock(&manager->routes_lock);
    pthread_mutex_unlock(&manager->policy_lock);
}

static void free_all(void)
{
    roma__heap_process_fork_free();
    for (roma_manager *manager = managers.first; manager != NULL; manager = manager->next)
        free_manager(manager);
    pthread_mutex_unlock(&managers.lock);
}

static void free_in_parent(void)
{
    free_all();
    roma__background_fork_free(false);
    roma__heaps_fork_free();
}

static bool block_is_there(void *context, const roma__note *note)
{
    (void)context;
    roma__cell cell;
    return roma__cell_find(note->address, &cell) == 0;
}

/* Forget what was not inherited. The heaps count their figures afresh: a thread of the parent may
 * have been between a block and its figures. */
static void settle_in_child(roma_manager *manager)
{
    uint64_t held_bytes = 0;
    ROMA__EACH_HEAP (manager, route) {
        (void)roma__heap_fork_child(route->heap);
        held_bytes += roma__heap_held_bytes(route->heap);
    }
    atomic_store_explicit(&manager->held_bytes, held_bytes, memory_order_relaxed);
    roma__notes_filter(&manager->notes, block_is_there, NULL);
}

static void free_in_child(void)
{
    free_all();
    for (roma_manager *manager = managers.first; manager != NULL; manager = manager->next)
        settle_in_child(manager);
    roma__background_fork_free(true);
    roma__heaps_fork_free();
}

/* ---- the list of managers -------------------------------------------------------------------- */

static void register_handlers(void)
{
    managers.code = -pthread_atfork(hold_all, free_in_parent, free_in_child);
}

int roma__managers_watch_fork(void)
{
    pthread_once(&managers.once, register_handlers);
    return managers.code;
}

void roma__managers_add(roma_manager *manager)
{
    pthread_mutex_lock(&managers.lock);
    manager->previous = NULL;
    manager->next = managers.first;
    if (managers.first != NULL)
        managers.first->previous = manager;
    managers.first = manager;
    pthread_mutex_unlock(&managers.lock);
}

void roma__managers_remove(roma_manager *manager)
{
    pthread_mutex_lock(&managers.lock);
    if (manager->previous != NULL)
        manager->previous->next = manager->next;
    else
        managers.first = manager->next;
    if (manager->next != NULL)
        manager->next->previous = manager->previous;
    pthread_mutex_unlock(&managers.lock);
}
