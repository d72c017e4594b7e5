/* migrate.c - the mapping core: moving a range's pages to other nodes. The extent remembers the
 * nodes that it was asked with until the caller says otherwise. */
#include "provider/mapping.h"

#include "base/error.h"
#include "numa/migrate.h"

#include <errno.h>

int roma__mapping_migrate(const roma_range *range, const roma_nodes *nodes,
                          roma_migration *migration, roma_error *error)
{
    const roma_extent *extent = range->extent;
    if (roma__mapping_is_gone(extent))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an extent of the parent");
    return roma__machine_migrate((char *)extent->address + range->offset, range->bytes,
                                 extent->pages, extent->page_bytes, nodes, migration, error);
}
