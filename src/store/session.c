/* session.c - a slot for each opening: taken, given up, listed.
 *
 * The slot's state is only looked at by who has its byte. A free slot is preferred; a slot of a
 * dead session is recovered first, under its byte, and then taken. What the slot says of the
 * process is for people to read. */
#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "store/open.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- attach ---------------------------------------------------------------------------------- */

static uint64_t real_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Have its byte, for good if the slot is what is wanted. Returns 1, 0 when it is not, -EAGAIN when
 * it would be, but somebody has the byte who looks whether a session lives, or who has closed it
 * and is about to unmap it; or -errno. */
static int take_slot(roma_store *store, uint32_t index, bool may_recover)
{
    int fd = store->mapped_fd;
    uint32_t *state = &store->view.sessions[index].state;
    if (!may_recover && roma__load(state) != 0)
        return 0;
    int code = roma__byte_lock(fd, ROMA__LOCK_SESSIONS + index, false);
    if (code == -EAGAIN)
        return roma__load(state) == 0 ? code : 0;
    if (code < 0)
        return code;
    if (roma__load_acquire(state) != 0 && !may_recover) {
        (void)roma__byte_unlock(fd, ROMA__LOCK_SESSIONS + index);
        return 0;
    }
    store->session = index;
    roma__store_release(&store->claims[index], 1);
    if (roma__load_acquire(state) != 0) {
        roma__session_enter_dead(store, index);
        (void)roma__session_recover(store, index);
    }
    return 1;
}

/* Returns the index, -EUSERS (-EAGAIN: one will be free in a moment), or -errno. */
static int64_t take_any(roma_store *store, bool may_recover)
{
    int64_t none = -EUSERS;
    for (uint32_t index = 0; index < store->view.regions.sessions; index++) {
        int code = take_slot(store, index, may_recover);
        if (code == 1)
            return index;
        if (code == -EAGAIN)
            none = -EAGAIN;
        else if (code < 0)
            return code;
    }
    return none;
}

/* A free one, else that of a dead session, else one that is free soon. Returns as above. */
static int64_t await_any(roma_store *store)
{
    enum { TRIES = 100 };
    static const struct timespec nap = {.tv_nsec = 1000 * 1000};
    int64_t index = -EAGAIN;
    for (int i = 0; i < TRIES && index == -EAGAIN; i++) {
        if (i > 0)
            (void)nanosleep(&nap, NULL);
        index = take_any(store, false);
        if (index == -EUSERS || index == -EAGAIN)
            index = take_any(store, true);
    }
    return index == -EAGAIN ? -EUSERS : index;
}

int roma__session_attach(roma_store *store, const char *label, roma_error *error)
{
    int64_t found = await_any(store);
    if (found == -EUSERS) {
        (void)roma__error(error, -EUSERS, ROMA_WHY_STORE_SESSIONS);
        if (error != NULL)
            error->total = store->view.regions.sessions;
        return -EUSERS;
    }
    if (found < 0)
        return roma__error_call(error, "fcntl", (int)-found);
    uint32_t index = (uint32_t)found;
    roma__session *slot = &store->view.sessions[index];
    slot->pid = (int64_t)getpid();
    slot->start_ns = real_ns();
    roma__text_copy(slot->label, sizeof slot->label,
                    label != NULL ? label : program_invocation_short_name);
    roma__step("session.filled");
    uint32_t parker = index + 1; /* of a damaged file: nobody has begun to park yet */
    (void)roma__compare_exchange(&store->view.live->park, &parker, 0);
    roma__store_release(&slot->state, 1);
    roma__step("session.attached");
    return 0;
}

void roma__session_detach(roma_store *store)
{
    for (roma__worker *worker = store->workers; worker != NULL; worker = worker->next) {
        roma__worker_pause(worker);
        roma__lane_leave(worker);
    }
    roma__session *slot = &store->view.sessions[store->session];
    roma__store(&slot->generation, roma__load(&slot->generation) + 1);
    roma__step("session.left");
    __atomic_store_n(&slot->state, 0, __ATOMIC_SEQ_CST); /* before others are looked at: close.c */
    roma__step("session.ended");
}

/* ---- listing --------------------------------------------------------------------------------- */

/* What the lanes of a session have, from the description of all units. */
static void add_up(const roma__view *view, uint32_t session, roma_store_session *out)
{
    uint64_t used = roma__load_acquire(&view->live->lanes_used), end = roma__view_units(view);
    for (uint64_t i = 0; i < used && i < view->regions.lanes; i++) {
        if (roma__load(&view->lanes[i].word) != session + 1)
            continue;
        out->lanes++;
        for (uint32_t k = 0; k < ROMA__LANE_CELLS; k++)
            out->cells += roma__load(&view->lanes[i].cells[k]) != 0;
    }
    for (uint64_t unit = view->regions.first_unit; unit < end; unit++) {
        uint64_t word = roma__load_acquire(&view->units[unit].word);
        uint32_t owner = roma__unit_owner(word);
        if (owner == 0 || owner > used || owner > view->regions.lanes ||
            roma__load(&view->lanes[owner - 1].word) != session + 1 ||
            !roma__unit_word_is_valid(view, unit, word))
            continue;
        if (roma__block_count(word) > 0) {
            out->slabs++;
            out->held_bytes += roma__unit_length(word) << ROMA__UNIT_SHIFT;
        } else if (roma__unit_kind(word) == ROMA__UNIT_CELLS) {
            const uint64_t *cells = roma__view_at(view, unit << ROMA__UNIT_SHIFT);
            for (uint32_t k = 0; k < ROMA__CELLS_IN_UNIT; k++)
                out->cells += roma__load(&cells[k]) != 0;
        }
        unit += roma__unit_length(word) - 1;
    }
}

int roma_store_sessions(roma_store *store,
                        int (*visit)(void *context, const roma_store_session *session),
                        void *context)
{
    if (store == NULL || visit == NULL)
        return -EINVAL;
    if (roma__load(&store->is_stale))
        return -ESTALE;
    for (uint32_t i = 0; i < store->view.regions.sessions; i++) {
        const roma__session *slot = &store->view.sessions[i];
        if (roma__load_acquire(&slot->state) == 0)
            continue;
        roma_store_session out;
        memset(&out, 0, sizeof out);
        out.index = i;
        out.is_own = i == store->session && !store->is_read_only;
        out.is_alive = out.is_own || (!store->is_image &&
                                      roma__byte_is_held(store->fd, ROMA__LOCK_SESSIONS + i) == 1);
        out.pid = roma__load(&slot->pid);
        out.start_ns = roma__load(&slot->start_ns);
        memcpy(out.label, slot->label, sizeof out.label);
        out.label[sizeof out.label - 1] = '\0';
        add_up(&store->view, i, &out);
        int code = visit(context, &out);
        if (code != 0)
            return code;
    }
    return 0;
}
