/* placing.c - a wish's placement becomes what a ladder is built of: sets of nodes in order, and how
 * pages are laid on the nodes of a set.
 *
 *   ANYWHERE                     no set
 *   LOCAL                        the caller's node
 *   NODES                        the nodes named
 *   PREFERRED, PREFERRED_MANY    the nodes named, as a preference of each step
 *   INTERLEAVE, WEIGHTED         the nodes named, or all that are meant by naming none; spread
 *   NEAREST, BANDWIDTH, LATENCY  all nodes that may be used, the best first; equals share a set
 *   CAPACITY                     the node that was found roomiest, then all others
 *
 * What can change from one request to the next (where the caller runs, which node is roomiest) is
 * in the wish already; what is read here is the topology alone. */
#include "policy/wish.h"

#include "base/error.h"
#include "numa/machine.h"
#include "numa/order.h"

#include <errno.h>
#include <string.h>

static roma_nodes usable_nodes(const roma_topology *topology)
{
    roma_nodes memory = roma_topology_memory_nodes(topology);
    roma_nodes allowed = roma_topology_allowed_nodes(topology);
    return roma_nodes_both(&memory, &allowed);
}

static void add_group(roma__ladder_wish *asked, const roma_nodes *nodes)
{
    if (!roma_nodes_is_empty(nodes))
        asked->groups[asked->groups_count++] = *nodes;
}

/* Those named; naming none means all nodes, but memory without CPUs only where it is weighed. */
static roma_nodes nodes_to_spread_on(const roma__wish *wish, const roma_topology *topology)
{
    if (!roma_nodes_is_empty(&wish->nodes))
        return wish->nodes;
    roma_nodes usable = usable_nodes(topology), cpus = roma_topology_cpu_nodes(topology);
    return wish->placement == ROMA_WEIGHTED ? usable : roma_nodes_both(&usable, &cpus);
}

static bool has_weights(const roma__wish *wish)
{
    static const uint8_t none[ROMA_WEIGHTS_MAX];
    return memcmp(wish->weights, none, sizeof none) != 0;
}

static int place_spread(const roma__wish *wish, const roma_topology *topology,
                        roma__ladder_wish *asked, roma_error *error)
{
    roma_nodes nodes = nodes_to_spread_on(wish, topology);
    unsigned count = roma_nodes_count(&nodes);
    if (count == 0)
        return 0; /* a machine that says of no node that it may be used: the kernel's choice */
    if (wish->placement == ROMA_INTERLEAVE) {
        asked->spread = ROMA_SPREAD_INTERLEAVE;
    } else if (count > ROMA_WEIGHTS_MAX) {
        return roma__error_invalid(error, "more than 64 nodes to weigh");
    } else {
        asked->spread = ROMA_SPREAD_WEIGHTED;
        memcpy(asked->weights, wish->weights, sizeof asked->weights);
        if (!has_weights(wish))
            roma__order_weights(topology, &nodes, asked->weights, count);
    }
    add_group(asked, &nodes);
    return 0;
}

static void place_in_order(const roma__wish *wish, const roma_topology *topology,
                           roma__ladder_wish *asked)
{
    enum roma__order by = wish->placement == ROMA_BANDWIDTH ? ROMA__ORDER_BANDWIDTH
                          : wish->placement == ROMA_LATENCY ? ROMA__ORDER_LATENCY
                                                            : ROMA__ORDER_DISTANCE;
    unsigned from = wish->origin < 0 ? 0 : (unsigned)wish->origin;
    asked->groups_count = roma__order_nodes(topology, by, from, asked->groups, ROMA__GROUPS_MAX);
}

static void place_roomiest(const roma__wish *wish, const roma_topology *topology,
                           roma__ladder_wish *asked)
{
    roma_nodes others = usable_nodes(topology);
    if (wish->origin >= 0) {
        roma_nodes best = roma_nodes_one((unsigned)wish->origin);
        others = roma_nodes_without(&others, &best);
        add_group(asked, &best);
    }
    add_group(asked, &others);
}

int roma__wish_place(const roma__wish *wish, roma__ladder_wish *asked, roma_error *error)
{
    const roma_topology *topology = roma_topology_get();
    roma_nodes origin = wish->origin < 0 ? roma_nodes_none()
                                         : roma_nodes_one((unsigned)wish->origin);
    asked->groups_count = 0;
    asked->spread = ROMA_SPREAD_NONE;
    switch (wish->placement) {
    case ROMA_LOCAL: add_group(asked, &origin); break;
    case ROMA_PREFERRED:
    case ROMA_PREFERRED_MANY: asked->spread = ROMA_SPREAD_PREFER; /* fall through */
    case ROMA_NODES: add_group(asked, &wish->nodes); break;
    case ROMA_INTERLEAVE:
    case ROMA_WEIGHTED: return place_spread(wish, topology, asked, error);
    case ROMA_NEAREST:
    case ROMA_BANDWIDTH:
    case ROMA_LATENCY: place_in_order(wish, topology, asked); break;
    case ROMA_CAPACITY: place_roomiest(wish, topology, asked); break;
    case ROMA_ANYWHERE:
    case ROMA_PLACEMENTS_COUNT: break;
    }
    return 0;
}
