/* resident.h - how much of a file is in the page cache. */
#ifndef ROMA_PREFETCH_RESIDENT_H
#define ROMA_PREFETCH_RESIDENT_H

#include "prefetch/file.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma__resident {
    uint64_t bytes, dirty_bytes, writeback_bytes; /* whole pages; the latter two with details    */
    bool details;
} roma__resident;

/* Ask for whole pages of a file, `bytes` > 0. Returns 0, -EPERM (the kernel does not tell this
 * process), -EOPNOTSUPP (hugetlbfs), -ENOMEM, -errno. Nobody may rely on the answer: pages come and
 * go. */
int roma__resident_ask(const roma__file *file, uint64_t offset, uint64_t bytes,
                       roma__resident *resident);

/* Whether pages of a shadow are in the page cache and read: one whose read has begun is not. */
bool roma__resident_is_read(char *address, size_t bytes, size_t page_bytes);

/* Whether the kernel has cachestat(), and lets this process call it. */
bool roma__resident_is_quick(void);

#ifdef __cplusplus
}
#endif
#endif
