/* child.c - see child.h. The parent may have died before the kernel was told: so it is asked for
 * once more. */
#include "child.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

pid_t child_start(void (*run)(void *context), void *context)
{
    (void)fflush(NULL);
    pid_t leader = getpid(), pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == leader)
            run(context);
        _exit(0);
    }
    return pid;
}
