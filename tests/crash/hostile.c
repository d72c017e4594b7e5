/* hostile.c - processes at work in a store while another one scribbles over all of its file.
 *
 *     hostile [--seconds N] [--seed N]
 *
 * In each round a store is made and filled, and two workers run random calls (support/scene.h) on
 * it, attach and close. A third process has the file mapped and writes: random words anywhere,
 * small changes of words that are there, words of one place to another, words with a meaning (free,
 * owned, valid, refs), and whole pages of nothing. What the calls return is of no interest, nor
 * what is left. But no worker may die: of an access outside the mapping, of one behind the file's
 * end, of an assertion, or under AddressSanitizer of any other error. A worker that waits for a
 * lock that will never be given back is counted as stalled, and ended. */
#include "support/chance.h"
#include "support/child.h"
#include "support/scene.h"

#include "store/layout.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORKERS = 2, ROUND_MS = 250, TICK_MS = 50, SHOWN_MAX = 20 };

static struct {
    unsigned long seconds, seed;
} options = {.seconds = 5, .seed = 1};

static struct shared {
    uint64_t calls, writes, refused, reports;
    uint64_t beats[WORKERS];
} * shared;

static struct {
    uint64_t rounds, stalls, violations;
} figures;

static int store_fd;

/* ---- the writer ------------------------------------------------------------------------------ */

/* Most of what is there to be hit lies in the tables before the units. */
static size_t draw_place(size_t bytes)
{
    size_t end = chance_draw(4) != 0 && bytes > (1u << 20) ? 1u << 20 : bytes;
    size_t place = chance_draw(end / 8) * 8;
    if (place < 2 * ROMA__SUPER_BYTES && chance_draw(50) != 0)
        place += 2 * ROMA__SUPER_BYTES; /* else nobody can attach any more */
    return place;
}

static uint64_t draw_word(const char *base, size_t bytes, uint64_t old)
{
    switch (chance_draw(8)) {
    case 0: return old ^ UINT64_C(1) << chance_draw(64);
    case 1: return old + chance_draw(5) - 2;
    case 2:
        return __atomic_load_n((const uint64_t *)(base + chance_draw(bytes / 8) * 8),
                               __ATOMIC_RELAXED);
    case 3: return chance_draw(bytes / 16) * 16; /* a ref */
    case 4:                                      /* a unit's word */
        return chance_draw(ROMA__UNIT_KINDS_COUNT + 1) | chance_draw(2) << 4 |
               chance_draw(48) << 8 | chance_draw(8) << 16 | chance_draw(40) << 32;
    case 5: /* a record */
        return ROMA__REDO_VALID | chance_draw(256) << 40 | chance_draw(256) << 48 | chance_draw(64);
    case 6: return chance_draw(2) != 0 ? 0 : UINT64_MAX;
    default: return chance_state * UINT64_C(0x9e3779b97f4a7c15);
    }
}

static void scribble(uint64_t seed)
{
    struct stat status;
    chance_state = seed | 1;
    if (fstat(store_fd, &status) != 0)
        _exit(0);
    size_t bytes = (size_t)status.st_size;
    char *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, store_fd, 0);
    if (base == MAP_FAILED)
        _exit(0);
    /* From a few writes to very many a round. */
    uint64_t patience = UINT64_C(1) << chance_draw(14);
    for (;;) {
        size_t place = draw_place(bytes);
        uint64_t *word = (uint64_t *)(base + place);
        __atomic_store_n(word, draw_word(base, bytes, __atomic_load_n(word, __ATOMIC_RELAXED)),
                         __ATOMIC_RELAXED);
        if (chance_draw(5000) == 0)
            memset(base + place / 4096 * 4096, 0, 4096);
        __atomic_add_fetch(&shared->writes, 1, __ATOMIC_RELAXED);
        for (volatile uint64_t i = 0; i < patience; i++) {
        }
    }
}

/* ---- faults ---------------------------------------------------------------------------------- */

#ifdef ROMA_CRASH_SANITIZED /* whose own words are better, and take a while */
void __asan_on_error(void);
void __asan_on_error(void)
{
    __atomic_add_fetch(&shared->reports, 1, __ATOMIC_RELAXED);
}

static void tell_of_faults(void) {}
#else
extern const char __executable_start;

/* Where it was, as addr2line -e takes it, and then the signal does what it does. */
static void on_fault(int number)
{
    enum { DEEP = 12 };
    void *places[DEEP];
    char text[40];
    int count = backtrace(places, DEEP);
    for (int i = 2; i < count; i++) {
        unsigned long place = (unsigned long)places[i] - (unsigned long)&__executable_start;
        int bytes = snprintf(text, sizeof text, "%s%#lx%s", i == 2 ? "at " : " ", place - (i > 2),
                             i + 1 == count ? "\n" : "");
        (void)!write(STDOUT_FILENO, text, (size_t)bytes);
    }
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

static void tell_of_faults(void)
{
    void *places[1];
    (void)backtrace(places, 1); /* loads what it needs */
    (void)signal(SIGSEGV, on_fault);
    (void)signal(SIGBUS, on_fault);
    (void)signal(SIGABRT, on_fault);
}
#endif

/* ---- the workers ----------------------------------------------------------------------------- */

static void work(unsigned index, uint64_t seed)
{
    struct scene scene = {.fd = store_fd, .process = index};
    chance_state = seed | 1;
    tell_of_faults();
    for (;;) {
        __atomic_add_fetch(&shared->beats[index], 1, __ATOMIC_RELAXED);
        if (scene.store == NULL) {
            scene.held_count = 0;
            if (roma_store_attach(scene.fd, NULL, &scene.store, NULL) < 0) {
                __atomic_add_fetch(&shared->refused, 1, __ATOMIC_RELAXED);
                (void)nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
            }
            continue;
        }
        unsigned call = (unsigned)chance_draw(scene_calls_count);
        if (call == scene_calls_count - 1 && chance_draw(20) != 0) /* close */
            continue;
        (void)scene_calls[call].run(&scene);
        if (chance_draw(200) == 0)
            (void)roma_store_check(scene.store, NULL, NULL);
        __atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
    }
}

/* ---- rounds ---------------------------------------------------------------------------------- */

struct part {
    void (*run)(unsigned index, uint64_t seed);
    unsigned index;
    uint64_t seed;
};

static void play(void *context)
{
    const struct part *part = context;
    part->run(part->index, part->seed);
}

static pid_t start(void (*run)(unsigned index, uint64_t seed), unsigned index, uint64_t seed)
{
    return child_start(play, &(struct part){run, index, seed});
}

static void start_scribbling(unsigned index, uint64_t seed)
{
    (void)index;
    scribble(seed);
}

static void end(pid_t pid, uint64_t seed)
{
    int status = 0;
    if (__atomic_load_n(&shared->reports, __ATOMIC_RELAXED) != 0)
        (void)sleep(10); /* for it to be written */
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return;
    if (figures.violations++ < SHOWN_MAX)
        (void)printf("VIOLATION: a worker ended with status %#x in the round of --seed %llu\n",
                     (unsigned)status, (unsigned long long)seed);
}

static int make_store(void)
{
    roma_store_options made = roma_store_options_default();
    made.bytes = 1 << 20;
    made.max_bytes = 4 << 20;
    made.sessions = 6;
    made.lanes = 8;
    made.unsynced = true;
    struct scene scene = {0};
    roma_error error = {0};
    int code = roma_store_create_memory("roma-hostile", &made, &scene.store, &error);
    if (code < 0) {
        (void)roma_error_print(stderr, &error);
        return code;
    }
    store_fd = fcntl(roma_store_fd(scene.store), F_DUPFD_CLOEXEC, 3);
    return scene_run(&scene, "small node link-inner link large put into batch close");
}

static int run_round(uint64_t seed)
{
    uint64_t beats[WORKERS] = {0};
    pid_t workers[WORKERS];
    int code = make_store();
    if (code != 0)
        return code;
    for (unsigned i = 0; i < WORKERS; i++)
        workers[i] = start(work, i, seed * 31 + i);
    pid_t writer = start(start_scribbling, 0, seed * 17 + 5);
    for (unsigned tick = 0; tick * TICK_MS < ROUND_MS; tick++) {
        if (tick == ROUND_MS / TICK_MS - 2)
            for (unsigned i = 0; i < WORKERS; i++)
                beats[i] = __atomic_load_n(&shared->beats[i], __ATOMIC_RELAXED);
        (void)nanosleep(&(struct timespec){.tv_nsec = TICK_MS * 1000000L}, NULL);
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        figures.stalls += beats[i] == __atomic_load_n(&shared->beats[i], __ATOMIC_RELAXED);
        end(workers[i], seed);
    }
    end(writer, seed);
    (void)close(store_fd);
    figures.rounds++;
    if (__atomic_exchange_n(&shared->reports, 0, __ATOMIC_RELAXED) != 0 && figures.violations == 0)
        figures.violations++; /* it did not get to its end */
    return 0;
}

static void usage(void)
{
    (void)fputs("hostile [--seconds N] [--seed N]\n", stderr);
    exit(2);
}

int main(int count, char **arguments)
{
    static const struct option known[] = {{"seconds", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'S'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        if (option == 's')
            options.seconds = strtoul(optarg, NULL, 10);
        else if (option == 'S')
            options.seed = strtoul(optarg, NULL, 10);
        else
            usage();
    }
    if (optind != count)
        usage();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    struct timespec begin, now;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    uint64_t seed = options.seed;
    do {
        int code = run_round(seed++);
        if (code != 0) {
            (void)printf("VIOLATION: a store could not be made: %s\n", strerror(-code));
            return 1;
        }
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((unsigned long)(now.tv_sec - begin.tv_sec) < options.seconds &&
             figures.violations < SHOWN_MAX);
    (void)printf("hostile: %llu rounds, %llu words written, %llu calls, %llu times refused, %llu "
                 "workers stalled, %llu violations, %lld s\n",
                 (unsigned long long)figures.rounds, (unsigned long long)shared->writes,
                 (unsigned long long)shared->calls, (unsigned long long)shared->refused,
                 (unsigned long long)figures.stalls, (unsigned long long)figures.violations,
                 (long long)(now.tv_sec - begin.tv_sec));
    return figures.violations != 0 || shared->calls == 0 || shared->writes == 0;
}
