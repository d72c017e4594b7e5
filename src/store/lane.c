/* lane.c - a lane's part of the file: taking one, its list of units, its cells.
 *
 * A lane is taken by one compare-and-swap that says whose it is, so a process killed right after
 * has a lane of a dead session, as any other. The first lanes have space from the store's creation
 * on, so that something can be released on a full disk. The others are holes in the file: each is
 * backed before it is taken the first time, so a full disk is an error there. While a checkpoint is
 * made none is taken: how many lanes there are is read before park, so the copy knows of each that
 * is taken, and who sees park only then gives the lane back as it was.
 *
 * The list: entry 0 is for records that are about to adopt (op.c), the next few for units adopted
 * when the rest is full, then a few for LIST units with more entries, then all others. */
#include "store/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ADOPTED = 1, FIRST_PAGE = 17, FIRST_PLAIN = FIRST_PAGE + ROMA__LIST_PAGES };

/* ---- taking a lane --------------------------------------------------------------------------- */

static int back_lane(roma_store *store, uint64_t index)
{
    if (store->is_image)
        return 0;
    uint64_t at = store->view.regions.lanes_at + index * sizeof(roma__lane);
    return roma__store_file_back(store->fd, at, at + sizeof(roma__lane));
}

static bool swap_in(roma_store *store, uint64_t index)
{
    uint32_t free = 0;
    return roma__load(&store->view.lanes[index].word) == 0 &&
           roma__compare_exchange(&store->view.lanes[index].word, &free, store->session + 1);
}

/* Take it, and be inside of an operation. Returns 1, 0 when it is not free, or -EAGAIN: somebody
 * parks. */
static int enter_lane(roma_store *store, uint64_t index)
{
    roma__lane *lane = &store->view.lanes[index];
    if (!swap_in(store, index))
        return 0;
    roma__step("lane.taken");
    roma__store(&lane->busy, 1);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* pairs with the parker's barrier: park.c */
    if (roma__load_acquire(&store->view.live->park) == 0)
        return 1;
    roma__store_release(&lane->busy, 0);
    roma__store_release(&lane->word, 0);
    return -EAGAIN;
}

/* How many lanes were ever used, when nobody parked. */
static uint64_t lanes_unparked(roma_store *store)
{
    const roma__live *live = store->view.live;
    for (;;) {
        uint64_t used = roma__load_acquire(&live->lanes_used);
        uint32_t park = roma__load_acquire(&live->park);
        if (park == 0)
            return used;
        roma__park_wait(store, park);
    }
}

/* Returns the index, or -errno. The thread was in no operation, and is in one with this lane. */
static int64_t take_lane(roma_store *store)
{
    const roma__view *view = &store->view;
    for (;;) {
        uint64_t used = lanes_unparked(store);
        if (used > view->regions.lanes)
            return -EUCLEAN;
        int taken = 0;
        for (uint64_t i = 0; i < used && taken == 0; i++) {
            taken = enter_lane(store, i);
            if (taken == 1)
                return (int64_t)i;
        }
        if (taken < 0)
            continue;
        if (used == view->regions.lanes) {
            if (roma__store_recover_outside(store) == 0)
                return -EUSERS;
            continue; /* the dead had some */
        }
        int code = back_lane(store, used);
        if (code < 0 && roma__store_recover_outside(store) == 0)
            return code;
        if (code == 0)
            (void)roma__compare_exchange(&view->live->lanes_used, &used, used + 1);
    }
}

static bool is_list_page(const roma__worker *worker, uint64_t unit, uint64_t word)
{
    return roma__unit_kind(word) == ROMA__UNIT_LIST && roma__unit_owner(word) == worker->tag &&
           roma__unit_word_is_valid(&worker->store->view, unit, word);
}

/* A free lane is all 0 but for hints; one of a damaged file is made so. */
static void clear_lane(roma__lane *lane)
{
    roma__store(&lane->redo, 0);
    for (uint32_t i = 0; i < ROMA__LANE_LIST; i++)
        roma__store(&lane->list[i], 0);
    for (uint32_t i = 0; i < ROMA__LANE_CELLS; i++)
        if (roma__load(&lane->cells[i]) != 0)
            roma__store(&lane->cells[i], 0);
    for (uint32_t i = 0; i < ROMA__LANE_MAIL; i++)
        roma__store(&lane->mail[i], 0);
    roma__store(&lane->poke, 0);
    roma__store(&lane->mail_lost, 0);
}

static void begin(roma__worker *worker, roma_store *store, uint32_t lane)
{
    memset(worker, 0, sizeof *worker);
    worker->store = store;
    worker->lane = &store->view.lanes[lane];
    worker->tag = lane + 1;
    worker->entry_cursor = FIRST_PLAIN;
}

roma__worker *roma__worker_new(roma_store *store, int *code)
{
    roma__worker *worker = malloc(sizeof *worker);
    if (worker == NULL) {
        *code = -ENOMEM;
        return NULL;
    }
    int64_t lane = take_lane(store);
    if (lane < 0) {
        free(worker);
        *code = (int)lane;
        return NULL;
    }
    for (unsigned i = 0; i < ROMA__STRIPES_COUNT;
         i++) /* of a damaged file: a free lane holds none */
        if (roma__load(&store->view.stripes[i].holder) == (uint32_t)lane + 1)
            roma__store_release(&store->view.stripes[i].holder, 0);
    begin(worker, store, (uint32_t)lane);
    clear_lane(worker->lane);
    roma__step("lane.clear");
    roma__store_release(&worker->lane->busy, 0);
    (void)pthread_mutex_init(&worker->inbox_lock, NULL);
    return worker;
}

/* Those that the lane has already. */
static void find_list_pages(roma__worker *worker)
{
    const roma__view *view = &worker->store->view;
    for (uint32_t i = FIRST_PAGE; i < FIRST_PLAIN; i++) {
        uint32_t number = roma__load(&worker->lane->list[i]);
        if (number == 0 || number - 1 >= roma__view_units(view))
            continue;
        uint64_t word = roma__load_acquire(&view->units[number - 1].word);
        if (is_list_page(worker, number - 1, word))
            worker->list_pages[worker->list_pages_count++] = roma__view_at(
                view, (uint64_t)(number - 1) << ROMA__UNIT_SHIFT);
    }
}

void roma__worker_ghost(roma__worker *worker, roma_store *store, uint32_t lane)
{
    begin(worker, store, lane);
    worker->is_ghost = true;
    find_list_pages(worker);
}

void roma__worker_free(roma__worker *worker)
{
    while (worker->slabs != NULL)
        roma__slab_forget(worker, worker->slabs);
    (void)pthread_mutex_destroy(&worker->inbox_lock);
    free(worker->inbox);
    free(worker->spare_cells);
    free(worker);
}

/* ---- pages of the lane's own ----------------------------------------------------------------- */

static int take_page(roma__worker *worker, unsigned kind, uint32_t *entry, char **page)
{
    uint64_t unit;
    if (entry == NULL)
        return -ENOSPC;
    int code = roma__units_take(worker, 1, 1, entry, &unit);
    if (code < 0)
        return code;
    *page = roma__view_at(&worker->store->view, unit << ROMA__UNIT_SHIFT);
    memset(*page, 0, ROMA__UNIT_BYTES);
    roma__step("lane.page");
    roma__store_release(&worker->store->view.units[unit].word,
                        roma__unit_make(kind, 0, worker->tag, 1));
    return 0;
}

/* ---- the list -------------------------------------------------------------------------------- */

static uint32_t *entry_at(roma__worker *worker, uint32_t index)
{
    if (index < ROMA__LANE_LIST)
        return &worker->lane->list[index];
    index -= ROMA__LANE_LIST;
    return &worker->list_pages[index / ROMA__LIST_IN_UNIT][index % ROMA__LIST_IN_UNIT];
}

static uint32_t *find_entry(roma__worker *worker, uint32_t from, uint32_t to, uint32_t *cursor)
{
    for (uint32_t i = 0, at = *cursor; i < to - from; i++, at++) {
        if (at < from || at >= to)
            at = from;
        uint32_t *entry = entry_at(worker, at);
        if (roma__load(entry) == 0) {
            *cursor = at + 1;
            return entry;
        }
    }
    return NULL;
}

static bool add_list_page(roma__worker *worker)
{
    uint32_t cursor = FIRST_PAGE, *entry = find_entry(worker, FIRST_PAGE, FIRST_PLAIN, &cursor);
    char *page;
    if (worker->list_pages_count == ROMA__LIST_PAGES ||
        take_page(worker, ROMA__UNIT_LIST, entry, &page) < 0)
        return false;
    worker->list_pages[worker->list_pages_count++] = (uint32_t *)(void *)page;
    return true;
}

uint32_t *roma__entry_take(roma__worker *worker)
{
    uint32_t end = ROMA__LANE_LIST + worker->list_pages_count * ROMA__LIST_IN_UNIT;
    uint32_t *entry = find_entry(worker, FIRST_PLAIN, end, &worker->entry_cursor);
    if (entry != NULL)
        return entry;
    if (!add_list_page(worker))
        return NULL;
    worker->entry_cursor = end;
    return find_entry(worker, FIRST_PLAIN, end + ROMA__LIST_IN_UNIT, &worker->entry_cursor);
}

uint32_t *roma__entry_take_adopted(roma__worker *worker)
{
    uint32_t *entry = roma__entry_take(worker), cursor = FIRST_ADOPTED;
    return entry != NULL ? entry : find_entry(worker, FIRST_ADOPTED, FIRST_PAGE, &cursor);
}

void roma__entries_each(roma__worker *worker, bool (*visit)(roma__worker *, uint32_t *, void *),
                        void *context)
{
    const roma__view *view = &worker->store->view;
    for (uint32_t i = 0; i < ROMA__LANE_LIST; i++) {
        uint32_t number = roma__load(&worker->lane->list[i]);
        if (number == 0)
            continue;
        uint64_t unit = number - 1;
        uint64_t word = unit < roma__view_units(view) ? roma__load_acquire(&view->units[unit].word)
                                                      : 0;
        if (is_list_page(worker, unit, word)) {
            uint32_t *page = roma__view_at(view, unit << ROMA__UNIT_SHIFT);
            for (uint32_t k = 0; k < ROMA__LIST_IN_UNIT; k++)
                if (roma__load(&page[k]) != 0 && !visit(worker, &page[k], context))
                    return;
        }
        if (!visit(worker, &worker->lane->list[i], context))
            return;
    }
}

/* ---- cells ----------------------------------------------------------------------------------- */

uint64_t *roma__cell_take(roma__worker *worker, int *code)
{
    *code = 0;
    if (worker->spare_cells_count > 0)
        return worker->spare_cells[--worker->spare_cells_count];
    if (worker->cells_fresh < ROMA__LANE_CELLS)
        return &worker->lane->cells[worker->cells_fresh++];
    if (worker->page_fresh_left == 0) {
        char *page;
        *code = take_page(worker, ROMA__UNIT_CELLS, roma__entry_take(worker), &page);
        if (*code < 0)
            return NULL;
        worker->page_fresh = (uint64_t *)(void *)page;
        worker->page_fresh_left = ROMA__CELLS_IN_UNIT;
    }
    worker->page_fresh_left--;
    return worker->page_fresh++;
}

void roma__cell_give(roma__worker *worker, uint64_t *cell)
{
    if (worker->spare_cells_count == worker->spare_cells_room) {
        uint64_t room = worker->spare_cells_room * 2 + 64;
        uint64_t **cells = realloc(worker->spare_cells, room * sizeof *cells);
        if (cells == NULL)
            return; /* it is not used again before the lane is */
        worker->spare_cells = cells;
        worker->spare_cells_room = room;
    }
    worker->spare_cells[worker->spare_cells_count++] = cell;
}
