/* prepare.c - what of an op needs no lock: planning, looking at what is resident, mapping shadows,
 * deciding which calls the kernel gets, and judging what they resulted in.
 *
 * Which calls a piece gets:
 *
 *                ISSUED               RESIDENT                     MAPPED
 *   long run     populate a shadow    populate a shadow            and then the program's mapping
 *   short run    fadvise              fadvise; await; populate     fadvise, the program's mapping
 *   tmpfs        madvise(WILLNEED)    madvise(WILLNEED)            the program's mapping
 *   hugetlbfs,   nothing              nothing                      the program's mapping
 *   ramfs
 *
 * What is resident gets the last column's last call alone, or none; what a short run finds there
 * while it is still being read is waited for, as if it were not. A shadow of a long run has huge
 * faults, a window of short ones has none: there fadvise has read what is wanted, and populating
 * only waits for it. It is called where mincore() does not say of the window that all has been
 * read: that is asked when a ring says so, which awaits the run's last byte, and without a ring
 * when others have been issued behind it.
 *
 * The judge: the kernel says -EFAULT whatever made a page unreadable. The file's length tells
 * whether it was cut; if not, the device failed, or memory did where the pages are the file. What
 * is before the cut is read again. */
#include "prefetch/engine.h"

#include "base/bits.h"
#include "base/check.h"
#include "prefetch/resident.h"

#include <errno.h>
#include <time.h>

enum { REACH_KNOWN_BYTES = 128 << 10, REACH_MOST_BYTES = 2 << 20 };
enum { TRIES_AT_ONCE = 8, PAUSE_NS = 1000000 };

uint64_t roma__now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- planning ------------------------------------------------------------------------------- */

/* Of a file that was given up before, the descriptor may be another one's by now. */
static void look_at_lengths(roma__job *job)
{
    for (size_t range = 0; range < job->n; range++)
        if (job->asked[range].code == 0 && job->asked[range].bytes > 0)
            job->files[job->asked[range].file].wanted = true;
    for (size_t i = 0; i < job->files_count; i++) {
        if (!job->files[i].wanted)
            continue;
        int code = roma__file_length(job->files[i].fd, &job->files[i].bytes);
        if (code == 0)
            continue;
        for (size_t range = 0; range < job->n; range++)
            if (job->asked[range].file == i && job->asked[range].code == 0)
                roma__asked_end(&job->asked[range], code, ROMA__CALL_FSTAT);
    }
}

/* Short runs of more than what every kernel acts on are cut to what this device's does. */
static size_t find_reach(const roma__job *job)
{
    size_t reach = REACH_MOST_BYTES;
    const roma__file *last = NULL;
    for (size_t i = 0; i < job->runs_count; i++) {
        const roma__run *run = &job->runs[i];
        const roma__file *file = &job->files[run->file];
        bool reads = file->kind == ROMA__FILE_DISK || file->kind == ROMA__FILE_DEVICE;
        if (!reads || run->dense || run->bytes <= REACH_KNOWN_BYTES || file == last)
            continue;
        reach = roma__min(reach, roma__file_reach(file));
        last = file;
    }
    return reach;
}

static void plan(roma__op *op)
{
    roma__job *job = op->job;
    const roma__rules rules = {
        .huge_bytes = roma__file_huge_bytes(),
        .by_address = job->level == ROMA_PREFETCH_MAPPED,
        .no_dense = job->is_flush || !job->engine->report.populate,
    };
    look_at_lengths(job);
    job->runs_count = roma__plan(job->files, job->asked, job->order, job->spare, job->n, &rules,
                                 job->runs);
    job->chunk_first = roma__max(ROMA__CHUNK_FIRST_BYTES, rules.huge_bytes);
    job->reach_bytes = job->is_flush ? REACH_MOST_BYTES : find_reach(job);
}

/* ---- looking -------------------------------------------------------------------------------- */

static void look(roma__op *op)
{
    roma__resident resident;
    op->code = roma__resident_ask(op->file, op->offset, op->bytes, &resident);
    op->good_bytes = op->code == 0 ? resident.bytes : 0;
    op->was_resident = op->good_bytes >= op->bytes;
}

/* ---- mapping -------------------------------------------------------------------------------- */

/* As much as was asked for, or, where there are not as many addresses, half of it, and half again,
 * as long as the run that is next has room. */
static void map_window(roma__op *op)
{
    roma__job *job = op->job;
    unsigned index = (job->window + 1) % ROMA__WINDOWS;
    struct roma__window *window = &job->windows[index];
    const roma__run *next = &job->runs[op->run];
    const size_t least = (size_t)(next->offset + next->bytes - op->offset);
    size_t bytes = (size_t)op->bytes;
    roma__shadow_unmap(&window->shadow);
    for (;; bytes = roma__max(roma__align_up(bytes / 2, op->file->page_bytes), least)) {
        op->code = roma__shadow_map(&window->shadow, op->file->fd, op->offset, bytes,
                                    ROMA__SHADOW_RANDOM);
        if ((op->code != -ENOMEM && op->code != -EAGAIN) || bytes <= least)
            break;
    }
    window->offset = op->offset;
    window->end = op->offset + bytes;
    window->file = job->runs[op->run].file;
    op->window = index + 1;
}

static void clean(roma__op *op)
{
    for (unsigned i = 0; i < ROMA__WINDOWS; i++)
        roma__shadow_unmap(&op->job->windows[i].shadow);
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void add_call(roma__op *op, roma__call_kind kind, void *address)
{
    roma_check(op->calls_count < ROMA__OP_CALLS && op->bytes <= UINT32_MAX);
    op->calls[op->calls_count] = (roma__call){kind, op->file->fd, address, op->offset,
                                              (size_t)op->bytes};
    op->results[op->calls_count++] = 0;
}

/* With its own shadow, unmapped when the op is judged; a shadow that cannot be is its failure. */
static void add_shadow_call(roma__op *op, roma__call_kind kind, roma__shadow_kind shadow)
{
    op->code = roma__shadow_map(&op->shadow, op->file->fd, op->offset, (size_t)op->bytes, shadow);
    op->failed = ROMA__CALL_MMAP;
    if (op->code == 0)
        add_call(op, kind, op->shadow.address);
}

static char *window_address(const roma__op *op)
{
    const struct roma__window *window = &op->job->windows[op->window - 1];
    return window->shadow.address + (op->offset - window->offset);
}

/* Short runs that have to be known to be there are awaited by a ring: by the last byte that the
 * file has of them, since one behind its end is answered at once. */
static void add_short_calls(roma__op *op)
{
    add_call(op, ROMA__CALL_FADVISE, NULL);
    op->awaited = op->window != 0 && op->job->engine->awaits && op->offset < op->file->bytes;
    if (!op->awaited)
        return;
    add_call(op, ROMA__CALL_AWAIT, NULL);
    roma__call *await = &op->calls[op->calls_count - 1];
    await->bytes = (size_t)roma__min(op->bytes, op->file->bytes - op->offset);
}

static void add_reading_calls(roma__op *op)
{
    if (op->file->kind == ROMA__FILE_TMPFS) {
        if (op->job->level != ROMA_PREFETCH_MAPPED)
            add_shadow_call(op, ROMA__CALL_WILLNEED, ROMA__SHADOW_PLAIN);
    } else if (!roma__file_stays(op->file)) {
        if (op->dense)
            add_shadow_call(op, ROMA__CALL_POPULATE, ROMA__SHADOW_HUGE);
        else
            add_short_calls(op);
    }
}

/* Of a short run that is to be resident: a page that somebody has begun to read is not. */
static bool is_read(const roma__op *op)
{
    return roma__resident_is_read(window_address(op), (size_t)op->bytes, op->file->page_bytes);
}

/* Its read was issued a while ago. Who may not ask waits at once. */
static void prepare_wait(roma__op *op)
{
    if (!op->look || !is_read(op))
        add_call(op, ROMA__CALL_POPULATE, window_address(op));
}

static void prepare_read(roma__op *op)
{
    if (op->issued) {
        prepare_wait(op);
        return;
    }
    if (op->look && op->window != 0)
        op->was_resident = is_read(op);
    else if (op->look)
        look(op);
    op->code = 0;
    op->good_bytes = 0;
    if (!op->was_resident)
        add_reading_calls(op);
    if (op->code == 0 && op->job->level == ROMA_PREFETCH_MAPPED) {
        uintptr_t address = op->job->runs[op->run].base + (uintptr_t)op->offset;
        add_call(op, ROMA__CALL_POPULATE, (void *)address);
    }
}

/* What the kernel could not do at once a few times it may be able to do a little later. */
static void pause_between(const roma__op *op)
{
    const struct timespec pause = {0, PAUSE_NS};
    if (op->tries > TRIES_AT_ONCE)
        (void)nanosleep(&pause, NULL);
}

void roma__op_prepare(roma__op *op)
{
    pause_between(op);
    op->calls_count = 0;
    op->code = 0;
    op->good_bytes = 0;
    op->come_again = false;
    op->was_resident = op->awaited = op->has_come = false;
    op->begun_ns = roma__now_ns();
    switch (op->task) {
    case ROMA__TASK_PLAN: plan(op); break;
    case ROMA__TASK_LOOK: look(op); break;
    case ROMA__TASK_WINDOW: map_window(op); break;
    case ROMA__TASK_CLEAN: clean(op); break;
    case ROMA__TASK_READ: prepare_read(op); break;
    case ROMA__TASK_WRITE:
        add_call(op, op->begun ? ROMA__CALL_AWAIT_WRITE : ROMA__CALL_WRITE_RANGE, NULL);
        break;
    case ROMA__TASK_SYNC: add_call(op, ROMA__CALL_SYNC, NULL); break;
    }
}

void roma__op_make_calls(roma__op *op, int (*make)(const roma__call *call))
{
    for (unsigned i = 0; i < op->calls_count; i++) {
        op->results[i] = make(&op->calls[i]);
        if (op->results[i] < 0)
            break;
    }
}

/* ---- judging -------------------------------------------------------------------------------- */

/* A page could not be read: was the file cut, and where? */
static void judge_fault(roma__op *op)
{
    const roma__file *file = op->file;
    uint64_t length = 0;
    int code = roma__file_length(file->fd, &length);
    if (code < 0) {
        op->code = code;
        op->failed = ROMA__CALL_FSTAT;
        return;
    }
    uint64_t end = length == UINT64_MAX ? length
                                        : (length + file->page_bytes - 1) & ~(file->page_bytes - 1);
    if (end < op->offset + op->bytes) {
        op->code = -EFAULT;
        op->good_bytes = end > op->offset ? end - op->offset : 0;
        return;
    }
    if (op->tries < ROMA__FAULT_TRIES) { /* it may have been cut, and have grown again since */
        op->come_again = true;
        return;
    }
    switch (file->kind) {
    case ROMA__FILE_DISK:
    case ROMA__FILE_DEVICE: op->code = -EIO; return;
    case ROMA__FILE_TMPFS: op->code = -ENOSPC; return;
    case ROMA__FILE_HUGETLB:
    case ROMA__FILE_RAMFS: op->code = -ENOMEM; return;
    }
}

static void judge_result(roma__op *op, const roma__call *call, int result)
{
    op->failed = call->kind;
    if ((result == -EINTR || result == -EAGAIN) && op->tries < ROMA__TRIES)
        op->come_again = true;
    else if (result == -EFAULT && call->kind == ROMA__CALL_POPULATE)
        judge_fault(op);
    else if (result == -EINVAL)
        op->code = -EOPNOTSUPP;
    else
        op->code = result;
}

void roma__op_judge(roma__op *op)
{
    for (unsigned i = 0; i < op->calls_count; i++) {
        int result = op->results[i];
        if (result >= 0 || op->calls[i].kind == ROMA__CALL_AWAIT) /* whatever that says: look */
            continue;
        /* Of several the first: those behind it are cancelled by its failure. */
        judge_result(op, &op->calls[i], result);
        break;
    }
    if (op->awaited && op->code == 0 && !op->come_again)
        op->has_come = op->file->may_ask && is_read(op);
    if (op->task == ROMA__TASK_READ)
        roma__shadow_unmap(&op->shadow);
}
