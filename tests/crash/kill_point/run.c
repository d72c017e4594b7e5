/* run.c - one run of kill_point: a process attaches, makes calls, and is armed for the last of
 * them. Where attaching or recovering is what is to be killed, it is armed from the beginning. */
#include "kill.h"

#include "../support/exam.h"
#include "../support/stall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SHOWN_MAX = 20 };
enum {
    LONG_WAY = 200,
    OFTEN = 3
}; /* of a point that is passed very often: so many times, and the last */

struct kill_figures kill_figures;

void kill_violation(const char *text)
{
    if (kill_figures.violations++ < SHOWN_MAX)
        (void)printf("VIOLATION: %s\n    %s\n", text, stall_in);
}

/* ---- the process ----------------------------------------------------------------------------- */

static void be_killed(int fd, void *context)
{
    const struct kill_run *run = context;
    struct scene scene = {.fd = run->world->fd, .shrinks = run->world->setup->shrinks};
    int code = 0;
    if (run->recovers || run->last == NULL)
        points_arm(run->kill_at);
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
            points_arm(run->kill_at);
            code = scene_run(&scene, run->last);
        }
    }
    points_disarm();
    process_report(fd, &(struct report){.kind = REPORT_DONE, .code = code});
    /* and dies here, with the store open */
}

int kill_run(const struct kill_run *run)
{
    struct process process = process_start(be_killed, (void *)(uintptr_t)run);
    struct report report = process_listen(&process);
    process_kill(&process);
    return report.kind == REPORT_DONE ? report.code : -EINTR;
}

void kill_exam(const struct world *world)
{
    struct exam exam;
    kill_figures.exams++;
    /* Where nobody lives the file itself is examined, with the real locks. */
    bool good = world->peer.pid != 0 ? exam_copy(world->fd, world_peer_bit(world), &exam)
                                     : exam_file(world->fd, &exam);
    kill_figures.lost_bytes += exam.account.lost_bytes;
    if (!good)
        kill_violation(exam.text);
}

/* ---- ways ------------------------------------------------------------------------------------ */

bool kill_is_worth_it(const struct kill_way *way, uint64_t index)
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

int kill_learn(struct kill_run *run, struct kill_way *way)
{
    run->kill_at = 0;
    int code = kill_run(run);
    way->count = points_count();
    way->names = malloc((way->count + 1) * sizeof *way->names);
    if (way->names == NULL)
        abort();
    for (uint64_t i = 0; i < way->count; i++)
        way->names[i] = points_name(i);
    return code;
}
