/* range.c - see range.h. */
#include "prefetch/range.h"

#include "base/bits.h"
#include "base/error.h"
#include "prefetch/map.h"

#include <errno.h>

int roma__range_error(roma_error *error, size_t index, int code)
{
    if (code < 0 && error != NULL && error->need == 0)
        error->need = index;
    return code;
}

int roma__range_file(const roma_file_range *range, size_t index, roma__file *file,
                     roma_error *error)
{
    if (range->map != NULL) {
        *file = range->map->file;
        return 0;
    }
    return roma__range_error(error, index, roma__file_look(range->fd, file, error));
}

/* Where the range begins in its file, and where the file's first byte would be mapped. */
static int place(const roma_file_range *range, roma__asked *asked, roma_error *error)
{
    uint64_t offset = range->offset;
    asked->base = ROMA__UNMAPPED;
    if (range->map != NULL) {
        const roma_map *map = range->map;
        if (offset > map->reserved_bytes || range->bytes > map->reserved_bytes - offset)
            return roma__error_invalid(error, "bytes");
        offset += map->offset;
        asked->base = (uintptr_t)map->address - (uintptr_t)map->offset;
    } else if (range->address != NULL) {
        asked->base = (uintptr_t)range->address - (uintptr_t)offset;
    }
    asked->offset = offset;
    return 0;
}

int roma__range_check(const roma_file_range *range, size_t index, const roma__file *file,
                      roma__asked *asked, roma_error *error)
{
    *asked = (roma__asked){.bytes = range->bytes};
    int code = place(range, asked, error);
    if (code < 0)
        return roma__range_error(error, index, code);
    if (asked->offset > INT64_MAX || asked->bytes > INT64_MAX - file->page_bytes ||
        asked->offset > INT64_MAX - file->page_bytes - asked->bytes)
        return roma__range_error(
            error, index, roma__error_subject(error, -EOVERFLOW, ROMA_WHY_INVALID, "offset"));
    if (asked->base != ROMA__UNMAPPED && !roma__is_aligned(asked->base, file->page_bytes))
        return roma__range_error(error, index, roma__error_invalid(error, "address"));
    return 0;
}

int roma__range_read(const roma_file_range *range, size_t index, roma__file *file,
                     roma__asked *asked, roma_error *error)
{
    int code = roma__range_file(range, index, file, error);
    if (code == 0 && range->map != NULL)
        code = roma__range_error(error, index, roma__file_look(file->fd, file, error));
    if (code == 0)
        code = roma__range_check(range, index, file, asked, error);
    return code;
}
