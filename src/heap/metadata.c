/* metadata.c - a bump allocator over mapped chunks; see metadata.h.
 *
 * One lock. What does not fit the rest of the current chunk starts a new one; the rest is lost, at
 * most one piece's size a chunk, and pieces larger than a quarter of a chunk get a mapping of their
 * own, so that at most a quarter of any chunk is. Untouched parts of a chunk cost no memory. */
#include "heap/metadata.h"

#include "base/bits.h"
#include "sys/sys.h"

#include <pthread.h>
#include <sys/mman.h>

enum { LINE_BYTES = 64, CHUNK_BYTES = 1 << 20 };

static struct {
    pthread_mutex_t lock;
    char *next;
    size_t left_bytes, mapped_bytes;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *map(size_t bytes)
{
    void *address = roma__sys->mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (address == MAP_FAILED)
        return NULL;
    arena.mapped_bytes += bytes;
    return address;
}

static void *take_locked(size_t bytes)
{
    if (bytes > CHUNK_BYTES / 4)
        return map(roma__align_up(bytes, CHUNK_BYTES / 4));
    if (bytes > arena.left_bytes) {
        char *chunk = map(CHUNK_BYTES);
        if (chunk == NULL)
            return NULL;
        arena.next = chunk;
        arena.left_bytes = CHUNK_BYTES;
    }
    void *piece = arena.next;
    arena.next += bytes;
    arena.left_bytes -= bytes;
    return piece;
}

void *roma__metadata_take(size_t bytes)
{
    pthread_mutex_lock(&arena.lock);
    void *piece = take_locked(roma__align_up(bytes, LINE_BYTES));
    pthread_mutex_unlock(&arena.lock);
    return piece;
}

size_t roma__metadata_bytes(void)
{
    pthread_mutex_lock(&arena.lock);
    size_t bytes = arena.mapped_bytes;
    pthread_mutex_unlock(&arena.lock);
    return bytes;
}

void roma__metadata_fork_hold(void)
{
    pthread_mutex_lock(&arena.lock);
}

void roma__metadata_fork_free(void)
{
    pthread_mutex_unlock(&arena.lock);
}
