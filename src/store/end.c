/* end.c - the end of blocks that nobody names: by the owner of their slab, and nobody else.
 *
 * A block whose local and shared counts are 0 is dead, and still in use until its first word says
 * free. Nobody can name it again, so its words are the owner's. If it has slots, what they name is
 * released first, one redo record a slot, and the free word comes last: killed in between, the scan
 * in recovery meets the block again and goes on.
 *
 * Depth. A child that dies by that is not ended here but marked: its remote bit and its slab's
 * PENDING are set by the same record, and the slab is looked at again later. The remote bits are
 * the list of what is still to be done, in the file and of bounded size, however long a chain is.
 *
 * A block that was ever SHARED is freed under its stripe: a record of a dead process that names it
 * may still be applied as long as its stripe is held. One that never was has been known to its
 * owner's session alone. */
#include "store/worker.h"

static void release_children(roma__worker *worker, const roma__block *block, roma__slots slots)
{
    for (uint32_t i = 0; i < slots.count; i++) {
        char *at = (char *)roma__view_at(&worker->store->view, block->ref) + slots.offset +
                   (uint64_t)i * slots.stride;
        roma_ref *slot = (roma_ref *)(void *)at;
        if (roma__load(slot) == 0)
            continue;
        /* What names no block (damage) is left, and goes with this block. */
        (void)roma__slot_release(worker, slot);
    }
}

static bool is_dead(uint64_t first, uint64_t second)
{
    return roma__first_owner(first) != 0 && roma__first_local(first) == 0 &&
           roma__second_shared(second) == 0;
}

static void lock_if(roma__worker *worker, const roma__block *block, bool is_shared)
{
    if (is_shared)
        roma__stripe_lock(worker, roma__stripe_of_unit(block->unit));
}

static void unlock_if(roma__worker *worker, const roma__block *block, bool is_shared)
{
    if (is_shared)
        roma__stripe_unlock(worker, roma__stripe_of_unit(block->unit));
}

bool roma__block_finish(roma__worker *worker, const roma__block *block)
{
    bool is_shared = (roma__load(block->second) & ROMA__SECOND_IS_SHARED) != 0;
    for (bool has_released = false;; has_released = true) {
        lock_if(worker, block, is_shared);
        uint64_t first = roma__load(block->first), second = roma__load(block->second);
        bool dead = is_dead(first, second);
        roma__slots slots = roma__block_slots(&worker->store->view, block, second);
        bool ends = dead && (slots.count == 0 || has_released);
        if (ends) {
            roma__step("end.dead");
            roma__store_release(block->first, roma__first_free(first));
            roma__step("end.free");
        }
        unlock_if(worker, block, is_shared);
        if (!dead || ends)
            return ends;
        release_children(worker, block, slots);
    }
}

/* Of the blocks of one word of remote bits, those that are dead, were SHARED and have no slots: all
 * under one hold of their stripe. Returns the bits of those that are free now; *others are to be
 * looked at one by one. */
static uint64_t finish_plain(roma__worker *worker, const roma__block *lowest, uint64_t bits,
                             uint64_t *others)
{
    const roma__view *view = &worker->store->view;
    unsigned stripe = roma__stripe_of_unit(lowest->unit);
    uint64_t freed = 0;
    *others = 0;
    roma__stripe_lock(worker, stripe);
    for (uint64_t left = bits; left != 0; left &= left - 1) {
        uint32_t bit = (uint32_t)__builtin_ctzll(left);
        roma__block block;
        roma__block_of_slab(view, lowest->unit, lowest->word, lowest->index + bit, &block);
        uint64_t first = roma__load(block.first), second = roma__load(block.second);
        if (!is_dead(first, second))
            continue;
        if ((second & ROMA__SECOND_IS_SHARED) == 0 || roma__second_map(second) != 0) {
            *others |= UINT64_C(1) << bit;
            continue;
        }
        roma__store_release(block.first, roma__first_free(first));
        roma__step("drain.free");
        freed |= UINT64_C(1) << bit;
    }
    roma__stripe_unlock(worker, stripe);
    return freed;
}

static void tell_freed(roma__worker *worker, uint32_t index, uint64_t bits,
                       void (*freed)(roma__worker *worker, uint32_t index, void *context),
                       void *context)
{
    for (; bits != 0 && freed != NULL; bits &= bits - 1)
        freed(worker, index + (uint32_t)__builtin_ctzll(bits), context);
}

void roma__slab_drain(roma__worker *worker, uint64_t unit,
                      void (*freed)(roma__worker *worker, uint32_t index, void *context),
                      void *context)
{
    const roma__view *view = &worker->store->view;
    uint64_t word = __atomic_fetch_and(&view->units[unit].word, ~ROMA__UNIT_PENDING,
                                       __ATOMIC_ACQ_REL);
    roma__step("drain.pending");
    uint32_t count = roma__unit_word_is_valid(view, unit, word) ? roma__block_count(word) : 0;
    for (uint32_t index = 0; index < count; index += 64) {
        roma__block block;
        roma__block_of_slab(view, unit, word, index, &block);
        if (roma__load(block.remote) == 0)
            continue;
        /* All bits are cleared before any word is read. */
        uint64_t bits = roma__exchange(block.remote, 0), others;
        roma__step("drain.bits");
        if (count - index < 64)
            bits &= (UINT64_C(1) << (count - index)) - 1;
        tell_freed(worker, index, finish_plain(worker, &block, bits, &others), freed, context);
        for (; others != 0; others &= others - 1) {
            uint32_t bit = (uint32_t)__builtin_ctzll(others);
            roma__block_of_slab(view, unit, word, index + bit, &block);
            if (roma__block_finish(worker, &block))
                tell_freed(worker, index + bit, 1, freed, context);
        }
    }
}
