/* hugepool.h - hugetlb page pools as /sys tells them: the machine's and one node's. */
#ifndef ROMA_SYS_HUGEPOOL_H
#define ROMA_SYS_HUGEPOOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Counts in pages. */
typedef struct roma__hugepool {
    size_t page_bytes;
    uint64_t total, free, reserved, surplus, overcommit;
} roma__hugepool;

enum { ROMA__HUGEPOOLS_MAX = 8 };

/* The page sizes that the folders in `folder` are named after ("hugepages-2048kB"), largest first,
 * at most `max` of them. Returns how many; 0 too when there is no such folder, or -errno. */
int roma__hugepage_folders(const char *root, const char *folder, size_t *sizes, int max);

/* The sizes that this machine has pools for, largest first. Returns how many, 0 without hugetlb,
 * or -errno. */
int roma__hugepool_sizes(const char *root, size_t sizes[ROMA__HUGEPOOLS_MAX]);

/* Read one pool: the machine's (node < 0) or a node's part, whose reserved and overcommit are 0.
 * Returns 0, or -ENOENT when there is none, -errno. */
int roma__hugepool_read(const char *root, size_t page_bytes, int node, roma__hugepool *pool);

#ifdef __cplusplus
}
#endif
#endif
