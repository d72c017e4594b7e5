/* view.c - see view.h. Every value of the file is read once, into a local, and judged there. */
#include "store/view.h"

#include "base/bits.h"
#include "heap/atomics.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/stat.h>

void roma__view_fill(roma__view *view, char *base, uint64_t bytes, int fd,
                     const roma__regions *regions)
{
    view->base = base;
    view->bytes = bytes;
    view->fd = fd;
    view->backed_units = fd < 0 ? bytes / ROMA__UNIT_BYTES : 0;
    view->regions = *regions;
    view->live = (roma__live *)(void *)(base + ROMA__AT_LIVE);
    view->roots = (uint64_t *)(void *)(base + ROMA__AT_ROOTS);
    view->names = (uint64_t *)(void *)(base + ROMA__AT_NAMES);
    view->maps = (uint64_t *)(void *)(base + ROMA__AT_MAPS);
    view->stripes = (roma__stripe *)(void *)(base + ROMA__AT_STRIPES);
    view->sessions = (roma__session *)(void *)(base + ROMA__AT_SESSIONS);
    view->lanes = (roma__lane *)(void *)(base + regions->lanes_at);
    char *maps = base + regions->unit_maps_at;
    view->free_bits = (uint64_t *)(void *)maps;
    view->orphan_bits = (uint64_t *)(void *)(maps + regions->unit_map_bytes);
    view->punched_bits = (uint64_t *)(void *)(maps + 2 * regions->unit_map_bytes);
    view->units = (roma__unit *)(void *)(base + regions->unit_table_at);
}

/* The file says that it has more than was seen: ask the kernel. */
uint64_t roma__view_look_at_length(const roma__view *given)
{
    roma__view *view = (roma__view *)(uintptr_t)given; /* a cache in what is const to readers */
    struct stat status;
    uint64_t most = roma__min(view->regions.max_units, view->bytes / ROMA__UNIT_BYTES);
    if (view->fd < 0 || roma__sys->fstat(view->fd, &status) < 0)
        return roma__load(&view->backed_units);
    uint64_t units = roma__min((uint64_t)status.st_size / ROMA__UNIT_BYTES, most);
    roma__store(&view->backed_units, units);
    return units;
}

/* ---- units ----------------------------------------------------------------------------------- */

bool roma__unit_word_is_valid(const roma__view *view, uint64_t unit, uint64_t word)
{
    uint64_t length = roma__unit_length(word), end = roma__view_units(view);
    if (unit < view->regions.first_unit || unit >= end || length == 0 || length > end - unit)
        return false;
    switch (roma__unit_kind(word)) {
    case ROMA__UNIT_SLAB:
        return roma__unit_class(word) < ROMA__CLASSES_COUNT &&
               length == roma__geometries()[roma__unit_class(word)].units;
    case ROMA__UNIT_CELLS:
    case ROMA__UNIT_LIST: return length == 1;
    case ROMA__UNIT_LARGE:
    case ROMA__UNIT_CLAIMED: return true;
    default: return false;
    }
}

uint64_t roma__unit_head(const roma__view *view, uint64_t unit, uint64_t *head)
{
    if (unit < view->regions.first_unit || unit >= roma__view_units(view))
        return 0;
    *head = unit;
    uint64_t word = roma__load_acquire(&view->units[unit].word);
    if (roma__unit_kind(word) != ROMA__UNIT_FREE)
        return roma__unit_word_is_valid(view, unit, word) ? word : 0;
    uint32_t back = roma__load(&view->units[unit].back);
    if (back == 0 || back > unit)
        return 0;
    *head = unit - back;
    if (*head < view->regions.first_unit)
        return 0;
    word = roma__load_acquire(&view->units[*head].word);
    return roma__unit_word_is_valid(view, *head, word) && roma__unit_length(word) > back ? word : 0;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

uint32_t roma__block_count(uint64_t word)
{
    switch (roma__unit_kind(word)) {
    case ROMA__UNIT_SLAB:
        return roma__unit_class(word) < ROMA__CLASSES_COUNT
                   ? roma__geometries()[roma__unit_class(word)].count
                   : 0;
    case ROMA__UNIT_LARGE: return 1;
    default: return 0;
    }
}

int roma__block_find(const roma__view *view, roma_ref ref, roma__block *block)
{
    uint64_t unit;
    uint64_t word = roma__unit_head(view, ref >> ROMA__UNIT_SHIFT, &unit);
    if (word == 0)
        return -EINVAL;
    uint64_t offset = ref - (unit << ROMA__UNIT_SHIFT);
    uint32_t index = 0;
    if (roma__unit_kind(word) == ROMA__UNIT_SLAB) {
        const roma__geometry *geometry = &roma__geometries()[roma__unit_class(word)];
        uint64_t quotient = offset * geometry->reciprocal >> 40;
        if (quotient >= geometry->count || quotient * geometry->bytes != offset)
            return -EINVAL;
        index = (uint32_t)quotient;
    } else if (roma__unit_kind(word) != ROMA__UNIT_LARGE || offset != 0) {
        return -EINVAL;
    }
    roma__block_of_slab(view, unit, word, index, block);
    return 0;
}

/* ---- slots of blocks ------------------------------------------------------------------------- */

roma__slots roma__block_slots(const roma__view *view, const roma__block *block, uint64_t second)
{
    static const roma__slots none = {0, 0, 0};
    unsigned number = roma__second_map(second);
    if (number == 0)
        return none;
    roma__map map = roma__load_acquire(&view->maps[number]);
    roma__slots slots = {.offset = (uint32_t)(map & 0xfffff) * 8,
                         .stride = (uint32_t)(map >> 20 & 0xfffff) * 8,
                         .count = (uint32_t)(map >> 40)};
    /* offset + (count - 1) * stride + 8 <= usable: all below 2^48, nothing overflows. */
    if (slots.count == 0 || slots.stride == 0 ||
        slots.offset + (uint64_t)(slots.count - 1) * slots.stride + 8 > block->usable_bytes)
        return none;
    return slots;
}
