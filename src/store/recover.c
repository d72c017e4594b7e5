/* recover.c - what the dead held is given back, by whoever meets it.
 *
 * A session lives as long as its byte lock is held. Having the byte means that it is dead, and that
 * nobody else recovers it. The first half takes no stripe: unfinished records of its lanes are
 * applied, the map of units is mended where a change of it was interrupted, stripes are let go. Any
 * waiter does it, whatever stripes it holds itself. The second half acts as the dead lanes, one by
 * one, under their own tags and through their own records (leave.c), and sets the session free
 * last; only somebody who holds no stripe does it. Who dies in between leaves things as any dead
 * session does: the next one begins at the first half.
 *
 * The first half is done for all lanes of a session before the second half of any: one lane's may
 * wait for a stripe that a sister holds, and nobody else could have the session's byte.
 *
 * A byte lock does not keep the threads of one process apart, it is the description's. So each
 * thread claims the session in `claims` first, and one that finds it claimed goes on waiting as for
 * a living holder: whoever has the claim does the work. The own session is claimed for good, since
 * the kernel would grant its byte to the own process and then drop it. */
#include "store/open.h"

#include <errno.h>
#include <string.h>

bool roma__session_claim(roma_store *store, uint32_t session)
{
    uint32_t free = 0;
    if (session >= store->view.regions.sessions ||
        !roma__compare_exchange(&store->claims[session], &free, 1))
        return false;
    if (store->is_image || roma__byte_lock(store->fd, ROMA__LOCK_SESSIONS + session, false) == 0)
        return true;
    roma__store_release(&store->claims[session], 0);
    return false;
}

void roma__session_unclaim(roma_store *store, uint32_t session)
{
    if (!store->is_image)
        (void)roma__byte_unlock(store->fd, ROMA__LOCK_SESSIONS + session);
    roma__store_release(&store->claims[session], 0);
}

/* ---- the first half -------------------------------------------------------------------------- */

static uint32_t lanes_used(const roma__view *view)
{
    uint64_t used = roma__load_acquire(&view->live->lanes_used);
    return used < view->regions.lanes ? (uint32_t)used : view->regions.lanes;
}

static bool is_of(const roma__view *view, uint32_t tag, uint32_t session)
{
    return tag != 0 && tag <= lanes_used(view) &&
           roma__load_acquire(&view->lanes[tag - 1].word) == session + 1;
}

static void finish_records(const roma__view *view, uint32_t session)
{
    for (uint32_t tag = 1; tag <= lanes_used(view); tag++) {
        if (!is_of(view, tag, session))
            continue;
        roma__lane *lane = &view->lanes[tag - 1];
        uint64_t head = roma__load_acquire(&lane->redo);
        if ((head & ROMA__REDO_VALID) != 0)
            (void)roma__redo_apply(view, lane, tag, head);
        roma__step("recover.record");
    }
}

static void let_go_of_stripes(const roma__view *view, uint32_t session)
{
    for (unsigned i = 0; i < ROMA__STRIPES_COUNT; i++) {
        uint32_t *holder = &view->stripes[i].holder;
        if (!is_of(view, roma__load_acquire(holder), session))
            continue;
        if (i == ROMA__STRIPE_UNITS) {
            roma__units_repair(view, roma__load(&view->live->intent));
            roma__step("recover.repaired");
            roma__store(&view->live->intent, 0);
        }
        roma__step("recover.stripe");
        roma__store_release(holder, 0);
    }
    uint32_t parker = session + 1;
    (void)roma__compare_exchange(&view->live->park, &parker, 0);
}

void roma__session_first_half(roma_store *store, uint32_t session)
{
    finish_records(&store->view, session);
    let_go_of_stripes(&store->view, session);
}

/* Of a lane that nobody has: it is had for a moment, so that nobody takes it meanwhile. */
static void take_stripes_back(roma_store *store, uint32_t *lane, uint32_t word, uint32_t tag)
{
    const roma__view *view = &store->view;
    if (!roma__compare_exchange(lane, &word, store->session + 1))
        return;
    for (unsigned i = 0; i < ROMA__STRIPES_COUNT; i++)
        if (roma__load(&view->stripes[i].holder) == tag)
            roma__store_release(&view->stripes[i].holder, 0);
    roma__store_release(lane, 0);
}

void roma__holder_look(roma_store *store, uint32_t *holder, uint32_t seen)
{
    const roma__view *view = &store->view;
    if (seen > lanes_used(view)) { /* no lane has that tag: damage */
        (void)roma__compare_exchange(holder, &seen, 0);
        return;
    }
    if (seen == 0)
        return;
    uint32_t *lane = &view->lanes[seen - 1].word;
    uint32_t word = roma__load_acquire(lane);
    if (word == 0 || word > view->regions.sessions) { /* damage: a free lane holds nothing */
        take_stripes_back(store, lane, word, seen);
        return;
    }
    if (word - 1 == store->session) {
        roma__worker_let_go(store, holder, seen);
        return;
    }
    if (!roma__session_claim(store, word - 1))
        return;
    roma__session_first_half(store, word - 1);
    roma__session_unclaim(store, word - 1);
}

/* ---- the second half ------------------------------------------------------------------------- */

int roma__session_recover(roma_store *store, uint32_t session)
{
    const roma__view *view = &store->view;
    roma__session_first_half(store, session);
    for (uint32_t tag = 1; tag <= lanes_used(view); tag++) {
        if (!is_of(view, tag, session))
            continue;
        roma__worker ghost;
        roma__worker_ghost(&ghost, store, tag - 1);
        roma__lane_leave(&ghost);
    }
    roma__session *entry = &view->sessions[session];
    roma__store(&entry->generation, roma__load(&entry->generation) + 1);
    roma__step("recover.session");
    roma__store_release(&entry->state, 0);
    return 0;
}

/* Recovery changes the file, and no checkpoint may show the half of it: who has no lane with which
 * to enter enters with one of the dead session's, the one that is left last. The others are as they
 * died, and nobody is to wait for them. If it died while it parked all others, that ends here. */
void roma__session_enter_dead(roma_store *store, uint32_t session)
{
    const roma__view *view = &store->view;
    uint32_t lanes = lanes_used(view), last = lanes, parker = session + 1;
    (void)roma__compare_exchange(&view->live->park, &parker, 0);
    for (uint32_t lane = 0; lane < lanes; lane++) {
        if (roma__load_acquire(&view->lanes[lane].word) != session + 1)
            continue;
        roma__store_release(&view->lanes[lane].busy, 0);
        last = lane;
    }
    if (last == lanes)
        return;
    roma__worker ghost;
    roma__worker_ghost(&ghost, store, last);
    roma__worker_pause(&ghost);
}

static int recover_each(roma_store *store, bool has_entered)
{
    int recovered = 0;
    for (uint32_t i = 0; i < store->view.regions.sessions; i++) {
        uint32_t *state = &store->view.sessions[i].state;
        if (roma__load(state) == 0 || !roma__session_claim(store, i))
            continue;
        if (roma__load_acquire(state) != 0) {
            if (!has_entered)
                roma__session_enter_dead(store, i);
            (void)roma__session_recover(store, i);
            recovered++;
        }
        roma__session_unclaim(store, i);
    }
    return recovered;
}

int roma__store_recover_all(roma__worker *worker)
{
    return recover_each(worker->store, true);
}

int roma__store_recover_outside(roma_store *store)
{
    return recover_each(store, false);
}

/* The dead may have all lanes, so ours comes after them: only to look at what was told us. */
int roma_store_recover(roma_store *store)
{
    int code = roma__store_may_enter(store);
    if (code < 0)
        return code;
    int recovered = roma__store_recover_outside(store);
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker != NULL) {
        roma__worker_settle(worker);
        roma__store_leave(worker);
    }
    return recovered;
}
