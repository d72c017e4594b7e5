/* process.c - a process from its first instruction to its last: constructors before main, threads,
 * thread-local destructors, fork from threads, libraries that come and go, atexit.
 *
 *   process PLUGIN    the library that is loaded and unloaded
 *
 * What is wrong after main() is seen in the exit status: the last handler ends with _exit(). */
#include "expect.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- before main ----------------------------------------------------------------------------- */

static char *by_preinit, *by_constructor;

static void before_all_constructors(void)
{
    by_preinit = strdup("preinit");
}
__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(void) = before_all_constructors;

__attribute__((constructor(101))) static void early_constructor(void)
{
    by_constructor = calloc(1, 100000);
    by_constructor[99999] = 'x';
}

static void blocks_from_before_main(void)
{
    EXPECT(by_preinit != NULL && strcmp(by_preinit, "preinit") == 0);
    EXPECT(by_constructor != NULL && by_constructor[99999] == 'x' && by_constructor[0] == 0);
    free(by_preinit);
    free(by_constructor);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { LIVE = 64 };

/* Allocates, checks and frees in a pattern of its own. Returns faults. */
static uintptr_t churn(uint64_t seed, unsigned rounds)
{
    unsigned char *blocks[LIVE] = {NULL};
    size_t lengths[LIVE] = {0};
    uintptr_t faults = 0;
    for (unsigned round = 0; round < rounds; round++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        unsigned i = (unsigned)(seed >> 58);
        if (blocks[i] != NULL)
            faults += blocks[i][0] != (unsigned char)i ||
                      blocks[i][lengths[i] - 1] != (unsigned char)i;
        free(blocks[i]);
        lengths[i] = 1 + (size_t)(seed >> 33) % ((size_t)1 << (4 + (seed >> 20) % 13));
        blocks[i] = malloc(lengths[i]);
        if (blocks[i] == NULL)
            return faults + 1;
        memset(blocks[i], (int)i, lengths[i]);
    }
    for (unsigned i = 0; i < LIVE; i++)
        free(blocks[i]);
    return faults;
}

static void *churn_thread(void *argument)
{
    return (void *)churn((uintptr_t)argument, 20000);
}

static void threads_together(void)
{
    pthread_t threads[8];
    for (uintptr_t i = 0; i < 8; i++)
        EXPECT(pthread_create(&threads[i], NULL, churn_thread, (void *)(i + 1)) == 0);
    for (int i = 0; i < 8; i++) {
        void *faults = NULL;
        EXPECT(pthread_join(threads[i], &faults) == 0 && faults == NULL);
    }
}

/* One thread after another; each leaves a block to the next and frees that of the one before. */
static void *short_life(void *argument)
{
    void **left = argument;
    free(*left);
    *left = malloc(100);
    void *other = malloc(5000);
    free(other);
    return *left;
}

static void many_short_lives(void)
{
    enum { COUNT = 10000, WARM_UP = 1000 };
    void *left = NULL;
    size_t held_early = 0;
    unsigned failed = 0;
    for (int i = 0; i < COUNT; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, short_life, &left) != 0 ||
            pthread_join(thread, NULL) != 0 || left == NULL)
            failed++;
        if (i == WARM_UP)
            held_early = mallinfo2().arena;
    }
    free(left);
    EXPECT(failed == 0);
    /* What a thread had is used again: the ninth thousand needs no more than the first. */
    EXPECT(mallinfo2().arena <= held_early + (4u << 20));
}

/* ---- what runs when a thread ends ------------------------------------------------------------ */

enum { KEYS = 40 }; /* more than the 32 whose values need no memory of their own */
static pthread_key_t keys[KEYS];
static atomic_int destroyed;

/* Allocates and frees at the thread's end, and comes again twice. */
static void destroy(void *value)
{
    void **slot = value;
    free(slot[1]);
    slot[1] = malloc(300);
    memset(slot[1], 1, 300);
    int again = (int)(uintptr_t)slot[0];
    if (again > 0) {
        slot[0] = (void *)(uintptr_t)(again - 1);
        pthread_setspecific(keys[(uintptr_t)slot[2]], slot);
        return;
    }
    free(slot[1]);
    free(slot);
    atomic_fetch_add(&destroyed, 1);
}

static void *thread_with_keys(void *unused)
{
    (void)unused;
    for (uintptr_t i = 0; i < KEYS; i++) {
        void **slot = calloc(3, sizeof *slot);
        slot[0] = (void *)(uintptr_t)2;
        slot[2] = (void *)i;
        pthread_setspecific(keys[i], slot);
    }
    return NULL;
}

static void thread_destructors(void)
{
    enum { THREADS = 50 };
    for (int i = 0; i < KEYS; i++)
        EXPECT(pthread_key_create(&keys[i], destroy) == 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        EXPECT(pthread_create(&thread, NULL, thread_with_keys, NULL) == 0);
        EXPECT(pthread_join(thread, NULL) == 0);
    }
    EXPECT(atomic_load(&destroyed) == THREADS * KEYS);
    for (int i = 0; i < KEYS; i++)
        pthread_key_delete(keys[i]);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static atomic_bool stop;

static void *churn_until_stopped(void *argument)
{
    uintptr_t faults = 0;
    for (uint64_t seed = (uintptr_t)argument; !atomic_load(&stop); seed += 17)
        faults += churn(seed, 500);
    return (void *)faults;
}

static void *in_child_thread(void *unused)
{
    (void)unused;
    return (void *)churn(77, 2000);
}

/* The child allocates, frees blocks of its parent, and starts a thread of its own. */
static int child(void *inherited)
{
    void *faults = NULL;
    pthread_t thread;
    if (memcmp(inherited, "inherited", 9) != 0 || churn(5, 5000) != 0)
        return 1;
    free(inherited);
    if (pthread_create(&thread, NULL, in_child_thread, NULL) != 0 ||
        pthread_join(thread, &faults) != 0 || faults != NULL)
        return 2;
    pid_t grandchild = fork();
    if (grandchild == 0)
        _exit(churn(6, 1000) != 0);
    int status = -1;
    return waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 3;
}

static void *fork_often(void *unused)
{
    (void)unused;
    uintptr_t failed = 0;
    for (int i = 0; i < 40; i++) {
        char *inherited = strdup("inherited");
        pid_t pid = fork();
        if (pid == 0)
            _exit(child(inherited));
        int status = -1;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
            failed++;
        free(inherited);
    }
    return (void *)failed;
}

static void fork_under_load(void)
{
    pthread_t churners[3], forkers[2];
    void *result = NULL;
    for (uintptr_t i = 0; i < 3; i++)
        EXPECT(pthread_create(&churners[i], NULL, churn_until_stopped, (void *)(i + 9)) == 0);
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_create(&forkers[i], NULL, fork_often, NULL) == 0);
    for (int i = 0; i < 2; i++)
        EXPECT(pthread_join(forkers[i], &result) == 0 && result == NULL);
    atomic_store(&stop, 1);
    for (int i = 0; i < 3; i++)
        EXPECT(pthread_join(churners[i], &result) == 0 && result == NULL);
}

/* ---- libraries that come and go -------------------------------------------------------------- */

typedef void *block_function(size_t bytes);
typedef void free_function(void *block);

static const char *plugin_path;

static void *use_plugin(void *unused)
{
    (void)unused;
    union {
        void *object;
        block_function *block;
        free_function *free;
    } make, give;
    void *library = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        return (void *)1;
    make.object = dlsym(library, "plugin_block");
    give.object = dlsym(library, "plugin_free");
    unsigned char *small = make.block(100), *large = make.block(3 << 20);
    give.free(malloc(700)); /* ours, freed there */
    (void)dlclose(library);
    uintptr_t faults = small[99] != 42 || large[(3 << 20) - 1] != 42; /* they outlive it */
    free(small);
    free(large);
    return (void *)faults;
}

static void plugins(void)
{
    for (int round = 0; round < 30; round++) {
        pthread_t threads[3];
        void *result = NULL;
        EXPECT(use_plugin(NULL) == NULL);
        for (int i = 0; i < 3; i++)
            EXPECT(pthread_create(&threads[i], NULL, use_plugin, NULL) == 0);
        for (int i = 0; i < 3; i++)
            EXPECT(pthread_join(threads[i], &result) == 0 && result == NULL);
    }
}

/* ---- after main ------------------------------------------------------------------------------ */

static char *kept_for_the_end;

/* Runs after main, after all handlers registered later; the destructors of libraries follow. */
static void at_the_end(void)
{
    if (strcmp(kept_for_the_end, "kept") != 0 || churn(3, 1000) != 0) {
        fprintf(stderr, "what ran after main found its block changed\n");
        _exit(1);
    }
    free(kept_for_the_end);
}

int main(int count, char **arguments)
{
    plugin_path = count > 1 ? arguments[1] : "";
    expect_ours("malloc");
    kept_for_the_end = strdup("kept");
    EXPECT(atexit(at_the_end) == 0);
    blocks_from_before_main();
    threads_together();
    many_short_lives();
    thread_destructors();
    fork_under_load();
    plugins();
    return finish("process");
}
