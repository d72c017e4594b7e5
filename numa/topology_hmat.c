/* topology_hmat.c - what the firmware says of the nodes' memory: latency, bandwidth, tiers.
 *
 * The figures are in nodeN/accessY/initiators, for the initiators that reach the node best: of
 * class 1 these are CPUs (Linux 5.10), of class 0 also devices that access memory, which are second
 * choice here. The initiators are named there by links. All figures are of one class, so that they
 * belong together. Only machines with an HMAT, or with CXL memory, have them. A memory tier lists
 * its nodes (Linux 6.1). */
#include "numa/topology.h"

#include "numa/facts.h"
#include "sys/read.h"

#include <errno.h>
#include <string.h>

enum { NODE_LIST_BYTES = 4096 };

static const char tiers_folder[] = "/sys/devices/virtual/memory_tiering";

/* Is the name the prefix and a number? */
static bool is_numbered(const char *name, const char *prefix, unsigned most, unsigned *number)
{
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0 || name[length] == '\0')
        return false;
    *number = 0;
    for (const char *digit = name + length; *digit != '\0'; digit++) {
        if (*digit < '0' || *digit > '9')
            return false;
        *number = *number * 10 + (unsigned)(*digit - '0');
        if (*number > most)
            return false;
    }
    return true;
}

/* ---- latency and bandwidth ------------------------------------------------------------------ */

static int add_initiator(void *context, const char *name)
{
    unsigned node;
    if (is_numbered(name, "node", ROMA_NODES_MAX - 1, &node))
        roma_nodes_add(context, node);
    return 0;
}

/* A figure that is missing, or is none, stays 0. */
static int read_figure(const char *root, int node, unsigned access, const char *name,
                       uint32_t *figure)
{
    uint64_t value;
    int code = roma__read_number(
        root, &value, "/sys/devices/system/node/node%d/access%u/initiators/%s", node, access, name);
    *figure = code == 0 && value <= UINT32_MAX ? (uint32_t)value : 0;
    return roma__fact_is_absent(code) ? 0 : code;
}

static int read_access(const char *root, roma_node_info *info, unsigned access)
{
    char folder[96];
    (void)snprintf(folder, sizeof folder, "/sys/devices/system/node/node%d/access%u/initiators",
                   info->node, access);
    info->initiators = roma_nodes_none();
    int code = roma__folder_each(root, folder, add_initiator, &info->initiators);
    if (code != 0)
        return roma__fact_is_absent(code) ? 0 : code;
    code = read_figure(root, info->node, access, "read_latency", &info->read_latency_ns);
    if (code == 0)
        code = read_figure(root, info->node, access, "write_latency", &info->write_latency_ns);
    if (code == 0)
        code = read_figure(root, info->node, access, "read_bandwidth",
                           &info->read_bandwidth_mb_per_s);
    if (code == 0)
        code = read_figure(root, info->node, access, "write_bandwidth",
                           &info->write_bandwidth_mb_per_s);
    return code;
}

static bool has_figures(const roma_node_info *info)
{
    return (info->read_latency_ns | info->write_latency_ns | info->read_bandwidth_mb_per_s |
            info->write_bandwidth_mb_per_s) != 0;
}

static int read_figures(const char *root, roma_node_info *info)
{
    int code = read_access(root, info, 1);
    if (code == 0 && !has_figures(info))
        code = read_access(root, info, 0);
    if (!has_figures(info))
        info->initiators = roma_nodes_none(); /* links without figures say nothing */
    return code;
}

/* ---- memory tiers --------------------------------------------------------------------------- */

typedef struct tier_walk {
    const char *root;
    roma_topology *topology;
} tier_walk;

static int take_tier(void *context, const char *name)
{
    const tier_walk *walk = context;
    char list[NODE_LIST_BYTES];
    roma_nodes nodes;
    unsigned tier;
    if (!is_numbered(name, "memory_tier", INT32_MAX / 10, &tier))
        return 0;
    ssize_t length = roma__read_file(walk->root, list, sizeof list, "%s/%s/nodelist", tiers_folder,
                                     name);
    if (length < 0)
        return roma__fact_is_absent((int)length) ? 0 : (int)length;
    if (roma_nodes_parse(list, &nodes) != 0)
        return 0;
    for (unsigned i = 0; i < walk->topology->nodes_count; i++) {
        roma_node_info *info = &walk->topology->nodes[i].info;
        if (roma_nodes_has(&nodes, (unsigned)info->node))
            info->memory_tier = (int)tier;
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

int roma__topology_read_hmat(const char *root, roma_topology *topology)
{
    for (unsigned i = 0; i < topology->nodes_count; i++) {
        topology->nodes[i].info.memory_tier = -1;
        int code = topology->has_numa ? read_figures(root, &topology->nodes[i].info) : 0;
        if (code != 0)
            return code;
    }
    if (!topology->has_numa)
        return 0;
    tier_walk walk = {root, topology};
    int code = roma__folder_each(root, tiers_folder, take_tier, &walk);
    return roma__fact_is_absent(code) ? 0 : code;
}
