/* migrate.c - a cell's pages move to other nodes.
 *
 * Only a cell that has an extent of its own can: pages of a shared one hold other cells, too. The
 * extent keeps its record, its step and its place in the list of own ones, but is marked: when its
 * cell gives it up it goes back to its provider, past the cache, since a strict request of this
 * heap would else be served with pages of the wrong node. It is marked also where the call failed,
 * which may have been half way. */
#include "heap/internal.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>

/* Refused as it was asked, or by a provider that cannot: no page and no policy has changed. */
static bool is_untouched(int code)
{
    return code == -EINVAL || code == -EOPNOTSUPP;
}

int roma__extents_migrate(struct roma__extents *extents, struct roma__extent_record *record,
                          const roma_nodes *nodes, roma_migration *migration, roma_error *error)
{
    roma_range range = {&record->extent, 0, record->extent.bytes};
    int code = roma_provider_migrate(roma__extents_provider(extents, record), &range, nodes,
                                     migration, error);
    if (is_untouched(code))
        return code;
    pthread_mutex_lock(&extents->lock);
    record->is_migrated = true;
    if (code == 0 || migration->failed > 0) {
        record->extent.nodes = *nodes;
        record->extent.spread = ROMA_SPREAD_NONE;
    }
    pthread_mutex_unlock(&extents->lock);
    return code;
}

int roma__cell_migrate(const roma__cell *cell, const roma_nodes *nodes, roma_migration *migration,
                       roma_error *error)
{
    if (roma__slab_is_large(cell->slab) && cell->slab->extent->own) {
        roma__parked_leave(cell->slab);
        return roma__extents_migrate(&cell->heap->extents, cell->slab->extent, nodes, migration,
                                     error);
    }
    memset(migration, 0, sizeof *migration);
    int code = roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "migrating a block that shares its pages with others");
    migration->error = *error;
    return code;
}
