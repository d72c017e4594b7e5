/* ready.c - pre-flight: is what a request needs there, before the kernel is asked for it?
 *
 * The answers are forecasts. Others take pages meanwhile, so whoever maps must still populate and
 * look; but a forecast names what is short (which pool, node or cgroup), where the kernel would
 * only say that it failed, or would end the process that touches the page. */
#include "numa/machine.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "numa/facts.h"
#include "numa/topology.h"
#include "sys/cgroup.h"
#include "sys/hugepool.h"

#include <errno.h>
#include <string.h>

static int short_of(roma_error *error, roma_why why, const char *subject, uint64_t need,
                    uint64_t have, uint64_t total)
{
    (void)roma__error_subject(error, -ENOMEM, why, subject);
    if (error != NULL) {
        error->need = need;
        error->have = have;
        error->total = total;
    }
    return -ENOMEM;
}

/* What a figure is about: the one node of a set, the page kind. */
static void set_place(roma_error *error, const roma_nodes *nodes, roma_page_kind pages)
{
    if (error == NULL)
        return;
    error->pages = pages;
    if (roma_nodes_count(nodes) == 1)
        error->node = roma_nodes_next(nodes, 0);
}

static int reading_failed(roma_error *error, int code, const char *what)
{
    (void)roma__error_call(error, "reading", -code);
    if (error != NULL)
        roma__text_copy(error->subject, sizeof error->subject, what);
    return code;
}

/* ---- cgroups -------------------------------------------------------------------------------- */

typedef struct limit_check {
    roma__limit_kind kind;
    roma_why why;
    size_t page_bytes; /* hugetlb */
    roma_page_kind pages;
    uint64_t bytes; /* needed */
    roma_error *error;
} limit_check;

/* File pages among what a memory cgroup uses give way to an allocation, so they count as free. */
static int check_limit(void *context, const roma__limit *limit)
{
    const limit_check *check = context;
    if (limit->kind != check->kind || limit->page_bytes != check->page_bytes)
        return 0;
    uint64_t cache = limit->cache_bytes < limit->used_bytes ? limit->cache_bytes
                                                            : limit->used_bytes;
    uint64_t used = limit->used_bytes - cache;
    uint64_t have = limit->max_bytes > used ? limit->max_bytes - used : 0;
    if (have >= check->bytes)
        return 0;
    /* The end of a long path tells more than its start. */
    const char *name = limit->cgroup;
    size_t length = strlen(name), room = sizeof((roma_error *)0)->subject - 1;
    if (length > room)
        name += length - room;
    (void)short_of(check->error, check->why, name, check->bytes, have, limit->max_bytes);
    if (check->error != NULL)
        check->error->pages = check->pages;
    return -ENOMEM;
}

static int check_limits(limit_check *check)
{
    size_t sizes_count = check->page_bytes != 0 ? 1 : 0;
    int code = roma__cgroup_limits(roma__machine_root_now(), &check->page_bytes, sizes_count,
                                   check_limit, check);
    if (code == -ENOMEM || code == 0)
        return code;
    return roma__fact_is_absent(code) ? 0 : reading_failed(check->error, code, "cgroup limits");
}

/* ---- hugetlb -------------------------------------------------------------------------------- */

/* Free pages on those of the nodes that this process may use. */
static int pool_on_nodes(const char *root, size_t page_bytes, const roma_nodes *nodes,
                         roma__hugepool *sum)
{
    *sum = (roma__hugepool){.page_bytes = page_bytes};
    for (int node = roma_nodes_next(nodes, 0); node >= 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1)) {
        roma__hugepool part;
        int code = roma__hugepool_read(root, page_bytes, node, &part);
        if (code == 0) {
            sum->free += part.free;
            sum->total += part.total;
        } else if (!roma__fact_is_absent(code)) {
            return code;
        }
    }
    return 0;
}

/* The nodes that pages may come from; empty: any. Without a wish it is the cpuset that limits. */
static int nodes_to_look_at(const char *root, const roma_nodes *nodes, roma_nodes *look)
{
    roma_nodes online, allowed, usable;
    bool has_numa;
    *look = roma_nodes_none();
    int code = roma__fact_online(root, &online, &has_numa);
    if (code == 0)
        code = roma__fact_allowed(root, &allowed);
    if (code != 0 || !has_numa)
        return code;
    usable = roma_nodes_both(&online, &allowed);
    if (!roma_nodes_is_empty(nodes)) {
        *look = roma_nodes_both(nodes, &usable);
        if (roma_nodes_is_empty(look))
            *look = *nodes; /* none usable: whoever binds will say so */
    } else if (!roma_nodes_equal(&usable, &online)) {
        *look = usable;
    }
    return 0;
}

/* As the kernel takes a page for a mapping without reservation: it must be free on an allowed node,
 * and the machine must have more free pages than others have reserved. Else it makes a surplus
 * page, as many as overcommit allows. */
static int check_pool(const char *root, size_t page_bytes, uint64_t pages, const roma_nodes *nodes,
                      roma_page_kind kind, roma_error *error)
{
    roma__hugepool pool, part;
    int code = roma__hugepool_read(root, page_bytes, -1, &pool);
    if (roma__fact_is_absent(code)) {
        (void)roma__error(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
        if (error != NULL)
            error->pages = kind;
        return -EOPNOTSUPP;
    }
    roma_nodes look;
    if (code == 0)
        code = nodes_to_look_at(root, nodes, &look);
    if (code == 0)
        code = pool_on_nodes(root, page_bytes, &look, &part);
    if (code != 0)
        return reading_failed(error, code, "page pools");

    uint64_t have = pool.free > pool.reserved ? pool.free - pool.reserved : 0;
    uint64_t total = pool.total;
    if (!roma_nodes_is_empty(&look)) {
        have = part.free < have ? part.free : have;
        total = part.total;
    }
    uint64_t extra = pool.overcommit > pool.surplus ? pool.overcommit - pool.surplus : 0;
    if (have >= pages || extra >= pages - have)
        return 0;
    (void)short_of(error, ROMA_WHY_POOL_EMPTY, NULL, pages, have, total);
    set_place(error, &look, kind);
    return -ENOMEM;
}

int roma__machine_hugetlb_ready(size_t page_bytes, uint64_t pages, const roma_nodes *nodes,
                                roma_error *error)
{
    roma_page_kind kind = 0;
    if (roma__is_power_of_two(page_bytes))
        kind = (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, roma__log2_floor(page_bytes));
    int code = check_pool(roma__machine_root_now(), page_bytes, pages, nodes, kind, error);
    if (code != 0)
        return code;
    limit_check check = {.page_bytes = page_bytes, .pages = kind, .error = error};
    if (__builtin_mul_overflow(pages, page_bytes, &check.bytes))
        check.bytes = UINT64_MAX;
    check.kind = ROMA__LIMIT_HUGETLB;
    check.why = ROMA_WHY_CGROUP_HUGETLB;
    code = check_limits(&check);
    if (code != 0)
        return code;
    check.kind = ROMA__LIMIT_HUGETLB_RSVD; /* charged at the fault of a page without reservation */
    check.why = ROMA_WHY_CGROUP_HUGETLB_RSVD;
    return check_limits(&check);
}

/* ---- ordinary memory ------------------------------------------------------------------------ */

/* Headroom of one node; of a kernel without NUMA what it calls available. */
static int node_headroom(const char *root, int node, uint64_t *have, uint64_t *total)
{
    roma_nodes online;
    bool has_numa;
    int code = roma__fact_online(root, &online, &has_numa);
    if (code != 0)
        return code;
    roma__memory memory;
    code = roma__fact_memory(root, has_numa ? node : -1, &memory);
    if (code != 0)
        return code;
    *total = memory.total_bytes;
    *have = memory.available_bytes;
    return has_numa ? roma__fact_headroom(root, node, have) : 0;
}

static int check_nodes(uint64_t bytes, const roma_nodes *nodes, roma_error *error)
{
    const char *root = roma__machine_root_now();
    uint64_t have = 0, total = 0;
    for (int node = roma_nodes_next(nodes, 0); node >= 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1)) {
        uint64_t node_have, node_total;
        int code = node_headroom(root, node, &node_have, &node_total);
        if (roma__fact_is_absent(code))
            continue; /* a node without memory, or one that is not there */
        if (code != 0)
            return reading_failed(error, code, "a node's meminfo");
        have = have + node_have < have ? UINT64_MAX : have + node_have;
        total = total + node_total < total ? UINT64_MAX : total + node_total;
    }
    if (have >= bytes)
        return 0;
    (void)short_of(error, ROMA_WHY_NODE_FULL, NULL, bytes, have, total);
    set_place(error, nodes, 0);
    return -ENOMEM;
}

/* What the kernel could give without the OOM killer, wherever it lies. */
static int check_machine(uint64_t bytes, roma_error *error)
{
    roma__memory memory;
    int code = roma__fact_memory(roma__machine_root_now(), -1, &memory);
    if (roma__fact_is_absent(code))
        return 0;
    if (code != 0)
        return reading_failed(error, code, "/proc/meminfo");
    if (memory.available_bytes >= bytes)
        return 0;
    return short_of(error, ROMA_WHY_NODE_FULL, NULL, bytes, memory.available_bytes,
                    memory.total_bytes);
}

int roma__machine_memory_ready(uint64_t bytes, const roma_nodes *nodes, roma_error *error)
{
    int code = roma_nodes_is_empty(nodes) ? check_machine(bytes, error)
                                          : check_nodes(bytes, nodes, error);
    if (code != 0)
        return code;
    limit_check check = {
        .kind = ROMA__LIMIT_MEMORY, .why = ROMA_WHY_CGROUP_MEMORY, .bytes = bytes, .error = error};
    return check_limits(&check);
}

/* ---- transparent huge pages ----------------------------------------------------------------- */

static int thp_off(roma_error *error, roma_page_kind kind, const char *why)
{
    (void)roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_THP_OFF, why);
    if (error != NULL)
        error->pages = kind;
    return -EOPNOTSUPP;
}

int roma__machine_thp_ready(roma_page_kind kind, roma_error *error)
{
    const char *root = roma__machine_root_now();
    roma_page_kind resolved = roma__machine_resolve(kind);
    if (resolved == 0 || roma_page_class(resolved) != ROMA_PAGE_CLASS_THP) {
        (void)roma__error(error, -EOPNOTSUPP, ROMA_WHY_NO_PAGE_KIND);
        if (error != NULL)
            error->pages = kind;
        return -EOPNOTSUPP;
    }
    char mode[ROMA__THP_MODE_BYTES];
    int code = roma__fact_thp_mode(root, roma_page_bytes(resolved), mode);
    const char *setting = "never for this size";
    if (code == 0 && strcmp(mode, "inherit") == 0) {
        code = roma__fact_thp_mode(root, 0, mode);
        setting = "never";
    }
    if (code != 0 && !roma__fact_is_absent(code))
        return reading_failed(error, code, "transparent_hugepage/enabled");
    if (code != 0 || (strcmp(mode, "always") != 0 && strcmp(mode, "madvise") != 0))
        return thp_off(error, resolved, setting);
    if (roma__fact_thp_disabled(root))
        return thp_off(error, resolved, "for this process, by prctl");
    return 0;
}
