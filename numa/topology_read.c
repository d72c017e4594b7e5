/* topology_read.c - reads a topology out of /sys and /proc.
 *
 * First the list of online nodes, which says how large the record is; then its parts, each from its
 * files. A file that is missing or unreadable leaves its part empty, because kernels and containers
 * differ in what they show; running out of descriptors or memory fails the whole, because a
 * topology that lacks a node for such a reason would be believed. */
#include "numa/topology.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "numa/facts.h"
#include "sys/cgroup.h"
#include "sys/kernel.h"
#include "sys/read.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int unless_absent(int code)
{
    return roma__fact_is_absent(code) ? 0 : code;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static int read_cpus(const char *root, roma__node *node, bool has_numa)
{
    /* A longer list than the record keeps is cut at a comma, so that it stays a list. */
    char list[4096];
    ssize_t length = has_numa ? roma__read_file(root, list, sizeof list,
                                                "/sys/devices/system/node/node%d/cpulist",
                                                node->info.node)
                              : roma__read_file(root, list, sizeof list,
                                                "/sys/devices/system/cpu/online");
    if (length < 0)
        return unless_absent((int)length);
    if ((size_t)length >= sizeof node->info.cpus) {
        list[sizeof node->info.cpus] = '\0';
        char *comma = strrchr(list, ',');
        if (comma != NULL)
            *comma = '\0';
    }
    roma__text_copy(node->info.cpus, sizeof node->info.cpus, list);
    return 0;
}

static void copy_pool(roma_pool_info *to, const roma__hugepool *from)
{
    *to = (roma_pool_info){.page_bytes = from->page_bytes,
                           .total = from->total,
                           .free = from->free,
                           .reserved = from->reserved,
                           .surplus = from->surplus,
                           .overcommit = from->overcommit};
}

/* The pools of one node (the machine's: -1) of those sizes that it has. */
static int read_pools(const char *root, const size_t *sizes, unsigned sizes_count, int node,
                      roma_pool_info *pools, unsigned *count)
{
    for (unsigned i = 0; i < sizes_count; i++) {
        roma__hugepool pool;
        int code = roma__hugepool_read(root, sizes[i], node, &pool);
        if (code == 0)
            copy_pool(&pools[(*count)++], &pool);
        else if (!roma__fact_is_absent(code))
            return code;
    }
    return 0;
}

static int read_node(const char *root, roma_topology *topology, roma__node *node,
                     const size_t *sizes, unsigned sizes_count)
{
    roma_node_info *info = &node->info;
    info->has_memory = roma_nodes_has(&topology->memory, (unsigned)info->node);
    info->allowed = roma_nodes_has(&topology->allowed, (unsigned)info->node);
    int code = read_cpus(root, node, topology->has_numa);
    if (code != 0)
        return code;
    info->has_cpus = info->cpus[0] != '\0';
    if (info->has_cpus)
        roma_nodes_add(&topology->cpus, (unsigned)info->node);

    roma__memory memory;
    code = unless_absent(roma__fact_memory(root, topology->has_numa ? info->node : -1, &memory));
    if (code != 0)
        return code;
    info->total_bytes = memory.total_bytes;
    info->free_bytes = memory.free_bytes;

    if (topology->has_numa)
        return read_pools(root, sizes, sizes_count, info->node, node->pools, &node->pools_count);
    memcpy(node->pools, topology->pools, sizeof node->pools);
    node->pools_count = topology->pools_count;
    for (unsigned i = 0; i < node->pools_count; i++)
        node->pools[i].reserved = node->pools[i].overcommit = 0; /* as every node's part */
    return 0;
}

static int read_nodes(const char *root, roma_topology *topology, const size_t *sizes,
                      unsigned sizes_count)
{
    int code = topology->has_numa
                   ? roma__fact_memory_nodes(root, &topology->online, &topology->memory)
                   : 0;
    if (!topology->has_numa)
        topology->memory = topology->online;
    if (code == 0)
        code = roma__fact_allowed(root, &topology->allowed);
    topology->allowed = roma_nodes_both(&topology->allowed, &topology->online);
    int number = roma_nodes_next(&topology->online, 0);
    for (unsigned i = 0; code == 0 && i < topology->nodes_count; i++) {
        topology->nodes[i].info.node = number;
        code = read_node(root, topology, &topology->nodes[i], sizes, sizes_count);
        number = roma_nodes_next(&topology->online, (unsigned)number + 1);
    }
    return code;
}

/* ---- distances ------------------------------------------------------------------------------ */

/* A row has a number for each online node, in the order of their numbers. One that has fewer or
 * more (a node came or went meanwhile) is not known. */
static void parse_distances(const char *text, uint16_t *row, unsigned count)
{
    unsigned column = 0;
    while (*text != '\0') {
        unsigned value = 0;
        const char *digit = text;
        for (; *digit >= '0' && *digit <= '9' && value <= UINT16_MAX; digit++)
            value = value * 10 + (unsigned)(*digit - '0');
        if (digit == text || value > UINT16_MAX || column == count)
            break;
        row[column++] = (uint16_t)value;
        text = digit + strspn(digit, " ");
    }
    if (*text != '\0' || column != count)
        memset(row, 0, count * sizeof *row);
}

static int read_distances(const char *root, roma_topology *topology)
{
    unsigned count = topology->nodes_count;
    if (!topology->has_numa)
        topology->distances[0] = 10;
    for (unsigned i = 0; topology->has_numa && i < count; i++) {
        char text[ROMA_NODES_MAX * 4 + 1]; /* "255 " for each */
        ssize_t length = roma__read_file(root, text, sizeof text,
                                         "/sys/devices/system/node/node%d/distance",
                                         topology->nodes[i].info.node);
        if (length >= 0)
            parse_distances(text, topology->distances + (size_t)i * count, count);
        else if (!roma__fact_is_absent((int)length))
            return (int)length;
    }
    return 0;
}

/* ---- page kinds ----------------------------------------------------------------------------- */

static roma_kind_info *add_kind(roma_topology *topology, unsigned page_class, size_t bytes)
{
    roma_kind_info *kind = &topology->kinds[topology->kinds_count++];
    kind->pages = (roma_page_kind)ROMA_PAGES_OF(page_class, roma__log2_floor(bytes));
    kind->usable = true;
    return kind;
}

static void add_hugetlb_kinds(roma_topology *topology, const size_t *sizes, unsigned count,
                              size_t default_bytes)
{
    for (unsigned i = 0; i < count; i++) {
        roma_page_kind pages = add_kind(topology, ROMA_PAGE_CLASS_HUGETLB, sizes[i])->pages;
        /* The smallest, unless the kernel names another. */
        if (topology->default_hugetlb == 0 ||
            roma_page_bytes(topology->default_hugetlb) != default_bytes)
            topology->default_hugetlb = pages;
    }
}

/* A size whose folder has no `enabled` is one for shared memory only, and no kind here. */
static int add_thp_kind(const char *root, roma_topology *topology, size_t bytes)
{
    char mode[ROMA__THP_MODE_BYTES];
    int code = roma__fact_thp_mode(root, bytes, mode);
    if (code == -ENOENT)
        return 0;
    if (code != 0 && !roma__fact_is_absent(code))
        return code;
    roma_kind_info *kind = add_kind(topology, ROMA_PAGE_CLASS_THP, bytes);
    roma__text_copy(kind->mode, sizeof kind->mode, mode);
    const char *setting = strcmp(mode, "inherit") == 0 ? topology->system.thp_enabled : mode;
    kind->usable = strcmp(setting, "always") == 0 || strcmp(setting, "madvise") == 0;
    if (topology->default_thp == 0) {
        topology->default_thp = kind->pages;
        topology->system.thp_bytes = bytes;
    }
    return 0;
}

static int add_thp_kinds(const char *root, roma_topology *topology)
{
    size_t sizes[ROMA__THP_SIZES_MAX];
    int count = roma__hugepage_folders(root, "/sys/kernel/mm/transparent_hugepage", sizes,
                                       ROMA__THP_SIZES_MAX);
    if (count < 0)
        return unless_absent(count);
    size_t full_bytes = roma__fact_thp_full_bytes(root);
    if (count == 0 && full_bytes >= 1024)
        sizes[count++] = full_bytes; /* before Linux 6.8 */
    for (int i = 0; i < count; i++) {
        int code = add_thp_kind(root, topology, sizes[i]);
        if (code != 0)
            return code;
    }
    return 0;
}

/* ---- limits --------------------------------------------------------------------------------- */

static int add_limit(void *context, const roma__limit *limit)
{
    roma_topology *topology = context;
    if (topology->limits_count == ROMA__LIMITS_MAX)
        return 0;
    roma_limit_info *to = &topology->limits[topology->limits_count++];
    to->kind = limit->kind == ROMA__LIMIT_MEMORY    ? ROMA_LIMIT_MEMORY
               : limit->kind == ROMA__LIMIT_HUGETLB ? ROMA_LIMIT_HUGETLB
                                                    : ROMA_LIMIT_HUGETLB_RSVD;
    to->page_bytes = limit->page_bytes;
    to->max_bytes = limit->max_bytes;
    to->used_bytes = limit->used_bytes;
    to->cgroup_version = limit->version;
    roma__text_copy(to->cgroup, sizeof to->cgroup, limit->cgroup);
    return 0;
}

/* ---- settings of the system ----------------------------------------------------------------- */

static int read_setting(const char *root, const char *path, int *setting)
{
    uint64_t value;
    int code = roma__read_number(root, &value, "%s", path);
    *setting = code == 0 && value <= INT32_MAX ? (int)value : -1;
    return unless_absent(code);
}

static int read_mode(const char *root, char *mode, size_t bytes, const char *path)
{
    return unless_absent(roma__read_choice(root, mode, bytes, "%s", path));
}

/* Only asking tells whether a filter or the sysctl forbids it; a captured tree cannot be asked. */
static int try_io_uring(const char *root)
{
    if (root[0] != '\0')
        return 1;
    _Alignas(uint64_t) char parameters[ROMA__IO_URING_PARAMS_BYTES] = {0};
    int fd = roma__sys->io_uring_setup(1, parameters);
    if (fd < 0)
        return -errno;
    (void)roma__sys->close(fd);
    return 0;
}

static int read_system(const char *root, roma_system_info *system, size_t *hugepage_bytes)
{
    roma__memory memory;
    int code = unless_absent(roma__fact_memory(root, -1, &memory));
    if (code != 0)
        return code;
    *hugepage_bytes = memory.hugepage_bytes;
    system->memory_total_bytes = memory.total_bytes;
    system->memory_available_bytes = memory.available_bytes;
    system->base_page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    system->io_uring_error = try_io_uring(root);
    ssize_t length = roma__read_file(root, system->kernel, sizeof system->kernel,
                                     "/proc/sys/kernel/osrelease");
    code = length < 0 ? unless_absent((int)length) : 0;
    if (code == 0)
        code = read_mode(root, system->thp_enabled, sizeof system->thp_enabled,
                         "/sys/kernel/mm/transparent_hugepage/enabled");
    if (code == 0)
        code = read_mode(root, system->thp_defrag, sizeof system->thp_defrag,
                         "/sys/kernel/mm/transparent_hugepage/defrag");
    if (code == 0)
        code = read_setting(root, "/proc/sys/kernel/numa_balancing", &system->numa_balancing);
    if (code == 0)
        code = read_setting(root, "/proc/sys/vm/overcommit_memory", &system->overcommit_memory);
    if (code == 0)
        code = read_setting(root, "/proc/sys/kernel/io_uring_disabled", &system->io_uring_disabled);
    return code;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int read_parts(const char *root, roma_topology *topology)
{
    size_t sizes[ROMA__HUGEPOOLS_MAX], default_bytes;
    int count = roma__hugepool_sizes(root, sizes);
    if (count < 0 && !roma__fact_is_absent(count))
        return count;
    unsigned sizes_count = count > 0 ? (unsigned)count : 0;

    int code = read_system(root, &topology->system, &default_bytes);
    if (code == 0)
        code = read_pools(root, sizes, sizes_count, -1, topology->pools, &topology->pools_count);
    if (code == 0)
        code = read_nodes(root, topology, sizes, sizes_count);
    if (code == 0)
        code = read_distances(root, topology);
    if (code == 0)
        code = roma__topology_read_hmat(root, topology);
    if (code == 0) {
        add_hugetlb_kinds(topology, sizes, sizes_count, default_bytes);
        code = add_thp_kinds(root, topology);
    }
    if (code == 0) {
        (void)add_kind(topology, ROMA_PAGE_CLASS_BASE, topology->system.base_page_bytes);
        code = unless_absent(roma__cgroup_limits(root, sizes, sizes_count, add_limit, topology));
    }
    return code;
}

static roma_topology *topology_new(const roma_nodes *online, bool has_numa)
{
    size_t count = roma_nodes_count(online);
    size_t distances_at = sizeof(roma_topology) + count * sizeof(roma__node);
    size_t bytes = distances_at + count * count * sizeof(uint16_t);
    roma_topology *topology = roma__record_new(bytes);
    if (topology == NULL)
        return NULL;
    topology->bytes = bytes;
    topology->has_numa = has_numa;
    topology->online = *online;
    topology->nodes_count = (unsigned)count;
    topology->distances = (void *)((char *)topology + distances_at);
    return topology;
}

static int reading_failed(roma_error *error, int code, const char *what)
{
    if (code == -EINVAL)
        return roma__error_subject(error, code, ROMA_WHY_INVALID, what);
    (void)roma__error_call(error, "reading", -code);
    if (error != NULL)
        roma__text_copy(error->subject, sizeof error->subject, what);
    return code;
}

int roma_topology_read(const char *root, roma_topology **topology, roma_error *error)
{
    if (topology == NULL)
        return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, "topology");
    if (root == NULL)
        root = "";
    roma_nodes online;
    bool has_numa;
    int code = roma__fact_online(root, &online, &has_numa);
    if (code != 0)
        return reading_failed(error, code, "/sys/devices/system/node/online");
    roma_topology *made = topology_new(&online, has_numa);
    if (made == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    code = read_parts(root, made);
    if (code != 0) {
        roma_topology_free(made);
        return reading_failed(error, code, "the machine's topology");
    }
    *topology = made;
    return 0;
}
