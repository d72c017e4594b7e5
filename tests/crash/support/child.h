/* child.h - a process that does one thing, and dies with the one that started it. */
#ifndef ROMA_TESTS_CRASH_CHILD_H
#define ROMA_TESTS_CRASH_CHILD_H

#include <sys/types.h>

/* Fork; the child calls `run` and ends with 0. Nothing that was printed is printed twice. */
pid_t child_start(void (*run)(void *context), void *context);

#endif
