/* resize.c - the mapping core: an extent gets longer or shorter.
 *
 * Shorter: its end is unmapped. Longer, in place: fresh pages are mapped directly behind it, if
 * nothing is there. Longer, elsewhere: a range of the new length is reserved, fresh pages are
 * mapped into its end, and when those are really there the old pages are moved to its start, by
 * their page tables. So what can fail for want of memory fails before the old extent is touched,
 * and hugetlb pages, which the kernel moves but does not grow, need no special way.
 *
 * New pages are made as the old ones were: on the same nodes, as strictly, populated when those
 * were. An extent keeps the alignment that it was asked with. Its new pages carry no name.
 *
 * An extent does not remember the weights that it was laid by, so one that lies by weight becomes
 * only shorter. */
#include "provider/mapping.h"

#include "base/bits.h"
#include "base/error.h"

#include <errno.h>

static int shrink(roma_extent *extent, size_t bytes, roma_error *error)
{
    int code = roma__space_unmap((char *)extent->address + bytes, extent->bytes - bytes, error);
    if (code == 0)
        extent->bytes = bytes;
    return code;
}

static int grow_in_place(const roma__mapping_plan *plan, roma_extent *extent, size_t bytes,
                         roma_error *error)
{
    char *tail = (char *)extent->address + extent->bytes;
    size_t more = bytes - extent->bytes;
    if ((uintptr_t)tail > UINTPTR_MAX - more) {
        (void)roma__error(error, -ENOMEM, ROMA_WHY_ADDRESS_SPACE);
        error->need = more;
        return -ENOMEM;
    }
    int code = roma__space_map_behind(&plan->kind, tail, more, error);
    if (code < 0)
        return code;
    code = roma__mapping_furnish(plan, tail, more, NULL, error);
    if (code < 0) {
        (void)roma__space_unmap(tail, more, NULL);
        return code;
    }
    extent->bytes = bytes;
    return 0;
}

static int grow_elsewhere(const roma__mapping_plan *plan, roma_extent *extent, size_t bytes,
                          roma_error *error)
{
    char *target = NULL, *old = extent->address;
    size_t kept = extent->bytes;
    int code = roma__space_reserve(bytes, plan->kind.align, &target, error);
    if (code < 0)
        return code;
    code = roma__space_map_within(&plan->kind, target + kept, bytes - kept, error);
    if (code < 0) {
        (void)roma__space_unmap(target, kept, NULL);
        return code;
    }
    code = roma__mapping_furnish(plan, target + kept, bytes - kept, NULL, error);
    if (code < 0) {
        (void)roma__space_unmap(target, bytes, NULL);
        return code;
    }
    code = roma__space_move(&plan->kind, old, kept, target, kept, error);
    if (code < 0) {
        (void)roma__space_unmap(target + kept, bytes - kept, NULL);
        return code;
    }
    extent->address = target;
    extent->bytes = bytes;
    return 0;
}

/* Worth another try elsewhere: only what was in the way. Too little memory is so anywhere. */
static bool was_occupied(const roma_error *error)
{
    return error->why == ROMA_WHY_ADDRESS_SPACE;
}

int roma__mapping_resize(roma_extent *extent, size_t bytes, bool may_move, roma_error *error)
{
    size_t rounded;
    if (roma__mapping_is_gone(extent))
        return roma__error_subject(error, -ESTALE, ROMA_WHY_UNSUPPORTED, "an extent of the parent");
    if (roma__align_up_overflows(bytes, extent->page_bytes, &rounded) || rounded > PTRDIFF_MAX) {
        (void)roma__error(error, -EOVERFLOW, ROMA_WHY_ADDRESS_SPACE);
        error->need = bytes;
        return -EOVERFLOW;
    }
    if (rounded <= extent->bytes)
        return rounded == extent->bytes ? 0 : shrink(extent, rounded, error);
    if (extent->spread == ROMA_SPREAD_WEIGHTED)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "growing an extent that lies by weight");
    roma__mapping_plan plan = roma__mapping_plan_of(extent);
    int code = roma__mapping_complete(&plan, error);
    if (code == 0)
        code = roma__mapping_ready(&plan, rounded - extent->bytes, error);
    if (code == 0)
        code = grow_in_place(&plan, extent, rounded, error);
    if (code < 0 && may_move && was_occupied(error))
        code = grow_elsewhere(&plan, extent, rounded, error);
    return code;
}
