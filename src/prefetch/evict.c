/* evict.c - giving the memory of ranges back: through the program's mapping where pages are aged or
 * reclaimed, and through the file where the page cache lets go of them.
 *
 * A page that is mapped is in use, and FADV_DONTNEED leaves it alone. So dropping unmaps it from
 * the program's own mapping first; of other mappings nobody here knows. Ranges are narrowed to
 * whole pages: what a neighbour shares stays. */
#include "prefetch/range.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>

/* The whole pages inside a range; the file's last page counts as whole. */
static bool pages_inside(const roma__file *file, const roma__asked *asked, uint64_t *start,
                         uint64_t *end)
{
    uint64_t mask = file->page_bytes - 1;
    if (asked->bytes == 0 || asked->offset >= file->bytes)
        return false;
    *start = (asked->offset + mask) & ~mask;
    *end = asked->offset + asked->bytes >= file->bytes ? (file->bytes + mask) & ~mask
                                                       : (asked->offset + asked->bytes) & ~mask;
    return *start < *end;
}

static int advise(const roma__asked *asked, uint64_t start, uint64_t end, int advice,
                  const char *name, roma_error *error)
{
    uintptr_t address = asked->base + (uintptr_t)start;
    if (roma__sys->madvise((void *)address, (size_t)(end - start), advice) == 0)
        return 0;
    int code = roma__error_call(error, "madvise", errno);
    if (error != NULL)
        roma__text_copy(error->subject, sizeof error->subject, name);
    return code;
}

static int drop(const roma__file *file, const roma__asked *asked, uint64_t start, uint64_t end,
                roma_error *error)
{
    int code = 0;
    if (asked->base != ROMA__UNMAPPED)
        code = advise(asked, start, end, MADV_DONTNEED, "MADV_DONTNEED", error);
    if (code < 0)
        return code;
    if (roma__sys->fadvise(file->fd, (off_t)start, (off_t)(end - start), POSIX_FADV_DONTNEED) == 0)
        return 0;
    return roma__error_call(error, "posix_fadvise", errno);
}

static int evict(const roma__file *file, const roma__asked *asked, roma_evict_how how,
                 roma_error *error)
{
    if (file->kind == ROMA__FILE_HUGETLB)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "evicting pages of a hugetlbfs");
    if (how == ROMA_EVICT_DROP && roma__file_is_memory(file))
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "dropping pages of a file in memory: they are the file");
    if (how != ROMA_EVICT_DROP && asked->base == ROMA__UNMAPPED)
        return roma__error_invalid(error, "address");
    uint64_t start, end;
    if (!pages_inside(file, asked, &start, &end))
        return 0;
    switch (how) {
    case ROMA_EVICT_COLD: return advise(asked, start, end, MADV_COLD, "MADV_COLD", error);
    case ROMA_EVICT_PAGEOUT: return advise(asked, start, end, MADV_PAGEOUT, "MADV_PAGEOUT", error);
    case ROMA_EVICT_DROP: return drop(file, asked, start, end, error);
    }
    return 0;
}

int roma_evict(const roma_file_range *ranges, size_t n, roma_evict_how how, roma_error *error)
{
    if (ranges == NULL && n > 0)
        return roma__error_invalid(error, "ranges");
    if ((unsigned)how > ROMA_EVICT_DROP)
        return roma__error_invalid(error, "how");
    for (size_t i = 0; i < n; i++) {
        roma__file file;
        roma__asked asked;
        int code = roma__range_read(&ranges[i], i, &file, &asked, error);
        if (code == 0)
            code = roma__range_error(error, i, evict(&file, &asked, how, error));
        if (code < 0)
            return code;
    }
    return 0;
}
