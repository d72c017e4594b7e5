/* park.c - every lane at rest: for the moment of a checkpoint.
 *
 * Who parks stores his session's tag in the live state's `park`, by compare-and-swap from 0. A lane
 * stores its `busy` and then loads `park` (worker.c); the one who parks stores `park` and then
 * loads every `busy`. One of the two must see the other, which needs a full barrier on both sides.
 * Only the rare side has an instruction for it: membarrier() for all processes makes every running
 * thread pass one between the store and the looks. Where the kernel refuses it, some milliseconds
 * are waited instead, which no store buffer outlasts.
 *
 * Lanes of dead sessions are recovered by whoever meets them, not here: one that died in an
 * operation stays busy until then, so who parks recovers the session of a lane that stays busy, if
 * it is dead. */
#include "store/worker.h"

#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <time.h>

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void nap_ns(long ns)
{
    struct timespec nap = {0, ns};
    (void)nanosleep(&nap, NULL);
}

static void barrier_everywhere(void)
{
    enum { BUFFERS_ARE_EMPTY_NS = 5 * 1000 * 1000 };
    if (roma__sys->membarrier(ROMA__MEMBARRIER_GLOBAL, 0) < 0)
        nap_ns(BUFFERS_ARE_EMPTY_NS);
}

/* The session + 1 of a lane that is in an operation; 0: none is. */
static uint32_t find_busy(const roma__view *view)
{
    uint64_t used = roma__load_acquire(&view->live->lanes_used);
    for (uint64_t i = 0; i < used && i < view->regions.lanes; i++) {
        uint32_t session = roma__load_acquire(&view->lanes[i].word);
        if (session != 0 && roma__load_acquire(&view->lanes[i].busy) != 0)
            return session;
    }
    return 0;
}

int roma__store_park(roma_store *store, uint64_t timeout_ns, uint32_t *session)
{
    const roma__view *view = &store->view;
    uint32_t by = 0;
    if (roma__load(&store->is_stale))
        return -ESTALE;
    if (store->is_read_only)
        return -EROFS;
    if (!roma__compare_exchange(&view->live->park, &by, store->session + 1)) {
        if (by > view->regions.sessions || !roma__session_claim(store, by - 1))
            return -EBUSY;
        (void)roma__compare_exchange(&view->live->park, &by, 0);
        roma__session_unclaim(store, by - 1);
        by = 0;
        if (!roma__compare_exchange(&view->live->park, &by, store->session + 1))
            return -EBUSY;
    }
    barrier_everywhere();
    uint64_t start_ns = now_ns();
    for (uint32_t busy = find_busy(view); busy != 0; busy = find_busy(view)) {
        if (roma__session_claim(store, busy - 1)) { /* it is dead */
            (void)roma__session_recover(store, busy - 1);
            roma__session_unclaim(store, busy - 1);
            continue;
        }
        if (now_ns() - start_ns > timeout_ns) {
            *session = busy - 1;
            roma__store_unpark(store);
            return -ETIMEDOUT;
        }
        nap_ns(100 * 1000);
    }
    return 0;
}

void roma__store_unpark(roma_store *store)
{
    uint32_t own = store->session + 1;
    (void)roma__compare_exchange(&store->view.live->park, &own, 0);
}
