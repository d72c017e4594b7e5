/* leave.c - a lane gives up all that it has: at the end of its session, or as a ghost, when another
 * session recovers it. The same steps under the same tag, so there is one state less to recover.
 *
 * Cells are released one by one. Then all blocks of all slabs are looked at once and the local
 * counts dropped: a block that nobody else names ends. Then the slabs are given up, each by a
 * compare-and-swap that fails when somebody has told us something meanwhile; then what was told is
 * looked at, and again. Ending a block may adopt an orphan slab for this lane (its child's), so
 * passes over the list are made until one finds no slab: the list always names all of them.
 *
 * What the process has noted of the lane's slabs is forgotten first. A slab that was given up can
 * be adopted by others, be made another one, and come back to this lane before it has left. */
#include "store/worker.h"

typedef struct pass {
    bool has_met; /* a slab, or large block */
} pass;

/* The unit of an entry, and its word, where it is this lane's; else false. */
static bool is_own(roma__worker *worker, const uint32_t *entry, uint64_t *unit, uint64_t *word)
{
    const roma__view *view = &worker->store->view;
    uint32_t number = roma__load(entry);
    if (number == 0 || number - 1 >= roma__view_units(view))
        return false;
    *unit = number - 1;
    *word = roma__load_acquire(&view->units[*unit].word);
    return roma__unit_owner(*word) == worker->tag && roma__unit_word_is_valid(view, *unit, *word);
}

static bool has_blocks(uint64_t word)
{
    return roma__unit_kind(word) == ROMA__UNIT_SLAB || roma__unit_kind(word) == ROMA__UNIT_LARGE;
}

/* ---- cells ----------------------------------------------------------------------------------- */

static void release_cell(roma__worker *worker, uint64_t *cell)
{
    uint64_t value = roma__load(cell);
    if (value == 0)
        return;
    roma__block block;
    if (roma__block_find(&worker->store->view, roma__cell_ref(value), &block) == 0) {
        roma__op op;
        roma__op_begin(&op, worker);
        roma__op_lock_block(&op, &block);
        roma__op_store(&op, cell, 0);
        if (roma__op_drop(&op, &block) == 0) {
            roma__op_commit(&op);
            return;
        }
        roma__op_cancel(&op);
    }
    roma__store(cell, 0); /* damage: it named no block in use */
}

static void release_cells_of(roma__worker *worker, uint32_t *entry, void *context)
{
    (void)context;
    uint64_t unit, word;
    if (!is_own(worker, entry, &unit, &word) || roma__unit_kind(word) != ROMA__UNIT_CELLS)
        return;
    uint64_t *cells = (uint64_t *)roma__view_at(&worker->store->view, unit << ROMA__UNIT_SHIFT);
    for (uint32_t i = 0; i < ROMA__CELLS_IN_UNIT; i++)
        release_cell(worker, &cells[i]);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void drop_shared(roma__worker *worker, const roma__block *block)
{
    unsigned stripe = roma__stripe_of_unit(block->unit);
    roma__stripe_lock(worker, stripe);
    uint64_t first = roma__load(block->first);
    if (roma__first_owner(first) != 0 && roma__first_local(first) != 0) {
        roma__step("leave.drop");
        roma__store_release(block->first, first & ~ROMA__FIRST_LOCAL_MASK);
    }
    roma__stripe_unlock(worker, stripe);
    (void)roma__block_finish(worker, block);
}

static void drop_local(roma__worker *worker, const roma__block *block)
{
    uint64_t first = roma__load(block->first), second = roma__load(block->second);
    if (roma__first_owner(first) == 0)
        return;
    if ((second & ROMA__SECOND_IS_SHARED) != 0) {
        if (roma__first_local(first) != 0 || roma__second_shared(second) == 0)
            drop_shared(worker, block);
    } else if (roma__second_map(second) == 0) {
        roma__store_release(block->first, roma__first_free(first));
    } else {
        roma__store_release(block->first, first & ~ROMA__FIRST_LOCAL_MASK);
        roma__step("leave.dead");
        (void)roma__block_finish(worker, block);
    }
    roma__step("leave.block");
}

static void drop_all(roma__worker *worker, uint32_t *entry, void *context)
{
    (void)context;
    uint64_t unit, word;
    if (!is_own(worker, entry, &unit, &word) || !has_blocks(word))
        return;
    (void)__atomic_fetch_and(&worker->store->view.units[unit].word, ~ROMA__UNIT_PENDING,
                             __ATOMIC_ACQ_REL);
    uint32_t count = roma__block_count(word);
    for (uint32_t i = 0; i < count; i++) {
        roma__block block;
        roma__block_of_slab(&worker->store->view, unit, word, i, &block);
        drop_local(worker, &block);
    }
}

/* ---- slabs ----------------------------------------------------------------------------------- */

static void count_use(const roma__view *view, uint64_t unit, uint64_t word, uint32_t *used)
{
    uint32_t count = roma__block_count(word);
    *used = 0;
    for (uint32_t i = 0; i < count; i++) {
        roma__block block;
        roma__block_of_slab(view, unit, word, i, &block);
        *used += roma__first_owner(roma__load(block.first)) != 0;
    }
}

/* Give the slab to nobody, or its units back when it is empty. False: we were told something. */
static bool give_up(roma__worker *worker, uint64_t unit, uint64_t word, uint32_t *entry)
{
    const roma__view *view = &worker->store->view;
    uint32_t used;
    count_use(view, unit, word, &used);
    if (used == 0)
        return roma__units_give(worker, unit, word, entry);
    if (used < roma__block_count(word))
        (void)__atomic_fetch_or(&view->orphan_bits[unit / 64], UINT64_C(1) << unit % 64,
                                __ATOMIC_RELAXED);
    roma__step("leave.orphan");
    uint64_t expected = word;
    if (!roma__compare_exchange(&view->units[unit].word, &expected, word & ~ROMA__UNIT_OWNER_MASK))
        return false;
    roma__step("leave.given");
    roma__store(entry, 0);
    return true;
}

static void give_up_all(roma__worker *worker, uint32_t *entry, void *context)
{
    pass *here = context;
    uint64_t unit, word;
    while (is_own(worker, entry, &unit, &word)) {
        if (roma__unit_kind(word) == ROMA__UNIT_CLAIMED) {
            if (roma__units_give(worker, unit, word, entry))
                return;
            continue;
        }
        if (!has_blocks(word))
            return;
        here->has_met = true;
        if ((word & ROMA__UNIT_PENDING) != 0)
            roma__slab_drain(worker, unit, NULL, NULL);
        else if (give_up(worker, unit, word, entry))
            return;
    }
}

static void give_pages(roma__worker *worker, uint32_t *entry, void *context)
{
    unsigned kind = *(unsigned *)context;
    uint64_t unit, word;
    if (is_own(worker, entry, &unit, &word) && roma__unit_kind(word) == kind)
        (void)roma__units_give(worker, unit, word, entry);
}

/* ---- the lane -------------------------------------------------------------------------------- */

static bool has_local(const roma__view *view, uint64_t unit, uint64_t word)
{
    uint32_t count = roma__block_count(word);
    for (uint32_t i = 0; i < count; i++) {
        roma__block block;
        roma__block_of_slab(view, unit, word, i, &block);
        uint64_t first = roma__load(block.first);
        if (roma__first_owner(first) != 0 && roma__first_local(first) != 0)
            return true;
    }
    return false;
}

/* An adopted slab stands in entry 0 until it is listed; our own records are about to use that. It
 * has PENDING, and no local count. Any other one of ours that the entry names is listed, and must
 * not be left because the list has no room to name it twice. */
static void list_adopted(roma__worker *worker)
{
    uint32_t *adopted = &worker->lane->list[0];
    uint64_t unit, word;
    if (is_own(worker, adopted, &unit, &word) && (word & ROMA__UNIT_PENDING) != 0 &&
        !has_local(&worker->store->view, unit, word))
        roma__slab_told(worker, unit, true);
}

static void forget_slabs(roma__worker *worker)
{
    worker->queue = NULL;
    while (worker->slabs != NULL) {
        roma__own_slab *slab = worker->slabs;
        uint32_t shown = slab->class_index == ROMA__CLASSES_COUNT ? 1 : slab->units;
        for (uint32_t i = 0; i < shown; i++)
            roma__store(&worker->store->slabs[slab->unit + i], NULL);
        roma__slab_forget(worker, slab);
    }
}

void roma__lane_leave(roma__worker *worker)
{
    roma__lane *lane = worker->lane;
    worker->is_ghost = true;
    forget_slabs(worker);
    list_adopted(worker);
    for (uint32_t i = 0; i < ROMA__LANE_CELLS; i++)
        release_cell(worker, &lane->cells[i]);
    roma__entries_each(worker, release_cells_of, NULL);
    roma__entries_each(worker, drop_all, NULL);
    pass here;
    do {
        here.has_met = false;
        roma__entries_each(worker, give_up_all, &here);
    } while (here.has_met);
    unsigned kind = ROMA__UNIT_CELLS;
    roma__entries_each(worker, give_pages, &kind);
    kind = ROMA__UNIT_LIST;
    roma__entries_each(worker, give_pages, &kind);
    roma__entries_end(worker);
    for (uint32_t i = 0; i < ROMA__LANE_LIST; i++)
        roma__store(&lane->list[i], 0);
    roma__step("leave.listed");
    roma__store_release(&lane->busy, 0);
    roma__store_release(&lane->word, 0);
    roma__step("leave.lane");
}
