/* run_child.c - the program as a child: started, watched, signalled and reaped.
 *
 * There are no signal handlers. The signals to pass on and SIGCHLD are blocked, and the wait
 * between two looks at the program is a wait for them (sigtimedwait). A signal from the terminal
 * goes to the whole foreground group, so the program has it already: only those that a process sent
 * to this one are passed on. One that was ignored when the command started (nohup) stays ignored,
 * here and in the program. The program starts with the signal mask and dispositions that the
 * command had. */
#include "run.h"

#include "parallel.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef struct signals {
    sigset_t awaited, mask_before;
    struct sigaction child_before;
} signals;

static void take_signals(signals *s)
{
    static const int passed_on[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};
    sigemptyset(&s->awaited);
    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        struct sigaction action;
        if (sigaction(passed_on[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
            sigaddset(&s->awaited, passed_on[i]);
    }
    sigaddset(&s->awaited, SIGCHLD);
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(SIGCHLD, &usual, &s->child_before); /* ignored, it would leave nothing to wait for */
    sigprocmask(SIG_BLOCK, &s->awaited, &s->mask_before);
}

/* ---- start ---------------------------------------------------------------------------------- */

static void child_main(const run_plan *plan, const signals *s, int failure)
{
    sigaction(SIGCHLD, &s->child_before, NULL);
    sigprocmask(SIG_SETMASK, &s->mask_before, NULL);
    execvp(plan->program[0], plan->program);
    int code = errno;
    ssize_t written = write(failure, &code, sizeof code);
    _exit(written == (ssize_t)sizeof code ? EXIT_NOT_EXECUTABLE : EXIT_FAULT);
}

/* Returns the child, or -errno, of fork() or of exec(), when the program did not start. */
static pid_t start_program(const run_plan *plan, const signals *s)
{
    int failure[2];
    if (pipe2(failure, O_CLOEXEC) != 0)
        return -errno;
    pid_t pid = fork();
    int code = errno;
    if (pid == 0)
        child_main(plan, s, failure[1]);
    close(failure[1]);
    if (pid > 0) {
        ssize_t got;
        do
            got = read(failure[0], &code,
                       sizeof code); /* ends with nothing when exec() closed it */
        while (got < 0 && errno == EINTR);
        if (got == (ssize_t)sizeof code)
            waitpid(pid, NULL, 0);
        else
            code = 0;
    }
    close(failure[0]);
    return code != 0 ? -code : pid;
}

/* ---- watch ---------------------------------------------------------------------------------- */

static void pass_on(const siginfo_t *info, pid_t pid)
{
    bool is_sent = info->si_code == SI_USER || info->si_code == SI_TKILL ||
                   info->si_code == SI_QUEUE;
    if (is_sent && info->si_pid != pid) /* not back to the one that sent it */
        kill(pid, info->si_signo);
}

/* Wait for a signal or for the next look. */
static void wait_a_while(const signals *s, uint64_t gap_ns, pid_t pid)
{
    siginfo_t info;
    const struct timespec gap = {.tv_sec = (time_t)(gap_ns / 1000000000u),
                                 .tv_nsec = (long)(gap_ns % 1000000000u)};
    int number = sigtimedwait(&s->awaited, &info, &gap);
    if (number > 0 && number != SIGCHLD)
        pass_on(&info, pid);
}

static void note_end(run_answer *answer, int status, const struct rusage *usage)
{
    answer->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    answer->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    answer->seconds = (double)(now_ns() - answer->sampler.start_ns) / 1e9;
    answer->minor_faults = (uint64_t)usage->ru_minflt;
    answer->major_faults = (uint64_t)usage->ru_majflt;
    answer->most_resident_bytes = (uint64_t)usage->ru_maxrss * 1024;
}

int run_child(run_answer *answer)
{
    const run_plan *plan = answer->plan;
    signals s;
    take_signals(&s);
    pid_t pid = start_program(plan, &s);
    if (pid < 0) {
        complain(plan->command, "%s: %s", plan->program[0], strerror(-pid));
        return pid == -ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
    }
    answer->pid = pid;
    run_sampler_start(&answer->sampler, pid);
    int status;
    struct rusage usage;
    for (pid_t ended; (ended = wait4(pid, &status, WNOHANG, &usage)) != pid;) {
        if (ended < 0 && errno != EINTR) {
            complain(plan->command, "%s could not be waited for (%s)", plan->program[0],
                     strerror(errno));
            return EXIT_FAULT;
        }
        wait_a_while(&s, run_sampler_look(&answer->sampler), pid);
    }
    note_end(answer, status, &usage);
    return 0;
}
