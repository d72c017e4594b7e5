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
 * when the rest is full, then a few for *pages*, LIST units with more entries, then all others. Of
 * the entries of such a page the first are for pages, too, whose entries are all plain: that is
 * more than a store has units. Who reads the list takes each entry for what its unit is. It visits
 * a unit once, however many entries name it: a crafted file has each name all the others. */
#include "store/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_ADOPTED = 1,
    FIRST_PAGE = 17,
    PAGES_IN_LANE = 32,
    FIRST_PLAIN = FIRST_PAGE + PAGES_IN_LANE,
    PAGES_IN_PAGE = 512
};
_Static_assert(ROMA__STORE_UNITS_MAX <=
                   (uint64_t)PAGES_IN_LANE * PAGES_IN_PAGE * ROMA__LIST_IN_UNIT,
               "a lane can have all units");

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
            if (roma__store_recover_outside(store) == 0 &&
                roma__load_acquire(&view->live->park) == 0)
                return -EUSERS;
            continue; /* the dead had some, or somebody gives one back that met a checkpoint */
        }
        int code = back_lane(store, used);
        if (code < 0 && roma__store_recover_outside(store) == 0)
            return code;
        if (code == 0)
            (void)roma__compare_exchange(&view->live->lanes_used, &used, used + 1);
    }
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

/* The entries of the page that an entry names; NULL: it names none of this lane's. */
static uint32_t *page_of(const roma__worker *worker, const uint32_t *entry)
{
    const roma__view *view = &worker->store->view;
    uint64_t number = roma__load(entry);
    if (number == 0 || number - 1 >= roma__view_units(view))
        return NULL;
    uint64_t word = roma__load_acquire(&view->units[number - 1].word);
    bool is_page = roma__unit_kind(word) == ROMA__UNIT_LIST &&
                   roma__unit_owner(word) == worker->tag &&
                   roma__unit_word_is_valid(view, number - 1, word);
    return is_page ? roma__view_at(view, (number - 1) << ROMA__UNIT_SHIFT) : NULL;
}

/* Pages of the list that the lane has already have numbers below. One that was claimed and not yet
 * made counts, too: its entry is the only one that names it. */
static uint32_t count_pages(const roma__worker *worker)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PAGES_IN_LANE; i++) {
        const uint32_t *entry = &worker->lane->list[FIRST_PAGE + i], *page = page_of(worker, entry);
        if (roma__load(entry) != 0 && count <= i)
            count = i + 1;
        for (uint32_t k = 0; page != NULL && k < PAGES_IN_PAGE; k++)
            if (roma__load(&page[k]) != 0)
                count = PAGES_IN_LANE + i * PAGES_IN_PAGE + k + 1;
    }
    return count;
}

void roma__worker_ghost(roma__worker *worker, roma_store *store, uint32_t lane)
{
    begin(worker, store, lane);
    worker->is_ghost = true;
    worker->pages_count = count_pages(worker);
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

/* Where the page of that number is named; NULL: nowhere. */
static uint32_t *page_entry(const roma__worker *worker, uint32_t number)
{
    if (number < PAGES_IN_LANE)
        return &worker->lane->list[FIRST_PAGE + number];
    number -= PAGES_IN_LANE;
    if (number >= PAGES_IN_LANE * PAGES_IN_PAGE)
        return NULL;
    const uint32_t *above = &worker->lane->list[FIRST_PAGE + number / PAGES_IN_PAGE];
    uint32_t *page = page_of(worker, above);
    return page != NULL ? &page[number % PAGES_IN_PAGE] : NULL;
}

/* The list comes in pieces: 0 is in the lane, n is page n - 1. The entries of one, plain from
 * *first to *end; NULL: it is not there. */
static uint32_t *piece_of(const roma__worker *worker, uint32_t piece, uint32_t *first,
                          uint32_t *end)
{
    *first = FIRST_PLAIN;
    *end = ROMA__LANE_LIST;
    if (piece == 0)
        return worker->lane->list;
    *first = piece <= PAGES_IN_LANE ? PAGES_IN_PAGE : 0;
    *end = ROMA__LIST_IN_UNIT;
    const uint32_t *entry = page_entry(worker, piece - 1);
    return entry != NULL ? page_of(worker, entry) : NULL;
}

static uint32_t *find_zero(uint32_t *entries, uint32_t from, uint32_t end)
{
    for (uint32_t i = from; i < end; i++)
        if (roma__load(&entries[i]) == 0)
            return &entries[i];
    return NULL;
}

/* A plain entry that is 0, from the one found last on, and around. */
static uint32_t *find_plain(roma__worker *worker)
{
    uint32_t pieces = 1 + worker->pages_count, first, end;
    for (uint32_t i = 0; i <= pieces; i++) {
        uint32_t *entries = piece_of(worker, worker->piece, &first, &end), *found = NULL;
        if (entries != NULL)
            found = find_zero(entries, worker->piece_at > first ? worker->piece_at : first, end);
        if (found != NULL) {
            worker->piece_at = (uint32_t)(found - entries) + 1;
            return found;
        }
        worker->piece = worker->piece + 1 < pieces ? worker->piece + 1 : 0;
        worker->piece_at = 0;
    }
    return NULL;
}

/* In a store that programs may write which do not know of pages in pages there are none. */
static bool may_nest(const roma_store *store)
{
    roma__super super;
    roma__regions regions;
    unsigned index;
    return roma__super_choose(store->view.base, &super, &index, &regions) == 0 &&
           (super.features & ROMA__FEATURE_LONG_LISTS) != 0;
}

static bool add_page(roma__worker *worker)
{
    uint32_t number = worker->pages_count, *entry = page_entry(worker, number);
    char *page;
    if (entry == NULL || (number >= PAGES_IN_LANE && !may_nest(worker->store)) ||
        take_page(worker, ROMA__UNIT_LIST, entry, &page) < 0)
        return false;
    worker->pages_count++;
    worker->piece = worker->pages_count;
    worker->piece_at = 0;
    return true;
}

uint32_t *roma__entry_take(roma__worker *worker)
{
    uint32_t *entry = find_plain(worker);
    return entry != NULL || !add_page(worker) ? entry : find_plain(worker);
}

uint32_t *roma__entry_take_adopted(roma__worker *worker)
{
    uint32_t *entry = roma__entry_take(worker);
    return entry != NULL ? entry : find_zero(worker->lane->list, FIRST_ADOPTED, FIRST_PAGE);
}

/* Was the unit met in this walk before? They are marked from the first page on that is met: what
 * the lane's own entries name again before that is not worth the memory. Without memory nothing is
 * marked. */
static bool is_met(roma__worker *worker, uint64_t unit)
{
    if (worker->met == NULL || unit >= worker->met_count)
        return false;
    bool was_met = worker->met[unit] == worker->walk;
    worker->met[unit] = worker->walk;
    return was_met;
}

static void mark_page(roma__worker *worker, uint64_t unit)
{
    if (worker->met == NULL) {
        worker->met_count = roma__view_units(&worker->store->view);
        worker->met = calloc(worker->met_count, 1);
    }
    (void)is_met(worker, unit);
}

static void visit_each(roma__worker *worker, uint32_t *entries, uint32_t count, unsigned levels,
                       roma__visit_entry *visit, void *context)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = roma__load(&entries[i]);
        uint32_t *page = number != 0 ? page_of(worker, &entries[i]) : NULL;
        if (number == 0 || (page != NULL && levels == 0)) /* a page names it where it counts */
            continue;
        if (is_met(worker, number - 1))
            continue;
        if (page != NULL) {
            mark_page(worker, number - 1);
            visit_each(worker, page, ROMA__LIST_IN_UNIT, levels - 1, visit, context);
        }
        visit(worker, &entries[i], context);
    }
}

void roma__entries_each(roma__worker *worker, roma__visit_entry *visit, void *context)
{
    enum { WALKS_MOST = 255 };
    if (worker->walk++ == WALKS_MOST) {
        worker->walk = 1;
        if (worker->met != NULL)
            memset(worker->met, 0, worker->met_count);
    }
    visit_each(worker, worker->lane->list, ROMA__LANE_LIST, ROMA__LIST_LEVELS, visit, context);
}

void roma__entries_end(roma__worker *worker)
{
    free(worker->met);
    worker->met = NULL;
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
