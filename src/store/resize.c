/* resize.c - another length.
 *
 * Within the cell only the slack in the second word changes: under the stripe if the block is or
 * may be SHARED, and in a store by the owner else. A large block that is the caller's alone grows
 * into free units behind it, or gives some back, by one swap of its head's length; the slack is
 * stored before where that shrinks and after where it grows, so that the length told is never more
 * than there is. Else the caller's sole reference moves with a copy. */
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
        return -ENOSPC;
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

static int move(roma__worker *worker, void *from, uint64_t old_bytes, uint64_t bytes, void **to)
{
    roma_store_request request = roma_store_request_of(bytes);
    int code = roma__block_alloc(worker, &request, to);
    if (code < 0)
        return code;
    memmove(*to, from, old_bytes < bytes ? old_bytes : bytes);
    return roma__block_release(worker, from);
}

static int resize(roma__worker *worker, void **address, uint64_t bytes)
{
    const roma__view *view = &worker->store->view;
    roma__block block;
    if (roma__block_find(view, roma_ref_of(worker->store, *address), &block) < 0)
        return -EINVAL;
    uint64_t first = roma__load_acquire(block.first), second = roma__load(block.second);
    if (roma__first_owner(first) == 0)
        return -ESTALE;
    bool fits = fits_slots(view, &block, second, bytes), has_slots = roma__second_map(second) != 0;
    bool is_sole = roma__first_local(first) == 1 && roma__second_shared(second) == 0;
    uint64_t slack = block.usable_bytes - bytes;
    bool is_close = bytes > block.usable_bytes / 2 || slack < LEAST_GAIN;
    if (bytes <= block.usable_bytes && fits && slack <= ROMA__SLACK_MAX &&
        (is_close || has_slots || !is_sole)) {
        store_slack(worker, &block, slack);
        return 0;
    }
    if (has_slots)
        return -EOPNOTSUPP;
    if (!is_sole)
        return -EBUSY;
    roma__own_slab *slab = roma__load_acquire(&worker->store->slabs[block.unit]);
    bool is_own = slab != NULL && roma__load(&slab->owner) == worker;
    if (is_own && roma__unit_kind(block.word) == ROMA__UNIT_LARGE && bytes > ROMA__UNIT_BYTES) {
        int code = resize_units(worker, slab, &block, bytes);
        if (code != -EAGAIN)
            return code;
    }
    uint64_t old_bytes = block.usable_bytes - roma__second_slack(second);
    if (old_bytes > block.usable_bytes)
        return -EUCLEAN;
    void *to;
    int code = move(worker, *address, old_bytes, bytes, &to);
    if (code == 0)
        *address = to;
    return code;
}

void *roma_store_resize(roma_store *store, void *block, size_t bytes)
{
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker != NULL) {
        code = block == NULL ? -EINVAL : bytes > PTRDIFF_MAX ? -EOVERFLOW : 0;
        if (code == 0)
            code = resize(worker, &block, bytes);
        roma__store_leave(worker);
    }
    if (code == 0)
        return block;
    errno = -code;
    return NULL;
}
