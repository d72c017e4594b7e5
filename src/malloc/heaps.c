/* heaps.c - what heaps the process has, one or as many as a policy asks for, and what they hold
 * together.
 *
 * The list grows at its end and never shrinks: who walks it needs no lock. A heap is complete when
 * it is published there (release, paired with the acquire of who walks). Those that add one take
 * turns: the first comes under the lock of opening (start.c), others under that of the routes.
 *
 * The limit is kept by what the heaps charge, counted for all of them in one place. What is charged
 * may prove not to be had; so for the peak the heaps are asked what they hold, whenever one has
 * obtained more. */
#include "malloc/settings.h"
#include "malloc/shim.h"

#include "base/error.h"
#include "sys/records.h"

#include <errno.h>
#include <stdatomic.h>

static struct {
    _Atomic(uint64_t) charged_bytes, held_peak_bytes;
} all;

/* ---- the limit, and what is held ------------------------------------------------------------- */

enum { BACKGROUND_BYTES = 8 << 20 }; /* less is not worth a thread */

static int charge(void *owner, size_t bytes)
{
    (void)owner;
    uint64_t charged = atomic_load_explicit(&all.charged_bytes, memory_order_relaxed);
    do {
        uint64_t room = roma__settings.limit_bytes;
        if (charged > room || bytes > room - charged)
            return -ENOMEM;
    } while (!atomic_compare_exchange_weak_explicit(&all.charged_bytes, &charged, charged + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return 0;
}

static void credit(void *owner, size_t bytes)
{
    (void)owner;
    atomic_fetch_sub_explicit(&all.charged_bytes, bytes, memory_order_relaxed);
}

uint64_t roma__shim_held_bytes(void)
{
    uint64_t held = 0;
    ROMA__EACH_SHIM_HEAP (at) {
        held += roma__heap_held_bytes(at->heap);
    }
    return held;
}

/* What one heap gave back and another then obtained may be in the sum twice, for it is read heap by
 * heap. It is never more than has been charged, nor is the peak then. */
static void obtained(void *owner)
{
    (void)owner;
    uint64_t held = roma__shim_held_bytes();
    uint64_t charged = atomic_load_explicit(&all.charged_bytes, memory_order_relaxed);
    held = held < charged ? held : charged;
    uint64_t peak = atomic_load_explicit(&all.held_peak_bytes, memory_order_relaxed);
    while (held > peak &&
           !atomic_compare_exchange_weak_explicit(&all.held_peak_bytes, &peak, held,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    if (held >= BACKGROUND_BYTES)
        roma__background_wish();
}

uint64_t roma__shim_held_peak_bytes(void)
{
    return atomic_load_explicit(&all.held_peak_bytes, memory_order_relaxed);
}

/* ---- the ladder without a policy ------------------------------------------------------------- */

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

roma__ladder roma__shim_ladder(void)
{
    roma__ladder ladder = {.count = 0};
    if (roma__settings.huge == ROMA__HUGE_HUGETLB && !add_hugetlb(&ladder))
        ladder.count = 0;
    if (roma__settings.huge != ROMA__HUGE_OFF)
        add_step(&ladder, roma__shim_thp_kind());
    add_step(&ladder, roma__shim_base_kind());
    return ladder;
}

/* ---- the list -------------------------------------------------------------------------------- */

static struct roma__shim_heap first; /* the one of most programs needs no record */
static atomic_bool has_first;

struct roma__shim_heap *roma__shim_heaps(void)
{
    return atomic_load_explicit(&has_first, memory_order_acquire) ? &first : NULL;
}

struct roma__shim_heap *roma__shim_heap_behind(const struct roma__shim_heap *at)
{
    return atomic_load_explicit(&at->next, memory_order_acquire);
}

static struct roma__shim_heap *last_heap(void)
{
    struct roma__shim_heap *last = &first, *next;
    while ((next = roma__shim_heap_behind(last)) != NULL)
        last = next;
    return last;
}

static bool add(roma__heap *heap)
{
    if (roma__shim_heaps() == NULL) {
        first.heap = heap;
        atomic_store_explicit(&has_first, true, memory_order_release);
        return true;
    }
    struct roma__shim_heap *added = roma__record_new(sizeof *added);
    if (added == NULL)
        return false;
    added->heap = heap;
    atomic_store_explicit(&last_heap()->next, added, memory_order_release);
    return true;
}

roma__heap *roma__shim_heap_open(const roma__ladder *ladder, unsigned populate_threads,
                                 roma_error *error)
{
    roma__heap_options options = {
        .ladder = *ladder,
        .inherit = true,
        .words = roma__settings.is_hardened ? ROMA__WORDS_EXACT : ROMA__WORDS_NONE,
        .bounded = roma__settings.is_bounded,
        .closed = populate_threads > 0,
        .populate_threads = populate_threads,
        .return_delay_ns = roma__settings.return_delay_ns,
        .charge = charge,
        .credit = credit,
        .obtained = obtained,
        .late_misuse = roma__shim_late_misuse,
    };
    roma__heap *heap = NULL;
    if (roma__heap_open(&options, &heap, error) < 0)
        return NULL;
    if (add(heap))
        return heap;
    (void)roma__heap_close(heap);
    (void)roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    return NULL;
}
