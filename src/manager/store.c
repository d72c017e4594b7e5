/* store.c - managers over stores: made, ended, and their blocks walked over.
 *
 * Such a manager is a face of a store that is open: it takes the calls that every manager takes,
 * and owns nothing. It is made when it is first asked for and ends when the store is closed, which
 * the store tells (ranges.c). Its record is that of any manager; what belongs to heaps is never
 * used: no plain heap is ever found in it, so the fast way in (fast.h) misses and the slow one
 * comes here. */
#include "manager/manager.h"

#include "base/text.h"
#include "numa/machine.h"
#include "store/internal.h"
#include "sys/records.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* ---- making and ending ----------------------------------------------------------------------- */

static const char *name_of(const roma_store *store)
{
    const char *slash = store->path == NULL ? NULL : strrchr(store->path, '/');
    if (slash != NULL)
        return slash + 1;
    return store->path != NULL ? store->path : "store";
}

roma_manager *roma__store_manager_make(roma_store *store)
{
    roma_manager *manager = roma__record_new(sizeof *manager);
    if (manager == NULL)
        return NULL;
    roma__text_copy(manager->name, sizeof manager->name, name_of(store));
    manager->store = store;
    manager->defaults = roma_request_default();
    manager->page_bytes = roma__machine_base_bytes();
    return manager;
}

void roma__store_manager_end(roma_manager *manager)
{
    if (manager != NULL)
        roma__manager_let_engine(manager);
    roma__record_free(manager, sizeof *manager);
}

roma_manager *roma_store_manager(roma_store *store)
{
    roma__stored stored;
    roma_manager *manager = NULL;
    if (store == NULL) {
        errno = EINVAL;
        return NULL;
    }
    if (roma__stored_at(store->view.base, &stored) && stored.store == store)
        manager = roma__stored_manager(&stored);
    if (manager == NULL)
        errno = ENOMEM;
    return manager;
}

/* ---- walking --------------------------------------------------------------------------------- */

static bool has_blocks(uint64_t word)
{
    return roma__unit_kind(word) == ROMA__UNIT_SLAB || roma__unit_kind(word) == ROMA__UNIT_LARGE;
}

static int visit_block(const roma_store *store, const roma__block *block,
                       int (*visit)(void *context, const roma_block_info *block), void *context)
{
    roma_store_block known;
    void *address = roma__view_at(&store->view, block->ref);
    if (roma__first_owner(roma__load_acquire(block->first)) == 0 ||
        roma_store_look(store, address, &known) < 0)
        return 0;
    uint64_t count = (uint64_t)known.local_count + known.shared_count;
    roma_block_info info = {
        .address = address,
        .bytes = (size_t)known.bytes,
        .usable_bytes = (size_t)known.usable_bytes,
        .count = count > INT_MAX ? INT_MAX : (int)count,
        .generation = known.generation,
        .label = "",
    };
    return visit(context, &info);
}

int roma__stored_each(roma_store *store, int (*visit)(void *context, const roma_block_info *block),
                      void *context)
{
    const roma__view *view = &store->view;
    roma__block block;
    if (store->is_stale)
        return -ESTALE;
    uint64_t end = roma__view_units(view), length;
    int code = 0;
    for (uint64_t unit = view->regions.first_unit; unit < end; unit += length) {
        uint64_t word = roma__load_acquire(&view->units[unit].word);
        length = 1;
        if (!roma__unit_word_is_valid(view, unit, word) || !has_blocks(word))
            continue;
        length = roma__unit_length(word);
        for (uint32_t i = 0; code == 0 && i < roma__block_count(word); i++) {
            roma__block_of_slab(view, unit, word, i, &block);
            code = visit_block(store, &block, visit, context);
        }
    }
    return code;
}

/* ---- around an address ----------------------------------------------------------------------- */

bool roma__stored_find_around(const roma__stored *stored, const void *address,
                              roma__stored_around *around)
{
    const roma__view *view = &stored->store->view;
    roma_ref ref = roma__view_ref(view, address), unit;
    uint64_t word = stored->store->is_stale ? 0
                                            : roma__unit_head(view, ref >> ROMA__UNIT_SHIFT, &unit);
    if (word == 0 || !has_blocks(word))
        return false;
    uint64_t inside = ref - (unit << ROMA__UNIT_SHIFT);
    uint32_t index = 0;
    if (roma__unit_kind(word) == ROMA__UNIT_SLAB)
        index = (uint32_t)(inside / roma__geometries()[roma__unit_class(word)].bytes);
    if (index >= roma__block_count(word))
        return false;
    roma__block block;
    roma__block_of_slab(view, unit, word, index, &block);
    around->address = roma__view_at(view, block.ref);
    around->offset = (size_t)(ref - block.ref);
    around->is_live = roma__first_owner(roma__load_acquire(block.first)) != 0;
    return around->offset > 0 && around->offset < block.usable_bytes;
}
