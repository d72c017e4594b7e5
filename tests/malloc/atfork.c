/* atfork.c - a program that registers fork handlers before it allocates anything: they allocate,
 * and they wait for a lock that another thread holds while it allocates.
 *
 * What waits for ever is ended by SIGALRM, in parent and child. */
#include "expect.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKS = 100, BLOCKS = 3000, SECONDS = 60 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_bool stop;
static atomic_int calls; /* of the handlers, in this process */
static int registered = -1;

/* More of each class than a cache keeps, and beyond all classes. */
static void allocate(unsigned count)
{
    static _Thread_local void *blocks[BLOCKS];
    for (unsigned i = 0; i < count; i++)
        blocks[i] = malloc((size_t)16 << i % 11);
    free(realloc(malloc(1 << 20), 3 << 20));
    for (unsigned i = 0; i < count; i++)
        free(blocks[i]);
}

static void before(void)
{
    pthread_mutex_lock(&lock);
    allocate(BLOCKS);
    atomic_fetch_add(&calls, 1);
}

static void after(void)
{
    allocate(BLOCKS);
    pthread_mutex_unlock(&lock);
    atomic_fetch_add(&calls, 1);
}

static void register_first(void)
{
    registered = pthread_atfork(before, after, after);
}
__attribute__((section(".preinit_array"),
               used)) static void (*const preinit)(void) = register_first;

static void *allocate_with_lock(void *unused)
{
    (void)unused;
    while (!atomic_load(&stop)) {
        pthread_mutex_lock(&lock);
        allocate(BLOCKS / 10);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

int main(void)
{
    pthread_t thread;
    EXPECT(registered == 0);
    (void)alarm(SECONDS);
    expect_ours("malloc");
    EXPECT(pthread_create(&thread, NULL, allocate_with_lock, NULL) == 0);
    for (int i = 0; i < FORKS; i++) {
        int status = -1;
        pid_t pid = fork();
        if (pid == 0) {
            (void)alarm(SECONDS);
            allocate(BLOCKS);
            _exit(atomic_load(&calls) != 2 * i + 2);
        }
        EXPECT(pid > 0 && waitpid(pid, &status, 0) == pid && status == 0);
    }
    EXPECT(atomic_load(&calls) == 2 * FORKS);
    atomic_store(&stop, 1);
    EXPECT(pthread_join(thread, NULL) == 0);
    return finish("atfork");
}
