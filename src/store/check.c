/* check.c - the oracle: accounts for every unit and every block of a store at rest.
 *
 * First a walk over the units: each is free or covered by exactly one head whose word is possible,
 * and the map of free ones says the same. The walk numbers all blocks. Then every slot that owns a
 * reference (roots, names, those of blocks in use by their maps) and every cell of a lane in use is
 * followed, and the block that it names counted. Last, each block's words are compared with what
 * was counted: a free block is named by nobody, a used one's shared count is what names it, a local
 * count stands for a living owner, and one that nobody names is about to be seen to. Locks, redo
 * records, lists and sessions are compared with the lanes in use.
 *
 * It takes only a view, so it serves the live store, a file mapped for reading, and copies. Beside
 * the view it needs 4 bytes a block and 8 a unit. */
#include "base/bits.h"
#include "heap/atomics.h"
#include "store/directory.h"
#include "store/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct check {
    const roma__view *view;
    const roma__check_options *options;
    uint64_t *numbers; /* by unit: of the first block of the slab that begins there, + 1 */
    uint32_t *named;   /* by block: slots and cells that name it                           */
    uint8_t *listed;   /* by unit: its owner's list names it                               */
    uint64_t units, blocks, faults;
    int stopped; /* what the visitor returned */
} check;

/* ---- telling --------------------------------------------------------------------------------- */

__attribute__((format(printf, 6, 7))) static void tell(check *at, roma_store_fault_kind kind,
                                                       uint64_t offset, uint64_t expected,
                                                       uint64_t found, const char *format, ...)
{
    char text[256];
    va_list arguments;
    at->faults++;
    if (at->options->visit == NULL || at->stopped != 0)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    roma_store_fault fault = {kind, offset, expected, found, text};
    at->stopped = at->options->visit(at->options->visit_context, &fault);
}

static uint64_t offset_of(const check *at, const void *place)
{
    return roma__view_ref(at->view, place);
}

/* ---- lanes and sessions ---------------------------------------------------------------------- */

static uint32_t lanes_used(const roma__view *view)
{
    return (uint32_t)roma__min(roma__load(&view->live->lanes_used), view->regions.lanes);
}

static bool is_alive(const check *at, uint32_t session)
{
    const roma__check_options *options = at->options;
    return options->is_alive != NULL && options->is_alive(options->context, session);
}

/* May that lane hold something? */
static bool may_hold(const check *at, uint32_t tag)
{
    if (tag == 0 || tag > lanes_used(at->view))
        return false;
    uint32_t session = roma__load(&at->view->lanes[tag - 1].word);
    if (session == 0 || session > at->view->regions.sessions ||
        roma__load(&at->view->sessions[session - 1].state) == 0)
        return false;
    return at->options->dead_may_hold || is_alive(at, session - 1);
}

static void check_sessions(check *at)
{
    const roma__view *view = at->view;
    for (uint32_t i = 0; i < view->regions.sessions; i++) {
        uint32_t state = roma__load(&view->sessions[i].state);
        uint64_t place = offset_of(at, &view->sessions[i]);
        if (state > 1)
            tell(at, ROMA_STORE_FAULT_SESSION, place, 1, state, "session %u has state %u", i,
                 state);
        else if (state == 1 && !at->options->dead_may_hold && !is_alive(at, i))
            tell(at, ROMA_STORE_FAULT_SESSION, place, 0, 1, "session %u is dead and not recovered",
                 i);
    }
    for (uint32_t tag = 1; tag <= lanes_used(view); tag++) {
        const roma__lane *lane = &view->lanes[tag - 1];
        if (roma__load(&lane->word) != 0 && !may_hold(at, tag))
            tell(at, ROMA_STORE_FAULT_OWNER, offset_of(at, lane), 0, roma__load(&lane->word),
                 "lane %u belongs to session %u, which is not there", tag - 1,
                 roma__load(&lane->word) - 1);
        if (roma__load(&lane->redo) != 0 && !(at->options->dead_may_hold && may_hold(at, tag)))
            tell(at, ROMA_STORE_FAULT_RECORD, offset_of(at, &lane->redo), 0,
                 roma__load(&lane->redo), "lane %u has an unfinished record", tag - 1);
    }
}

static void check_stripes(check *at)
{
    const roma__view *view = at->view;
    for (unsigned i = 0; i < ROMA__STRIPES_COUNT; i++) {
        uint32_t holder = roma__load(&view->stripes[i].holder);
        if (holder != 0 && !(at->options->dead_may_hold && may_hold(at, holder)))
            tell(at, ROMA_STORE_FAULT_LOCK, offset_of(at, &view->stripes[i]), 0, holder,
                 "stripe %u is held by lane %u", i, holder - 1);
    }
    if (roma__load(&view->live->intent) != 0 &&
        roma__load(&view->stripes[ROMA__STRIPE_UNITS].holder) == 0)
        tell(at, ROMA_STORE_FAULT_LOCK, offset_of(at, &view->live->intent), 0,
             roma__load(&view->live->intent), "the map of units is being changed by nobody");
}

static void list_units(check *at, uint32_t tag, const uint32_t *entries, uint32_t count,
                       unsigned levels)
{
    const roma__view *view = at->view;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = roma__load(&entries[i]);
        if (number == 0 || number > at->units || at->listed[number - 1] != 0)
            continue;
        uint64_t word = roma__load(&view->units[number - 1].word);
        if (roma__unit_owner(word) != tag || !roma__unit_word_is_valid(view, number - 1, word))
            continue;
        at->listed[number - 1] = 1;
        if (levels > 0 && roma__unit_kind(word) == ROMA__UNIT_LIST)
            list_units(at, tag, roma__view_at(view, (uint64_t)(number - 1) << ROMA__UNIT_SHIFT),
                       ROMA__LIST_IN_UNIT, levels - 1);
    }
}

/* ---- units ----------------------------------------------------------------------------------- */

static bool bit_of(const uint64_t *bits, uint64_t unit)
{
    return (roma__load(&bits[unit / 64]) >> unit % 64 & 1) != 0;
}

/* The unit whose change a lock holder was killed in: its bits are derived again. */
static bool is_intended(const check *at, uint64_t unit)
{
    uint64_t intent = roma__load(&at->view->live->intent);
    return at->options->dead_may_hold && unit >= intent >> 32 &&
           unit < (intent >> 32) + (intent & 0xffffffff);
}

static void check_owner(check *at, uint64_t unit, uint64_t word)
{
    uint32_t owner = roma__unit_owner(word);
    uint64_t place = unit << ROMA__UNIT_SHIFT;
    if (owner != 0 && !may_hold(at, owner))
        tell(at, ROMA_STORE_FAULT_OWNER, place, 0, owner,
             "unit %llu is owned by lane %u, which is not in use", (unsigned long long)unit,
             owner - 1);
    else if (owner != 0 && !at->listed[unit])
        tell(at, ROMA_STORE_FAULT_OWNER, place, 1, 0, "unit %llu is not in the list of lane %u",
             (unsigned long long)unit, owner - 1);
    else if (owner == 0 && roma__block_count(word) == 0)
        tell(at, ROMA_STORE_FAULT_UNIT, place, 0, word, "unit %llu is taken by nobody",
             (unsigned long long)unit);
    if (owner == 0 && (word & ROMA__UNIT_PENDING) != 0)
        tell(at, ROMA_STORE_FAULT_LOST, place, 0, word,
             "orphan slab %llu waits for an owner's look", (unsigned long long)unit);
}

/* Returns where the next head is. */
static uint64_t check_unit(check *at, uint64_t unit)
{
    const roma__view *view = at->view;
    uint64_t word = roma__load(&view->units[unit].word), length = 1;
    bool is_free = roma__unit_kind(word) == ROMA__UNIT_FREE;
    if (is_free && word != 0)
        tell(at, ROMA_STORE_FAULT_UNIT, unit << ROMA__UNIT_SHIFT, 0, word,
             "free unit %llu has a word of more", (unsigned long long)unit);
    if (!is_free && !roma__unit_word_is_valid(view, unit, word)) {
        tell(at, ROMA_STORE_FAULT_UNIT, unit << ROMA__UNIT_SHIFT, 0, word,
             "unit %llu has an impossible word", (unsigned long long)unit);
        return unit + 1;
    }
    if (!is_free) {
        length = roma__unit_length(word);
        check_owner(at, unit, word);
        at->numbers[unit] = at->blocks + 1;
        at->blocks += roma__block_count(word);
    }
    for (uint64_t i = unit; i < unit + length; i++) {
        if (bit_of(view->free_bits, i) != is_free && !is_intended(at, i))
            tell(at, ROMA_STORE_FAULT_MAP, i << ROMA__UNIT_SHIFT, is_free, !is_free,
                 "the map says that unit %llu is %s", (unsigned long long)i,
                 is_free ? "in use" : "free");
        if (i > unit && roma__load(&view->units[i].word) != 0)
            tell(at, ROMA_STORE_FAULT_UNIT, i << ROMA__UNIT_SHIFT, 0,
                 roma__load(&view->units[i].word), "covered unit %llu has a word of its own",
                 (unsigned long long)i);
    }
    return unit + length;
}

static int check_units(check *at)
{
    for (uint32_t tag = 1; tag <= lanes_used(at->view); tag++)
        if (roma__load(&at->view->lanes[tag - 1].word) != 0)
            list_units(at, tag, at->view->lanes[tag - 1].list, ROMA__LANE_LIST, ROMA__LIST_LEVELS);
    for (uint64_t unit = at->view->regions.first_unit; unit < at->units;)
        unit = check_unit(at, unit);
    at->named = calloc(at->blocks + 1, sizeof *at->named);
    return at->named != NULL ? 0 : -ENOMEM;
}

/* ---- references ------------------------------------------------------------------------------ */

/* A slot or cell names that: count it. */
static void count_name(check *at, uint64_t place, roma_ref ref, roma_store_fault_kind kind)
{
    roma__block block;
    const char *what = kind == ROMA_STORE_FAULT_CELL ? "a session's reference" : "a slot";
    /* Only what was numbered, whoever has written since: the file may have grown, or say slab where
     * it said something without blocks. */
    uint64_t number = 0;
    if (roma__block_find(at->view, ref, &block) == 0 && block.unit < at->units)
        number = at->numbers[block.unit];
    if (number == 0 || number > at->blocks || block.index > at->blocks - number) {
        tell(at, kind, place, 0, ref, "%s names 0x%llx, where no block is", what,
             (unsigned long long)ref);
        return;
    }
    if (roma__first_owner(roma__load(block.first)) == 0)
        tell(at, kind, place, 0, ref, "%s names 0x%llx, which is free", what,
             (unsigned long long)ref);
    at->named[number - 1 + block.index]++;
}

static void count_slots(check *at, const uint64_t *slots, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        roma_ref ref = roma__load(&slots[i]);
        if (ref != 0)
            count_name(at, offset_of(at, &slots[i]), ref, ROMA_STORE_FAULT_SLOT);
    }
}

static void count_cells(check *at, const uint64_t *cells, uint64_t count, bool is_used)
{
    for (uint64_t i = 0; i < count; i++) {
        uint64_t cell = roma__load(&cells[i]);
        if (cell == 0)
            continue;
        uint64_t place = offset_of(at, &cells[i]);
        if (!is_used || (cell & ROMA__CELL_COUNT_MASK) == 0)
            tell(at, ROMA_STORE_FAULT_CELL, place, 0, cell, "a reference of nobody");
        count_name(at, place, (cell >> ROMA__CELL_REF_SHIFT) * 16, ROMA_STORE_FAULT_CELL);
    }
}

static void count_inner(check *at, const roma__block *block)
{
    uint64_t second = roma__load(block->second);
    roma__slots slots = roma__block_slots(at->view, block, second);
    if (roma__second_map(second) != 0 && slots.count == 0)
        tell(at, ROMA_STORE_FAULT_BLOCK, block->ref, 0, roma__second_map(second),
             "the map of the slots of block 0x%llx is not possible",
             (unsigned long long)block->ref);
    const char *base = roma__view_at(at->view, block->ref);
    for (uint32_t i = 0; i < slots.count; i++)
        count_slots(
            at, (const uint64_t *)(const void *)(base + slots.offset + (uint64_t)i * slots.stride),
            1);
}

/* Call for each block of the walk. */
static void each_block(check *at, void (*visit)(check *at, const roma__block *block))
{
    for (uint64_t unit = at->view->regions.first_unit; unit < at->units; unit++) {
        if (at->numbers[unit] == 0)
            continue;
        uint64_t word = roma__load(&at->view->units[unit].word);
        uint32_t count = 0; /* as many as were numbered, whoever has written since */
        if (roma__unit_word_is_valid(at->view, unit, word))
            count = (uint32_t)roma__min(roma__block_count(word),
                                        at->blocks + 1 - at->numbers[unit]);
        for (uint32_t i = 0; i < count; i++) {
            roma__block block;
            roma__block_of_slab(at->view, unit, word, i, &block);
            visit(at, &block);
        }
    }
}

static void count_if_used(check *at, const roma__block *block)
{
    if (roma__first_owner(roma__load(block->first)) != 0)
        count_inner(at, block);
}

static void count_names(check *at)
{
    const roma__view *view = at->view;
    count_slots(at, view->roots, ROMA__ROOTS_COUNT);
    count_slots(at, view->names, ROMA__NAMES_COUNT);
    for (uint32_t i = 0; i < lanes_used(view); i++)
        count_cells(at, view->lanes[i].cells, ROMA__LANE_CELLS,
                    roma__load(&view->lanes[i].word) != 0);
    for (uint64_t unit = view->regions.first_unit; unit < at->units; unit++)
        if (at->numbers[unit] != 0 &&
            roma__unit_kind(roma__load(&view->units[unit].word)) == ROMA__UNIT_CELLS)
            count_cells(at, roma__view_at(view, unit << ROMA__UNIT_SHIFT), ROMA__CELLS_IN_UNIT,
                        true);
    each_block(at, count_if_used);
}

/* ---- blocks ---------------------------------------------------------------------------------- */

static void check_local(check *at, const roma__block *block, uint64_t first)
{
    uint32_t owner = roma__unit_owner(block->word);
    if (roma__first_local(first) != 0 && (owner == 0 || owner != roma__first_owner(first)))
        tell(at, ROMA_STORE_FAULT_BLOCK, block->ref, owner, roma__first_owner(first),
             "block 0x%llx is held by a lane that does not own it", (unsigned long long)block->ref);
}

static void check_block(check *at, const roma__block *block)
{
    uint64_t first = roma__load(block->first), second = roma__load(block->second);
    uint32_t named = at->named[at->numbers[block->unit] - 1 + block->index];
    unsigned long long ref = block->ref;
    if (roma__first_owner(first) == 0) {
        if (roma__first_local(first) != 0)
            tell(at, ROMA_STORE_FAULT_BLOCK, ref, 0, first, "free block 0x%llx has a count", ref);
        return; /* who names it was told */
    }
    if (roma__second_slack(second) > block->usable_bytes)
        tell(at, ROMA_STORE_FAULT_BLOCK, ref, block->usable_bytes, roma__second_slack(second),
             "block 0x%llx has an impossible length", ref);
    if (roma__second_shared(second) != named)
        tell(at, ROMA_STORE_FAULT_COUNT, ref, named, roma__second_shared(second),
             "block 0x%llx is named %u times and says %u", ref, named, roma__second_shared(second));
    if (roma__second_shared(second) != 0 && (second & ROMA__SECOND_IS_SHARED) == 0)
        tell(at, ROMA_STORE_FAULT_BLOCK, ref, 1, 0, "block 0x%llx is shared and says it is not",
             ref);
    check_local(at, block, first);
    bool is_told = (roma__load(block->remote) & block->remote_bit) != 0 &&
                   (block->word & ROMA__UNIT_PENDING) != 0;
    bool is_dying = at->options->dead_may_hold && may_hold(at, roma__unit_owner(block->word));
    if (named == 0 && roma__first_local(first) == 0 && !is_told && !is_dying)
        tell(at, ROMA_STORE_FAULT_LOST, ref, 0, 0, "nobody names block 0x%llx", ref);
}

/* A fault of the directory. */
static int tell_on(void *context, const roma_store_fault *fault)
{
    check *at = context;
    tell(at, fault->kind, fault->offset, 0, 0, "%s", fault->text);
    return at->stopped;
}

int64_t roma__view_check(const roma__view *view, const roma__check_options *options)
{
    check at = {.view = view, .options = options};
    int64_t code = 0;
    at.units = roma__view_units(view);
    at.numbers = calloc(at.units + 1, sizeof *at.numbers);
    at.listed = calloc(at.units + 1, sizeof *at.listed);
    if (at.numbers == NULL || at.listed == NULL)
        code = -ENOMEM;
    if (code == 0) {
        check_sessions(&at);
        check_stripes(&at);
        code = check_units(&at);
    }
    if (code == 0) {
        count_names(&at);
        each_block(&at, check_block);
        int64_t names = at.stopped != 0 ? 0 : roma__directory_check(view, tell_on, &at);
        if (names == -ENOMEM)
            at.stopped = -ENOMEM;
        code = at.stopped != 0 ? at.stopped : (int64_t)at.faults;
    }
    free(at.numbers);
    free(at.listed);
    free(at.named);
    return code;
}

/* ---- what users call ------------------------------------------------------------------------- */

static bool session_lives(void *context, uint32_t session)
{
    const roma_store *store = context;
    if (!store->is_read_only && session == store->session)
        return true;
    return roma__byte_is_held(store->fd, ROMA__LOCK_SESSIONS + session) == 1;
}

int64_t roma_store_check(roma_store *store, roma_store_on_fault visit, void *context)
{
    if (store == NULL)
        return -EINVAL;
    if (roma__load(&store->is_stale))
        return -ESTALE;
    roma__check_options options = {.is_alive = session_lives,
                                   .context = store,
                                   .dead_may_hold = true,
                                   .visit = visit,
                                   .visit_context = context};
    return roma__view_check(&store->view, &options);
}

int64_t roma_store_check_file(const char *path, roma_store_on_fault visit, void *context,
                              roma_error *error)
{
    roma_store_options options = roma_store_options_default();
    roma_store *store;
    options.read_only = options.keep_crashed = true;
    int code = roma_store_open(path, &options, &store, error);
    if (code < 0)
        return code;
    int64_t faults = roma_store_check(store, visit, context);
    (void)roma_store_close(store);
    return faults;
}
