/* migrate.c - a block's pages move to other nodes. */
#include "manager/manager.h"

#include "base/error.h"

#include <errno.h>
#include <string.h>

static int check(const void *block, const roma_nodes *nodes, roma__cell *cell, roma_error *error)
{
    if (nodes == NULL || roma_nodes_is_empty(nodes))
        return roma__error_invalid(error, "nodes");
    int code = roma__life_at(block, cell);
    if (code < 0 && roma__stored_count(block, code) >= 0)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "migrating a block of a store");
    if (code < 0)
        return roma__error_subject(error, code, ROMA_WHY_INVALID, "block");
    if ((cell->flags & ROMA__CELL_REGISTERED) != 0)
        return roma__error_subject(error, -EBUSY, ROMA_WHY_UNSUPPORTED,
                                   "migrating a block that is registered");
    return 0;
}

int roma_migrate(void *block, const roma_nodes *nodes, roma_migration *migration)
{
    roma_migration unseen = {0};
    roma_error error;
    roma__cell cell;
    migration = migration != NULL ? migration : &unseen;
    memset(migration, 0, sizeof *migration);
    int code = check(block, nodes, &cell, &error);
    if (code < 0) {
        migration->error = error;
        return code;
    }
    return roma__cell_migrate(&cell, nodes, migration, &error);
}
