/* pairs.c - two processes on one file, which meet at every change that one of them makes.
 *
 * The first is stopped after its k-th change; the second makes its call, which ends, or waits for a
 * lock of the first; then the first goes on, and every later change is a kill point again. What an
 * exam finds must be what some order of the calls that were begun would have made. What the orders
 * make is learnt in two runs in which the calls follow each other. */
#include "step.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { HELD_MAX = 10000 };

struct pair {
    struct world *world;
    struct process process;
    struct step_word word;
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
        step_violation(&report,
                       report.kind == REPORT_DEAD ? "the peer has died" : "the peer's call failed");
        pair->is_over = true;
    }
    pair->is_over |= report.kind == REPORT_DONE && report.code == SCENE_NOT_APPLICABLE;
    if (++pair->held > HELD_MAX) {
        step_violation(&report, "the two wait for each other");
        pair->is_over = true;
    }
    step_figures.waits += report.kind == REPORT_HELD;
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
    if (!step_exam(pair->world, pair->has_ended ? world_peer_bit(pair->world) : 0, report, &exam)) {
        pair->is_over = true;
        return;
    }
    uint64_t found = exam.signature;
    bool fits = pair->has_ended ? found == orders->signatures[PEER] ||
                                      is_one_of(found, orders, PEER_SELF, SELF_PEER)
                                : is_one_of(found, orders, NONE, SELF_PEER);
    if (!fits)
        step_violation(report, "no order of the calls makes this");
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
    if (step_exam(pair->world, world_peer_bit(pair->world), report, &exam))
        orders->signatures[which] = exam.signature;
    else
        pair->is_over = true;
}

/* Returns how many changes there were, 0 when the pair is not applicable or has failed. */
static uint64_t run_pair(struct world *world, const struct step_word *word, unsigned peer_call,
                         uint64_t stop, struct orders *orders)
{
    char rest[80];
    (void)snprintf(rest, sizeof rest, " --peer %s (stopped after change %lld)",
                   scene_calls[peer_call].name, (long long)stop);
    step_describe(world, word, rest);
    (void)alarm(STEP_STUCK_SECONDS);
    if (world_renew(world) < 0) {
        step_violation(&(struct report){0}, "the world cannot be renewed");
        return 0;
    }
    struct stepped stepped = {.world = world, .word = *word, .in_pairs = true};
    struct pair pair = {.world = world, .word = *word, .peer_call = peer_call, .stop = stop};
    pair.process = process_start(step_process, &stepped);
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
            step_judge_end(&report);
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
            step_figures.instructions += report.instructions;
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
    struct step_word word = {.calls = {call}, .length = 1};
    struct orders orders = {{0}};
    /* A call that is not applicable for the peer is a pair of nothing; what is not for the process
     * is met in the first run. */
    uint64_t changes = run_pair(world, &word, peer_call, UINT64_MAX, &orders);
    if (changes == 0 || run_pair(world, &word, peer_call, 0, &orders) == 0)
        return;
    step_figures.pairs++;
    for (uint64_t stop = 1; stop < changes; stop++)
        if (run_pair(world, &word, peer_call, stop, &orders) == 0)
            return;
}

void step_pairs(struct world *world)
{
    unsigned long number = 0;
    for (unsigned call = 0; call < scene_calls_count; call++)
        for (unsigned peer = 0; peer < scene_calls_count; peer++, number++) {
            if (strcmp(scene_calls[peer].name, "close") == 0)
                continue; /* it would have to attach again */
            bool is_named = step_options.word != NULL && step_options.peer != NULL;
            if (is_named ? strcmp(step_options.word, scene_calls[call].name) == 0 &&
                               strcmp(step_options.peer, scene_calls[peer].name) == 0
                         : number % step_options.pairs_stride ==
                               step_options.first % step_options.pairs_stride)
                run_pairs_of(world, call, peer);
        }
}
