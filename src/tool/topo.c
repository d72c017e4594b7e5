/* topo.c - `roma topo`: what this machine has, as tables that a person reads. */
#include "topo.h"

#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- words ---------------------------------------------------------------------------------- */

const char *limit_kind_text(roma_limit_kind kind)
{
    switch (kind) {
    case ROMA_LIMIT_MEMORY: return "memory";
    case ROMA_LIMIT_HUGETLB: return "huge pages in use";
    case ROMA_LIMIT_HUGETLB_RSVD: return "huge pages reserved";
    }
    return "something unknown";
}

bool find_pool(const roma_topology *topology, size_t page_bytes, int node, roma_pool_info *pool)
{
    return roma_topology_pool(topology, page_bytes, node, pool) == 0;
}

static const char *yes_no(bool yes)
{
    return yes ? "yes" : "no";
}

static const char *or_unknown(const char *text)
{
    return text[0] != '\0' ? text : "unknown";
}

static void add_size(table *t, uint64_t bytes)
{
    char text[WORD_BYTES];
    table_add(t, "%s", roma_size_text(bytes, text, sizeof text));
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static void add_distances(table *t, const roma_topology *topology, const roma_nodes *nodes,
                          unsigned from)
{
    char list[512] = "";
    size_t used = 0;
    for (int to = roma_nodes_next(nodes, 0); to >= 0 && used < sizeof list - 16;
         to = roma_nodes_next(nodes, (unsigned)to + 1)) {
        unsigned distance = roma_topology_distance(topology, from, (unsigned)to);
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%d:%u", used > 0 ? " " : "",
                                 to, distance);
    }
    table_add(t, "%s", list);
}

/* A figure for reading and for writing, once where they are the same. A cell without one is empty,
 * and a column of such cells is left out. */
static void add_figures(table *t, uint32_t reading, uint32_t writing, const char *unit)
{
    if (reading == 0 && writing == 0)
        table_add(t, "%s", "");
    else if (reading == writing || writing == 0)
        table_add(t, "%u %s", reading, unit);
    else if (reading == 0)
        table_add(t, "-/%u %s", writing, unit);
    else
        table_add(t, "%u/%u %s", reading, writing, unit);
}

static void add_tier(table *t, int tier)
{
    if (tier < 0)
        table_add(t, "%s", "");
    else
        table_add(t, "%d", tier);
}

static void print_nodes(const roma_topology *topology, FILE *stream)
{
    static const char *const titles[] = {">node",      "CPUs",    ">memory",
                                         ">free",      "allowed", ">latency",
                                         ">bandwidth", ">tier",   "distance to node"};
    table t = table_of(titles, 9);
    roma_nodes nodes = roma_topology_nodes(topology);
    for (int node = roma_nodes_next(&nodes, 0); node >= 0;
         node = roma_nodes_next(&nodes, (unsigned)node + 1)) {
        roma_node_info info;
        if (roma_topology_node(topology, (unsigned)node, &info) != 0)
            continue;
        table_add(&t, "%d", node);
        table_add(&t, "%s", info.has_cpus ? info.cpus : "none");
        add_size(&t, info.total_bytes);
        add_size(&t, info.free_bytes);
        table_add(&t, "%s", yes_no(info.allowed));
        add_figures(&t, info.read_latency_ns, info.write_latency_ns, "ns");
        add_figures(&t, info.read_bandwidth_mb_per_s, info.write_bandwidth_mb_per_s, "MB/s");
        add_tier(&t, info.memory_tier);
        add_distances(&t, topology, &nodes, (unsigned)node);
    }
    fputs("\nNodes\n", stream);
    table_print(&t, stream, 2);
}

/* ---- page kinds and pools ------------------------------------------------------------------- */

static void add_thp_mode(table *t, const roma_topology *topology, const char *mode)
{
    roma_system_info system;
    roma_topology_system(topology, &system);
    if (strcmp(mode, "inherit") == 0)
        table_add(t, "as the setting below: %s", or_unknown(system.thp_enabled));
    else
        table_add(t, "%s", or_unknown(mode));
}

static void add_kind_state(table *t, const roma_topology *topology, const roma_kind_info *kind)
{
    roma_pool_info pool;
    size_t page_bytes = roma_page_bytes(kind->pages);
    if (roma_page_class(kind->pages) == ROMA_PAGE_CLASS_THP)
        add_thp_mode(t, topology, kind->mode);
    else if (roma_page_class(kind->pages) != ROMA_PAGE_CLASS_HUGETLB)
        table_add(t, "always");
    else if (!find_pool(topology, page_bytes, -1, &pool))
        table_add(t, "no page pool");
    else if (pool.free > pool.reserved)
        table_add(t, "%llu of %llu pages free", (unsigned long long)(pool.free - pool.reserved),
                  (unsigned long long)pool.total);
    else if (pool.surplus < pool.overcommit)
        table_add(t, "page pool empty, may grow by %llu pages",
                  (unsigned long long)(pool.overcommit - pool.surplus));
    else
        table_add(t, "page pool %s", pool.total == 0 ? "empty" : "used up");
}

static void print_kinds(const roma_topology *topology, FILE *stream)
{
    static const char *const titles[] = {"page kind", "usable", "state"};
    table t = table_of(titles, 3);
    for (unsigned i = 0; i < roma_topology_kinds_count(topology); i++) {
        roma_kind_info kind;
        char text[WORD_BYTES];
        if (roma_topology_kind(topology, i, &kind) != 0)
            continue;
        table_add(&t, "%s", roma_page_kind_text(kind.pages, text, sizeof text));
        table_add(&t, "%s", yes_no(kind.usable));
        add_kind_state(&t, topology, &kind);
    }
    fputs("\nPage kinds\n", stream);
    table_print(&t, stream, 2);
}

static void add_pool_row(table *t, const roma_pool_info *pool, int node)
{
    add_size(t, pool->page_bytes);
    if (node < 0)
        table_add(t, "machine");
    else
        table_add(t, "node %d", node);
    table_add(t, "%llu", (unsigned long long)pool->total);
    table_add(t, "%llu", (unsigned long long)pool->free);
    if (node < 0) {
        table_add(t, "%llu", (unsigned long long)pool->reserved);
        table_add(t, "%llu", (unsigned long long)pool->surplus);
        table_add(t, "%llu", (unsigned long long)pool->overcommit);
    } else { /* the kernel reports neither reserved pages nor overcommit for a node */
        table_add(t, "-");
        table_add(t, "%llu", (unsigned long long)pool->surplus);
        table_add(t, "-");
    }
}

static void print_pools(const roma_topology *topology, FILE *stream)
{
    static const char *const titles[] = {">pages of", "pool of",  ">total",     ">free",
                                         ">reserved", ">surplus", ">overcommit"};
    table t = table_of(titles, 7);
    roma_nodes nodes = roma_topology_nodes(topology);
    unsigned pools_count = 0;
    for (unsigned i = 0; i < roma_topology_kinds_count(topology); i++) {
        roma_kind_info kind;
        roma_pool_info pool;
        if (roma_topology_kind(topology, i, &kind) != 0 ||
            roma_page_class(kind.pages) != ROMA_PAGE_CLASS_HUGETLB ||
            !find_pool(topology, roma_page_bytes(kind.pages), -1, &pool))
            continue;
        pools_count++;
        add_pool_row(&t, &pool, -1);
        for (int node = roma_nodes_next(&nodes, 0); node >= 0;
             node = roma_nodes_next(&nodes, (unsigned)node + 1))
            if (find_pool(topology, roma_page_bytes(kind.pages), node, &pool))
                add_pool_row(&t, &pool, node);
    }
    fputs("\nPage pools (hugetlb, in pages)\n", stream);
    if (pools_count == 0)
        fputs("  none: this kernel has no hugetlb pages\n", stream);
    else
        table_print(&t, stream, 2);
}

/* ---- limits and settings -------------------------------------------------------------------- */

static void print_limits(const roma_topology *topology, FILE *stream)
{
    static const char *const titles[] = {"limit of", ">most", ">used", "set by cgroup"};
    table t = table_of(titles, 4);
    unsigned count = roma_topology_limits_count(topology);
    for (unsigned i = 0; i < count; i++) {
        roma_limit_info limit;
        char size[WORD_BYTES] = "";
        if (roma_topology_limit(topology, i, &limit) != 0)
            continue;
        if (limit.page_bytes != 0)
            roma_size_text(limit.page_bytes, size, sizeof size);
        table_add(&t, "%s%s%s", size, size[0] != '\0' ? " " : "", limit_kind_text(limit.kind));
        add_size(&t, limit.max_bytes);
        add_size(&t, limit.used_bytes);
        table_add(&t, "%s (version %u)", limit.cgroup, limit.cgroup_version);
    }
    fputs("\nLimits of this process\n", stream);
    if (count == 0)
        fputs("  none: no cgroup limits its memory or huge pages\n", stream);
    else
        table_print(&t, stream, 2);
}

static const char *numa_balancing_text(int value)
{
    static const char *const texts[] = {"off", "on: the kernel moves pages towards their users",
                                        "memory tiering: hot pages move to fast nodes"};
    if (value < 0)
        return "not in this kernel";
    return value < 3 ? texts[value] : "on, with tiering";
}

static const char *overcommit_text(int value)
{
    static const char *const texts[] = {"heuristic: only obvious excess is refused",
                                        "always: nothing is refused",
                                        "never: mappings count against a fixed limit"};
    return value >= 0 && value < 3 ? texts[value] : "unknown";
}

static void io_uring_text(const roma_system_info *system, char *text, size_t bytes)
{
    static const char *const sysctls[] = {"", " (io_uring_disabled is 1: only for a group)",
                                          " (io_uring_disabled is 2: off)"};
    const char *sysctl = system->io_uring_disabled >= 1 && system->io_uring_disabled <= 2
                             ? sysctls[system->io_uring_disabled]
                             : "";
    if (system->io_uring_error == 0)
        snprintf(text, bytes, "available%s", sysctl);
    else if (system->io_uring_error > 0)
        snprintf(text, bytes, "not tried, this is a captured tree%s", sysctl);
    else
        snprintf(text, bytes, "not available: %s%s", strerror(-system->io_uring_error), sysctl);
}

static void print_settings(const roma_system_info *system, FILE *stream)
{
    char text[128];
    fputs("\nSettings\n", stream);
    fprintf(stream, "  transparent huge pages  %s%s\n",
            system->thp_bytes != 0 ? or_unknown(system->thp_enabled) : "not in this kernel",
            strcmp(system->thp_enabled, "madvise") == 0 ? ": where a program asks, as roma does"
                                                        : "");
    if (system->thp_bytes != 0)
        fprintf(stream, "  their defragmentation   %s\n", or_unknown(system->thp_defrag));
    fprintf(stream, "  NUMA balancing          %s\n", numa_balancing_text(system->numa_balancing));
    fprintf(stream, "  overcommit of memory    %s\n", overcommit_text(system->overcommit_memory));
    io_uring_text(system, text, sizeof text);
    fprintf(stream, "  io_uring                %s\n", text);
}

void topo_print(const roma_topology *topology, FILE *stream)
{
    roma_system_info system;
    char base[WORD_BYTES], total[WORD_BYTES], available[WORD_BYTES];
    roma_topology_system(topology, &system);
    fprintf(stream, "Linux %s, base pages of %s, %s of memory, %s available\n",
            or_unknown(system.kernel), roma_size_text(system.base_page_bytes, base, sizeof base),
            roma_size_text(system.memory_total_bytes, total, sizeof total),
            roma_size_text(system.memory_available_bytes, available, sizeof available));
    print_nodes(topology, stream);
    print_kinds(topology, stream);
    print_pools(topology, stream);
    print_limits(topology, stream);
    print_settings(&system, stream);
}

/* ---- the command ---------------------------------------------------------------------------- */

static bool is_folder(const char *root, const char *name)
{
    char path[4096];
    struct stat status;
    snprintf(path, sizeof path, "%s/%s", root, name);
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

int topo_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'}, {"root", required_argument, NULL, 'r'}, {0}};
    bool as_json = false;
    const char *root = NULL;
    for (int option; (option = next_option(argc, argv, options)) != OPTIONS_END;) {
        if (option == OPTIONS_WRONG)
            return EXIT_MISUSE;
        if (option == 'j')
            as_json = true;
        else
            root = optarg;
    }
    if (optind < argc)
        return complain_misuse(argv[0], "'%s' is one argument too many", argv[optind]);
    if (root != NULL && !is_folder(root, "sys") && !is_folder(root, "proc"))
        return complain_misuse(argv[0], "--root: '%s' holds no folder sys or proc", root);

    roma_topology *topology;
    roma_error error;
    char sentence[SENTENCE_BYTES];
    if (roma_topology_read(root, &topology, &error) != 0)
        return complain(argv[0], "%s", roma_error_text(&error, sentence, sizeof sentence));
    if (as_json)
        json_print(topo_json(topology), stdout);
    else
        topo_print(topology, stdout);
    roma_topology_free(topology);
    return finish_output(argv[0], EXIT_GOOD);
}
