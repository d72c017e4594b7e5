/* cells.c - which cell of this session names a block: a table in process memory.
 *
 * One small open-addressing table for each block stripe, so the stripe of a block, which is held
 * whenever a cell of it appears or goes, protects its table too. (Threads of one process exclude
 * each other by stripes as processes do: each has its own lane and tag.) */
#include "store/worker.h"

#include <errno.h>
#include <stdlib.h>

typedef struct place {
    roma_ref ref; /* 0: empty */
    uint64_t *cell;
} place;

typedef struct table {
    place *places;
    uint32_t room, used; /* a power of two, or 0 */
} table;

struct roma__cells {
    table tables[ROMA__STRIPE_BLOCKS_COUNT];
};

int roma__cells_open(roma_store *store)
{
    store->cells = calloc(1, sizeof *store->cells);
    return store->cells != NULL ? 0 : -ENOMEM;
}

void roma__cells_close(roma_store *store)
{
    if (store->cells == NULL)
        return;
    for (unsigned i = 0; i < ROMA__STRIPE_BLOCKS_COUNT; i++)
        free(store->cells->tables[i].places);
    free(store->cells);
    store->cells = NULL;
}

static table *table_of(roma_store *store, uint64_t unit)
{
    return &store->cells->tables[roma__stripe_of_unit(unit) - ROMA__STRIPE_BLOCKS];
}

static uint32_t home(const table *in, roma_ref ref)
{
    return (uint32_t)(ref / 16 * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (in->room - 1);
}

/* Where the ref is, or the empty place where it would be. */
static place *look_up(const table *in, roma_ref ref)
{
    uint32_t at = home(in, ref);
    while (in->places[at].ref != 0 && in->places[at].ref != ref)
        at = (at + 1) & (in->room - 1);
    return &in->places[at];
}

uint64_t *roma__cells_find(roma_store *store, roma_ref ref, uint64_t unit)
{
    const table *in = table_of(store, unit);
    return in->room == 0 ? NULL : look_up(in, ref)->cell;
}

int roma__cells_reserve(roma_store *store, uint64_t unit)
{
    table *in = table_of(store, unit);
    if (in->used < in->room / 4 * 3)
        return 0;
    table larger = {.room = in->room == 0 ? 8 : in->room * 2, .used = in->used};
    larger.places = calloc(larger.room, sizeof *larger.places);
    if (larger.places == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < in->room; i++)
        if (in->places[i].ref != 0)
            *look_up(&larger, in->places[i].ref) = in->places[i];
    free(in->places);
    *in = larger;
    return 0;
}

void roma__cells_add(roma_store *store, roma_ref ref, uint64_t unit, uint64_t *cell)
{
    table *in = table_of(store, unit);
    *look_up(in, ref) = (place){ref, cell};
    in->used++;
}

roma__cell_place roma__cells_find_place(roma_store *store, roma_ref ref, uint64_t unit)
{
    table *in = table_of(store, unit);
    roma__cell_place found = {NULL, in, 0};
    if (in->room > 0) {
        const place *at = look_up(in, ref);
        found.cell = at->cell;
        found.at = (uint32_t)(at - in->places);
    }
    return found;
}

/* Close the gap: whatever stands behind it and could not be found any more moves into it. */
void roma__cells_remove(const roma__cell_place *removed)
{
    table *in = removed->table;
    uint32_t mask = in->room - 1, gap = removed->at;
    in->used--;
    for (uint32_t at = (gap + 1) & mask; in->places[at].ref != 0; at = (at + 1) & mask) {
        uint32_t from = home(in, in->places[at].ref);
        if (((at - from) & mask) >= ((at - gap) & mask)) {
            in->places[gap] = in->places[at];
            gap = at;
        }
    }
    in->places[gap] = (place){0, NULL};
}
