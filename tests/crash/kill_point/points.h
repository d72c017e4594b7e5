/* points.h - the named points of the store's sources: recorded, killed at, and none left out.
 *
 * A process that is armed counts the points that it passes, and dies by SIGKILL at one of them.
 * What it passed stands in memory that it shares with the leader; one such process runs at a
 * time. */
#ifndef ROMA_TESTS_CRASH_POINTS_H
#define ROMA_TESTS_CRASH_POINTS_H

#include "../support/points_on.h"

#include <stdbool.h>
#include <stdint.h>

/* Before the first process is started. Returns false when there is no memory. */
bool points_share(void);

/* Forget what was passed; from here on die at the kill_at-th point. 0: only record. */
void points_arm(uint64_t kill_at);
void points_disarm(void);

/* What the last process passed: how many points are recorded, and the name of one of them. */
uint64_t points_count(void);
const char *points_name(uint64_t index);

/* The leader's account of the names at which processes were killed. */
void points_count_kill(const char *name);
bool points_has_hit(const char *name);

/* Name every point of src/store at which nobody was killed. Returns how many there are, or 1 when
 * there are no sources; *known is how many points the sources have. */
unsigned points_check_sources(unsigned *known);

#endif
