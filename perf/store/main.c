/* main.c - the store's measuring program: options, tests, processes. One program for each subject.
 *
 *     store-SUBJECT [--allocator NAME] [--tests LIST] [--dir DIR] [--repeats N] [--ms N] [--live N]
 *                   [--quick] [--list] [--version]
 *
 * Each test works in a file of its own in DIR (default: TMPDIR, else /tmp), which it removes. */
#include "store.h"

#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static _Noreturn void usage(void)
{
    (void)fputs("usage: store-SUBJECT [--allocator NAME] [--tests LIST] [--dir DIR] [--repeats N]\n"
                "                     [--ms N] [--live N] [--quick] [--list] [--version]\n",
                stderr);
    exit(2);
}

static unsigned number_of(const char *text, unsigned long most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || value == 0 || value > most)
        usage();
    return (unsigned)value;
}

static bool is_listed(const char *list, const char *name)
{
    size_t length = strlen(name);
    while (list != NULL && *list != '\0') {
        size_t word = strcspn(list, ",");
        if (word == length && memcmp(list, name, length) == 0)
            return true;
        list += word + (list[word] == ',');
    }
    return list == NULL;
}

static void set_quick(void)
{
    settings.is_quick = true;
    settings.repeats = 2;
    settings.repeat_ms = 1;
    settings.live_max = 10000;
}

static const char *read_options(int count, char **words)
{
    static const struct option OPTIONS[] = {
        {"allocator", required_argument, NULL, 'a'}, {"tests", required_argument, NULL, 't'},
        {"repeats", required_argument, NULL, 'r'},   {"ms", required_argument, NULL, 'm'},
        {"live", required_argument, NULL, 'l'},      {"dir", required_argument, NULL, 'd'},
        {"quick", no_argument, NULL, 'q'},           {"list", no_argument, NULL, 'p'},
        {"version", no_argument, NULL, 'v'},         {NULL, 0, NULL, 0}};
    const char *list = NULL;
    int option;
    while ((option = getopt_long(count, words, "", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 'a': settings.allocator = optarg; break;
        case 't': list = optarg; break;
        case 'r': settings.repeats = number_of(optarg, VALUES_MAX); break;
        case 'm': settings.repeat_ms = number_of(optarg, 60000); break;
        case 'l': settings.live_max = number_of(optarg, 10000000); break;
        case 'd': folder = optarg; break;
        case 'q': set_quick(); break;
        case 'p':
            for (unsigned i = 0; i < TESTS_COUNT; i++)
                printf("%s %s\n", TESTS[i].group, TESTS[i].name);
            exit(0);
        case 'v': puts(subject_version()); exit(0);
        default: usage();
        }
    }
    if (optind != count)
        usage();
    return list;
}

static void read_machine(void)
{
    cpu_set_t set;
    settings.page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return; /* more CPUs than a set has: threads run where the kernel wants */
    for (unsigned cpu = 0; cpu < CPU_SETSIZE && settings.cpus_count < CPUS_MAX; cpu++)
        if (CPU_ISSET(cpu, &set))
            settings.cpus[settings.cpus_count++] = cpu;
}

int main(int count, char **words)
{
    const char *list = read_options(count, words);
    read_machine();
    for (unsigned i = 0; i < TESTS_COUNT; i++) {
        if (!is_listed(list, TESTS[i].name) && !is_listed(list, TESTS[i].group))
            continue;
        pin(0);
        TESTS[i].run(&TESTS[i]);
    }
    return 0;
}
