/* roma/store.h - stores: a heap in a memory-mapped file that many processes share and that
 * survives them.
 *
 *     roma_store *store;
 *     roma_error error;
 *     if (roma_store_open("queue.roma", NULL, &store, &error) < 0)
 *         return roma_error_print(stderr, &error);
 *     struct message *m = roma_store_alloc(store, sizeof *m);
 *     ... fill it ...
 *     roma_store_link(store, roma_store_root(store, 0), m);    // named by the file: outlives us
 *     roma_store_release(store, m);                            // our own reference
 *
 * Words. A *block* has a fixed address in each process that has the store open, and a *ref*, which
 * is the same in all processes and runs: the block's offset in the file. A *slot* is a variable of
 * type roma_ref inside the store that owns one reference to the block that it names: a root, an
 * entry of the directory, or a member of a block that was allocated with a *map* of its slots. A
 * *session* is one opening of a store by one process; what it holds itself (roma_store_alloc,
 * _retain, _load) is released when it ends, also by kill -9. What slots name stays.
 *
 * Slots are changed by the calls below alone, never by assignment: reading one (*slot) tells which
 * block it names at that moment, but only roma_store_load() makes it yours.
 *
 * Kills. Each call is one step against a crash: it has happened or it has not, whenever the process
 * is killed. Others go on meanwhile; what the dead held is given back by whoever comes by. The
 * contents of blocks are the program's: make a block whole before it is linked.
 *
 * A crash of the machine is another matter: see roma_store_checkpoint().
 *
 * Unless a declaration says otherwise: Threads: any, at once; a reference belongs to the session,
 * so any of its threads may give it up. Signals: no: not in a handler, and not to be left by
 * longjmp or thread cancellation. Fork: a child made by fork() does not have the store: all calls
 * on it fail with -ESTALE but roma_store_close(), roma_store_fd() and roma_store_is_stale(), and
 * access to a block is SIGSEGV; it may open the store anew. Cost: no system call. Since: 0.1.
 *
 * A thread's first call that changes something takes a lane for it, or fails with -EUSERS (none is
 * left), -ENOMEM, or -ENOSPC or -EFBIG (a lane that was never used needs space in the file; the
 * first 16 have it). Later calls of the thread do not, and threads after it take its lane over.
 *
 * A process that is stopped (SIGSTOP, a debugger) in the middle of a call may keep others waiting
 * who need the same slot, the same slab of blocks or the map of free units, until it goes on or is
 * killed: in a checkpoint all calls of all sessions, while it opens the store, or closes it as the
 * last one, others who open or are the last. A stopped process outside of calls keeps nobody
 * waiting. */
#ifndef ROMA_STORE_H
#define ROMA_STORE_H

#include <roma/error.h>
#include <roma/segment.h>
#include <roma/visitor.h>

#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct roma_store roma_store;

/** The position-independent name of a block: its offset in the file, a multiple of 16; 0 is none.
 *  As a member of a block: a slot, 8-byte aligned. */
typedef uint64_t roma_ref;

/* ---- opening --------------------------------------------------------------------------------- */

enum {
    ROMA_STORE_ROOTS = 64,             /**< root slots of a store                             */
    ROMA_STORE_USER_BYTES = 4096,      /**< of the user area                                  */
    ROMA_STORE_NAME_BYTES = 256,       /**< a name of the directory, its terminator included  */
    ROMA_STORE_SESSIONS_DEFAULT = 128, /**< processes attached at once                        */
    ROMA_STORE_LANES_DEFAULT = 1024    /**< threads of all of them together                   */
};

/** How a store is made or opened. All 0 (or NULL for the whole struct) is the default. */
typedef struct roma_store_options {
    size_t size;          /**< of this struct                                                    */
    uint64_t bytes;       /**< creating: room for blocks from the start, taken from the file
                               system now; 0: 1 MiB. It grows by itself up to max_bytes          */
    uint64_t max_bytes;   /**< creating: the most room for blocks that the store can ever have, up
                               to 15 TiB; so much address space is reserved by each who opens it.
                               0: 64 GiB, or 16 times `bytes` where that is more                 */
    uint32_t mode;        /**< creating: permission bits, less the umask; 0: 0600                */
    uint32_t sessions;    /**< creating: openings at once, up to 4096; 0: the default            */
    uint32_t lanes;       /**< creating: threads at once, up to 32768; 0: the default            */
    bool read_only;       /**< opening: look, hold nothing: no session is taken, calls that change
                               something are -EROFS. Others may write meanwhile                  */
    bool shrink;          /**< when this session closes as the last one, the file is cut behind
                               its last block, unless somebody has it open read-only             */
    bool unsynced;        /**< do not write the file's pages out when closing as the last one: it
                               is clean after kills, but not after a crash of the machine soon
                               after                                                             */
    bool keep_crashed;    /**< opening: take a store that a crash of the machine interrupted as it
                               is; else that is -EUCLEAN. For rescue: check it first
                               (roma_store_check_file), and only read                            */
    bool huge;            /**< creating in memory: of hugetlb pages of the machine's default size */
    bool reserved[3];     /**< 0                                                                 */
    const char *label;    /**< of the session, for roma_store_sessions(), up to 31 bytes; NULL: the
                               name of the program                                               */
} roma_store_options;

static inline roma_store_options roma_store_options_default(void)
{
    roma_store_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

/** Make a store in a new file, and open it.
 *
 *  path     must not exist (-EEXIST)
 *  options  NULL: the default
 *  store    set on success
 *  error    why not, and what to do; may be NULL
 *  Returns 0, or -EINVAL, -EEXIST, -ENOSPC, -ENOMEM (no address range), -EFBIG (a limit of the file
 *  system or of the process), -EOPNOTSUPP (the file system cannot hold a store; `subject` names
 *  it), or -errno. On failure there is no file.
 *  Cost: system calls.  Since: 0.1 */
ROMA_API int roma_store_create(const char *path, const roma_store_options *options,
                               roma_store **store, roma_error *error);

/** Make a store in shared memory without a name (memfd), and open it: it lives as long as somebody
 *  has it open or has its descriptor. Pass roma_store_fd() to other processes.
 *
 *  name  for /proc, may be NULL
 *  Returns as roma_store_create(); with `huge` -ENOMEM when the page pool has too few.
 *  Cost: system calls.  Since: 0.1 */
ROMA_API int roma_store_create_memory(const char *name, const roma_store_options *options,
                                      roma_store **store, roma_error *error);

/** Open a store. What dead sessions left behind is given back as it is met, and before a session
 *  slot is used again; roma_store_recover() does all of it at once.
 *
 *  Returns 0, or -EINVAL, -ENOENT, -EACCES, -EUCLEAN (damaged, cut short, or interrupted by a crash
 *  of the machine: `why` tells), -EMEDIUMTYPE (no store, or one of another architecture),
 *  -EPROTONOSUPPORT (of a newer roma), -EUSERS (no session slot left), -ENOMEM (no address range),
 *  -EOPNOTSUPP (this file system cannot), -EROFS, or -errno.
 *  Cost: system calls; independent of the store's size and of what is in it, but where a checkpoint
 *  was killed while it shared pages: the next first session copies those.  Since: 0.1 */
ROMA_API int roma_store_open(const char *path, const roma_store_options *options,
                             roma_store **store, roma_error *error);

/** Open the store behind a descriptor, as received from another process or inherited.
 *
 *  fd  open for reading and writing (read_only: for reading); stays the caller's and may be closed
 *      afterwards. It is reopened through /proc/self/fd, so it shares no lock with its sender
 *  Returns as roma_store_open().  Since: 0.1 */
ROMA_API int roma_store_attach(int fd, const roma_store_options *options, roma_store **store,
                               roma_error *error);

/** Close: give up what the session holds, and all addresses in the store. No other thread may be in
 *  a call on this store. As the last one out it also writes the file out and marks it clean.
 *
 *  store  NULL is a no-op. In a child made by fork(): only the child's records of it go
 *  Returns 0, or -EIO, -ENOSPC, -errno where writing out failed: the store is closed all the same,
 *  and not marked clean.
 *  Cost: in proportion to what the session holds.  Since: 0.1 */
ROMA_API int roma_store_close(roma_store *store);

/** A descriptor of the file, for passing on; it stays the store's. It holds no lock: keeping it
 *  keeps no session alive.  Since: 0.1 */
ROMA_API int roma_store_fd(const roma_store *store);

/** Is this the child of a fork() that came after the opening?  Since: 0.1 */
ROMA_API bool roma_store_is_stale(const roma_store *store);

/** What a store can promise where it lies, bits. */
enum {
    ROMA_STORE_FULL_IS_ERROR = 1u << 0, /**< a full disk is -ENOSPC at allocation and never a
                                             signal at access: the file system writes in place   */
    ROMA_STORE_RETURNS_SPACE = 1u << 1, /**< free units can be given back to the file system     */
    ROMA_STORE_REFLINKS = 1u << 2,      /**< checkpoints share the file's pages until written     */
    ROMA_STORE_SURVIVES = 1u << 3,      /**< lies on a disk: checkpoints survive the machine      */
    ROMA_STORE_WRITABLE = 1u << 4       /**< not opened read-only                                 */
};

/** Those bits, as they are now: the first one is withdrawn where a reflinked file cannot be
 *  unshared.  Since: 0.1 */
ROMA_API unsigned roma_store_capabilities(const roma_store *store);

/* ---- blocks ---------------------------------------------------------------------------------- */

/** A wish for a block, and the map of the slots in it: `refs_count` slots, the first at
 *  `refs_offset`, each `refs_stride` bytes behind the one before. */
typedef struct roma_store_request {
    size_t size;          /**< of this struct                                                    */
    size_t bytes;         /**< length; 0 is a block of length 0 with its own address             */
    size_t align;         /**< power of two up to 1 GiB; 0: the largest that divides the length,
                               from 16 to 4096                                                   */
    bool zero;            /**< the bytes read as zero; slots do in any case                      */
    bool reserved[7];     /**< 0                                                                 */
    uint32_t refs_offset; /**< multiple of 8, below 8 MiB                                        */
    uint32_t refs_stride; /**< multiple of 8, below 8 MiB; 0: 8                                  */
    uint32_t refs_count;  /**< 0: no slots; below 16 Mi                                          */
    uint32_t reserved_tail; /**< 0                                                               */
} roma_store_request;

static inline roma_store_request roma_store_request_of(size_t bytes)
{
    roma_store_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    request.bytes = bytes;
    return request;
}

/** A block with one reference, the session's.
 *
 *  Returns its address, or NULL with errno ENOSPC (the file system, or max_bytes), EFBIG (the
 *  process's limit of file sizes), ENOMEM (records of the process), EUSERS (no lane left for this
 *  thread), EROFS, ESTALE, EOVERFLOW.
 *  Cost: some ns; now and then a slab is taken, or the file grows.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_store_alloc(roma_store *store, size_t bytes);

/** The same with wishes, among them the map of its slots (all 0 at first).
 *
 *  Returns as above; EINVAL for a map that does not fit into the block, E2BIG for unknown wishes,
 *  ENOSPC also when the store has 4095 different maps already.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_store_alloc_with(roma_store *store,
                                                   const roma_store_request *request);

/** Several blocks of one length.
 *
 *  out  filled up to what is returned
 *  Returns how many there are, fewer than `count` only for a reason that errno then tells (as
 *  roma_store_alloc()); with none at all -errno.  Cost: less than that of the single calls.
 *  Since: 0.1 */
ROMA_API long roma_store_alloc_batch(roma_store *store, size_t bytes, void **out, size_t count);

/** One more reference of the session; it must hold one.
 *
 *  Returns 0, or -EINVAL (no block's start), -ESTALE (the block is free), -EOVERFLOW, -EROFS,
 *  -ENOSPC (of records of references).  Cost: some ns on blocks of the thread's own slabs, two
 *  locked instructions else.  Since: 0.1 */
ROMA_API int roma_store_retain(roma_store *store, void *block);

/** Give up one reference of the session; the last one of all frees the block, and releases what its
 *  slots name. Depth is no matter: a list of a million blocks goes with its head.
 *
 *  block  NULL is a no-op
 *  Returns 0, or -EINVAL (no block's start), -ESTALE (it is free, or the session holds no reference
 *  that is seen: nothing is changed), -EROFS, -ENOMEM (what another thread's slab holds is noted
 *  for it in the process's memory), -EUCLEAN (damage); or why the thread has no lane, see above.
 *  A block that another thread's slab holds goes to that thread, and is free for new blocks when it
 *  next needs some.  Cost: as retain.  Since: 0.1 */
ROMA_API int roma_store_release(roma_store *store, void *block);

/** Give up one reference of each; cheaper for many, above all where neighbours in the array are
 *  neighbours in the store. NULLs are passed over.
 *
 *  Returns 0, or the first failure's code, as roma_store_release(); the others are released.
 *  Since: 0.1 */
ROMA_API int roma_store_release_batch(roma_store *store, void **blocks, size_t count);

/** Another length. In place where the cell, or the free units behind a large block, allow it. Else
 *  it moves, when the caller's is its only reference, it is in no slot, and it has no slots itself.
 *
 *  Returns its address; NULL with errno EINVAL, ESTALE, EBUSY (others hold it or a slot names it,
 *  and it cannot be done in place), EOPNOTSUPP (it has slots, the same), EROFS, EOVERFLOW, or as
 *  roma_store_alloc(): the block is as before.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_store_resize(roma_store *store, void *block, size_t bytes);

/** Length as asked for; 0 with errno EINVAL or ESTALE.  Since: 0.1 */
ROMA_API size_t roma_store_bytes(const roma_store *store, const void *block);
/** Bytes up to the end of its cell; 0 with errno EINVAL or ESTALE.  Since: 0.1 */
ROMA_API size_t roma_store_usable(const roma_store *store, const void *block);

/** What is known of a block. */
typedef struct roma_store_block {
    roma_ref ref;
    uint64_t bytes, usable_bytes;
    uint32_t generation;  /**< lives of this place so far, modulo 2^24                          */
    uint32_t local_count; /**< references of the session that owns its slab, as the file says   */
    uint32_t shared_count; /**< slots, and other sessions, that hold it                         */
    uint32_t owner;       /**< lane that owns its slab, + 1; 0: none                            */
    uint32_t refs_offset, refs_stride, refs_count; /**< the map of its slots                    */
    bool is_large;        /**< it is made of whole units                                        */
} roma_store_block;

/** Look at a block. Returns 0, or -EINVAL (no block's start), -ESTALE (free).  Since: 0.1 */
ROMA_API int roma_store_look(const roma_store *store, const void *block, roma_store_block *out);

/* ---- refs and slots -------------------------------------------------------------------------- */

/** The ref of an address in the store; 0 with errno EINVAL when it is not in the store. Interior
 *  addresses give interior offsets. NULL: 0.  Threads: any.  Signals: yes.  Since: 0.1 */
ROMA_API roma_ref roma_ref_of(const roma_store *store, const void *address);

/** The address of a ref; NULL for 0, and with errno EINVAL where no blocks can be.  Signals: yes.
 *  Since: 0.1 */
ROMA_API void *roma_ref_at(const roma_store *store, roma_ref ref);

/** Root slot `index`; NULL with errno EINVAL from ROMA_STORE_ROOTS on, or ESTALE.  Since: 0.1 */
ROMA_API roma_ref *roma_store_root(roma_store *store, unsigned index);

/** Bytes that are the program's own, in the file from its creation on (zero then); nothing is done
 *  with them. Read-only where the store is. The null segment with errno ESTALE after fork.
 *  Since: 0.1 */
ROMA_API roma_segment roma_store_user_area(roma_store *store);

/** Name a block by an empty slot, which then owns a reference of its own: the caller keeps his.
 *
 *  slot   in the store, 8-byte aligned; inside a block that the caller holds, or a root
 *  block  the session holds a reference
 *  Returns 0, or -EEXIST (the slot is not empty), -EINVAL, -ESTALE, -EOVERFLOW, -EROFS, -EUSERS,
 *  -EUCLEAN.  Cost: two locked instructions.  Since: 0.1 */
ROMA_API int roma_store_link(roma_store *store, roma_ref *slot, void *block);

/** Name `block` by the slot whatever that names now, whose reference is given up: both or neither.
 *
 *  block  NULL: as roma_store_release_from()
 *  Returns as roma_store_link(), without -EEXIST.  Since: 0.1 */
ROMA_API int roma_store_relink(roma_store *store, roma_ref *slot, void *block);

/** Allocate a block that the empty slot owns, in one step; the caller gets no reference of his own.
 *  Its contents (but slots) are what was there unless `zero` is asked: for blocks that need to be
 *  made whole first, alloc, fill, link.
 *
 *  Returns its address, which is good as long as the slot names it; NULL with errno EEXIST (the
 *  slot is not empty) or as roma_store_alloc_with().  Since: 0.1 */
ROMA_API void *roma_store_alloc_into(roma_store *store, roma_ref *slot,
                                     const roma_store_request *request);

/** Empty a slot and give up its reference, in one step; the last one of all frees the block.
 *
 *  Returns 1 when it named a block, 0 when it was empty, or -EINVAL, -EROFS, -ESTALE, -EUSERS,
 *  -EUCLEAN (it names what is no block: the slot is left as it is).  Since: 0.1 */
ROMA_API int roma_store_release_from(roma_store *store, roma_ref *slot);

/** Take a reference to what a slot names.
 *
 *  Returns its address, with one reference of the session's; NULL with errno 0 when the slot is
 *  empty, else EINVAL, EROFS, ESTALE, EUSERS, EOVERFLOW, ENOSPC, EUCLEAN.
 *  Cost: one or two locked instructions.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_store_load(roma_store *store, roma_ref *slot);

/** Take what a slot names out of it: the slot is empty and its reference is now the session's.
 *
 *  Returns as roma_store_load().  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_store_take(roma_store *store, roma_ref *slot);

/* ---- the directory --------------------------------------------------------------------------- */

/** An entry of the directory, valid during the visit; `name` ends with a 0. */
typedef struct roma_store_entry {
    const char *name;
    uint64_t type;   /**< as put; the program's own                       */
    uint64_t bytes;  /**< length of the block                             */
    roma_ref ref;    /**< the block                                       */
} roma_store_entry;

/** Put a block into the directory under a name that is not there yet; the directory owns a
 *  reference of its own.
 *
 *  name  1 to 255 bytes, any but 0
 *  type  kept and given back by get and each: a program's own number for what it is
 *  Returns 0, or -EEXIST, -EINVAL, -ENAMETOOLONG, -ENOSPC, -ESTALE, -EROFS, -EUSERS, -EUCLEAN.
 *  Since: 0.1 */
ROMA_API int roma_store_put(roma_store *store, const char *name, void *block, uint64_t type);

/** The same whether the name is there or not; what it named is released in the same step.
 *  Returns as roma_store_put(), without -EEXIST.  Since: 0.1 */
ROMA_API int roma_store_replace(roma_store *store, const char *name, void *block, uint64_t type);

/** Take a reference to what a name names.
 *
 *  type  set on success; may be NULL
 *  Returns its address, with one reference of the session's; NULL with errno ENOENT, EINVAL,
 *  ENAMETOOLONG, EROFS, ESTALE, EUSERS, EOVERFLOW, ENOSPC, EUCLEAN.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_store_get(roma_store *store, const char *name, uint64_t *type);

/** Remove a name and give up the directory's reference.
 *  Returns 0, or -ENOENT, -EINVAL, -ENAMETOOLONG, -EROFS, -ESTALE, -EUSERS, -EUCLEAN.
 *  Since: 0.1 */
ROMA_API int roma_store_remove(roma_store *store, const char *name);

/** Visit all entries, in no particular order, each that is there from beginning to end exactly
 *  once. Nothing is locked while `visit` runs: it may call the store, and hold what it wants to
 *  keep by roma_store_get(). Also on read-only stores.
 *
 *  visit  a non-zero return ends the walk and is returned
 *  Returns 0, what `visit` returned, or -EINVAL, -ESTALE, -ENOMEM, -EUCLEAN, -EBUSY (others change
 *  a part of it without end, or one was stopped in the middle of a change, or read-only: killed
 *  there, and nobody has recovered it).  Since: 0.1 */
ROMA_API int roma_store_each(roma_store *store,
                             int (*visit)(void *context, const roma_store_entry *entry),
                             void *context);

/* ---- keeping it ------------------------------------------------------------------------------ */

/** Have the kernel write the file's pages out, and wait. This makes no consistent state on the
 *  disk: roma_store_checkpoint() and closing do.
 *
 *  Returns 0 or -errno.  Cost: system calls, as much as there is to write.  Since: 0.1 */
ROMA_API int roma_store_sync(roma_store *store);

/** How a checkpoint goes. */
typedef struct roma_store_checkpoint_options {
    size_t size;            /**< of this struct                                                   */
    int (*quiesce)(void *context); /**< called before the moment of the copy, while calls of the
                                 store still work: to make the program's own data whole, also in
                                 other processes. Non-zero: no checkpoint, returned. May be NULL  */
    void (*resume)(void *context); /**< called after that moment, whatever came of it, unless
                                 quiesce declined; in it calls of the store work again. Or NULL   */
    void *context;
    uint64_t timeout_ns;    /**< for sessions to park; 0: 5 s                                     */
    bool copy;              /**< copy even where the file system could share                      */
    bool stay_shared;       /**< where it shares: let calls go on at once. Else they wait until the
                                 store has pages of its own again, which takes as long as copying
                                 them; what is gained is that ROMA_STORE_FULL_IS_ERROR holds on   */
    bool reserved[6];       /**< 0                                                                */
} roma_store_checkpoint_options;

/** Keep a consistent copy of the store at another path, which a crash of the machine does not
 *  touch: all calls of all sessions are held for the moment of the copy, the copy is written out,
 *  and then put in place of the one before by a rename. It opens as a store of its own.
 *
 *  path   NULL: the store's own path and ".checkpoint", which is what roma_store_open() names
 *         when the store itself was interrupted by a crash of the machine
 *  error  may be NULL; `subject` names a session that did not park
 *  Returns 0, or -EINVAL (also: the store's own path), -EOPNOTSUPP (`path` is NULL, and the store
 *  has none: it is in memory, or was unlinked before it was attached), -ETIMEDOUT (a session did
 *  not park), -EBUSY (another checkpoint goes on, or the one before is open), -EMEDIUMTYPE (at that
 *  path is something else), -ENOSPC, -EROFS, -ESTALE, -errno, or what quiesce returned: then the
 *  checkpoint before is still there. Where only the last step fails, writing out the folder, it may
 *  be the new one; it is never anything between.
 *  Cost: calls are held while what was written last is written out and the file is copied, by the
 *  kernel where the file system can share pages, else by reading and writing; with stay_shared
 *  there is no copy.  Since: 0.1 */
ROMA_API int roma_store_checkpoint(roma_store *store, const char *path,
                                   const roma_store_checkpoint_options *options,
                                   roma_error *error);

/** Put a copy of the last checkpoint in place of a store that a crash of the machine interrupted.
 *  What was there is kept under `path` and ".crashed" (and replaces what has that name), the
 *  checkpoint stays. Nobody may have either open.
 *
 *  checkpoint  NULL: `path` and ".checkpoint"
 *  Returns 0, or -ENOENT, -EBUSY (it is open), -EUCLEAN (the checkpoint is damaged), -errno: then
 *  `path` is what it was, or the checkpoint where only writing out the folder failed.
 *  Cost: the checkpoint is checked, block by block, and copied.  Since: 0.1 */
ROMA_API int roma_store_restore(const char *path, const char *checkpoint, roma_error *error);

/** Give back what dead sessions held, all of it, now. What is met in passing is given back anyway.
 *
 *  Returns how many sessions were recovered, or -EINVAL, -EROFS, -ESTALE.
 *  Cost: in proportion to what they held.  Since: 0.1 */
ROMA_API int roma_store_recover(roma_store *store);

/** Give free memory back: this thread's empty slabs to the store, what was released to it from
 *  elsewhere, and free units of the store, but for `keep_bytes` of them, to the file system.
 *
 *  Returns the bytes given to the file system, or -EROFS, -ESTALE, -EUSERS.  Since: 0.1 */
ROMA_API int64_t roma_store_trim(roma_store *store, uint64_t keep_bytes);

/** Who is attached. pid and start time are what the session said of itself. */
typedef struct roma_store_session {
    uint32_t index;
    bool is_alive;        /**< its lock is held: it lives, whatever pid says                     */
    bool is_own;          /**< it is this opening's                                              */
    uint32_t lanes;       /**< threads that it has lanes for                                     */
    int64_t pid;          /**< in the namespace of that process                                  */
    uint64_t start_ns;    /**< when it attached, CLOCK_REALTIME                                  */
    uint64_t slabs;       /**< slabs and large blocks that it owns                               */
    uint64_t held_bytes;  /**< of them                                                           */
    uint64_t cells;       /**< blocks of others that it holds                                    */
    char label[32];
} roma_store_session;

/** Visit the sessions, dead ones included. A non-zero return of `visit` ends the walk and is
 *  returned. Also on read-only stores. Returns 0, that, or -EINVAL, -ESTALE.  Since: 0.1 */
ROMA_API int roma_store_sessions(roma_store *store,
                                 int (*visit)(void *context, const roma_store_session *session),
                                 void *context);

/** Figures: room, blocks, slabs, units free and punched, the largest free run, fragmentation,
 *  sessions. `visit` as with roma_manager_stats().
 *  Returns 0, what visit returned, or -EINVAL, -ESTALE.
 *  Cost: looks at every unit and every block.  Since: 0.1 */
ROMA_API int roma_store_stats(roma_store *store, roma_visit visit, void *context);

/** What is wrong with a store. */
typedef enum roma_store_fault_kind {
    ROMA_STORE_FAULT_SUPERBLOCK = 1, /**< neither copy is whole, or its figures do not fit        */
    ROMA_STORE_FAULT_UNIT,           /**< a unit's description is not possible, or overlaps       */
    ROMA_STORE_FAULT_MAP,            /**< the map of free units does not agree with the units     */
    ROMA_STORE_FAULT_BLOCK,          /**< a block's words are not possible                        */
    ROMA_STORE_FAULT_COUNT,          /**< shared count is not slots + sessions that hold it       */
    ROMA_STORE_FAULT_LOST,           /**< in use, and nobody holds or will free it                */
    ROMA_STORE_FAULT_SLOT,           /**< a slot names what is no block in use                    */
    ROMA_STORE_FAULT_CELL,           /**< a session's record of a reference is not possible       */
    ROMA_STORE_FAULT_OWNER,          /**< owned by a lane that is not in use                      */
    ROMA_STORE_FAULT_LOCK,           /**< a lock is held by nobody                                */
    ROMA_STORE_FAULT_RECORD,         /**< an unfinished operation of nobody                       */
    ROMA_STORE_FAULT_DIRECTORY,      /**< the directory's structure                               */
    ROMA_STORE_FAULT_SESSION         /**< a session's slot is not possible                        */
} roma_store_fault_kind;

typedef struct roma_store_fault {
    roma_store_fault_kind kind;
    uint64_t offset;          /**< where in the file                                              */
    uint64_t expected, found; /**< where figures are compared; else 0                             */
    const char *text;         /**< one sentence; valid during the visit                           */
} roma_store_fault;

/** Called for each fault. A non-zero return ends the check and is returned. */
typedef int (*roma_store_on_fault)(void *context, const roma_store_fault *fault);

/** Account for every byte of a store: each unit and block has exactly one owner, counts equal the
 *  slots and sessions that hold a block, hints agree with states, no dead slot is named. Changes
 *  nothing. No session may be in a call meanwhile; open and idle ones are accounted for.
 *
 *  Returns the number of faults, 0 for a sound store; or what `visit` (may be NULL) returned,
 *  or -EINVAL, -ESTALE, -ENOMEM.  Cost: looks at every block and slot.  Since: 0.1 */
ROMA_API int64_t roma_store_check(roma_store *store, roma_store_on_fault visit, void *context);

/** The same for a file, which is only read; it may be in use, at rest.
 *
 *  Returns as above, or -errno, with *error (may be NULL) filled: what no longer is a store is an
 *  error, what is damaged inside is a fault.  Since: 0.1 */
ROMA_API int64_t roma_store_check_file(const char *path, roma_store_on_fault visit, void *context,
                                       roma_error *error);

/** A store's superblock, without opening it. */
typedef struct roma_store_info {
    uint32_t version;             /**< of the format                                              */
    uint64_t features;            /**< feature bits                                               */
    uint32_t page_bytes;          /**< of the machine that made it                                */
    uint32_t sessions, lanes;     /**< how many at most                                           */
    uint64_t max_bytes;           /**< room for blocks at most                                    */
    uint64_t committed_bytes;     /**< room for blocks now                                        */
    uint64_t file_bytes;          /**< the file needs to be so long                               */
    uint64_t incarnation;         /**< how often it was opened by a first session                 */
    bool is_clean;                /**< closed by its last session                                 */
    bool is_crashed;              /**< a crash of the machine interrupted it                      */
    char uuid[37];                /**< as text                                                    */
} roma_store_info;

/** Read it. Returns 0, or as roma_store_open(); a crashed store is no failure here.  Since: 0.1 */
ROMA_API int roma_store_info_of(const char *path, roma_store_info *info, roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
