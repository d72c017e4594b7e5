/* storm.h - what the parts of the storm share.
 *
 *   ../storm.c  the leader: it starts, stops and kills workers, and holds exams
 *   workers.c   the processes and threads that make calls, and fork
 *   calls.c     the calls, each on what its thread holds
 *   blocks.c    what a thread holds, and what every block must be like */
#ifndef ROMA_TESTS_CRASH_STORM_H
#define ROMA_TESTS_CRASH_STORM_H

#include "../support/scene.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORM_PROCESSES_MAX = 32, STORM_HELD_MAX = 48, STORM_EXIT_VIOLATION = 3 };

/* Shared by all processes. */
struct storm_shared {
    uint64_t marks; /* the number of the last block */
    uint64_t calls, forks, checked_bytes;
    uint64_t beats[STORM_PROCESSES_MAX];
};
extern struct storm_shared *storm_shared;

extern int storm_fd; /* of the store's file */

/* Of a thread. */
struct storm_worker {
    unsigned index;
    bool is_helper;
    roma_store *store;
    scene_hold held[STORM_HELD_MAX];
    unsigned count;
};
extern _Thread_local struct storm_worker storm_me;

/* ---- blocks.c -------------------------------------------------------------------------------- */

/* Say what must not be, and end the process. */
__attribute__((noreturn)) void storm_violation(const char *what, const void *block, int code);

/* Expected: 0 or more, or one of two codes. */
void storm_must(int code, int other, int another, const char *what, const void *block);

/* Give a block its number, and the pattern that follows from it; and see that both are there. */
void storm_fill(scene_thing *thing, size_t bytes);
void storm_look(const scene_thing *thing, size_t bytes, const char *when);

/* Hold a block that is new; one that a call got hold of, NULL being one of the codes expected. */
void storm_hold(void *block, bool is_node);
void storm_got(void *block, int expected, const char *what);

/* One of those held, NULL if there is none; and hold one no longer. */
scene_hold *storm_any(void);
scene_hold storm_let_go(unsigned index);

/* ---- calls.c --------------------------------------------------------------------------------- */

/* Those that are made all the time. */
extern void (*const storm_calls[])(void);
extern const unsigned storm_calls_count;

/* And those that are made now and then. */
void storm_release_all(void);
void storm_trim(void);
void storm_recover(void);

/* ---- workers.c ------------------------------------------------------------------------------- */

/* Work in the index-th process until it is killed. */
void storm_work(unsigned index, uint64_t seed);

#endif
