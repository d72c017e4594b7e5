/* shadow.c - see shadow.h. Advice is a hint, and a kernel that refuses it fills the page cache all
 * the same; a shadow that a child of fork() inherits costs it nothing but addresses.
 *
 * Where a process locks what it maps from now on (mlockall(MCL_FUTURE)), mmap() reads all that it
 * maps, before any advice, and comes back when that is there: a window of 4 GiB for a few pages. It
 * cannot read what may not be touched; so a shadow is mapped without access, and gets it then. */
#include "prefetch/shadow.h"

#include "prefetch/file.h"
#include "provider/space.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>

size_t roma__folio_align(size_t bytes)
{
    size_t huge_bytes = roma__file_huge_bytes();
    return bytes >= huge_bytes ? huge_bytes : 0;
}

int roma__shadow_map(roma__shadow *shadow, int fd, uint64_t offset, size_t bytes,
                     roma__shadow_kind kind)
{
    const roma__space_file file = {
        .fd = fd,
        .protection = PROT_NONE,
        .offset = offset,
        .align = kind == ROMA__SHADOW_HUGE ? roma__folio_align(bytes) : 0,
        .or_anywhere = true,
    };
    char *mapped = NULL;
    int code = roma__space_map_file(&file, bytes, &mapped, NULL);
    if (code < 0)
        return code;
    (void)roma__sys->madvise(mapped, bytes, MADV_DONTFORK);
    /* Huge pages that are too long for us would be read as a whole for each chunk. */
    if (kind == ROMA__SHADOW_HUGE && roma__file_huge_bytes() != 0)
        (void)roma__sys->madvise(mapped, bytes, MADV_HUGEPAGE);
    else if (kind == ROMA__SHADOW_RANDOM)
        (void)roma__sys->madvise(mapped, bytes, MADV_RANDOM);
    *shadow = (roma__shadow){mapped, bytes};
    if (roma__sys->mprotect(mapped, bytes, PROT_READ) == 0)
        return 0;
    code = -errno;
    roma__shadow_unmap(shadow);
    return code;
}

void roma__shadow_unmap(roma__shadow *shadow)
{
    if (shadow->address != NULL)
        (void)roma__sys->munmap(shadow->address, shadow->bytes);
    *shadow = (roma__shadow){NULL, 0};
}
