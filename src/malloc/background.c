/* background.c - a thread that gives memory back behind an idle program (ROMA_BACKGROUND=1).
 *
 * Without it memory past its delay is returned by the program's own slow calls; a program that
 * sleeps makes none. The thread wakes four times a delay, at most ten times a second and at least
 * once in ten, empties the caches of all threads but those that are in a call at that instant, and
 * gives back what is due. Busy threads are not told from idle ones: they begin anew with empty
 * caches, at most ten times a second.
 *
 * So what is freed into a cache is back after one wake, the delay, and one more wake: one and a
 * half delays; but .2 s more than the delay where that is shorter than .4 s, and 20 s more where it
 * is longer than 40 s.
 *
 * When it starts. Only a program that holds some megabytes has something to give back. Obtaining
 * memory, under the heap's locks, only notes the wish; the next slow call that holds none of them
 * starts the thread, and not before the constructors have begun to run. pthread_create() allocates:
 * the state is moved on before, so that the call from within goes past. It is started by calls that
 * take memory and never by free(), which the C library itself calls with locks held that
 * pthread_create() needs.
 *
 * It runs with all signals blocked (sys/sys.c). A child made by fork() has none; its own wish, the
 * next time that it obtains memory, starts another.
 *
 * Limit: a program whose main thread ends by pthread_exit() runs on until all its threads have
 * ended, and so on and on with this one. */
#include "malloc/settings.h"
#include "malloc/shim.h"

#include "base/bits.h"
#include "sys/sys.h"

#include <stdatomic.h>
#include <time.h>

enum { NS_PER_SECOND = 1000000000, WAKES_A_DELAY = 4 };
static const uint64_t least_ns = NS_PER_SECOND / 10, most_ns = 10ull * NS_PER_SECOND;

enum state { IDLE, WISHED, STARTED };

static struct {
    atomic_int state;
    atomic_bool allowed;
} background;

static void sleep_ns(uint64_t ns)
{
    struct timespec rest = {(time_t)(ns / NS_PER_SECOND), (long)(ns % NS_PER_SECOND)};
    (void)nanosleep(&rest, NULL); /* no signal comes here */
}

static void *run(void *argument)
{
    (void)argument;
    uint64_t wake_ns = roma__settings.return_delay_ns / WAKES_A_DELAY;
    wake_ns = wake_ns < least_ns ? least_ns : wake_ns > most_ns ? most_ns : wake_ns;
    for (;;) {
        sleep_ns(wake_ns);
        ROMA__EACH_SHIM_HEAP (at) {
            (void)roma__heap_return(at->heap, roma__heap_now_ns(), true);
        }
    }
    return NULL;
}

void roma__background_wish(void)
{
    int idle = IDLE;
    if (roma__settings.has_background && roma__settings.return_delay_ns != UINT64_MAX)
        (void)atomic_compare_exchange_strong_explicit(&background.state, &idle, WISHED,
                                                      memory_order_relaxed, memory_order_relaxed);
}

void roma__background_serve(void)
{
    int wished = WISHED;
    if (__builtin_expect(atomic_load_explicit(&background.state, memory_order_relaxed) != WISHED,
                         1) ||
        !atomic_load_explicit(&background.allowed, memory_order_relaxed))
        return;
    if (!atomic_compare_exchange_strong_explicit(&background.state, &wished, STARTED,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    void *thread;
    if (roma__sys->thread_start(&thread, run, NULL) != 0)
        atomic_store_explicit(&background.state, IDLE, memory_order_relaxed); /* the next wish */
}

void roma__background_allow(void)
{
    atomic_store_explicit(&background.allowed, true, memory_order_relaxed);
}

void roma__background_in_child(void)
{
    if (atomic_load_explicit(&background.state, memory_order_relaxed) == STARTED)
        atomic_store_explicit(&background.state, IDLE, memory_order_relaxed);
}
