/* alone.c - one process, killed after every instruction of the last call of a word.
 *
 * After each change an exam is held on a private copy of the file. What it finds must be what there
 * was before the call, or what there is after it; and once it is the latter it stays so. */
#include "step.h"

#include <unistd.h>

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
        step_violation(report, "a call took more than one step");
    }
}

bool step_alone(struct world *world, const struct step_word *word)
{
    struct stepped stepped = {.world = world, .word = *word};
    struct history history = {0};
    struct exam exam;
    step_describe(world, word, "");
    (void)alarm(STEP_STUCK_SECONDS);
    world_restore(world);
    struct process process = process_start(step_process, &stepped);
    struct report report;
    bool goes_on = true;
    do {
        report = process_listen(&process);
        switch (report.kind) {
        case REPORT_BEGIN:
            if (step_exam(world, world_peer_bit(world), &report, &exam))
                history.before = exam.signature;
            else
                goes_on = false; /* all that follows would fail as well */
            break;
        case REPORT_CHANGED:
            if (step_exam(world, world_peer_bit(world), &report, &exam))
                note(&history, exam.signature, &report);
            else
                goes_on = false;
            break;
        case REPORT_END:
        case REPORT_DEAD:
            step_judge_end(&report);
            goes_on = false;
            if (report.code != 0 || report.kind == REPORT_DEAD)
                break;
            step_figures.words++;
            step_figures.instructions += report.instructions;
            if (step_exam(world, world_peer_bit(world), &report, &exam))
                note(&history, exam.signature, &report);
            break;
        }
        process_order(&process, -1);
    } while (goes_on);
    process_kill(&process);
    return report.code != SCENE_NOT_APPLICABLE;
}
