/* oracle.c - see oracle.h. The table of blocks is sorted by the order of the walk. */
#include "oracle.h"

#include "scene.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- the account ----------------------------------------------------------------------------- */

struct seen {
    roma_ref ref;
    uint64_t bytes;
    uint32_t shared, named;
};

/* Ascending by ref; kept from one account to the next. */
static struct seen *seen;
static size_t seen_count, seen_room;

__attribute__((format(printf, 2, 3))) static void fault(oracle_account *account, const char *text,
                                                        ...)
{
    if (account->faults++ != 0)
        return;
    va_list arguments;
    va_start(arguments, text);
    (void)vsnprintf(account->first, sizeof account->first, text, arguments);
    va_end(arguments);
}

static void see(roma_ref ref, uint64_t bytes, uint32_t shared)
{
    if (seen_count == seen_room) {
        seen_room = seen_room != 0 ? 2 * seen_room : 1024;
        seen = realloc(seen, seen_room * sizeof *seen);
        if (seen == NULL)
            abort();
    }
    seen[seen_count++] = (struct seen){.ref = ref, .bytes = bytes, .shared = shared};
}

static struct seen *find(roma_ref ref)
{
    size_t low = 0, high = seen_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (seen[middle].ref < ref)
            low = middle + 1;
        else
            high = middle;
    }
    return low < seen_count && seen[low].ref == ref ? &seen[low] : NULL;
}

bool oracle_was_in_use(roma_ref ref)
{
    return find(ref) != NULL;
}

static void name(oracle_account *account, const char *what, uint64_t place, roma_ref ref)
{
    if (ref == 0)
        return;
    struct seen *block = find(ref);
    if (block == NULL)
        fault(account, "%s at %" PRIx64 " names %" PRIx64 ", which is no block in use", what, place,
              ref);
    else
        block->named++;
}

/* Most blocks are free, and that is all that is read of them. */
static bool is_free(const roma__view *view, uint64_t unit, uint64_t word, uint32_t index)
{
    if (roma__unit_kind(word) != ROMA__UNIT_SLAB)
        return false;
    const roma__geometry *geometry = &roma__geometries()[roma__unit_class(word)];
    const char *words = view->base + unit * ROMA__UNIT_BYTES + geometry->words_at;
    return roma__first_owner(*(const uint64_t *)(words + (size_t)index * 16)) == 0;
}

static void walk_blocks(const roma__view *view, uint64_t unit, uint64_t word,
                        oracle_account *account)
{
    uint32_t count = roma__block_count(word);
    for (uint32_t i = 0; i < count; i++) {
        if (is_free(view, unit, word, i))
            continue;
        roma__block block;
        roma__block_of_slab(view, unit, word, i, &block);
        uint64_t first = *block.first, second = *block.second;
        if (roma__first_owner(first) == 0)
            continue;
        if (roma__first_local(first) != 0)
            fault(account, "block %" PRIx64 " has a local count of nobody", block.ref);
        account->blocks++;
        account->bytes += block.usable_bytes;
        see(block.ref, block.usable_bytes, roma__second_shared(second));
    }
}

static void walk_unit(const roma__view *view, uint64_t unit, uint64_t word, uint32_t own_tag,
                      oracle_account *account)
{
    if (!roma__unit_word_is_valid(view, unit, word)) {
        fault(account, "unit %" PRIu64 " has the impossible word %" PRIx64, unit, word);
        return;
    }
    if (roma__unit_owner(word) != 0 && roma__unit_owner(word) != own_tag)
        fault(account, "unit %" PRIu64 " is owned by a lane that is gone (%" PRIx64 ")", unit,
              word);
    if (roma__unit_owner(word) == 0 && (word & ROMA__UNIT_PENDING) != 0)
        fault(account, "orphan unit %" PRIu64 " is PENDING", unit);
    switch (roma__unit_kind(word)) {
    case ROMA__UNIT_SLAB:
    case ROMA__UNIT_LARGE: walk_blocks(view, unit, word, account); break;
    default:
        if (roma__unit_owner(word) != own_tag || own_tag == 0)
            fault(account, "unit %" PRIu64 " of kind %u is nobody's", unit, roma__unit_kind(word));
    }
}

static bool bit(const uint64_t *bits, uint64_t unit)
{
    return bits[unit / 64] >> (unit % 64) & 1;
}

static void walk_units(const roma__view *view, uint32_t own_tag, oracle_account *account)
{
    uint64_t units = roma__view_units(view);
    for (uint64_t unit = view->regions.first_unit; unit < units;) {
        uint64_t word = view->units[unit].word;
        bool is_unused = roma__unit_kind(word) == ROMA__UNIT_FREE;
        uint64_t length = is_unused ? 1 : roma__unit_length(word);
        account->free_units += is_unused;
        if (!is_unused)
            walk_unit(view, unit, word, own_tag, account);
        if (length == 0 || length > units - unit)
            length = 1;
        for (uint64_t i = 0; i < length; i++)
            if (bit(view->free_bits, unit + i) != is_unused)
                fault(account, "the map of free units is wrong about unit %" PRIu64, unit + i);
        unit += length;
    }
}

/* Slots of blocks in use, which are found again by their refs. */
static void walk_slots(const roma__view *view, oracle_account *account)
{
    for (size_t i = 0; i < seen_count; i++) {
        roma__block block;
        if (roma__block_find(view, seen[i].ref, &block) < 0) {
            fault(account, "block %" PRIx64 " is not found by its ref", seen[i].ref);
            continue;
        }
        roma__slots slots = roma__block_slots(view, &block, *block.second);
        for (uint32_t j = 0; j < slots.count; j++) {
            roma_ref place = block.ref + slots.offset + (uint64_t)j * slots.stride;
            name(account, "a slot", place, *(const roma_ref *)roma__view_at(view, place));
        }
    }
}

static void walk_lanes(const roma__view *view, uint32_t own, oracle_account *account)
{
    for (uint32_t i = 0; i < view->regions.sessions; i++)
        if (i != own && view->sessions[i].state != 0)
            fault(account, "session %u is still there", i);
    for (uint32_t i = 0; i < view->regions.lanes; i++) {
        const roma__lane *lane = &view->lanes[i];
        if (lane->redo != 0)
            fault(account, "lane %u has a record left", i);
        if (lane->word == own + 1 && own != UINT32_MAX)
            continue;
        if (lane->word != 0)
            fault(account, "lane %u is still in use by %u", i, lane->word);
        for (unsigned j = 0; j < ROMA__LANE_CELLS; j++)
            if (lane->cells[j] != 0)
                fault(account, "lane %u has a cell left", i);
    }
    for (unsigned i = 0; i < ROMA__STRIPES_COUNT; i++)
        if (view->stripes[i].holder != 0)
            fault(account, "stripe %u is still held by %u", i, view->stripes[i].holder);
    if (view->live->intent != 0)
        fault(account, "the map of free units is still being changed");
}

static uint32_t tag_of(const roma__view *view, uint32_t own)
{
    for (uint32_t i = 0; own != UINT32_MAX && i < view->regions.lanes; i++)
        if (view->lanes[i].word == own + 1)
            return i + 1;
    return 0;
}

void oracle_take(const roma__view *view, uint32_t own, oracle_account *account)
{
    *account = (oracle_account){0};
    seen_count = 0;
    walk_units(view, tag_of(view, own), account);
    for (unsigned i = 0; i < ROMA__ROOTS_COUNT; i++)
        name(account, "root", i, view->roots[i]);
    for (unsigned i = 0; i < ROMA__NAMES_COUNT; i++)
        name(account, "name slot", i, view->names[i]);
    walk_slots(view, account);
    walk_lanes(view, own, account);
    for (size_t i = 0; i < seen_count; i++) {
        if (seen[i].named == 0) {
            account->lost_blocks++;
            account->lost_bytes += seen[i].bytes;
            fault(account, "block %" PRIx64 " is in use and lost", seen[i].ref);
        }
        if (seen[i].named != seen[i].shared)
            fault(account, "block %" PRIx64 " is named %u times and counts %u", seen[i].ref,
                  seen[i].named, seen[i].shared);
    }
}

/* ---- the signature --------------------------------------------------------------------------- */

enum { DEPTH_MAX = 16 };

struct walk {
    roma_store *store;
    bool torn;
    uint64_t names;
};

static uint64_t mix(uint64_t sum, uint64_t value)
{
    sum = (sum ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return sum ^ sum >> 32;
}

static uint64_t sign_block(struct walk *walk, roma_ref ref, unsigned depth)
{
    roma__block block;
    if (ref == 0)
        return 0;
    if (depth == DEPTH_MAX || roma__block_find(&walk->store->view, ref, &block) < 0) {
        walk->torn = true;
        return 1;
    }
    const scene_thing *thing = roma__view_at(&walk->store->view, ref);
    if (thing->check != scene_check_of(thing->mark))
        walk->torn = true;
    uint64_t sum = mix(2, thing->mark);
    roma__slots slots = roma__block_slots(&walk->store->view, &block, *block.second);
    for (uint32_t i = 0; i < slots.count && i < 2; i++)
        sum = mix(sum, sign_block(walk, thing->slots[i], depth + 1));
    return sum;
}

static int sign_name(void *context, const roma_store_entry *entry)
{
    struct walk *walk = context;
    uint64_t sum = mix(3, entry->type);
    for (const char *at = entry->name; *at != '\0'; at++)
        sum = mix(sum, (unsigned char)*at);
    walk->names += mix(sum, sign_block(walk, entry->ref, 0)); /* in no order */
    return 0;
}

uint64_t oracle_signature(roma_store *store, bool *torn)
{
    struct walk walk = {.store = store};
    uint64_t sum = 0;
    for (unsigned i = 0; i < ROMA__ROOTS_COUNT; i++)
        sum = mix(sum, sign_block(&walk, store->view.roots[i], 0));
    if (roma_store_each(store, sign_name, &walk) != 0)
        walk.torn = true;
    *torn = walk.torn;
    return mix(sum, walk.names);
}
