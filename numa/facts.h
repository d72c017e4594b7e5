/* facts.h - single facts about nodes and page kinds, each read from one kernel file at the moment
 * of the question. The topology is a snapshot made of them; the pre-flight checks ask again. */
#ifndef ROMA_NUMA_FACTS_H
#define ROMA_NUMA_FACTS_H

#include <roma/nodes.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Does this -errno of a reader only say that the kernel, or a container's view of it, lacks a file
 * or says there what we do not understand? Running out of descriptors or memory is not that. */
bool roma__fact_is_absent(int code);

/* The nodes that are online. A kernel without NUMA has the one node 0 and *has_numa false.
 * Returns 0 or -errno; -EINVAL when the list is none or empty. */
int roma__fact_online(const char *root, roma_nodes *online, bool *has_numa);

/* Of the online nodes those with memory. Returns 0 or -errno. */
int roma__fact_memory_nodes(const char *root, const roma_nodes *online, roma_nodes *nodes);

/* The nodes that the cpuset allows to this process; all, where there are no cpusets. Not cut to
 * what is online. Returns 0 or -errno. */
int roma__fact_allowed(const char *root, roma_nodes *nodes);

/* The figures of a meminfo, in bytes; 0 where it lacks one. */
typedef struct roma__memory {
    uint64_t total_bytes, free_bytes;
    uint64_t file_bytes;        /* file pages that can be dropped, active or not */
    uint64_t mapped_bytes;      /* of them, and of shared memory: some process has them mapped */
    uint64_t reclaimable_bytes; /* kernel caches that can be shrunk              */
    uint64_t available_bytes;   /* the machine's only                            */
    uint64_t hugepage_bytes;    /* the machine's only: default hugetlb page size */
} roma__memory;

/* The machine's (node < 0) or one node's memory. Returns 0 or -errno. */
int roma__fact_memory(const char *root, int node, roma__memory *memory);

/* What ordinary allocations can still get on a node without reclaim getting hard, as the kernel
 * estimates MemAvailable: free memory less what the zones keep back, plus half or more of the file
 * pages and reclaimable caches. Two things more are left alone, since a strict request that comes
 * too close is answered by the OOM killer: file pages that are mapped (the code of programs that
 * run), and a 64th of the node, at most 32 MiB, for page tables and what others take meanwhile.
 * It is an estimate: dirty file pages may not go at once. Returns 0 or -errno. */
int roma__fact_headroom(const char *root, int node, uint64_t *bytes);

enum { ROMA__THP_MODE_BYTES = 16 };

/* Bytes of the transparent huge page that one entry of a page middle directory maps; 0: the kernel
 * has none, or cannot be asked. */
size_t roma__fact_thp_full_bytes(const char *root);

/* How transparent huge pages of a size are to be had: "always", "madvise", "never"; "inherit" means
 * as the setting for all sizes. `bytes` 0 asks for that setting. Kernels before 6.8 have the full
 * size only, by the setting for all. Returns 0 or -errno. */
int roma__fact_thp_mode(const char *root, size_t bytes, char mode[ROMA__THP_MODE_BYTES]);

/* Has this process been excluded from them (prctl PR_SET_THP_DISABLE)? */
bool roma__fact_thp_disabled(const char *root);

#ifdef __cplusplus
}
#endif
#endif
