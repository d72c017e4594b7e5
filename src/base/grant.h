/* grant.h - filling grants that tell of a failure. */
#ifndef ROMA_BASE_GRANT_H
#define ROMA_BASE_GRANT_H

#include <roma/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Empty a grant; NULL: nothing. */
static inline void roma__grant_clear(roma_grant *grant)
{
    if (grant != NULL)
        memset(grant, 0, sizeof *grant);
}

/* Nothing was obtained after all: keep the steps, of which the last failed too, and tell why. NULL:
 * nothing. Returns `code`. */
static inline int roma__grant_fail(roma_grant *grant, int code, const roma_error *error)
{
    if (grant != NULL) {
        grant->code = code;
        grant->error = *error;
        if (grant->steps_count > 0 && grant->steps[grant->steps_count - 1].error.code == 0)
            grant->steps[grant->steps_count - 1].error = *error;
        grant->bytes = grant->page_bytes = 0;
        grant->pages = 0;
        grant->zeroed = grant->populated = grant->pinned = false;
        grant->nodes = roma_nodes_none();
    }
    return code;
}

#ifdef __cplusplus
}
#endif
#endif
