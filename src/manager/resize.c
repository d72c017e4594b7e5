/* resize.c - another length for a block, in the cheapest way that is right:
 *
 *   in place   the cell is large enough, or its extent grows or shrinks where it is
 *   moved      an extent of its own: its page tables move, no byte is copied
 *   copied     a new block, then the caller's reference of the old one is given up
 *
 * Others who hold references keep the old block as it is, so with them it is always copied. A weak
 * block may get a holder at any moment, through a stale handle: it may grow in place, which no
 * holder notices, but it is copied where bytes would vanish or the address change. Under a memory
 * tool nothing moves, so that accesses through the old address are reported. */
#include "manager/manager.h"

#include "base/bits.h"
#include "manager/debug.h"
#include "manager/tools.h"

#include <errno.h>
#include <string.h>

/* Contents of a new part, and the guard behind it. */
static void dress(const roma_manager *manager, const roma__cell *cell, size_t before, size_t bytes,
                  bool zero)
{
    char *address = cell->address;
    if (bytes > before && zero)
        memset(address + before, 0, bytes - before);
    else if (bytes > before && (manager->debug & ROMA_DEBUG_PATTERNS) != 0)
        roma__pattern_fill(address + before, bytes - before, ROMA__PATTERN_NEW);
    roma__guard_lay(cell, bytes);
}

static int in_place(roma_manager *manager, roma__cell *cell, size_t bytes, bool zero,
                    const roma__site *site)
{
    size_t before = roma__length_of(cell);
    size_t tail = roma__tail_bytes(manager, cell->heap);
    size_t whole = cell->usable;
    char *end = (char *)cell->address + before;
    (void)roma__guard_check(cell, site);
    roma__tools_open(end, whole - before);
    int code = roma__cell_resize(cell, bytes + tail);
    if (code < 0) {
        roma__tools_shut(end, whole - before);
        return code;
    }
    if (cell->usable > whole) { /* by granules where freed blocks may have been */
        char *more = (char *)cell->address + whole;
        roma__tools_open(more, cell->usable - whole);
        roma__notes_forget_range(&manager->notes, more, cell->usable - whole);
    }
    dress(manager, cell, before, bytes, zero);
    roma__tools_resize(cell->address, before, bytes, cell->usable, zero);
    return 0;
}

static int moved(roma_manager *manager, roma__cell *cell, size_t bytes, bool zero)
{
    size_t before = roma__length_of(cell);
    const void *from = cell->address;
    int code = roma__cell_move(cell, bytes + roma__tail_bytes(manager, cell->heap));
    if (code < 0)
        return code;
    if ((cell->flags & ROMA__CELL_NOTED) != 0)
        roma__note_move(&manager->notes, from, cell->address);
    dress(manager, cell, before, bytes, zero);
    return 0;
}

/* In the same heap, as it was placed; but one that plain requests of only shorter lengths share has
 * no such cells, and the new block is routed as a plain one of its length. */
static int copied(roma_manager *manager, roma__cell *cell, size_t bytes, bool zero,
                  const roma__site *site)
{
    size_t before = roma__length_of(cell);
    bool has_note = (cell->flags & ROMA__CELL_NOTED) != 0;
    roma__wanted wanted = {
        .bytes = bytes,
        .align = roma__natural_align(manager, bytes),
        .zero = zero && bytes > before,
        .flags = cell->flags & ROMA__CELL_WEAK,
        .label = has_note ? roma__note_label(&manager->notes, cell->address) : NULL,
    };
    roma__cell fresh;
    roma_error ignored;
    roma__heap *heap = cell->heap;
    int code = 0;
    if (!roma__heap_takes(heap, roma__max(bytes, 1)))
        code = roma__heap_plain(manager, bytes, 0, &heap, &wanted.populate_threads, &ignored);
    if (code == 0)
        code = roma__life_begin(manager, heap, &wanted, site, &fresh, NULL, &ignored);
    if (code != 0)
        return code;
    memcpy(fresh.address, cell->address, roma__min(before, bytes));
    code = roma__life_drop(cell, site);
    if (code < 0) { /* the reference was not the caller's after all */
        (void)roma__life_drop(&fresh, site);
        return code;
    }
    *cell = fresh;
    return 0;
}

/* Would a block of this length be as well off in its cell as in one of its own: aligned as every
 * block of that length is, and at least half of the cell in use? A growth may take what is
 * there. */
static bool suits(const roma_manager *manager, const roma__cell *cell, size_t bytes)
{
    size_t needed = bytes + roma__tail_bytes(manager, cell->heap);
    if (!roma__is_aligned((uintptr_t)cell->address, roma__natural_align(manager, bytes)))
        return false;
    return needed >= cell->bytes || needed >= roma__cell_shrunk(cell, needed) / 2;
}

int roma__resize(roma__cell *cell, size_t bytes, unsigned flags, const roma__site *site)
{
    roma_manager *manager = cell->owner;
    bool zero = (flags & ROMA_RESIZE_ZERO) != 0;
    bool must_stay = (flags & ROMA_RESIZE_IN_PLACE) != 0;
    bool is_shared = cell->count > 1;
    bool is_weak = (cell->flags & ROMA__CELL_WEAK) != 0;
    size_t before = roma__length_of(cell);
    int code = -ENOMEM;
    if ((cell->flags & ROMA__CELL_REGISTERED) != 0)
        return -EBUSY;
    if (bytes > ROMA__BYTES_MAX)
        return -EOVERFLOW;
    if (bytes == before && !is_shared)
        return 0;
    bool may_stay = !is_shared && (!is_weak || bytes > before);
    bool may_move = !must_stay && !is_shared && !is_weak && bytes > before && !manager->under_tool;
    bool again = manager->limit_bytes > 0 && bytes > before;
    do { /* twice at most: a limit may be met once what no block needs was given back */
        if (may_stay && (must_stay || suits(manager, cell, bytes)))
            code = in_place(manager, cell, bytes, zero, site);
        if (code < 0 && may_move)
            code = moved(manager, cell, bytes, zero);
    } while (code == -ENOMEM && again && (again = false, roma__manager_trim(manager, 0) > 0));
    if (code < 0 && !must_stay)
        code = copied(manager, cell, bytes, zero, site);
    if (code == -ENOMEM && bytes < before && may_stay) /* want of memory fails no shrink */
        code = in_place(manager, cell, bytes, zero, site);
    if (code < 0 && must_stay) /* a copy that fails is counted where it begins */
        atomic_fetch_add_explicit(&manager->failures, 1, memory_order_relaxed);
    roma__limit_settle(manager);
    return code;
}

void *roma_resize(void *block, size_t bytes)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    int code = roma__life_at(block, &cell);
    if (code < 0) {
        code = roma__stored_resize(&block, bytes, 0, code);
    } else {
        code = roma__resize(&cell, bytes, 0, &site);
        block = cell.address;
    }
    if (code == 0)
        return block;
    errno = -code;
    return NULL;
}
