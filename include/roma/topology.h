/* roma/topology.h - what this machine has: nodes, distances, page kinds, page pools, limits.
 *
 * A topology is a snapshot of what the kernel says at one moment; read another one, or refresh the
 * library's own, to see changes.
 * Node numbers may be sparse, nodes may have no CPU (CXL, HBM) or no memory. */
#ifndef ROMA_TOPOLOGY_H
#define ROMA_TOPOLOGY_H

#include <roma/error.h>
#include <roma/nodes.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma_topology roma_topology;

/** Read the topology.
 *
 *  root      "" or NULL: this machine; else a folder that holds a captured `sys` and `proc`
 *  topology  receives it; give it to roma_topology_free()
 *  error     may be NULL
 *  Returns 0, -ENOMEM, or -errno of reading. What a kernel lacks is not an error: without NUMA
 *  there is one node 0 with all CPUs and memory; without hugetlb there are no pools.
 *  Threads: any.  Signals: no.  Cost: reads some dozen small files.  Since: 0.1 */
ROMA_API int roma_topology_read(const char *root, roma_topology **topology, roma_error *error);

/** NULL is fine.  Since: 0.1 */
ROMA_API void roma_topology_free(roma_topology *topology);

/** The snapshot that the library itself uses, read at first use; roma_topology_refresh() may put a
 *  newer one in its place. Every one that was returned stays valid until the program ends; it is
 *  not to be freed.
 *  NULL when it cannot be read.  Threads: any.  Signals: no.  Since: 0.1 */
ROMA_API const roma_topology *roma_topology_get(void);

/** Read this machine anew for roma_topology_get(), after nodes, memory or CPUs have come or gone, a
 *  cpuset, a limit or a setting was changed.
 *
 *  A snapshot that differs from the current one replaces it. Figures that move all the time do not
 *  count as a difference, and are then not renewed: free and available memory, the pages in pools,
 *  what a limit has in use (roma_topology_read() reads them). Replaced snapshots are kept, some
 *  pages of memory for each change, so that whoever holds one may go on using it.
 *  Returns 1 when roma_topology_get() gives another snapshot than before the call, by this call or
 *  another thread's; 0 when it is the same, or when none had been read before; or -errno of
 *  reading, -ENOMEM: the current one then stays.
 *  Threads: any, also after fork in the child.  Signals: no.  Cost: reads some dozen small files.
 *  Since: 0.1 */
ROMA_API int roma_topology_refresh(void);

typedef struct roma_node_info {
    int node;
    bool has_memory, has_cpus;
    bool allowed;          /**< this process may use its memory (cpuset)          */
    uint64_t total_bytes;  /**< as in the node's meminfo, at the snapshot         */
    uint64_t free_bytes;
    char cpus[256];        /**< CPU list, "0-3,8"; cut when longer                */

    /* What the firmware (the HMAT of ACPI, or a CXL device) says of its memory, as the initiators
     * that reach it best see it: those with CPUs, where the kernel tells them apart (Linux 5.10).
     * Passed on as the kernel has it (nodeN/access1/initiators), not measured. 0: nothing said. */
    uint32_t read_latency_ns, write_latency_ns;
    uint32_t read_bandwidth_mb_per_s, write_bandwidth_mb_per_s; /**< the kernel's "MB/s"  */
    roma_nodes initiators; /**< the nodes that these figures are for              */
    int memory_tier;       /**< the kernel's number (Linux 6.1), lower is faster; -1: not known */
} roma_node_info;

/** The nodes that are online; those with memory; with CPUs; allowed to this process (cpuset). */
ROMA_API roma_nodes roma_topology_nodes(const roma_topology *topology);
ROMA_API roma_nodes roma_topology_memory_nodes(const roma_topology *topology);
ROMA_API roma_nodes roma_topology_cpu_nodes(const roma_topology *topology);
ROMA_API roma_nodes roma_topology_allowed_nodes(const roma_topology *topology);
/** Returns 0, or -EINVAL when there is no such node. */
ROMA_API int roma_topology_node(const roma_topology *topology, unsigned node,
                                roma_node_info *info);
/** The kernel's relative distance, 10 for a node to itself; 0 when it is not known. */
ROMA_API unsigned roma_topology_distance(const roma_topology *topology, unsigned from,
                                         unsigned to);

/** One page kind that the machine has. */
typedef struct roma_kind_info {
    roma_page_kind pages; /**< with its size */
    bool usable;          /**< base: always; transparent: not switched off ("never"); hugetlb: the
                               kernel has a pool of this size, even an empty one */
    char mode[16];        /**< transparent: "always", "madvise", "never", "inherit"; else "" */
} roma_kind_info;

/** How many page kinds the machine has; roma_topology_kind() gives each: hugetlb sizes from large
 *  to small, transparent sizes from large to small, base. */
ROMA_API unsigned roma_topology_kinds_count(const roma_topology *topology);
ROMA_API int roma_topology_kind(const roma_topology *topology, unsigned index,
                                roma_kind_info *info);
/** Bytes of a kind, its default size looked up; 0 when the machine has no such kind. */
ROMA_API size_t roma_topology_page_bytes(const roma_topology *topology, roma_page_kind kind);
/** The same kind with its size made explicit; 0 when the machine has no such kind. */
ROMA_API roma_page_kind roma_topology_resolve(const roma_topology *topology, roma_page_kind kind);

/** A hugetlb page pool, counts in pages. */
typedef struct roma_pool_info {
    size_t page_bytes;
    uint64_t total, free, reserved, surplus; /**< reserved: 0 for a single node (not reported) */
    uint64_t overcommit;                     /**< nr_overcommit_hugepages; 0 for a single node */
} roma_pool_info;

/** The pool of pages of this size; node -1: the machine's, else that node's part.
 *  Returns 0, or -EINVAL when there is none. */
ROMA_API int roma_topology_pool(const roma_topology *topology, size_t page_bytes, int node,
                                roma_pool_info *info);

typedef enum roma_limit_kind {
    ROMA_LIMIT_MEMORY = 1,  /**< memory cgroup: memory.max, memory.limit_in_bytes          */
    ROMA_LIMIT_HUGETLB,     /**< hugetlb cgroup, pages in use                              */
    ROMA_LIMIT_HUGETLB_RSVD /**< hugetlb cgroup, pages reserved                            */
} roma_limit_kind;

/** A cgroup limit that binds this process; ancestors' too. */
typedef struct roma_limit_info {
    roma_limit_kind kind;
    size_t page_bytes;        /**< for hugetlb limits; 0 else                              */
    uint64_t max_bytes, used_bytes;
    unsigned cgroup_version;  /**< 1 or 2                                                  */
    char cgroup[256];         /**< its path in the hierarchy, "/" first; cut when longer   */
} roma_limit_info;

ROMA_API unsigned roma_topology_limits_count(const roma_topology *topology);
ROMA_API int roma_topology_limit(const roma_topology *topology, unsigned index,
                                 roma_limit_info *info);

/** Settings of the whole system; -1 and "" where the kernel does not say. */
typedef struct roma_system_info {
    char kernel[64];            /**< release, "6.18.44"                                          */
    size_t base_page_bytes;
    size_t thp_bytes;           /**< largest transparent huge page; 0: none                      */
    char thp_enabled[16];       /**< "always", "madvise", "never"                                */
    char thp_defrag[24];
    int numa_balancing;         /**< 0 off, 1 on, 2 memory tiering                               */
    int overcommit_memory;      /**< 0 heuristic, 1 always, 2 never                              */
    int io_uring_disabled;      /**< the sysctl: 0 allowed, 1 restricted, 2 off; -1: no sysctl   */
    int io_uring_error;         /**< 0: io_uring_setup works here; else its -errno; 1: not tried
                                     (a captured tree)                                           */
    uint64_t memory_total_bytes, memory_available_bytes;
} roma_system_info;

ROMA_API void roma_topology_system(const roma_topology *topology, roma_system_info *info);

#ifdef __cplusplus
}
#endif
#endif
