/* fork.c - the providers' part of fork(): a count of generations, and a lock that is held over it.
 *
 * The handlers are set up when the library is loaded, not at first use, because their order
 * matters: before a fork they run in the reverse order of their setting up. A manager takes its
 * locks in its own handler and calls providers under them; so its handler must run before this one,
 * and have been set up after it.
 *
 * Limit: a child made by a raw clone() runs no handlers and keeps its parent's generation. */
#include "provider/fork.h"

#include <pthread.h>
#include <stdatomic.h>

static pthread_mutex_t regions_lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint generation;

unsigned roma__fork_generation(void)
{
    return atomic_load_explicit(&generation, memory_order_relaxed);
}

void roma__regions_lock(void)
{
    pthread_mutex_lock(&regions_lock);
}

void roma__regions_unlock(void)
{
    pthread_mutex_unlock(&regions_lock);
}

static void in_child(void)
{
    atomic_fetch_add_explicit(&generation, 1, memory_order_relaxed);
    roma__regions_unlock();
}

/* 101: before the constructors of a program that links us statically, which may make managers. */
__attribute__((constructor(101))) static void set_up(void)
{
    /* Out of memory this early leaves forks unobserved; the program has worse to come. */
    (void)pthread_atfork(roma__regions_lock, roma__regions_unlock, in_child);
}
