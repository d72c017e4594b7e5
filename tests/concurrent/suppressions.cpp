/* suppressions.cpp - what ThreadSanitizer is told of the heap.
 *
 * serve_from   Who looks for an orphan's slab holds his own cache's lock and takes the orphan's.
 *              Which of two caches is the orphan changes over time, so both orders are seen; but
 *              all who hold two hold the heap's caches_lock as well, which they only tried, and
 *              that the search for deadlocks does not know. */
#include "sanitized.hpp"

#ifdef ROMA_TESTS_UNDER_TSAN
extern "C" const char *__tsan_default_suppressions();
extern "C" const char *__tsan_default_suppressions()
{
    return "deadlock:serve_from\n";
}
#endif
