/* runs.c - free runs of pages in a sorted array, neighbours joined when pages come back.
 *
 * A search is linear in the runs before the fit: the lowest fit keeps the high end of a range
 * whole, and untouched as long as it is not needed. Finding a page's place is a binary search, and
 * a run that comes or goes moves those behind it. Good for extents, which are few; blocks are cut
 * above. */
#include "provider/runs.h"

#include "base/bits.h"

#include <string.h>

size_t roma__runs_bytes(size_t pages)
{
    size_t bytes;
    bool beyond = roma__mul_overflows(pages / 2 + 1, sizeof(struct roma__run), &bytes);
    return beyond ? 0 : bytes;
}

void roma__runs_start(struct roma__runs *runs, size_t pages, struct roma__run *list)
{
    *runs = (struct roma__runs){.pages = pages, .free_pages = pages, .count = 1, .list = list};
    list[0] = (struct roma__run){0, pages};
}

bool roma__runs_are_valid(const struct roma__runs *runs)
{
    size_t free_pages = 0;
    for (size_t i = 0; i < runs->count; i++) {
        const struct roma__run *run = &runs->list[i];
        if (run->first >= run->end || run->end > runs->pages ||
            (i > 0 && runs->list[i - 1].end >= run->first))
            return false;
        free_pages += run->end - run->first;
    }
    return free_pages == runs->free_pages;
}

/* ---- the array ------------------------------------------------------------------------------ */

static void remove_run(struct roma__runs *runs, size_t index)
{
    runs->count--;
    memmove(&runs->list[index], &runs->list[index + 1],
            (runs->count - index) * sizeof runs->list[0]);
}

static void insert_run(struct roma__runs *runs, size_t index, struct roma__run run)
{
    memmove(&runs->list[index + 1], &runs->list[index],
            (runs->count - index) * sizeof runs->list[0]);
    runs->list[index] = run;
    runs->count++;
}

/* The index of the first run that ends behind `page`; the count when there is none. */
static size_t place_of(const struct roma__runs *runs, size_t page)
{
    size_t low = 0, high = runs->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (runs->list[middle].end > page)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* Take pages out of the run at `index`, which holds them. */
static void take_from(struct roma__runs *runs, size_t index, size_t first, size_t count)
{
    struct roma__run *run = &runs->list[index];
    size_t end = first + count;
    if (run->first == first && run->end == end) {
        remove_run(runs, index);
    } else if (run->first == first) {
        run->first = end;
    } else {
        struct roma__run rest = {end, run->end};
        run->end = first;
        if (rest.first < rest.end)
            insert_run(runs, index + 1, rest);
    }
    runs->free_pages -= count;
}

/* ---- taking --------------------------------------------------------------------------------- */

/* The lowest page of a run that fits; SIZE_MAX: none. */
static size_t fit(const struct roma__run *run, size_t count, size_t stride, size_t phase)
{
    size_t ahead = (phase + stride - run->first % stride) % stride;
    size_t room = run->end - run->first;
    return ahead < room && count <= room - ahead ? run->first + ahead : SIZE_MAX;
}

static size_t find(const struct roma__runs *runs, size_t count, size_t stride, size_t phase,
                   size_t *index)
{
    for (size_t i = 0; i < runs->count; i++) {
        size_t first = fit(&runs->list[i], count, stride, phase);
        if (first != SIZE_MAX) {
            *index = i;
            return first;
        }
    }
    return SIZE_MAX;
}

size_t roma__runs_find(const struct roma__runs *runs, size_t count, size_t stride, size_t phase)
{
    size_t index;
    return find(runs, count, stride, phase, &index);
}

size_t roma__runs_take(struct roma__runs *runs, size_t count, size_t stride, size_t phase)
{
    size_t index = 0;
    size_t first = find(runs, count, stride, phase, &index);
    if (first != SIZE_MAX)
        take_from(runs, index, first, count);
    return first;
}

bool roma__runs_take_at(struct roma__runs *runs, size_t first, size_t count)
{
    size_t i = place_of(runs, first);
    if (i == runs->count || runs->list[i].first > first || runs->list[i].end - first < count)
        return false;
    take_from(runs, i, first, count);
    return true;
}

/* ---- giving back ---------------------------------------------------------------------------- */

bool roma__runs_are_taken(const struct roma__runs *runs, size_t first, size_t count)
{
    if (first > runs->pages || count > runs->pages - first)
        return false;
    size_t i = place_of(runs, first);
    return i == runs->count || runs->list[i].first >= first + count;
}

bool roma__runs_give(struct roma__runs *runs, size_t first, size_t count)
{
    if (count == 0 || !roma__runs_are_taken(runs, first, count))
        return false;
    size_t i = place_of(runs, first), end = first + count;
    bool joins_before = i > 0 && runs->list[i - 1].end == first;
    bool joins_behind = i < runs->count && runs->list[i].first == end;
    if (joins_before && joins_behind) {
        runs->list[i - 1].end = runs->list[i].end;
        remove_run(runs, i);
    } else if (joins_before) {
        runs->list[i - 1].end = end;
    } else if (joins_behind) {
        runs->list[i].first = first;
    } else {
        insert_run(runs, i, (struct roma__run){first, end});
    }
    runs->free_pages += count;
    return true;
}
