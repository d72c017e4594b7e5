/* figures.c - statistics as a walk, and giving memory back. */
#include "base/bits.h"
#include "store/worker.h"

#include <errno.h>
#include <string.h>

typedef struct figures {
    uint64_t units_free, units_punched, units_slabs, units_large, units_other, largest_run;
    uint64_t blocks, block_bytes, blocks_free, slabs, orphans, large, linked;
} figures;

static bool bit_of(const uint64_t *bits, uint64_t unit)
{
    return (roma__load(&bits[unit / 64]) >> unit % 64 & 1) != 0;
}

static void add_blocks(const roma__view *view, uint64_t unit, uint64_t word, figures *sums)
{
    uint32_t count = roma__block_count(word);
    bool is_slab = roma__unit_kind(word) == ROMA__UNIT_SLAB;
    *(is_slab ? &sums->units_slabs : &sums->units_large) += roma__unit_length(word);
    *(is_slab ? &sums->slabs : &sums->large) += 1;
    sums->orphans += roma__unit_owner(word) == 0;
    for (uint32_t i = 0; i < count; i++) {
        roma__block block;
        roma__block_of_slab(view, unit, word, i, &block);
        uint64_t second = roma__load(block.second);
        if (roma__first_owner(roma__load_acquire(block.first)) == 0) {
            sums->blocks_free++;
            continue;
        }
        sums->blocks++;
        sums->block_bytes += block.usable_bytes -
                             roma__min(block.usable_bytes, roma__second_slack(second));
        sums->linked += roma__second_shared(second) != 0;
    }
}

static void add_up(const roma__view *view, figures *sums)
{
    uint64_t run = 0, end = roma__view_units(view);
    memset(sums, 0, sizeof *sums);
    for (uint64_t unit = view->regions.first_unit; unit < end;) {
        uint64_t word = roma__load_acquire(&view->units[unit].word);
        if (!roma__unit_word_is_valid(view, unit, word)) {
            sums->units_free++;
            sums->units_punched += bit_of(view->punched_bits, unit);
            run++;
            sums->largest_run = roma__max(sums->largest_run, run);
            unit++;
            continue;
        }
        run = 0;
        if (roma__block_count(word) > 0)
            add_blocks(view, unit, word, sums);
        else
            sums->units_other += roma__unit_length(word);
        unit += roma__unit_length(word);
    }
}

static uint64_t sessions_in_use(const roma__view *view)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < view->regions.sessions; i++)
        count += roma__load(&view->sessions[i].state) != 0;
    return count;
}

int roma_store_stats(roma_store *store, roma_visit visit, void *context)
{
    if (store == NULL || visit == NULL)
        return -EINVAL;
    if (roma__load(&store->is_stale))
        return -ESTALE;
    const roma__view *view = &store->view;
    figures sums;
    add_up(view, &sums);
    uint64_t first = view->regions.first_unit;
    const roma_value_type count = ROMA_VALUE_COUNT, bytes = ROMA_VALUE_BYTES;
    const uint64_t unit = ROMA__UNIT_BYTES;
    /* Of the free units, how much lies outside of the largest run: 0 is all in one. */
    uint64_t scattered = sums.units_free == 0 ? 0 : 100 - 100 * sums.largest_run / sums.units_free;
    const struct {
        const char *key;
        roma_value_type type;
        uint64_t number;
    } rows[] = {
        {"store.file_bytes", bytes, roma__view_units(view) * unit},
        {"store.committed_bytes", bytes, (roma__view_units(view) - first) * unit},
        {"store.max_bytes", bytes, (view->regions.max_units - first) * unit},
        {"store.free_bytes", bytes, sums.units_free * unit},
        {"store.punched_bytes", bytes, sums.units_punched * unit},
        {"store.largest_free_bytes", bytes, sums.largest_run * unit},
        {"store.free_scattered_percent_count", count, scattered},
        {"store.slabs_bytes", bytes, sums.units_slabs * unit},
        {"store.large_bytes", bytes, sums.units_large * unit},
        {"store.records_bytes", bytes, sums.units_other * unit},
        {"blocks.live_count", count, sums.blocks},
        {"blocks.live_bytes", bytes, sums.block_bytes},
        {"blocks.named_count", count, sums.linked},
        {"blocks.free_count", count, sums.blocks_free},
        {"blocks.large_count", count, sums.large},
        {"slabs.count", count, sums.slabs},
        {"slabs.orphan_count", count, sums.orphans},
        {"sessions.count", count, sessions_in_use(view)},
        {"sessions.max_count", count, view->regions.sessions},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        roma_value value = {rows[i].type, rows[i].number, NULL};
        int code = visit(context, rows[i].key, &value);
        if (code != 0)
            return code;
    }
    return 0;
}

/* ---- giving back ----------------------------------------------------------------------------- */

static bool return_if_empty(roma__worker *worker, roma__own_slab *slab)
{
    return slab != NULL && slab->free_count == slab->count && !slab->is_queued &&
           roma__slab_return(worker, slab);
}

bool roma__worker_shed(roma__worker *worker)
{
    bool has_shed = false;
    roma__own_slab *next;
    roma__worker_settle_all(worker);
    for (roma__own_slab *slab = worker->slabs; slab != NULL; slab = next) {
        next = slab->next;
        has_shed = return_if_empty(worker, slab) || has_shed;
    }
    return has_shed;
}

/* Empty slabs are the current one of a class or the one that is kept, or wait in the queue: those
 * that settling finds empty go back by themselves. */
bool roma__worker_shed_kept(roma__worker *worker)
{
    bool has_shed = worker->queue != NULL || roma__load(&worker->lane->poke) != 0 ||
                    roma__load(&worker->has_inbox) != 0;
    roma__worker_settle(worker);
    for (unsigned i = 0; i < ROMA__CLASSES_COUNT; i++) {
        has_shed = return_if_empty(worker, worker->current[i]) || has_shed;
        has_shed = return_if_empty(worker, worker->empty[i]) || has_shed;
    }
    return has_shed;
}

int64_t roma_store_trim(roma_store *store, uint64_t keep_bytes)
{
    int code;
    roma__worker *worker = roma__store_enter(store, &code);
    if (worker == NULL)
        return code;
    (void)roma__worker_shed(worker);
    (void)roma__idle_each(store, roma__worker_shed);
    int64_t bytes = roma__units_punch(worker, keep_bytes);
    roma__store_leave(worker);
    return bytes;
}
