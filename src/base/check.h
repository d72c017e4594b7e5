/* check.h - roma_check(): our own bug aborts, with the place and the broken condition.
 *
 * Not for the caller's mistakes (returned) nor the world's failures (returned with their cause).
 * Always compiled in: a condition that costs too much to test belongs into a thing_is_valid(). */
#ifndef ROMA_BASE_CHECK_H
#define ROMA_BASE_CHECK_H

#ifdef __cplusplus
extern "C" {
#endif

__attribute__((noreturn, cold)) void roma__check_failed(const char *condition, const char *file,
                                                        int line);

#define roma_check(condition) \
    (__builtin_expect(!!(condition), 1) ? (void)0 \
                                        : roma__check_failed(#condition, __FILE__, __LINE__))

#ifdef __cplusplus
}
#endif
#endif
