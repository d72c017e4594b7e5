/* cgroup.h - the cgroup limits that bind this process, of version 1, 2 and hybrid hierarchies, its
 * own cgroup's and every ancestor's.
 *
 * Where the hierarchies are mounted comes from /proc/self/mountinfo, which cgroups the process is
 * in from /proc/self/cgroup. */
#ifndef ROMA_SYS_CGROUP_H
#define ROMA_SYS_CGROUP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum roma__limit_kind {
    ROMA__LIMIT_MEMORY = 1,
    ROMA__LIMIT_HUGETLB,
    ROMA__LIMIT_HUGETLB_RSVD
} roma__limit_kind;

typedef struct roma__limit {
    roma__limit_kind kind;
    unsigned version;     /* 1 or 2                                   */
    size_t page_bytes;    /* hugetlb; 0 for memory                    */
    uint64_t max_bytes;   /* never UINT64_MAX: unlimited ones are left out */
    uint64_t used_bytes;
    uint64_t cache_bytes; /* memory: file pages among the used, which the kernel can drop */
    char cgroup[256];     /* path in the hierarchy                    */
} roma__limit;

/* Visit each limit that is set; hugetlb files are looked at for each of `sizes`. A non-zero return
 * of `visit` ends the walk and is returned. No cgroups mounted: 0 and no visit. Returns 0 or
 * -errno. */
int roma__cgroup_limits(const char *root, const size_t *page_sizes, size_t sizes_count,
                        int (*visit)(void *context, const roma__limit *limit), void *context);

#ifdef __cplusplus
}
#endif
#endif
