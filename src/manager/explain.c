/* explain.c - what a request would get here, without doing it. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "heap/pagemap.h"

#include <errno.h>
#include <string.h>

int roma_explain(roma_manager *manager, const roma_request *given, roma_grant *grant)
{
    roma_error error;
    roma_request request;
    roma__wish wish;
    roma__ladder ladder;
    if (grant == NULL)
        return -EINVAL;
    memset(grant, 0, sizeof *grant);
    int code = 0;
    if (manager == NULL || given == NULL)
        code = roma__error_subject(&error, -EINVAL, ROMA_WHY_INVALID,
                                   manager == NULL ? "manager" : "request");
    if (code == 0)
        code = roma__request_read(&request, given, &error);
    if (code == 0)
        code = roma__wish_of(manager, &request, &wish, &error);
    if (code == 0)
        code = roma__ladder_for(manager, &wish, &ladder, &error);
    if (code != 0) {
        grant->code = code;
        grant->error = error;
        return code;
    }
    /* What the block alone needs, as the heap would ask: whole granules. */
    roma_extent_request ask = roma_extent_request_default();
    ask.bytes = roma__align_up(roma__max(request.bytes, 1), ROMA__GRANULE_BYTES);
    ask.align = roma__max(request.align, ROMA__GRANULE_BYTES);
    ask.label = manager->name;
    ask.inherit = wish.inherit;
    ask.populate_threads = request.populate_threads != 0 ? request.populate_threads
                                                         : manager->defaults.populate_threads;
    roma__ladder_explain(&ladder, &ask, grant);
    return 0;
}
