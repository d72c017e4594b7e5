/* check.c - proving a manager: the invariants of its heaps, their figures against a count of all
 * blocks, guard bytes of live blocks and patterns of free ones. */
#include "manager/manager.h"

#include "base/text.h"
#include "manager/debug.h"
#include "manager/tools.h"

#include <errno.h>
#include <inttypes.h>

struct proof {
    roma_manager *manager;
    uint64_t faults, blocks, bytes, usable_bytes, noted, notes;
};

static void take_report(void *context, const char *sentence)
{
    struct proof *proof = context;
    roma__misuse_damage(proof->manager, sentence);
}

static int check_cell(void *context, const roma__cell *cell)
{
    struct proof *proof = context;
    proof->blocks++;
    proof->bytes += roma__length_of(cell);
    proof->usable_bytes += roma__usable_of(cell);
    proof->noted += (cell->flags & ROMA__CELL_NOTED) != 0;
    proof->faults += !roma__guard_check(cell, NULL);
    return 0;
}

/* The pattern of a freed block, unless its cell has been used again or cut anew since. */
static void check_pattern(struct proof *proof, const roma__note *note)
{
    roma__cell cell;
    if (note->filled_bytes == 0 || roma__cell_find(note->address, &cell) < 0 || cell.count > 0 ||
        cell.slab != note->slab || cell.usable != note->usable ||
        cell.generation != note->generation)
        return;
    roma__tools_open(cell.address, note->filled_bytes);
    size_t index = roma__pattern_check(cell.address, note->filled_bytes, ROMA__PATTERN_FREED);
    roma__tools_shut(cell.address, note->filled_bytes);
    if (index < note->filled_bytes) {
        proof->faults++;
        roma__misuse_written(proof->manager, note, index);
    }
}

static bool check_note(void *context, const roma__note *note)
{
    struct proof *proof = context;
    if (note->is_live)
        proof->notes++;
    else
        check_pattern(proof, note);
    return true;
}

static void check_sum(struct proof *proof, const char *what, uint64_t figure, uint64_t counted)
{
    if (figure == counted)
        return;
    char sentence[160];
    roma__text text = roma__text_in(sentence, sizeof sentence);
    roma__text_add(&text, "manager \"%s\" says %" PRIu64 " %s, but there are %" PRIu64,
                   proof->manager->name, figure, what, counted);
    proof->faults++;
    roma__misuse_damage(proof->manager, sentence);
}

static int take_fault(void *context, const roma_store_fault *fault)
{
    roma__misuse_damage(context, fault->text);
    return 0;
}

int64_t roma_manager_check(roma_manager *manager)
{
    if (manager == NULL)
        return -EINVAL;
    if (manager->store != NULL)
        return roma_store_check(manager->store, take_fault, manager);
    struct proof proof = {.manager = manager};
    ROMA__EACH_HEAP (manager, route) {
        proof.faults += roma__heap_check(route->heap, take_report, &proof);
    }
    roma__figures figures = roma__figures_of(manager);
    (void)roma__cells_each(manager, check_cell, &proof);
    roma__notes_filter(&manager->notes, check_note, &proof);
    check_sum(&proof, "live blocks", figures.allocations - figures.releases, proof.blocks);
    check_sum(&proof, "bytes in blocks", figures.bytes, proof.bytes);
    check_sum(&proof, "usable bytes", figures.usable_bytes, proof.usable_bytes);
    check_sum(&proof, "bytes held", manager->held_bytes, figures.held_bytes);
    check_sum(&proof, "notes about blocks", proof.notes, proof.noted);
    return (int64_t)proof.faults;
}
