/* topology_same.c - do two topologies tell of the same machine?
 *
 * What moves all the time does not count: free memory, what pools hold and how much of it is free,
 * what a limit's cgroup uses. Fields are compared one by one, since the bytes between them have no
 * meaning. */
#include "numa/topology.h"

#include <string.h>

static bool is_text_same(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* The pools' page sizes, not their figures. */
static bool are_pools_same(const roma_pool_info *a, unsigned a_count, const roma_pool_info *b,
                           unsigned b_count)
{
    bool same = a_count == b_count;
    for (unsigned i = 0; same && i < a_count; i++)
        same = a[i].page_bytes == b[i].page_bytes;
    return same;
}

static bool is_node_same(const roma__node *a, const roma__node *b)
{
    const roma_node_info *x = &a->info, *y = &b->info;
    return x->node == y->node && x->has_memory == y->has_memory && x->has_cpus == y->has_cpus &&
           x->allowed == y->allowed && x->total_bytes == y->total_bytes &&
           is_text_same(x->cpus, y->cpus) && x->read_latency_ns == y->read_latency_ns &&
           x->write_latency_ns == y->write_latency_ns &&
           x->read_bandwidth_mb_per_s == y->read_bandwidth_mb_per_s &&
           x->write_bandwidth_mb_per_s == y->write_bandwidth_mb_per_s &&
           roma_nodes_equal(&x->initiators, &y->initiators) && x->memory_tier == y->memory_tier &&
           are_pools_same(a->pools, a->pools_count, b->pools, b->pools_count);
}

static bool are_nodes_same(const roma_topology *a, const roma_topology *b)
{
    size_t count = a->nodes_count;
    bool same = a->has_numa == b->has_numa && roma_nodes_equal(&a->online, &b->online) &&
                roma_nodes_equal(&a->memory, &b->memory) && roma_nodes_equal(&a->cpus, &b->cpus) &&
                roma_nodes_equal(&a->allowed, &b->allowed);
    for (size_t i = 0; same && i < count; i++)
        same = is_node_same(&a->nodes[i], &b->nodes[i]);
    return same && memcmp(a->distances, b->distances, count * count * sizeof *a->distances) == 0;
}

static bool are_kinds_same(const roma_topology *a, const roma_topology *b)
{
    bool same = a->kinds_count == b->kinds_count && a->default_hugetlb == b->default_hugetlb &&
                a->default_thp == b->default_thp;
    for (unsigned i = 0; same && i < a->kinds_count; i++)
        same = a->kinds[i].pages == b->kinds[i].pages && a->kinds[i].usable == b->kinds[i].usable &&
               is_text_same(a->kinds[i].mode, b->kinds[i].mode);
    return same && are_pools_same(a->pools, a->pools_count, b->pools, b->pools_count);
}

static bool are_limits_same(const roma_topology *a, const roma_topology *b)
{
    bool same = a->limits_count == b->limits_count;
    for (unsigned i = 0; same && i < a->limits_count; i++) {
        const roma_limit_info *x = &a->limits[i], *y = &b->limits[i];
        same = x->kind == y->kind && x->page_bytes == y->page_bytes &&
               x->max_bytes == y->max_bytes && x->cgroup_version == y->cgroup_version &&
               is_text_same(x->cgroup, y->cgroup);
    }
    return same;
}

static bool is_system_same(const roma_system_info *a, const roma_system_info *b)
{
    return is_text_same(a->kernel, b->kernel) && a->base_page_bytes == b->base_page_bytes &&
           a->thp_bytes == b->thp_bytes && is_text_same(a->thp_enabled, b->thp_enabled) &&
           is_text_same(a->thp_defrag, b->thp_defrag) && a->numa_balancing == b->numa_balancing &&
           a->overcommit_memory == b->overcommit_memory &&
           a->io_uring_disabled == b->io_uring_disabled && a->io_uring_error == b->io_uring_error &&
           a->memory_total_bytes == b->memory_total_bytes;
}

bool roma__topology_is_same(const roma_topology *a, const roma_topology *b)
{
    return are_nodes_same(a, b) && are_kinds_same(a, b) && are_limits_same(a, b) &&
           is_system_same(&a->system, &b->system);
}
