/* suppressions.cpp - what ThreadSanitizer is told of the heap.
 *
 * serve_from   Who looks for an orphan's slab holds his own cache's lock and takes the orphan's.
 *              Which of two caches is the orphan changes over time, so both orders are seen; but
 *              all who hold two hold the heap's caches_lock as well, which they only tried, and
 *              that the search for deadlocks does not know.
 * add_list     Not a false alarm: roma__heap_where() asks for the pages of an extent, under the
 *              lock of the extents, while the thread that has it gives it another length or place,
 *              without that lock. It may then ask for pages that are not of the heap. */
#include "sanitized.hpp"

#ifdef ROMA_TESTS_UNDER_TSAN
extern "C" const char *__tsan_default_suppressions();
extern "C" const char *__tsan_default_suppressions()
{
    return "deadlock:serve_from\n"
           "race:add_list\n";
}
#endif
