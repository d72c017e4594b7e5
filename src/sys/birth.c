/* birth.c - see birth.h. Not every file system keeps it, and the kernel says whether this one
 * does. */
#include "sys/birth.h"

#include "sys/kernel.h"
#include "sys/sys.h"

uint64_t roma__birth_ns(int fd)
{
    roma__statx status = {0};
    if (roma__sys->statx(fd, ROMA__STATX_BIRTH, &status) < 0 ||
        (status.mask & ROMA__STATX_BIRTH) == 0)
        return 0;
    return (uint64_t)status.birth_seconds * 1000000000u + status.birth_ns;
}
