/* order.h - nodes in an order: by distance, bandwidth or latency, and by what is free on them.
 *
 * The order and the weights are pure functions of a topology, so that a ladder made of them can be
 * explained and repeated. What is free is read afresh. */
#ifndef ROMA_NUMA_ORDER_H
#define ROMA_NUMA_ORDER_H

#include <roma/error.h>
#include <roma/nodes.h>
#include <roma/topology.h>

#ifdef __cplusplus
extern "C" {
#endif

enum roma__order { ROMA__ORDER_DISTANCE, ROMA__ORDER_BANDWIDTH, ROMA__ORDER_LATENCY };

/* The nodes that are online, have memory and are allowed, as groups from the best to the worst;
 * equal nodes share a group. When there are more groups than groups_max, the last one takes in the
 * rest.
 *
 *  DISTANCE   by the distance from node `from`; those whose distance is not known come last
 *  BANDWIDTH  from the highest read bandwidth down; those without a figure come after all others,
 *             ordered among themselves by the distance from `from`
 *  LATENCY    from the lowest read latency up, those without a figure as for bandwidth
 *
 * The firmware's figures are as the best initiators of a node see it, whatever `from` is.
 * Returns the number of groups: 0 when there is no such node, or groups_max is 0. */
unsigned roma__order_nodes(const roma_topology *topology, enum roma__order by, unsigned from,
                           roma_nodes *groups, unsigned groups_max);

enum { ROMA__WEIGHT_MOST = 32 };

/* Weights by read bandwidth: weights[i] is that of the i-th node of the set, from the lowest up;
 * entries beyond the set are 0, and a set with more than `count` nodes has the first ones written.
 *
 *     weight = max(1, floor(32 * bandwidth / sum of the set's bandwidths)),
 *
 * then all of them divided by their greatest common divisor: as Linux 6.16 makes the default
 * weights of weighted interleave (reduce_interleave_weights in mm/mempolicy.c, weightiness 32); but
 * the kernel sums over all nodes with memory, and takes the lower of read and write bandwidth. All
 * weights are 1 where any node of the set has no figure. */
void roma__order_weights(const roma_topology *topology, const roma_nodes *nodes, uint8_t *weights,
                         unsigned count);

/* The one node with the most room now: of `among` (empty: of all) those that are online, with
 * memory and allowed are looked at. Room is the headroom for ordinary pages (hugetlb_page_bytes 0),
 * else the free pages in the node's page pool of that size. A node that tells no figure has none.
 * Of equal ones the lowest number wins, also where none has room.
 * Returns 0, or -EINVAL (NODE_ABSENT), -EXDEV (NODE_FORBIDDEN), -errno, with *error filled. */
int roma__order_roomiest(const roma_nodes *among, size_t hugetlb_page_bytes, roma_nodes *best,
                         roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
