/* figures.c - the calls that ask a malloc about itself, or tell it what to do.
 *
 * The structures are glibc's, and filled with what comes closest: arena is what the extents hold,
 * uordblks what blocks use of it, fordblks the rest, keepcost what trimming would give back. */
#include "malloc/shim.h"

#include "base/text.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>

ROMA__EXPORT int malloc_trim(size_t keep_bytes);
ROMA__EXPORT struct mallinfo mallinfo(void);
ROMA__EXPORT int mallopt(int parameter, int value);
ROMA__EXPORT void malloc_stats(void);

/* The peaks of several heaps may have been at different times: their sum is no less than that of
 * all. */
static void add(roma__heap_figures *sum, const roma__heap_figures *part)
{
    sum->cells_live += part->cells_live;
    sum->takes += part->takes;
    sum->releases += part->releases;
    sum->bytes_live += part->bytes_live;
    sum->usable_live += part->usable_live;
    sum->usable_peak += part->usable_peak;
    sum->extents_live += part->extents_live;
    sum->extents_bytes += part->extents_bytes;
    sum->free_bytes += part->free_bytes;
    sum->returned_bytes += part->returned_bytes;
    sum->metadata_bytes += part->metadata_bytes;
}

roma__heap_figures roma__shim_figures(void)
{
    roma__heap_figures sum = {0};
    ROMA__EACH_SHIM_HEAP (at) {
        roma__heap_figures part = roma__heap_figures_of(at->heap);
        add(&sum, &part);
    }
    return sum;
}

/* Figures are read one after the other while other threads go on: what is a part of another may
 * prove larger. */
static uint64_t without(uint64_t whole, uint64_t part)
{
    return whole > part ? whole - part : 0;
}

uint64_t roma__shim_held(const roma__heap_figures *figures)
{
    return without(figures->extents_bytes, figures->returned_bytes);
}

static roma__heap_figures figures_now(void)
{
    (void)roma__shim_heap();
    return roma__shim_figures();
}

/* What the others hold counts towards what is to stay. */
static size_t trim_one(roma__heap *heap, size_t keep_bytes)
{
    uint64_t all = roma__shim_held_bytes(), own = roma__heap_held_bytes(heap);
    uint64_t others = all > own ? all - own : 0;
    return roma__heap_trim(heap, keep_bytes > others ? keep_bytes - (size_t)others : 0);
}

int malloc_trim(size_t keep_bytes)
{
    int saved = errno;
    size_t given = 0;
    ROMA__EACH_SHIM_HEAP (at) {
        given += trim_one(at->heap, keep_bytes);
    }
    errno = saved;
    return given > 0;
}

/* The knobs of glibc's algorithm have no counterpart; programs expect that setting them works. */
int mallopt(int parameter, int value)
{
    (void)parameter;
    (void)value;
    return 1;
}

/* ---- mallinfo -------------------------------------------------------------------------------- */

/* Of this type there are two: numbers of int, and since glibc 2.33 of size_t. */
static int clipped(uint64_t value)
{
    return value > INT_MAX ? INT_MAX : (int)value;
}

/* What is in no block. */
static uint64_t rest(const roma__heap_figures *figures)
{
    return without(roma__shim_held(figures), figures->usable_live);
}

struct mallinfo mallinfo(void)
{
    roma__heap_figures figures = figures_now();
    struct mallinfo info = {
        .arena = clipped(roma__shim_held(&figures)),
        .hblks = clipped(figures.extents_live),
        .uordblks = clipped(figures.usable_live),
        .fordblks = clipped(rest(&figures)),
        .keepcost = clipped(figures.free_bytes),
    };
    return info;
}

#if __GLIBC_PREREQ(2, 33)
ROMA__EXPORT struct mallinfo2 mallinfo2(void);

struct mallinfo2 mallinfo2(void)
{
    roma__heap_figures figures = figures_now();
    struct mallinfo2 info = {
        .arena = roma__shim_held(&figures),
        .hblks = figures.extents_live,
        .uordblks = figures.usable_live,
        .fordblks = rest(&figures),
        .keepcost = figures.free_bytes,
    };
    return info;
}
#endif

/* ---- malloc_stats ---------------------------------------------------------------------------- */

void roma__shim_tell_figures(void)
{
    roma__heap_figures figures = figures_now();
    char line[400], live[32], peak[32], held_text[32], held_peak[32], metadata[32];
    roma__text text = roma__shim_line_in(line, sizeof line);
    roma__text_add(&text, "%llu blocks, %s live (peak %s), %s held (peak %s), %s of metadata",
                   (unsigned long long)figures.cells_live,
                   roma_size_text(figures.bytes_live, live, sizeof live),
                   roma_size_text(figures.usable_peak, peak, sizeof peak),
                   roma_size_text(roma__shim_held(&figures), held_text, sizeof held_text),
                   roma_size_text(roma__shim_held_peak_bytes(), held_peak, sizeof held_peak),
                   roma_size_text(figures.metadata_bytes, metadata, sizeof metadata));
    roma__shim_tell(line);
}

void malloc_stats(void)
{
    roma__shim_tell_figures();
}
