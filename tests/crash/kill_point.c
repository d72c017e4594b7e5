/* kill_point.c - a kill at every named point of the store's sources, and at every one of recovery.
 *
 *     kill_point [--stride N] [--twice-stride N] [--setup NAME] [--word CALL,CALL,...]
 *
 * The sources of src/store are compiled into this program once more with a call at each point
 * (store/points.h). A child runs a word of calls (support/scene.h) and records which points its
 * last call, or attaching, passes; then one child after the other dies by SIGKILL at the first of
 * them, the second, and so on, and an exam (support/exam.h) is held on what it left.
 *
 * Crash inside recovery: what one of them left is kept. A second process attaches and recovers, and
 * dies at the m-th point on its way; a third one the same at another point; the living peer of the
 * setup allocates and releases meanwhile. Then the exam. This is done for the first kill at each
 * point, and then for every --twice-stride-th.
 *
 * A point of the sources at which nothing was killed fails the run. */
#include "support/points_on.h" /* before the store's own headers */

#include "support/exam.h"
#include "support/stall.h"
#include "support/world.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { TRACE_MAX = 1 << 16, NAMES_MAX = 512, SHOWN_MAX = 20, STUCK_SECONDS = 60, WORD_BYTES = 100 };
enum {
    LONG_WAY = 200,
    OFTEN = 3
}; /* of a point that is passed very often: so many times, and the last */

static struct {
    unsigned long stride, twice_stride;
    const char *setup, *word;
} options = {.stride = 1, .twice_stride = 7};

static struct {
    uint64_t words, kills, double_kills, exams, violations, lost_bytes;
} figures;

/* ---- points ---------------------------------------------------------------------------------- */

/* Shared with the children. */
static struct shared {
    uint64_t count;               /* points passed since it was armed */
    const char *trace[TRACE_MAX]; /* the first of them                */
} * shared;

static bool is_armed;
static uint64_t kill_at; /* the kill_at-th point from now on; 0: none */

static struct {
    const char *name;
    uint64_t kills;
} names[NAMES_MAX];
static unsigned names_count;

void crash_point(const char *name)
{
    if (!is_armed)
        return;
    uint64_t number = shared->count++;
    if (number < TRACE_MAX)
        shared->trace[number] = name;
    if (number + 1 == kill_at)
        (void)kill(getpid(), SIGKILL);
}

static void arm(uint64_t at)
{
    shared->count = 0;
    kill_at = at;
    is_armed = true;
}

static void count_kill(const char *name)
{
    for (unsigned i = 0; i < names_count; i++)
        if (strcmp(names[i].name, name) == 0) {
            names[i].kills++;
            return;
        }
    if (names_count == NAMES_MAX)
        abort();
    names[names_count].name = name;
    names[names_count++].kills = 1;
}

static bool was_hit(const char *name)
{
    for (unsigned i = 0; i < names_count; i++)
        if (strcmp(names[i].name, name) == 0)
            return true;
    return false;
}

/* Every point that stands in a source; returns how many were never hit. */
static unsigned check_source(const char *path, unsigned *known)
{
    static const char *const marks[] = {"roma__step(\"", "ROMA__STORE_POINT(\""};
    FILE *file = fopen(path, "r");
    char line[256];
    unsigned missed = 0;
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        for (unsigned i = 0; i < 2; i++) {
            char *name = strstr(line, marks[i]);
            if (name == NULL)
                continue;
            name += strlen(marks[i]);
            name[strcspn(name, "\"")] = '\0';
            ++*known;
            if (!was_hit(name)) {
                (void)printf("NEVER HIT: %s of %s\n", name, path);
                missed++;
            }
        }
    if (file != NULL)
        (void)fclose(file);
    return missed;
}

static unsigned check_sources(unsigned *known)
{
    glob_t found;
    unsigned missed = 0;
    *known = 0;
    if (glob(ROMA_SOURCE_DIR "/src/store/*.c", 0, NULL, &found) != 0)
        return 1;
    for (size_t i = 0; i < found.gl_pathc; i++)
        missed += check_source(found.gl_pathv[i], known);
    globfree(&found);
    return *known == 0 ? 1 : missed;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void violation(const char *text)
{
    if (figures.violations++ < SHOWN_MAX)
        (void)printf("VIOLATION: %s\n    %s\n", text, stall_in);
}

/* ---- children -------------------------------------------------------------------------------- */

struct run {
    const struct world *world;
    const char *before, *last; /* calls; last NULL: attaching */
    uint64_t kill_at;
    bool recovers; /* attach and recover under way */
};

static void be_killed(int fd, void *context)
{
    const struct run *run = context;
    struct scene scene = {.fd = run->world->fd, .shrinks = run->world->setup->shrinks};
    int code = 0;
    if (run->recovers || run->last == NULL)
        arm(run->kill_at);
    code = scene_attach(&scene);
    if (code == 0 && run->recovers)
        code = roma_store_recover(scene.store) < 0 ? -EIO : 0;
    if (code == 0 && !run->recovers && run->last != NULL) {
        if (run->world->setup->self != NULL)
            code = scene_run(&scene, run->world->setup->self);
        if (code == 0)
            code = scene_run(&scene, run->before);
        if (code == 0 && scene.store == NULL)
            code = SCENE_NOT_APPLICABLE;
        if (code == 0) {
            arm(run->kill_at);
            code = scene_run(&scene, run->last);
        }
    }
    is_armed = false;
    process_report(fd, &(struct report){.kind = REPORT_DONE, .code = code});
    /* and dies here, with the store open */
}

/* Returns the code, or -EINTR when it was killed. */
static int run_child(const struct run *run)
{
    struct process process = process_start(be_killed, (void *)(uintptr_t)run);
    struct report report = process_listen(&process);
    process_kill(&process);
    return report.kind == REPORT_DONE ? report.code : -EINTR;
}

static uint64_t peer_bit(const struct world *world)
{
    return world->peer.pid != 0 ? UINT64_C(1) << world->peer.session : 0;
}

static void hold_exam(const struct world *world)
{
    struct exam exam;
    figures.exams++;
    /* Where nobody lives the file itself is examined, with the real locks. */
    bool good = world->peer.pid != 0 ? exam_copy(world->fd, peer_bit(world), &exam)
                                     : exam_file(world->fd, &exam);
    figures.lost_bytes += exam.account.lost_bytes;
    if (!good)
        violation(exam.text);
}

/* ---- ways ------------------------------------------------------------------------------------ */

struct way {
    const char **names; /* of the points that are passed */
    uint64_t count;
};

/* Of a long way only some of the visits of each point. */
static bool is_worth_it(const struct way *way, uint64_t index)
{
    unsigned before = 0, after = 0;
    if (way->count < LONG_WAY)
        return true;
    for (uint64_t i = 0; i < way->count; i++) {
        before += i < index && way->names[i] == way->names[index];
        after += i > index && way->names[i] == way->names[index];
    }
    return before < OFTEN || after == 0;
}

/* Run without a kill; learn which points there are. */
static int learn(struct run *run, struct way *way)
{
    run->kill_at = 0;
    int code = run_child(run);
    way->count = shared->count < TRACE_MAX ? shared->count : TRACE_MAX;
    way->names = malloc((way->count + 1) * sizeof *way->names);
    if (way->names == NULL)
        abort();
    memcpy(way->names, shared->trace, way->count * sizeof *way->names);
    return code;
}

/* ---- inside recovery ------------------------------------------------------------------------- */

static void order_peer(const struct world *world, const char *call)
{
    if (world->peer.pid != 0)
        process_order(&world->peer, scene_call_find(call));
}

static void listen_to_peer(const struct world *world)
{
    if (world->peer.pid == 0)
        return;
    struct report report = process_listen(&world->peer);
    if (report.kind == REPORT_DEAD)
        violation("the peer has died during a recovery");
    else if (report.code != 0 && report.code != SCENE_NOT_APPLICABLE)
        violation("the peer's call failed during a recovery");
}

/* One recoverer that dies at a point, or comes to its end: then false. The peer is in a call
 * meanwhile, and may be the one that recovers. */
static bool recover_and_die(const struct world *world, uint64_t at, const char *call)
{
    struct run run = {.world = world, .before = "", .kill_at = at, .recovers = true};
    order_peer(world, call);
    int code = run_child(&run);
    listen_to_peer(world);
    if (code != 0 && code != -EINTR)
        violation("a recovery failed");
    if (code != -EINTR)
        return false;
    count_kill(shared->trace[at - 1]);
    figures.double_kills++;
    return true;
}

/* `run` dies at its point, as before; then a recovery at its own, and one more, of which only what
 * the first one left is to be done, at one that moves on. */
static void kill_recovery(struct world *world, struct run *run, uint64_t first, const char *from)
{
    static uint64_t spread;
    (void)alarm(STUCK_SECONDS);
    (void)snprintf(stall_in, sizeof stall_in, "%.200s, recovery killed at point %llu", from,
                   (unsigned long long)first);
    if (world_renew(world) < 0 || run_child(run) != -EINTR) {
        violation("two runs of the same calls pass different points");
        return;
    }
    if (recover_and_die(world, first, "small"))
        (void)recover_and_die(world, 1 + spread++ % (first + 3), "release");
    hold_exam(world);
}

static void kill_recoveries(struct world *world, struct run *run)
{
    char from[300];
    (void)snprintf(from, sizeof from, "%s", stall_in);
    struct run recovery = {.world = world, .recovers = true};
    struct way way = {0};
    if (world_renew(world) == 0 && run_child(run) == -EINTR && learn(&recovery, &way) == 0)
        for (uint64_t i = 0; i < way.count; i++)
            if (is_worth_it(&way, i))
                kill_recovery(world, run, i + 1, from);
    free(way.names);
}

/* ---- at every point -------------------------------------------------------------------------- */

static void describe(const struct run *run, const char *point, uint64_t number)
{
    (void)snprintf(stall_in, sizeof stall_in, "--setup %s --word '%s%s%s' at %s (point %llu)",
                   run->world->setup->name, run->before, run->before[0] != '\0' ? "," : "",
                   run->last != NULL ? run->last : "", point, (unsigned long long)number);
}

static void kill_at_one(struct world *world, struct run *run, const char *name, uint64_t number)
{
    static unsigned long kills;
    (void)alarm(STUCK_SECONDS);
    describe(run, name, number);
    run->kill_at = number;
    if (world_renew(world) < 0 || run_child(run) != -EINTR) {
        violation("two runs of the same calls pass different points");
        return;
    }
    bool is_first = !was_hit(name);
    count_kill(name);
    figures.kills++;
    hold_exam(world);
    if (options.twice_stride != 0 && (is_first || kills++ % options.twice_stride == 0))
        kill_recoveries(world, run);
}

static void kill_at_points(struct world *world, struct run *run)
{
    struct way way = {0};
    (void)alarm(STUCK_SECONDS);
    describe(run, "none", 0);
    int code = world_renew(world);
    if (code == 0)
        code = learn(run, &way);
    if (code == 0) {
        figures.words++;
        for (uint64_t i = 0; i < way.count; i++)
            if (is_worth_it(&way, i))
                kill_at_one(world, run, way.names[i], i + 1);
    } else if (code != SCENE_NOT_APPLICABLE) {
        violation(code == -EINTR ? "the process has died" : strerror(-code));
    }
    free(way.names);
}

/* ---- all ------------------------------------------------------------------------------------- */

static bool is_chosen(const char *before, const char *last)
{
    static unsigned long number;
    char text[WORD_BYTES];
    (void)snprintf(text, sizeof text, "%s%s%s", before, before[0] != '\0' ? "," : "", last);
    if (options.word != NULL)
        return strcmp(text, options.word) == 0;
    return before[0] == '\0' || number++ % options.stride == 0; /* words of one call always */
}

static void run_words(struct world *world, const char *before)
{
    for (unsigned i = 0; i < scene_calls_count; i++) {
        struct run run = {.world = world, .before = before, .last = scene_calls[i].name};
        if (is_chosen(before, run.last))
            kill_at_points(world, &run);
    }
}

static void run_setup(const struct setup *setup)
{
    struct world world;
    if (world_make(&world, setup) < 0) {
        figures.violations++;
        return;
    }
    struct run attach = {.world = &world, .before = "", .last = NULL};
    if (is_chosen("", ""))
        kill_at_points(&world, &attach);
    run_words(&world, "");
    for (unsigned i = 0; i < scene_calls_count; i++)
        run_words(&world, scene_calls[i].name);
    world_end(&world);
}

/* Longer words, for points that short ones do not come to. */
static const struct sentence {
    const char *setup, *before, *last;
} sentences[] = {
    {"many", "", "load-many"},
    {"many", "load-many", "close"},
    {"many", "", "drop-many"},
    {"many", "load-many", "drop-many"},
    {"shrinks", "get,take", "close"},
    {"shrinks", "small,link,trim", "close"},
    {"empty", "small,retain", "release"},
    {"empty", "small,link", "release"},
    {"empty", "small", "shorten"},
    {"empty", "large", "shorten"},
    {"empty", "large", "resize"},
    {"empty", "large,resize", "release"},
    {"empty", "trim", "large"},
    {"empty", "large,release,trim", "grow"},
    {"empty", "small,link,release,elsewhere", "batch"},
    {"empty", "small,link,release,elsewhere", "trim"},
    {"empty", "small,link,release,elsewhere", "close"},
    {"empty", "batch,small,node,link-inner,link,release-batch,elsewhere", "trim"},
    {"empty", "small,node,link-inner,link,release-batch,elsewhere", "close"},
    {"orphans", "load", "retain"},
    {"orphans", "load,retain", "retain"},
    {"orphans", "load,retain", "release"},
    {"orphans", "load", "load"},
    {"orphans", "load,load", "release-batch"},
    {"orphans", "load,get,load-inner", "close"},
    {"orphans", "load,node", "release-batch"},
    {"holder-lives", "load,node,link-inner", "release-batch"},
    {"owner-lives", "load,load", "release-batch"},
    {"owner-lives", "load,load", "relink"},
};

static const struct setup *find_setup(const char *name)
{
    for (unsigned i = 0; i < setups_count; i++)
        if (strcmp(setups[i].name, name) == 0)
            return &setups[i];
    return strcmp(name, setup_many.name) == 0 ? &setup_many : &setup_shrinks;
}

static void run_sentences(void)
{
    for (unsigned i = 0; i < sizeof sentences / sizeof sentences[0]; i++) {
        const struct sentence *sentence = &sentences[i];
        struct world world;
        if (world_make(&world, find_setup(sentence->setup)) < 0) {
            figures.violations++;
            continue;
        }
        struct run run = {.world = &world, .before = sentence->before, .last = sentence->last};
        kill_at_points(&world, &run);
        world_end(&world);
    }
}

/* ---- making a store -------------------------------------------------------------------------- */

static char new_path[64];

static void make_store(int fd, void *context)
{
    roma_store_options made = roma_store_options_default();
    made.bytes = 1 << 20;
    made.max_bytes = 4 << 20;
    made.unsynced = true;
    roma_store *store = NULL;
    arm(*(const uint64_t *)context);
    int code = roma_store_create(new_path, &made, &store, NULL);
    if (code == 0)
        code = roma_store_close(store);
    is_armed = false;
    process_report(fd, &(struct report){.kind = REPORT_DONE, .code = code});
}

/* Killed before it is there: the path is free, or what is there says that it is no store, and can
 * be removed and made again. Killed after: it is a store. */
static void run_makings(void)
{
    (void)snprintf(new_path, sizeof new_path, "%s/roma-crash-new-%d",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp", (int)getpid());
    for (uint64_t at = 1;; at++) {
        (void)snprintf(stall_in, sizeof stall_in, "making a store, point %llu",
                       (unsigned long long)at);
        struct process process = process_start(make_store, &at);
        struct report report = process_listen(&process);
        process_kill(&process);
        bool has_died = report.kind == REPORT_DEAD;
        int fd = open(new_path, O_RDWR | O_CLOEXEC);
        roma_store *store = NULL;
        int code = fd < 0 ? -ENOENT : roma_store_attach(fd, NULL, &store, NULL);
        if (code == 0) {
            struct exam exam;
            (void)roma_store_close(store);
            if (!exam_file(fd, &exam))
                violation(exam.text);
        } else if (!has_died) {
            violation("a store that was made cannot be opened");
        }
        if (fd >= 0)
            (void)close(fd);
        (void)unlink(new_path);
        if (!has_died) {
            if (report.code != 0)
                violation("a store cannot be made");
            return;
        }
        count_kill(shared->trace[at - 1]);
        figures.kills++;
    }
}

static void usage(void)
{
    (void)fputs("kill_point [--stride N] [--twice-stride N] [--setup NAME] "
                "[--word CALL,CALL]\n",
                stderr);
    exit(2);
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {{"stride", required_argument, NULL, 's'},
                                          {"twice-stride", required_argument, NULL, 't'},
                                          {"setup", required_argument, NULL, 'S'},
                                          {"word", required_argument, NULL, 'w'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;)
        switch (option) {
        case 's': options.stride = strtoul(optarg, NULL, 10); break;
        case 't': options.twice_stride = strtoul(optarg, NULL, 10); break;
        case 'S': options.setup = optarg; break;
        case 'w': options.word = optarg; break;
        default: usage();
        }
    if (optind != count || options.stride == 0)
        usage();
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        return 1;
    stall_watch();
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    world_renews_peer = true;
    struct timespec begin, end;
    (void)clock_gettime(CLOCK_MONOTONIC, &begin);
    for (unsigned i = 0; i < setups_count; i++)
        if (options.setup == NULL || strcmp(options.setup, setups[i].name) == 0)
            run_setup(&setups[i]);
    bool is_whole = options.setup == NULL && options.word == NULL;
    if (is_whole) {
        run_sentences();
        run_makings();
    }
    unsigned known = 0, missed = is_whole ? check_sources(&known) : 0;
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    (void)printf("kill_point: %u points, %u never hit, %llu words, %llu kills, %llu kills of "
                 "recoveries, %llu violations, %llu leaked bytes, %lld s\n",
                 known, missed, (unsigned long long)figures.words,
                 (unsigned long long)figures.kills, (unsigned long long)figures.double_kills,
                 (unsigned long long)figures.violations, (unsigned long long)figures.lost_bytes,
                 (long long)(end.tv_sec - begin.tv_sec));
    return figures.violations != 0 || missed != 0 || figures.kills == 0;
}
