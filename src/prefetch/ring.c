/* ring.c - which rings are in use, and the ones of a build without liburing: they refuse to open,
 * so that another way is taken, and say why. */
#include "prefetch/ring.h"

#include "base/error.h"

#include <errno.h>

#ifndef ROMA_HAS_LIBURING

#include "base/check.h"

static int refuse(roma__ring **ring, unsigned entries, unsigned workers, bool here,
                  roma_error *error)
{
    (void)ring;
    (void)entries;
    (void)workers;
    (void)here;
    return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                               "io_uring (roma was built without liburing)");
}

/* Of no ring, since none was opened. */
static void never_close(roma__ring *ring)
{
    roma_check(ring == NULL);
}

static unsigned never_room(roma__ring *ring)
{
    never_close(ring);
    return 0;
}

static void never_queue(roma__ring *ring, const roma__call *call, uint64_t tag, bool linked)
{
    (void)call;
    (void)tag;
    (void)linked;
    never_close(ring);
}

static int never_make(roma__ring *ring, const roma__call *call)
{
    (void)call;
    never_close(ring);
    return 0;
}

static void never_queue_poll(roma__ring *ring, int fd, uint64_t tag)
{
    (void)fd;
    (void)tag;
    never_close(ring);
}

static int never_enter(roma__ring *ring, unsigned wait)
{
    (void)wait;
    never_close(ring);
    return 0;
}

static unsigned never_reap(roma__ring *ring, roma__answer *answers, unsigned most)
{
    (void)answers;
    (void)most;
    never_close(ring);
    return 0;
}

static bool never_unqueue(roma__ring *ring, uint64_t *tag)
{
    (void)tag;
    never_close(ring);
    return false;
}

const struct roma__rings roma__rings_kernel = {
    .open = refuse,
    .close = never_close,
    .forget = never_close,
    .room = never_room,
    .queue = never_queue,
    .make = never_make,
    .queue_poll = never_queue_poll,
    .enter = never_enter,
    .reap = never_reap,
    .unqueue = never_unqueue,
};

#endif

const struct roma__rings *roma__rings = &roma__rings_kernel;

const struct roma__rings *roma__rings_replace(const struct roma__rings *rings)
{
    const struct roma__rings *before = roma__rings;
    roma__rings = rings != NULL ? rings : &roma__rings_kernel;
    return before;
}
