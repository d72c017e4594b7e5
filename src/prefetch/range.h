/* range.h - reading the ranges that programs name. */
#ifndef ROMA_PREFETCH_RANGE_H
#define ROMA_PREFETCH_RANGE_H

#include <roma/prefetch.h>

#include "prefetch/plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Note in *error (may be NULL) which range it is about; returns `code`. */
int roma__range_error(roma_error *error, size_t index, int code);

/* The file of a range: of its map, or looked at. Returns 0 or -errno, with *error. */
int roma__range_file(const roma_file_range *range, size_t index, roma__file *file,
                     roma_error *error);

/* Check a range of that file: inside its map, addresses that fit offsets, no overflow; asked->file
 * and code become 0. Returns 0, -EINVAL or -EOVERFLOW, with *error. */
int roma__range_check(const roma_file_range *range, size_t index, const roma__file *file,
                      roma__asked *asked, roma_error *error);

/* Both. A map's file is looked at, too: its length may have changed. */
int roma__range_read(const roma_file_range *range, size_t index, roma__file *file,
                     roma__asked *asked, roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
