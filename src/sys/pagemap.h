/* pagemap.h - which pages of this process's own address space are present, and which are mapped as
 * huge ones: /proc/self/pagemap, by the PAGEMAP_SCAN call (Linux 6.7) or entry by entry. */
#ifndef ROMA_SYS_PAGEMAP_H
#define ROMA_SYS_PAGEMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A run of present pages. */
typedef struct roma__present {
    uintptr_t start, end;
    bool huge; /* mapped as hugetlb or whole transparent huge pages; false where it is not known */
} roma__present;

/* Visit the present runs of [start, end), which is aligned to base pages, in order.
 *
 * *huge_known is set before the first visit: false when the kernel cannot tell, entry by entry; the
 * shared page of zeros then counts as present, else not. A non-zero return of `visit` ends the walk
 * and is returned. Returns 0 or -errno. */
int roma__pagemap_each(uintptr_t start, uintptr_t end, size_t base_bytes, bool *huge_known,
                       int (*visit)(void *context, const roma__present *run), void *context);

#ifdef __cplusplus
}
#endif
#endif
