/* units.c - taking units and giving them back: the map of free ones, growth, punching.
 *
 * All under the units stripe. What counts is the word of a run's head: it says CLAIMED by one store
 * and FREE by one compare-and-swap, and covers or uncovers all of the run at once. The bits of the
 * map follow; `intent` names the range whose bits may not fit the words yet, so that whoever lets
 * go of a dead holder's stripe derives them again.
 *
 * The search is first-fit from a cursor below which nothing is free (a hint: it is made from the
 * start again before the file grows), 64 units a word. Before that, it is looked at what the dead
 * left, and at what idle lanes keep. Growth is by a quarter, at least 1 MiB and at most 1 GiB at
 * once, or by what is needed where that is more, or all that can be had: maps and table for the new
 * units are backed first, then the units, then their bits are set and the new size published.
 * Killed in between, the next growth does the same again. Others wait for the stripe meanwhile, so
 * it is at most 16 MiB at once where the kernel clears the pages then and there (tmpfs, hugetlbfs).
 *
 * A unit that was punched out of the file has its punched bit set before, and is backed again
 * before the head is claimed. Where that fails, a run that was not punched is looked for. */
#include "store/open.h"

#include "base/bits.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <unistd.h>

enum {
    GROW_LEAST = 16, /* units at once */
    GROW_MOST = 1 << (30 - 16),
    GROW_MOST_IN_MEMORY = 1 << (24 - 16),
    PUNCH_MOST = 1 << (26 - 16), /* units for which the stripe is held at once */
    BACK_MOST = 16               /* covered units of slabs know their head */
};

#define NOT_FOUND UINT64_MAX

/* ---- bits ------------------------------------------------------------------------------------ */

/* The first position in [from, to) whose bit is `value`; `to` when there is none. */
static uint64_t next_bit(const uint64_t *bits, uint64_t from, uint64_t to, bool value)
{
    while (from < to) {
        uint64_t word = roma__load(&bits[from / 64]);
        word = (value ? word : ~word) >> from % 64;
        if (word != 0)
            return roma__min(from + (uint64_t)__builtin_ctzll(word), to);
        from = (from / 64 + 1) * 64;
    }
    return to;
}

/* Atomic: neighbours in the word may be anybody's (orphan bits), or a reader's. */
static void change_bits(uint64_t *bits, uint64_t from, uint64_t to, bool value)
{
    while (from < to) {
        uint64_t end = roma__min((from / 64 + 1) * 64, to);
        uint64_t mask = ~UINT64_C(0) >> (64 - (end - from)) << from % 64;
        if (value)
            (void)__atomic_fetch_or(&bits[from / 64], mask, __ATOMIC_RELAXED);
        else
            (void)__atomic_fetch_and(&bits[from / 64], ~mask, __ATOMIC_RELAXED);
        from = end;
    }
}

static uint64_t find_run(const uint64_t *bits, uint64_t from, uint64_t to, uint64_t length,
                         uint64_t align)
{
    uint64_t at = next_bit(bits, from, to, true);
    for (;;) {
        at = roma__align_up(at, align);
        if (at >= to || length > to - at)
            return to;
        uint64_t end = next_bit(bits, at, at + length, false);
        if (end == at + length)
            return at;
        at = next_bit(bits, end, to, true);
    }
}

void roma__units_repair(const roma__view *view, uint64_t intent)
{
    uint64_t unit = intent >> 32, end = roma__view_units(view);
    uint64_t last = unit + (intent & 0xffffffff);
    if (intent == 0 || unit < view->regions.first_unit || unit >= end)
        return;
    last = roma__min(last, end);
    while (unit < last) {
        uint64_t word = roma__load_acquire(&view->units[unit].word), length = 1;
        if (roma__unit_word_is_valid(view, unit, word))
            length = roma__unit_length(word);
        change_bits(view->free_bits, unit, unit + length, roma__unit_kind(word) == ROMA__UNIT_FREE);
        roma__step("units.repair");
        unit += length;
    }
}

void roma__units_set_free(const roma__view *view, uint64_t from, uint64_t to)
{
    change_bits(view->free_bits, from, to, true);
}

uint64_t roma__units_in_use(const roma__view *view)
{
    uint64_t first = view->regions.first_unit, end = roma__view_units(view);
    while (end > first) {
        uint64_t from = roma__max((end - 1) / 64 * 64, first);
        uint64_t mask = ~UINT64_C(0) >> (64 - (end - from)) << from % 64;
        uint64_t used = ~roma__load(&view->free_bits[from / 64]) & mask;
        if (used != 0)
            return from / 64 * 64 + 64 - (uint64_t)__builtin_clzll(used);
        end = from;
    }
    return first;
}

/* ---- growth ---------------------------------------------------------------------------------- */

/* In the multiples in which the file is committed, which may be those of another machine; while it
 * is made, they are not known yet. */
static int back(roma_store *store, uint64_t from, uint64_t to)
{
    if (to <= from)
        return 0;
    uint64_t multiple = roma__max(store->page_bytes, ROMA__SUPER_BYTES);
    return roma__store_file_back(store->fd, roma__align_down(from, multiple),
                                 roma__align_up(to, multiple));
}

int roma__units_back(roma_store *store, uint64_t from, uint64_t to)
{
    const roma__regions *regions = &store->view.regions;
    int code = 0;
    for (unsigned i = 0; i < 3 && code == 0; i++) {
        uint64_t at = regions->unit_maps_at + i * regions->unit_map_bytes;
        code = back(store, at + roma__align_down(from / 8, 8), at + roma__align_up(to, 64) / 8);
    }
    if (code == 0)
        code = back(store, regions->unit_table_at + from * sizeof(roma__unit),
                    regions->unit_table_at + to * sizeof(roma__unit));
    if (code == 0)
        code = back(store, from << ROMA__UNIT_SHIFT, to << ROMA__UNIT_SHIFT);
    return code;
}

static int grow(roma__worker *worker, uint64_t length, uint64_t align)
{
    roma_store *store = worker->store;
    const roma__view *view = &store->view;
    uint64_t first = view->regions.first_unit, end = roma__view_units(view);
    if (store->is_image)
        return -ENOSPC;
    uint64_t tail = roma__units_in_use(view); /* free units at the end join the new ones */
    uint64_t least = roma__align_up(tail, align), most = view->regions.max_units;
    if (length > most || least > most - length)
        return -ENOSPC;
    least += length;
    bool is_on_disk = (store->capabilities & ROMA_STORE_SURVIVES) != 0;
    uint64_t most_step = is_on_disk ? GROW_MOST : GROW_MOST_IN_MEMORY;
    uint64_t step = roma__min(roma__max((end - first) / 4, GROW_LEAST), most_step);
    uint64_t multiple = roma__max(store->page_bytes / ROMA__UNIT_BYTES, 1);
    uint64_t want = roma__min(roma__align_up(roma__max(least, end + step), multiple), most);
    int code = roma__units_back(store, end, want);
    if (code < 0 && want > least) {
        want = roma__min(roma__align_up(least, multiple), most);
        code = roma__units_back(store, end, want);
    }
    if (code < 0)
        return code;
    roma__step("units.backed");
    change_bits(view->free_bits, end, want, true);
    roma__step("units.grown");
    if (roma__load(&store->view.backed_units) < want)
        roma__store(&store->view.backed_units, want); /* known, without asking */
    roma__store_release(&view->live->committed_units, want);
    roma__step("units.published");
    return 0;
}

/* ---- taking ---------------------------------------------------------------------------------- */

/* Returns NOT_FOUND when there is none. */
static uint64_t search(const roma__view *view, uint64_t length, uint64_t align)
{
    uint64_t first = view->regions.first_unit, end = roma__view_units(view);
    uint64_t cursor = roma__load(&view->live->units_cursor);
    if (cursor < first || cursor > end)
        cursor = first;
    uint64_t unit = find_run(view->free_bits, cursor, end, length, align);
    if (unit == end && cursor > first)
        unit = find_run(view->free_bits, first, end, length, align);
    if (unit == end)
        return NOT_FOUND;
    if (length == 1 && align == 1)
        roma__store(&view->live->units_cursor, unit + 1);
    return unit;
}

/* The same among those that have space; nothing is remembered. */
static uint64_t search_backed(const roma__view *view, uint64_t length, uint64_t align)
{
    uint64_t at = view->regions.first_unit, end = roma__view_units(view);
    for (;;) {
        at = find_run(view->free_bits, at, end, length, align);
        if (at == end)
            return NOT_FOUND;
        uint64_t hole = next_bit(view->punched_bits, at, at + length, true);
        if (hole == at + length)
            return at;
        at = next_bit(view->punched_bits, hole, end, false);
    }
}

/* Back what was punched out of [unit, unit + length). */
static int unpunch(roma_store *store, uint64_t unit, uint64_t length)
{
    uint64_t *bits = store->view.punched_bits, end = unit + length;
    for (uint64_t at = next_bit(bits, unit, end, true); at < end;
         at = next_bit(bits, at, end, true)) {
        uint64_t stop = next_bit(bits, at, end, false);
        if (!store->is_image) {
            int code = back(store, at << ROMA__UNIT_SHIFT, stop << ROMA__UNIT_SHIFT);
            if (code < 0)
                return code;
        }
        roma__step("units.unpunched");
        change_bits(bits, at, stop, false);
        at = stop;
    }
    return 0;
}

static void claim(roma__worker *worker, uint64_t unit, uint64_t length, uint32_t *entry)
{
    const roma__view *view = &worker->store->view;
    roma__store(entry, (uint32_t)unit + 1);
    roma__step("units.listed");
    roma__store(&view->live->intent, unit << 32 | length);
    for (uint64_t i = 1; i < length && i < BACK_MOST; i++)
        roma__store(&view->units[unit + i].back, (uint32_t)i);
    roma__step("units.intent");
    roma__store_release(&view->units[unit].word,
                        roma__unit_make(ROMA__UNIT_CLAIMED, 0, worker->tag, length));
    roma__step("units.claimed");
    change_bits(view->free_bits, unit, unit + length, false);
    roma__step("units.taken");
    roma__store_release(&view->live->intent, 0);
}

/* A run of free units that all have space. Returns 0, -ENOSPC, or why what was punched cannot be
 * backed. Under the stripe. */
static int find_free(roma_store *store, uint64_t length, uint64_t align, uint64_t *unit)
{
    const roma__view *view = &store->view;
    int failure = 0;
    for (;;) {
        *unit = failure == 0 ? search(view, length, align) : search_backed(view, length, align);
        if (*unit == NOT_FOUND)
            return failure == 0 ? -ENOSPC : failure;
        if (roma__unit_kind(roma__load(&view->units[*unit].word)) != ROMA__UNIT_FREE) {
            change_bits(view->free_bits, *unit, *unit + 1, false); /* damage: the word counts */
            continue;
        }
        int code = unpunch(store, *unit, length);
        if (code == 0)
            return 0;
        failure = code;
    }
}

/* As roma__units_take(). */
static int try_take(roma__worker *worker, uint64_t length, uint64_t align, bool may_grow,
                    uint32_t *entry, uint64_t *unit)
{
    roma__stripe_lock(worker, ROMA__STRIPE_UNITS);
    int code = find_free(worker->store, length, align, unit);
    if (may_grow && roma__is_full(code)) {
        code = grow(worker, length, align);
        if (code == 0)
            code = find_free(worker->store, length, align, unit);
    }
    if (code == 0)
        claim(worker, *unit, length, entry);
    roma__stripe_unlock(worker, ROMA__STRIPE_UNITS);
    return code;
}

/* Idle lanes look at what they were told while they settle: not for one that does so itself, since
 * that may want units as well, and so on. */
static bool look_at_idle(roma__worker *worker)
{
    return !worker->is_ghost && !worker->is_settling &&
           roma__idle_each(worker->store, roma__worker_shed_kept);
}

int roma__units_take(roma__worker *worker, uint64_t length, uint64_t align, uint32_t *entry,
                     uint64_t *unit)
{
    if (entry == NULL || length > ROMA__STORE_UNITS_MAX)
        return -ENOSPC;
    int code = try_take(worker, length, align, false, entry, unit);
    /* Before more is taken from the file system: is there something of the dead, or kept by lanes
     * whose threads have ended? (A ghost is recovering already.) */
    if (roma__is_full(code) && !worker->is_ghost && roma__store_recover_all(worker) > 0)
        code = try_take(worker, length, align, false, entry, unit);
    if (roma__is_full(code) && look_at_idle(worker))
        code = try_take(worker, length, align, false, entry, unit);
    if (roma__is_full(code))
        code = try_take(worker, length, align, true, entry, unit);
    return code;
}

/* ---- giving back ----------------------------------------------------------------------------- */

/* Generations of what stands here next are not lower than any before. */
static void keep_generation(const roma__view *view, uint64_t unit, uint64_t word)
{
    uint32_t generation = roma__load(&view->units[unit].generation);
    uint32_t count = roma__block_count(word);
    for (uint32_t i = 0; i < count; i++) {
        roma__block block;
        roma__block_of_slab(view, unit, word, i, &block);
        uint32_t here = roma__first_generation(roma__load(block.first));
        generation = here > generation ? here : generation;
    }
    uint64_t length = roma__min(roma__unit_length(word), BACK_MOST);
    for (uint64_t i = 0; i < length; i++)
        if (roma__load(&view->units[unit + i].generation) < generation)
            roma__store(&view->units[unit + i].generation, generation);
}

bool roma__units_give(roma__worker *worker, uint64_t unit, uint64_t word, uint32_t *entry)
{
    const roma__view *view = &worker->store->view;
    if (!roma__unit_word_is_valid(view, unit, word))
        return false; /* damage */
    uint64_t length = roma__unit_length(word);
    keep_generation(view, unit, word);
    roma__stripe_lock(worker, ROMA__STRIPE_UNITS);
    roma__store(&view->live->intent, unit << 32 | length);
    roma__step("units.giving");
    bool is_given = roma__compare_exchange(&view->units[unit].word, &word, 0);
    roma__step("units.given");
    if (is_given) {
        change_bits(view->orphan_bits, unit, unit + 1, false);
        change_bits(view->free_bits, unit, unit + length, true);
        if (unit < roma__load(&view->live->units_cursor))
            roma__store(&view->live->units_cursor, unit);
        for (uint64_t i = 0; i < length && i < BACK_MOST; i++)
            roma__store(&worker->store->slabs[unit + i], NULL);
    }
    roma__step("units.free");
    roma__store_release(&view->live->intent, 0);
    roma__stripe_unlock(worker, ROMA__STRIPE_UNITS);
    if (is_given)
        roma__store(entry, 0);
    return is_given;
}

/* Have `more` free units at `from` on, growing the file if what ends there is the last in use.
 * Under the stripe. */
static int free_behind(roma__worker *worker, uint64_t from, uint64_t more)
{
    const roma__view *view = &worker->store->view;
    if (more > ROMA__STORE_UNITS_MAX)
        return -ENOSPC;
    if (from + more > roma__view_units(view)) {
        int code = roma__units_in_use(view) == from ? grow(worker, more, 1) : -ENOSPC;
        if (code < 0)
            return code;
    }
    if (next_bit(view->free_bits, from, from + more, false) != from + more)
        return -ENOSPC;
    return unpunch(worker->store, from, more);
}

int roma__units_resize(roma__worker *worker, uint64_t unit, uint64_t word, uint64_t length)
{
    const roma__view *view = &worker->store->view;
    uint64_t old = roma__unit_length(word);
    if (!roma__unit_word_is_valid(view, unit, word))
        return -ENOSPC; /* damage */
    if (length == old)
        return 0;
    int code = 0;
    roma__stripe_lock(worker, ROMA__STRIPE_UNITS);
    if (length > old)
        code = free_behind(worker, unit + old, length - old);
    if (code == 0) {
        roma__store(&view->live->intent, unit << 32 | roma__max(old, length));
        for (uint64_t i = old; i < length && i < BACK_MOST; i++)
            roma__store(&view->units[unit + i].back, (uint32_t)i);
        roma__step("units.resizing");
        uint64_t want = (word & 0xffffffff) | length << ROMA__UNIT_LENGTH_SHIFT;
        if (!roma__compare_exchange(&view->units[unit].word, &word, want))
            code = -EAGAIN;
        roma__step("units.resized");
        if (code == 0 && length > old)
            change_bits(view->free_bits, unit + old, unit + length, false);
        else if (code == 0)
            change_bits(view->free_bits, unit + length, unit + old, true);
        if (code == 0 && length < old && unit + length < roma__load(&view->live->units_cursor))
            roma__store(&view->live->units_cursor, unit + length);
        roma__step("units.remapped");
        roma__store_release(&view->live->intent, 0);
    }
    roma__stripe_unlock(worker, ROMA__STRIPE_UNITS);
    return code;
}

/* ---- punching -------------------------------------------------------------------------------- */

static int punch(roma_store *store, uint64_t from, uint64_t to)
{
    change_bits(store->view.punched_bits, from, to, true);
    roma__step("units.punching");
    while (roma__sys->fallocate(store->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                (off_t)(from << ROMA__UNIT_SHIFT),
                                (off_t)((to - from) << ROMA__UNIT_SHIFT)) < 0)
        if (errno != EINTR)
            return -errno;
    roma__step("units.punched");
    return 0;
}

/* The next stretch of free units from *at on that are not punched, whole pages, at most so many.
 * False: there is none. */
static bool next_stretch(const roma_store *store, uint64_t *at, uint64_t *stop)
{
    const roma__view *view = &store->view;
    uint64_t end = roma__view_units(view), multiple = store->page_bytes / ROMA__UNIT_BYTES;
    multiple = roma__max(multiple, 1);
    for (;;) {
        *at = next_bit(view->free_bits, *at, end, true);
        *at = next_bit(view->punched_bits, *at, end, false);
        *at = roma__align_up(*at, multiple);
        if (*at >= end)
            return false;
        *stop = next_bit(view->free_bits, *at, roma__min(end, *at + PUNCH_MOST), false);
        *stop = next_bit(view->punched_bits, *at, *stop, true);
        *stop = roma__align_down(*stop, multiple);
        if (*stop > *at)
            return true;
        *at += 1;
    }
}

int64_t roma__units_punch(roma__worker *worker, uint64_t keep_bytes)
{
    roma_store *store = worker->store;
    uint64_t at = store->view.regions.first_unit, stop = at, punched = 0;
    uint64_t keep = (keep_bytes + ROMA__UNIT_BYTES - 1) >> ROMA__UNIT_SHIFT;
    int code = 0;
    if (store->is_image)
        return 0;
    for (bool more = true; more && code == 0;) {
        roma__stripe_lock(worker, ROMA__STRIPE_UNITS);
        more = next_stretch(store, &at, &stop);
        if (more && keep > 0) {
            uint64_t kept = roma__min(keep, stop - at);
            keep -= kept;
            at += kept;
        }
        if (more && at < stop) {
            code = punch(store, at, stop);
            punched += code == 0 ? stop - at : 0;
            at = stop;
        }
        roma__stripe_unlock(worker, ROMA__STRIPE_UNITS);
    }
    return code < 0 && punched == 0 ? code : (int64_t)(punched << ROMA__UNIT_SHIFT);
}
