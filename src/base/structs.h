/* structs.h - reading structs that begin with their size, from programs of any version.
 *
 * A program built against an older roma passes a shorter struct: what it lacks is zero, which means
 * "as before" for every field that is ever added. One built against a newer roma passes a longer
 * one: fine as long as what we do not know is zero, refused else, because ignoring a wish silently
 * is worse than failing. */
#ifndef ROMA_BASE_STRUCTS_H
#define ROMA_BASE_STRUCTS_H

#include <roma/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Read `given`, which begins with its size, into ours of `bytes`. None is shorter than what the
 * first version had, `least_bytes`.
 * Returns 0, -EINVAL (too short, or no sane size) or -E2BIG, with *error (may be NULL) naming
 * `subject`. */
int roma__struct_read(void *own, size_t bytes, const void *given, size_t least_bytes,
                      const char *subject, roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
