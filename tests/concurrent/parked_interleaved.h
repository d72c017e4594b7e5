/* parked_interleaved.h - runs parked.c's operations under every interleaving of their steps. */
#ifndef ROMA_TESTS_PARKED_INTERLEAVED_H
#define ROMA_TESTS_PARKED_INTERLEAVED_H

#include "interleave.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Two runs: the first has a place and lives, with one reference that the scene's threads may try
 * to give up. The second has just ended, and is to get a place. */
typedef enum parked_act {
    PARKED_NONE,
    PARKED_END,      /* give up the first run's reference: one life, so one may succeed     */
    PARKED_TAKE,     /* take a run and begin a life; it stays                               */
    PARKED_CYCLE,    /* the same, and end it by the fast way or, where that fails, the slow */
    PARKED_RETURN,   /* take a run, and put it back without a life                          */
    PARKED_PUT,      /* give the second run a place, where there is one                     */
    PARKED_WITHDRAW, /* take a run that is free away                                        */
    PARKED_LEAVE,    /* hold a reference to the first run; it is to lose its place          */
    PARKED_EVICT     /* have whatever is in the first place leave, free or in use           */
} parked_act;

enum { PARKED_THREADS_MAX = 3, PARKED_ACTS_MAX = 3 };

typedef struct parked_scenario {
    unsigned threads;
    parked_act acts[PARKED_THREADS_MAX][PARKED_ACTS_MAX];
} parked_scenario;

interleave_result parked_run(const parked_scenario *scenario);

#ifdef __cplusplus
}
#endif
#endif
