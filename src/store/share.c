/* share.c - slots: link, relink, alloc into, release from, load, take. Each is one redo record
 * under the slot's stripe and then that of the block that it names; only a block that nobody can
 * name yet (alloc into) and a load from an own slab, which writes one word of the owner's, need the
 * slot's stripe alone.
 *
 * A slot's stripe is held from reading its ref to the commit, so what it names cannot be freed in
 * between: the slot holds a reference until then. */
#include "store/worker.h"

#include <errno.h>

/* ---- slots ----------------------------------------------------------------------------------- */

bool roma__slot_is_valid(const roma_store *store, const roma_ref *slot)
{
    const roma__view *view = &store->view;
    uint64_t at = (uint64_t)((const char *)slot - view->base);
    if (at % 8 != 0)
        return false;
    if (at >= ROMA__AT_ROOTS && at < ROMA__AT_ROOTS + ROMA__ROOTS_COUNT * 8)
        return true;
    if (at >= ROMA__AT_NAMES && at < ROMA__AT_NAMES + ROMA__NAMES_COUNT * 8)
        return true;
    return at >= view->regions.first_unit << ROMA__UNIT_SHIFT && at < roma__view_units(view)
                                                                          << ROMA__UNIT_SHIFT;
}

/* The block in use that a ref names. */
static int find_used(const roma_store *store, roma_ref ref, roma__block *block)
{
    if (roma__block_find(&store->view, ref, block) < 0)
        return -EINVAL;
    return roma__first_owner(roma__load_acquire(block->first)) != 0 ? 0 : -ESTALE;
}

/* The same of what a slot names: else the file is damaged. Under the slot's stripe. */
static int find_named(const roma_store *store, roma_ref ref, roma__block *block)
{
    return find_used(store, ref, block) == 0 ? 0 : -EUCLEAN;
}

/* ---- link ------------------------------------------------------------------------------------ */

int roma__slot_link(roma__worker *worker, roma_ref *slot, void *address)
{
    roma_store *store = worker->store;
    roma__block block;
    if (!roma__slot_is_valid(store, slot))
        return -EINVAL;
    int code = find_used(store, roma_ref_of(store, address), &block);
    if (code < 0)
        return code;
    roma__op op;
    roma__op_begin(&op, worker);
    roma__op_lock_slot(&op, slot);
    if (roma__load(slot) != 0) {
        roma__op_cancel(&op);
        return -EEXIST;
    }
    roma__op_lock_block(&op, &block);
    code = roma__op_share(&op, &block);
    if (code < 0) {
        roma__op_cancel(&op);
        return code;
    }
    roma__op_store(&op, slot, block.ref);
    roma__op_commit(&op);
    return 0;
}

int roma__slot_release(roma__worker *worker, roma_ref *slot)
{
    roma_store *store = worker->store;
    if (!roma__slot_is_valid(store, slot))
        return -EINVAL;
    roma__op op;
    roma__op_begin(&op, worker);
    roma__op_lock_slot(&op, slot);
    roma_ref ref = roma__load(slot);
    roma__block block;
    int code = 0;
    if (ref != 0)
        code = find_named(store, ref, &block);
    if (ref == 0 || code < 0) {
        roma__op_cancel(&op);
        return code;
    }
    roma__op_lock_block(&op, &block);
    roma__op_store(&op, slot, 0);
    code = roma__op_drop(&op, &block);
    if (code < 0) {
        roma__op_cancel(&op);
        return code;
    }
    roma__op_commit(&op);
    return 1;
}

int roma__slot_relink(roma__worker *worker, roma_ref *slot, void *address)
{
    roma_store *store = worker->store;
    roma__block block, before;
    if (!roma__slot_is_valid(store, slot))
        return -EINVAL;
    int code = find_used(store, roma_ref_of(store, address), &block);
    if (code < 0)
        return code;
    roma__op op;
    roma__op_begin(&op, worker);
    roma__op_lock_slot(&op, slot);
    roma_ref ref = roma__load(slot);
    if (ref == block.ref) {
        roma__op_cancel(&op);
        return 0;
    }
    if (ref != 0 && (code = find_named(store, ref, &before)) < 0) {
        roma__op_cancel(&op);
        return code;
    }
    if (ref != 0)
        roma__op_lock_blocks(&op, &block, &before);
    else
        roma__op_lock_block(&op, &block);
    code = roma__op_share(&op, &block);
    if (code == 0) {
        roma__op_store(&op, slot, block.ref);
        if (ref != 0)
            code = roma__op_drop(&op, &before);
    }
    if (code < 0)
        roma__op_cancel(&op);
    else
        roma__op_commit(&op);
    return code;
}

/* ---- alloc into ------------------------------------------------------------------------------ */

static int alloc_into(roma__worker *worker, roma_ref *slot, const roma_store_request *request,
                      void **out)
{
    roma__taken taken;
    if (!roma__slot_is_valid(worker->store, slot))
        return -EINVAL;
    int code = roma__block_take(worker, request, &taken);
    if (code < 0)
        return code;
    roma__op op;
    roma__op_begin(&op, worker);
    roma__op_lock_slot(&op, slot);
    if (roma__load(slot) != 0) {
        roma__op_cancel(&op);
        roma__block_untake(worker, &taken);
        return -EEXIST;
    }
    uint64_t generation = roma__first_generation(roma__load(&taken.words[0]));
    roma__op_store(&op, &taken.words[1], taken.second | ROMA__SECOND_IS_SHARED | 1);
    roma__op_store(&op, &taken.words[0], roma__first_make(worker->tag, 0, generation));
    roma__op_store(&op, slot, roma__view_ref(&worker->store->view, taken.address));
    roma__op_commit(&op);
    *out = taken.address;
    return 0;
}

/* ---- load and take --------------------------------------------------------------------------- */

/* One more of the session's own, by its cell, as pairs of the record; the stripes are held. Returns
 * 1 when the fresh cell is now used, 0 when the session had one already, or -errno. */
static int hold_by_cell(roma__op *op, const roma__block *block, uint64_t *fresh)
{
    roma_store *store = op->worker->store;
    uint64_t *cell = roma__cells_find(store, block->ref, block->unit);
    if (cell != NULL) {
        uint64_t value = roma__load(cell);
        if (roma__cell_count(value) == ROMA__CELL_COUNT_MASK)
            return -EOVERFLOW;
        roma__op_store(op, cell, value + 1);
        return 0;
    }
    int code = roma__cells_reserve(store, block->unit);
    if (code < 0)
        return code;
    roma__op_store(op, fresh, roma__cell_make(block->ref, 1));
    return 1;
}

static bool is_mine(const roma__worker *worker, const roma__block *block)
{
    const roma__view *view = &worker->store->view;
    return roma__unit_owner(roma__load_acquire(&view->units[block->unit].word)) == worker->tag;
}

/* Of an own block: the first word with one local reference more, in *more; or -EOVERFLOW. */
static int one_more(const roma__worker *worker, const roma__block *block, uint64_t *more)
{
    uint64_t first = roma__load(block->first);
    if (roma__first_local(first) == ROMA__LOCAL_MAX)
        return -EOVERFLOW;
    /* The tag may be an earlier owner's, with a local count of 0. */
    *more = roma__first_make(worker->tag, roma__first_local(first) + 1,
                             roma__first_generation(first));
    return 0;
}

static int load_own(roma__op *op, const roma__block *block)
{
    uint64_t more;
    int code = one_more(op->worker, block, &more);
    if (code == 0) {
        roma__store_release(block->first, more);
        roma__step("load.local");
    }
    roma__op_cancel(op);
    return code;
}

static int load_elsewhere(roma__op *op, const roma__block *block)
{
    roma_store *store = op->worker->store;
    uint64_t *fresh = NULL;
    int code;
    roma__op_lock_block(op, block);
    uint64_t *cell = roma__cells_find(store, block->ref, block->unit);
    if (cell != NULL) { /* one word, no record */
        uint64_t value = roma__load(cell);
        code = roma__cell_count(value) == ROMA__CELL_COUNT_MASK ? -EOVERFLOW : 0;
        if (code == 0)
            roma__store_release(cell, value + 1);
        roma__step("load.cell");
        roma__op_cancel(op);
        return code;
    }
    fresh = op->worker->spare_cells[--op->worker->spare_cells_count]; /* there is one, see load() */
    code = hold_by_cell(op, block, fresh);
    if (code >= 0)
        code = roma__op_share(op, block);
    if (code < 0) {
        roma__op_cancel(op);
        roma__cell_give(op->worker, fresh);
        return code;
    }
    roma__cells_add(store, block->ref, block->unit, fresh);
    roma__op_commit(op);
    return 0;
}

/* A spare cell: making one may need units. */
int roma__slot_ready(roma__worker *worker)
{
    int code = 0;
    if (worker->spare_cells_count > 0)
        return 0;
    uint64_t *cell = roma__cell_take(worker, &code);
    if (cell == NULL)
        return code;
    roma__cell_give(worker, cell);
    return worker->spare_cells_count > 0 ? 0 : -ENOMEM;
}

/* Begin an operation on what a slot names, with a spare cell ready: the slot's stripe is held.
 * Returns 1 with *block; else there is no operation: 0 when the slot is empty, or -errno. */
static int begin_named(roma__op *op, roma__worker *worker, const roma_ref *slot, roma__block *block)
{
    if (!roma__slot_is_valid(worker->store, slot))
        return -EINVAL;
    int code = roma__slot_ready(worker);
    if (code < 0)
        return code;
    roma__op_begin(op, worker);
    roma__op_lock_slot(op, slot);
    roma_ref ref = roma__load(slot);
    if (ref == 0) {
        roma__op_cancel(op);
        return 0;
    }
    code = find_named(worker->store, ref, block);
    if (code < 0) {
        roma__op_cancel(op);
        return code;
    }
    return 1;
}

int roma__slot_load(roma__worker *worker, roma_ref *slot, void **out)
{
    roma__op op;
    roma__block block;
    int code = begin_named(&op, worker, slot, &block);
    if (code <= 0)
        return code;
    code = is_mine(worker, &block) ? load_own(&op, &block) : load_elsewhere(&op, &block);
    *out = roma__view_at(&worker->store->view, block.ref);
    return code < 0 ? code : 1;
}

/* The slot's reference becomes the session's: the counts move, the slot is emptied. */
static int take_named(roma__op *op, const roma__block *block, roma_ref *slot)
{
    roma__worker *worker = op->worker;
    uint64_t second = roma__load(block->second), more;
    int code;
    if (roma__second_shared(second) == 0)
        return -EUCLEAN;
    if (is_mine(worker, block)) {
        code = one_more(worker, block, &more);
        if (code < 0)
            return code;
        roma__op_store(op, block->second, second - 1);
        roma__op_store(op, block->first, more);
        roma__op_store(op, slot, 0);
        roma__op_commit(op);
        return 1;
    }
    uint64_t *fresh = worker->spare_cells[--worker->spare_cells_count];
    code = hold_by_cell(op, block, fresh);
    if (code == 1)
        roma__cells_add(worker->store, block->ref, block->unit, fresh);
    else
        roma__cell_give(worker, fresh);
    if (code < 0)
        return code;
    if (code == 0) /* the cell counts once, whatever its count: the slot's goes */
        roma__op_store(op, block->second, second - 1);
    roma__op_store(op, slot, 0);
    roma__op_commit(op);
    return 1;
}

static int take(roma__worker *worker, roma_ref *slot, void **out)
{
    roma__op op;
    roma__block block;
    int code = begin_named(&op, worker, slot, &block);
    if (code <= 0)
        return code;
    roma__op_lock_block(&op, &block);
    code = take_named(&op, &block, slot);
    if (code < 0)
        roma__op_cancel(&op);
    *out = roma__view_at(&worker->store->view, block.ref);
    return code;
}

/* ---- what users call ------------------------------------------------------------------------- */

int roma_store_link(roma_store *store, roma_ref *slot, void *block)
{
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return code;
    code = block == NULL ? -EINVAL : roma__slot_link(worker, slot, block);
    roma__store_leave(worker);
    return code;
}

int roma_store_relink(roma_store *store, roma_ref *slot, void *block)
{
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return code;
    code = block == NULL ? roma__slot_release(worker, slot)
                         : roma__slot_relink(worker, slot, block);
    roma__store_leave(worker);
    return code < 0 ? code : 0;
}

int roma_store_release_from(roma_store *store, roma_ref *slot)
{
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return code;
    code = roma__slot_release(worker, slot);
    roma__store_leave(worker);
    return code;
}

static void *answer(int code, void *block)
{
    errno = code < 0 ? -code : 0;
    return code > 0 ? block : NULL;
}

void *roma_store_alloc_into(roma_store *store, roma_ref *slot, const roma_store_request *request)
{
    int code;
    void *block = NULL;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return answer(code, NULL);
    code = alloc_into(worker, slot, request, &block);
    roma__store_leave(worker);
    return code < 0 ? answer(code, NULL) : block;
}

/* What `act` gives of a slot. */
static void *get(roma_store *store, roma_ref *slot,
                 int (*act)(roma__worker *worker, roma_ref *slot, void **out))
{
    int code;
    void *block = NULL;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return answer(code, NULL);
    code = act(worker, slot, &block);
    roma__store_leave(worker);
    return answer(code, block);
}

void *roma_store_load(roma_store *store, roma_ref *slot)
{
    return get(store, slot, roma__slot_load);
}

void *roma_store_take(roma_store *store, roma_ref *slot)
{
    return get(store, slot, take);
}
