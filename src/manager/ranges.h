/* ranges.h - the stores that this process has open, by address. */
#ifndef ROMA_MANAGER_RANGES_H
#define ROMA_MANAGER_RANGES_H

#include <roma/manager.h>

typedef struct roma__store_range roma__store_range;

/* A store that is open, and what the façade keeps about that. */
typedef struct roma__stored {
    struct roma_store *store;
    roma__store_range *range;
} roma__stored;

/* The store that an address lies in. False: in none that is open, or it was closed meanwhile. Reads
 * alone, waits for nobody. */
bool roma__stored_at(const void *address, roma__stored *stored);

/* The manager over it, made when it is first asked for; NULL: no memory for it. */
roma_manager *roma__stored_manager(const roma__stored *stored);

#endif
