/* topology.c - questions to a topology that has been read. */
#include "numa/topology.h"

#include "sys/records.h"

#include <errno.h>

void roma_topology_free(roma_topology *topology)
{
    if (topology != NULL)
        roma__record_free(topology, topology->bytes);
}

/* ---- nodes ---------------------------------------------------------------------------------- */

roma_nodes roma_topology_nodes(const roma_topology *topology)
{
    return topology != NULL ? topology->online : roma_nodes_none();
}

roma_nodes roma_topology_memory_nodes(const roma_topology *topology)
{
    return topology != NULL ? topology->memory : roma_nodes_none();
}

roma_nodes roma_topology_cpu_nodes(const roma_topology *topology)
{
    return topology != NULL ? topology->cpus : roma_nodes_none();
}

roma_nodes roma_topology_allowed_nodes(const roma_topology *topology)
{
    return topology != NULL ? topology->allowed : roma_nodes_none();
}

unsigned roma__topology_index(const roma_topology *topology, unsigned node)
{
    unsigned low = 0, high = topology->nodes_count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        unsigned at = (unsigned)topology->nodes[middle].info.node;
        if (at == node)
            return middle;
        if (at < node)
            low = middle + 1;
        else
            high = middle;
    }
    return topology->nodes_count;
}

int roma_topology_node(const roma_topology *topology, unsigned node, roma_node_info *info)
{
    if (topology == NULL || info == NULL)
        return -EINVAL;
    unsigned index = roma__topology_index(topology, node);
    if (index == topology->nodes_count)
        return -EINVAL;
    *info = topology->nodes[index].info;
    return 0;
}

unsigned roma_topology_distance(const roma_topology *topology, unsigned from, unsigned to)
{
    if (topology == NULL)
        return 0;
    unsigned count = topology->nodes_count;
    unsigned row = roma__topology_index(topology, from),
             column = roma__topology_index(topology, to);
    return row < count && column < count ? topology->distances[(size_t)row * count + column] : 0;
}

/* ---- page kinds and pools ------------------------------------------------------------------- */

unsigned roma_topology_kinds_count(const roma_topology *topology)
{
    return topology != NULL ? topology->kinds_count : 0;
}

int roma_topology_kind(const roma_topology *topology, unsigned index, roma_kind_info *info)
{
    if (topology == NULL || info == NULL || index >= topology->kinds_count)
        return -EINVAL;
    *info = topology->kinds[index];
    return 0;
}

roma_page_kind roma_topology_resolve(const roma_topology *topology, roma_page_kind kind)
{
    if (topology == NULL)
        return 0;
    if (kind == ROMA_PAGES_THP)
        return topology->default_thp;
    if (kind == ROMA_PAGES_HUGETLB)
        return topology->default_hugetlb;
    for (unsigned i = 0; i < topology->kinds_count; i++) {
        roma_page_kind here = topology->kinds[i].pages;
        if (here == kind)
            return here;
        if (kind == ROMA_PAGES_BASE && roma_page_class(here) == ROMA_PAGE_CLASS_BASE)
            return here;
    }
    return 0;
}

size_t roma_topology_page_bytes(const roma_topology *topology, roma_page_kind kind)
{
    return roma_page_bytes(roma_topology_resolve(topology, kind));
}

static int find_pool(const roma_pool_info *pools, unsigned count, size_t page_bytes,
                     roma_pool_info *info)
{
    for (unsigned i = 0; i < count; i++) {
        if (pools[i].page_bytes == page_bytes) {
            *info = pools[i];
            return 0;
        }
    }
    return -EINVAL;
}

int roma_topology_pool(const roma_topology *topology, size_t page_bytes, int node,
                       roma_pool_info *info)
{
    if (topology == NULL || info == NULL || node < -1)
        return -EINVAL;
    if (node < 0)
        return find_pool(topology->pools, topology->pools_count, page_bytes, info);
    unsigned index = roma__topology_index(topology, (unsigned)node);
    if (index == topology->nodes_count)
        return -EINVAL;
    const roma__node *at = &topology->nodes[index];
    return find_pool(at->pools, at->pools_count, page_bytes, info);
}

/* ---- limits and settings -------------------------------------------------------------------- */

unsigned roma_topology_limits_count(const roma_topology *topology)
{
    return topology != NULL ? topology->limits_count : 0;
}

int roma_topology_limit(const roma_topology *topology, unsigned index, roma_limit_info *info)
{
    if (topology == NULL || info == NULL || index >= topology->limits_count)
        return -EINVAL;
    *info = topology->limits[index];
    return 0;
}

void roma_topology_system(const roma_topology *topology, roma_system_info *info)
{
    if (info == NULL)
        return;
    if (topology != NULL)
        *info = topology->system;
    else
        *info = (roma_system_info){.numa_balancing = -1,
                                   .overcommit_memory = -1,
                                   .io_uring_disabled = -1,
                                   .io_uring_error = 1};
}
