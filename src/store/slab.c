/* slab.c - the slabs of a worker: made, adopted, looked at, given back.
 *
 * A worker allocates from one current slab a class. When that is full it takes another of its own
 * that has free blocks (partial), then adopts one that nobody owns, then makes one of free units.
 * Before that it looks at what others have told it.
 *
 * Adopting is one compare-and-swap of the slab's word, class included, after the unit was entered
 * in the lane's list. The whole slab is then looked at before anything is allocated from it: its
 * free bits are derived from the first words, and blocks that nobody names end. Which slabs have no
 * owner and free blocks is told by the orphan bits, a hint: set before a slab is given up, cleared
 * after it was adopted.
 *
 * An empty slab goes back to the store, but for one a class. */
#include "store/worker.h"

#include "base/bits.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- records --------------------------------------------------------------------------------- */

static roma__own_slab *record_new(roma_store *store)
{
    (void)pthread_mutex_lock(&store->lock);
    roma__own_slab *slab = store->spare_slabs;
    if (slab != NULL)
        store->spare_slabs = slab->next;
    (void)pthread_mutex_unlock(&store->lock);
    if (slab == NULL)
        slab = calloc(1, sizeof *slab); /* calloc: `owner` may be read by others from here on */
    return slab;
}

static void record_spare(roma_store *store, roma__own_slab *slab)
{
    roma__store(&slab->owner, NULL);
    (void)pthread_mutex_lock(&store->lock);
    slab->next = store->spare_slabs;
    store->spare_slabs = slab;
    (void)pthread_mutex_unlock(&store->lock);
}

static void record_fill(roma__worker *worker, roma__own_slab *slab, uint64_t unit, uint64_t word,
                        uint32_t *entry)
{
    roma__view *view = &worker->store->view;
    bool is_large = roma__unit_kind(word) == ROMA__UNIT_LARGE;
    roma__block block;
    roma__block_of_slab(view, unit, word, 0, &block);
    slab->offset = unit << ROMA__UNIT_SHIFT;
    slab->base = roma__view_at(view, slab->offset);
    slab->words = block.first;
    slab->remote = block.remote;
    slab->class_index = (uint16_t)(is_large ? ROMA__CLASSES_COUNT : roma__unit_class(word));
    slab->bytes = is_large ? 0 : roma__geometries()[slab->class_index].bytes;
    slab->reciprocal = is_large ? 0 : roma__geometries()[slab->class_index].reciprocal;
    slab->count = roma__block_count(word);
    slab->bit_words = (slab->count + 63) / 64;
    slab->free_count = slab->at = 0;
    slab->is_partial = slab->is_queued = slab->needs_scan = slab->is_looked_at = false;
    slab->units = (uint32_t)roma__unit_length(word);
    slab->unit = unit;
    slab->entry = entry;
    memset(slab->bits, 0, sizeof slab->bits);
    slab->next_partial = slab->previous_partial = slab->next_queued = NULL;
    slab->previous = NULL;
    slab->next = worker->slabs;
    if (worker->slabs != NULL)
        worker->slabs->previous = slab;
    worker->slabs = slab;
    __atomic_store_n(&slab->owner, worker, __ATOMIC_RELEASE);
    uint64_t shown = is_large ? 1 : slab->units;
    for (uint64_t i = 0; i < shown; i++)
        roma__store_release(&worker->store->slabs[unit + i], slab);
}

static void partial_push(roma__worker *worker, roma__own_slab *slab)
{
    roma__own_slab **head = &worker->partial[slab->class_index];
    slab->is_partial = true;
    slab->previous_partial = NULL;
    slab->next_partial = *head;
    if (*head != NULL)
        (*head)->previous_partial = slab;
    *head = slab;
}

static void partial_remove(roma__worker *worker, roma__own_slab *slab)
{
    if (!slab->is_partial)
        return;
    slab->is_partial = false;
    if (slab->previous_partial != NULL)
        slab->previous_partial->next_partial = slab->next_partial;
    else
        worker->partial[slab->class_index] = slab->next_partial;
    if (slab->next_partial != NULL)
        slab->next_partial->previous_partial = slab->previous_partial;
}

void roma__slab_forget(roma__worker *worker, roma__own_slab *slab)
{
    if (slab->class_index < ROMA__CLASSES_COUNT) {
        partial_remove(worker, slab);
        if (worker->current[slab->class_index] == slab)
            worker->current[slab->class_index] = NULL;
        if (worker->empty[slab->class_index] == slab)
            worker->empty[slab->class_index] = NULL;
    }
    if (slab->previous != NULL)
        slab->previous->next = slab->next;
    else
        worker->slabs = slab->next;
    if (slab->next != NULL)
        slab->next->previous = slab->previous;
    record_spare(worker->store, slab);
}

/* ---- free bits ------------------------------------------------------------------------------- */

static void set_bit(roma__own_slab *slab, uint32_t index)
{
    uint64_t bit = UINT64_C(1) << index % 64;
    if (index >= slab->count)
        return; /* of a slab that a hostile hand made another one */
    if ((slab->bits[index / 64] & bit) == 0) {
        slab->bits[index / 64] |= bit;
        slab->free_count++;
    }
}

void roma__slab_turned(roma__worker *worker, roma__own_slab *slab)
{
    if (slab->is_looked_at || slab->is_queued || slab->free_count == 0)
        return;
    if (slab->class_index == ROMA__CLASSES_COUNT) {
        (void)roma__slab_return(worker, slab);
        return;
    }
    if (worker->current[slab->class_index] == slab)
        return;
    if (!slab->is_partial)
        partial_push(worker, slab);
    roma__own_slab **kept = &worker->empty[slab->class_index];
    if (slab->free_count < slab->count || *kept == slab)
        return;
    if (*kept == NULL || (*kept)->free_count < (*kept)->count)
        *kept = slab;
    else
        (void)roma__slab_return(worker, slab);
}

void roma__slab_freed(roma__worker *worker, roma__own_slab *slab, uint32_t index)
{
    set_bit(slab, index);
    if (slab->free_count == 1 || slab->free_count == slab->count)
        roma__slab_turned(worker, slab);
}

/* ---- looking --------------------------------------------------------------------------------- */

static void enqueue(roma__worker *worker, roma__own_slab *slab)
{
    if (slab->is_queued)
        return;
    slab->is_queued = true;
    slab->next_queued = worker->queue;
    worker->queue = slab;
}

/* Leave an adopted slab to the next one who comes by: there is no memory to keep it. PENDING stays
 * set, so whoever adopts it looks. */
static void disown(roma__worker *worker, uint64_t unit)
{
    uint64_t *place = &worker->store->view.units[unit].word;
    (void)__atomic_fetch_or(&worker->store->view.orphan_bits[unit / 64], UINT64_C(1) << unit % 64,
                            __ATOMIC_RELAXED);
    (void)__atomic_fetch_and(place, ~ROMA__UNIT_OWNER_MASK, __ATOMIC_ACQ_REL);
}

void roma__slab_told(roma__worker *worker, uint64_t unit, bool is_adopted)
{
    roma_store *store = worker->store;
    roma__own_slab *slab = store->slabs[unit];
    if (!worker->is_ghost && slab != NULL && slab->owner == worker) {
        enqueue(worker, slab);
        return;
    }
    if (!is_adopted)
        return; /* a ghost's own: it looks at PENDING before it gives the slab up */
    uint64_t word = roma__load_acquire(&store->view.units[unit].word);
    if (!roma__unit_word_is_valid(&store->view, unit, word) || roma__block_count(word) == 0)
        return; /* damage: no slab any more */
    uint32_t *entry = roma__entry_take_adopted(worker);
    slab = entry != NULL && !worker->is_ghost ? record_new(store) : NULL;
    if (entry == NULL || (slab == NULL && !worker->is_ghost)) {
        disown(worker, unit);
        return;
    }
    roma__store(entry, (uint32_t)unit + 1);
    roma__step("slab.listed");
    (void)__atomic_fetch_and(&store->view.orphan_bits[unit / 64], ~(UINT64_C(1) << unit % 64),
                             __ATOMIC_RELAXED);
    if (worker->is_ghost)
        return;
    record_fill(worker, slab, unit, word, entry);
    slab->needs_scan = true;
    enqueue(worker, slab);
}

static void scan(roma__worker *worker, roma__own_slab *slab)
{
    const roma__view *view = &worker->store->view;
    uint64_t word = __atomic_fetch_and(&view->units[slab->unit].word, ~ROMA__UNIT_PENDING,
                                       __ATOMIC_ACQ_REL);
    slab->needs_scan = false;
    if (!roma__unit_word_is_valid(view, slab->unit, word) || roma__block_count(word) != slab->count)
        return; /* damage: the record is of another slab */
    for (uint32_t i = 0; i < slab->bit_words; i++)
        if (roma__load(&slab->remote[i]) != 0)
            (void)roma__exchange(&slab->remote[i], 0);
    roma__step("slab.scan");
    for (uint32_t i = 0; i < slab->count; i++) {
        uint64_t first = roma__load_acquire(&slab->words[2 * i]);
        if (roma__first_owner(first) == 0) {
            set_bit(slab, i);
        } else if (roma__first_local(first) == 0 &&
                   roma__second_shared(roma__load_acquire(&slab->words[2 * i + 1])) == 0) {
            roma__block block;
            roma__block_of_slab(view, slab->unit, word, i, &block);
            if (roma__block_finish(worker, &block))
                set_bit(slab, i);
        }
    }
}

static void note_free(roma__worker *worker, uint32_t index, void *context)
{
    (void)worker;
    set_bit(context, index);
}

static void read_mail(roma__worker *worker)
{
    roma__lane *lane = worker->lane;
    if (roma__load(&lane->poke) == 0)
        return;
    (void)roma__exchange(&lane->poke, 0);
    for (uint32_t i = 0; i < ROMA__LANE_MAIL; i++) {
        if (roma__load(&lane->mail[i]) == 0)
            continue;
        uint64_t unit = (uint64_t)roma__exchange(&lane->mail[i], 0) - 1;
        roma__own_slab *slab = unit < worker->store->view.regions.max_units
                                   ? worker->store->slabs[unit]
                                   : NULL;
        if (slab != NULL && slab->owner == worker)
            enqueue(worker, slab);
    }
    if (roma__load(&lane->mail_lost) != 0 && roma__exchange(&lane->mail_lost, 0) != 0)
        roma__worker_settle_all(worker);
}

void roma__worker_settle(roma__worker *worker)
{
    if (worker->is_settling || worker->is_ghost)
        return;
    worker->is_settling = true;
    read_mail(worker);
    if (roma__load(&worker->has_inbox) != 0)
        roma__inbox_apply(worker);
    while (worker->queue != NULL) {
        roma__own_slab *slab = worker->queue;
        worker->queue = slab->next_queued;
        slab->is_queued = false;
        slab->is_looked_at = true;
        if (slab->needs_scan)
            scan(worker, slab);
        else
            roma__slab_drain(worker, slab->unit, note_free, slab);
        slab->is_looked_at = false;
        roma__slab_turned(worker, slab);
    }
    worker->is_settling = false;
}

void roma__worker_settle_all(roma__worker *worker)
{
    for (roma__own_slab *slab = worker->slabs; slab != NULL; slab = slab->next) {
        uint64_t word = roma__load(&worker->store->view.units[slab->unit].word);
        if ((word & ROMA__UNIT_PENDING) != 0)
            enqueue(worker, slab);
    }
    roma__worker_settle(worker);
}

/* ---- giving back ----------------------------------------------------------------------------- */

bool roma__slab_return(roma__worker *worker, roma__own_slab *slab)
{
    uint64_t word = roma__load_acquire(&worker->store->view.units[slab->unit].word);
    for (uint32_t i = 0; i < slab->count; i++)
        if (roma__first_owner(roma__load(&slab->words[2 * i])) != 0)
            return false; /* damage: the bits do not fit */
    if ((word & ROMA__UNIT_PENDING) == 0 &&
        roma__units_give(worker, slab->unit, word, slab->entry)) {
        roma__slab_forget(worker, slab);
        return true;
    }
    enqueue(worker, slab);
    return false;
}

/* ---- taking ---------------------------------------------------------------------------------- */

static uint32_t generation_of(const roma__view *view, uint64_t unit, uint64_t length)
{
    uint32_t generation = 0;
    for (uint64_t i = 0; i < length; i++) {
        uint32_t here = roma__load(&view->units[unit + i].generation);
        generation = here > generation ? here : generation;
    }
    return generation;
}

static int make_slab(roma__worker *worker, unsigned class_index)
{
    const roma__view *view = &worker->store->view;
    const roma__geometry *geometry = &roma__geometries()[class_index];
    uint64_t unit;
    uint32_t *entry = roma__entry_take(worker);
    roma__own_slab *slab = record_new(worker->store);
    int code = slab != NULL ? roma__units_take(worker, geometry->units, 1, entry, &unit) : -ENOMEM;
    if (code < 0) {
        if (slab != NULL)
            record_spare(worker->store, slab);
        return code;
    }
    uint64_t free = roma__first_make(0, 0, generation_of(view, unit, geometry->units));
    char *base = roma__view_at(view, unit << ROMA__UNIT_SHIFT);
    uint64_t *words = (uint64_t *)(void *)(base + geometry->words_at);
    for (uint32_t i = 0; i < geometry->count; i++) {
        roma__store(&words[2 * i], free);
        roma__store(&words[2 * i + 1], 0);
    }
    uint64_t *remote = (uint64_t *)(void *)(base + geometry->remote_at);
    for (uint32_t i = 0; i < geometry->remote_words; i++)
        roma__store(&remote[i], 0);
    roma__step("slab.formatted");
    uint64_t word = roma__unit_make(ROMA__UNIT_SLAB, class_index, worker->tag, geometry->units);
    roma__store_release(&view->units[unit].word, word);
    roma__step("slab.made");
    record_fill(worker, slab, unit, word, entry);
    for (uint32_t i = 0; i < slab->bit_words; i++)
        slab->bits[i] = ~UINT64_C(0);
    if (slab->count % 64 != 0)
        slab->bits[slab->bit_words - 1] = (UINT64_C(1) << slab->count % 64) - 1;
    slab->free_count = slab->count;
    worker->current[class_index] = slab;
    return 0;
}

static int make_large(roma__worker *worker, uint64_t length, uint64_t align, roma__own_slab **out)
{
    const roma__view *view = &worker->store->view;
    uint64_t unit;
    uint32_t *entry = roma__entry_take(worker);
    roma__own_slab *slab = record_new(worker->store);
    int code = slab != NULL ? roma__units_take(worker, length, align, entry, &unit) : -ENOMEM;
    if (code < 0) {
        if (slab != NULL)
            record_spare(worker->store, slab);
        return code;
    }
    roma__unit *head = &view->units[unit];
    roma__store(&head->words[0], roma__first_make(0, 0, roma__load(&head->generation)));
    roma__store(&head->words[1], 0);
    roma__store(&head->remote, 0);
    roma__step("large.formatted");
    uint64_t word = roma__unit_make(ROMA__UNIT_LARGE, 0, worker->tag, length);
    roma__store_release(&head->word, word);
    roma__step("large.made");
    record_fill(worker, slab, unit, word, entry);
    *out = slab;
    return 0;
}

/* Adopt the slab if nobody owns it and it is of the class. 0: adopted, and looked at. */
static int adopt(roma__worker *worker, uint64_t unit, unsigned class_index)
{
    const roma__view *view = &worker->store->view;
    uint64_t word = roma__load_acquire(&view->units[unit].word);
    if (roma__unit_kind(word) != ROMA__UNIT_SLAB || roma__unit_owner(word) != 0 ||
        roma__unit_class(word) != class_index || !roma__unit_word_is_valid(view, unit, word))
        return -ENOENT;
    uint32_t *entry = roma__entry_take(worker);
    roma__own_slab *slab = record_new(worker->store);
    if (slab == NULL || entry == NULL) {
        if (slab != NULL)
            record_spare(worker->store, slab);
        return -ENOMEM;
    }
    roma__store(entry, (uint32_t)unit + 1);
    roma__step("adopt.listed");
    uint64_t mine = word | (uint64_t)worker->tag << ROMA__UNIT_OWNER_SHIFT;
    if (!roma__compare_exchange(&view->units[unit].word, &word, mine)) {
        roma__store(entry, 0);
        record_spare(worker->store, slab);
        return -ENOENT;
    }
    roma__step("adopt.owned");
    (void)__atomic_fetch_and(&view->orphan_bits[unit / 64], ~(UINT64_C(1) << unit % 64),
                             __ATOMIC_RELAXED);
    record_fill(worker, slab, unit, mine, entry);
    slab->needs_scan = true;
    enqueue(worker, slab);
    roma__worker_settle(worker);
    return 0;
}

/* Adopt an orphan of the class, looking at so many words of the map. */
static int adopt_one(roma__worker *worker, unsigned class_index, uint64_t words)
{
    const roma__view *view = &worker->store->view;
    uint64_t first = view->regions.first_unit / 64;
    uint64_t last = roma__max((roma__view_units(view) + 63) / 64, first);
    uint64_t at = roma__load(&view->live->orphan_cursor[class_index]);
    uint64_t all = last > first ? last - first : 0; /* damage: nothing is committed */
    if (words > all)
        words = all;
    for (; words > 0; words--, at++) {
        if (at < first || at >= last)
            at = first;
        for (uint64_t bits = roma__load(&view->orphan_bits[at]); bits != 0; bits &= bits - 1) {
            uint64_t unit = at * 64 + (uint64_t)__builtin_ctzll(bits);
            if (unit >= roma__view_units(view))
                break;
            int code = adopt(worker, unit, class_index);
            if (code == -ENOENT)
                continue;
            roma__store(&view->live->orphan_cursor[class_index], at);
            return code;
        }
    }
    roma__store(&view->live->orphan_cursor[class_index], at);
    return -ENOENT;
}

static bool take_partial(roma__worker *worker, unsigned class_index)
{
    roma__own_slab *slab = worker->partial[class_index];
    if (slab == NULL)
        return false;
    partial_remove(worker, slab);
    if (worker->empty[class_index] == slab)
        worker->empty[class_index] = NULL;
    worker->current[class_index] = slab;
    return true;
}

/* The file is full: what other classes and mail that was lost may still give. */
static void scrape(roma__worker *worker)
{
    (void)roma__worker_shed(worker);
    (void)roma__idle_each(worker->store, roma__worker_shed);
}

int roma__slab_refill(roma__worker *worker, unsigned class_index)
{
    enum { ADOPT_WORDS = 64, ADOPT_TRIES = 4 };
    roma__own_slab *before = worker->current[class_index];
    worker->current[class_index] = NULL;
    if (before != NULL && before->free_count > 0)
        roma__slab_turned(worker, before);
    roma__worker_settle(worker);
    if (take_partial(worker, class_index))
        return 0;
    for (int i = 0; i < ADOPT_TRIES && adopt_one(worker, class_index, ADOPT_WORDS) == 0; i++)
        if (take_partial(worker, class_index))
            return 0;
    int code = make_slab(worker, class_index);
    if (!roma__is_full(code))
        return code;
    scrape(worker);
    if (take_partial(worker, class_index))
        return 0;
    while (adopt_one(worker, class_index, UINT64_MAX) == 0)
        if (take_partial(worker, class_index))
            return 0;
    return make_slab(worker, class_index);
}

int roma__slab_large(roma__worker *worker, uint64_t length, uint64_t align, roma__own_slab **out)
{
    roma__worker_settle(worker);
    int code = make_large(worker, length, align, out);
    if (!roma__is_full(code))
        return code;
    scrape(worker);
    return make_large(worker, length, align, out);
}
