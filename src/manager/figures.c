/* figures.c - a manager's figures: sums of what its heaps count.
 *
 * Heaps count where blocks begin and end, in the caches of threads, so that no counter is shared.
 * They count cells; a cell is a block and, where somebody looks at bytes, its tail (life.c). Tails
 * are as many as live cells, so they come off the sums; how many there were at the peak is not
 * known, so they stay in it. */
#include "manager/manager.h"

/* The figures of other threads may lag: a difference does not go below nothing. */
static uint64_t less(uint64_t all, uint64_t part)
{
    return all < part ? 0 : all - part;
}

roma__figures roma__figures_of(roma_manager *manager)
{
    roma__figures sum = {0};
    ROMA__EACH_HEAP (manager, route) {
        roma__heap_figures heap = roma__heap_figures_of(route->heap);
        uint64_t tails = heap.cells_live * roma__tail_bytes(manager, route->heap);
        sum.live += heap.cells_live;
        sum.allocations += heap.takes;
        sum.releases += heap.releases;
        sum.bytes += less(heap.bytes_live, tails);
        sum.usable_bytes += less(heap.usable_live, tails);
        sum.peak_bytes += heap.usable_peak;
        sum.extents += heap.extents_live;
        sum.held_bytes += heap.extents_bytes;
        sum.free_bytes += heap.free_bytes;
        sum.returned_bytes += heap.returned_bytes;
        sum.metadata_bytes += heap.metadata_bytes;
    }
    return sum;
}
