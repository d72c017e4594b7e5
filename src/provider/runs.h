/* runs.h - which pages of a range are free: a list of runs, for first fit. Pure: no OS, no lock. */
#ifndef ROMA_PROVIDER_RUNS_H
#define ROMA_PROVIDER_RUNS_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Free pages [first, end). */
struct roma__run {
    size_t first, end;
};

/* Sorted by page; runs never touch, so there are at most (pages + 1) / 2. */
struct roma__runs {
    size_t pages, free_pages;
    size_t count;
    struct roma__run *list;
};

/* Bytes that the list of so many pages may need; 0 when that is beyond the machine's. */
size_t roma__runs_bytes(size_t pages);

/* All pages free; `list` has roma__runs_bytes() bytes. */
void roma__runs_start(struct roma__runs *runs, size_t pages, struct roma__run *list);

/* Take the lowest `count` pages (> 0) whose first is `phase` modulo `stride` (> phase).
 * Returns the first, SIZE_MAX when there are none. `find` only looks. */
size_t roma__runs_find(const struct roma__runs *runs, size_t count, size_t stride, size_t phase);
size_t roma__runs_take(struct roma__runs *runs, size_t count, size_t stride, size_t phase);

/* Take exactly these pages; false, and nothing done, when some are not free. */
bool roma__runs_take_at(struct roma__runs *runs, size_t first, size_t count);

/* Give pages back; false, and nothing done, when some are free already or not in the range. */
bool roma__runs_give(struct roma__runs *runs, size_t first, size_t count);

/* Is none of these pages, all in the range, free? */
bool roma__runs_are_taken(const struct roma__runs *runs, size_t first, size_t count);

/* In order, not empty, not touching, and of the right sum: the specification of the list. */
bool roma__runs_are_valid(const struct roma__runs *runs);

#ifdef __cplusplus
}
#endif
#endif
