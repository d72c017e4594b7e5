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
 * that does not get on for a long time without being stopped, is a violation. */
#include "support/exam.h"
#include "support/scene.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    PROCESSES_MAX = 32,
    HELD_MAX = 48,
    ROOTS = 16,
    NAMES = 8,
    SESSIONS = 80,
    LANES = 96,
    STUCK_MS = 20000,
    REST_MS = 1500,
    SHOWN_MAX = 20,
    EXIT_VIOLATION = 3,
    GENERATION = 0xfffff0
};

static struct {
    unsigned long seconds, kills, processes, seed;
} options = {.seconds = 5, .processes = 8, .seed = 1};

static struct {
    uint64_t kills, stops, rests, violations, lost_bytes, recovered;
} figures;

/* Shared by all. */
static struct shared {
    uint64_t marks; /* the number of the last block */
    uint64_t calls, forks, checked_bytes;
    uint64_t beats[PROCESSES_MAX];
} * shared;

static int store_fd;

static _Thread_local uint64_t random_state;

static uint64_t draw(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

/* ---- blocks ---------------------------------------------------------------------------------- */

struct hold {
    scene_thing *thing;
    bool is_node;
};

/* Of a thread. */
static _Thread_local struct worker {
    unsigned index;
    bool is_helper;
    roma_store *store;
    struct hold held[HELD_MAX];
    unsigned count;
} me;

__attribute__((noreturn)) static void violation(const char *what, const void *block, int code)
{
    (void)printf("VIOLATION: %s: block %#llx, mark %llx: %s\n", what,
                 (unsigned long long)(block != NULL ? roma_ref_of(me.store, block) : 0),
                 (unsigned long long)(block != NULL ? ((const scene_thing *)block)->mark : 0),
                 strerror(code < 0 ? -code : code));
    (void)fflush(stdout);
    _exit(EXIT_VIOLATION);
}

static unsigned char pattern(uint64_t mark, size_t index)
{
    return (unsigned char)(mark * 131 + index * 7 + (mark >> 8));
}

/* Slots are the store's; a block that was allocated into a slot is all 0. */
static void fill(scene_thing *thing, size_t bytes)
{
    unsigned char *at = (unsigned char *)thing;
    thing->mark = __atomic_add_fetch(&shared->marks, 1, __ATOMIC_RELAXED);
    thing->check = scene_check_of(thing->mark);
    for (size_t i = offsetof(scene_thing, filler); i < bytes; i++)
        at[i] = pattern(thing->mark, i);
}

static void look(const scene_thing *thing, size_t bytes, const char *when)
{
    const unsigned char *at = (const unsigned char *)thing;
    if (thing->check != scene_check_of(thing->mark))
        violation(when, thing, -EBADMSG);
    for (size_t i = offsetof(scene_thing, filler); i < bytes; i++)
        if (at[i] != (thing->mark == 0 ? 0 : pattern(thing->mark, i)))
            violation(when, thing, -EILSEQ);
    __atomic_add_fetch(&shared->checked_bytes, bytes, __ATOMIC_RELAXED);
}

/* Expected: 0 or more, or one of two codes. */
static void must(int code, int other, int another, const char *what, const void *block)
{
    if (code < 0 && code != other && code != another)
        violation(what, block, code);
}

static void hold(void *block, bool is_node)
{
    me.held[me.count++] = (struct hold){block, is_node};
}

static struct hold *any(void)
{
    return me.count != 0 ? &me.held[draw(me.count)] : NULL;
}

static struct hold let_go(unsigned index)
{
    struct hold held = me.held[index];
    me.held[index] = me.held[--me.count];
    return held;
}

/* What a call got hold of. */
static void got(void *block, int expected, const char *what)
{
    roma_store_block about;
    if (block == NULL) {
        must(-errno, -expected, -ENOSPC, what, NULL);
        return;
    }
    int code = roma_store_look(me.store, block, &about);
    if (code < 0)
        violation("a block that is held is not in use", block, code);
    look(block, about.bytes, what);
    hold(block, about.refs_count != 0);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static size_t draw_bytes(void)
{
    switch (draw(12)) {
    case 0: return 60000 + draw(200000);
    case 1: return sizeof(scene_thing) + draw(16000);
    default: return sizeof(scene_thing) + draw(400);
    }
}

static void do_alloc(void)
{
    size_t bytes = draw_bytes();
    void *block = roma_store_alloc(me.store, bytes);
    if (block == NULL) {
        must(-errno, -ENOSPC, 0, "alloc", NULL);
        return;
    }
    fill(block, bytes);
    hold(block, false);
}

static roma_store_request node_request(bool zero)
{
    roma_store_request request = roma_store_request_of(SCENE_NODE_BYTES);
    request.refs_offset = offsetof(scene_thing, slots);
    request.refs_count = 2;
    request.zero = zero;
    return request;
}

/* A node with up to two of what is held inside. */
static void do_node(void)
{
    roma_store_request request = node_request(false);
    scene_thing *node = roma_store_alloc_with(me.store, &request);
    if (node == NULL) {
        must(-errno, -ENOSPC, 0, "alloc_with", NULL);
        return;
    }
    if (node->slots[0] != 0 || node->slots[1] != 0)
        violation("the slots of a new block are not empty", node, -EBADMSG);
    fill(node, SCENE_NODE_BYTES);
    for (unsigned i = 0; i < 2; i++) {
        struct hold *child = any();
        if (child != NULL && child->thing->mark < node->mark)
            must(roma_store_link(me.store, &node->slots[i], child->thing), 0, 0, "link inside",
                 child->thing);
    }
    hold(node, true);
}

static void do_batch(void)
{
    enum { BATCH = 8 };
    void *blocks[BATCH];
    size_t bytes = sizeof(scene_thing) + draw(200);
    long count = roma_store_alloc_batch(me.store, bytes, blocks, BATCH);
    must((int)count, -ENOSPC, 0, "alloc_batch", NULL);
    for (long i = 0; i < count; i++)
        fill(blocks[i], bytes);
    if (count > 0)
        must(roma_store_release_batch(me.store, blocks, (size_t)count), 0, 0, "release_batch",
             blocks[0]);
}

static void do_release(void)
{
    if (me.count == 0)
        return;
    struct hold held = let_go((unsigned)draw(me.count));
    look(held.thing, roma_store_bytes(me.store, held.thing), "before release");
    must(roma_store_release(me.store, held.thing), 0, 0, "release", held.thing);
}

static void do_release_all(void)
{
    void *blocks[HELD_MAX];
    for (unsigned i = 0; i < me.count; i++)
        blocks[i] = me.held[i].thing;
    must(roma_store_release_batch(me.store, blocks, me.count), 0, 0, "release_batch", NULL);
    me.count = 0;
}

static void do_retain(void)
{
    struct hold *held = any();
    if (held == NULL || me.count == HELD_MAX)
        return;
    int code = roma_store_retain(me.store, held->thing);
    must(code, -ENOSPC, 0, "retain", held->thing);
    if (code >= 0)
        hold(held->thing, held->is_node);
}

static void do_resize(void)
{
    struct hold *held = any();
    if (held == NULL || held->is_node || held->thing->mark == 0)
        return;
    roma_store_block about;
    must(roma_store_look(me.store, held->thing, &about), 0, 0, "look", held->thing);
    if (about.shared_count != 0 || about.local_count != 1)
        return; /* others would see what is written below */
    size_t bytes = draw_bytes();
    scene_thing *moved = roma_store_resize(me.store, held->thing, bytes);
    if (moved == NULL) {
        must(-errno, -EBUSY, -ENOSPC, "resize", held->thing);
        return;
    }
    look(moved, bytes < about.bytes ? bytes : about.bytes, "after resize");
    fill(moved, bytes);
    held->thing = moved;
}

static roma_ref *root(void)
{
    return roma_store_root(me.store, (unsigned)draw(ROOTS));
}

static void do_link(void)
{
    struct hold *held = any();
    if (held != NULL)
        must(roma_store_link(me.store, root(), held->thing), -EEXIST, 0, "link", held->thing);
}

static void do_relink(void)
{
    struct hold *held = any();
    if (held != NULL)
        must(roma_store_relink(me.store, root(), held->thing), 0, 0, "relink", held->thing);
}

static void do_unlink(void)
{
    must(roma_store_release_from(me.store, root()), 0, 0, "release_from", NULL);
}

static void do_into(void)
{
    roma_store_request request = node_request(true);
    if (roma_store_alloc_into(me.store, root(), &request) == NULL)
        must(-errno, -EEXIST, -ENOSPC, "alloc_into", NULL);
}

static void do_load(void)
{
    errno = 0;
    got(roma_store_load(me.store, root()), 0, "load");
}

static void do_take(void)
{
    errno = 0;
    got(roma_store_take(me.store, root()), 0, "take");
}

static void do_inner(void)
{
    struct hold *held = any();
    if (held == NULL || !held->is_node)
        return;
    roma_ref *slot = &held->thing->slots[draw(2)];
    errno = 0;
    if (draw(3) != 0)
        got(roma_store_load(me.store, slot), 0, "load inside");
    else
        must(roma_store_release_from(me.store, slot), 0, 0, "release_from inside", held->thing);
}

static const char *name(void)
{
    static _Thread_local char text[16];
    (void)snprintf(text, sizeof text, "name-%u", (unsigned)draw(NAMES));
    return text;
}

static void do_put(void)
{
    struct hold *held = any();
    if (held != NULL)
        must(draw(2) != 0 ? roma_store_put(me.store, name(), held->thing, 1)
                          : roma_store_replace(me.store, name(), held->thing, 1),
             -EEXIST, -ENOSPC, "put", held->thing);
}

static void do_get(void)
{
    got(roma_store_get(me.store, name(), NULL), ENOENT, "get");
}

static void do_remove(void)
{
    must(roma_store_remove(me.store, name()), -ENOENT, 0, "remove", NULL);
}

static void do_trim(void)
{
    must((int)(roma_store_trim(me.store, 0) >> 32), 0, 0, "trim", NULL);
}

static void do_recover(void)
{
    must(roma_store_recover(me.store), 0, 0, "recover", NULL);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* A worker has a second thread now and then. What either of them holds the other one may get: it
 * is the session's. */
enum { HANDED_MAX = 16 };
static struct {
    pthread_mutex_t lock;
    struct hold held[HANDED_MAX];
    unsigned count;
    bool has_thread;
    pthread_t thread;
} both = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void do_hand_over(void)
{
    (void)pthread_mutex_lock(&both.lock);
    if (me.count != 0 && both.count < HANDED_MAX && draw(2) != 0)
        both.held[both.count++] = let_go((unsigned)draw(me.count));
    else if (both.count != 0 && me.count < HELD_MAX)
        me.held[me.count++] = both.held[--both.count];
    (void)pthread_mutex_unlock(&both.lock);
}

static void do_some(unsigned count);

static void *help(void *context)
{
    const struct worker *worker = context;
    me.index = worker->index;
    me.store = worker->store;
    me.is_helper = true;
    random_state = __atomic_add_fetch(&shared->marks, 1, __ATOMIC_RELAXED) *
                       UINT64_C(0x9e3779b97f4a7c15) |
                   1;
    do_some(300);
    if (draw(2) != 0)
        do_release_all(); /* else what it holds stays the session's to its end */
    return NULL;
}

static void end_thread(void)
{
    if (both.has_thread)
        (void)pthread_join(both.thread, NULL);
    both.has_thread = false;
}

static void do_thread(void)
{
    static struct worker worker;
    end_thread();
    worker = me;
    both.has_thread = pthread_create(&both.thread, NULL, help, &worker) == 0;
}

/* ---- workers --------------------------------------------------------------------------------- */

static void attach(void)
{
    roma_store_options open = roma_store_options_default();
    open.label = "storm";
    open.unsynced = true;
    roma_error error = {0};
    char sentence[256];
    int code = roma_store_attach(store_fd, &open, &me.store, &error);
    if (code < 0) {
        (void)printf("VIOLATION: cannot attach: %s\n",
                     roma_error_text(&error, sentence, sizeof sentence));
        _exit(EXIT_VIOLATION);
    }
    me.count = 0;
}

static void reattach(void)
{
    end_thread();
    both.count = 0;
    must(roma_store_close(me.store), 0, 0, "close", NULL);
    attach();
}

/* The child dies with its parent, wherever it is. */
static void do_fork(void)
{
    (void)pthread_mutex_lock(&both.lock);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        both.count = 0;
    (void)pthread_mutex_unlock(&both.lock);
    if (pid != 0)
        return;
    both.has_thread = false;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(0);
    if (!roma_store_is_stale(me.store) || roma_store_alloc(me.store, 16) != NULL || errno != ESTALE)
        violation("a store is not stale after fork()", NULL, -EINVAL);
    must(roma_store_close(me.store), 0, 0, "close after fork", NULL);
    random_state += (uint64_t)getpid();
    attach();
    do_some(200);
    end_thread();
    if (draw(2) != 0)
        must(roma_store_close(me.store), 0, 0, "close", NULL);
    _exit(0);
}

static void do_one(void)
{
    static void (*const often[])(void) = {do_alloc,  do_node,   do_batch,    do_release, do_release,
                                          do_link,   do_relink, do_load,     do_take,    do_unlink,
                                          do_into,   do_inner,  do_put,      do_get,     do_remove,
                                          do_retain, do_resize, do_hand_over};
    if (me.count > HELD_MAX - 4)
        do_release_all();
    uint64_t rare = draw(2000);
    if (rare == 0)
        do_trim();
    else if (rare == 1)
        do_recover();
    else if (rare == 2 && !me.is_helper)
        reattach();
    else if (rare == 3)
        do_release_all();
    else if (rare < 12 && !me.is_helper)
        do_thread();
    else
        often[draw(sizeof often / sizeof often[0])]();
}

static void do_some(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        do_one();
    __atomic_add_fetch(&shared->calls, count, __ATOMIC_RELAXED);
    __atomic_add_fetch(&shared->beats[me.index], 1, __ATOMIC_RELAXED);
}

static void work(unsigned index, uint64_t seed)
{
    me.index = index;
    random_state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    (void)signal(SIGCHLD, SIG_IGN);
    attach();
    for (;;) {
        do_some(20);
        if (draw(400) == 0) {
            __atomic_add_fetch(&shared->forks, 1, __ATOMIC_RELAXED);
            do_fork();
        }
    }
}

/* ---- the leader ------------------------------------------------------------------------------ */

static struct {
    pid_t pid;
    uint64_t beats;
    int64_t since_ms; /* it was started, went on, or was continued */
} workers[PROCESSES_MAX];

static int64_t now_ms(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void start(unsigned index)
{
    static uint64_t seeds;
    (void)fflush(stdout);
    pid_t leader = getpid(), pid = fork();
    if (pid < 0)
        abort();
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!nice(5);
        if (getppid() == leader)
            work(index, options.seed * 1000003 + seeds);
        _exit(0);
    }
    seeds++;
    workers[index].pid = pid;
    workers[index].beats = shared->beats[index];
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
    uint64_t beats = __atomic_load_n(&shared->beats[index], __ATOMIC_RELAXED);
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

/* As if free units had been in use almost as often as a generation can count. */
static void age(void)
{
    roma_store *store = NULL;
    if (roma_store_attach(store_fd, NULL, &store, NULL) < 0)
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
    if (!exam_file(store_fd, &exam)) {
        (void)printf("VIOLATION: at rest %llu: %s\n", (unsigned long long)figures.rests, exam.text);
        figures.violations++;
    }
    figures.lost_bytes += exam.account.lost_bytes;
    figures.recovered += (uint64_t)exam.recovered;
    age();
}

static void lead(void)
{
    int64_t begin = now_ms(), rested = begin;
    for (unsigned i = 0; i < options.processes; i++)
        start(i);
    while (figures.violations < SHOWN_MAX &&
           (now_ms() - begin < (int64_t)options.seconds * 1000 || figures.kills < options.kills)) {
        unsigned index = (unsigned)draw(options.processes);
        pause_us(200 + draw(30000));
        look_after(index);
        switch (draw(5)) {
        case 0: {
            (void)kill(workers[index].pid, SIGSTOP);
            figures.stops++;
            pause_us(draw(20000));
            /* Stopped and killed is what a stopped holder comes to in the end, too. */
            if (draw(4) != 0) {
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
    store_fd = fcntl(roma_store_fd(store), F_DUPFD_CLOEXEC, 3);
    code = roma_store_close(store);
    age();
    return code;
}

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
    if (optind != count || options.processes == 0 || options.processes > PROCESSES_MAX)
        usage();
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || make_store() < 0)
        return 1;
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    exam_signs = false;
    random_state = options.seed * 2 + 1;
    int64_t begin = now_ms();
    lead();
    (void)printf(
        "storm: %lu processes, %llu kills, %llu stops, %llu forks, %llu calls, %llu MiB "
        "looked at, %llu rests, %llu sessions recovered at them, %llu violations, "
        "%llu leaked bytes, %lld s\n",
        options.processes, (unsigned long long)figures.kills, (unsigned long long)figures.stops,
        (unsigned long long)shared->forks, (unsigned long long)shared->calls,
        (unsigned long long)(shared->checked_bytes >> 20), (unsigned long long)figures.rests,
        (unsigned long long)figures.recovered, (unsigned long long)figures.violations,
        (unsigned long long)figures.lost_bytes, (long long)(now_ms() - begin) / 1000);
    return figures.violations != 0 || figures.kills == 0 || shared->calls == 0;
}
