/* named.h - the providers that are always there, by their names. */
#ifndef ROMA_NUMA_ARENA_NAMED_H
#define ROMA_NUMA_ARENA_NAMED_H

#include <roma/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "anonymous", or "node3" for node 3. NULL: no such provider, or no such node here. */
roma_provider *roma__provider_named(const char *name);

#ifdef __cplusplus
}
#endif
#endif
