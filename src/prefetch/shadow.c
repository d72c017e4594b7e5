/* shadow.c - see shadow.h. Advice is a hint, and a kernel that refuses it fills the page cache all
 * the same; a shadow that a child of fork() inherits costs it nothing but addresses. */
#include "prefetch/shadow.h"

#include "base/bits.h"
#include "prefetch/file.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>

char *roma__addresses_like(uint64_t offset, size_t bytes)
{
    size_t huge_bytes = roma__file_huge_bytes();
    size_t more = bytes >= huge_bytes ? huge_bytes : 0;
    char *start = roma__sys->mmap(NULL, bytes + more, PROT_NONE,
                                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return NULL;
    if (more == 0)
        return start;
    size_t skip = (size_t)(offset - (uintptr_t)start) & (huge_bytes - 1);
    if (skip > 0)
        (void)roma__sys->munmap(start, skip);
    if (skip < more)
        (void)roma__sys->munmap(start + skip + bytes, more - skip);
    return start + skip;
}

int roma__shadow_map(roma__shadow *shadow, int fd, uint64_t offset, size_t bytes,
                     roma__shadow_kind kind)
{
    char *address = NULL;
    if (kind == ROMA__SHADOW_HUGE) {
        address = roma__addresses_like(offset, bytes);
        if (address == NULL)
            return -errno;
    }
    char *mapped = roma__sys->mmap(address, bytes, PROT_READ,
                                   MAP_SHARED | MAP_NORESERVE | (address != NULL ? MAP_FIXED : 0),
                                   fd, (off_t)offset);
    if (mapped == MAP_FAILED) {
        int cause = errno;
        if (address != NULL)
            (void)roma__sys->munmap(address, bytes);
        return -cause;
    }
    (void)roma__sys->madvise(mapped, bytes, MADV_DONTFORK);
    /* Huge pages that are too long for us would be read as a whole for each chunk. */
    if (kind == ROMA__SHADOW_HUGE && roma__file_huge_bytes() != 0)
        (void)roma__sys->madvise(mapped, bytes, MADV_HUGEPAGE);
    else if (kind == ROMA__SHADOW_RANDOM)
        (void)roma__sys->madvise(mapped, bytes, MADV_RANDOM);
    *shadow = (roma__shadow){mapped, bytes};
    return 0;
}

void roma__shadow_unmap(roma__shadow *shadow)
{
    if (shadow->address != NULL)
        (void)roma__sys->munmap(shadow->address, shadow->bytes);
    *shadow = (roma__shadow){NULL, 0};
}
