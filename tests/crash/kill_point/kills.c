/* kills.c - a kill at every point of a call, and crashes inside the recovery from it.
 *
 * The call runs once without a kill, to learn its way; then again and again, and dies one point
 * further on each time. What one of them left is kept, and recovered by processes that die, too:
 * one at each point of its way, another one after it. The living peer of the setup allocates and
 * releases meanwhile, so it may be the one that recovers. */
#include "kill.h"

#include "../support/stall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

unsigned long kill_twice_stride = 7;

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
        kill_violation("the peer has died during a recovery");
    else if (report.code != 0 && report.code != SCENE_NOT_APPLICABLE)
        kill_violation("the peer's call failed during a recovery");
}

/* One recoverer that dies at a point, or comes to its end: then false. The peer is in a call
 * meanwhile, and may be the one that recovers. */
static bool recover_and_die(const struct world *world, uint64_t at, const char *call)
{
    struct kill_run run = {.world = world, .before = "", .kill_at = at, .recovers = true};
    order_peer(world, call);
    int code = kill_run(&run);
    listen_to_peer(world);
    if (code != 0 && code != -EINTR)
        kill_violation("a recovery failed");
    if (code != -EINTR)
        return false;
    points_count_kill(points_name(at - 1));
    kill_figures.double_kills++;
    return true;
}

/* `run` dies at its point, as before; then a recovery at its own, and one more, of which only what
 * the first one left is to be done, at one that moves on. */
static void kill_recovery(struct world *world, struct kill_run *run, uint64_t first,
                          const char *from)
{
    static uint64_t spread;
    (void)alarm(KILL_STUCK_SECONDS);
    (void)snprintf(stall_in, sizeof stall_in, "%.200s, recovery killed at point %llu", from,
                   (unsigned long long)first);
    if (world_renew(world) < 0 || kill_run(run) != -EINTR) {
        kill_violation("two runs of the same calls pass different points");
        return;
    }
    if (recover_and_die(world, first, "small"))
        (void)recover_and_die(world, 1 + spread++ % (first + 3), "release");
    kill_exam(world);
}

static void kill_recoveries(struct world *world, struct kill_run *run)
{
    char from[300];
    (void)snprintf(from, sizeof from, "%s", stall_in);
    struct kill_run recovery = {.world = world, .recovers = true};
    struct kill_way way = {0};
    if (world_renew(world) == 0 && kill_run(run) == -EINTR && kill_learn(&recovery, &way) == 0)
        for (uint64_t i = 0; i < way.count; i++)
            if (kill_is_worth_it(&way, i))
                kill_recovery(world, run, i + 1, from);
    free(way.names);
}

/* ---- at every point -------------------------------------------------------------------------- */

static void describe(const struct kill_run *run, const char *point, uint64_t number)
{
    (void)snprintf(stall_in, sizeof stall_in, "--setup %s --word '%s%s%s' at %s (point %llu)",
                   run->world->setup->name, run->before, run->before[0] != '\0' ? "," : "",
                   run->last != NULL ? run->last : "", point, (unsigned long long)number);
}

static void kill_at_one(struct world *world, struct kill_run *run, const char *name,
                        uint64_t number)
{
    static unsigned long kills;
    (void)alarm(KILL_STUCK_SECONDS);
    describe(run, name, number);
    run->kill_at = number;
    if (world_renew(world) < 0 || kill_run(run) != -EINTR) {
        kill_violation("two runs of the same calls pass different points");
        return;
    }
    bool is_first = !points_has_hit(name);
    points_count_kill(name);
    kill_figures.kills++;
    kill_exam(world);
    if (kill_twice_stride != 0 && (is_first || kills++ % kill_twice_stride == 0))
        kill_recoveries(world, run);
}

void kill_everywhere(struct world *world, struct kill_run *run)
{
    struct kill_way way = {0};
    (void)alarm(KILL_STUCK_SECONDS);
    describe(run, "none", 0);
    int code = world_renew(world);
    if (code == 0)
        code = kill_learn(run, &way);
    if (code == 0) {
        kill_figures.words++;
        for (uint64_t i = 0; i < way.count; i++)
            if (kill_is_worth_it(&way, i))
                kill_at_one(world, run, way.names[i], i + 1);
    } else if (code != SCENE_NOT_APPLICABLE) {
        kill_violation(code == -EINTR ? "the process has died" : strerror(-code));
    }
    free(way.names);
}
