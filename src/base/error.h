/* error.h - filling error records. The sentences that they print as are in error.c, one place. */
#ifndef ROMA_BASE_ERROR_H
#define ROMA_BASE_ERROR_H

#include <roma/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Fill *error (NULL: nothing) with a code and a reason, all else empty; returns `code`. */
int roma__error(roma_error *error, int code, roma_why why);

/* The same, naming a field, option, cgroup or feature. */
int roma__error_subject(roma_error *error, int code, roma_why why, const char *subject);

/* A system call failed with errno `cause`: CALL, or CALL_REFUSED for EPERM and ENOSYS. The code is
 * -cause. */
int roma__error_call(roma_error *error, const char *call, int cause);

#ifdef __cplusplus
}
#endif
#endif
