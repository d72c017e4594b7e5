/* close.c - a store is closed.
 *
 * The last session recovers who is dead, cuts the file if that is wanted, and marks it clean, under
 * the file lock. Any other one leaves without a lock, so it waits for nobody who opens or closes.
 *
 *     who closes
 *
 *     state := 0, of the own session          it holds nothing any more, and will do nothing
 *     another session has state 1, and lives? then go: the byte goes with the mapping
 *     the file lock
 *     the same once more                      then go
 *     I am the last
 *
 * Of two that close at once at least one sees the state of the other to be 0 (each stores before it
 * loads, in one order for all), and stays; where both do, the file lock lets one after the other
 * look, and both find that they are the last, which is no harm. Who saw another with state 1 can
 * rely on it to look later, or to be killed: then the store is one that a killed session left. A
 * session with state 0 may have its byte for a moment longer, so the byte alone does not tell who
 * stays. But nothing is cut while any byte is held: then there is a mapping. */
#include "store/open.h"

#include "base/bits.h"
#include "store/openings.h"
#include "sys/sys.h"

#include <errno.h>

static void end_use(roma__super *super, void *context)
{
    const roma_store *store = context;
    super->flags |= ROMA__SUPER_CLEAN;
    super->committed_units = roma__view_units(&store->view);
}

static void recover_dead(roma_store *store)
{
    for (uint32_t i = 0; i < store->view.regions.sessions; i++) {
        if (roma__load(&store->view.sessions[i].state) == 0 || !roma__session_claim(store, i))
            continue;
        (void)roma__session_recover(store, i);
        roma__session_unclaim(store, i);
    }
}

static void less_committed(roma__super *super, void *context)
{
    super->committed_units = roma__min(super->committed_units, *(const uint64_t *)context);
}

static int sync_file(const roma_store *store)
{
    if (store->is_in_memory || store->wants_no_sync)
        return 0;
    return roma__sys->fsync(store->fd) < 0 ? -errno : 0;
}

/* Nobody else is there: what is behind the last unit in use goes. What the file says of its length
 * is never more than it has, so that is changed before. */
static int shrink(roma_store *store)
{
    const roma__view *view = &store->view;
    uint64_t keep = roma__max(roma__units_in_use(view), view->regions.first_unit + 1);
    uint64_t multiple = roma__max(store->page_bytes / ROMA__UNIT_BYTES, 1);
    keep = roma__min(roma__align_up(keep, multiple), roma__view_units(view));
    roma__store_release(&view->live->committed_units, keep);
    roma__step("close.shrinking");
    int code = roma__super_change(store, less_committed, &keep, NULL);
    if (code == 0) /* it may say clean already: another session closed with this one */
        code = sync_file(store);
    roma__step("close.shrunk");
    /* Sealed, or failed: the file keeps what it has, and growth will find it there. */
    if (code == 0)
        (void)roma__sys->ftruncate(store->fd, (off_t)(keep << ROMA__UNIT_SHIFT));
    return code;
}

int roma__store_rest(roma_store *store)
{
    int code = roma__super_change(store, end_use, store, NULL);
    return code == 0 ? sync_file(store) : code;
}

/* Is there another session that lives and has not closed yet? 1, 0 or -errno. */
static int others_stay(const roma_store *store)
{
    const roma__view *view = &store->view;
    int alive = roma__sessions_alive(store->fd, &view->regions, store);
    for (uint32_t i = 0; alive == 1 && i < view->regions.sessions; i++) {
        if (i == store->session || __atomic_load_n(&view->sessions[i].state, __ATOMIC_SEQ_CST) == 0)
            continue;
        int held = roma__byte_is_held(store->fd, ROMA__LOCK_SESSIONS + (int64_t)i);
        if (held != 0)
            return held;
    }
    return alive < 0 ? alive : 0;
}

/* Only where nobody else has a mapping, nor can get one: for writing that takes the file lock, for
 * reading the other byte, and we have both. */
static int shrink_alone(roma_store *store)
{
    if (!store->wants_shrink || roma__sessions_alive(store->fd, &store->view.regions, store) != 0 ||
        roma__byte_lock(store->fd, ROMA__LOCK_OPEN, false) < 0)
        return 0;
    int code = shrink(store);
    (void)roma__byte_unlock(store->fd, ROMA__LOCK_OPEN);
    return code;
}

/* Under the file lock, as the last one: make it clean. */
static int close_last(roma_store *store)
{
    recover_dead(store);
    int code = shrink_alone(store);
    if (code == 0)
        code = sync_file(store);
    roma__step("close.synced");
    return code == 0 ? roma__store_rest(store) : code;
}

/* Whoever is not the last only goes. */
static int leave(roma_store *store)
{
    roma__session_detach(store);
    if (others_stay(store) == 1)
        return 0;
    int code = roma__byte_lock(store->fd, ROMA__LOCK_FILE, true);
    return code == 0 && others_stay(store) == 0 ? close_last(store) : code;
}

int roma_store_close(roma_store *store)
{
    int code = 0;
    if (store == NULL)
        return 0;
    if (roma__store_watched_by != NULL)
        roma__store_watched_by->closing(store);
    roma__opening_end(store);
    if (roma__load(&store->is_stale)) {
        store->view.base = NULL; /* not there in this process */
        roma__opening_remove(store);
        roma__store_delete(store);
        return 0;
    }
    if (!store->is_read_only)
        code = leave(store);
    roma__store_unmap(store);
    (void)roma__byte_unlock(store->fd, roma__store_lock_of(store));
    roma__opening_remove(store);
    roma__store_delete(store);
    return code;
}
