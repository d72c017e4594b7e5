/* stall.c - see stall.h. In the handler nothing but write and _exit. */
#include "stall.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

char stall_in[300];

static void on_alarm(int signal)
{
    (void)signal;
    static const char text[] = "VIOLATION: nothing goes on any more in: ";
    if (write(STDOUT_FILENO, text, sizeof text - 1) > 0 &&
        write(STDOUT_FILENO, stall_in, strlen(stall_in)) > 0)
        (void)!write(STDOUT_FILENO, "\n", 1);
    _exit(1);
}

void stall_watch(void)
{
    (void)signal(SIGALRM, on_alarm);
}
