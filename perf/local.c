/* local.c - what it costs that plain requests follow their threads: blocks of 64 B from a manager
 * whose default placement is LOCAL beside one that has none, ns an operation.
 *
 *     perf-local [PASSES]      (default: 15; one more comes first and is thrown away)
 *
 * A local manager asks where the thread runs each time that a magazine is empty, and finds the heap
 * of that node. So a pair shows nothing of it, and 1000 blocks that come and go together show what
 * is left of it over a magazine's cells. The two managers take turns; medians.
 *
 * Expected: at most 1 ns an operation more, and nothing on a pair. */
#include "perf/support/clock.h"
#include "perf/support/figures.h"

#include <roma.h>

#include <stdio.h>
#include <stdlib.h>

enum { BLOCKS = 1000, ROUNDS = 400, PASSES_MAX = 1000 };

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "local: %s failed\n", what);
        exit(1);
    }
}

static roma_manager *open_manager(roma_placement placement)
{
    roma_request request = roma_request_default();
    roma_options options = roma_options_default();
    roma_manager *manager = NULL;
    request.placement = placement;
    options.request = &request;
    options.counts = ROMA_COUNTS_NONE;
    require(roma_manager_create(&manager, &options, NULL) == 0, "roma_manager_create");
    return manager;
}

static double pairs_ns(roma_manager *manager)
{
    double began = now_ns();
    for (int i = 0; i < BLOCKS * ROUNDS; i++)
        roma_free(roma_alloc(manager, 64));
    return (now_ns() - began) / (BLOCKS * ROUNDS);
}

static double batches_ns(roma_manager *manager)
{
    static void *blocks[BLOCKS];
    double began = now_ns();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BLOCKS; i++)
            blocks[i] = roma_alloc(manager, 64);
        require(blocks[BLOCKS - 1] != NULL, "roma_alloc");
        for (int i = 0; i < BLOCKS; i++)
            roma_free(blocks[i]);
    }
    return (now_ns() - began) / (BLOCKS * ROUNDS);
}

/* Lengths beyond the caches come and go by the slow path each time. */
static double large_ns(roma_manager *manager)
{
    double began = now_ns();
    for (int i = 0; i < BLOCKS * 10; i++)
        roma_free(roma_alloc(manager, 512 << 10));
    return (now_ns() - began) / (BLOCKS * 10);
}

static void compare(const char *what, double (*measure)(roma_manager *), roma_manager *any,
                    roma_manager *local, unsigned passes)
{
    static double figures[2][PASSES_MAX];
    for (unsigned pass = 0; pass <= passes; pass++) {
        unsigned index = pass == 0 ? 0 : pass - 1;
        figures[0][index] = measure(any);
        figures[1][index] = measure(local);
    }
    double without = median_of(figures[0], passes);
    double with = median_of(figures[1], passes);
    printf("%-28s%10.2f%10.2f%+10.2f\n", what, without, with, with - without);
}

int main(int count, char **words)
{
    long passes = count > 1 ? strtol(words[1], NULL, 10) : 15;
    require(passes > 0 && passes <= PASSES_MAX, "a number of passes from 1 to 1000");
    roma_manager *any = open_manager(ROMA_ANYWHERE), *local = open_manager(ROMA_LOCAL);
    printf("Expected: at most +1.00 on the first two lines. ns an operation, medians of %ld:\n",
           passes);
    printf("%-28s%10s%10s%10s\n", "", "anywhere", "local", "more");
    compare("64 B, a pair", pairs_ns, any, local, (unsigned)passes);
    compare("64 B, 1000 at once", batches_ns, any, local, (unsigned)passes);
    compare("512 KiB, a pair", large_ns, any, local, (unsigned)passes);
    require(roma_manager_destroy(any) == 0 && roma_manager_destroy(local) == 0, "destroying");
    return 0;
}
