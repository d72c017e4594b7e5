/* facts.c - see facts.h. A fact is one file; a file that is missing is a fact too. */
#include "numa/facts.h"

#include "base/bits.h"
#include "sys/read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool roma__fact_is_absent(int code)
{
    return code == -ENOENT || code == -ENOTDIR || code == -EACCES || code == -EPERM ||
           code == -EINVAL || code == -EFBIG || code == -ENAMETOOLONG;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

enum { NODE_LIST_BYTES = 4096 };

static int read_nodes(const char *root, const char *path, roma_nodes *nodes)
{
    char list[NODE_LIST_BYTES];
    ssize_t length = roma__read_file(root, list, sizeof list, "%s", path);
    if (length < 0)
        return (int)length;
    return roma_nodes_parse(list, nodes) == 0 ? 0 : -EINVAL;
}

int roma__fact_online(const char *root, roma_nodes *online, bool *has_numa)
{
    int code = read_nodes(root, "/sys/devices/system/node/online", online);
    *has_numa = code == 0;
    if (code == -ENOENT || code == -ENOTDIR || code == -EACCES) {
        *online = roma_nodes_one(0);
        return 0;
    }
    return code == 0 && roma_nodes_is_empty(online) ? -EINVAL : code;
}

int roma__fact_memory_nodes(const char *root, const roma_nodes *online, roma_nodes *nodes)
{
    int code = read_nodes(root, "/sys/devices/system/node/has_memory", nodes);
    if (code == 0)
        *nodes = roma_nodes_both(nodes, online);
    if (code == 0 || !roma__fact_is_absent(code))
        return code;
    *nodes = roma_nodes_none();
    for (int node = roma_nodes_next(online, 0); node >= 0;
         node = roma_nodes_next(online, (unsigned)node + 1)) {
        roma__memory memory;
        code = roma__fact_memory(root, node, &memory);
        if (code != 0 && !roma__fact_is_absent(code))
            return code;
        if (code == 0 && memory.total_bytes > 0)
            roma_nodes_add(nodes, (unsigned)node);
    }
    if (roma_nodes_is_empty(nodes))
        *nodes = *online; /* no file tells: a node is not refused for that */
    return 0;
}

static roma_nodes all_nodes(void)
{
    roma_nodes all = roma_nodes_none();
    for (unsigned i = 0; i < sizeof all.words / sizeof all.words[0]; i++)
        all.words[i] = UINT64_MAX;
    return all;
}

int roma__fact_allowed(const char *root, roma_nodes *nodes)
{
    static const char key[] = "Mems_allowed_list:";
    *nodes = all_nodes();
    roma__lines lines;
    int code = roma__lines_open(&lines, root, "/proc/self/status");
    if (code != 0)
        return roma__fact_is_absent(code) ? 0 : code;
    for (char *line; (line = roma__lines_next(&lines)) != NULL;) {
        roma_nodes listed;
        if (strncmp(line, key, sizeof key - 1) != 0)
            continue;
        line += sizeof key - 1;
        line += strspn(line, " \t");
        if (roma_nodes_parse(line, &listed) == 0 && !roma_nodes_is_empty(&listed))
            *nodes = listed;
    }
    roma__lines_close(&lines);
    return lines.error;
}

/* ---- memory --------------------------------------------------------------------------------- */

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a + b < a ? UINT64_MAX : a + b;
}

static uint64_t times_capped(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* "MemFree:  4372304 kB", of a node "Node 0 MemFree:  4372304 kB". */
static void take_figure(roma__memory *memory, const char *line)
{
    char key[32];
    unsigned long long kib;
    int skip = 0;
    (void)sscanf(line, "Node %*u %n", &skip);
    if (sscanf(line + skip, "%31[^:]: %20llu kB", key, &kib) != 2)
        return;
    uint64_t bytes = times_capped(kib, 1024);
    if (strcmp(key, "MemTotal") == 0)
        memory->total_bytes = bytes;
    else if (strcmp(key, "MemFree") == 0)
        memory->free_bytes = bytes;
    else if (strcmp(key, "Active(file)") == 0 || strcmp(key, "Inactive(file)") == 0)
        memory->file_bytes = add_capped(memory->file_bytes, bytes);
    else if (strcmp(key, "Mapped") == 0)
        memory->mapped_bytes = bytes;
    else if (strcmp(key, "SReclaimable") == 0)
        memory->reclaimable_bytes = bytes;
    else if (strcmp(key, "MemAvailable") == 0)
        memory->available_bytes = bytes;
    else if (strcmp(key, "Hugepagesize") == 0)
        memory->hugepage_bytes = bytes;
}

int roma__fact_memory(const char *root, int node, roma__memory *memory)
{
    memset(memory, 0, sizeof *memory);
    roma__lines lines;
    int code = node < 0 ? roma__lines_open(&lines, root, "/proc/meminfo")
                        : roma__lines_open(&lines, root, "/sys/devices/system/node/node%d/meminfo",
                                           node);
    if (code != 0)
        return code;
    for (char *line; (line = roma__lines_next(&lines)) != NULL;)
        take_figure(memory, line);
    roma__lines_close(&lines);
    return lines.error;
}

/* ---- headroom ------------------------------------------------------------------------------- */

/* What a node's zones keep back, in pages, as the kernel sums its totalreserve_pages. */
typedef struct zone_reserve {
    uint64_t kept, low;               /* sums over the zones                 */
    uint64_t zone_high, zone_managed; /* of the zone being read              */
    bool in_node;
} zone_reserve;

/* "        protection: (0, 3019, 4427, 4427, 4427)" is the last line wanted of a zone. */
static void take_protection(zone_reserve *reserve, const char *list)
{
    uint64_t most = 0;
    for (list += strspn(list, "(, "); *list >= '0' && *list <= '9'; list += strspn(list, ", ")) {
        char *end;
        uint64_t pages = strtoull(list, &end, 10); /* a digit is there: it advances */
        most = pages > most ? pages : most;
        list = end;
    }
    uint64_t kept = add_capped(most, reserve->zone_high);
    reserve->kept = add_capped(reserve->kept,
                               kept < reserve->zone_managed ? kept : reserve->zone_managed);
}

static void take_zone_line(zone_reserve *reserve, const char *line, int node)
{
    unsigned number;
    unsigned long long pages;
    if (sscanf(line, "Node %u, zone", &number) == 1) {
        reserve->in_node = number == (unsigned)node;
        reserve->zone_high = reserve->zone_managed = 0;
    }
    if (!reserve->in_node)
        return;
    static const char protection[] = "protection: ";
    if (sscanf(line, " low %20llu", &pages) == 1)
        reserve->low = add_capped(reserve->low, pages);
    else if (sscanf(line, " high %20llu", &pages) == 1)
        reserve->zone_high = pages;
    else if (sscanf(line, " managed %20llu", &pages) == 1)
        reserve->zone_managed = pages;
    else if (strncmp(line + strspn(line, " "), protection, sizeof protection - 1) == 0)
        take_protection(reserve, strchr(line, ':') + 1);
}

static int read_reserve(const char *root, int node, zone_reserve *reserve)
{
    memset(reserve, 0, sizeof *reserve);
    roma__lines lines;
    int code = roma__lines_open(&lines, root, "/proc/zoneinfo");
    if (code != 0)
        return roma__fact_is_absent(code) ? 0 : code;
    for (char *line; (line = roma__lines_next(&lines)) != NULL;)
        take_zone_line(reserve, line, node);
    roma__lines_close(&lines);
    return lines.error;
}

/* What reclaim leaves of a cache: half of it, but no more than the low watermarks. */
static uint64_t reclaimable_of(uint64_t cache_bytes, uint64_t low_bytes)
{
    uint64_t half = cache_bytes / 2;
    return cache_bytes - (half < low_bytes ? half : low_bytes);
}

/* See facts.h. */
static uint64_t margin_of(uint64_t total_bytes)
{
    const uint64_t most = (uint64_t)32 << 20;
    return total_bytes / 64 < most ? total_bytes / 64 : most;
}

int roma__fact_headroom(const char *root, int node, uint64_t *bytes)
{
    roma__memory memory;
    zone_reserve reserve;
    int code = roma__fact_memory(root, node, &memory);
    if (code == 0)
        code = read_reserve(root, node, &reserve);
    if (code != 0)
        return code;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t kept = add_capped(times_capped(reserve.kept, page_bytes),
                               margin_of(memory.total_bytes));
    uint64_t low = times_capped(reserve.low, page_bytes);
    uint64_t mapped = memory.mapped_bytes;
    uint64_t file_bytes = memory.file_bytes > mapped ? memory.file_bytes - mapped : 0;
    uint64_t gain = add_capped(reclaimable_of(file_bytes, low),
                               reclaimable_of(memory.reclaimable_bytes, low));
    uint64_t all = add_capped(memory.free_bytes, gain);
    *bytes = all > kept ? all - kept : 0;
    return 0;
}

/* ---- transparent huge pages ----------------------------------------------------------------- */

size_t roma__fact_thp_full_bytes(const char *root)
{
    uint64_t bytes;
    if (roma__read_number(root, &bytes, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size") != 0)
        return 0;
    return roma__is_power_of_two((size_t)bytes) ? (size_t)bytes : 0;
}

int roma__fact_thp_mode(const char *root, size_t bytes, char mode[ROMA__THP_MODE_BYTES])
{
    if (bytes != 0) {
        int code = roma__read_choice(root, mode, ROMA__THP_MODE_BYTES,
                                     "/sys/kernel/mm/transparent_hugepage/hugepages-%zukB/enabled",
                                     bytes / 1024);
        if (code != -ENOENT || bytes != roma__fact_thp_full_bytes(root))
            return code;
    }
    return roma__read_choice(root, mode, ROMA__THP_MODE_BYTES,
                             "/sys/kernel/mm/transparent_hugepage/enabled");
}

bool roma__fact_thp_disabled(const char *root)
{
    roma__lines lines;
    if (roma__lines_open(&lines, root, "/proc/self/status") != 0)
        return false;
    bool disabled = false;
    for (char *line; (line = roma__lines_next(&lines)) != NULL;) {
        unsigned enabled;
        disabled = disabled || (sscanf(line, "THP_enabled: %u", &enabled) == 1 && enabled == 0);
    }
    roma__lines_close(&lines);
    return disabled;
}
