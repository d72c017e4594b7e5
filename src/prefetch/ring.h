/* ring.h - a ring of calls on their way: io_uring behind a few functions, so that a test can put
 * its own in place and fail any of them, or choose what a call results in.
 *
 * A ring belongs to one thread: what a thread submitted is cancelled by the kernel when it ends. */
#ifndef ROMA_PREFETCH_RING_H
#define ROMA_PREFETCH_RING_H

#include <roma/error.h>

#include "prefetch/calls.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma__ring roma__ring;

typedef struct roma__answer {
    uint64_t tag;
    int result; /* 0 or more, or -errno */
} roma__answer;

struct roma__rings {
    /* Make a ring of so many entries, whose calls are run by up to `workers` threads of the kernel;
     * with `here` on the CPUs that this thread may run on, else where the kernel likes. All kinds
     * of calls are tried to be known. Returns 0, or -errno with *error (never NULL). */
    int (*open)(roma__ring **ring, unsigned entries, unsigned workers, bool here,
                roma_error *error);
    /* Nothing may be in flight but a poll. */
    void (*close)(roma__ring *ring);
    /* In a child of fork(), which has the record and the descriptor, and none of what is mapped. */
    void (*forget)(roma__ring *ring);
    /* How many more calls can be queued before the next enter. */
    unsigned (*room)(roma__ring *ring);
    /* Queue a call; with `linked` the next one begins when it is done, and is -ECANCELED when it
     * failed. There is room. */
    void (*queue)(roma__ring *ring, const roma__call *call, uint64_t tag, bool linked);
    /* Carry a call out at once, on this thread. Returns 0 or -errno. */
    int (*make)(roma__ring *ring, const roma__call *call);
    /* Queue an answer for when a descriptor is readable. There is room. */
    void (*queue_poll)(roma__ring *ring, int fd, uint64_t tag);
    /* Hand all that is queued to the kernel, and wait for so many answers (0 or 1). Returns 0, or
     * -errno; what was not handed over by then is still queued. */
    int (*enter)(roma__ring *ring, unsigned wait);
    /* Take answers that are there. Returns how many. */
    unsigned (*reap)(roma__ring *ring, roma__answer *answers, unsigned most);
    /* The tag of the first call that is queued and was not handed over, which is forgotten; false
     * when there is none. For a ring that is broken: it is not entered again. */
    bool (*unqueue)(roma__ring *ring, uint64_t *tag);
};

/* In use: liburing's where it is built in, else ones that refuse to open; or what a test has put in
 * place. */
extern const struct roma__rings *roma__rings;
extern const struct roma__rings roma__rings_kernel;

/* Put others in place (NULL: the kernel's) and return those before. For tests, while no engine is
 * there. */
const struct roma__rings *roma__rings_replace(const struct roma__rings *rings);

#ifdef __cplusplus
}
#endif
#endif
