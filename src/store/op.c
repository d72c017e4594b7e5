/* op.c - operations that are one step against a crash: a redo record under stripes.
 *
 * The record is written in full (R1), its head commits it (R2), the pairs are stored and the tells
 * made (R3, R4), the head is cleared (R5), and only then are the stripes let go. Whoever recovers a
 * dead lane with a valid head does R3 to R5 again: the same values, into places that nobody else
 * could write, because the stripes are held until then. The head counts the pairs, so a record that
 * was begun and not committed is nothing.
 *
 * A *tell* says to the owner of a slab: look at this block, nobody names it any more. First the
 * block's remote bit, then PENDING in the slab's word, by one compare-and-swap with the owner in
 * it; an orphan slab is adopted by the same swap. So there is always somebody who will look: a live
 * owner, or the recovery of a dead one. The unit is in the lane's list (entry 0) before the head is
 * valid, so an adopted slab is never a lane's without being listed.
 *
 * Orders. Stripes give acquire and release; the record itself is read by others only after the
 * lane's death, through a lock of the kernel. A remote bit is set before PENDING (both release),
 * and PENDING is cleared before the bits are read (acquire): whoever clears it sees the bit, or
 * finds PENDING set again. The mail is a hint of where to look. */
#include "store/worker.h"

#include "base/check.h"

#include <errno.h>

/* ---- applying -------------------------------------------------------------------------------- */

static bool is_location(const roma__view *view, uint64_t location, uint64_t end)
{
    (void)view;
    return location % 8 == 0 && location >= ROMA__AT_LIVE && location < end;
}

/* PENDING into the word of a slab; returns the word as it was, 0 when it is no slab. */
static uint64_t set_pending(const roma__view *view, uint64_t unit, uint32_t tag)
{
    if (unit < view->regions.first_unit || unit >= roma__view_units(view))
        return 0;
    uint64_t *place = &view->units[unit].word;
    uint64_t word = roma__load_acquire(place), told;
    do {
        unsigned kind = roma__unit_kind(word);
        if (kind != ROMA__UNIT_SLAB && kind != ROMA__UNIT_LARGE)
            return 0;
        told = word | ROMA__UNIT_PENDING;
        if (roma__unit_owner(word) == 0)
            told |= (uint64_t)tag << ROMA__UNIT_OWNER_SHIFT;
    } while (!roma__compare_exchange(place, &word, told));
    return word;
}

static void send_mail(const roma__view *view, uint64_t unit, uint32_t owner)
{
    if (owner == 0 || owner > view->regions.lanes)
        return;
    roma__lane *lane = &view->lanes[owner - 1];
    uint32_t *place = &lane->mail[unit % ROMA__LANE_MAIL];
    uint32_t before = roma__load(place);
    if (before != 0 && before != unit + 1)
        roma__store(&lane->mail_lost, 1);
    roma__store(place, (uint32_t)unit + 1);
    roma__store_release(&lane->poke, 1);
}

bool roma__redo_apply(const roma__view *view, roma__lane *lane, uint32_t tag, uint64_t head)
{
    unsigned pairs = (unsigned)(head >> ROMA__REDO_PAIRS_SHIFT) & ROMA__REDO_COUNT_MASK;
    unsigned tells = (unsigned)(head >> ROMA__REDO_TELLS_SHIFT) & ROMA__REDO_COUNT_MASK;
    uint64_t unit = head & ROMA__REDO_UNIT_MASK;
    uint64_t end = roma__view_units(view) << ROMA__UNIT_SHIFT;
    bool is_adopted = false;
    if (pairs > ROMA__REDO_PAIRS)
        pairs = ROMA__REDO_PAIRS;
    if (tells > ROMA__REDO_PAIRS - pairs)
        tells = ROMA__REDO_PAIRS - pairs;
    for (unsigned i = 0; i < pairs; i++) {
        uint64_t location = roma__load(&lane->pairs[i].location);
        uint64_t value = roma__load(&lane->pairs[i].value);
        if (is_location(view, location, end))
            roma__store_release((uint64_t *)(void *)(view->base + location), value);
        roma__step("redo.pair");
    }
    for (unsigned i = pairs; i < pairs + tells; i++) {
        uint64_t location = roma__load(&lane->pairs[i].location);
        uint64_t bits = roma__load(&lane->pairs[i].value);
        if (is_location(view, location, end))
            (void)__atomic_fetch_or((uint64_t *)(void *)(view->base + location), bits,
                                    __ATOMIC_ACQ_REL);
        roma__step("redo.tell");
    }
    if (tells > 0) {
        uint64_t before = set_pending(view, unit, tag);
        roma__step("redo.pending");
        uint32_t owner = roma__unit_owner(before);
        is_adopted = before != 0 && owner == 0;
        if (before != 0 && owner != 0 && owner != tag && (before & ROMA__UNIT_PENDING) == 0)
            send_mail(view, unit, owner);
    }
    roma__store_release(&lane->redo, 0);
    roma__step("redo.applied");
    return is_adopted;
}

/* ---- building -------------------------------------------------------------------------------- */

void roma__op_begin(roma__op *op, roma__worker *worker)
{
    op->worker = worker;
    op->stripes_count = op->pairs_count = op->tells_count = 0;
    op->freed_count = 0;
    op->tell_unit = 0;
}

static void lock(roma__op *op, unsigned stripe)
{
    for (unsigned i = 0; i < op->stripes_count; i++)
        if (op->stripes[i] == stripe)
            return;
    roma_check(op->stripes_count < ROMA__OP_STRIPES);
    roma__stripe_lock(op->worker, stripe);
    op->stripes[op->stripes_count++] = stripe;
}

void roma__op_lock_names(roma__op *op)
{
    lock(op, ROMA__STRIPE_NAMES);
}

void roma__op_lock_slot(roma__op *op, const roma_ref *slot)
{
    lock(op, roma__stripe_of_slot(roma__view_ref(&op->worker->store->view, slot)));
}

void roma__op_lock_block(roma__op *op, const roma__block *block)
{
    lock(op, roma__stripe_of_unit(block->unit));
}

void roma__op_lock_blocks(roma__op *op, const roma__block *one, const roma__block *other)
{
    unsigned a = roma__stripe_of_unit(one->unit), b = roma__stripe_of_unit(other->unit);
    lock(op, a < b ? a : b);
    lock(op, a < b ? b : a);
}

void roma__op_store(roma__op *op, uint64_t *place, uint64_t value)
{
    roma_check(op->pairs_count < ROMA__REDO_PAIRS - 32);
    roma__op_pair(op, place, value);
}

int roma__op_share(roma__op *op, const roma__block *block)
{
    uint64_t second = roma__load(block->second);
    if (roma__second_shared(second) == ROMA__SHARED_MAX)
        return -EOVERFLOW;
    roma__op_store(op, block->second, (second + 1) | ROMA__SECOND_IS_SHARED);
    return 0;
}

void roma__op_tell(roma__op *op, uint64_t unit, uint64_t *remote, uint64_t bits)
{
    uint64_t location = roma__view_ref(&op->worker->store->view, remote);
    roma_check(op->tells_count == 0 || op->tell_unit == unit);
    op->tell_unit = unit;
    for (unsigned i = op->tells_count; i-- > 0;)
        if (op->tells[i].location == location) {
            op->tells[i].value |= bits;
            return;
        }
    roma_check(op->tells_count < 32);
    op->tells[op->tells_count++] = (roma__pair){location, bits};
}

static void tell(roma__op *op, const roma__block *block)
{
    roma__op_tell(op, block->unit, block->remote, block->remote_bit);
}

int roma__op_drop(roma__op *op, const roma__block *block)
{
    const roma__view *view = &op->worker->store->view;
    uint64_t first = roma__load(block->first), second = roma__load(block->second);
    if (roma__first_owner(first) == 0 || roma__second_shared(second) == 0)
        return -EUCLEAN;
    roma__op_store(op, block->second, second - 1);
    if (roma__second_shared(second) > 1)
        return 0;
    /* Nobody names it any more. Its slab's owner decides, by the local count that it alone writes;
     * only "the slab is mine" is stable here. */
    if (roma__unit_owner(roma__load_acquire(&view->units[block->unit].word)) != op->worker->tag) {
        tell(op, block);
    } else if (roma__first_local(first) == 0) {
        if (roma__block_slots(view, block, second).count > 0) {
            tell(op, block);
        } else {
            roma__op_store(op, block->first, roma__first_free(first));
            roma_check(op->freed_count < ROMA__OP_FREED);
            op->freed[op->freed_count++] = block->ref;
        }
    }
    return 0;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void unlock_all(roma__op *op)
{
    while (op->stripes_count > 0)
        roma__stripe_unlock(op->worker, op->stripes[--op->stripes_count]);
}

static void set_free_bits(roma__op *op)
{
    roma_store *store = op->worker->store;
    for (uint32_t i = 0; i < op->freed_count; i++) {
        roma__own_slab *slab = store->slabs[op->freed[i] >> ROMA__UNIT_SHIFT];
        if (slab == NULL || slab->owner != op->worker)
            continue;
        uint64_t index = (op->freed[i] - slab->offset) * slab->reciprocal >> 40;
        if (index < slab->count) /* else damage: the record is of another slab */
            roma__slab_freed(op->worker, slab, (uint32_t)index);
    }
}

void roma__op_commit(roma__op *op)
{
    roma__worker *worker = op->worker;
    roma__lane *lane = worker->lane;
    uint64_t head = ROMA__REDO_VALID | (uint64_t)op->pairs_count << ROMA__REDO_PAIRS_SHIFT |
                    (uint64_t)op->tells_count << ROMA__REDO_TELLS_SHIFT | op->tell_unit;
    for (unsigned i = 0; i < op->tells_count; i++) {
        roma__store(&lane->pairs[op->pairs_count + i].location, op->tells[i].location);
        roma__store(&lane->pairs[op->pairs_count + i].value, op->tells[i].value);
    }
    if (op->tells_count > 0)
        roma__store(&lane->list[0], (uint32_t)op->tell_unit + 1);
    roma__step("op.written");
    roma__store_release(&lane->redo, head);
    roma__step("op.valid");
    bool is_adopted = roma__redo_apply(&worker->store->view, lane, worker->tag, head);
    unlock_all(op);
    set_free_bits(op);
    if (op->tells_count > 0) {
        uint64_t word = roma__load(&worker->store->view.units[op->tell_unit].word);
        if (roma__unit_owner(word) == worker->tag)
            roma__slab_told(worker, op->tell_unit, is_adopted);
    }
}

void roma__op_cancel(roma__op *op)
{
    unlock_all(op);
}
