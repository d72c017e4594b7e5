/* records.c - see records.h. One mapping a record; the kernel rounds its length up to pages. */
#include "sys/records.h"

#include "base/check.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/mman.h>

void *roma__record_new(size_t bytes)
{
    roma_check(bytes > 0);
    void *record = roma__sys->mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                                   -1, 0);
    return record == MAP_FAILED ? NULL : record;
}

void roma__record_free(void *record, size_t bytes)
{
    if (record == NULL)
        return;
    int saved = errno;
    (void)roma__sys->munmap(record, bytes); /* fails only when the kernel has no memory to split */
    errno = saved;
}
