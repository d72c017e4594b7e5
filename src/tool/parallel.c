/* parallel.c - the same work on several threads, timed as a whole.
 *
 * Threads are started first and wait at a gate, so that their start is not measured; the caller
 * opens the gate when all are there, or turns them away when one could not be started. The caller
 * does one share of the work itself. */
#include "parallel.h"

#include "tool.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

typedef enum gate_state { GATE_SHUT, GATE_OPEN, GATE_TURNED_AWAY } gate_state;

typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    gate_state state;
    unsigned waiting_count;
    void (*work)(void *context, unsigned index);
    void *context;
} gate;

typedef struct worker {
    pthread_t thread;
    gate *gate;
    unsigned index;
} worker;

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *worker_main(void *argument)
{
    worker *me = argument;
    gate *g = me->gate;
    pthread_mutex_lock(&g->lock);
    g->waiting_count++;
    pthread_cond_broadcast(&g->changed);
    while (g->state == GATE_SHUT)
        pthread_cond_wait(&g->changed, &g->lock);
    bool open = g->state == GATE_OPEN;
    pthread_mutex_unlock(&g->lock);
    if (open)
        g->work(g->context, me->index);
    return NULL;
}

static void wait_for_all(gate *g, unsigned count)
{
    pthread_mutex_lock(&g->lock);
    while (g->waiting_count < count)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void set_gate(gate *g, gate_state state)
{
    pthread_mutex_lock(&g->lock);
    g->state = state;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

int run_parallel(unsigned threads_count, void (*work)(void *context, unsigned index), void *context,
                 uint64_t *elapsed_ns)
{
    gate g = {.lock = PTHREAD_MUTEX_INITIALIZER,
              .changed = PTHREAD_COND_INITIALIZER,
              .work = work,
              .context = context};
    worker *workers = need_memory(calloc(threads_count, sizeof *workers));
    unsigned started = 1; /* the caller is number 0 */
    int code = 0;
    for (; started < threads_count && code == 0; started++) {
        workers[started].gate = &g;
        workers[started].index = started;
        code = pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]);
        if (code != 0)
            break;
    }
    if (code == 0)
        wait_for_all(&g, threads_count - 1);
    uint64_t start_ns = now_ns();
    set_gate(&g, code == 0 ? GATE_OPEN : GATE_TURNED_AWAY);
    if (code == 0)
        work(context, 0);
    for (unsigned i = 1; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (elapsed_ns != NULL)
        *elapsed_ns = now_ns() - start_ns;
    free(workers);
    return -code;
}
