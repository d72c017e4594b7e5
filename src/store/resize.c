/* resize.c - another length.
 *
 * Within the cell only the slack in the second word changes: under the stripe if the block is or
 * may be SHARED, and in a store by the owner else. A large block that is the caller's alone grows
 * into free units behind it, or gives some back, by one swap of its head's length; the slack is
 * stored before where that shrinks and after where it grows, so that the length told is never more
 * than there is. Else the caller's sole reference moves with a copy. Who may not have it move gets
 * whatever length can be had where it is. */
#include "store/worker.h"

#include <errno.h>
#include <string.h>

enum { LEAST_GAIN = 64 }; /* bytes for which a block does not move to a smaller cell */

static void store_slack(roma__worker *worker, const roma__block *block, uint64_t slack)
{
    unsigned stripe = roma__stripe_of_unit(block->unit);
    roma__stripe_lock(worker, stripe);
    uint64_t second = roma__load(block->second);
    const uint64_t mask = (uint64_t)ROMA__SLACK_MAX << ROMA__SECOND_SLACK_SHIFT;
    roma__store_release(block->second, (second & ~mask) | slack << ROMA__SECOND_SLACK_SHIFT);
    roma__step("resize.slack");
    roma__stripe_unlock(worker, stripe);
}

static bool fits_slots(const roma__view *view, const roma__block *block, uint64_t second,
                       uint64_t bytes)
{
    roma__slots slots = roma__block_slots(view, block, second);
    return slots.count == 0 ||
           slots.offset + (uint64_t)(slots.count - 1) * slots.stride + 8 <= bytes;
}

/* A large block of the caller's alone. Returns 0, or -EAGAIN where it has to be copied. */
static int resize_units(roma__worker *worker, roma__own_slab *slab, roma__block *block,
                        uint64_t bytes)
{
    uint64_t length = (bytes + ROMA__UNIT_BYTES - 1) >> ROMA__UNIT_SHIFT;
    if (length > UINT32_MAX)
        return -EAGAIN; /* that says why it cannot be */
    length = length == 0 ? 1 : length;
    uint64_t slack = (length << ROMA__UNIT_SHIFT) - bytes;
    if (length < slab->units)
        store_slack(worker, block, 0);
    for (;;) {
        uint64_t word = roma__load_acquire(&worker->store->view.units[slab->unit].word);
        int code = roma__units_resize(worker, slab->unit, word, length);
        if (code == -EAGAIN)
            continue; /* somebody set PENDING: it stays set in the new word */
        if (code < 0)
            return -EAGAIN;
        break;
    }
    slab->units = (uint32_t)length;
    store_slack(worker, block, slack);
    return 0;
}

static int move(roma__worker *worker, void **address, uint64_t old_bytes, uint64_t bytes)
{
    void *to;
    roma_store_request request = roma_store_request_of(bytes);
    int code = roma__block_alloc(worker, &request, &to);
    if (code < 0)
        return code;
    memmove(to, *address, old_bytes < bytes ? old_bytes : bytes);
    code = roma__block_release(worker, *address);
    if (code < 0) { /* it was another session's alone, or this process has no memory */
        (void)roma__block_release(worker, to);
        return code;
    }
    *address = to;
    return 0;
}

/* Is one reference all that there is? It is a local one, or that of the session's cell: then no
 * slot names the block, so nobody gets another one. */
static bool is_sole(roma__worker *worker, const roma__block *block)
{
    uint32_t shared = roma__second_shared(roma__load(block->second));
    if (shared == 0)
        return roma__first_local(roma__load(block->first)) == 1;
    if (shared > 1)
        return false;
    unsigned stripe = roma__stripe_of_unit(block->unit);
    roma__stripe_lock(worker, stripe);
    const uint64_t *cell = roma__cells_find(worker->store, block->ref, block->unit);
    bool is_one = cell != NULL && roma__cell_count(roma__load(cell)) == 1 &&
                  roma__first_local(roma__load(block->first)) == 0 &&
                  roma__second_shared(roma__load(block->second)) == 1;
    roma__stripe_unlock(worker, stripe);
    return is_one;
}

/* A block that is the caller's alone and has no slots. */
static int resize_sole(roma__worker *worker, void **address, roma__block *block, uint64_t bytes,
                       bool may_move)
{
    roma__own_slab *slab = roma__load_acquire(&worker->store->slabs[block->unit]);
    bool is_own = slab != NULL && roma__load(&slab->owner) == worker;
    if (is_own && roma__unit_kind(block->word) == ROMA__UNIT_LARGE &&
        (bytes > ROMA__UNIT_BYTES || !may_move)) {
        int code = resize_units(worker, slab, block, bytes);
        if (code != -EAGAIN)
            return code;
    }
    uint64_t old_slack = roma__second_slack(roma__load(block->second));
    if (old_slack > block->usable_bytes)
        return -EUCLEAN;
    if (may_move)
        return move(worker, address, block->usable_bytes - old_slack, bytes);
    if (bytes > block->usable_bytes || block->usable_bytes - bytes > ROMA__SLACK_MAX)
        return -ENOMEM;
    store_slack(worker, block, block->usable_bytes - bytes);
    return 0;
}

static int resize(roma__worker *worker, void **address, uint64_t bytes, bool may_move)
{
    const roma__view *view = &worker->store->view;
    roma__block block;
    if (roma__block_find(view, roma_ref_of(worker->store, *address), &block) < 0)
        return -EINVAL;
    uint64_t second = roma__load(block.second);
    if (roma__first_owner(roma__load_acquire(block.first)) == 0)
        return -ESTALE;
    bool fits = fits_slots(view, &block, second, bytes), has_slots = roma__second_map(second) != 0;
    bool may_leave = !has_slots && is_sole(worker, &block);
    uint64_t slack = block.usable_bytes - bytes;
    bool is_close = bytes > block.usable_bytes / 2 || slack < LEAST_GAIN;
    if (bytes <= block.usable_bytes && fits && slack <= ROMA__SLACK_MAX &&
        (is_close || !may_leave)) {
        store_slack(worker, &block, slack);
        return 0;
    }
    if (may_leave)
        return resize_sole(worker, address, &block, bytes, may_move);
    if (!may_move && fits)
        return -ENOMEM;
    return has_slots ? -EOPNOTSUPP : -EBUSY;
}

int roma__store_resize(roma_store *store, void **block, size_t bytes, bool may_move)
{
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return code;
    code = *block == NULL ? -EINVAL : bytes > PTRDIFF_MAX ? -EOVERFLOW : 0;
    if (code == 0)
        code = resize(worker, block, bytes, may_move);
    roma__store_leave(worker);
    return code;
}

void *roma_store_resize(roma_store *store, void *block, size_t bytes)
{
    int code = roma__store_resize(store, &block, bytes, true);
    if (code == 0)
        return block;
    errno = -code;
    return NULL;
}
