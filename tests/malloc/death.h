/* death.h - for the programs that misuse malloc: with ROMA_MISUSE=report they go on after it, and
 * must find a malloc that works. */
#ifndef ROMA_TESTS_MALLOC_DEATH_H
#define ROMA_TESTS_MALLOC_DEATH_H

#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Compilers know some of these mistakes, and would warn or optimize; so pointers pass here. */
static inline void *hidden(void *pointer)
{
    void *volatile hides = pointer;
    return hides;
}

static inline void say(const char *line)
{
    if (write(STDERR_FILENO, line, strlen(line)) < 0)
        _exit(3);
}

/* Allocate, fill, look, free: two blocks at one address would show. Returns an exit status. */
static inline int go_on(void)
{
    enum { COUNT = 4000 };
    static unsigned char *blocks[COUNT];
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < COUNT; i++) {
            blocks[i] = malloc((size_t)(16 + i % 700));
            if (blocks[i] == NULL)
                return 1;
            memset(blocks[i], i % 251, (size_t)(16 + i % 700));
        }
        for (int i = 0; i < COUNT; i++) {
            if (blocks[i][0] != i % 251 || blocks[i][15 + i % 700] != i % 251)
                return 2;
            free(blocks[i]);
        }
    }
    say("went on\n");
    return 0;
}

#endif
