/* advise.c - a part of a cell's pages, made present or advised, by whom its extent is of.
 *
 * Cells share pages. What is to be there or is needed is widened to whole pages: what a
 * neighbour has of them is there, too. What is to go is narrowed: a page that a neighbour has a
 * part of stays. */
#include "heap/internal.h"

#include "base/bits.h"

static size_t start_in_extent(const roma__cell *cell, size_t offset)
{
    return (size_t)((char *)cell->address - (char *)cell->slab->extent->extent.address) + offset;
}

static roma_range range_around(const roma__cell *cell, size_t offset, size_t bytes)
{
    const roma_extent *extent = &cell->slab->extent->extent;
    size_t start = start_in_extent(cell, offset), end = start;
    if (bytes > 0)
        end = roma__min(roma__align_up(start + bytes, extent->page_bytes), extent->bytes);
    start = roma__align_down(start, extent->page_bytes);
    return (roma_range){extent, start, bytes > 0 ? end - start : 0};
}

static roma_range range_inside(const roma__cell *cell, size_t offset, size_t bytes)
{
    const roma_extent *extent = &cell->slab->extent->extent;
    size_t start = roma__align_up(start_in_extent(cell, offset), extent->page_bytes);
    size_t end = roma__align_down(start_in_extent(cell, offset) + bytes, extent->page_bytes);
    return (roma_range){extent, start < end ? start : 0, start < end ? end - start : 0};
}

static roma_provider *provider_of(const roma__cell *cell)
{
    return roma__extents_provider(&cell->heap->extents, cell->slab->extent);
}

int roma__cell_populate(const roma__cell *cell, size_t offset, size_t bytes, unsigned threads,
                        const roma_executor *executor, roma_error *error)
{
    roma_range range = range_around(cell, offset, bytes);
    roma_populate_options options = {sizeof options, threads, executor};
    return roma_provider_populate(provider_of(cell), &range, &options, error);
}

int roma__cell_advise(const roma__cell *cell, size_t offset, size_t bytes, roma_advice advice,
                      const roma_executor *executor, roma_error *error)
{
    roma_range range = advice == ROMA_ADVICE_NEED ? range_around(cell, offset, bytes)
                                                  : range_inside(cell, offset, bytes);
    return roma_provider_advise(provider_of(cell), &range, advice, executor, error);
}
