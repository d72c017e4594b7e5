/* request.c - a request is checked, and becomes a wish: what decides on its ladder.
 *
 * Mistakes are refused, not repaired: they would otherwise silently mean something else than was
 * written. What placements, nodes and weights go together is decided in policy/placement.c. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/structs.h"
#include "numa/machine.h"
#include "policy/placement.h"

#include <errno.h>

static int check(const roma_request *request, roma_error *error)
{
    unsigned kinds = roma_pages_count(request->pages);
    if (request->align != 0 &&
        (!roma__is_power_of_two(request->align) || request->align > ROMA__ALIGN_MAX))
        return roma__error_invalid(error, "request.align");
    int code = roma__placement_check(request->placement, &request->nodes, request->weights,
                                     request->strict, error, "request.");
    if (code < 0)
        return code;
    if ((unsigned)request->lifetime > ROMA_LIFETIME_LONG)
        return roma__error_invalid(error, "request.lifetime");
    if ((unsigned)request->access > ROMA_ACCESS_RARE)
        return roma__error_invalid(error, "request.access");
    if (kinds < ROMA_PAGE_KINDS_MAX && request->pages >> (8 * kinds) != 0)
        return roma__error_invalid(error, "request.pages");
    for (size_t i = 0; i < sizeof request->reserved / sizeof request->reserved[0]; i++)
        if (request->reserved[i])
            return roma__error_invalid(error, "request.reserved");
    if (request->bytes > ROMA__BYTES_MAX)
        return roma__error_subject(error, -EOVERFLOW, ROMA_WHY_INVALID, "request.bytes");
    return 0;
}

int roma__request_read(roma_request *own, const roma_request *given, roma_error *error)
{
    int code = roma__struct_read(own, sizeof *own, given, offsetof(roma_request, align),
                                 "request.size", error);
    return code < 0 ? code : check(own, error);
}

int roma__wish_of(const roma_manager *manager, const roma_request *request, roma__wish *wish,
                  roma_error *error)
{
    const roma_request *defaults = &manager->defaults;
    const roma_request *placed = request->placement != ROMA_ANYWHERE ? request : defaults;
    wish->nodes = placed->placement == ROMA_NODES ? placed->nodes : roma_nodes_none();
    wish->pages = request->pages != 0 ? request->pages : defaults->pages;
    wish->strict = request->strict || defaults->strict;
    wish->inherit = request->inherit || defaults->inherit;
    if (placed->placement == ROMA_LOCAL) {
        unsigned node;
        int code = roma__machine_local_node(&node, error);
        if (code == 0)
            roma_nodes_add(&wish->nodes, node);
        else if (wish->strict)
            return code;
        /* else: a kernel that does not say where we are still has memory; first touch is local */
    }
    return 0;
}

size_t roma__natural_align(const roma_manager *manager, size_t bytes)
{
    enum { LEAST = 16 };
    size_t divides = bytes & (~bytes + 1); /* the lowest set bit */
    return roma__min(roma__max(divides, LEAST), manager->page_bytes);
}
