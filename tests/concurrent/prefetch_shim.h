/* prefetch_shim.h - what the tests of the prefetch engine see of its inside. */
#ifndef ROMA_TESTS_PREFETCH_SHIM_H
#define ROMA_TESTS_PREFETCH_SHIM_H

#include <roma/prefetch.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Its accounts agree with its ops and jobs, at this instant. */
bool prefetch_is_valid(roma_prefetch_engine *engine);

#ifdef __cplusplus
}
#endif
#endif
