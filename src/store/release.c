/* release.c - references of the session: one more, one less.
 *
 * References of a session are all alike and die with it, whoever of its threads got them. Where a
 * block's slab is the thread's own they are the local count; else the session's cell of the block;
 * else they are the local count of a sister lane, to whose thread the release is sent.
 *
 * Whoever holds a reference and sees no cell while it has the block's stripe sees a local count:
 * the two, less what is on its way, are all that the session holds, and cells come and go under
 * that stripe alone. So both are looked at under one hold of it. By the time the owner comes to
 * what was sent, it may have spent its local count on a reference that another thread got by a new
 * cell; then the cell has it (worker.c).
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
    uint64_t word = roma__load(&worker->store->view.units[slab->unit].word);
    if (!roma__unit_word_is_valid(&worker->store->view, slab->unit, word) ||
        index >= roma__block_count(word))
        return; /* damage: it is left as it is */
    roma__block_of_slab(&worker->store->view, slab->unit, word, index, &block);
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

/* Under the stripe, with no cell: the sister lane whose local count has the session's references;
 * 0: the session has none that is seen. */
static uint32_t sister_of(const roma__worker *worker, const roma__block *block)
{
    const roma_store *store = worker->store;
    uint64_t word = roma__load_acquire(&store->view.units[block->unit].word);
    uint64_t first = roma__load_acquire(block->first);
    uint32_t owner = roma__unit_owner(word);
    bool is_held = roma__first_owner(first) != 0 && roma__first_local(first) != 0;
    return is_held && owner != worker->tag && is_sister(store, owner) ? owner : 0;
}

/* One block that no slab of this thread's holds. */
static int release_elsewhere(roma__worker *worker, void *address)
{
    uint64_t *emptied = NULL;
    roma__block block;
    if (roma__block_find(&worker->store->view, roma_ref_of(worker->store, address), &block) < 0)
        return -EINVAL;
    roma__op op;
    roma__op_begin(&op, worker);
    roma__op_lock_block(&op, &block);
    int code = release_cell(&op, &block, &emptied);
    uint32_t sister = code == -EAGAIN ? sister_of(worker, &block) : 0;
    if (op.pairs_count > 0)
        roma__op_commit(&op);
    else
        roma__op_cancel(&op);
    if (emptied != NULL)
        roma__cell_give(worker, emptied);
    if (code != -EAGAIN)
        return code;
    return sister != 0 ? roma__inbox_put(worker->store, sister, address) : -ESTALE;
}

/* ---- elsewhere, many of one slab by one record ----------------------------------------------- */

enum { RUN_BLOCKS = 31, RUN_WORDS = ROMA__SLAB_BIT_WORDS };

typedef struct run {
    roma__op op;
    const roma__geometry *geometry;
    uint64_t slab; /* offset */
    uint64_t unit;
    uint64_t *words, *remote;
    uint64_t told[RUN_WORDS]; /* remote bits of blocks that nobody names any more */
    uint64_t *emptied[RUN_BLOCKS];
    unsigned emptied_count;
} run;

/* Give up one reference by the session's cell, where that is all that is to be done. False: not
 * this one, and nothing is changed. */
static inline bool run_add(run *of, const void *address)
{
    roma_store *store = of->op.worker->store;
    uint64_t ref = roma__view_ref(&store->view, address), offset = ref - of->slab;
    uint64_t index = offset * of->geometry->reciprocal >> 40;
    if (offset >= (uint64_t)of->geometry->units * ROMA__UNIT_BYTES ||
        index >= of->geometry->count || index * of->geometry->bytes != offset)
        return false;
    roma__cell_place place = roma__cells_find_place(store, ref, of->unit);
    uint64_t value = place.cell != NULL ? roma__load(place.cell) : 0;
    uint64_t first = roma__load(&of->words[2 * index]);
    uint64_t second = roma__load(&of->words[2 * index + 1]);
    if (value != roma__cell_make(ref, 1) || roma__first_owner(first) == 0 ||
        roma__second_shared(second) == 0)
        return false;
    roma__op_pair(&of->op, place.cell, 0);
    roma__op_pair(&of->op, &of->words[2 * index + 1], second - 1);
    of->told[index / 64] |= (uint64_t)(roma__second_shared(second) == 1) << index % 64;
    roma__cells_remove(&place);
    of->emptied[of->emptied_count++] = place.cell;
    return true;
}

static void run_commit(run *of)
{
    for (uint32_t i = 0; i < of->geometry->remote_words; i++)
        if (of->told[i] != 0)
            roma__op_tell(&of->op, of->unit, &of->remote[i], of->told[i]);
    roma__op_commit(&of->op);
    for (unsigned i = 0; i < of->emptied_count; i++)
        roma__cell_give(of->op.worker, of->emptied[i]);
}

/* As many from blocks[0] on as are in one slab of another lane, and are held once, by a cell.
 * Returns how many were released. */
static size_t release_run(roma__worker *worker, void **blocks, size_t count)
{
    const roma__view *view = &worker->store->view;
    roma__block block;
    if (count < 2 || roma__block_find(view, roma_ref_of(worker->store, blocks[0]), &block) < 0 ||
        roma__unit_kind(block.word) != ROMA__UNIT_SLAB ||
        roma__unit_owner(block.word) == worker->tag)
        return 0;
    run of;
    of.geometry = &roma__geometries()[roma__unit_class(block.word)];
    of.unit = block.unit;
    of.slab = block.unit << ROMA__UNIT_SHIFT;
    char *base = roma__view_at(view, of.slab);
    of.words = (uint64_t *)(void *)(base + of.geometry->words_at);
    of.remote = (uint64_t *)(void *)(base + of.geometry->remote_at);
    of.emptied_count = 0;
    for (uint32_t i = 0; i < of.geometry->remote_words; i++)
        of.told[i] = 0;
    roma__op_begin(&of.op, worker);
    roma__op_lock_block(&of.op, &block);
    size_t done = 0;
    while (done < count && of.emptied_count < RUN_BLOCKS && run_add(&of, blocks[done]))
        done++;
    if (done > 0)
        run_commit(&of);
    else
        roma__op_cancel(&of.op);
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
    return release_elsewhere(worker, address);
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
        size_t done = 1;
        if (code == -EAGAIN) {
            done = release_run(worker, &blocks[i], count - i);
            code = 0;
            if (done == 0) {
                code = release_elsewhere(worker, blocks[i]);
                done = 1;
            }
        }
        i += done;
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
    code = 0;
    if (cell != NULL && roma__cell_count(value) == ROMA__CELL_COUNT_MASK) {
        code = -EOVERFLOW;
    } else if (cell != NULL) {
        roma__store_release(cell, value + 1);
        roma__step("retain.cell");
    } else if (sister_of(worker, block) == 0) {
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
