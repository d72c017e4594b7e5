/* roma/prefetch.h - file mappings that are in memory before the program asks, and out of it when it
 * is done: prefetch, scans with a window, eviction, asynchronous flush.
 *
 * A program names ranges of files that it is about to read and goes on working; an engine reads
 * them into the page cache at the device's speed. The answer is a handle to wait on, poll, follow
 * by eventfd or callback, and cancel, with progress and an error for each range. The engine never
 * touches a page itself: what would be SIGBUS for the program is a named error here.
 *
 *     roma_map *map;                                     the file, mapped read-only
 *     roma_prefetch_engine *engine;
 *     roma_prefetch_handle *handle;
 *     roma_map_open("table", NULL, &map, NULL);
 *     roma_prefetch_create(&engine, NULL, NULL);
 *     roma_file_range range = roma_file_range_of(map, 0, roma_map_segment(map).bytes);
 *     roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, &handle, NULL);
 *     ...                                                work; the disk runs meanwhile
 *     roma_prefetch_wait(handle, ROMA_FOREVER);
 *
 * Three ways to do it (the backend): io_uring; a small pool of threads with the same calls; the
 * same calls made by the caller, who is then blocked. The first that this process may use is taken
 * unless the options force one. roma_prefetch_backend() tells which runs, and why none before it.
 *
 * What is in flight: while a handle is not done, the engine may use the descriptors and addresses
 * that it was given. Before a program closes such a descriptor or unmaps such a mapping of its own,
 * it waits for the handle, or calls roma_prefetch_cancel_ranges(). roma_map_close() gives up and
 * waits by itself. A file that is truncated meanwhile is -EFAULT for the ranges that it concerns.
 *
 * Files in memory: on tmpfs (and memfd) ROMA_PREFETCH_ISSUED and _RESIDENT ask back what was
 * swapped out, allocate nothing, and do not wait for it; on hugetlbfs and ramfs they have nothing
 * to do: pages never leave these. ROMA_PREFETCH_MAPPED does on all of them what a read of each page
 * would do: it allocates the holes; a page pool that is empty is -ENOMEM, a tmpfs that is full
 * -ENOSPC. One that is cut meanwhile is told by MAPPED alone: below it nobody looks at the file
 * again. A flush has nothing to write there, and makes nothing durable.
 *
 * Resident means: read, and in the page cache. Of a long run (4 MiB and more) that is there as a
 * whole already, a page counts from when somebody has begun to read it; so does every page for
 * roma_residency_of().
 *
 * Threads: every function may be called by any thread, also at once on one engine or handle, but
 * for those that end a thing: no other call on it may run then.
 * Fork: a child has no engine. Calls on one, on its handles and scans are -ESTALE there, but for
 * those that end them. A map is there in the child. */
#ifndef ROMA_PREFETCH_H
#define ROMA_PREFETCH_H

#include <roma/error.h>
#include <roma/provider.h>
#include <roma/segment.h>
#include <roma/visitor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A time-out that never comes. */
#define ROMA_FOREVER (~(uint64_t)0)

/* ---- maps ----------------------------------------------------------------------------------- */

/** A file mapped through roma, with a descriptor of its own. */
typedef struct roma_map roma_map;

/** What is known of the order of accesses through a map; it is the mapping's advice alone. What the
 *  engine reads does not depend on it. */
typedef enum roma_map_access {
    ROMA_MAP_NORMAL = 0,
    ROMA_MAP_SEQUENTIAL, /**< faults read far ahead                                            */
    ROMA_MAP_RANDOM,     /**< faults read the page alone                                       */
    ROMA_MAP_HUGE        /**< faults read whole huge pages, where the file system has them     */
} roma_map_access;

typedef struct roma_map_options {
    size_t size;            /**< of this struct                                                  */
    bool writable;          /**< shared with all others who map it; else read-only               */
    bool reserved[3];       /**< 0                                                               */
    roma_map_access access;
    uint64_t offset;        /**< where in the file the map begins: whole pages (on hugetlbfs its
                                 own)                                                            */
    size_t bytes;           /**< how much of it; 0: to the file's end (not of a block device)    */
    size_t reserve_bytes;   /**< addresses to keep, so that the map can follow a file that grows
                                 (roma_map_refresh()); 0: none beyond what is mapped. Not on
                                 hugetlbfs, whose files grow by being mapped                     */
} roma_map_options;

static inline roma_map_options roma_map_options_default(void)
{
    roma_map_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

/** Map a file.
 *
 *  path     the file; it must exist
 *  options  NULL: all of it, read-only
 *  map      receives it
 *  error    may be NULL; `subject` names the wrong option, or is the end of the path
 *  Returns 0, -EINVAL (options), -E2BIG (options newer than the library), -ENODATA (the file has no
 *  byte at `offset`, and nothing is reserved), -EOVERFLOW (an end beyond what offsets or addresses
 *  can say), -EOPNOTSUPP (not a file that can be mapped), -ENOMEM, -errno of opening and mapping.
 *  Threads: any.  Signals: no.  Cost: a few system calls; no page is read.  Since: 0.1 */
ROMA_API int roma_map_open(const char *path, const roma_map_options *options, roma_map **map,
                           roma_error *error);

/** The same for a file that is open already; the map has a duplicate of the descriptor, which the
 *  caller may close at once.  Since: 0.1 */
ROMA_API int roma_map_open_fd(int fd, const roma_map_options *options, roma_map **map,
                              roma_error *error);

/** Unmap. What engines have to do through this map is cancelled, and what they have begun is waited
 *  for: reads through its descriptor, whoever named it, and populating of its addresses. Who reads
 *  the same file through another map or descriptor goes on; of ranges of several that overlap in
 *  one request, what they share is read through one of them, and goes with it. A flush of several
 *  is synced through one that stays, and what was begun through the map is durable with the rest;
 *  of one through this map alone nothing is sure, unless it was in its sync. The map's descriptor
 *  is closed, which ends POSIX record locks (fcntl) that the process holds on the file, as closing
 *  any descriptor of it does.
 *
 *  map  NULL is fine
 *  Returns 0, -EBUSY while a scan is open on it, -EDEADLK in a callback of an engine.
 *  Threads: no other call on this map may run at the same time, nor one that submits ranges of it.
 *  Signals: no.  Cost: waits for what the depths of an engine allow: four chunks, whose length is
 *  such that the device should read one in 100 ms, or 96 short runs; for a flush 100 to 200 MiB
 *  (by the default options), and for one in its sync as long as that takes.  Since: 0.1 */
ROMA_API int roma_map_close(roma_map *map);

/** What is mapped: the file's bytes from `offset` to its end, or to `bytes`, as known since opening
 *  or the last roma_map_refresh(). The null segment for NULL.
 *
 *  Bytes past the end of a file that has become shorter are SIGBUS to touch.
 *  Threads: any.  Signals: yes.  Cost: none.  Since: 0.1 */
ROMA_API roma_segment roma_map_segment(const roma_map *map);

/** The map's own descriptor, which it keeps: not to be closed. -1 for NULL.  Since: 0.1 */
ROMA_API int roma_map_fd(const roma_map *map);

/** Look at the file's length anew; the segment grows into what was reserved, or shrinks. Addresses
 *  stay.
 *
 *  Returns the segment's new length in bytes, -EINVAL for NULL, -errno of asking.
 *  Threads: any; a segment read at the same time is the old or the new one.  Signals: no.
 *  Cost: a system call.  Since: 0.1 */
ROMA_API int64_t roma_map_refresh(roma_map *map);

/* ---- ranges --------------------------------------------------------------------------------- */

/** A part of a file, inside a map of roma's or described by the program. It is widened to whole
 *  pages, and cut at the file's end as it is when the engine comes to it. */
typedef struct roma_file_range {
    const roma_map *map; /**< NULL: fd, address and offset tell                                   */
    void *address;       /**< without a map: where the program has mapped byte `offset`; NULL: not
                              mapped, or that does not matter (ROMA_PREFETCH_MAPPED needs it)     */
    int fd;              /**< without a map: open for reading                                     */
    uint64_t offset;     /**< with a map: from the map's start; else in the file                  */
    size_t bytes;        /**< 0 is allowed: nothing to do                                         */
} roma_file_range;

/** A part of a map. */
static inline roma_file_range roma_file_range_of(const roma_map *map, uint64_t offset,
                                                 size_t bytes)
{
    roma_file_range range = {map, NULL, -1, offset, bytes};
    return range;
}

/** A part of a file that the program opened, and mapped at `address` (or NULL). */
static inline roma_file_range roma_file_range_own(int fd, uint64_t offset, void *address,
                                                  size_t bytes)
{
    roma_file_range range = {NULL, address, fd, offset, bytes};
    return range;
}

/* ---- engines -------------------------------------------------------------------------------- */

typedef struct roma_prefetch_engine roma_prefetch_engine;

/** Who makes the calls. */
typedef enum roma_prefetch_way {
    ROMA_PREFETCH_AUTO = 0, /**< the first of the others that works                              */
    ROMA_PREFETCH_URING,    /**< io_uring, driven by one thread of the engine                    */
    ROMA_PREFETCH_POOL,     /**< threads of the engine, one call each at a time                  */
    ROMA_PREFETCH_PLAIN     /**< the thread that submits, within roma_prefetch_submit()          */
} roma_prefetch_way;

typedef struct roma_prefetch_options {
    size_t size;              /**< of this struct                                                */
    roma_prefetch_way way;    /**< anything but AUTO: this one, or an error                      */
    unsigned dense_depth;     /**< long runs: how many chunks are read at once, at most 1024; 0:
                                   4                                                             */
    unsigned sparse_depth;    /**< short runs: how many at once; 0: 96; at most 2048. With io_uring
                                   at most what half of `entries` holds                          */
    unsigned entries;         /**< of the ring, 8 to 16384; 0: 256, or 64 where that is refused  */
    unsigned threads;         /**< of the pool, and workers of the ring; 0: 32, at most 256. Those
                                   of the pool are started when there is something for them. At
                                   most three quarters of them, and 24, sleep until writes of
                                   flushes are done; and one for each flush begins the next      */
    size_t chunk_bytes;       /**< largest chunk of a long run, at most 1 GiB; 0: 32 MiB. Chunks
                                   begin at 2 MiB, or a huge page, and grow fourfold, while the
                                   device reads one in 100 ms                                    */
    size_t budget_bytes;      /**< most bytes being read or flushed at a time, over all handles:
                                   chunks are shortened to it; at least a page. 0: what the depths
                                   come to. Writes of a flush that nobody waits for (see there)
                                   count until they are begun, and ranges below 4 MiB of it not
                                   at all: its sync writes them                                  */
    const char *cpus;         /**< a CPU list, "2-3,8": the engine's threads, its callbacks and the
                                   kernel's workers for its ring run there alone; CPUs that this
                                   process may not use are left out. NULL: where the thread that
                                   makes the engine may run at that time, as all that it starts
                                   (of the workers of a ring not each kernel thinks so). Plain
                                   calls are made wherever the caller is. Read while the engine is
                                   made                                                          */
} roma_prefetch_options;

static inline roma_prefetch_options roma_prefetch_options_default(void)
{
    roma_prefetch_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

/** Make an engine. One for a process is enough; several do not know each other.
 *
 *  engine   receives it
 *  options  NULL: all defaults
 *  error    may be NULL; `subject` names the wrong option
 *  Returns 0, -EINVAL, -E2BIG, -ENOMEM; with `cpus` also -EINVAL where this process may use none of
 *  them, and -errno of sched_setaffinity and sched_getaffinity; with a forced way also -EOPNOTSUPP
 *  (built without liburing, or an operation that this kernel's io_uring lacks; with `cpus` before
 *  Linux 5.14), -EPERM, -ENOSYS, -EMFILE, -EAGAIN (no thread can be started). With AUTO a way that
 *  does not work is a step not taken, and never an error; that a thread cannot go to its `cpus` is
 *  one all the same.
 *  Threads: any.  Signals: no.  Cost: some system calls and a thread, which is waited for until it
 *  has run.  Since: 0.1 */
ROMA_API int roma_prefetch_create(roma_prefetch_engine **engine,
                                  const roma_prefetch_options *options, roma_error *error);

/** End an engine. What is in flight is cancelled and waited for; handles that are still held stay
 *  valid, done, until they are closed.
 *
 *  engine  NULL is fine
 *  Returns 0, -EBUSY while a scan is open, a manager has it (roma_manager_engine()) or a provider
 *  waits for it (nothing is changed), -EDEADLK in a callback of an engine.
 *  In a child of fork() it frees what the child has of it.
 *  Threads: no other call on this engine may run at the same time, and none of its callbacks may
 *  call this.  Signals: no.  Since: 0.1 */
ROMA_API int roma_prefetch_destroy(roma_prefetch_engine *engine);

enum { ROMA_PREFETCH_STEPS = 4 };

/** Which way runs, and why. */
typedef struct roma_prefetch_report {
    size_t size;                  /**< of this struct; set by the caller                         */
    roma_prefetch_way way;        /**< never AUTO                                                */
    unsigned entries;             /**< of the ring; 0: no ring                                   */
    unsigned threads;             /**< most threads of the pool, or workers of the ring, as asked
                                       of the kernel                                             */
    bool forced;                  /**< by the options                                            */
    bool cachestat;               /**< resident ranges are found by cachestat() (Linux 6.5); else
                                       by mincore(), slower                                      */
    bool populate;                /**< MADV_POPULATE_READ (Linux 5.14) is there; else pages are
                                       asked for with FADV_WILLNEED, and RESIDENT and MAPPED are
                                       -EOPNOTSUPP                                               */
    bool reserved;                /**< 0                                                         */
    unsigned steps_count;         /**< steps that were tried before and not taken                */
    struct roma_prefetch_step {
        roma_prefetch_way way;
        unsigned entries;         /**< of the ring that was tried                                */
        roma_error error;         /**< why not                                                   */
    } steps[ROMA_PREFETCH_STEPS];
} roma_prefetch_report;

/** Tell which way runs, and for each step before it why it was not taken.
 *
 *  report  its `size` is set; the rest is filled
 *  Returns 0, -EINVAL, -ESTALE.  Threads: any.  Signals: no.  Cost: none.  Since: 0.1 */
ROMA_API int roma_prefetch_backend(const roma_prefetch_engine *engine,
                                   roma_prefetch_report *report);

/** "io_uring", "threads", "plain calls", "auto"; "" for anything else.  Signals: yes.
 *  Since: 0.1 */
ROMA_API const char *roma_prefetch_way_text(roma_prefetch_way way);

/** Visit an engine's figures, in this order: "way" (text), "handles.live", "submits.count",
 *  "requested.bytes", "read.bytes" (asked of the kernel, and done), "resident.bytes" (found there),
 *  "joined.bytes" (read for another handle at that moment), "flushed.bytes" (of files whose sync
 *  went well), "failed.bytes", "cancelled.bytes", "flying.bytes" (being read or written),
 *  "calls.count" (populate, advice, flush, and a read of one byte for each short run that a ring
 *  awaits), "flying.peak_bytes".
 *
 *  Returns 0, what the visitor returned, -EINVAL, -ESTALE.  Threads: any.  Signals: no.
 *  Since: 0.1 */
ROMA_API int roma_prefetch_stats(roma_prefetch_engine *engine, roma_visit visit, void *context);

/* ---- handles -------------------------------------------------------------------------------- */

typedef struct roma_prefetch_handle roma_prefetch_handle;

/** When a range counts as done. Long runs are always resident then. */
typedef enum roma_prefetch_level {
    ROMA_PREFETCH_ISSUED = 0, /**< the reads have been issued; an access may still wait for one  */
    ROMA_PREFETCH_RESIDENT,   /**< its pages are in the page cache; an access is a minor fault   */
    ROMA_PREFETCH_MAPPED      /**< and in the program's own mapping; an access is no fault       */
} roma_prefetch_level;

/** Ask for ranges to be read. Returns soon, whatever the ranges' length (not with
 *  ROMA_PREFETCH_PLAIN, which returns when all is done).
 *
 *  Order does not matter; overlaps are read once. What is in the page cache already is skipped in
 *  pieces of 2 MiB and more. What another handle is reading at the moment is waited for, not read
 *  again. Long runs are read in whole huge pages where the file system has them, so that up to
 *  4 MiB (or two huge pages) past a run's end may be read too, and what the device's read-ahead
 *  adds. Where a page cannot be read or mapped, a piece is halved until the error is that of ranges
 *  with that page.
 *
 *  ranges  n of them, copied
 *  level   when a range is done
 *  handle  receives it, to be closed; NULL: nobody wants to know
 *  error   may be NULL; `subject` names what is wrong, `need` is the index of the range
 *  Returns 0; -EINVAL (a range outside its map; an address that does not fit its offset; MAPPED
 *  without an address; a level that is none), -EBADF, -EOPNOTSUPP (a pipe or the like; a level that
 *  the kernel cannot do), -ENOMEM, -EOVERFLOW, -ESTALE (a child of fork()), -ESHUTDOWN (from a
 *  callback while the engine is destroyed), -errno of fstat and fstatfs. Nothing has begun then.
 *  What goes wrong later is told by the handle.
 *  Threads: any.  Signals: no.  Cost: two system calls for each descriptor that is named (five for
 *  a file of somebody else or of an overlay, of which it is asked whether the kernel tells the
 *  truth), one to wake the engine, and 20 to 30 ns a range; for each its descriptor is looked for
 *  among those named before, so that thousands of descriptors in one request cost more.
 *  Since: 0.1 */
ROMA_API int roma_prefetch_submit(roma_prefetch_engine *engine, const roma_file_range *ranges,
                                  size_t n, roma_prefetch_level level,
                                  roma_prefetch_handle **handle, roma_error *error);

/** Write what is dirty in the ranges to the device, one 4 MiB behind the other, 100 to 200 MiB at
 *  a time; then each file is synced once (fdatasync), so that on completion the data, and what is
 *  needed to find it, is durable. Ranges below 4 MiB are left to the sync. With plain calls, fewer
 *  than eight threads or places for short runs, or a byte budget below 16 MiB nobody waits for
 *  what is being written but the sync; nor where preparing pages takes longer than writing them.
 *  Cost: where less than 4 MiB is dirty, .1 ms more than msync(), which is then the better call for
 *  who waits at once.
 *
 *  Parameters, results and handle as roma_prefetch_submit(); a range's error may be -EIO, -ENOSPC.
 *  The sync is of the whole file. By a read-only descriptor, or through a read-only mount, it works
 *  too. Files in memory have no device, and last as long as the machine runs: of them nothing is
 *  written, their ranges are done, and count in `resident_bytes`, too. What is durable is
 *  `done_bytes` less those.
 *  An error in writing back is one of every flush of the file that the engine has then, whichever
 *  of them met it: the kernel tells of it once for an open file. What another engine, or an
 *  fsync() of the program's own, was told of through the same open file is not told here again, nor
 *  is it to a flush that is submitted later: its sync is of what was written since. But what the
 *  engine was told for a flush that was given up, the next flush of the file has as its error.
 *  Since: 0.1 */
ROMA_API int roma_flush_submit(roma_prefetch_engine *engine, const roma_file_range *ranges,
                               size_t n, roma_prefetch_handle **handle, roma_error *error);

/** Wait until a handle is done: nothing of it is in flight any more. Its descriptor may become
 *  readable, and its callback run, a moment later: roma_prefetch_drain() waits for that, too.
 *
 *  timeout_ns  at most so long; 0: do not wait; ROMA_FOREVER
 *  Returns 0 when all ranges are done; -ETIMEDOUT; else the first of its errors: -ECANCELED,
 *  -EFAULT (a range begins past the file's end, or the file was cut before it was read), -EIO (the
 *  device), -ENOMEM, -ENOSPC (a tmpfs that is full), -EACCES (a descriptor that may not be mapped),
 *  -EOPNOTSUPP (with ROMA_PREFETCH_MAPPED: a mapping that may not be read), ..., -EINVAL, -ESTALE.
 *  Threads: any number may wait; in a callback, of any engine, for what is done alone (-EDEADLK).
 *  Signals: no; they do not end it.  Since: 0.1 */
ROMA_API int roma_prefetch_wait(roma_prefetch_handle *handle, uint64_t timeout_ns);

/** 1 when a handle is done, however; 0 when not yet; -EINVAL, -ESTALE.
 *  Threads: any.  Signals: no.  Cost: one load.  Since: 0.1 */
ROMA_API int roma_prefetch_poll(roma_prefetch_handle *handle);

/** How far a handle is. Lengths are in bytes of whole pages, overlaps counted once (with
 *  ROMA_PREFETCH_MAPPED once for each mapping that is named); when it is done, done + failed +
 *  cancelled = total. */
typedef struct roma_prefetch_progress {
    size_t size;              /**< of this struct; set by the caller                             */
    uint64_t total_bytes;     /**< asked for; 0 until `planned`, then it stays. Of a handle that was
                                   given up before: overlaps counted twice                       */
    uint64_t done_bytes;      /**< at the level wanted, the following two included; of a flush:
                                   durable, but for the following                                */
    uint64_t resident_bytes;  /**< of these: were in the page cache already; of a hugetlbfs or
                                   ramfs below MAPPED all, holes too: nothing is to be read; of a
                                   flush: are of files in memory                                 */
    uint64_t joined_bytes;    /**< of these: were being read for another handle                  */
    uint64_t failed_bytes;
    uint64_t cancelled_bytes;
    uint64_t calls;           /**< made for it so far                                            */
    size_t failed_ranges;     /**< of those submitted, also cancelled ones                       */
    int code;                 /**< what roma_prefetch_wait() returns; -EINPROGRESS: not done yet */
    bool planned;             /**< the engine has come to it: sizes are cut at the file's end    */
    bool reserved[3];         /**< 0                                                             */
} roma_prefetch_progress;

/** Returns 0, -EINVAL, -ESTALE.  Threads: any.  Signals: no.  Cost: none.  Since: 0.1 */
ROMA_API int roma_prefetch_progress_of(roma_prefetch_handle *handle,
                                       roma_prefetch_progress *progress);

/** What became of one range, by its index at submission.
 *
 *  error  may be NULL; a sentence that says what to do
 *  Returns 0 (done), -EINPROGRESS (the handle is not done, and this range has no error so far),
 *  -EINVAL (no such range), -ESTALE, else its first error, as roma_prefetch_wait().
 *  Threads: any.  Signals: no.  Cost: none.  Since: 0.1 */
ROMA_API int roma_prefetch_range_error(roma_prefetch_handle *handle, size_t index,
                                       roma_error *error);

/** Called once when a handle is done, on a thread of the engine with its signals blocked; with
 *  ROMA_PREFETCH_PLAIN on one that submits. It may submit, cancel and close handles (its own too),
 *  make engines and open scans, of any engine: one of plain calls makes them on this thread, and
 *  calls back here. It may not wait, go on in a scan or close one, cancel ranges or all, end an
 *  engine, close a map nor have a manager or provider populate through an engine: that is -EDEADLK,
 *  whichever engine it is about, since this thread or another may wait for the first meanwhile. (A
 *  call that comes late, by roma_prefetch_on_done() itself, may.) A child that is forked in it is
 *  as any other, and does not return from it.
 *  While it runs, the engine may be at a stand. */
typedef void (*roma_on_done)(void *context, roma_prefetch_handle *handle, int code);

/** Have a function called when the handle is done; at once, by this thread, when it is already.
 *
 *  on_done  NULL: none any more
 *  Returns 0; 1: it was done and `on_done` has been called; -EINVAL, -EALREADY (there is one
 *  already, set NULL first), -ESTALE.
 *  Threads: any.  Signals: no.  Since: 0.1 */
ROMA_API int roma_prefetch_on_done(roma_prefetch_handle *handle, roma_on_done on_done,
                                   void *context);

/** A descriptor that becomes readable when the handle is done, for poll() and epoll. It belongs to
 *  the handle and is closed with it. The same one at each call.
 *
 *  Returns it, -EINVAL, -EMFILE, -ENFILE, -ENOMEM, -ESTALE.  Threads: any.  Signals: no.
 *  Since: 0.1 */
ROMA_API int roma_prefetch_eventfd(roma_prefetch_handle *handle);

/** Give up what a handle still has to do. What is in flight comes to its end: wait for the handle
 *  before its addresses or descriptors are used for something else.
 *
 *  Returns 0 (also when it is done already), -EINVAL, -ESTALE.
 *  Threads: any.  Signals: no.  Cost: some µs.  Since: 0.1 */
ROMA_API int roma_prefetch_cancel(roma_prefetch_handle *handle);

/** Give up whatever any handle of this engine still has to do in these ranges of their files,
 *  through whatever descriptor or map it was asked for, and wait until none of it is in flight:
 *  afterwards addresses may be unmapped, and a descriptor whose ranges are all among them may be
 *  closed. The ranges of the handles that it concerns end with -ECANCELED; a flush of such a file
 *  is not synced, and ends so as a whole. What is submitted after the call has begun is neither
 *  given up nor waited for. A handle keeps note of eight parts that do not touch, or of maps that
 *  were closed: with one more all of it is given up.
 *
 *  ranges  with their descriptors still open
 *  error   may be NULL
 *  Returns how many handles it concerned, added up over the ranges; -EDEADLK (in a callback),
 *  -ESTALE, and for wrong ranges what roma_prefetch_submit() returns: then none is given up.
 *  Threads: any.  Signals: no.  Cost: waits for what has begun, as roma_map_close().  Since: 0.1 */
ROMA_API int64_t roma_prefetch_cancel_ranges(roma_prefetch_engine *engine,
                                             const roma_file_range *ranges, size_t n,
                                             roma_error *error);

/** The same for all that the engine has to do at that moment.  Returns how many handles, -EINVAL,
 *  -EDEADLK, -ESTALE.  Since: 0.1 */
ROMA_API int64_t roma_prefetch_cancel_all(roma_prefetch_engine *engine);

/** Wait until the engine has nothing to do, and the last callback has returned. Handles submitted
 *  meanwhile are waited for, too.
 *
 *  Returns 0, -ETIMEDOUT, -EINVAL, -EDEADLK (in a callback), -ESTALE.  Threads: any.  Signals: no.
 *  Since: 0.1 */
ROMA_API int roma_prefetch_drain(roma_prefetch_engine *engine, uint64_t timeout_ns);

/** Let go of a handle. What it asked for goes on, with nobody to know; cancel first if it should
 *  not. A callback that was set does not run any more; one that has begun is waited for, but not in
 *  a callback.
 *
 *  handle  NULL is fine
 *  Threads: no other call on this handle may run at the same time.  Signals: no.  Since: 0.1 */
ROMA_API void roma_prefetch_close(roma_prefetch_handle *handle);

/* ---- scans ---------------------------------------------------------------------------------- */

/** A reader's window: a given number of bytes ahead of it, behind the piece that it works on, is
 *  kept on its way into memory. With drop_behind all of it takes about the window and a step, and 8
 *  MiB that wait to be dropped. */
typedef struct roma_scan roma_scan;

typedef enum roma_scan_direction {
    ROMA_SCAN_FORWARDS = 0,
    ROMA_SCAN_BACKWARDS
} roma_scan_direction;

typedef struct roma_scan_options {
    size_t size;                  /**< of this struct                                            */
    size_t window_bytes;          /**< to keep ahead of the reader, behind the piece that it has:
                                       whole pieces, at least one; 0: 64 MiB                     */
    size_t step_bytes;            /**< length of what roma_scan_next() gives: a multiple of the
                                       page size; 0: 2 MiB. With pages: of one page, any length  */
    roma_scan_direction direction;
    bool drop_behind;             /**< evict what the reader has left behind it                  */
    bool mapped;                  /**< level ROMA_PREFETCH_MAPPED in place of _RESIDENT          */
    bool reserved[2];             /**< 0                                                         */
    const uint64_t *pages;        /**< a list of offsets within the range, in the order of
                                       reading (ROMA_SCAN_FORWARDS then, or -EINVAL), in place of
                                       all of it; kept by the caller until the scan is closed. One
                                       may stand in it again; with drop_behind a page that is
                                       wanted by two pieces, others between them, may have been
                                       dropped between. NULL: all of it                          */
    size_t pages_count;
} roma_scan_options;

static inline roma_scan_options roma_scan_options_default(void)
{
    roma_scan_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

/** Begin to read a range in order. The first pieces are asked for at once.
 *
 *  range    what is read: in a map, or with descriptor, offset and address
 *  options  NULL: all of it, forwards
 *  error    may be NULL
 *  Returns 0, and what roma_prefetch_submit() returns.
 *  Threads: any; a scan is for one thread at a time.  Signals: no.  Since: 0.1 */
ROMA_API int roma_scan_open(roma_prefetch_engine *engine, const roma_file_range *range,
                            const roma_scan_options *options, roma_scan **scan,
                            roma_error *error);

/** Go on to the next piece, and wait until it is in memory. The piece before is left behind.
 *
 *  segment  receives the piece, in the program's mapping; the last may be shorter
 *  Returns 1; 0 at the end (the null segment); else the error of reading this piece (segment is
 *  set, but touching it may be SIGBUS), and the next call goes on behind it; -EINVAL, -EDEADLK (in
 *  a callback of an engine; the scan stays where it is), -ESTALE.
 *  Threads: of one thread at a time.  Signals: no.  Since: 0.1 */
ROMA_API int roma_scan_next(roma_scan *scan, roma_segment *segment);

/** How a scan went so far. */
typedef struct roma_scan_progress {
    size_t size;              /**< of this struct; set by the caller                             */
    uint64_t steps;           /**< pieces given out                                              */
    uint64_t given_bytes;
    uint64_t waits;           /**< of the steps: were not in memory when asked for               */
    uint64_t waited_ns;       /**< in sum                                                        */
    uint64_t longest_wait_ns;
    uint64_t failed_bytes;    /**< of the steps: could not be read                               */
    uint64_t dropped_bytes;   /**< evicted behind the reader                                     */
} roma_scan_progress;

/** Returns 0, -EINVAL, -ESTALE.  Since: 0.1 */
ROMA_API int roma_scan_progress_of(const roma_scan *scan, roma_scan_progress *progress);

/** End a scan; what it still has in flight is cancelled and waited for: afterwards its descriptor
 *  may be closed, and its addresses unmapped.
 *
 *  scan  NULL is fine
 *  Returns 0, -EDEADLK in a callback of an engine (the scan stays open).
 *  In a child of fork() it frees what the child has of it.
 *  Threads: no other call on this scan may run at the same time.  Signals: no.
 *  Cost: waits for what has begun, as roma_map_close().  Since: 0.1 */
ROMA_API int roma_scan_close(roma_scan *scan);

/* ---- for providers and managers ------------------------------------------------------------- */

/** Make an engine known to providers of file-backed memory: what is handed to
 *  roma_provider_populate() and roma_provider_advise(), or named in roma_file_options. A manager
 *  takes the engine itself: roma_manager_engine().
 *
 *  With it a file provider populates ranges of 4 MiB and more by having the engine read them first
 *  (ROMA_PREFETCH_RESIDENT), and waits: who cancels there, cancels that (-ECANCELED). Shorter ones
 *  are read by the populating itself. ROMA_ADVICE_NEED is a submission that nobody waits for (but
 *  with ROMA_PREFETCH_PLAIN), through a duplicate of the file's descriptor; closing that ends POSIX
 *  record locks (fcntl) that the process holds on the file: use open file description locks there.
 *  COLD and PAGEOUT are roma_evict(). Errors are theirs: -EIO, -EFAULT, -EMFILE, ...; -EDEADLK for
 *  populating in a callback of an engine, -ESTALE in a child of fork(). It runs no other work: the
 *  rest is done by the call, and threads that it starts.
 *
 *  executor  filled, to be copied and used as long as the engine is there
 *  Returns 0, -EINVAL, -ESTALE.  Threads: any.  Signals: no.  Cost: none.  Since: 0.1 */
ROMA_API int roma_prefetch_executor(roma_prefetch_engine *engine, roma_executor *executor);

/* ---- eviction and residency ----------------------------------------------------------------- */

typedef enum roma_evict_how {
    ROMA_EVICT_COLD = 0, /**< reclaim these pages first when memory gets scarce; they stay until
                              then. Needs a mapping                                              */
    ROMA_EVICT_PAGEOUT,  /**< reclaim them now, dirty ones are written first. Needs a mapping; other
                              processes' mappings of a page keep it. For a process that neither owns
                              the file nor may write it the kernel does nothing, and says 0      */
    ROMA_EVICT_DROP      /**< out of this mapping and out of the page cache: what is clean, and
                              mapped by nobody else. Dirty pages stay: flush first. A mapping of
                              the program's own must be MAP_SHARED: a private one would lose what
                              was written                                                        */
} roma_evict_how;

/** Give the memory of ranges back. Their contents stay what they are; the next access reads them.
 *
 *  ranges  whole pages inside them are evicted: they are narrowed, not widened
 *  how     of which the first two need an address or a map
 *  error   may be NULL; `need` is the index of the range
 *  Returns 0, -EINVAL, -EBADF, -EOVERFLOW, -EOPNOTSUPP (files in memory, where nothing backs the
 *  pages, for DROP; hugetlbfs for all; a mapping that is locked, as by mlock()), -errno of the
 *  call. Ranges before the failing one are done.
 *  Threads: any.  Signals: no.  Cost: a system call or two a range; the time is the kernel's, for
 *  PAGEOUT of dirty pages that of writing them.  Since: 0.1 */
ROMA_API int roma_evict(const roma_file_range *ranges, size_t n, roma_evict_how how,
                        roma_error *error);

/** How much of ranges is in memory. */
typedef struct roma_residency {
    size_t size;              /**< of this struct; set by the caller                             */
    uint64_t bytes;           /**< looked at: whole pages, cut at the file's end                 */
    uint64_t resident_bytes;  /**< in the page cache                                             */
    uint64_t dirty_bytes;     /**< of these: to be written back; 0 when not `details`            */
    uint64_t writeback_bytes; /**< of these: being written back; 0 when not `details`            */
    bool details;             /**< the kernel has cachestat() (Linux 6.5), which tells nothing of
                                   files of an overlay (overlayfs)                               */
    bool reserved[7];         /**< 0                                                             */
} roma_residency;

/** Ask for it. Ranges are added up, overlaps counted twice.
 *
 *  Returns 0, -EINVAL, -EBADF, -EOVERFLOW, -EOPNOTSUPP (not a file, or of a hugetlbfs, whose pages
 *  stay), -EPERM (neither owner of the file nor able to write it: the kernel does not tell),
 *  -ENOMEM.
 *  Threads: any.  Signals: no.  Cost: with cachestat .05 ms a GiB in large folios, 9 in small ones;
 *  mincore 20.  Since: 0.1 */
ROMA_API int roma_residency_of(const roma_file_range *ranges, size_t n,
                               roma_residency *residency, roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
