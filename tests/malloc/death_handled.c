/* death_handled.c - a block is freed twice, in a program whose handler of SIGABRT allocates.
 *
 *   death_handled late    the second free is found when the caches are emptied
 *   death_handled         it is found at once, where ROMA_HARDENED=1
 *
 * A handler that waits for a lock is ended by SIGALRM. */
#include "death.h"

#include <signal.h>

enum { SECONDS = 20 };

static void on_abort(int number)
{
    (void)number;
    (void)go_on();
}

int main(int count, char **arguments)
{
    void *block = malloc(100);
    (void)arguments;
    (void)signal(SIGABRT, on_abort);
    (void)alarm(SECONDS);
    free(block);
    free(hidden(block));
    if (count > 1)
        (void)malloc_trim(0);
    say("it is not found\n");
    return 4;
}
