/* prefetch_shim.h - what the tests of the prefetch engine see of its inside. */
#ifndef ROMA_TESTS_PREFETCH_SHIM_H
#define ROMA_TESTS_PREFETCH_SHIM_H

#include <roma/prefetch.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Its accounts agree with its ops and jobs, at this instant. */
bool prefetch_is_valid(roma_prefetch_engine *engine);

/* Of two jobs that share a byte budget, one whose pieces always fit and one whose piece does not as
 * long as the other goes on: how many pieces of the former fly before the latter's; at most
 * `most`. */
unsigned prefetch_pieces_before_a_long_one(unsigned most);

#ifdef __cplusplus
}
#endif
#endif
