/* world.h - a small store in memory with a past, and processes that have it open.
 *
 * A *setup* says what earlier sessions left behind (closed, or dead), what a living peer holds, and
 * what the process that is to be killed holds itself. The world is made once a setup; its file is
 * put back to that moment before each run, which is right as long as the peer did nothing since.
 *
 * Processes are led by messages over a socket: the leader sends an order and reads reports. */
#ifndef ROMA_TESTS_CRASH_WORLD_H
#define ROMA_TESTS_CRASH_WORLD_H

#include "scene.h"

#include <stddef.h>
#include <sys/types.h>

/* ---- processes ------------------------------------------------------------------------------- */

enum report_kind {
    REPORT_DONE,    /* of an order, with its code                                   */
    REPORT_HELD,    /* waits for a session's byte, and goes on when ordered to      */
    REPORT_BEGIN,   /* stands at the beginning, goes on when ordered to             */
    REPORT_CHANGED, /* stands after an instruction that changed the file, the same  */
    REPORT_END,     /* the same, at the end                                         */
    REPORT_DEAD     /* made up by the leader: the process has ended                 */
};

struct report {
    int kind, code;
    uint32_t session; /* own; HELD: whose byte */
    uint64_t instructions;
    uintptr_t at;
};

struct order {
    int call; /* -1: go on */
};

struct process {
    pid_t pid; /* 0: none */
    int fd;
    uint32_t session;
};

/* Fork; the child calls `run` with its end of the socket and ends. */
struct process process_start(void (*run)(int fd, void *context), void *context);
void process_kill(struct process *process);
void process_order(const struct process *process, int call);
struct report process_listen(const struct process *process);

/* For the child. */
void process_report(int fd, const struct report *report);
struct order process_obey(int fd);

/* ---- worlds ---------------------------------------------------------------------------------- */

struct setup {
    const char *name;
    const char *past;      /* calls of a session before; NULL: there was none      */
    bool past_died;        /* it did not close                                     */
    const char *peer;      /* calls of a living peer that stays; NULL: there is none */
    const char *self;      /* calls of the process that will be killed             */
    unsigned generation;   /* that blocks begin with; 0: as always                 */
    bool shrinks;          /* the file has a name at first, and is cut at the end  */
};

extern const struct setup setups[];
extern const unsigned setups_count; /* of those to be combined with every word */
extern const struct setup setup_many;    /* for the calls with many steps */
extern const struct setup setup_shrinks; /* for closing                   */

struct world {
    const struct setup *setup;
    int fd; /* of the file */
    struct process peer;
    char *image; /* as it was when the world was made */
    size_t image_bytes;
};

/* Returns 0 or -errno, having said why. */
int world_make(struct world *world, const struct setup *setup);
void world_restore(struct world *world);
void world_end(struct world *world);

/* Let the peer die, put the file back to before it attached, and start it once more. */
int world_renew(struct world *world);

/* The sessions of it that live, as exams take them: the peer's, or none. */
uint64_t world_peer_bit(const struct world *world);

/* world_make() starts no peer; world_renew() does, before each run. */
extern bool world_renews_peer;

/* A peer waits inside of a call when it meets a byte that is held, and reports that. */
extern bool world_peer_reports_held;

#endif
