/* sparse.c - a list of random pages from cold: as many as a query looks up, no two the same, in no
 * order.
 *
 *   roma    submit the list and wait until all of it is in memory
 *   direct  32 threads with O_DIRECT, one page each at a time: the limit where fio is missing
 *   touch   a byte of each page of the list on a MADV_RANDOM mapping, one after the other */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DIRECT_THREADS = 32 };

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

static uint64_t *begin(const settings *s, int *fd, uint64_t *bytes, size_t *count)
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
    uint64_t *list = begin(s, &fd, &bytes, &count);
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

typedef struct direct {
    int fd;
    const uint64_t *list;
    size_t count, page_bytes;
    atomic_size_t next;
    atomic_int cause;
} direct;

static void *read_directly(void *argument)
{
    direct *all = argument;
    void *buffer = aligned_alloc(all->page_bytes < 4096 ? 4096 : all->page_bytes, all->page_bytes);
    for (size_t i; buffer != NULL && (i = atomic_fetch_add(&all->next, 1)) < all->count;)
        if (pread(all->fd, buffer, all->page_bytes, (off_t)all->list[i]) <= 0)
            atomic_store(&all->cause, errno != 0 ? errno : ENODATA);
    free(buffer);
    return NULL;
}

void random_direct(const settings *s)
{
    direct all = {.page_bytes = s->page_bytes};
    pthread_t threads[DIRECT_THREADS];
    int fd;
    uint64_t bytes;
    uint64_t *list = begin(s, &fd, &bytes, &all.count);
    all.list = list;
    all.fd = open(s->file, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (all.fd < 0)
        skip("this file system has no O_DIRECT");
    stretch whole = stretch_begin();
    for (unsigned i = 0; i < DIRECT_THREADS; i++) {
        int code = pthread_create(&threads[i], NULL, read_directly, &all);
        if (code != 0)
            die("a thread", code);
    }
    for (unsigned i = 0; i < DIRECT_THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    stretch_end(&whole);
    if (atomic_load(&all.cause) != 0)
        die("pread", atomic_load(&all.cause));
    free(list);
}

void random_touch(const settings *s)
{
    int fd;
    uint64_t bytes;
    size_t count;
    uint64_t *list = begin(s, &fd, &bytes, &count);
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
