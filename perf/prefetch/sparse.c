/* sparse.c - a list of random pages from cold: as many as a query looks up, no two the same, in no
 * order.
 *
 *   roma    submit the list and wait until all of it is in memory
 *   touch   a byte of each page of the list on a MADV_RANDOM mapping, one after the other */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* Offsets of different pages of the file: one from each of equal stretches, then shuffled. */
static uint64_t *list_of(const settings *s, uint64_t bytes, size_t *count)
{
    uint64_t pages = bytes / s->page_bytes, state = s->seed;
    *count = s->pages < pages ? s->pages : (size_t)pages;
    uint64_t *list = malloc((*count + 1) * sizeof *list);
    if (list == NULL || *count == 0)
        die("a list", list == NULL ? ENOMEM : ENODATA);
    for (size_t i = 0; i < *count; i++) {
        uint64_t from = pages * i / *count, to = pages * (i + 1) / *count;
        list[i] = (from + splitmix(&state) % (to - from)) * s->page_bytes;
    }
    for (size_t i = *count - 1; i > 0; i--) {
        size_t other = (size_t)(splitmix(&state) % (i + 1));
        uint64_t kept = list[i];
        list[i] = list[other];
        list[other] = kept;
    }
    return list;
}

uint64_t *cold_list(const settings *s, int *fd, uint64_t *bytes, size_t *count)
{
    *fd = open_file(s->file, O_RDONLY);
    *bytes = file_bytes(*fd);
    make_cold(*fd);
    uint64_t *list = list_of(s, *bytes, count);
    put("pages", (double)*count);
    return list;
}

void random_roma(const settings *s)
{
    int fd;
    uint64_t bytes;
    size_t count;
    uint64_t *list = cold_list(s, &fd, &bytes, &count);
    roma_file_range *ranges = malloc(count * sizeof *ranges);
    roma_prefetch_engine *engine = engine_of(s);
    if (ranges == NULL)
        die("ranges", ENOMEM);
    for (size_t i = 0; i < count; i++)
        ranges[i] = roma_file_range_own(fd, list[i], NULL, s->page_bytes);
    stretch all = stretch_begin();
    read_with_roma(engine, ranges, count);
    stretch_end(&all);
    put("resident_share", (double)resident_parts_bytes(fd, bytes, list, count, s->page_bytes) /
                              ((double)count * (double)s->page_bytes));
    (void)roma_prefetch_destroy(engine);
    free(ranges);
    free(list);
}

void random_touch(const settings *s)
{
    int fd;
    uint64_t bytes;
    size_t count;
    uint64_t *list = cold_list(s, &fd, &bytes, &count);
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *at = map_file(fd, bytes);
    (void)madvise(at, (size_t)bytes, MADV_RANDOM);
    stretch all = stretch_begin();
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < s->page_bytes; j += page)
            (void)*(volatile char *)(at + list[i] + j);
    stretch_end(&all);
    free(list);
}
