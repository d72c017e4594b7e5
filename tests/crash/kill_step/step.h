/* step.h - what the parts of kill_step share.
 *
 *   ../kill_step.c  which words and setups
 *   alone.c         a word whose last call is killed after every instruction
 *   pairs.c         two processes that meet at every change
 *   stepped.c       the process that is stepped through, and what is said of it */
#ifndef ROMA_TESTS_CRASH_STEP_H
#define ROMA_TESTS_CRASH_STEP_H

#include "../support/exam.h"
#include "../support/world.h"

#include <stdbool.h>

enum { STEP_WORD_MAX = 3, STEP_STUCK_SECONDS = 60 };

struct step_word {
    unsigned calls[STEP_WORD_MAX], length; /* 0: attaching is stepped through */
};

extern struct step_options {
    unsigned long stride, first, pairs_stride, length, stores_from;
    const char *setup, *word, *peer;
} step_options;

extern struct step_figures {
    uint64_t words, pairs, instructions, exams, violations, lost_bytes, waits;
} step_figures;

/* ---- stepped.c ------------------------------------------------------------------------------- */

struct stepped {
    const struct world *world;
    struct step_word word;
    bool in_pairs;
};

/* For process_start(), with a struct stepped: reports BEGIN, each change, and END, and stands still
 * after each of them until it is ordered to go on. */
void step_process(int fd, void *context);

/* What is run now, for what is told of violations. */
void step_describe(const struct world *world, const struct step_word *word, const char *rest);

/* Say what must not be, with where the process stands. */
void step_violation(const struct report *report, const char *text);

/* Of the file as it is, with the sessions of `alive` living. Returns false after a violation. */
bool step_exam(const struct world *world, uint64_t alive, const struct report *report,
               struct exam *exam);

/* A call may end well, or be not applicable. */
void step_judge_end(const struct report *end);

/* ---- alone.c, pairs.c ------------------------------------------------------------------------ */

/* Returns false when the word is not applicable. */
bool step_alone(struct world *world, const struct step_word *word);

/* Every two calls, or those that --stride or --word and --peer choose. */
void step_pairs(struct world *world);

#endif
