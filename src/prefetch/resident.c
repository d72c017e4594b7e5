/* resident.c - what of a file is in the page cache: cachestat() (Linux 6.5), which counts in
 * folios, or mincore() on a mapping that nobody touches, a byte a page.
 *
 * They do not count the same: to cachestat() a page is cached from when its read begins, to
 * mincore() when it has ended. Asking mincore() for every page takes a thousand times as long (70
 * ms a GiB and more).
 *
 * Neither reads a page, and neither is told to everybody: only who owns a file or may write it
 * learns what is cached of it. mincore() answers "all of it" to others, so it is not asked for
 * them. Which of the two there is, is tried at each question: a filter may come at any time, and a
 * refused call costs less than the other one. Of a file of an overlay cachestat() says that nothing
 * is cached, since its pages are another file's: there mincore() alone is asked. */
#include "prefetch/resident.h"

#include "base/bits.h"
#include "base/error.h"
#include "prefetch/range.h"
#include "prefetch/shadow.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <string.h>

enum { SLICE_PAGES = 4096, TRIES = 1000 };

/* ---- asking --------------------------------------------------------------------------------- */

static int ask_cachestat(const roma__file *file, uint64_t offset, uint64_t bytes,
                         roma__resident *resident)
{
    const roma__cachestat_range range = {offset, bytes};
    roma__cachestat found = {0};
    if (roma__sys->cachestat(file->fd, &range, &found, 0) < 0)
        return -errno;
    size_t page_bytes = file->page_bytes;
    *resident = (roma__resident){found.cached * page_bytes, found.dirty * page_bytes,
                                 found.writeback * page_bytes, true};
    return 0;
}

static int count_slice(char *address, size_t bytes, size_t page_bytes, uint64_t *resident_bytes)
{
    unsigned char present[SLICE_PAGES];
    for (int tries = 0; roma__sys->mincore(address, bytes, present) < 0; tries++)
        if (errno != EAGAIN || tries == TRIES)
            return -errno;
    for (size_t i = 0; i < bytes / page_bytes; i++)
        *resident_bytes += (present[i] & 1) != 0 ? page_bytes : 0;
    return 0;
}

static int ask_mincore(const roma__file *file, uint64_t offset, uint64_t bytes,
                       roma__resident *resident)
{
    const uint64_t window_bytes = (uint64_t)1 << 30;
    *resident = (roma__resident){0};
    int code = 0;
    for (uint64_t at = 0; code == 0 && at < bytes; at += window_bytes) {
        size_t window = (size_t)(bytes - at < window_bytes ? bytes - at : window_bytes);
        roma__shadow shadow;
        code = roma__shadow_map(&shadow, file->fd, offset + at, window, ROMA__SHADOW_PLAIN);
        if (code < 0)
            return code;
        size_t slice = SLICE_PAGES * file->page_bytes;
        for (size_t in = 0; code == 0 && in < window; in += slice)
            code = count_slice(shadow.address + in, roma__min(slice, window - in), file->page_bytes,
                               &resident->bytes);
        roma__shadow_unmap(&shadow);
    }
    return code;
}

int roma__resident_ask(const roma__file *file, uint64_t offset, uint64_t bytes,
                       roma__resident *resident)
{
    if (file->kind == ROMA__FILE_HUGETLB)
        return -EOPNOTSUPP;
    int code = file->is_stacked ? -ENOSYS : ask_cachestat(file, offset, bytes, resident);
    if (code == 0 || !file->may_ask)
        return code == 0 ? 0 : -EPERM;
    return ask_mincore(file, offset, bytes, resident);
}

bool roma__resident_is_read(char *address, size_t bytes, size_t page_bytes)
{
    const size_t slice = SLICE_PAGES * page_bytes;
    uint64_t there = 0;
    for (size_t at = 0; at < bytes; at += slice)
        if (count_slice(address + at, roma__min(slice, bytes - at), page_bytes, &there) < 0)
            return false;
    return there >= bytes;
}

bool roma__resident_is_quick(void)
{
    /* Of no file: a kernel that has the call says so. */
    const roma__cachestat_range range = {0, 1};
    roma__cachestat found;
    return roma__sys->cachestat(-1, &range, &found, 0) == 0 || errno == EBADF;
}

/* ---- for programs --------------------------------------------------------------------------- */

int roma_residency_of(const roma_file_range *ranges, size_t n, roma_residency *residency,
                      roma_error *error)
{
    if ((ranges == NULL && n > 0) || residency == NULL)
        return roma__error_invalid(error, residency == NULL ? "residency" : "ranges");
    if (residency->size < sizeof *residency)
        return roma__error_invalid(error, "size");
    size_t size = residency->size;
    memset(residency, 0, sizeof *residency);
    residency->size = size;
    residency->details = true;
    for (size_t i = 0; i < n; i++) {
        roma__file file = {0};
        roma__asked asked = {0};
        uint64_t start, end;
        int code = roma__range_read(&ranges[i], i, &file, &asked, error);
        if (code < 0)
            return code;
        if (!roma__asked_pages(&file, &asked, &start, &end))
            continue;
        roma__resident resident = {0};
        code = roma__resident_ask(&file, start, end - start, &resident);
        if (code == -EOPNOTSUPP && file.kind == ROMA__FILE_HUGETLB)
            code = roma__error_subject(error, code, ROMA_WHY_UNSUPPORTED,
                                       "telling what is resident of a hugetlbfs");
        else if (code < 0)
            code = roma__error_call(error, "cachestat", -code);
        if (code < 0)
            return roma__range_error(error, i, code);
        residency->bytes += end - start;
        residency->resident_bytes += resident.bytes;
        residency->dirty_bytes += resident.dirty_bytes;
        residency->writeback_bytes += resident.writeback_bytes;
        residency->details = residency->details && resident.details;
    }
    return 0;
}
