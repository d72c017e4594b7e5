/* direct.c - the device's limit: threads that read or write one piece each at a time with O_DIRECT,
 * which passes the page cache by.
 *
 *   dense    4 MiB a piece, four at once, into huge pages
 *   random   a page of the list a piece, 32 at once; the limit where fio is missing
 *   flush    4 MiB a piece, 16 at once, then a sync: pages of the page cache, as a flush writes,
 *            since a device may be quicker with other memory; into another file than they are of */
#include "measure.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { THREADS_MOST = 32, DENSE_THREADS = 4, FLUSH_THREADS = 16, DENSE_BYTES = 4 << 20 };

typedef struct direct {
    int fd;
    bool writes;
    const uint64_t *list; /* offsets of the pieces; NULL: one behind the other         */
    size_t count, piece_bytes;
    char *buffer; /* a piece for each thread; of what is written, all of it */
    atomic_size_t next;
    atomic_int cause;
} direct;

typedef struct direct_thread {
    direct *all;
    unsigned index;
    pthread_t thread;
} direct_thread;

/* Of what is read the last piece may be shorter. */
static bool move_piece(const direct *all, unsigned thread, size_t piece)
{
    off_t at = (off_t)(all->list != NULL ? all->list[piece] : (uint64_t)piece * all->piece_bytes);
    char *memory = all->buffer + (all->writes ? piece : thread) * all->piece_bytes;
    if (all->writes)
        return pwrite(all->fd, memory, all->piece_bytes, at) == (ssize_t)all->piece_bytes;
    return pread(all->fd, memory, all->piece_bytes, at) > 0;
}

static void *move(void *argument)
{
    direct_thread *self = argument;
    direct *all = self->all;
    for (size_t piece; (piece = atomic_fetch_add(&all->next, 1)) < all->count;)
        if (!move_piece(all, self->index, piece))
            atomic_store(&all->cause, errno != 0 ? errno : ENODATA);
    return NULL;
}

/* On huge pages where there are some, and there already. */
static char *buffer_of(size_t bytes)
{
    const size_t huge = (size_t)2 << 20;
    char *space = mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                       0);
    if (space == MAP_FAILED)
        die("a buffer", errno);
    space = (char *)(((uintptr_t)space + huge - 1) / huge * huge);
    (void)madvise(space, bytes, MADV_HUGEPAGE);
    memset(space, 1, bytes);
    return space;
}

static int open_direct(const char *path, int flags)
{
    int fd = open(path, flags | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL)
        skip("this file system has no O_DIRECT");
    if (fd < 0)
        die(path, errno);
    return fd;
}

/* Move all of it, and put how long that took. */
static void run(direct *all, unsigned count)
{
    direct_thread threads[THREADS_MOST];
    if (!all->writes)
        all->buffer = buffer_of(count * all->piece_bytes);
    stretch whole = stretch_begin();
    for (unsigned i = 0; i < count; i++) {
        threads[i] = (direct_thread){.all = all, .index = i};
        int code = pthread_create(&threads[i].thread, NULL, move, &threads[i]);
        if (code != 0)
            die("a thread", code);
    }
    for (unsigned i = 0; i < count; i++)
        (void)pthread_join(threads[i].thread, NULL);
    if (all->writes && fdatasync(all->fd) != 0)
        atomic_store(&all->cause, errno);
    stretch_end(&whole);
    if (atomic_load(&all->cause) != 0)
        die("O_DIRECT", atomic_load(&all->cause));
}

void dense_direct(const settings *s)
{
    uint64_t bytes;
    int fd = open_cold(s, &bytes);
    direct all = {.fd = open_direct(s->file, O_RDONLY),
                  .count = (size_t)((bytes + DENSE_BYTES - 1) / DENSE_BYTES),
                  .piece_bytes = DENSE_BYTES};
    run(&all, DENSE_THREADS);
    put("bytes", (double)bytes);
    close(fd);
}

void random_direct(const settings *s)
{
    direct all = {.fd = open_direct(s->file, O_RDONLY), .piece_bytes = s->page_bytes};
    int fd;
    uint64_t bytes, *list = cold_list(s, &fd, &bytes, &all.count);
    all.list = list;
    run(&all, THREADS_MOST);
    free(list);
    close(fd);
}

void flush_direct(const settings *s)
{
    if (s->to == NULL)
        die("--to", EINVAL);
    direct all = {.fd = open_direct(s->to, O_RDWR), .writes = true, .piece_bytes = DENSE_BYTES};
    roma_map *map = roma_map_of(s, true);
    roma_segment dirtied = dirty(map);
    /* The pages once more, in a mapping that huge pages suit: their addresses are looked up. */
    all.buffer = map_file(roma_map_fd(map), dirtied.bytes);
    (void)madvise(all.buffer, dirtied.bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < dirtied.bytes; i += 4096)
        (void)*(const volatile char *)(all.buffer + i);
    if (dirtied.bytes % DENSE_BYTES != 0)
        die("a length that is no multiple of 4 MiB", EINVAL);
    all.count = dirtied.bytes / DENSE_BYTES;
    run(&all, FLUSH_THREADS);
    put("bytes", (double)(all.count * DENSE_BYTES));
    (void)msync(dirtied.address, dirtied.bytes, MS_SYNC); /* not for the next one to find */
    (void)roma_map_close(map);
}
