/* machine.c - which nodes and page kinds this machine has, for those who ask at a request, and the
 * memory policy of a range. The pre-flight checks are in ready.c, the placement report in where.c.
 *
 * The library's own topology is read at its first use and published by one compare-and-swap: of two
 * threads that read it at once, the loser frees its copy. A reader's acquire pairs with the
 * winner's release, and nothing in a topology changes afterwards; so there is no lock that could be
 * held over fork.
 *
 * A refresh publishes in the same way, and only in place of the topology that was current before it
 * began to read: so what is published is never older than what it replaces, and a refresh that was
 * overtaken reads again. Whoever still looks at a replaced topology may go on: it is chained behind
 * its successor and never freed, which is also why a compare-and-swap cannot mistake a new one for
 * an old one. `before` is written ahead of the release that publishes, and read by nobody but
 * roma__machine_root(). */
#include "numa/machine.h"

#include "base/error.h"
#include "base/text.h"
#include "numa/facts.h"
#include "numa/topology.h"
#include "sys/kernel.h"
#include "sys/read.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static char machine_root[ROMA__PATH_BYTES];
static _Atomic(roma_topology *) machine_topology;

/* ---- what is fixed -------------------------------------------------------------------------- */

void roma__machine_root(const char *root)
{
    roma__text_copy(machine_root, sizeof machine_root, root);
    roma_topology *topology = atomic_exchange_explicit(&machine_topology, NULL,
                                                       memory_order_acq_rel);
    while (topology != NULL) {
        roma_topology *before = topology->before;
        roma_topology_free(topology);
        topology = before;
    }
}

const char *roma__machine_root_now(void)
{
    return machine_root;
}

const roma_topology *roma_topology_get(void)
{
    roma_topology *topology = atomic_load_explicit(&machine_topology, memory_order_acquire);
    if (topology != NULL)
        return topology;
    roma_topology *made;
    if (roma_topology_read(machine_root, &made, NULL) != 0)
        return NULL; /* asked again, it is read again */
    if (atomic_compare_exchange_strong_explicit(&machine_topology, &topology, made,
                                                memory_order_acq_rel, memory_order_acquire))
        return made;
    roma_topology_free(made);
    return topology;
}

/* Read the machine and publish it in place of `current`, if it differs. Returns 0 when that is done
 * or needless, 1 when another topology was published meanwhile, -errno. */
static int replace(roma_topology *current)
{
    roma_topology *made;
    int code = roma_topology_read(machine_root, &made, NULL);
    if (code != 0)
        return code;
    if (current != NULL && roma__topology_is_same(current, made)) {
        roma_topology_free(made);
        return 0;
    }
    made->before = current;
    if (atomic_compare_exchange_strong_explicit(&machine_topology, &current, made,
                                                memory_order_acq_rel, memory_order_acquire))
        return 0;
    roma_topology_free(made);
    return 1;
}

int roma_topology_refresh(void)
{
    const roma_topology *first = atomic_load_explicit(&machine_topology, memory_order_acquire);
    int code;
    do
        code = replace(atomic_load_explicit(&machine_topology, memory_order_acquire));
    while (code > 0);
    if (code < 0 || first == NULL)
        return code;
    return atomic_load_explicit(&machine_topology, memory_order_acquire) != first ? 1 : 0;
}

size_t roma__machine_base_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

roma_page_kind roma__machine_resolve(roma_page_kind kind)
{
    if (roma_page_class(kind) == ROMA_PAGE_CLASS_BASE) {
        /* Needs no file, and so is there when nothing else can be read. */
        size_t base_bytes = roma__machine_base_bytes();
        size_t bytes = roma_page_bytes(kind);
        if (bytes != 0 && bytes != base_bytes)
            return 0;
        return (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE, __builtin_ctzl(base_bytes));
    }
    return roma_topology_resolve(roma_topology_get(), kind);
}

roma_pages roma__machine_smaller_hugetlb(roma_page_kind kind)
{
    const roma_topology *topology = roma_topology_get();
    size_t bytes = roma_page_bytes(kind);
    roma_pages smaller = 0;
    for (unsigned i = 0; i < roma_topology_kinds_count(topology); i++) {
        roma_page_kind here = topology->kinds[i].pages;
        if (roma_page_class(here) == ROMA_PAGE_CLASS_HUGETLB && roma_page_bytes(here) < bytes)
            smaller = roma_pages_then(smaller, here);
    }
    return smaller;
}

/* ---- nodes ---------------------------------------------------------------------------------- */

static int node_error(roma_error *error, int code, roma_why why, int node)
{
    (void)roma__error(error, code, why);
    if (error != NULL)
        error->node = node;
    return code;
}

static int read_node_sets(roma_nodes *memory, roma_nodes *allowed)
{
    roma_nodes online;
    bool has_numa;
    int code = roma__fact_online(machine_root, &online, &has_numa);
    *memory = online;
    if (code == 0 && has_numa)
        code = roma__fact_memory_nodes(machine_root, &online, memory);
    return code != 0 ? code : roma__fact_allowed(machine_root, allowed);
}

/* Which of the nodes can be used, and why a request for them fails. */
static int check_nodes(const roma_nodes *nodes, bool strict, roma_nodes *usable, roma_error *error)
{
    roma_nodes memory, allowed;
    int code = read_node_sets(&memory, &allowed);
    if (code != 0)
        return roma__error_call(error, "reading", -code);
    if (roma_nodes_is_empty(nodes))
        nodes = &memory;
    roma_nodes there = roma_nodes_both(nodes, &memory);
    *usable = roma_nodes_both(&there, &allowed);
    if (strict ? roma_nodes_equal(usable, nodes) : !roma_nodes_is_empty(usable))
        return 0;
    /* Not there at all is the caller's mistake and comes first; of a wish that may be met in part,
     * a node that is there but forbidden says more. */
    roma_nodes absent = roma_nodes_without(nodes, &memory);
    roma_nodes forbidden = roma_nodes_without(&there, &allowed);
    if (!roma_nodes_is_empty(&absent) && (strict || roma_nodes_is_empty(&forbidden)))
        return node_error(error, -EINVAL, ROMA_WHY_NODE_ABSENT, roma_nodes_next(&absent, 0));
    return node_error(error, -EXDEV, ROMA_WHY_NODE_FORBIDDEN, roma_nodes_next(&forbidden, 0));
}

int roma__machine_nodes_usable(const roma_nodes *nodes, bool strict, roma_error *error)
{
    roma_nodes usable;
    return roma_nodes_is_empty(nodes) ? 0 : check_nodes(nodes, strict, &usable, error);
}

int roma__machine_nodes_among(const roma_nodes *nodes, roma_nodes *usable, roma_error *error)
{
    return check_nodes(nodes, false, usable, error);
}

/* ---- memory policy -------------------------------------------------------------------------- */

enum { MASK_WORDS = ROMA_NODES_MAX / (8 * sizeof(unsigned long)) };

/* The kernel reads one bit less than it is told. */
static int set_policy(void *address, size_t bytes, int mode, const roma_nodes *nodes)
{
    _Static_assert(sizeof(unsigned long) == sizeof(uint64_t), "a set's words are the kernel's");
    unsigned long mask[MASK_WORDS];
    memcpy(mask, nodes->words, sizeof mask);
    return roma__sys->mbind(address, bytes, mode, mask, ROMA_NODES_MAX + 1, 0);
}

static bool is_node_zero_without_numa(const roma_nodes *nodes)
{
    const roma_topology *topology = roma_topology_get();
    roma_nodes zero = roma_nodes_one(0);
    return topology != NULL && !topology->has_numa && roma_nodes_equal(nodes, &zero);
}

/* Preferring several nodes, the kernel falls back on those nearest to the CPU; preferring one, on
 * those nearest to that. */
static int mode_of(roma__manner manner, const roma_nodes *nodes)
{
    switch (manner) {
    case ROMA__BIND: return MPOL_BIND;
    case ROMA__INTERLEAVE: return MPOL_INTERLEAVE;
    default: return roma_nodes_count(nodes) == 1 ? MPOL_PREFERRED : MPOL_PREFERRED_MANY;
    }
}

int roma__machine_bind(void *address, size_t bytes, const roma_nodes *nodes, roma__manner manner,
                       roma_error *error)
{
    if (roma_nodes_is_empty(nodes))
        return 0;
    int result = set_policy(address, bytes, mode_of(manner, nodes), nodes);
    if (result != 0 && errno == EINVAL && manner == ROMA__PREFER && roma_nodes_count(nodes) > 1) {
        roma_nodes lowest = roma_nodes_one((unsigned)roma_nodes_next(nodes, 0));
        result = set_policy(address, bytes, MPOL_PREFERRED, &lowest); /* before Linux 5.15 */
    }
    if (result == 0)
        return 0;
    int cause = errno;
    if (cause == ENOSYS && is_node_zero_without_numa(nodes))
        return 0;
    if (cause == EINVAL) {
        int code = roma__machine_nodes_usable(nodes, false, error);
        if (code != 0)
            return code;
    }
    return roma__error_call(error, "mbind", cause);
}
