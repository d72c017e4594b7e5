/* handle.c - blocks by handle: address and generation, checked.
 *
 * A handle names one life. Whatever its address holds by now, another block, the inside of a larger
 * one, or nothing that roma knows, the answer for it is the same: -ESTALE. A manager without counts
 * cannot tell lives apart, so it gives no handles, and no handle is for a block of it. */
#include "manager/manager.h"

#include <errno.h>

static bool tells_lives_apart(const roma__cell *cell)
{
    const roma_manager *manager = cell->owner;
    return manager->words != ROMA__WORDS_NONE;
}

/* The life that a handle names. Returns 0, -EINVAL (cleared), -ESTALE. */
static int find(roma_block block, roma__cell *cell)
{
    if (block.address == NULL)
        return -EINVAL;
    if (roma__cell_find(block.address, cell) < 0 || cell->count == 0 ||
        cell->generation != block.generation || !tells_lives_apart(cell))
        return -ESTALE;
    return 0;
}

static roma_block handle_of(const roma__cell *cell)
{
    roma_block block = {cell->address, cell->generation};
    return block;
}

roma_block roma_block_of(const void *block)
{
    roma__cell cell;
    roma_block handle = {NULL, 0};
    int code = roma__life_at(block, &cell);
    if (code < 0)
        code = roma__stored_handle(block, &handle, code);
    else if (tells_lives_apart(&cell))
        handle = handle_of(&cell);
    else
        code = -EOPNOTSUPP;
    if (code < 0)
        errno = -code;
    return handle;
}

void *roma_block_get(roma_block block)
{
    roma__cell cell;
    int code = find(block, &cell);
    if (code == 0 || roma__stored_is_live(block))
        return block.address;
    errno = -code;
    return NULL;
}

bool roma_block_is_live(roma_block block)
{
    roma__cell cell;
    return find(block, &cell) == 0 || roma__stored_is_live(block);
}

int roma_block_retain(roma_block block)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    int code = find(block, &cell);
    if (code < 0 && roma__stored_is_live(block))
        return roma__stored_retain(block.address, code);
    return code < 0 ? code : roma__life_retain(&cell, &site);
}

int roma_block_try_retain(roma_block block)
{
    const roma__site site = ROMA__SITE_HERE();
    roma__cell cell;
    int code = find(block, &cell);
    if (code < 0)
        return roma__stored_is_live(block) ? -EINVAL : code; /* stores have no weak blocks */
    /* Flags are fixed for a life: where the life is still the handle's after they were read, they
     * are that life's. No reference is taken of a block that is not weak: its owner may be about to
     * resize it in place. */
    unsigned flags = cell.flags;
    code = find(block, &cell);
    if (code < 0)
        return code;
    return (flags & ROMA__CELL_WEAK) == 0 ? -EINVAL : roma__life_retain(&cell, &site);
}

int roma_block_release(roma_block *block)
{
    const roma__site site = ROMA__SITE_HERE();
    if (block == NULL)
        return -EINVAL;
    if (block->address == NULL)
        return 0;
    roma__cell cell;
    int code = find(*block, &cell);
    if (code == 0)
        code = roma__life_drop(&cell, &site);
    else if (roma__stored_is_live(*block))
        code = roma__stored_release(block->address, code);
    if (code >= 0) {
        block->address = NULL;
        block->generation = 0;
    }
    return code;
}

static int resize_stored(roma_block *block, size_t bytes, unsigned flags, int code)
{
    void *address = block->address;
    code = roma__stored_resize(&address, bytes, flags, code);
    return code < 0 ? code : roma__stored_handle(address, block, code);
}

int roma_block_resize(roma_block *block, size_t bytes, unsigned flags)
{
    const roma__site site = ROMA__SITE_HERE();
    if (block == NULL || (flags & ~(unsigned)(ROMA_RESIZE_ZERO | ROMA_RESIZE_IN_PLACE)) != 0)
        return -EINVAL;
    roma__cell cell;
    int code = find(*block, &cell);
    if (code < 0 && roma__stored_is_live(*block))
        return resize_stored(block, bytes, flags, code);
    if (code == 0)
        code = roma__resize(&cell, bytes, flags, &site);
    if (code == 0)
        *block = handle_of(&cell);
    return code;
}

roma_segment roma_block_segment(roma_block block)
{
    roma__cell cell;
    int code = find(block, &cell);
    if (code == 0)
        return roma_segment_of(block.address, roma__length_of(&cell));
    if (roma__stored_is_live(block))
        return roma_segment_of(block.address, roma__stored_bytes(block.address, code));
    errno = -code;
    return roma_segment_of(NULL, 0);
}
