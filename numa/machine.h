/* machine.h - the questions that providers ask about nodes and page kinds at the moment of a
 * request.
 *
 * numa/ is the only place that interprets node numbers; others pass node sets along. What may
 * change from one moment to the next (free pages, headroom, cpusets) is read afresh by each call;
 * what is fixed (page sizes) comes from the topology that the library reads once, and again where a
 * caller asks for it. The root of the files read is the machine's unless a test sets another. */
#ifndef ROMA_NUMA_MACHINE_H
#define ROMA_NUMA_MACHINE_H

#include <roma/error.h>
#include <roma/nodes.h>
#include <roma/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Read files under `root` from now on (NULL: "", this machine) and forget every topology that was
 * read before. For tests; no other thread may be inside the library. */
void roma__machine_root(const char *root);
const char *roma__machine_root_now(void);

size_t roma__machine_base_bytes(void); /* base page, from the C library */

/* A kind with its size made explicit; 0 when the machine has no such kind. Cheap after first
 * use. */
roma_page_kind roma__machine_resolve(roma_page_kind kind);

/* The hugetlb kinds that the machine has and that are smaller than `kind`, from large to small. */
roma_pages roma__machine_smaller_hugetlb(roma_page_kind kind);

/* The node that this thread said it runs on, else that of the CPU that it runs on. error may be
 * NULL. Returns 0 or -errno (a refused call). */
int roma__machine_local_node(unsigned *node, roma_error *error);

/* The calling thread runs on that node from now on; -1: ask again. Returns 0 or -EINVAL. */
int roma__thread_say_node(int node);

/* Are these nodes there, with memory, and allowed to this process? Empty: yes.
 * Returns 0, -EINVAL (no such node: NODE_ABSENT), -EXDEV (NODE_FORBIDDEN), with *error filled.
 * Strict:
 * all of them must be; else one is enough. */
int roma__machine_nodes_usable(const roma_nodes *nodes, bool strict, roma_error *error);

/* Those of the nodes (empty: of all) that are there, with memory, and allowed: one at least.
 * Returns 0, or fails as roma__machine_nodes_usable() does when it is not strict. */
int roma__machine_nodes_among(const roma_nodes *nodes, roma_nodes *usable, roma_error *error);

/* Pre-flight of hugetlb pages: free and not reserved in the machine's pool (or obtainable as
 * surplus), free on the nodes, within the hugetlb cgroups (max and rsvd).
 * Returns 0, or -ENOMEM (POOL_EMPTY, CGROUP_*), -EOPNOTSUPP (NO_PAGE_KIND), with *error filled. */
int roma__machine_hugetlb_ready(size_t page_bytes, uint64_t pages, const roma_nodes *nodes,
                                roma_error *error);

/* Pre-flight of ordinary memory that is to be populated: headroom of the nodes (empty: of the
 * machine) and of memory cgroups. Returns 0 or -ENOMEM (NODE_FULL, CGROUP_MEMORY) with *error
 * filled. */
int roma__machine_memory_ready(uint64_t bytes, const roma_nodes *nodes, roma_error *error);

/* Are transparent huge pages of this kind to be had by madvise? Returns 0 or -EOPNOTSUPP (THP_OFF,
 * NO_PAGE_KIND) with *error filled. */
int roma__machine_thp_ready(roma_page_kind kind, roma_error *error);

typedef enum roma__manner {
    ROMA__BIND,       /* only on these nodes                       */
    ROMA__PREFER,     /* on these first, then on those nearest     */
    ROMA__INTERLEAVE  /* a page on each in turn, by its address    */
} roma__manner;

/* Set the memory policy of a range. An empty set changes nothing. PREFER falls back from
 * preferred-many (Linux 5.15) to the set's lowest node. Where the kernel has no NUMA and the set is
 * exactly node 0, nothing is to be done.
 * Returns 0, or -EPERM (CALL_REFUSED), -EXDEV (NODE_FORBIDDEN), -EINVAL, -errno; *error filled. */
int roma__machine_bind(void *address, size_t bytes, const roma_nodes *nodes, roma__manner manner,
                       roma_error *error);

/* Has any of these nodes CPUs, as far as the topology knows? */
bool roma__machine_has_cpus(const roma_nodes *nodes);

/* Have the calling thread run on CPUs of these nodes. Returns whether it may run nowhere else now:
 * false where they have no CPU for this process, or the kernel refuses. */
bool roma__machine_run_on(const roma_nodes *nodes);

/* Where the pages of a range are: nodes by move_pages, kinds by PAGEMAP_SCAN (Linux 6.7), else from
 * smaps where the range is exactly what the mappings say, else unknown. `kind` is what the range is
 * mapped as. Adds into *report (zeroed by the caller). Returns 0 or -errno with *error filled. */
int roma__machine_where(const void *address, size_t bytes, roma_page_kind kind,
                        roma_report *report, roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
