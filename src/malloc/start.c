/* start.c - the heap is opened by the first call, held over fork, and reported at the end.
 *
 * Opening. The first call of any thread, at whatever time, opens the heap, or with a policy those
 * of its routes, under a lock, and publishes it. Up to there only system calls are made. What comes
 * after, being told of forks, may call malloc and finds the heap.
 *
 * Forking. Handlers before a fork run in the reverse order of their registration, those after it in
 * the order. Ours are to be the first: then the heaps' locks are taken last, in the order in which
 * the heaps were opened, and let go first, so that handlers of others may allocate, and may wait
 * for threads of theirs that do. They are registered in the first allocation, but a library that
 * was there before may register before it allocates. pthread_atfork() is a function in each library
 * that calls it, which comes down to glibc's __register_atfork(); so we take that name over, and
 * open the heap before we pass the call on. A child made by vfork(), _Fork() or a raw clone() runs
 * no handlers: it must not allocate, as POSIX has it for programs with threads.
 *
 * The end. A destructor of this library, run by exit() and by return from main after all that was
 * registered with atexit(), writes the report. It tears nothing down. A process that ends by
 * _exit() or a signal writes none. */
#include "malloc/settings.h"
#include "malloc/shim.h"

#include "sys/read.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static struct {
    pthread_mutex_t lock; /* of opening */
    _Atomic(roma__heap *) heap;
    pthread_key_t key; /* whose destructor tells that a thread ends */
    bool has_key, has_settings;
    uint64_t start_ns;
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

uint64_t roma__shim_start_ns(void)
{
    return shim.start_ns;
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void hold(void)
{
    roma__heaps_fork_hold();
    roma__routes_lock(); /* no heap is added */
    ROMA__EACH_SHIM_HEAP (at) {
        roma__heap_fork_hold(at->heap);
    }
    roma__heap_process_fork_hold();
}

static void let_go(void)
{
    roma__heap_process_fork_free();
    ROMA__EACH_SHIM_HEAP (at) {
        roma__heap_fork_free(at->heap);
    }
    roma__routes_unlock();
    roma__heaps_fork_free();
}

static void let_go_in_child(void)
{
    let_go();
    ROMA__EACH_SHIM_HEAP (at) {
        (void)roma__heap_fork_child(at->heap); /* every extent is inherited */
    }
    roma__background_in_child();
    shim.start_ns = roma__heap_now_ns();
}

/* ---- opening --------------------------------------------------------------------------------- */

/* Under the lock, and with nothing called that may allocate. The key comes before the heap, which
 * makes one of its own: destructors run in the order of the keys, and a thread must have let go of
 * its cache before the heap takes it. */
static roma__heap *open_heap(void)
{
    if (!shim.has_settings) {
        shim.has_settings = true;
        shim.start_ns = roma__heap_now_ns();
        roma__settings_read();
    }
    if (!shim.has_key)
        shim.has_key = pthread_key_create(&shim.key, roma__thread_ends) == 0;
    roma_error error;
    if (roma__settings.policy != NULL)
        return roma__routes_open();
    roma__ladder ladder = roma__shim_ladder();
    return roma__shim_heap_open(&ladder, 0, &error);
}

/* The first to come opens; the others wait for it. */
static roma__heap *open_once(void)
{
    bool is_mine = false;
    pthread_mutex_lock(&shim.lock);
    roma__heap *heap = atomic_load_explicit(&shim.heap, memory_order_relaxed);
    if (heap == NULL) {
        heap = open_heap();
        atomic_store_explicit(&shim.heap, heap, memory_order_release);
        is_mine = heap != NULL;
    }
    pthread_mutex_unlock(&shim.lock);
    if (is_mine) {
        (void)pthread_atfork(hold, let_go, let_go_in_child);
        if (roma__settings.is_verbose)
            roma__settings_tell();
    }
    return heap;
}

roma__heap *roma__shim_heap_if_open(void)
{
    return atomic_load_explicit(&shim.heap, memory_order_acquire);
}

roma__heap *roma__shim_heap(void)
{
    roma__heap *heap = roma__shim_heap_if_open();
    return __builtin_expect(heap != NULL, 1) ? heap : open_once();
}

bool roma__shim_watch_thread(void)
{
    return shim.has_key && pthread_setspecific(shim.key, &shim) == 0;
}

/* ---- to be the first to be told of forks ----------------------------------------------------- */

typedef void fork_handler(void);
typedef int fork_registrar(fork_handler *prepare, fork_handler *parent, fork_handler *child,
                           void *library);

ROMA__EXPORT fork_registrar __register_atfork;

/* The first call comes from within, by open_once(), or opens the heap, and so lets that one by. */
int __register_atfork(fork_handler *prepare, fork_handler *parent, fork_handler *child,
                      void *library)
{
    static _Atomic(void *) known; /* the loader's lock is taken once, for our own handlers */
    union {
        void *object; /* what dlsym() returns */
        fork_registrar *function;
    } next = {.object = atomic_load_explicit(&known, memory_order_relaxed)};
    if (next.object == NULL) {
        next.object = dlsym(RTLD_NEXT, "__register_atfork");
        atomic_store_explicit(&known, next.object, memory_order_relaxed);
    }
    (void)roma__shim_heap();
    return next.object == NULL ? ENOMEM : next.function(prepare, parent, child, library);
}

/* ---- the program's start and end ------------------------------------------------------------- */

/* Not needed by any call: a report is also due from a program that never allocates. */
__attribute__((constructor)) static void program_starts(void)
{
    (void)roma__shim_heap();
    roma__background_allow();
}

static void tell_fault(void *context, const char *sentence)
{
    (void)context;
    roma__shim_tell(sentence);
}

static int count_thread(void *context, const char *name)
{
    (void)name;
    ++*(unsigned *)context;
    return 0;
}

/* Is there no other thread, to the best of the kernel's knowledge? One that was joined may be
 * listed for a moment more. */
static bool is_alone(void)
{
    enum { LOOKS = 20, NS_BETWEEN = 1000000 };
    const struct timespec moment = {.tv_nsec = NS_BETWEEN};
    for (unsigned i = 0; i < LOOKS; i++) {
        unsigned threads = 0;
        if (i > 0)
            (void)nanosleep(&moment, NULL);
        if (roma__folder_each("", "/proc/self/task", count_thread, &threads) == 0 && threads == 1)
            return true;
    }
    return false;
}

/* After misuse that was only reported, say whether the heap has come to harm: it must not. Threads
 * that go on while the program ends, ours in the background among them, may be amid a change of
 * it. */
static void tell_faults(void)
{
    if (!is_alone()) {
        roma__shim_tell("whether the heap is whole cannot be seen: other threads still run");
        return;
    }
    uint64_t faults = 0;
    ROMA__EACH_SHIM_HEAP (at) {
        faults += roma__heap_check(at->heap, tell_fault, NULL);
    }
    roma__shim_tell(faults == 0 ? "the heap is whole" : "the heap is damaged");
}

__attribute__((destructor)) static void program_ends(void)
{
    if (roma__shim_heap_if_open() == NULL)
        return;
    if (roma__settings.report[0] != '\0')
        roma__shim_report();
    if (roma__settings.is_verbose)
        roma__shim_tell_figures();
    if (roma__settings.goes_on)
        tell_faults();
}
