/* records.c - see records.h. One mapping a record; the kernel rounds its length up to pages. */
#include "sys/records.h"

#include "base/bits.h"
#include "base/check.h"
#include "sys/sys.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

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
    /* Whole pages, as the kernel takes them by itself: of a part of one ThreadSanitizer thinks that
     * it is there still, and a race when a ring's queues come to lie there. */
    bytes = roma__align_up(bytes, (size_t)getpagesize());
    (void)roma__sys->munmap(record, bytes); /* fails only when the kernel has no memory to split */
    errno = saved;
}
