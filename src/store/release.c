/* release.c - references of the session: one more, one less.
 *
 * References of a session are all alike and die with it, whoever of its threads got them. Where a
 * block's slab is the thread's own they are the local count; else the session's cell of the block;
 * else they are the local count of a sister lane, to whose thread the release is sent.
 *
 * The owner's last release of a block that was never SHARED and has no slots is one store, of the
 * free word. One that was SHARED ends under its stripe: a dead process may hold a record for it. */
#include "store/worker.h"

#include <errno.h>

/* ---- own slabs ------------------------------------------------------------------------------- */

/* The last local reference of a block that is SHARED or has slots. */
static void end_own(roma__worker *worker, roma__own_slab *slab, uint32_t index, uint64_t first,
                    uint64_t second)
{
    roma__block block;
    roma__block_of_slab(&worker->store->view, slab->unit,
                        roma__load(&worker->store->view.units[slab->unit].word), index, &block);
    bool is_shared = (second & ROMA__SECOND_IS_SHARED) != 0, ends = false, is_dead = !is_shared;
    if (is_shared) {
        unsigned stripe = roma__stripe_of_unit(block.unit);
        roma__stripe_lock(worker, stripe);
        second = roma__load(block.second);
        is_dead = roma__second_shared(second) == 0;
        ends = is_dead && roma__second_map(second) == 0;
        roma__step("release.locked");
        roma__store_release(block.first,
                            ends ? roma__first_free(first) : first & ~ROMA__FIRST_LOCAL_MASK);
        roma__step("release.shared");
        roma__stripe_unlock(worker, stripe);
    } else {
        roma__store_release(block.first, first & ~ROMA__FIRST_LOCAL_MASK);
        roma__step("release.dead");
    }
    if (!ends && is_dead)
        ends = roma__block_finish(worker, &block);
    if (ends)
        roma__slab_freed(worker, slab, index);
}

static inline int find_own(const roma__own_slab *slab, const void *address, uint32_t *index)
{
    uint64_t offset = (uint64_t)((const char *)address - slab->base);
    uint64_t quotient = offset * slab->reciprocal >> 40;
    if (quotient >= slab->count || quotient * slab->bytes != offset)
        return -EINVAL;
    *index = (uint32_t)quotient;
    return 0;
}

int roma__block_release_own(roma__worker *worker, roma__own_slab *slab, void *address)
{
    uint32_t index;
    if (find_own(slab, address, &index) < 0)
        return -EINVAL;
    uint64_t *words = slab->words + 2 * (size_t)index;
    uint64_t first = roma__load(&words[0]);
    uint64_t local = first & ROMA__FIRST_LOCAL_MASK;
    if (__builtin_expect(local != ROMA__FIRST_LOCAL_ONE, 0)) {
        if (roma__first_owner(first) == 0)
            return -ESTALE;
        if (local == 0)
            return -EAGAIN;
        roma__store_release(&words[0], first - ROMA__FIRST_LOCAL_ONE);
        roma__step("release.local");
        return 0;
    }
    const uint64_t plain = ROMA__SECOND_IS_SHARED | (uint64_t)ROMA__SECOND_MAP_MASK
                                                        << ROMA__SECOND_MAP_SHIFT;
    uint64_t second = roma__load(&words[1]);
    if (__builtin_expect((second & plain) != 0, 0)) {
        end_own(worker, slab, index, first, second);
        return 0;
    }
    if (roma__first_owner(first) == 0)
        return -ESTALE;
    roma__store_release(&words[0], roma__first_free(first));
    roma__step("release.free");
    slab->bits[index / 64] |= UINT64_C(1) << index % 64;
    uint32_t free_count = ++slab->free_count;
    if (__builtin_expect(free_count == 1 || free_count == slab->count, 0))
        roma__slab_turned(worker, slab);
    return 0;
}

/* ---- elsewhere ------------------------------------------------------------------------------- */

/* Is the lane with that tag one of this session's? */
static bool is_sister(const roma_store *store, uint32_t tag)
{
    return tag != 0 && tag <= store->view.regions.lanes &&
           roma__load_acquire(&store->view.lanes[tag - 1].word) == store->session + 1;
}

/* Under the stripe: give up one reference by the session's cell. Returns 0 and adds to the record
 * what is to be committed, or -EAGAIN (there is no cell), -EUCLEAN. */
static int release_cell(roma__op *op, const roma__block *block, uint64_t **emptied)
{
    roma_store *store = op->worker->store;
    roma__cell_place place = roma__cells_find_place(store, block->ref, block->unit);
    uint64_t *cell = place.cell;
    if (cell == NULL)
        return -EAGAIN;
    uint64_t value = roma__load(cell);
    if (roma__cell_ref(value) != block->ref)
        return -EUCLEAN;
    if (roma__cell_count(value) > 1) {
        roma__store_release(cell, value - 1);
        roma__step("release.cell");
        return 0;
    }
    uint64_t first = roma__load(block->first), second = roma__load(block->second);
    if (roma__first_owner(first) == 0 || roma__second_shared(second) == 0)
        return -EUCLEAN;
    roma__op_store(op, cell, 0);
    (void)roma__op_drop(op, block); /* what it refuses was looked at */
    roma__cells_remove(&place);
    *emptied = cell;
    return 0;
}

/* The session's reference is a sister lane's local count. */
static int release_sister(roma__worker *worker, const roma__block *block, void *address)
{
    roma_store *store = worker->store;
    uint64_t word = roma__load_acquire(&store->view.units[block->unit].word);
    uint64_t first = roma__load_acquire(block->first);
    uint32_t owner = roma__unit_owner(word);
    if (roma__first_owner(first) == 0 || roma__first_local(first) == 0 || owner == worker->tag ||
        !is_sister(store, owner))
        return -ESTALE;
    return roma__inbox_put(store, owner, address);
}

enum { BATCH_PAIRS = 58, BATCH_BLOCKS = 28 };

/* The first of `blocks` and those after it that are in the same slab elsewhere, by one record.
 * Returns how many were seen to; *code is of the first that failed. */
static size_t release_elsewhere(roma__worker *worker, void **blocks, size_t count, int *code)
{
    roma_store *store = worker->store;
    uint64_t *emptied[BATCH_BLOCKS];
    unsigned emptied_count = 0;
    roma__block block, sister;
    void *sister_address = NULL;
    if (roma__block_find(&store->view, roma_ref_of(store, blocks[0]), &block) < 0) {
        *code = -EINVAL;
        return 1;
    }
    roma__op op;
    roma__op_begin(&op, worker);
    roma__op_lock_block(&op, &block);
    size_t done = 0;
    int failure = 0;
    while (failure == 0 && sister_address == NULL) {
        uint64_t *cell = NULL;
        failure = release_cell(&op, &block, &cell);
        if (failure == -EAGAIN) {
            sister = block;
            sister_address = blocks[done];
            failure = 0;
        }
        if (cell != NULL)
            emptied[emptied_count++] = cell;
        done++;
        if (done == count || emptied_count == BATCH_BLOCKS || op.pairs_count > BATCH_PAIRS ||
            blocks[done] == NULL)
            break;
        roma__block beside = block;
        if (!roma__block_find_beside(&store->view, roma__view_ref(&store->view, blocks[done]),
                                     &beside, &block))
            break;
    }
    if (op.pairs_count > 0)
        roma__op_commit(&op);
    else
        roma__op_cancel(&op);
    for (unsigned i = 0; i < emptied_count; i++)
        roma__cell_give(worker, emptied[i]);
    if (sister_address != NULL)
        failure = release_sister(worker, &sister, sister_address);
    *code = failure;
    return done;
}

/* The slab of this process that covers an address, if any. */
static inline roma__own_slab *slab_of(const roma_store *store, const void *address)
{
    uint64_t unit = (uint64_t)((const char *)address - store->view.base) >> ROMA__UNIT_SHIFT;
    if (__builtin_expect(unit >= store->view.regions.max_units, 0))
        return NULL;
    return roma__load_acquire(&store->slabs[unit]);
}

int roma__block_release(roma__worker *worker, void *address)
{
    roma__own_slab *slab = slab_of(worker->store, address);
    if (__builtin_expect(slab != NULL && roma__load(&slab->owner) == worker, 1)) {
        int code = roma__block_release_own(worker, slab, address);
        if (__builtin_expect(code != -EAGAIN, 1))
            return code;
    }
    int code;
    (void)release_elsewhere(worker, &address, 1, &code);
    return code;
}

int roma_store_release(roma_store *store, void *block)
{
    int code;
    if (block == NULL)
        return 0;
    roma__worker *worker = roma__enter(store, &code);
    if (__builtin_expect(worker == NULL, 0))
        return code;
    code = roma__block_release(worker, block);
    roma__leave(worker);
    return code;
}

int roma_store_release_batch(roma_store *store, void **blocks, size_t count)
{
    int code, failure = 0;
    if (blocks == NULL)
        return count == 0 ? 0 : -EINVAL;
    roma__worker *worker = roma__enter(store, &code);
    if (worker == NULL)
        return code;
    for (size_t i = 0; i < count;) {
        if (blocks[i] == NULL) {
            i++;
            continue;
        }
        roma__own_slab *slab = slab_of(store, blocks[i]);
        code = -EAGAIN;
        if (slab != NULL && roma__load(&slab->owner) == worker)
            code = roma__block_release_own(worker, slab, blocks[i]);
        if (code == -EAGAIN)
            i += release_elsewhere(worker, &blocks[i], count - i, &code);
        else
            i++;
        if (failure == 0)
            failure = code;
    }
    roma__leave(worker);
    return failure;
}

/* ---- retain ---------------------------------------------------------------------------------- */

static int retain_elsewhere(roma__worker *worker, const roma__block *block)
{
    roma_store *store = worker->store;
    int code;
    uint64_t *fresh = roma__cell_take(worker, &code);
    if (fresh == NULL)
        return code;
    roma__op op;
    roma__op_begin(&op, worker);
    roma__op_lock_block(&op, block);
    uint64_t *cell = roma__cells_find(store, block->ref, block->unit);
    uint64_t value = cell != NULL ? roma__load(cell) : 0;
    uint32_t owner = roma__unit_owner(roma__load_acquire(&store->view.units[block->unit].word));
    uint64_t first = roma__load_acquire(block->first);
    code = 0;
    if (cell != NULL && roma__cell_count(value) == ROMA__CELL_COUNT_MASK) {
        code = -EOVERFLOW;
    } else if (cell != NULL) {
        roma__store_release(cell, value + 1);
        roma__step("retain.cell");
    } else if (roma__first_owner(first) == 0 || roma__first_local(first) == 0 ||
               owner == worker->tag || !is_sister(store, owner)) {
        code = -ESTALE; /* the session holds none that is seen */
    } else if ((code = roma__cells_reserve(store, block->unit)) == 0 &&
               (code = roma__op_share(&op, block)) == 0) {
        roma__op_store(&op, fresh, roma__cell_make(block->ref, 1));
        roma__cells_add(store, block->ref, block->unit, fresh);
        roma__op_commit(&op);
        return 0;
    }
    roma__op_cancel(&op);
    roma__cell_give(worker, fresh);
    return code;
}

static int retain(roma__worker *worker, void *address)
{
    roma__own_slab *slab = slab_of(worker->store, address);
    if (slab != NULL && roma__load(&slab->owner) == worker) {
        uint32_t index;
        if (find_own(slab, address, &index) < 0)
            return -EINVAL;
        uint64_t *place = slab->words + 2 * (size_t)index, first = roma__load(place);
        if (roma__first_owner(first) == 0)
            return -ESTALE;
        if (roma__first_local(first) == ROMA__LOCAL_MAX)
            return -EOVERFLOW;
        if (roma__first_local(first) > 0) {
            roma__store_release(place, first + ROMA__FIRST_LOCAL_ONE);
            roma__step("retain.local");
            return 0;
        }
    }
    roma__block block;
    if (roma__block_find(&worker->store->view, roma_ref_of(worker->store, address), &block) < 0)
        return -EINVAL;
    return retain_elsewhere(worker, &block);
}

int roma_store_retain(roma_store *store, void *block)
{
    int code;
    roma__worker *worker = roma__enter(store, &code);
    if (worker == NULL)
        return code;
    code = block == NULL ? -EINVAL : retain(worker, block);
    roma__leave(worker);
    return code;
}
