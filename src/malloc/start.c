/* start.c - the one heap: opened by the first call, held over fork, reported at the end.
 *
 * Opening. The first call of any thread, at whatever time, opens the heap under a lock and
 * publishes it. Up to there only system calls are made. What comes after, being told of forks, may
 * call malloc and finds the heap.
 *
 * Forking. Our handlers are set up in the very first allocation of a process, before others set up
 * theirs as a rule; handlers before a fork run in the reverse order, so the heap's locks are taken
 * last, and let go first. Handlers of others may allocate. A child made by vfork(), _Fork() or a
 * raw clone() runs no handlers: it must not allocate, as POSIX has it for programs with threads.
 *
 * The end. A destructor of this library, run by exit() and by return from main after all that was
 * registered with atexit(), writes the report. It tears nothing down. A process that ends by
 * _exit() or a signal writes none. */
#include "malloc/settings.h"
#include "malloc/shim.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static struct {
    pthread_mutex_t lock; /* of opening */
    _Atomic(roma__heap *) heap;
    pthread_key_t key; /* whose destructor tells that a thread ends */
    bool has_key, has_settings;
    uint64_t start_ns;
    _Atomic(uint64_t) held_bytes, held_peak_bytes;
} shim = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- the limit, and what is held ------------------------------------------------------------- */

enum { BACKGROUND_BYTES = 8 << 20 }; /* less is not worth a thread */

static int charge(void *owner, size_t bytes)
{
    (void)owner;
    uint64_t held = atomic_load_explicit(&shim.held_bytes, memory_order_relaxed);
    do {
        uint64_t room = roma__settings.limit_bytes;
        if (held > room || bytes > room - held)
            return -ENOMEM;
    } while (!atomic_compare_exchange_weak_explicit(&shim.held_bytes, &held, held + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    held += bytes;
    uint64_t peak = atomic_load_explicit(&shim.held_peak_bytes, memory_order_relaxed);
    while (held > peak &&
           !atomic_compare_exchange_weak_explicit(&shim.held_peak_bytes, &peak, held,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    if (held >= BACKGROUND_BYTES)
        roma__background_wish();
    return 0;
}

static void credit(void *owner, size_t bytes)
{
    (void)owner;
    atomic_fetch_sub_explicit(&shim.held_bytes, bytes, memory_order_relaxed);
}

uint64_t roma__shim_held_bytes(void)
{
    return atomic_load_explicit(&shim.held_bytes, memory_order_relaxed);
}

uint64_t roma__shim_held_peak_bytes(void)
{
    return atomic_load_explicit(&shim.held_peak_bytes, memory_order_relaxed);
}

uint64_t roma__shim_start_ns(void)
{
    return shim.start_ns;
}

/* ---- the ladder ------------------------------------------------------------------------------ */

static void add_step(roma__ladder *ladder, roma_page_kind pages)
{
    if (pages != 0)
        ladder->steps[ladder->count++] = (roma__ladder_step){.provider = roma__shim_pages(),
                                                             .pages = pages};
}

/* Hugetlb pages are asked for by name, so that looking at the machine first is what is wanted. */
static bool add_hugetlb(roma__ladder *ladder)
{
    roma_provider *provider = roma_provider_anonymous();
    roma__ladder_machine machine = roma__ladder_machine_now();
    roma__ladder_wish wish = {
        .pages = ROMA_PAGES_HUGETLB, .strict = true, .providers = &provider, .providers_count = 1};
    roma_error error;
    bool is_built = roma__ladder_build(&wish, &machine, ladder, &error) == 0;
    for (unsigned i = 0; i < ladder->count; i++)
        ladder->steps[i].strict = false;
    return is_built;
}

static roma__ladder make_ladder(void)
{
    roma__ladder ladder = {.count = 0};
    if (roma__settings.huge == ROMA__HUGE_HUGETLB && !add_hugetlb(&ladder))
        ladder.count = 0;
    if (roma__settings.huge != ROMA__HUGE_OFF)
        add_step(&ladder, roma__shim_thp_kind());
    add_step(&ladder, roma__shim_base_kind());
    return ladder;
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void hold(void)
{
    roma__heap_fork_hold(roma__shim_heap_if_open());
    roma__heap_process_fork_hold();
}

static void let_go(void)
{
    roma__heap_process_fork_free();
    roma__heap_fork_free(roma__shim_heap_if_open());
}

static void let_go_in_child(void)
{
    let_go();
    (void)roma__heap_fork_child(roma__shim_heap_if_open()); /* every extent is inherited */
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
    roma__heap_options options = {
        .ladder = make_ladder(),
        .inherit = true,
        .words = roma__settings.is_hardened ? ROMA__WORDS_EXACT : ROMA__WORDS_NONE,
        .bounded = roma__settings.is_bounded,
        .return_delay_ns = roma__settings.return_delay_ns,
        .charge = charge,
        .credit = credit,
        .late_misuse = roma__shim_late_misuse,
    };
    roma__heap *heap = NULL;
    roma_error error;
    return roma__heap_open(&options, &heap, &error) < 0 ? NULL : heap;
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

/* After misuse that was only reported, say whether the heap has come to harm: it must not. */
static void tell_faults(roma__heap *heap)
{
    uint64_t faults = roma__heap_check(heap, tell_fault, NULL);
    roma__shim_tell(faults == 0 ? "the heap is whole" : "the heap is damaged");
}

__attribute__((destructor)) static void program_ends(void)
{
    roma__heap *heap = roma__shim_heap_if_open();
    if (heap == NULL)
        return;
    if (roma__settings.report[0] != '\0')
        roma__shim_report(heap);
    if (roma__settings.is_verbose)
        roma__shim_tell_figures();
    if (roma__settings.goes_on)
        tell_faults(heap);
}
