/* error.h - filling error records. The sentences that they print as are in error.c, one place. */
#ifndef ROMA_BASE_ERROR_H
#define ROMA_BASE_ERROR_H

#include <roma/error.h>

#include <errno.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fill *error (NULL: nothing) with a code and a reason, all else empty; subject names a field,
 * option, cgroup or feature (NULL: none). */
void roma__error_fill(roma_error *error, int code, roma_why why, const char *subject);

/* The same; both return `code`, inline, so that compilers see that a failure is one. */
static inline int roma__error_subject(roma_error *error, int code, roma_why why,
                                      const char *subject)
{
    roma__error_fill(error, code, why, subject);
    return code;
}

static inline int roma__error(roma_error *error, int code, roma_why why)
{
    return roma__error_subject(error, code, why, NULL);
}

/* The caller's mistake, in this field or argument; returns -EINVAL. */
static inline int roma__error_invalid(roma_error *error, const char *subject)
{
    return roma__error_subject(error, -EINVAL, ROMA_WHY_INVALID, subject);
}

/* A system call failed with errno `cause`: CALL, or CALL_REFUSED for EPERM and ENOSYS. The code is
 * -cause, but -EOPNOTSUPP for EINVAL. */
int roma__error_call(roma_error *error, const char *call, int cause);

#ifdef __cplusplus
}
#endif
#endif
