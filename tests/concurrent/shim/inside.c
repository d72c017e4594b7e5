/* inside.c - see inside.h. Compiled as the shim is, with renamed.h before it. */
#include "inside.h"

#include "malloc/settings.h"
#include "malloc/shim.h"

#include <malloc.h>

/* Both calls are made: each fills a structure of its own. That of the older one is of int. */
size_t inside_mallinfo_held(void)
{
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    size_t held = (size_t)mallinfo().arena;
#pragma GCC diagnostic pop
#if __GLIBC_PREREQ(2, 33)
    held = mallinfo2().arena;
#endif
    return held;
}

struct inside_figures inside_figures_now(void)
{
    roma__heap_figures figures = roma__shim_figures();
    return (struct inside_figures){figures.takes, figures.releases, figures.cells_live,
                                   figures.bytes_live};
}

void inside_report(void)
{
    if (roma__settings.report[0] != '\0')
        roma__shim_report();
}

static void tell(void *context, const char *sentence)
{
    (void)context;
    roma__shim_tell(sentence);
}

uint64_t inside_faults(void)
{
    uint64_t faults = 0;
    ROMA__EACH_SHIM_HEAP (at) {
        faults += roma__heap_check(at->heap, tell, NULL);
    }
    return faults;
}

unsigned inside_heaps_count(void)
{
    unsigned count = 0;
    ROMA__EACH_SHIM_HEAP (at) {
        count++;
    }
    return count;
}

bool inside_has_background(void)
{
    return roma__settings.has_background;
}

bool inside_has_limit(void)
{
    return roma__settings.limit_bytes != UINT64_MAX;
}
