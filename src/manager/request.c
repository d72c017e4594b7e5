/* request.c - a request is read and checked.
 *
 * Mistakes are refused, not repaired: they would otherwise silently mean something else than was
 * written. What placements, nodes and weights go together is decided in policy/placement.c. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/structs.h"
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

/* What a block is to be known by while it lives, a manager without counts has no place for. */
int roma__request_check_counts(const roma_manager *manager, const roma_request *request,
                               roma_error *error)
{
    if (manager->words != ROMA__WORDS_NONE || (!request->weak && !request->registered))
        return 0;
    return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                               request->weak ? "request.weak" : "request.registered");
}

size_t roma__natural_align(const roma_manager *manager, size_t bytes)
{
    enum { LEAST = 16 };
    size_t divides = bytes & (~bytes + 1); /* the lowest set bit */
    return roma__min(roma__max(divides, LEAST), manager->page_bytes);
}
