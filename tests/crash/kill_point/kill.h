/* kill.h - what the parts of kill_point share.
 *
 *   ../kill_point.c  which calls, after which setups
 *   kills.c          a kill at every point of a call, and of the recoveries after it
 *   making.c         a kill at every point of making a store
 *   run.c            one run: a process that passes points or dies at one, and the exam
 *   points.c         the points themselves */
#ifndef ROMA_TESTS_CRASH_KILL_H
#define ROMA_TESTS_CRASH_KILL_H

#include "points.h" /* before the store's own headers */

#include "../support/world.h"

enum { KILL_STUCK_SECONDS = 60 };

extern struct kill_figures {
    uint64_t words, kills, double_kills, exams, violations, lost_bytes;
} kill_figures;

/* Say it, with what is run now (support/stall.h). */
void kill_violation(const char *text);

/* ---- run.c ----------------------------------------------------------------------------------- */

struct kill_run {
    const struct world *world;
    const char *before, *last; /* calls; last NULL: attaching */
    uint64_t kill_at;
    bool recovers; /* attach and recover under way */
};

/* Returns the code, or -EINTR when it was killed. */
int kill_run(const struct kill_run *run);

/* Of what is left of the world's file. */
void kill_exam(const struct world *world);

struct kill_way {
    const char **names; /* of the points that are passed; the caller frees them */
    uint64_t count;
};

/* Run without a kill; learn which points there are. */
int kill_learn(struct kill_run *run, struct kill_way *way);

/* Of a long way only some of the visits of each point. */
bool kill_is_worth_it(const struct kill_way *way, uint64_t index);

/* ---- kills.c --------------------------------------------------------------------------------- */

/* Recoveries are killed after the first kill at each point, and after each of the others whose
 * number this divides. 0: no recovery is killed. */
extern unsigned long kill_twice_stride;

/* At every point of the run. */
void kill_everywhere(struct world *world, struct kill_run *run);

/* ---- making.c -------------------------------------------------------------------------------- */

/* At every point of making a store. */
void kill_makings(void);

#endif
