/* topology.h - the record behind roma_topology, written by topology_read.c and topology_hmat.c, and
 * read by topology.c.
 *
 * One record of memory holds all of it: this struct, then an item a node in the order of their
 * numbers, then the distances, a row a node. Nothing in it changes after roma_topology_read(), but
 * for `before`, which whoever publishes it sets once. */
#ifndef ROMA_NUMA_TOPOLOGY_H
#define ROMA_NUMA_TOPOLOGY_H

#include <roma/topology.h>

#include "sys/hugepool.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
    ROMA__THP_SIZES_MAX = 24, /* a size for each power of two that a kernel can have */
    ROMA__KINDS_MAX = ROMA__HUGEPOOLS_MAX + ROMA__THP_SIZES_MAX + 1,
    ROMA__LIMITS_MAX = 128    /* only limits that are set count; the nearest cgroups' are kept */
};

typedef struct roma__node {
    roma_node_info info;
    unsigned pools_count;
    roma_pool_info pools[ROMA__HUGEPOOLS_MAX];
} roma__node;

struct roma_topology {
    size_t bytes;  /* of the whole record                                        */
    bool has_numa; /* false: the kernel names no nodes and node 0 is the machine */
    roma_nodes online, memory, cpus, allowed;
    unsigned nodes_count, kinds_count, pools_count, limits_count;
    roma_page_kind default_hugetlb, default_thp; /* 0: none */
    roma_system_info system;
    roma_kind_info kinds[ROMA__KINDS_MAX];
    roma_pool_info pools[ROMA__HUGEPOOLS_MAX]; /* the machine's */
    roma_limit_info limits[ROMA__LIMITS_MAX];
    roma_topology *before; /* the library's own: the one that this one replaced; see machine.c */
    uint16_t *distances; /* nodes_count rows and columns; 0: not known */
    roma__node nodes[];
};

/* Fill in what the firmware says of each node's memory, and memory tiers. Returns 0, also where the
 * kernel says nothing of it, or -errno. */
int roma__topology_read_hmat(const char *root, roma_topology *topology);

/* Is all the same but for free memory, and what pools and limits hold and use? */
bool roma__topology_is_same(const roma_topology *a, const roma_topology *b);

/* The index of a node among the online ones; nodes_count when it is none of them. */
unsigned roma__topology_index(const roma_topology *topology, unsigned node);

#ifdef __cplusplus
}
#endif
#endif
