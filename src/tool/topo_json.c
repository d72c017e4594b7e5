/* topo_json.c - `roma topo --json`: the same facts as the tables, for programs. What the kernel
 * does not say is null. */
#include "topo.h"

static void put_known(json *map, const char *key, int value)
{
    if (value < 0)
        json_put(map, key, NULL);
    else
        json_put_whole(map, key, value);
}

static const char *known_text(const char *text)
{
    return text[0] != '\0' ? text : NULL;
}

static json *system_json(const roma_system_info *system)
{
    json *map = json_map();
    json_put_text(map, "kernel", known_text(system->kernel));
    json_put_count(map, "base_page_bytes", system->base_page_bytes);
    json_put_count(map, "thp_bytes", system->thp_bytes);
    json_put_text(map, "thp_enabled", known_text(system->thp_enabled));
    json_put_text(map, "thp_defrag", known_text(system->thp_defrag));
    put_known(map, "numa_balancing", system->numa_balancing);
    put_known(map, "overcommit_memory", system->overcommit_memory);
    put_known(map, "io_uring_disabled", system->io_uring_disabled);
    if (system->io_uring_error > 0)
        json_put(map, "io_uring_available", NULL);
    else
        json_put_flag(map, "io_uring_available", system->io_uring_error == 0);
    json_put_count(map, "memory_total_bytes", system->memory_total_bytes);
    json_put_count(map, "memory_available_bytes", system->memory_available_bytes);
    return map;
}

/* A figure of the firmware's; 0 is none. */
static void put_figure(json *map, const char *key, uint32_t figure)
{
    if (figure == 0)
        json_put(map, key, NULL);
    else
        json_put_count(map, key, figure);
}

static void put_hmat(json *map, const roma_node_info *info)
{
    char initiators[256];
    roma_nodes_text(&info->initiators, initiators, sizeof initiators);
    put_figure(map, "read_latency_ns", info->read_latency_ns);
    put_figure(map, "write_latency_ns", info->write_latency_ns);
    put_figure(map, "read_bandwidth_mb_per_s", info->read_bandwidth_mb_per_s);
    put_figure(map, "write_bandwidth_mb_per_s", info->write_bandwidth_mb_per_s);
    json_put_text(map, "initiators", known_text(initiators));
    put_known(map, "memory_tier", info->memory_tier);
}

static json *nodes_json(const roma_topology *topology)
{
    json *list = json_list();
    roma_nodes nodes = roma_topology_nodes(topology);
    for (int node = roma_nodes_next(&nodes, 0); node >= 0;
         node = roma_nodes_next(&nodes, (unsigned)node + 1)) {
        roma_node_info info;
        if (roma_topology_node(topology, (unsigned)node, &info) != 0)
            continue;
        json *map = json_map();
        json_put_whole(map, "node", node);
        json_put_text(map, "cpus", info.cpus);
        json_put_flag(map, "has_cpus", info.has_cpus);
        json_put_flag(map, "has_memory", info.has_memory);
        json_put_flag(map, "allowed", info.allowed);
        json_put_count(map, "total_bytes", info.total_bytes);
        json_put_count(map, "free_bytes", info.free_bytes);
        put_hmat(map, &info);
        json *distances = json_map();
        for (int to = roma_nodes_next(&nodes, 0); to >= 0;
             to = roma_nodes_next(&nodes, (unsigned)to + 1)) {
            char key[16];
            snprintf(key, sizeof key, "%d", to);
            json_put_count(distances, key,
                           roma_topology_distance(topology, (unsigned)node, (unsigned)to));
        }
        json_put(map, "distances", distances);
        json_append(list, map);
    }
    return list;
}

static json *pool_json(const roma_pool_info *pool, int node)
{
    json *map = json_map();
    if (node < 0)
        json_put(map, "node", NULL);
    else
        json_put_whole(map, "node", node);
    json_put_count(map, "total_pages", pool->total);
    json_put_count(map, "free_pages", pool->free);
    json_put_count(map, "surplus_pages", pool->surplus);
    if (node < 0) {
        json_put_count(map, "reserved_pages", pool->reserved);
        json_put_count(map, "overcommit_pages", pool->overcommit);
    }
    return map;
}

/* The machine's pool of this size, then each node's part. */
static json *pools_json(const roma_topology *topology, size_t page_bytes)
{
    json *list = json_list();
    roma_nodes nodes = roma_topology_nodes(topology);
    roma_pool_info pool;
    if (find_pool(topology, page_bytes, -1, &pool))
        json_append(list, pool_json(&pool, -1));
    for (int node = roma_nodes_next(&nodes, 0); node >= 0;
         node = roma_nodes_next(&nodes, (unsigned)node + 1))
        if (find_pool(topology, page_bytes, node, &pool))
            json_append(list, pool_json(&pool, node));
    return list;
}

static json *kinds_json(const roma_topology *topology)
{
    json *list = json_list();
    for (unsigned i = 0; i < roma_topology_kinds_count(topology); i++) {
        roma_kind_info kind;
        if (roma_topology_kind(topology, i, &kind) != 0)
            continue;
        json *map = json_map();
        json_put_kind(map, "pages", kind.pages);
        json_put_count(map, "page_bytes", roma_page_bytes(kind.pages));
        json_put_flag(map, "usable", kind.usable);
        json_put_text(map, "mode", known_text(kind.mode));
        if (roma_page_class(kind.pages) == ROMA_PAGE_CLASS_HUGETLB)
            json_put(map, "pools", pools_json(topology, roma_page_bytes(kind.pages)));
        json_append(list, map);
    }
    return list;
}

static json *limits_json(const roma_topology *topology)
{
    json *list = json_list();
    for (unsigned i = 0; i < roma_topology_limits_count(topology); i++) {
        roma_limit_info limit;
        if (roma_topology_limit(topology, i, &limit) != 0)
            continue;
        json *map = json_map();
        json_put_text(map, "of", limit_kind_text(limit.kind));
        if (limit.page_bytes != 0)
            json_put_count(map, "page_bytes", limit.page_bytes);
        json_put_count(map, "max_bytes", limit.max_bytes);
        json_put_count(map, "used_bytes", limit.used_bytes);
        json_put_text(map, "cgroup", limit.cgroup);
        json_put_count(map, "cgroup_version", limit.cgroup_version);
        json_append(list, map);
    }
    return list;
}

json *topo_json(const roma_topology *topology)
{
    roma_system_info system;
    roma_topology_system(topology, &system);
    json *map = json_map();
    json_put_text(map, "roma", roma_version());
    json_put(map, "system", system_json(&system));
    json_put(map, "nodes", nodes_json(topology));
    json_put(map, "kinds", kinds_json(topology));
    json_put(map, "limits", limits_json(topology));
    return map;
}
