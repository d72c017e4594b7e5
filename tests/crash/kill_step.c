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
 * --stride takes every N-th word, --pairs-stride every N-th pair.
 *
 * Here are the words and setups; what is done with each is in kill_step/. */
#include "kill_step/step.h"

#include "support/stall.h"
#include "support/stepper.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct step_options step_options = {
    .stride = 1, .pairs_stride = 1, .length = STEP_WORD_MAX, .stores_from = STEP_WORD_MAX};

/* ---- words ----------------------------------------------------------------------------------- */

static bool is_chosen(const struct step_word *word, unsigned long number)
{
    if (step_options.word == NULL)
        return number % step_options.stride == step_options.first % step_options.stride;
    char text[200] = "";
    for (unsigned i = 0; i < word->length; i++) {
        strcat(text, i != 0 ? "," : "");
        strcat(text, scene_calls[word->calls[i]].name);
    }
    return strcmp(text, step_options.word) == 0;
}

static unsigned long run_words(struct world *world, struct step_word *word, unsigned long number)
{
    if (is_chosen(word, number) && !step_alone(world, word))
        return number + 1; /* nor is any that begins like it */
    number++;
    if (word->length == step_options.length)
        return number;
    for (unsigned i = 0; i < scene_calls_count; i++) {
        word->calls[word->length++] = i;
        number = run_words(world, word, number);
        word->length--;
    }
    return number;
}

/* ---- setups ---------------------------------------------------------------------------------- */

static void run_setup(const struct setup *setup)
{
    struct world world;
    world_renews_peer = world_peer_reports_held = false;
    if (step_options.peer == NULL && step_options.stride != 0) {
        if (world_make(&world, setup) < 0) {
            step_figures.violations++;
            return;
        }
        struct step_word word = {.length = 0};
        (void)run_words(&world, &word, 0);
        world_end(&world);
    }
    if (setup->peer == NULL || step_options.pairs_stride == 0 ||
        (step_options.word != NULL && step_options.peer == NULL))
        return;
    world_renews_peer = world_peer_reports_held = true;
    if (world_make(&world, setup) < 0) {
        step_figures.violations++;
        return;
    }
    step_pairs(&world);
    world_end(&world);
}

/* ---- options --------------------------------------------------------------------------------- */

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
        case 's': step_options.stride = strtoul(optarg, NULL, 10); break;
        case 'f': step_options.first = strtoul(optarg, NULL, 10); break;
        case 'p': step_options.pairs_stride = strtoul(optarg, NULL, 10); break;
        case 'l': step_options.length = strtoul(optarg, NULL, 10); break;
        case 'o': step_options.stores_from = strtoul(optarg, NULL, 10); break;
        case 'e': stepper_is_thorough = true; break;
        case 't': exam_is_thorough = true; break;
        case 'S': step_options.setup = optarg; break;
        case 'w': step_options.word = optarg; break;
        case 'P': step_options.peer = optarg; break;
        default: usage();
        }
    if (optind != count || step_options.length > STEP_WORD_MAX)
        usage();
}

/* ---- the whole ------------------------------------------------------------------------------- */

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
        if (step_options.setup == NULL || strcmp(step_options.setup, setups[i].name) == 0)
            run_setup(&setups[i]);
    double seconds = now() - began;
    (void)printf("kill_step: %llu words, %llu pairs, %llu kill points (instructions), %llu "
                 "recoveries, %llu waits, %llu violations, %llu leaked bytes, %.0f s\n",
                 (unsigned long long)step_figures.words, (unsigned long long)step_figures.pairs,
                 (unsigned long long)step_figures.instructions,
                 (unsigned long long)step_figures.exams, (unsigned long long)step_figures.waits,
                 (unsigned long long)step_figures.violations,
                 (unsigned long long)step_figures.lost_bytes, seconds);
    return step_figures.violations != 0 || step_figures.words + step_figures.pairs == 0;
}
