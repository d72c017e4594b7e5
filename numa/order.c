/* order.c - see order.h.
 *
 * Every node gets a badness, one number in which all that counts is folded; the groups are then
 * taken off the set of candidates, the least bad first. That is groups x nodes steps, where both
 * are few: no more than some dozen groups are ever asked for. */
#include "numa/order.h"

#include "base/error.h"
#include "numa/facts.h"
#include "numa/machine.h"
#include "numa/topology.h"
#include "sys/hugepool.h"

#include <errno.h>
#include <string.h>

/* ---- badness -------------------------------------------------------------------------------- */

static uint64_t distance_badness(const roma_topology *topology, unsigned from, unsigned to)
{
    unsigned distance = roma_topology_distance(topology, from, to);
    return distance != 0 ? distance : UINT16_MAX + 1;
}

/* A node with a figure is below 2^32, one without above. */
static uint64_t badness_of(const roma_topology *topology, enum roma__order by, unsigned from,
                           const roma_node_info *info)
{
    const uint64_t unknown = UINT64_C(1) << 32;
    uint64_t distance = distance_badness(topology, from, (unsigned)info->node);
    switch (by) {
    case ROMA__ORDER_DISTANCE: return distance;
    case ROMA__ORDER_BANDWIDTH:
        return info->read_bandwidth_mb_per_s != 0 ? UINT32_MAX - info->read_bandwidth_mb_per_s
                                                  : unknown + distance;
    case ROMA__ORDER_LATENCY:
        return info->read_latency_ns != 0 ? info->read_latency_ns : unknown + distance;
    }
    return distance;
}

/* ---- groups --------------------------------------------------------------------------------- */

/* The least bad nodes of a set. */
static roma_nodes best_of(const roma_topology *topology, enum roma__order by, unsigned from,
                          const roma_nodes *set)
{
    roma_nodes best = roma_nodes_none();
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < topology->nodes_count; i++) {
        const roma_node_info *info = &topology->nodes[i].info;
        if (!roma_nodes_has(set, (unsigned)info->node))
            continue;
        uint64_t badness = badness_of(topology, by, from, info);
        if (badness < least) {
            least = badness;
            best = roma_nodes_none();
        }
        if (badness == least)
            roma_nodes_add(&best, (unsigned)info->node);
    }
    return best;
}

unsigned roma__order_nodes(const roma_topology *topology, enum roma__order by, unsigned from,
                           roma_nodes *groups, unsigned groups_max)
{
    if (topology == NULL || groups_max == 0)
        return 0;
    roma_nodes rest = roma_nodes_both(&topology->memory, &topology->allowed);
    unsigned count = 0;
    for (; !roma_nodes_is_empty(&rest) && count < groups_max; count++) {
        groups[count] = best_of(topology, by, from, &rest);
        rest = roma_nodes_without(&rest, &groups[count]);
    }
    for (int node = roma_nodes_next(&rest, 0); node >= 0;
         node = roma_nodes_next(&rest, (unsigned)node + 1))
        roma_nodes_add(&groups[count - 1], (unsigned)node);
    return count;
}

/* ---- weights -------------------------------------------------------------------------------- */

static uint64_t bandwidth_of(const roma_topology *topology, int node)
{
    unsigned index = roma__topology_index(topology, (unsigned)node);
    return index < topology->nodes_count ? topology->nodes[index].info.read_bandwidth_mb_per_s : 0;
}

/* 0 when a node of the set has no figure. */
static uint64_t sum_of_bandwidths(const roma_topology *topology, const roma_nodes *nodes)
{
    uint64_t sum = 0;
    for (int node = roma_nodes_next(nodes, 0); node >= 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1)) {
        uint64_t bandwidth = topology != NULL ? bandwidth_of(topology, node) : 0;
        if (bandwidth == 0)
            return 0;
        sum += bandwidth;
    }
    return sum;
}

static unsigned weight_of(uint64_t bandwidth, uint64_t sum)
{
    uint64_t weight = ROMA__WEIGHT_MOST * bandwidth / sum;
    return weight > 1 ? (unsigned)weight : 1;
}

static unsigned common_divisor(unsigned a, unsigned b)
{
    while (b != 0) {
        unsigned rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void roma__order_weights(const roma_topology *topology, const roma_nodes *nodes, uint8_t *weights,
                         unsigned count)
{
    uint64_t sum = sum_of_bandwidths(topology, nodes);
    unsigned divisor = 0;
    for (int node = roma_nodes_next(nodes, 0); node >= 0 && sum != 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1))
        divisor = common_divisor(weight_of(bandwidth_of(topology, node), sum), divisor);
    int node = roma_nodes_next(nodes, 0);
    for (unsigned i = 0; i < count; i++) {
        weights[i] = 0;
        if (node < 0)
            continue;
        weights[i] = 1;
        if (divisor != 0) /* nor is the sum 0 then */
            weights[i] = (uint8_t)(weight_of(bandwidth_of(topology, node), sum) / divisor);
        node = roma_nodes_next(nodes, (unsigned)node + 1);
    }
}

/* ---- room ----------------------------------------------------------------------------------- */

static int room_of(int node, size_t hugetlb_page_bytes, uint64_t *room)
{
    const char *root = roma__machine_root_now();
    *room = 0;
    if (hugetlb_page_bytes == 0)
        return roma__fact_headroom(root, node, room);
    roma__hugepool pool;
    int code = roma__hugepool_read(root, hugetlb_page_bytes, node, &pool);
    if (code == 0)
        *room = pool.free;
    return code;
}

int roma__order_roomiest(const roma_nodes *among, size_t hugetlb_page_bytes, roma_nodes *best,
                         roma_error *error)
{
    roma_nodes usable;
    int code = roma__machine_nodes_among(among, &usable, error);
    if (code != 0)
        return code;
    uint64_t most = 0;
    *best = roma_nodes_none();
    for (int node = roma_nodes_next(&usable, 0); node >= 0;
         node = roma_nodes_next(&usable, (unsigned)node + 1)) {
        uint64_t room;
        code = room_of(node, hugetlb_page_bytes, &room);
        if (code != 0 && !roma__fact_is_absent(code))
            return roma__error_call(error, "reading", -code);
        if (room > most || roma_nodes_is_empty(best)) {
            most = room;
            *best = roma_nodes_one((unsigned)node);
        }
    }
    return 0;
}
