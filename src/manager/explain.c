/* explain.c - what a request would get here, without doing it. */
#include "manager/manager.h"

#include "base/bits.h"
#include "base/error.h"
#include "heap/pagemap.h"

#include <errno.h>
#include <string.h>

static int explain(roma_manager *manager, const roma_request *given, roma_grant *grant, int *rule)
{
    roma_error error;
    roma_request request;
    roma__routing routing;
    roma__ladder ladder;
    roma__wisher wisher;
    bool is_held;
    memset(grant, 0, sizeof *grant);
    int code = 0;
    if (given == NULL)
        code = roma__error_invalid(&error, "request");
    if (code == 0)
        code = roma__request_read(&request, given, &error);
    if (code == 0)
        code = roma__request_check_counts(manager, &request, &error);
    if (code == 0) {
        const roma_policy *policy = roma__policy_hold(manager, &is_held);
        wisher = roma__wisher_of(manager);
        code = roma__wish_of(&wisher, policy, &request, &routing, &error);
        roma__policy_let_go(manager, is_held);
    }
    if (code == 0)
        code = roma__wish_ladder(&wisher, &routing.wish, &ladder, &error);
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
    ask.inherit = routing.wish.inherit;
    ask.populate_threads = routing.populate_threads;
    roma__ladder_explain(&ladder, &ask, grant);
    *rule = routing.rule;
    return 0;
}

/* A store has one step, and what it cannot do it says before it looks for room. */
static int explain_stored(roma_manager *manager, const roma_request *given, roma_grant *grant)
{
    roma_request request;
    memset(grant, 0, sizeof *grant);
    int code = given == NULL ? roma__error_invalid(&grant->error, "request")
                             : roma__request_read(&request, given, &grant->error);
    if (code == 0)
        code = roma__stored_check(&request, &grant->error);
    grant->code = code;
    if (code == 0)
        roma__stored_step(manager->store, grant);
    return code;
}

static int refuse(roma_grant *grant, const char *subject)
{
    memset(grant, 0, sizeof *grant);
    grant->code = roma__error_invalid(&grant->error, subject);
    return grant->code;
}

int roma_explain(roma_manager *manager, const roma_request *request, roma_grant *grant)
{
    int rule;
    if (grant == NULL)
        return -EINVAL;
    if (manager == NULL)
        return refuse(grant, "manager");
    return manager->store != NULL ? explain_stored(manager, request, grant)
                                  : explain(manager, request, grant, &rule);
}

int roma_policy_explain(const roma_policy *policy, const roma_request *request, roma_grant *grant,
                        int *rule)
{
    roma_manager *manager;
    int ignored;
    if (grant == NULL)
        return -EINVAL;
    memset(grant, 0, sizeof *grant);
    int code = roma_manager_create(&manager, NULL, &grant->error);
    if (code == 0) {
        code = roma_manager_policy(manager, policy, &grant->error);
        if (code == 0)
            code = explain(manager, request, grant, rule == NULL ? &ignored : rule);
        (void)roma_manager_destroy(manager);
    }
    grant->code = code < 0 ? code : grant->code;
    return code;
}
