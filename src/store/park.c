/* park.c - holding every call of every session for a moment, so that the file can be copied.
 *
 *     a lane enters (worker.c)                who parks
 *
 *     busy := 1                               park := my session's tag, by compare-and-swap from 0
 *     compiler barrier                        membarrier(), for all processes
 *     park = 0?  go on                        for each lane: wait until busy = 0, or its session
 *     else busy := 0, wait, again             is dead
 *     ...                                     ... nobody is in an operation ...
 *     busy := 0, release                      park := 0, release
 *
 * Of a lane and a parker that come at once, at least one must see the other: that takes a barrier
 * from stores to loads on both sides. Entering is hot and parking is not, so the parker issues
 * both: the plain membarrier() lets every CPU pass through one, which takes some milliseconds.
 * Kernels with isolated CPUs (nohz_full) lack that; there the expedited one serves, for which every
 * process that opens a store has registered. Acquire on busy = 0 pairs with its release: all that
 * the operation stored is in the copy.
 *
 * A thread that takes a lane (lane.c) is inside of an operation from before it changes anything but
 * the lane's word, and gives the lane back when it then sees park. So the copy may show that a
 * session has a lane which it did not have for long: the session is in the copy, too, since who
 * parks came after the thread had looked at park, and is dead there.
 *
 * Lanes of dead sessions do nothing any more: what they left undone is in the copy as well, and is
 * recovered there. Somebody who recovers one has entered with a lane of his own or, when he
 * has none, with the last lane of the dead.
 *
 * A dead parker: who waits tries to have the parker's session (roma__session_claim), and who gets
 * it sets park back. Having it, nobody else can become that session meanwhile, so the tag means the
 * dead one. Recovery does the same.
 *
 * Limits. A process that is stopped inside a call makes parking fail, by name: its own, or that of
 * one that waits for it. One that parks and is stopped holds all the others until it goes on or is
 * killed. */
#include "heap/atomics.h"
#include "store/worker.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

enum {
    SPINS = 64,       /* looks before the first sleep                       */
    PAUSE_NS = 20000, /* the first sleep; each is twice the one before      */
    PAUSE_MOST_NS = 1000000,
    LOOKS_PER_PROBE = 16 /* sleeps between two questions whether a holder lives */
};

/* ---- waiting --------------------------------------------------------------------------------- */

typedef struct pause_state {
    unsigned looks;
    long next_ns;
} pause_state;

/* Wait a little, longer each time. True when it is time to ask whether the other one lives. */
static bool pause_for(pause_state *state)
{
    unsigned look = state->looks++;
    if (look < SPINS) {
        (void)sched_yield();
        return look == SPINS - 1;
    }
    if (state->next_ns == 0)
        state->next_ns = PAUSE_NS;
    struct timespec nap = {.tv_nsec = state->next_ns};
    (void)nanosleep(&nap, NULL);
    state->next_ns = state->next_ns < PAUSE_MOST_NS / 2 ? 2 * state->next_ns : PAUSE_MOST_NS;
    return look % LOOKS_PER_PROBE == 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- who parks ------------------------------------------------------------------------------- */

/* What the kernel does not tell counts as alive, and so does one that a thread of this process has
 * claimed: it may be inside an operation as the dead one. */
static bool is_dead(const roma_store *store, uint32_t session)
{
    return roma__load_acquire(&store->claims[session]) == 0 &&
           roma__byte_is_held(store->fd, ROMA__LOCK_SESSIONS + (int64_t)session) == 0;
}

static bool clear_park(const roma__view *view, uint32_t tag)
{
    return roma__compare_exchange(&view->live->park, &tag, 0);
}

/* `tag` was read from park: a number that no session has (damage), or that of a dead one, is taken
 * back. */
static void overcome(roma_store *store, uint32_t tag)
{
    if (tag > store->view.regions.sessions) {
        (void)clear_park(&store->view, tag);
    } else if (roma__session_claim(store, tag - 1)) {
        (void)clear_park(&store->view, tag);
        roma__session_unclaim(store, tag - 1);
    }
}

void roma__park_wait(roma_store *store, uint32_t tag)
{
    static const struct timespec nap = {.tv_nsec = 200 * 1000};
    overcome(store, tag);
    (void)nanosleep(&nap, NULL);
}

/* ---- parking --------------------------------------------------------------------------------- */

/* Returns 0 with park held, or -EBUSY when somebody alive had it until the deadline. */
static int take_park(roma_store *store, uint64_t deadline_ns)
{
    pause_state pause = {0};
    uint32_t seen = 0;
    while (!roma__compare_exchange(&store->view.live->park, &seen, store->session + 1)) {
        if (seen != 0 && pause_for(&pause))
            overcome(store, seen);
        if (now_ns() > deadline_ns)
            return -EBUSY;
        seen = 0;
    }
    return 0;
}

/* Make lanes of all processes see park, or us see their busy. It is a barrier for the caller, too.
 * Returns 0 or -errno. */
static int barrier_for_all(void)
{
    if (roma__sys->membarrier(ROMA__MEMBARRIER_GLOBAL, 0) == 0 ||
        roma__sys->membarrier(ROMA__MEMBARRIER_GLOBAL_EXPEDITED, 0) == 0)
        return 0;
    return -errno;
}

/* Wait until a lane is outside of operations. Returns 0, or -ETIMEDOUT with *session. */
static int await_lane(const roma_store *store, const roma__lane *lane, uint64_t deadline_ns,
                      uint32_t *session)
{
    pause_state pause = {0};
    while (roma__load_acquire(&lane->busy) != 0) {
        uint32_t word = roma__load_acquire(&lane->word);
        if (word == 0 || word > store->view.regions.sessions)
            return 0; /* nobody's */
        bool is_time = pause_for(&pause);
        if (is_time && is_dead(store, word - 1))
            return 0;
        if (now_ns() > deadline_ns) {
            *session = word - 1;
            return is_dead(store, word - 1) ? 0 : -ETIMEDOUT;
        }
    }
    return 0;
}

int roma__store_park(roma_store *store, uint64_t timeout_ns, uint32_t *session)
{
    const roma__view *view = &store->view;
    uint64_t now = now_ns();
    uint64_t deadline_ns = timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
    int code = take_park(store, deadline_ns);
    if (code < 0)
        return code;
    code = barrier_for_all();
    uint64_t lanes_count = roma__load_acquire(&view->live->lanes_used);
    if (lanes_count > view->regions.lanes)
        lanes_count = view->regions.lanes;
    for (uint64_t i = 0; i < lanes_count && code == 0; i++)
        code = await_lane(store, &view->lanes[i], deadline_ns, session);
    if (code < 0)
        roma__store_unpark(store);
    return code;
}

void roma__store_unpark(roma_store *store)
{
    (void)clear_park(&store->view, store->session + 1);
}
