/* figures.c - mallinfo2() while other threads allocate and free, under ROMA_RETURN_DELAY=0: what is
 * read one after the other never makes less than nothing. */
#include "expect.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

enum { MIB = 1 << 20, THREADS = 3, SECONDS = 2 };
static const size_t most_bytes = (size_t)1 << 40;

static atomic_bool stop;

/* Of each block nothing is left when it is freed. */
static void *come_and_go(void *unused)
{
    (void)unused;
    while (!atomic_load_explicit(&stop, memory_order_relaxed))
        free(malloc(64 * MIB));
    return NULL;
}

static int is_sound(struct mallinfo2 info)
{
    return info.arena < most_bytes && info.uordblks < most_bytes && info.fordblks <= info.arena &&
           info.keepcost < most_bytes;
}

int main(void)
{
    pthread_t threads[THREADS];
    unsigned long unsound = 0;
    expect_ours("mallinfo2");
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_create(&threads[i], NULL, come_and_go, NULL) == 0);
    for (time_t end = time(NULL) + SECONDS; time(NULL) <= end;)
        unsound += !is_sound(mallinfo2());
    atomic_store(&stop, 1);
    for (int i = 0; i < THREADS; i++)
        EXPECT(pthread_join(threads[i], NULL) == 0);
    if (unsound > 0)
        fprintf(stderr, "%lu times less than nothing\n", unsound);
    EXPECT(unsound == 0);
    return finish("figures");
}
