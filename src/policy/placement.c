/* placement.c - see placement.h. How many nodes each placement takes is one table.
 *
 * Mistakes are refused, not repaired: nodes beside a placement that does not look at them, or
 * weights of nodes that are not named, would otherwise silently mean something else than was
 * written. */
#include "policy/placement.h"

#include "base/error.h"
#include "base/text.h"

/* The least and the largest number of nodes. */
static const struct takes {
    const char *name;
    unsigned least, most;
} takes[] = {
    [ROMA_ANYWHERE] = {"ROMA_ANYWHERE", 0, 0},
    [ROMA_LOCAL] = {"ROMA_LOCAL", 0, 0},
    [ROMA_NODES] = {"ROMA_NODES", 0, ROMA_NODES_MAX},
    [ROMA_PREFERRED] = {"ROMA_PREFERRED", 1, 1},
    [ROMA_PREFERRED_MANY] = {"ROMA_PREFERRED_MANY", 1, ROMA_NODES_MAX},
    [ROMA_INTERLEAVE] = {"ROMA_INTERLEAVE", 0, ROMA_NODES_MAX},
    [ROMA_WEIGHTED] = {"ROMA_WEIGHTED", 0, ROMA_WEIGHTS_MAX},
    [ROMA_NEAREST] = {"ROMA_NEAREST", 0, 1},
    [ROMA_BANDWIDTH] = {"ROMA_BANDWIDTH", 0, 0},
    [ROMA_LATENCY] = {"ROMA_LATENCY", 0, 0},
    [ROMA_CAPACITY] = {"ROMA_CAPACITY", 0, 0},
};

_Static_assert(sizeof takes / sizeof takes[0] == ROMA_PLACEMENTS_COUNT, "a row a placement");

static int refuse(roma_error *error, const char *prefix, const char *what, const char *of)
{
    char subject[sizeof((roma_error *)0)->subject];
    roma__text text = roma__text_in(subject, sizeof subject);
    roma__text_put(&text, prefix);
    roma__text_put(&text, what);
    roma__text_put(&text, of);
    return roma__error_invalid(error, subject);
}

static int check_nodes(roma_placement placement, unsigned count, bool strict, roma_error *error,
                       const char *prefix)
{
    const struct takes *these = &takes[placement];
    if (these->most == 0 && count > 0)
        return refuse(error, prefix, "nodes without ROMA_NODES", "");
    if (placement == ROMA_NODES && strict && count == 0)
        return refuse(error, prefix, "nodes", "");
    if (count < these->least || count > these->most)
        return refuse(error, prefix, "nodes of ", these->name);
    return 0;
}

bool roma__weights_are_given(const uint8_t *weights)
{
    for (unsigned i = 0; i < ROMA_WEIGHTS_MAX; i++)
        if (weights[i] != 0)
            return true;
    return false;
}

int roma__placement_check(roma_placement placement, const roma_nodes *nodes, const uint8_t *weights,
                          bool strict, roma_error *error, const char *prefix)
{
    unsigned count = roma_nodes_count(nodes);
    if ((unsigned)placement >= ROMA_PLACEMENTS_COUNT)
        return refuse(error, prefix, "placement", "");
    int code = check_nodes(placement, count, strict, error, prefix);
    if (code < 0)
        return code;
    if (placement != ROMA_WEIGHTED && roma__weights_are_given(weights))
        return refuse(error, prefix, "weights without ROMA_WEIGHTED", "");
    for (unsigned i = count; i < ROMA_WEIGHTS_MAX; i++)
        if (weights[i] != 0)
            return refuse(error, prefix, "weights of nodes not named", "");
    return 0;
}
