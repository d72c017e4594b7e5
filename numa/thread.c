/* thread.c - where the calling thread runs: its node, said or asked, and moving it to others.
 *
 * A thread that is pinned says its node once and is not asked again. Others are asked of the
 * kernel, which answers from the thread's own memory where the C library knows the way (vDSO). */
#include "numa/machine.h"

#include "base/error.h"
#include "numa/topology.h"
#include "sys/sys.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

/* One more than the node that the thread said it runs on; 0: it said nothing. */
static __thread unsigned bound;

int roma__machine_local_node(unsigned *node, roma_error *error)
{
    unsigned cpu;
    if (bound != 0) {
        *node = bound - 1;
        return 0;
    }
    if (roma__sys->getcpu(&cpu, node) != 0)
        return roma__error_call(error, "getcpu", errno);
    return 0;
}

int roma__thread_say_node(int node)
{
    roma_nodes online = roma_topology_nodes(roma_topology_get());
    if (node >= 0 && !roma_nodes_has(&online, (unsigned)node))
        return -EINVAL;
    bound = node < 0 ? 0 : (unsigned)node + 1;
    return 0;
}

/* ---- moving --------------------------------------------------------------------------------- */

enum { CPUS_MAX = 8192, WORD_BITS = sizeof(unsigned long) * CHAR_BIT };

/* Add the CPUs of a list such as "0-3,8". What is no list ends it. */
static bool add_cpus(const char *list, unsigned long *mask)
{
    bool any = false;
    while (*list >= '0' && *list <= '9') {
        unsigned long ends[2] = {0, 0};
        for (int end = 0; end < 2; end++) {
            while (*list >= '0' && *list <= '9' && ends[end] < CPUS_MAX)
                ends[end] = ends[end] * 10 + (unsigned long)(*list++ - '0');
            if (end == 0 && *list == '-')
                list++;
            else if (end == 0)
                ends[++end] = ends[0];
        }
        for (unsigned long cpu = ends[0]; cpu <= ends[1] && cpu < CPUS_MAX; cpu++) {
            mask[cpu / WORD_BITS] |= 1ul << cpu % WORD_BITS;
            any = true;
        }
        if (*list == ',')
            list++;
    }
    return any;
}

bool roma__machine_has_cpus(const roma_nodes *nodes)
{
    roma_nodes with = roma_topology_cpu_nodes(roma_topology_get());
    with = roma_nodes_both(&with, nodes);
    return !roma_nodes_is_empty(&with);
}

/* The kernel leaves out CPUs that the thread may not use, and refuses when none is left. */
bool roma__machine_run_on(const roma_nodes *nodes)
{
    unsigned long mask[CPUS_MAX / WORD_BITS];
    bool any = false;
    memset(mask, 0, sizeof mask);
    for (int node = roma_nodes_next(nodes, 0); node >= 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1)) {
        roma_node_info info;
        if (roma_topology_node(roma_topology_get(), (unsigned)node, &info) == 0)
            any = add_cpus(info.cpus, mask) || any;
    }
    return any && roma__sys->set_affinity(sizeof mask, mask) == 0;
}
