/* ring_liburing.c - rings of the kernel, through liburing; the one file that includes its header.
 *
 * The ring is set up, asked and told through the table of system calls, so that a refusal can be
 * tested as those of other calls are; in between liburing maps its queues, and keeps them. What the
 * kernel knows is asked from itself (IORING_REGISTER_PROBE, Linux 5.6): a ring that lacks one of
 * the calls is no ring for us, since the others would not make up for it. The kernel runs these
 * calls on workers of its own, as many as it likes; more than its default are asked for where it
 * can be told (Linux 5.15), because few of them are at work on the processor at a time. Reading a
 * byte is the one that needs none: where the file system can be told to answer later (ext4, xfs,
 * btrfs and block devices can), the end of the page's own read completes it.
 *
 * Calls that liburing makes by itself, past the table, since they stand within the code that knows
 * its queues: mmap of these, or munmap where the second cannot be mapped, and madvise, that a child
 * does not have them (io_uring_queue_mmap, io_uring_ring_dontfork); io_uring_enter, to hand over
 * and to wait, and where answers overflowed (io_uring_submit_and_wait, io_uring_peek_cqe); munmap
 * and close at the end (io_uring_queue_exit). Tests fail the first and io_uring_enter by filters of
 * a child (tests/fault/seccomp.cpp); what an enter may say, and each answer, are made by rings of
 * their own (tests/fault/soft_ring.hpp). */
#include "prefetch/ring.h"

#ifdef ROMA_HAS_LIBURING

#include "base/check.h"
#include "base/cpus.h"
#include "base/error.h"
#include "base/text.h"
#include "sys/kernel.h"
#include "sys/records.h"
#include "sys/sys.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <string.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <valgrind/valgrind.h>
#pragma GCC diagnostic pop
#endif
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

struct roma__ring {
    struct io_uring uring;
    char byte;          /* where those go that are read to be waited for                        */
    unsigned forgotten; /* of the entries that were not handed over, the first so many            */
};

/* ---- opening -------------------------------------------------------------------------------- */

static const struct {
    int opcode;
    const char *name;
} needed[] = {
    {IORING_OP_FADVISE, "IORING_OP_FADVISE (Linux 5.6)"},
    {IORING_OP_MADVISE, "IORING_OP_MADVISE (Linux 5.6)"},
    {IORING_OP_READ, "IORING_OP_READ (Linux 5.6)"},
    {IORING_OP_SYNC_FILE_RANGE, "IORING_OP_SYNC_FILE_RANGE (Linux 5.2)"},
    {IORING_OP_FSYNC, "IORING_OP_FSYNC"},
    {IORING_OP_POLL_ADD, "IORING_OP_POLL_ADD"},
};

static int check_opcodes(const struct io_uring *uring, roma_error *error)
{
    enum { OPCODES = 64 };
    _Alignas(struct io_uring_probe) char
        room[sizeof(struct io_uring_probe) + OPCODES * sizeof(struct io_uring_probe_op)] = {0};
    struct io_uring_probe *probe = (struct io_uring_probe *)(void *)room;
    if (roma__sys->io_uring_register(uring->ring_fd, IORING_REGISTER_PROBE, probe, OPCODES) < 0) {
        int code = roma__error_call(error, "io_uring_register", errno);
        roma__text_copy(error->subject, sizeof error->subject, "IORING_REGISTER_PROBE (Linux 5.6)");
        return code;
    }
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (needed[i].opcode > probe->last_op ||
            (probe->ops[needed[i].opcode].flags & IO_URING_OP_SUPPORTED) == 0)
            return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED, needed[i].name);
    return 0;
}

/* So many for files, and none of the other kind, which is left as it is. A kernel that does not
 * know this has as many as it likes: no reason to do without the ring. */
static void ask_for_workers(const struct io_uring *uring, unsigned workers)
{
    unsigned limits[2] = {workers, 0};
    (void)roma__sys->io_uring_register(uring->ring_fd, IORING_REGISTER_IOWQ_MAX_WORKERS, limits, 2);
}

/* They run where this thread may: a set with CPUs that the process may not use a kernel may refuse.
 * One that cannot be told is none for this wish. */
static int keep_workers_here(const struct io_uring *uring, roma_error *error)
{
    roma__cpus here = {{0}};
    if (roma__sys->get_affinity(sizeof here, &here) < 0)
        return roma__error_call(error, "sched_getaffinity", errno);
    if (roma__sys->io_uring_register(uring->ring_fd, IORING_REGISTER_IOWQ_AFF, &here,
                                     sizeof here) >= 0)
        return 0;
    int code = roma__error_call(error, "io_uring_register", errno);
    roma__text_copy(error->subject, sizeof error->subject, "IORING_REGISTER_IOWQ_AFF (Linux 5.14)");
    return code;
}

static int set_up(struct io_uring *uring, unsigned entries, roma_error *error)
{
    struct io_uring_params parameters;
    _Static_assert(sizeof parameters == ROMA__IO_URING_PARAMS_BYTES, "as numa/ asks");
    memset(&parameters, 0, sizeof parameters);
    int fd = roma__sys->io_uring_setup(entries, &parameters);
    if (fd < 0)
        return roma__error_call(error, "io_uring_setup", errno);
    int code = io_uring_queue_mmap(fd, &parameters, uring);
    if (code < 0) {
        (void)roma__sys->close(fd);
        code = roma__error_call(error, "mmap", -code);
        roma__text_copy(error->subject, sizeof error->subject, "the queues of a ring");
        return code;
    }
    /* Entry by entry, which liburing's own way of making a ring has done by then. */
    for (unsigned i = 0; i < uring->sq.ring_entries; i++)
        uring->sq.array[i] = i;
    (void)io_uring_ring_dontfork(uring); /* a child's writes would be its parent's calls */
    return 0;
}

/* Valgrind runs one thread at a time, and 3.19 none while one of them waits in io_uring_enter
 * (https://github.com/axboe/liburing/issues/657): the program would stand still for good. */
static int open_ring(roma__ring **ring, unsigned entries, unsigned workers, bool here,
                     roma_error *error)
{
    if (RUNNING_ON_VALGRIND)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "io_uring under Valgrind");
    roma__ring *made = roma__record_new(sizeof *made);
    if (made == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    int code = set_up(&made->uring, entries, error);
    if (code == 0) {
        code = check_opcodes(&made->uring, error);
        if (code == 0 && here)
            code = keep_workers_here(&made->uring, error);
        if (code < 0)
            io_uring_queue_exit(&made->uring);
    }
    if (code < 0) {
        roma__record_free(made, sizeof *made);
        return code;
    }
    ask_for_workers(&made->uring, workers);
    *ring = made;
    return 0;
}

static void close_ring(roma__ring *ring)
{
    io_uring_queue_exit(&ring->uring);
    roma__record_free(ring, sizeof *ring);
}

/* The kernel charges a ring's memory until its last descriptor is closed. */
static void forget_ring(roma__ring *ring)
{
    (void)roma__sys->close(ring->uring.ring_fd);
    roma__record_free(ring, sizeof *ring);
}

/* ---- queueing ------------------------------------------------------------------------------- */

static unsigned room(roma__ring *ring)
{
    return io_uring_sq_space_left(&ring->uring);
}

static struct io_uring_sqe *next_entry(roma__ring *ring)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring->uring);
    roma_check(entry != NULL); /* the caller saw that there is room */
    return entry;
}

static void queue(roma__ring *ring, const roma__call *call, uint64_t tag, bool linked)
{
    struct io_uring_sqe *entry = next_entry(ring);
    off_t bytes = (off_t)call->bytes;
    unsigned length = (unsigned)call->bytes;
    switch (call->kind) {
    case ROMA__CALL_FADVISE:
        io_uring_prep_fadvise(entry, call->fd, call->offset, bytes, POSIX_FADV_WILLNEED);
        break;
    case ROMA__CALL_AWAIT:
        io_uring_prep_read(entry, call->fd, &ring->byte, 1, call->offset + call->bytes - 1);
        break;
    case ROMA__CALL_WILLNEED:
        io_uring_prep_madvise(entry, call->address, bytes, MADV_WILLNEED);
        break;
    case ROMA__CALL_POPULATE:
        io_uring_prep_madvise(entry, call->address, bytes, MADV_POPULATE_READ);
        break;
    case ROMA__CALL_WRITE_RANGE:
        io_uring_prep_sync_file_range(entry, call->fd, length, call->offset, SYNC_FILE_RANGE_WRITE);
        break;
    case ROMA__CALL_AWAIT_WRITE:
        io_uring_prep_sync_file_range(entry, call->fd, length, call->offset,
                                      SYNC_FILE_RANGE_WAIT_BEFORE);
        break;
    case ROMA__CALL_SYNC: io_uring_prep_fsync(entry, call->fd, IORING_FSYNC_DATASYNC); break;
    case ROMA__CALL_MMAP:
    case ROMA__CALL_FSTAT: roma__check_failed("a call of a ring", __FILE__, __LINE__);
    }
    io_uring_sqe_set_data64(entry, tag);
    if (linked)
        io_uring_sqe_set_flags(entry, IOSQE_IO_LINK);
}

static int make(roma__ring *ring, const roma__call *call)
{
    (void)ring;
    return roma__call_make(call);
}

static void queue_poll(roma__ring *ring, int fd, uint64_t tag)
{
    struct io_uring_sqe *entry = next_entry(ring);
    io_uring_prep_poll_add(entry, fd, POLLIN);
    io_uring_sqe_set_data64(entry, tag);
}

/* ---- going ---------------------------------------------------------------------------------- */

/* The kernel stops behind a call that it refuses, and where it has no memory for the next; then it
 * says how many it took, and does not wait. */
static int enter(roma__ring *ring, unsigned wait)
{
    int code;
    do
        code = io_uring_submit_and_wait(&ring->uring, wait);
    while (code > 0 && io_uring_sq_ready(&ring->uring) > 0);
    return code < 0 ? code : 0;
}

static unsigned reap(roma__ring *ring, roma__answer *answers, unsigned most)
{
    unsigned count = 0;
    struct io_uring_cqe *completion = NULL;
    while (count < most && io_uring_peek_cqe(&ring->uring, &completion) == 0) {
        answers[count++] = (roma__answer){io_uring_cqe_get_data64(completion), completion->res};
        io_uring_cqe_seen(&ring->uring, completion);
    }
    return count;
}

static bool unqueue(roma__ring *ring, uint64_t *tag)
{
    const struct io_uring_sq *entries = &ring->uring.sq;
    unsigned count = io_uring_sq_ready(&ring->uring);
    if (ring->forgotten == count)
        return false;
    unsigned index = entries->sqe_tail - count + ring->forgotten++;
    *tag = entries->sqes[index & entries->ring_mask].user_data;
    return true;
}

const struct roma__rings roma__rings_kernel = {
    .open = open_ring,
    .close = close_ring,
    .forget = forget_ring,
    .room = room,
    .queue = queue,
    .make = make,
    .queue_poll = queue_poll,
    .enter = enter,
    .reap = reap,
    .unqueue = unqueue,
};

#endif
