/* storm.c - many processes at work in one store, killed, stopped and forked at random.
 *
 *     storm [--seconds N] [--kills N] [--processes N] [--seed N]
 *
 * Workers allocate, fill, link, load, check and release blocks of all sizes, and use names, as fast
 * as they can, some with a second thread that they pass references to. Every block carries its
 * number, and a pattern that follows from it up to its last byte; whoever gets hold of a block
 * looks at all of it. The leader kills workers and starts new ones, stops and continues them, and
 * they fork: the child finds the store stale, and attaches anew.
 *
 * At rests all are killed, and an exam is held on the file (support/exam.h): nothing is lost,
 * nothing locked, every count right. Before the storm goes on, all free units are made to look as
 * if they had been used almost as often as a generation can count, so generations wrap all the
 * time.
 *
 * It ends when both --seconds and --kills are reached. A worker that meets what must not be, or
 * that does not get on for a long time without being stopped, is a violation.
 *
 * Here is the leader; the workers, their calls and their blocks are in storm/. */
#include "storm/storm.h"

#include "support/chance.h"
#include "support/child.h"
#include "support/exam.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SESSIONS = 80,
    LANES = 96,
    STUCK_MS = 20000,
    REST_MS = 1500,
    SHOWN_MAX = 20,
    GENERATION = 0xfffff0
};

static struct {
    unsigned long seconds, kills, processes, seed;
} options = {.seconds = 5, .processes = 8, .seed = 1};

static struct {
    uint64_t kills, stops, rests, violations, lost_bytes, recovered;
} figures;

struct storm_shared *storm_shared;
int storm_fd;

/* ---- the workers ----------------------------------------------------------------------------- */

static struct {
    pid_t pid;
    uint64_t beats;
    int64_t since_ms; /* it was started, went on, or was continued */
} workers[STORM_PROCESSES_MAX];

static int64_t now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

struct beginning {
    unsigned index;
    uint64_t seed;
};

static void begin_work(void *context)
{
    const struct beginning *beginning = context;
    (void)!nice(5);
    storm_work(beginning->index, beginning->seed);
}

static void start(unsigned index)
{
    static uint64_t seeds;
    struct beginning beginning = {index, options.seed * 1000003 + seeds++};
    workers[index].pid = child_start(begin_work, &beginning);
    workers[index].beats = storm_shared->beats[index];
    workers[index].since_ms = now_ms();
}

/* By itself it ends only because of a violation, or a fault. */
static void end(unsigned index, bool was_killed)
{
    int status = 0;
    (void)kill(workers[index].pid, SIGKILL);
    (void)waitpid(workers[index].pid, &status, 0);
    bool by_kill = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    figures.kills += was_killed;
    if (by_kill)
        return;
    figures.violations++;
    if (WIFSIGNALED(status))
        (void)printf("VIOLATION: a worker died of signal %d\n", WTERMSIG(status));
}

static void look_after(unsigned index)
{
    uint64_t beats = __atomic_load_n(&storm_shared->beats[index], __ATOMIC_RELAXED);
    if (beats != workers[index].beats) {
        workers[index].beats = beats;
        workers[index].since_ms = now_ms();
    } else if (now_ms() - workers[index].since_ms > STUCK_MS) {
        (void)printf("VIOLATION: a worker does not get on\n");
        figures.violations++;
        end(index, false);
        start(index);
    }
    int status = 0;
    if (waitpid(workers[index].pid, &status, WNOHANG) == workers[index].pid) {
        figures.violations++;
        if (WIFSIGNALED(status))
            (void)printf("VIOLATION: a worker died of signal %d\n", WTERMSIG(status));
        start(index);
    }
}

static void pause_us(uint64_t microseconds)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)microseconds * 1000}, NULL);
}

/* ---- rests ----------------------------------------------------------------------------------- */

/* As if free units had been in use almost as often as a generation can count. */
static void age(void)
{
    roma_store *store = NULL;
    if (roma_store_attach(storm_fd, NULL, &store, NULL) < 0)
        return; /* the exam said so already */
    for (uint64_t i = store->view.regions.first_unit; i < roma__view_units(&store->view); i++)
        if ((store->view.free_bits[i / 64] >> (i % 64) & 1) != 0)
            store->view.units[i].generation = GENERATION;
    (void)roma_store_close(store);
}

static void rest(void)
{
    struct exam exam;
    for (unsigned i = 0; i < options.processes; i++)
        end(i, true);
    while (waitpid(-1, NULL, 0) > 0) { /* forked ones are ours now, and dead or dying */
    }
    figures.rests++;
    if (!exam_file(storm_fd, &exam)) {
        (void)printf("VIOLATION: at rest %llu: %s\n", (unsigned long long)figures.rests, exam.text);
        figures.violations++;
    }
    figures.lost_bytes += exam.account.lost_bytes;
    figures.recovered += (uint64_t)exam.recovered;
    age();
}

/* ---- the storm ------------------------------------------------------------------------------- */

static void lead(void)
{
    int64_t begin = now_ms(), rested = begin;
    for (unsigned i = 0; i < options.processes; i++)
        start(i);
    while (figures.violations < SHOWN_MAX &&
           (now_ms() - begin < (int64_t)options.seconds * 1000 || figures.kills < options.kills)) {
        unsigned index = (unsigned)chance_draw(options.processes);
        pause_us(200 + chance_draw(30000));
        look_after(index);
        switch (chance_draw(5)) {
        case 0: {
            (void)kill(workers[index].pid, SIGSTOP);
            figures.stops++;
            pause_us(chance_draw(20000));
            /* Stopped and killed is what a stopped holder comes to in the end, too. */
            if (chance_draw(4) != 0) {
                (void)kill(workers[index].pid, SIGCONT);
                workers[index].since_ms = now_ms();
                break;
            }
            end(index, true);
            start(index);
            break;
        }
        default: end(index, true); start(index);
        }
        if (now_ms() - rested > REST_MS) {
            rest();
            for (unsigned i = 0; i < options.processes; i++)
                start(i);
            rested = now_ms();
        }
    }
    rest();
}

static int make_store(void)
{
    roma_store_options made = roma_store_options_default();
    made.bytes = 2 << 20;
    made.max_bytes = 64 << 20;
    made.sessions = SESSIONS;
    made.lanes = LANES;
    made.unsynced = true;
    roma_store *store = NULL;
    roma_error error = {0};
    int code = roma_store_create_memory("roma-storm", &made, &store, &error);
    if (code < 0) {
        (void)roma_error_print(stderr, &error);
        return code;
    }
    storm_fd = fcntl(roma_store_fd(store), F_DUPFD_CLOEXEC, 3);
    code = roma_store_close(store);
    age();
    return code;
}

/* ---- options --------------------------------------------------------------------------------- */

static void usage(void)
{
    (void)fputs("storm [--seconds N] [--kills N] [--processes N] [--seed N]\n", stderr);
    exit(2);
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {{"seconds", required_argument, NULL, 's'},
                                          {"kills", required_argument, NULL, 'k'},
                                          {"processes", required_argument, NULL, 'p'},
                                          {"seed", required_argument, NULL, 'S'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        unsigned long number = strtoul(optarg != NULL ? optarg : "", NULL, 10);
        if (option == 's')
            options.seconds = number;
        else if (option == 'k')
            options.kills = number;
        else if (option == 'p')
            options.processes = number;
        else if (option == 'S')
            options.seed = number;
        else
            usage();
    }
    if (optind != count || options.processes == 0 || options.processes > STORM_PROCESSES_MAX)
        usage();
}

/* ---- the whole ------------------------------------------------------------------------------- */

int main(int count, char **arguments)
{
    read_options(count, arguments);
    storm_shared = mmap(NULL, sizeof *storm_shared, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (storm_shared == MAP_FAILED || make_store() < 0)
        return 1;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    exam_signs = false;
    chance_state = options.seed * 2 + 1;
    int64_t begin = now_ms();
    lead();
    (void)printf(
        "storm: %lu processes, %llu kills, %llu stops, %llu forks, %llu calls, %llu MiB "
        "looked at, %llu rests, %llu sessions recovered at them, %llu violations, "
        "%llu leaked bytes, %lld s\n",
        options.processes, (unsigned long long)figures.kills, (unsigned long long)figures.stops,
        (unsigned long long)storm_shared->forks, (unsigned long long)storm_shared->calls,
        (unsigned long long)(storm_shared->checked_bytes >> 20), (unsigned long long)figures.rests,
        (unsigned long long)figures.recovered, (unsigned long long)figures.violations,
        (unsigned long long)figures.lost_bytes, (long long)(now_ms() - begin) / 1000);
    return figures.violations != 0 || figures.kills == 0 || storm_shared->calls == 0;
}
