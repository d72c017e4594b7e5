/* life.c - a block's life: from a cell of a heap to a block of the program, and back.
 *
 *   begin   note reserved, cell taken, former pattern checked, filled, guards laid, tools told
 *   end     dropped to 0, guards checked, filled, note closed, tools told, cell recycled
 *
 * Without debug options and tools all of the middle falls away, and an end is one step: the cell
 * is released, by this thread or by the owner of its slab, who may be another. Most such lives
 * never come here at all (fast.h). Where there is a middle, the cell is this thread's alone between
 * the last drop and the recycling, so nothing here needs a lock but the notes' own.
 *
 * A cell holds the block's bytes and then its tail: 16 guard bytes, or a redzone for a memory tool.
 * Which of them is fixed for all blocks of a heap, so the length of a block is what its cell was
 * asked for less the tail. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "heap/classes.h"
#include "manager/debug.h"
#include "manager/tools.h"

#include <errno.h>
#include <string.h>

/* ---- tails ----------------------------------------------------------------------------------- */

size_t roma__tail_bytes(const roma_manager *manager, const roma__heap *heap)
{
    if ((manager->debug & ROMA_DEBUG_GUARDS) != 0)
        return ROMA__GUARD_BYTES;
    if (!manager->under_tool)
        return 0;
    /* Behind a block of whole hugetlb pages a redzone would cost another page of a scarce pool. */
    roma_page_kind first = roma__heap_ladder(heap)->steps[0].pages;
    return roma_page_class(first) == ROMA_PAGE_CLASS_HUGETLB ? 0 : ROMA__REDZONE_BYTES;
}

size_t roma__length_of(const roma__cell *cell)
{
    return cell->bytes - roma__tail_bytes(cell->owner, cell->heap);
}

size_t roma__usable_of(const roma__cell *cell)
{
    return cell->usable - roma__tail_bytes(cell->owner, cell->heap);
}

int roma__life_at(const void *address, roma__cell *cell)
{
    cell->slab = NULL;
    cell->owner = NULL;
    if (address == NULL)
        return -EINVAL;
    int code = roma__cell_find(address, cell);
    if (code == 0)
        return cell->count > 0 ? 0 : -ESTALE;
    /* Where cells stood once a block may have started, unless no block ever starts at such an
     * address, or a live one or a store reaches over it by now. */
    enum { LEAST_ALIGN = 16 };
    roma__stored stored;
    bool was_one = code == -ESTALE && roma__is_aligned((uintptr_t)address, LEAST_ALIGN) &&
                   !roma__stored_at(address, &stored) && roma__cell_around(address, cell) < 0;
    return was_one ? -ESTALE : -EINVAL;
}

/* ---- begin ----------------------------------------------------------------------------------- */

static bool keeps_all_notes(const roma_manager *manager)
{
    return (manager->debug & (ROMA_DEBUG_SITES | ROMA_DEBUG_PATTERNS)) != 0;
}

/* A cell, and when the limit refuses it, a second try after what no block needs was given back. */
static int take(roma_manager *manager, roma__heap *heap, const roma__take *asked, roma__cell *cell,
                roma_grant *grant, roma_error *error)
{
    int code = roma__heap_take(heap, asked, cell, grant, error);
    if (code < 0 && error->why == ROMA_WHY_MANAGER_LIMIT && roma__manager_trim(manager, 0) > 0)
        code = roma__heap_take(heap, asked, cell, grant, error);
    if (code < 0 && error->why == ROMA_WHY_MANAGER_LIMIT) {
        roma__limit_explain(manager, error);
        if (grant != NULL)
            grant->error = *error;
    }
    return code;
}

/* Does the note of a freed block speak of this very cell, untouched by another life since? */
static bool is_same_cell(const roma__note *former, const roma__cell *cell)
{
    return former->address == cell->address && former->slab == cell->slab &&
           former->usable == cell->usable && former->generation == cell->generation;
}

static void check_former(roma_manager *manager, const roma__note *former, const roma__cell *cell)
{
    if (!is_same_cell(former, cell) || former->filled_bytes == 0)
        return;
    size_t index = roma__pattern_check(cell->address, former->filled_bytes, ROMA__PATTERN_FREED);
    if (index < former->filled_bytes)
        roma__misuse_written(manager, former, index);
}

void roma__guard_lay(const roma__cell *cell, size_t bytes)
{
    const roma_manager *manager = cell->owner;
    if ((manager->debug & ROMA_DEBUG_GUARDS) != 0)
        roma__pattern_fill((char *)cell->address + bytes, ROMA__GUARD_BYTES, ROMA__PATTERN_GUARD);
}

/* From a cell to a block: contents, guard, note, tools. */
static void prepare(roma_manager *manager, const roma__cell *cell, const roma__wanted *wanted,
                    roma__note *note, bool is_zero)
{
    roma__note former;
    roma__tools_open(cell->address, cell->usable);
    if (note != NULL) {
        roma__note_put(&manager->notes, note, cell, &former);
        check_former(manager, &former, cell);
    }
    if (wanted->zero && !is_zero)
        memset(cell->address, 0, wanted->bytes);
    else if (!wanted->zero && (manager->debug & ROMA_DEBUG_PATTERNS) != 0)
        roma__pattern_fill(cell->address, wanted->bytes, ROMA__PATTERN_NEW);
    roma__guard_lay(cell, wanted->bytes);
    roma__tools_begin(cell->address, wanted->bytes, cell->usable, wanted->zero);
}

/* The same as take where somebody looks at the bytes: the heap is not to zero a cell before its
 * former contents were checked, and may not touch one that is shut. */
static int take_unzeroed(roma_manager *manager, roma__heap *heap, roma__take *asked,
                         roma__cell *cell, roma_grant *grant, bool *is_zero, roma_error *error)
{
    roma_grant scratch;
    bool zero = asked->zero;
    if (grant == NULL && zero)
        grant = &scratch;
    asked->zero = false;
    int code = take(manager, heap, asked, cell, grant, error);
    if (code == 0 && zero) {
        *is_zero = grant->zeroed;
        grant->zeroed = true;
    }
    return code;
}

static int no_note(roma_grant *grant, roma_error *error)
{
    int code = roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    if (grant != NULL) {
        memset(grant, 0, sizeof *grant);
        grant->code = code;
        grant->error = *error;
    }
    return code;
}

static int begin(roma_manager *manager, roma__heap *heap, const roma__wanted *wanted,
                 const roma__site *site, roma__cell *cell, roma_grant *grant, roma_error *error)
{
    roma__take asked = {
        .bytes = wanted->bytes + roma__tail_bytes(manager, heap),
        .align = wanted->align,
        .zero = wanted->zero,
        .flags = wanted->flags,
        .populate_threads = wanted->populate_threads,
    };
    bool has_label = wanted->label != NULL && wanted->label[0] != '\0' &&
                     manager->words != ROMA__WORDS_NONE; /* no flag would say that it has one */
    if (!has_label && !manager->looks_at_bytes)
        return take(manager, heap, &asked, cell, grant, error);

    roma__note *note = NULL;
    if (has_label || keeps_all_notes(manager)) {
        note = roma__note_new(&manager->notes);
        if (note == NULL)
            return no_note(grant, error);
        roma__text_copy(note->label, sizeof note->label, wanted->label);
        note->allocated = *site;
        asked.flags |= ROMA__CELL_NOTED;
    }
    bool is_zero = false;
    int code = take_unzeroed(manager, heap, &asked, cell, grant, &is_zero, error);
    if (code == 0)
        prepare(manager, cell, wanted, note, is_zero);
    else if (note != NULL)
        roma__note_free(&manager->notes, note);
    return code;
}

int roma__life_begin(roma_manager *manager, roma__heap *heap, const roma__wanted *wanted,
                     const roma__site *site, roma__cell *cell, roma_grant *grant, roma_error *error)
{
    int code = begin(manager, heap, wanted, site, cell, grant, error);
    if (code < 0) {
        atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
    } else if (grant != NULL) {
        grant->bytes = roma__usable_of(cell);
    }
    roma__limit_settle(manager);
    if (manager->background)
        roma__background_ensure();
    return code;
}

/* ---- in between ------------------------------------------------------------------------------ */

static bool keeps_sites(const roma__cell *cell)
{
    const roma_manager *manager = cell->owner;
    return (manager->debug & ROMA_DEBUG_SITES) != 0 && (cell->flags & ROMA__CELL_NOTED) != 0;
}

int roma__life_retain(roma__cell *cell, const roma__site *site)
{
    roma_manager *manager = cell->owner;
    if (manager->words == ROMA__WORDS_NONE) /* though large cells could count */
        return -EOPNOTSUPP;
    int count = roma__cell_retain(cell, cell->generation);
    if (count > 0 && keeps_sites(cell))
        roma__note_retained(&manager->notes, cell->address, site);
    return count;
}

/* ---- end ------------------------------------------------------------------------------------- */

bool roma__guard_check(const roma__cell *cell, const roma__site *site)
{
    const roma_manager *manager = cell->owner;
    if ((manager->debug & ROMA_DEBUG_GUARDS) == 0)
        return true;
    const char *guard = (const char *)cell->address + roma__length_of(cell);
    roma__tools_open(guard, ROMA__GUARD_BYTES);
    size_t index = roma__pattern_check(guard, ROMA__GUARD_BYTES, ROMA__PATTERN_GUARD);
    roma__tools_shut(guard, ROMA__GUARD_BYTES);
    if (index < ROMA__GUARD_BYTES)
        roma__misuse_overrun(cell, index, site);
    return index == ROMA__GUARD_BYTES;
}

/* Cells of no class are given back or cut anew when they end: no pattern would stay there. */
static size_t fill_freed(const roma_manager *manager, const roma__cell *cell)
{
    if ((manager->debug & ROMA_DEBUG_PATTERNS) == 0 || cell->usable > ROMA__CLASS_MAX_BYTES)
        return 0;
    roma__tools_open(cell->address, cell->bytes);
    roma__pattern_fill(cell->address, cell->bytes, ROMA__PATTERN_FREED);
    return cell->bytes;
}

static void end(roma__cell *cell, const roma__site *site)
{
    roma_manager *manager = cell->owner;
    if (manager->looks_at_bytes) {
        (void)roma__guard_check(cell, site);
        size_t filled_bytes = fill_freed(manager, cell);
        if (keeps_all_notes(manager))
            roma__note_end(&manager->notes, cell, site, filled_bytes);
        roma__tools_end(cell->address, cell->usable);
    }
    if ((cell->flags & ROMA__CELL_NOTED) != 0 && !keeps_all_notes(manager))
        roma__note_forget(&manager->notes, cell->address);
    roma__cell_recycle(cell);
}

int roma__life_drop(roma__cell *cell, const roma__site *site)
{
    roma_manager *manager = cell->owner;
    /* Flags are those of the life that was found, or the generation has moved on. */
    if (!manager->looks_at_bytes && (cell->flags & ROMA__CELL_NOTED) == 0)
        return roma__cell_release(cell, cell->generation);
    /* Noted before the drop: afterwards the block may be another's already. */
    if (cell->count > 1 && keeps_sites(cell))
        roma__note_released(&manager->notes, cell->address, site);
    int left = roma__cell_drop(cell, cell->generation);
    if (left == 0)
        end(cell, site);
    return left;
}
