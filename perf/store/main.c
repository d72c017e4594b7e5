/* main.c - the store's measuring program: options, tests, processes. One program for each subject.
 *
 *     store-SUBJECT [--allocator NAME] [--tests LIST] [--dir DIR] [--repeats N] [--ms N] [--live N]
 *                   [--quick] [--list] [--version]
 *
 * Each test works in a file of its own in DIR (default: TMPDIR, else /tmp), which it removes. */
#include "perf/support/options.h"
#include "store.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct settings settings = {
    .allocator = "store", .repeats = 5, .repeat_ms = 100, .live_max = 10000000};

static const struct test TESTS[] = {
    {"pair", "single", run_pair},
    {"batch", "single", run_batch},
    {"random", "single", run_random},
    {"processes", "processes", run_two},
    {"remote", "processes", run_remote},
    {"parcels", "processes", run_parcels},
#ifdef STORE_ROMA
    {"pair-managed", "single", run_managed_pair},
    {"batch-managed", "single", run_managed_batch},
    {"open-1m", "open", run_open_size},
    {"open-1g", "open", run_open_size},
    {"open-64g", "open", run_open_size},
    {"open-1t", "open", run_open_size},
    {"open-live", "open", run_open_live},
    {"recovery", "recovery", run_recovery},
#endif
};
enum { TESTS_COUNT = sizeof TESTS / sizeof TESTS[0] };

/* ---- the file -------------------------------------------------------------------------------- */

static const char *folder;

const char *store_path(void)
{
    static char path[4096];
    const char *given = getenv("TMPDIR");
    if (folder == NULL)
        folder = given != NULL ? given : "/tmp";
    if (path[0] == '\0')
        (void)snprintf(path, sizeof path, "%s/store-%ld", folder, (long)getpid());
    return path;
}

void store_unlink(void)
{
    if (unlink(store_path()) != 0)
        die(store_path(), errno);
}

/* ---- processes ------------------------------------------------------------------------------- */

int process_start(void (*work)(void *argument), void *argument, unsigned cpu)
{
    (void)store_path(); /* the same in the child */
    (void)fflush(stdout);
    pid_t process = fork();
    if (process < 0)
        die("fork", errno);
    if (process > 0)
        return process;
    pin(cpu);
    work(argument);
    _exit(0);
}

void process_wait(int process)
{
    int status;
    if (waitpid(process, &status, 0) != process || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        die("a process ended badly", ECHILD);
}

void wait_a_little(unsigned *spins)
{
    enum { SPINS_MAX = 2000 };
    if (++*spins >= SPINS_MAX)
        (void)sched_yield();
#if defined(__x86_64__)
    else
        __builtin_ia32_pause();
#elif defined(__aarch64__)
    else
        __asm__ volatile("yield");
#endif
}

/* ---- options --------------------------------------------------------------------------------- */

static void read_own(int letter, const char *value)
{
    switch (letter) {
    case 'd': folder = value; break;
    case 'v': puts(subject_version()); exit(0);
    }
}

static const struct option OWN[] = {
    {"dir", required_argument, NULL, 'd'}, {"version", no_argument, NULL, 'v'}, {NULL, 0, NULL, 0}};

static const struct program PROGRAM = {
    .usage = "usage: store-SUBJECT [--allocator NAME] [--tests LIST] [--dir DIR] [--repeats N]\n"
             "                     [--ms N] [--live N] [--quick] [--list] [--version]\n",
    .tests = TESTS,
    .tests_count = TESTS_COUNT,
    .live_most = 10000000,
    .own = OWN,
    .read_own = read_own};

int main(int count, char **words)
{
    const char *list = options_read(&PROGRAM, count, words);
    machine_read();
    for (unsigned i = 0; i < TESTS_COUNT; i++) {
        if (!test_is_listed(&TESTS[i], list))
            continue;
        pin(0);
        TESTS[i].run(&TESTS[i]);
    }
    return 0;
}
