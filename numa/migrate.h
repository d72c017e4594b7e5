/* migrate.h - moving the pages of a range to other nodes; see migrate.c. */
#ifndef ROMA_NUMA_MIGRATE_H
#define ROMA_NUMA_MIGRATE_H

#include <roma/error.h>
#include <roma/nodes.h>
#include <roma/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Move the pages of a range, which is whole pages of `kind` and of page_bytes each, to `nodes`, in
 * contiguous shares, and set its memory policy, so that absent pages come there. *migration is zero
 * and gets the counts. Returns and tells in *error as roma_provider_migrate(). */
int roma__machine_migrate(void *address, size_t bytes, roma_page_kind kind, size_t page_bytes,
                          const roma_nodes *nodes, roma_migration *migration, roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
