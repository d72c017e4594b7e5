/* pagemap.c - see pagemap.h. The scan answers in runs, however large the range; where the kernel
 * lacks or refuses it, each page's entry is read: 8 bytes a page, whose top bit says "present". */
#include "sys/pagemap.h"

#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>

enum { REGIONS = 64, ENTRIES = 256 };

typedef int (*visit_run)(void *context, const roma__present *run);

/* One scan from `start`: fills `regions`, moves *stop to where it stopped. A count, or -errno. */
static int scan_once(int fd, uintptr_t start, uintptr_t end, roma__pagemap_region *regions,
                     uintptr_t *stop)
{
    roma__pagemap_argument argument = {
        .size = sizeof argument,
        .start = start,
        .end = end,
        .vec = (uintptr_t)regions,
        .vec_len = REGIONS,
        .category_inverted = ROMA__PAGE_IS_PFNZERO,
        .category_mask = ROMA__PAGE_IS_PRESENT | ROMA__PAGE_IS_PFNZERO,
        .return_mask = ROMA__PAGE_IS_PRESENT | ROMA__PAGE_IS_HUGE,
    };
    int count = roma__sys->pagemap_scan(fd, &argument);
    if (count < 0)
        return -errno;
    *stop = (uintptr_t)argument.walk_end;
    return *stop > start ? count : -EIO; /* no progress: never loop on it */
}

/* Go on from a first answer of `count` regions. */
static int scan_on(int fd, uintptr_t end, roma__pagemap_region *regions, int count, uintptr_t stop,
                   visit_run visit, void *context)
{
    for (;;) {
        for (int i = 0; i < count; i++) {
            roma__present run = {(uintptr_t)regions[i].start, (uintptr_t)regions[i].end,
                                 (regions[i].categories & ROMA__PAGE_IS_HUGE) != 0};
            int code = visit(context, &run);
            if (code != 0)
                return code;
        }
        if (stop >= end)
            return 0;
        count = scan_once(fd, stop, end, regions, &stop);
        if (count < 0)
            return count;
    }
}

/* Entries of up to `count` pages from `start`; how many were read, or -errno. */
static ssize_t read_entries(int fd, uintptr_t start, size_t base_bytes, uint64_t *entries,
                            size_t count)
{
    off_t offset = (off_t)(start / base_bytes * sizeof *entries);
    for (;;) {
        ssize_t length = roma__sys->pread(fd, entries, count * sizeof *entries, offset);
        if (length >= 0)
            return length / (ssize_t)sizeof *entries;
        if (errno != EINTR)
            return -errno;
    }
}

static int read_each(int fd, uintptr_t start, uintptr_t end, size_t base_bytes, visit_run visit,
                     void *context)
{
    uint64_t entries[ENTRIES];
    roma__present run = {start, start, false};
    while (start < end) {
        size_t wanted = (end - start) / base_bytes;
        ssize_t count = read_entries(fd, start, base_bytes, entries,
                                     wanted < ENTRIES ? wanted : ENTRIES);
        if (count <= 0)
            return count < 0 ? (int)count : -EIO;
        for (ssize_t i = 0; i < count; i++, start += base_bytes) {
            bool present = entries[i] >> 63 != 0;
            if (present) {
                run.end = start + base_bytes;
                continue;
            }
            int code = run.end > run.start ? visit(context, &run) : 0;
            if (code != 0)
                return code;
            run.start = run.end = start + base_bytes;
        }
    }
    return run.end > run.start ? visit(context, &run) : 0;
}

int roma__pagemap_each(uintptr_t start, uintptr_t end, size_t base_bytes, bool *huge_known,
                       visit_run visit, void *context)
{
    *huge_known = false;
    if (start >= end)
        return 0;
    int fd = roma__sys->open("/proc/self/pagemap", O_RDONLY);
    if (fd < 0)
        return -errno;
    roma__pagemap_region regions[REGIONS] = {0}; /* Memcheck does not know what the scan fills */
    uintptr_t stop = start;
    int count = scan_once(fd, start, end, regions, &stop);
    *huge_known = count >= 0;
    int code = *huge_known ? scan_on(fd, end, regions, count, stop, visit, context)
                           : read_each(fd, start, end, base_bytes, visit, context);
    (void)roma__sys->close(fd);
    return code;
}
