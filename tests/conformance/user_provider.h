/* user_provider.h - a provider as a user would write one, for the conformance suite. */
#ifndef ROMA_TESTS_USER_PROVIDER_H
#define ROMA_TESTS_USER_PROVIDER_H

#include <roma/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

extern const roma_provider_ops user_provider_ops;

#ifdef __cplusplus
}
#endif
#endif
