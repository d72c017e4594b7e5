/* stepped.c - the process that is stepped through: it runs all but the last call as usual, and the
 * last one by support/stepper.h. The leader learns of every stop, and says when to go on. */
#include "step.h"

#include "../support/stall.h"
#include "../support/stepper.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 20 };

extern const char __executable_start;

struct step_figures step_figures;

/* ---- telling --------------------------------------------------------------------------------- */

void step_describe(const struct world *world, const struct step_word *word, const char *rest)
{
    int at = snprintf(stall_in, sizeof stall_in, "--setup %s --word '", world->setup->name);
    for (unsigned i = 0; i < word->length; i++)
        at += snprintf(stall_in + at, sizeof stall_in - (size_t)at, "%s%s", i != 0 ? "," : "",
                       scene_calls[word->calls[i]].name);
    (void)snprintf(stall_in + at, sizeof stall_in - (size_t)at, "'%s", rest);
}

void step_violation(const struct report *report, const char *text)
{
    if (step_figures.violations++ < SHOWN_MAX)
        (void)printf("VIOLATION: %s\n    %s, instruction %llu, next at %#lx\n", text, stall_in,
                     (unsigned long long)report->instructions,
                     (unsigned long)(report->at - (uintptr_t)&__executable_start));
}

/* ---- the process that is stepped through ----------------------------------------------------- */

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

void step_process(int fd, void *context)
{
    const struct stepped *stepped = context;
    const struct step_word *word = &stepped->word;
    static struct scene scene;
    static const stepper_stop nowhere;
    stepped_fd = fd;
    scene = (struct scene){.fd = stepped->world->fd};
    stepper_install(scene.fd, on_change, stepped->in_pairs ? on_held : NULL);
    stepper_only_stores = stepped->in_pairs || word->length >= step_options.stores_from;
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

bool step_exam(const struct world *world, uint64_t alive, const struct report *report,
               struct exam *exam)
{
    step_figures.exams++;
    bool good = exam_copy(world->fd, alive, exam);
    step_figures.lost_bytes += exam->account.lost_bytes;
    if (!good)
        step_violation(report, exam->text);
    return good;
}

void step_judge_end(const struct report *end)
{
    char text[100];
    if (end->kind == REPORT_DEAD) {
        step_violation(end, "the process has died");
    } else if (end->code != 0 && end->code != SCENE_NOT_APPLICABLE) {
        (void)snprintf(text, sizeof text, "a call failed: %s", strerror(-end->code));
        step_violation(end, text);
    }
}
