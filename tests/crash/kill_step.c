/* kill_step.c - a kill after every instruction of every short word of calls.
 *
 *     kill_step [--stride N] [--first N] [--pairs-stride N] [--length N]
 *               [--stores-from N] [--every] [--thorough] [--setup NAME]
 *               [--word CALL,CALL,...] [--peer CALL]
 *
 * Alone: for each setup (support/world.h) and each word of up to --length calls (support/scene.h),
 * a process runs all but the last call as usual and the last one step by step. After each
 * instruction that changed the file it stands still, and an exam (support/exam.h) is held on a
 * private copy, as if the process were dead there and then. An instruction that changed nothing
 * leaves the file as the one before, so the same exam answers for it; --every holds it all the
 * same. What the exam finds must be what there was before the call or what there is after it, and
 * once it is the latter it stays so.
 *
 * In pairs: for each setup and each two calls, the process is stopped after the k-th change, for
 * every k; a second process makes its call on the same file, which ends, or waits for a lock of the
 * stopped one; then the first goes on, and every later change is a kill point again. What is there
 * must be what some order of the calls that were begun would have made.
 *
 * --stride takes every N-th word, --pairs-stride every N-th pair. */
#include "support/exam.h"
#include "support/stall.h"
#include "support/stepper.h"
#include "support/world.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORD_MAX = 3, SHOWN_MAX = 20, STUCK_SECONDS = 60, HELD_MAX = 10000 };

extern const char __executable_start;

struct word {
    unsigned calls[WORD_MAX], length; /* 0: attaching is stepped through */
};

static struct {
    unsigned long stride, first, pairs_stride, length, stores_from;
    const char *setup, *word, *peer;
} options = {.stride = 1, .pairs_stride = 1, .length = WORD_MAX, .stores_from = WORD_MAX};

static struct {
    uint64_t words, pairs, instructions, exams, violations, lost_bytes, waits;
} figures;

/* ---- telling --------------------------------------------------------------------------------- */

static void describe(const struct world *world, const struct word *word, const char *rest)
{
    int at = snprintf(stall_in, sizeof stall_in, "--setup %s --word '", world->setup->name);
    for (unsigned i = 0; i < word->length; i++)
        at += snprintf(stall_in + at, sizeof stall_in - (size_t)at, "%s%s", i != 0 ? "," : "",
                       scene_calls[word->calls[i]].name);
    (void)snprintf(stall_in + at, sizeof stall_in - (size_t)at, "'%s", rest);
}

static void violation(const struct report *report, const char *text)
{
    if (figures.violations++ < SHOWN_MAX)
        (void)printf("VIOLATION: %s\n    %s, instruction %llu, next at %#lx\n", text, stall_in,
                     (unsigned long long)report->instructions,
                     (unsigned long)(report->at - (uintptr_t)&__executable_start));
}

/* ---- the process that is stepped through ----------------------------------------------------- */

struct stepped {
    const struct world *world;
    struct word word;
    bool in_pairs;
};

static int stepped_fd;
static uint32_t stepped_session;

static void tell(int kind, int code, const stepper_stop *stop)
{
    process_report(stepped_fd, &(struct report){.kind = kind,
                                                .code = code,
                                                .session = stepped_session,
                                                .instructions = stop->instructions,
                                                .at = stop->at});
    (void)process_obey(stepped_fd);
}

static void on_change(const stepper_stop *stop)
{
    tell(REPORT_CHANGED, 0, stop);
}

static void on_held(int64_t byte)
{
    uint32_t session = (uint32_t)(byte - ROMA__LOCK_SESSIONS);
    process_report(stepped_fd, &(struct report){.kind = REPORT_HELD, .session = session});
    (void)process_obey(stepped_fd);
}

static int run_attach(void *context)
{
    return scene_attach(context);
}

static unsigned last_call;

static int run_last(void *context)
{
    return scene_calls[last_call].run(context);
}

static void be_stepped(int fd, void *context)
{
    const struct stepped *stepped = context;
    const struct word *word = &stepped->word;
    static struct scene scene;
    static const stepper_stop nowhere;
    stepped_fd = fd;
    scene = (struct scene){.fd = stepped->world->fd};
    stepper_install(scene.fd, on_change, stepped->in_pairs ? on_held : NULL);
    stepper_only_stores = stepped->in_pairs || word->length >= options.stores_from;
    int code = 0;
    if (word->length != 0) {
        code = scene_attach(&scene);
        if (code == 0 && stepped->world->setup->self != NULL)
            code = scene_run(&scene, stepped->world->setup->self);
        for (unsigned i = 0; i + 1 < word->length && code == 0 && scene.store != NULL; i++)
            code = scene_calls[word->calls[i]].run(&scene);
        if (code == 0 && scene.store == NULL)
            code = SCENE_NOT_APPLICABLE; /* it has closed */
        if (scene.store != NULL)
            stepped_session = scene.store->session;
        last_call = word->calls[word->length - 1];
    }
    if (code != 0) {
        tell(REPORT_END, code, &nowhere);
        return;
    }
    tell(REPORT_BEGIN, 0, &nowhere);
    stepper_stop end = {0};
    code = stepper_run(word->length != 0 ? run_last : run_attach, &scene, &end.instructions);
    tell(REPORT_END, code, &end);
}

/* ---- exams ----------------------------------------------------------------------------------- */

static bool hold_exam(const struct world *world, uint64_t alive, const struct report *report,
                      struct exam *exam)
{
    figures.exams++;
    bool good = exam_copy(world->fd, alive, exam);
    figures.lost_bytes += exam->account.lost_bytes;
    if (!good)
        violation(report, exam->text);
    return good;
}

static uint64_t peer_bit(const struct world *world)
{
    return world->peer.pid != 0 ? UINT64_C(1) << world->peer.session : 0;
}

static void judge_end(const struct report *end)
{
    char text[100];
    if (end->kind == REPORT_DEAD) {
        violation(end, "the process has died");
    } else if (end->code != 0 && end->code != SCENE_NOT_APPLICABLE) {
        (void)snprintf(text, sizeof text, "a call failed: %s", strerror(-end->code));
        violation(end, text);
    }
}

/* ---- alone ----------------------------------------------------------------------------------- */

/* Every signature is that of before, or of after; the latter stays. */
struct history {
    uint64_t before, changed;
    bool has_changed;
};

static void note(struct history *history, uint64_t signature, const struct report *report)
{
    if (!history->has_changed && signature != history->before) {
        history->has_changed = true;
        history->changed = signature;
    } else if (history->has_changed && signature != history->changed) {
        violation(report, "a call took more than one step");
    }
}

/* Returns false when the word is not applicable. */
static bool run_alone(struct world *world, const struct word *word)
{
    struct stepped stepped = {.world = world, .word = *word};
    struct history history = {0};
    struct exam exam;
    describe(world, word, "");
    (void)alarm(STUCK_SECONDS);
    world_restore(world);
    struct process process = process_start(be_stepped, &stepped);
    struct report report;
    bool goes_on = true;
    do {
        report = process_listen(&process);
        switch (report.kind) {
        case REPORT_BEGIN:
            if (hold_exam(world, peer_bit(world), &report, &exam))
                history.before = exam.signature;
            else
                goes_on = false; /* all that follows would fail as well */
            break;
        case REPORT_CHANGED:
            if (hold_exam(world, peer_bit(world), &report, &exam))
                note(&history, exam.signature, &report);
            else
                goes_on = false;
            break;
        case REPORT_END:
        case REPORT_DEAD:
            judge_end(&report);
            goes_on = false;
            if (report.code != 0 || report.kind == REPORT_DEAD)
                break;
            figures.words++;
            figures.instructions += report.instructions;
            if (hold_exam(world, peer_bit(world), &report, &exam))
                note(&history, exam.signature, &report);
            break;
        }
        process_order(&process, -1);
    } while (goes_on);
    process_kill(&process);
    return report.code != SCENE_NOT_APPLICABLE;
}

static bool is_chosen(const struct word *word, unsigned long number)
{
    if (options.word == NULL)
        return number % options.stride == options.first % options.stride;
    char text[200] = "";
    for (unsigned i = 0; i < word->length; i++) {
        strcat(text, i != 0 ? "," : "");
        strcat(text, scene_calls[word->calls[i]].name);
    }
    return strcmp(text, options.word) == 0;
}

static unsigned long run_words(struct world *world, struct word *word, unsigned long number)
{
    if (is_chosen(word, number) && !run_alone(world, word))
        return number + 1; /* nor is any that begins like it */
    number++;
    if (word->length == options.length)
        return number;
    for (unsigned i = 0; i < scene_calls_count; i++) {
        word->calls[word->length++] = i;
        number = run_words(world, word, number);
        word->length--;
    }
    return number;
}

/* ---- in pairs -------------------------------------------------------------------------------- */

struct pair {
    struct world *world;
    struct process process;
    struct word word;
    unsigned peer_call;
    uint64_t
        stop; /* after so many changes the peer makes its call; 0: before the first, ~0: last */
    bool has_begun, has_ended; /* the peer's call */
    bool is_over;
    uint64_t changes;
    unsigned held;
};

/* None, the peer's alone, the process's alone, and both in either order. */
enum { NONE, PEER, SELF, PEER_SELF, SELF_PEER, ORDERS_COUNT };
struct orders {
    uint64_t signatures[ORDERS_COUNT];
};

/* Let the peer go until its call has ended, or it waits again. */
static void lead_peer(struct pair *pair, int call)
{
    process_order(&pair->world->peer, call);
    struct report report = process_listen(&pair->world->peer);
    pair->has_begun = true;
    pair->has_ended = report.kind == REPORT_DONE;
    if (report.kind == REPORT_DEAD || report.code < 0) {
        violation(&report,
                  report.kind == REPORT_DEAD ? "the peer has died" : "the peer's call failed");
        pair->is_over = true;
    }
    pair->is_over |= report.kind == REPORT_DONE && report.code == SCENE_NOT_APPLICABLE;
    if (++pair->held > HELD_MAX) {
        violation(&report, "the two wait for each other");
        pair->is_over = true;
    }
    figures.waits += report.kind == REPORT_HELD;
}

static void lead_peer_to_its_end(struct pair *pair)
{
    if (!pair->has_begun)
        lead_peer(pair, (int)pair->peer_call);
    while (!pair->has_ended && !pair->is_over)
        lead_peer(pair, -1);
}

static bool is_one_of(uint64_t signature, const struct orders *orders, unsigned from, unsigned to)
{
    for (unsigned i = from; i <= to; i++)
        if (orders->signatures[i] == signature)
            return true;
    return false;
}

static void examine_pair(struct pair *pair, const struct report *report,
                         const struct orders *orders)
{
    struct exam exam;
    if (!hold_exam(pair->world, pair->has_ended ? peer_bit(pair->world) : 0, report, &exam)) {
        pair->is_over = true;
        return;
    }
    uint64_t found = exam.signature;
    bool fits = pair->has_ended ? found == orders->signatures[PEER] ||
                                      is_one_of(found, orders, PEER_SELF, SELF_PEER)
                                : is_one_of(found, orders, NONE, SELF_PEER);
    if (!fits)
        violation(report, "no order of the calls makes this");
}

static void at_change(struct pair *pair, const struct report *report, const struct orders *orders)
{
    if (++pair->changes == pair->stop)
        lead_peer(pair, (int)pair->peer_call);
    if (pair->changes >= pair->stop && !pair->is_over && orders != NULL)
        examine_pair(pair, report, orders);
}

/* Learn what the orders make, in the two runs in which the calls follow each other. */
static void learn(struct pair *pair, const struct report *report, struct orders *orders,
                  unsigned which)
{
    struct exam exam;
    if (hold_exam(pair->world, peer_bit(pair->world), report, &exam))
        orders->signatures[which] = exam.signature;
    else
        pair->is_over = true;
}

/* Returns how many changes there were, 0 when the pair is not applicable or has failed. */
static uint64_t run_pair(struct world *world, const struct word *word, unsigned peer_call,
                         uint64_t stop, struct orders *orders)
{
    char rest[80];
    (void)snprintf(rest, sizeof rest, " --peer %s (stopped after change %lld)",
                   scene_calls[peer_call].name, (long long)stop);
    describe(world, word, rest);
    (void)alarm(STUCK_SECONDS);
    if (world_renew(world) < 0) {
        violation(&(struct report){0}, "the world cannot be renewed");
        return 0;
    }
    struct stepped stepped = {.world = world, .word = *word, .in_pairs = true};
    struct pair pair = {.world = world, .word = *word, .peer_call = peer_call, .stop = stop};
    pair.process = process_start(be_stepped, &stepped);
    bool learns_first = stop == 0, learns_last = stop == UINT64_MAX;
    struct report report;
    bool goes_on = true;
    do {
        report = process_listen(&pair.process);
        switch (report.kind) {
        case REPORT_BEGIN:
            if (learns_first) {
                learn(&pair, &report, orders, NONE);
                lead_peer_to_its_end(&pair);
                learn(&pair, &report, orders, PEER);
            }
            break;
        case REPORT_HELD:
            if (pair.has_begun && !pair.has_ended)
                lead_peer(&pair, -1);
            break;
        case REPORT_CHANGED:
            at_change(&pair, &report, learns_first || learns_last ? NULL : orders);
            break;
        case REPORT_END:
        case REPORT_DEAD:
            goes_on = false;
            judge_end(&report);
            pair.is_over |= report.code != 0 || report.kind == REPORT_DEAD;
            if (pair.is_over)
                break;
            if (learns_last)
                learn(&pair, &report, orders, SELF);
            lead_peer_to_its_end(&pair);
            if (learns_first || learns_last)
                learn(&pair, &report, orders, learns_first ? PEER_SELF : SELF_PEER);
            else
                examine_pair(&pair, &report, orders);
            figures.instructions += report.instructions;
            break;
        }
        goes_on &= !pair.is_over;
        process_order(&pair.process, -1);
    } while (goes_on);
    process_kill(&pair.process);
    return pair.is_over ? 0 : pair.changes + 1;
}

static void run_pairs_of(struct world *world, unsigned call, unsigned peer_call)
{
    struct word word = {.calls = {call}, .length = 1};
    struct orders orders = {{0}};
    /* A call that is not applicable for the peer is a pair of nothing; what is not for the process
     * is met in the first run. */
    uint64_t changes = run_pair(world, &word, peer_call, UINT64_MAX, &orders);
    if (changes == 0 || run_pair(world, &word, peer_call, 0, &orders) == 0)
        return;
    figures.pairs++;
    for (uint64_t stop = 1; stop < changes; stop++)
        if (run_pair(world, &word, peer_call, stop, &orders) == 0)
            return;
}

static void run_pairs(struct world *world)
{
    unsigned long number = 0;
    for (unsigned call = 0; call < scene_calls_count; call++)
        for (unsigned peer = 0; peer < scene_calls_count; peer++, number++) {
            if (strcmp(scene_calls[peer].name, "close") == 0)
                continue; /* it would have to attach again */
            bool is_named = options.word != NULL && options.peer != NULL;
            if (is_named ? strcmp(options.word, scene_calls[call].name) == 0 &&
                               strcmp(options.peer, scene_calls[peer].name) == 0
                         : number % options.pairs_stride == options.first % options.pairs_stride)
                run_pairs_of(world, call, peer);
        }
}

/* ---- all ------------------------------------------------------------------------------------- */

static void run_setup(const struct setup *setup)
{
    struct world world;
    world_renews_peer = world_peer_reports_held = false;
    if (options.peer == NULL && options.stride != 0) {
        if (world_make(&world, setup) < 0) {
            figures.violations++;
            return;
        }
        struct word word = {.length = 0};
        (void)run_words(&world, &word, 0);
        world_end(&world);
    }
    if (setup->peer == NULL || options.pairs_stride == 0 ||
        (options.word != NULL && options.peer == NULL))
        return;
    world_renews_peer = world_peer_reports_held = true;
    if (world_make(&world, setup) < 0) {
        figures.violations++;
        return;
    }
    run_pairs(&world);
    world_end(&world);
}

static void usage(void)
{
    (void)fputs("kill_step [--stride N] [--first N] [--pairs-stride N] [--length N]\n"
                "          [--stores-from N] [--every] [--thorough] [--setup NAME]\n"
                "          [--word CALL,CALL,...] [--peer CALL]\n",
                stderr);
    exit(2);
}

static void read_options(int count, char **arguments)
{
    static const struct option known[] = {{"stride", required_argument, NULL, 's'},
                                          {"first", required_argument, NULL, 'f'},
                                          {"pairs-stride", required_argument, NULL, 'p'},
                                          {"length", required_argument, NULL, 'l'},
                                          {"stores-from", required_argument, NULL, 'o'},
                                          {"every", no_argument, NULL, 'e'},
                                          {"thorough", no_argument, NULL, 't'},
                                          {"setup", required_argument, NULL, 'S'},
                                          {"word", required_argument, NULL, 'w'},
                                          {"peer", required_argument, NULL, 'P'},
                                          {NULL, 0, NULL, 0}};
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;)
        switch (option) {
        case 's': options.stride = strtoul(optarg, NULL, 10); break;
        case 'f': options.first = strtoul(optarg, NULL, 10); break;
        case 'p': options.pairs_stride = strtoul(optarg, NULL, 10); break;
        case 'l': options.length = strtoul(optarg, NULL, 10); break;
        case 'o': options.stores_from = strtoul(optarg, NULL, 10); break;
        case 'e': stepper_is_thorough = true; break;
        case 't': exam_is_thorough = true; break;
        case 'S': options.setup = optarg; break;
        case 'w': options.word = optarg; break;
        case 'P': options.peer = optarg; break;
        default: usage();
        }
    if (optind != count || options.length > WORD_MAX)
        usage();
}

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int count, char **arguments)
{
    read_options(count, arguments);
    if (stepper_why_not() != NULL) {
        (void)printf("kill_step: skipped: %s\n", stepper_why_not());
        return 77;
    }
    stall_watch();
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    double began = now();
    for (unsigned i = 0; i < setups_count; i++)
        if (options.setup == NULL || strcmp(options.setup, setups[i].name) == 0)
            run_setup(&setups[i]);
    double seconds = now() - began;
    (void)printf("kill_step: %llu words, %llu pairs, %llu kill points (instructions), %llu "
                 "recoveries, %llu waits, %llu violations, %llu leaked bytes, %.0f s\n",
                 (unsigned long long)figures.words, (unsigned long long)figures.pairs,
                 (unsigned long long)figures.instructions, (unsigned long long)figures.exams,
                 (unsigned long long)figures.waits, (unsigned long long)figures.violations,
                 (unsigned long long)figures.lost_bytes, seconds);
    return figures.violations != 0 || figures.words + figures.pairs == 0;
}
