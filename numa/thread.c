/* thread.c - where the calling thread runs: its node, said or asked, and moving it to others.
 *
 * A thread that is pinned says its node once and is not asked again. Others are asked of the
 * kernel, which answers from the thread's own memory where the C library knows the way (vDSO). */
#include "numa/machine.h"

#include "base/cpus.h"
#include "base/error.h"
#include "numa/topology.h"
#include "sys/sys.h"

#include <errno.h>

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

bool roma__machine_has_cpus(const roma_nodes *nodes)
{
    roma_nodes with = roma_topology_cpu_nodes(roma_topology_get());
    with = roma_nodes_both(&with, nodes);
    return !roma_nodes_is_empty(&with);
}

/* The kernel leaves out CPUs that the thread may not use, and refuses when none is left. */
bool roma__machine_run_on(const roma_nodes *nodes)
{
    roma__cpus cpus = {{0}};
    for (int node = roma_nodes_next(nodes, 0); node >= 0;
         node = roma_nodes_next(nodes, (unsigned)node + 1)) {
        roma_node_info info;
        if (roma_topology_node(roma_topology_get(), (unsigned)node, &info) == 0)
            (void)roma__cpus_add(&cpus, info.cpus); /* the kernel's own lists */
    }
    return !roma__cpus_is_empty(&cpus) && roma__sys->set_affinity(sizeof cpus, &cpus) == 0;
}
