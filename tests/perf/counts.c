/* counts.c - runs one path of an allocator, for callgrind to count its instructions.
 *
 *     counts-KIND PATH [COUNTS]      run a path; prints how many operations were counted
 *     counts-KIND --build            print what the figures depend on: compiler, machine, flags
 *
 * KIND is what the paths are compiled against: malloc, calls, cache (perf/bench/subject.h). COUNTS
 * is what roma's manager keeps about blocks: counted, none, exact. Paths, with blocks of 64 bytes
 * where nothing else is said, that nobody writes to:
 *
 *   pair          one block allocated and freed; an operation is both
 *   batch         64 blocks allocated by one call, freed by another (malloc: one by one); an
 *                 operation is one block
 *   remote        64 blocks allocated one by one here, freed one by one by a second thread, and so
 *                 on in turn: what the owner does to get them back is in it; an operation is one
 *                 block
 *   remote-batch  the same by the calls of `batch`
 *   partial       as remote, of 5 blocks in turn: batches are not full when the owner looks
 *   idle          blocks of a thread that sleeps, freed one by one here; an operation is one block
 *   adopted       blocks of threads that have ended, freed one by one here: 64 of each thread; an
 *                 operation is one block
 *   large         a pair again, of blocks of 64 MiB: an extent of its own, which waits for the next
 *                 who asks
 *
 * What is counted is everything between the start and the end of collect(), on either thread, and
 * nothing else: tests/perf/counts has callgrind collect inside that function alone. First the same
 * work is done as often without being counted, so that magazines have their size, slabs are there
 * and symbols are bound. The threads take turns, so that the same blocks go the same ways in every
 * run. Memory is never given back, so that no clock decides what is done (of libroma_malloc.so
 * that is said by its environment).
 *
 * The loop is in the figures: 5 to 10 instructions for a pair, 10 to 14 for a block that travels
 * alone or comes from malloc, less than 1 for one in a batch. Limit: an inline function that is
 * called from several places here may be compiled as a function of its own, as in any program.
 *
 * Ends with 0, 1 on errors, 2 for wrong arguments. */
#include "perf/bench/subject.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_BYTES = 64, BATCH_COUNT = 64, PAIR_ROUNDS = 100000, BATCH_ROUNDS = 2000 };
enum { LARGE_BYTES = 64 << 20, LARGE_ROUNDS = 10000 };
enum { PARTIAL_COUNT = 5, IDLE_ROUNDS = 200, ENDED_THREADS = 200 };

void die(const char *what, int code)
{
    (void)fprintf(stderr, "counts: %s: %s\n", what, strerror(code < 0 ? -code : code));
    exit(1);
}

/* ---- what is counted ------------------------------------------------------------------------- */

typedef void work_of(void *context);

/* Found by its name: it stays a function, and is left only after the work. */
void collect(work_of *work, void *context);

__attribute__((noinline)) void collect(work_of *work, void *context)
{
    work(context);
    (void)keep(context);
}

/* ---- one thread ------------------------------------------------------------------------------ */

static void pair_work(void *context)
{
    subject here = *(subject *)context;
    for (unsigned i = 0; i < PAIR_ROUNDS; i++)
        subject_free(here, subject_alloc(here, BLOCK_BYTES), BLOCK_BYTES);
}

static uint64_t run_pair_path(void)
{
    subject here = subject_here();
    pair_work(&here);
    collect(pair_work, &here);
    return PAIR_ROUNDS;
}

static void large_work(void *context)
{
    subject here = *(subject *)context;
    for (unsigned i = 0; i < LARGE_ROUNDS; i++)
        subject_free(here, subject_alloc(here, LARGE_BYTES), LARGE_BYTES);
}

static uint64_t run_large_path(void)
{
    subject here = subject_here();
    large_work(&here);
    collect(large_work, &here);
    return LARGE_ROUNDS;
}

static void batch_work(void *context)
{
    void *blocks[BATCH_COUNT];
    subject here = *(subject *)context;
    for (unsigned round = 0; round < BATCH_ROUNDS; round++) {
        subject_alloc_batch(here, BLOCK_BYTES, blocks, BATCH_COUNT);
        subject_free_batch(here, BLOCK_BYTES, blocks, BATCH_COUNT);
    }
}

static uint64_t run_batch_path(void)
{
    subject here = subject_here();
    batch_work(&here);
    collect(batch_work, &here);
    return (uint64_t)BATCH_ROUNDS * BATCH_COUNT;
}

/* ---- two threads ----------------------------------------------------------------------------- */

/* One side: what it does to the blocks in its turn. */
struct side {
    work_of *work;
    subject here; /* of its own thread */
    void **blocks;
    unsigned count;       /* of them */
    sem_t *mine, *others; /* whose turn it is */
};

static void alloc_work(void *context)
{
    const struct side *side = context;
    subject here = side->here;
    void **blocks = side->blocks;
    for (unsigned i = 0; i < side->count; i++)
        blocks[i] = subject_alloc(here, BLOCK_BYTES);
}

static void free_work(void *context)
{
    const struct side *side = context;
    subject here = side->here;
    void **blocks = side->blocks;
    for (unsigned i = 0; i < side->count; i++)
        subject_free(here, blocks[i], BLOCK_BYTES);
}

static void alloc_batch_work(void *context)
{
    const struct side *side = context;
    subject_alloc_batch(side->here, BLOCK_BYTES, side->blocks, side->count);
}

static void free_batch_work(void *context)
{
    const struct side *side = context;
    subject_free_batch(side->here, BLOCK_BYTES, side->blocks, side->count);
}

static void *take_turns(void *context)
{
    struct side *side = context;
    for (unsigned round = 0; round < 2 * BATCH_ROUNDS; round++) {
        while (sem_wait(side->mine) != 0)
            continue;
        if (round == 0)
            side->here = subject_here();
        if (round < BATCH_ROUNDS)
            side->work(side);
        else
            collect(side->work, side);
        (void)sem_post(side->others);
    }
    return NULL;
}

static void start(pthread_t *thread, void *(*run)(void *), void *context)
{
    int code = pthread_create(thread, NULL, run, context);
    if (code != 0)
        die("a thread", code);
}

static uint64_t run_two_threads(work_of *allocate, work_of *release, unsigned count)
{
    void *blocks[BATCH_COUNT];
    sem_t owners, others;
    (void)sem_init(&owners, 0, 1);
    (void)sem_init(&others, 0, 0);
    struct side owner = {
        .work = allocate, .blocks = blocks, .count = count, .mine = &owners, .others = &others};
    struct side other = {
        .work = release, .blocks = blocks, .count = count, .mine = &others, .others = &owners};
    pthread_t thread;
    start(&thread, take_turns, &other);
    (void)take_turns(&owner);
    (void)pthread_join(thread, NULL);
    return (uint64_t)BATCH_ROUNDS * count;
}

static uint64_t run_remote_path(void)
{
    return run_two_threads(alloc_work, free_work, BATCH_COUNT);
}

static uint64_t run_partial_path(void)
{
    return run_two_threads(alloc_work, free_work, PARTIAL_COUNT);
}

static uint64_t run_remote_batch_path(void)
{
    return run_two_threads(alloc_batch_work, free_batch_work, BATCH_COUNT);
}

/* ---- owners that do nothing ------------------------------------------------------------------ */

static void *allocate_and_end(void *context)
{
    struct side *side = context;
    side->here = subject_here();
    alloc_work(side);
    return NULL;
}

static void *allocate_and_sleep(void *context)
{
    const struct side *side = context;
    (void)allocate_and_end(context);
    (void)sem_post(side->others);
    while (sem_wait(side->mine) != 0)
        continue;
    return NULL;
}

static uint64_t run_idle_path(void)
{
    static void *blocks[2 * IDLE_ROUNDS * BATCH_COUNT];
    const unsigned half = IDLE_ROUNDS * BATCH_COUNT;
    sem_t owners, ours;
    (void)sem_init(&owners, 0, 0);
    (void)sem_init(&ours, 0, 0);
    struct side owner = {.blocks = blocks, .count = 2 * half, .mine = &owners, .others = &ours};
    pthread_t thread;
    start(&thread, allocate_and_sleep, &owner);
    while (sem_wait(&ours) != 0)
        continue;
    struct side first = {.here = subject_here(), .blocks = blocks, .count = half};
    struct side second = {.here = first.here, .blocks = blocks + half, .count = half};
    free_work(&first);
    collect(free_work, &second);
    (void)sem_post(&owners);
    (void)pthread_join(thread, NULL);
    return half;
}

static uint64_t run_adopted_path(void)
{
    void *blocks[BATCH_COUNT];
    struct side here = {.here = subject_here(), .blocks = blocks, .count = BATCH_COUNT};
    for (unsigned round = 0; round < 2 * ENDED_THREADS; round++) {
        struct side ended = {.blocks = blocks, .count = BATCH_COUNT};
        pthread_t thread;
        start(&thread, allocate_and_end, &ended);
        (void)pthread_join(thread, NULL);
        if (round < ENDED_THREADS)
            free_work(&here);
        else
            collect(free_work, &here);
    }
    return (uint64_t)ENDED_THREADS * BATCH_COUNT;
}

/* ---- the allocator --------------------------------------------------------------------------- */

#if defined BENCH_CALLS || defined BENCH_CACHE

roma_manager *subject_manager;

/* Rules that part beyond what the paths allocate: what they cost is what having any costs. */
static void give_policy(void)
{
    roma_policy *policy = NULL;
    roma_error error;
    int code = roma_policy_parse(
        "size >= 1M -> pages thp; label \"x*\" -> pages base; any -> local", &policy, &error);
    if (code == 0)
        code = roma_manager_policy(subject_manager, policy, &error);
    roma_policy_destroy(policy);
    if (code != 0) {
        (void)roma_error_print(stderr, &error);
        die("roma_manager_policy", code);
    }
}

/* Returns whether there is such a kind of manager. */
static bool open_manager(const char *counts)
{
    roma_options options = roma_options_default();
    roma_request local = roma_request_default();
    roma_error error;
    bool has_policy = strcmp(counts, "policy") == 0;
    options.name = "counts";
    options.return_delay_ns = ROMA_RETURN_NEVER;
    if (strcmp(counts, "counted") == 0)
        options.counts = ROMA_COUNTS_COUNTED;
    else if (strcmp(counts, "none") == 0 || strcmp(counts, "local") == 0 || has_policy)
        options.counts = ROMA_COUNTS_NONE;
    else if (strcmp(counts, "exact") == 0)
        options.counts = ROMA_COUNTS_EXACT;
    else
        return false;
    local.placement = ROMA_LOCAL;
    if (strcmp(counts, "local") == 0)
        options.request = &local;
    int code = roma_manager_create(&subject_manager, &options, &error);
    if (code != 0) {
        (void)roma_error_print(stderr, &error);
        die("roma_manager_create", code);
    }
    if (has_policy)
        give_policy();
    return true;
}

#else

/* The loader goes on without a library that it cannot preload; who counts must know. */
static bool open_manager(const char *counts)
{
    Dl_info origin;
    if (dladdr(dlsym(RTLD_DEFAULT, "malloc"), &origin) != 0)
        printf("malloc %s\n", origin.dli_fname);
    return *counts == '\0';
}

#endif

/* ---- the program ----------------------------------------------------------------------------- */

static void print_build(void)
{
#if defined __clang__
    printf("clang %d", __clang_major__);
#else
    printf("gcc %d", __GNUC__);
#endif
#if defined __x86_64__
    printf(", x86_64");
#elif defined __aarch64__
    printf(", aarch64");
#else
    printf(", %zu bits", 8 * sizeof(void *));
#endif
    printf(", %s\n", *COUNTS_FLAGS == '\0' ? "unoptimized" : COUNTS_FLAGS);
}

int main(int count, char **words)
{
    static const struct {
        const char *name;
        uint64_t (*run)(void);
    } PATHS[] = {{"pair", run_pair_path},       {"batch", run_batch_path},
                 {"remote", run_remote_path},   {"remote-batch", run_remote_batch_path},
                 {"partial", run_partial_path}, {"idle", run_idle_path},
                 {"adopted", run_adopted_path}, {"large", run_large_path}};
    const char *path = count > 1 ? words[1] : "";
    if (strcmp(path, "--build") == 0) {
        print_build();
        return 0;
    }
    bool is_opened = open_manager(count > 2 ? words[2] : "");
    for (unsigned i = 0; is_opened && i < sizeof PATHS / sizeof PATHS[0]; i++) {
        if (strcmp(path, PATHS[i].name) == 0) {
            printf("operations %llu\n", (unsigned long long)PATHS[i].run());
            return 0;
        }
    }
    (void)fputs("usage: counts-KIND PATH [COUNTS] | --build\n", stderr);
    return 2;
}
