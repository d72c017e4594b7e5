/* routes.c - a program under a policy that parts by length: where its blocks lie, and that they are
 * whole, whatever thread frees them and wherever realloc takes them.
 *
 *   routes pages     under `size < 64K -> pages base; any -> pages thp base`
 *   routes parked    under `size >= 2M size < 4M -> pages base; any -> pages thp base`
 *   routes work      under any policy that serves all lengths
 *   routes fails     under one that serves none from 1M on, and says no more
 *   routes serves    under the same with `otherwise plain`
 *   routes shrinks   under one that serves none of 5000 to 5099 bytes
 *
 * What pages a block is on is asked of the kernel: a mapping that transparent huge pages were
 * advised for has the flag `hg` in smaps. */
#include "expect.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PARTING = 64 << 10, MIB = 1 << 20 };

/* ---- what pages ------------------------------------------------------------------------------ */

/* The text is read into memory of no heap: a malloc while it is read could change it. */
static char smaps[4 << 20];

static const char *read_smaps(void)
{
    size_t used = 0;
    int fd = open("/proc/self/smaps", O_RDONLY);
    for (ssize_t got; (got = read(fd, smaps + used, sizeof smaps - 1 - used)) > 0;)
        used += (size_t)got;
    close(fd);
    smaps[used] = '\0';
    return smaps;
}

/* Were huge pages advised for the mapping that holds an address? -1: no mapping does. */
static int is_huge(const void *address)
{
    bool is_inside = false;
    const char *line = read_smaps();
    for (; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
            is_inside = start <= (uintptr_t)address && (uintptr_t)address < end;
        else if (is_inside && strncmp(line, "VmFlags:", 8) == 0)
            return memmem(line, strcspn(line, "\n"), " hg", 3) != NULL;
    }
    return -1;
}

static bool lies_right(const void *block, size_t bytes)
{
    return is_huge(block) == (bytes >= PARTING);
}

/* Each call that takes a block, on either side of the parting. */
static void calls_route_by_length(void)
{
    static const size_t lengths[] = {1,       64,    1000,   4096, 40000,  PARTING - 1,
                                     PARTING, 65537, 100000, MIB,  9 * MIB};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t bytes = lengths[i];
        void *aligned = NULL, *blocks[] = {malloc(bytes), calloc(1, bytes), realloc(NULL, bytes),
                                           memalign(8192, bytes), aligned_alloc(256, bytes)};
        EXPECT(posix_memalign(&aligned, 1 << 20, bytes) == 0);
        EXPECT(lies_right(aligned, bytes) && (uintptr_t)aligned % (1 << 20) == 0);
        free(aligned);
        for (size_t k = 0; k < sizeof blocks / sizeof blocks[0]; k++) {
            EXPECT(blocks[k] != NULL && lies_right(blocks[k], bytes));
            EXPECT(malloc_usable_size(blocks[k]) >= bytes);
            free(blocks[k]);
        }
    }
}

static void realloc_goes_over(void)
{
    static const size_t lengths[] = {100,     PARTING - 1, PARTING, PARTING - 1, 70000, 60000,
                                     3 * MIB, 65000,       9 * MIB, 70000,       50,    8 * MIB,
                                     65536,   65535,       1,       MIB,         63000, 66000};
    size_t before = 40;
    unsigned char *block = malloc(before);
    memset(block, 'x', before);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        size_t kept = before < lengths[i] ? before : lengths[i];
        block = realloc(block, lengths[i]);
        EXPECT(block != NULL && lies_right(block, lengths[i]));
        bool is_whole = true;
        for (size_t at = 0; at < kept; at++)
            is_whole = is_whole && block[at] == 'x';
        EXPECT(is_whole);
        memset(block, 'x', lengths[i]);
        before = lengths[i];
    }
    free(block);
}

/* A freed block of an extent of its own waits as it is for the next who asks: of its own heap,
 * though it would be long enough for a length of another rule's. */
static void freed_runs_stay_with_their_rule(void)
{
    enum { LONGER = 4 * MIB, SHORTER = 3800 << 10, ROUNDS = 8 };
    for (int round = 0; round < ROUNDS; round++) {
        void *longer = memset(malloc(LONGER), 1, LONGER);
        EXPECT(is_huge(longer) == 1);
        free(longer);
        void *aligned = NULL, *shorter = memset(malloc(SHORTER), 1, SHORTER);
        EXPECT(is_huge(shorter) == 0);
        free(shorter);
        EXPECT(posix_memalign(&aligned, MIB, SHORTER) == 0 && is_huge(aligned) == 0);
        free(aligned);
        shorter = realloc(memset(malloc(LONGER), 1, LONGER), SHORTER);
        EXPECT(is_huge(shorter) == 0);
        free(shorter);
    }
}

/* ---- work ------------------------------------------------------------------------------------ */

enum { THREADS = 4, PLACES = 512, ROUNDS = 60000 };

/* A block says its length and is filled with it. */
struct block {
    size_t bytes;
    unsigned char rest[];
};

static _Atomic(struct block *) places[PLACES];

static size_t some_length(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    unsigned log2 = (unsigned)(*seed >> 40) % 19;
    return sizeof(struct block) + (size_t)(*seed >> 20) % ((size_t)1 << log2);
}

static void fill(struct block *block, size_t bytes)
{
    block->bytes = bytes;
    memset(block->rest, (int)(bytes & 0xFF), bytes - sizeof *block);
}

static bool is_whole(const struct block *block, size_t least)
{
    size_t bytes = least < block->bytes ? least : block->bytes;
    for (size_t at = 0; at + sizeof *block < bytes; at += 61)
        if (block->rest[at] != (unsigned char)(block->bytes & 0xFF))
            return false;
    return true;
}

/* One that was taken by any thread: freed, or made longer or shorter. */
static uintptr_t end_one(struct block *block, uint64_t *seed)
{
    uintptr_t faults = !is_whole(block, SIZE_MAX);
    if ((*seed >> 50) % 4 == 0) {
        size_t bytes = some_length(seed);
        block = realloc(block, bytes);
        if (block == NULL)
            return faults + 1;
        faults += !is_whole(block, bytes);
    }
    free(block);
    return faults;
}

static struct block *begin_one(uint64_t *seed)
{
    size_t bytes = some_length(seed);
    struct block *block = NULL;
    switch ((*seed >> 55) % 4) {
    case 0: block = calloc(1, bytes); break;
    case 1: block = memalign((size_t)16 << (*seed >> 33) % 9, bytes); break;
    default: block = malloc(bytes);
    }
    if (block != NULL)
        fill(block, bytes);
    return block;
}

static void *exchange(void *argument)
{
    uint64_t seed = (uintptr_t)argument;
    uintptr_t faults = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct block *mine = begin_one(&seed);
        struct block *other = atomic_exchange(&places[(seed >> 24) % PLACES], mine);
        faults += mine == NULL;
        if (other != NULL)
            faults += end_one(other, &seed);
    }
    return (void *)faults;
}

static void empty_places(void)
{
    for (int i = 0; i < PLACES; i++) {
        struct block *block = atomic_exchange(&places[i], NULL);
        EXPECT(block == NULL || is_whole(block, SIZE_MAX));
        free(block);
    }
}

/* The child has blocks of all threads, frees them, and goes on with threads of its own. */
static int child(void)
{
    pthread_t thread;
    void *faults = NULL;
    empty_places();
    if (exchange((void *)77) != NULL || pthread_create(&thread, NULL, exchange, (void *)78) != 0 ||
        pthread_join(thread, &faults) != 0 || faults != NULL)
        return 1;
    return __atomic_load_n(&faults_count, __ATOMIC_RELAXED) != 0;
}

static void threads_free_what_others_took(bool forks)
{
    pthread_t threads[THREADS];
    for (uintptr_t i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, exchange, (void *)(i + 1)) == 0);
    for (int i = 0; forks && i < 3; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0)
            _exit(child());
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
        usleep(20000);
    }
    for (int i = 0; i < THREADS; i++) {
        void *faults = NULL;
        EXPECT(pthread_join(threads[i], &faults) == 0 && faults == NULL);
    }
    empty_places();
}

/* calloc of what others have written to before. */
static void zeroes_are_zero(void)
{
    enum { BLOCKS = 64, LONGEST = 300000 };
    static unsigned char *blocks[BLOCKS];
    static const unsigned char zeroes[LONGEST];
    for (int i = 0; i < BLOCKS; i++)
        memset(blocks[i] = malloc((size_t)LONGEST >> i % 10), 0xA5, (size_t)LONGEST >> i % 10);
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    for (int i = 0; i < BLOCKS; i++) {
        blocks[i] = calloc(1, (size_t)LONGEST >> i % 10);
        EXPECT(memcmp(blocks[i], zeroes, (size_t)LONGEST >> i % 10) == 0);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i]);
}

/* Figures and trimming are of all heaps together. */
static void figures_are_of_all(void)
{
    enum { BLOCKS = 100 };
    static void *blocks[2][BLOCKS];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < BLOCKS; i++) {
        memset(blocks[0][i] = malloc(1000), 1, 1000);
        memset(blocks[1][i] = malloc(MIB), 1, MIB);
    }
    struct mallinfo2 after = mallinfo2();
    EXPECT(after.uordblks - before.uordblks >= BLOCKS * (size_t)(1000 + MIB));
    EXPECT(after.arena >= after.uordblks);
    for (int i = 0; i < BLOCKS; i++) {
        free(blocks[0][i]);
        free(blocks[1][i]);
    }
    (void)malloc_trim(0);
    EXPECT(mallinfo2().arena < after.arena - BLOCKS / 2 * MIB);
}

/* ---- failing --------------------------------------------------------------------------------- */

static void small_ones_are_served(void)
{
    for (size_t bytes = 1; bytes < MIB; bytes *= 3) {
        void *block = malloc(bytes);
        EXPECT(block != NULL);
        free(block);
    }
}

static void large_ones_fail(void)
{
    void *small = malloc(MIB / 2), *aligned = NULL;
    errno = 0;
    EXPECT(malloc(MIB) == NULL && errno == ENOMEM);
    EXPECT(calloc(2, MIB) == NULL);
    EXPECT(posix_memalign(&aligned, 64, MIB) == ENOMEM);
    errno = 0;
    EXPECT(realloc(small, MIB) == NULL && errno == ENOMEM); /* which leaves it as it is */
    free(small);
}

static void large_ones_are_served(void)
{
    void *block = malloc(3 * MIB);
    EXPECT(block != NULL);
    free(block);
}

/* Where a shorter block is not to be had, the longer one serves, whether of a class or large, and
 * nobody hears of it. */
static void what_cannot_shrink_stays(void)
{
    static const size_t lengths[] = {5200, 12000, 100000, 300000, 3 * MIB};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        unsigned char *block = malloc(lengths[i]), *same;
        memset(block, 'x', lengths[i]);
        errno = 0;
        same = realloc(block, 5050);
        EXPECT(same != NULL && errno == 0);
        EXPECT(same[0] == 'x' && same[5049] == 'x');
        free(same);
    }
}

int main(int count, char **arguments)
{
    const char *what = count > 1 ? arguments[1] : "";
    expect_ours("malloc");
    if (strcmp(what, "pages") == 0) {
        calls_route_by_length();
        realloc_goes_over();
    } else if (strcmp(what, "parked") == 0) {
        freed_runs_stay_with_their_rule();
    } else if (strcmp(what, "work") == 0) {
        threads_free_what_others_took(false);
        threads_free_what_others_took(true);
        zeroes_are_zero();
        figures_are_of_all();
    } else if (strcmp(what, "shrinks") == 0) {
        what_cannot_shrink_stays();
    } else {
        small_ones_are_served();
        if (strcmp(what, "fails") == 0)
            large_ones_fail();
        else
            large_ones_are_served();
    }
    return finish("routes");
}
