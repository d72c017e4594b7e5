/* roma/block.h - blocks: a fixed address and length, with a reference count.
 *
 * Plain pointers are first-class: C programs store them. A handle (roma_block) names one life of a
 * block by address and generation, so that use after the free is reported; a plain pointer names
 * whatever block stands at that address now, so reuse hides misuse through it.
 *
 * Detected: a release or use of a handle after the free; of two racing releases one frees and the
 * other is reported; addresses that are not a block's start. Not detected: reads and writes through
 * stale addresses (except by AddressSanitizer and Valgrind, which are told of every block), a
 * release too many while others hold references, a handle kept while the generations of its address
 * (one a life, and as many more as its neighbours had) go on by more than 2^21.
 *
 * After the free means after it was applied. A block belongs to the thread whose cache it came from
 * (to nobody where the manager is EXACT, or the block weak or registered). When another thread
 * gives up its last reference the block travels to that thread in a batch, and until it arrives, at
 * the latest one drain later (the owner's next call that needs more than its cache has, its end, or
 * a trim), handles and plain pointers to it say that it lives with one reference. A second last
 * release of it meanwhile returns 0, too, and is reported to on_misuse at that drain; so is, for a
 * plain block, a retain that came too late, at the block's next operation. What the manager itself
 * knows stays intact in all of these. All this is of managers that count: see roma/manager.h.
 *
 * Pointer-returning calls give NULL and set errno; others return 0 or a count, or -errno. errno may
 * also be what a provider returned: the kernel's refusals (EPERM) and what it lacks (EOPNOTSUPP).
 *
 * Unless a declaration says otherwise:
 *   Threads  any, at once, also after fork in the child.
 *   Cancel   no: a call may hold a lock and reach a cancellation point, and there is no way out of
 *            it. Threads that are to be cancelled disable that around calls
 *            (pthread_setcancelstate).
 *   Signals  no: not in a handler, and not to be left by longjmp.
 *   Cost     finding a block: two loads and a multiplication, no lock, no system call. A pointer
 *            that is no block's start may cost a search, of microseconds.
 *   Since    0.1 */
#ifndef ROMA_BLOCK_H
#define ROMA_BLOCK_H

#include <roma/manager.h>
#include <roma/segment.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- by pointer ----------------------------------------------------------------------------- */

/** Allocate a block with one reference, the caller's.
 *
 *  manager  NULL is EINVAL
 *  bytes    0 gives a block of length 0 with an address of its own
 *  Returns its address, aligned to the largest power of two that divides its length, from 16 to
 *  4096 (a block of 4 KiB or a multiple of it is fit for O_DIRECT); or NULL with errno ENOMEM,
 *  EOVERFLOW or EINVAL. The bytes are not initialised.
 *  Threads: any, also after fork in the child.  Signals: no.
 *  Cost: some ns, from the thread's cache, up to 256 KiB; a lock when that is empty, and beyond; a
 *  system call when a new extent is needed.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_alloc(roma_manager *manager, size_t bytes);

/** The same; all bytes read as zero.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_alloc_zeroed(roma_manager *manager, size_t bytes);

/** The same, aligned to a power of two up to 1 GiB (else NULL, EINVAL).  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_alloc_aligned(roma_manager *manager, size_t bytes, size_t align);

/** The same, with wishes.
 *
 *  request  made with roma_request_default(); NULL is EINVAL
 *  grant    filled on success and on failure; may be NULL
 *  Also: NULL with EXDEV (strict placement not possible), E2BIG (a request newer than the library),
 *  EOPNOTSUPP (weak or registered, of a manager without counts).
 *  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_alloc_with(roma_manager *manager, const roma_request *request,
                                         roma_grant *grant);

/** Allocate `count` blocks of `bytes` each, all or none.
 *
 *  blocks  receives the addresses
 *  Returns 0, or -ENOMEM, -EOVERFLOW, -EINVAL; then nothing is allocated.
 *  Cost: about a ns a block while the thread's cache has some.  Since: 0.1 */
ROMA_API int roma_alloc_batch(roma_manager *manager, size_t bytes, void **blocks, size_t count);

/** Take one more reference. The caller must hold one.
 *
 *  Returns the new count, or -EINVAL (not the start of a block), -ESTALE (free), -EOVERFLOW (beyond
 *  INT_MAX), -ENOMEM (no room to count beyond 1022), -EOPNOTSUPP (a manager without counts).
 *  Threads: any.  Signals: no.  Cost: one locked instruction; beyond 1022 references a lock.
 *  Since: 0.1 */
ROMA_API int roma_retain(void *block);

/** Give up one reference; the last one frees the block.
 *
 *  Returns the references left, or -EINVAL (not the start of a block; NULL too), -ESTALE (it was
 *  free).
 *  Threads: any.  Signals: no.  Cost: some ns when it frees, no locked instruction; one locked
 *  instruction where references are left; a lock now and then.  Since: 0.1 */
ROMA_API int roma_release(void *block);

/** Give up one reference, for those who need no answer; NULL is a no-op. What roma_release() would
 *  return as an error goes to the manager's on_misuse, or to the default manager's when the address
 *  is nobody's now: so does a second free of a large block, whose memory is gone after the first.
 *  Cost: as roma_release().  Since: 0.1 */
ROMA_API void roma_free(void *block);

/** The same; `bytes` must be the block's length, else it is misuse. In a manager without counts it
 *  is misuse where so many bytes do not fit into the block's cell.  Since: 0.1 */
ROMA_API void roma_free_sized(void *block, size_t bytes);

/** Give up one reference of each of `count` blocks, NULLs skipped.  Since: 0.1 */
ROMA_API void roma_free_batch(void *const *blocks, size_t count);

/** Change the length, as realloc does: in place where possible, else by moving page tables, else by
 *  copying. With other holders the caller gets a new block, and they keep the old one. A new part
 *  is not initialised. Handles are stale after a move or a shrink. The address is aligned as that
 *  of a new block of this length, not as the old one was asked to be.
 *
 *  block  NULL is EINVAL
 *  Returns the address now, or NULL with errno: EINVAL, ESTALE, EBUSY (registered), EOVERFLOW,
 *  ENOMEM; the block is then as it was.
 *  Threads: any, but nobody may use this reference meanwhile.  Signals: no.  Since: 0.1 */
ROMA_API ROMA_MUST_USE void *roma_resize(void *block, size_t bytes);

/** Requested length (without counts: what roma_usable() says); 0 with errno EINVAL or ESTALE when
 *  it is no live block. So for the next.
 *  Threads: any.  Signals: no.  Cost: two loads.  Since: 0.1 */
ROMA_API size_t roma_bytes(const void *block);
/** Bytes up to the end of its cell: what a resize can reach in place. Bytes between the length and
 *  this are not the caller's until it resizes.  Since: 0.1 */
ROMA_API size_t roma_usable(const void *block);
/** References; -EINVAL or -ESTALE. Without counts: 1.  Since: 0.1 */
ROMA_API int roma_count(const void *block);
/** NULL with errno EINVAL or ESTALE.  Since: 0.1 */
ROMA_API roma_manager *roma_manager_of(const void *block);
/** The label, "" when it has none, NULL with errno as above; valid while the block lives.  Since:
 * 0.1 */
ROMA_API const char *roma_label_of(const void *block);

/** Where the block's pages are, as the kernel reports them.
 *
 *  Returns 0, or -EINVAL, -ESTALE.  Threads: any.  Signals: no.
 *  Cost: system calls in proportion to its pages.  Since: 0.1 */
ROMA_API int roma_where(const void *block, roma_report *report);

/** Make the pages of a part of a block present, so that touching them is no fault. Contents stay,
 *  also those that others write meanwhile. Pages of a file that is mapped for writing are dirty
 *  afterwards: to read them soon, ROMA_ADVICE_NEED is enough.
 *
 *  offset   of the part in the block; the part is widened to whole pages
 *  threads  on how many at once; 0: 1
 *  error    may be NULL
 *  Returns 0, -EINVAL (no block's start; a part that is not inside it), -ESTALE, -ENOMEM, -EFAULT
 *  (no page was to be had), -EOPNOTSUPP (before Linux 5.14, or a store opened read-only), and what
 *  the engine of its manager met (roma_manager_engine()), for parts of 4 MiB and more of files:
 *  -EIO, -ECANCELED (the engine's work was cancelled), -EDEADLK (in a callback of an engine), ...
 *  Threads: any, who hold a reference; nobody may resize the block meanwhile.  Signals: no.
 *  Cost: that of the pages; -EIO and the like may come after some of them.  Since: 0.1 */
ROMA_API int roma_populate(void *block, size_t offset, size_t bytes, unsigned threads,
                           roma_error *error);

/** Tell the kernel what becomes of a part of a block: ROMA_ADVICE_NEED (soon used; widened to whole
 *  pages), _COLD or _PAGEOUT (narrowed to whole pages). Contents stay. Where a file stands behind
 *  the block and its manager has an engine, that reads what is needed, behind the caller's back,
 *  and ends POSIX record locks on the file (roma_prefetch_executor()).
 *
 *  error  may be NULL
 *  Returns 0, -EINVAL (no block's start; a part that is not inside it; no advice), -ESTALE, -EBUSY
 *  (COLD and PAGEOUT of a registered block), -EOPNOTSUPP (the other advice, which would outlive the
 *  block; hugetlb pages), -errno of the call.
 *  Threads: any, who hold a reference; nobody may resize the block meanwhile.  Signals: no.
 *  Cost: a system call or a few; PAGEOUT that of writing dirty pages.  Since: 0.1 */
ROMA_API int roma_advise(void *block, size_t offset, size_t bytes, roma_advice advice,
                         roma_error *error);

/** Move the block's pages to other nodes: to several of them in contiguous shares of nearly the
 *  same length, the lowest node first. Address, contents, references and handles stay. Pages that
 *  are not present come to the new nodes when they are touched, and so does what a resize adds; but
 *  a resize that copies makes a new block where the old one was asked to be.
 *
 *  For blocks that have pages of their own: those of at least one page of the first kind that their
 *  request names (a huge page without one), and at least 1 MiB; and those aligned to more than
 *  64 KiB. All others share pages with their neighbours: allocate one where it should be, and copy.
 *
 *  block      the caller holds a reference; other holders may read and write meanwhile, and wait a
 *             moment where they touch a page that just moves
 *  nodes      not empty
 *  migration  how it went, page by page, filled on success and on failure; may be NULL. It counts
 *             whole pages, to the end of what roma_usable() says
 *  Returns 0 when all pages that are present lie there now; -EXDEV when some do not (migration says
 *  how many, and why; the others have moved) or a node is outside the cpuset; -EINVAL (no block's
 *  start, no nodes, a node that is not there or has no memory), -ESTALE, -EBUSY (registered),
 *  -EOPNOTSUPP (it shares its pages; or its provider cannot), -EPERM (a filter refuses the call).
 *  migration->error says why in all of them.
 *  The memory goes to no other block when this one is freed, but back to the kernel. hugetlb pages
 *  that the pool of the new node lacks, the kernel makes out of that node's free memory, where it
 *  can: its pool is larger then, and that of the old node smaller.
 *  Threads: any, but nobody may migrate or resize the same block meanwhile. No lock is held while
 *  pages move.  Signals: no.  Cost: a copy of the pages that move.  Since: 0.1 */
ROMA_API int roma_migrate(void *block, const roma_nodes *nodes, roma_migration *migration);

/* ---- by handle ------------------------------------------------------------------------------ */

/** One life of a block. 16 bytes, passed by value; {NULL, 0} is the cleared handle. */
typedef struct roma_block {
    void *address;
    uint64_t generation;
} roma_block;

/** The handle of a live block; the cleared one with errno EINVAL, ESTALE, or EOPNOTSUPP (a manager
 *  without counts cannot tell one life of a block from the next) else.  Since: 0.1 */
ROMA_API roma_block roma_block_of(const void *block);

/** The address; NULL with errno ESTALE when the block is gone, EINVAL for a cleared handle.
 *  Since: 0.1 */
ROMA_API void *roma_block_get(roma_block block);

/** Whether the handle's block lives.  Since: 0.1 */
ROMA_API bool roma_block_is_live(roma_block block);

/** Take one more reference; the caller must hold one.
 *  Returns the new count, or -ESTALE, -EINVAL (a cleared handle), -EOVERFLOW, -ENOMEM.
 *  Cost: as roma_retain().  Since: 0.1 */
ROMA_API int roma_block_retain(roma_block block);

/** Take a reference from a handle that may be stale. Only for blocks made `weak`.
 *
 *  Returns the new count, -ESTALE when it is too late, -EINVAL when the block is not weak; else as
 *  roma_block_retain().  Since: 0.1 */
ROMA_API int roma_block_try_retain(roma_block block);

/** Give up one reference to a block; the last one frees it.
 *
 *  block  the handle; cleared on success. A cleared handle is a no-op.
 *  Returns the references left, or -ESTALE when the block had already gone (nothing is changed),
 *  -EINVAL for NULL.
 *  Threads: any, also after fork in the child.  Signals: no.  Since: 0.1 */
ROMA_API int roma_block_release(roma_block *block);

/** Flags of roma_block_resize(). */
enum {
    ROMA_RESIZE_ZERO = 1u << 0,    /**< the new part reads as zero                     */
    ROMA_RESIZE_IN_PLACE = 1u << 1 /**< fail with -ENOMEM rather than move the block   */
};

/** roma_resize() by handle; *block is the new handle on success and unchanged else.
 *
 *  Returns 0, -ESTALE, -EINVAL (also unknown flags), -EBUSY, -EOVERFLOW, -ENOMEM.  Since: 0.1 */
ROMA_API int roma_block_resize(roma_block *block, size_t bytes, unsigned flags);

/** The block as a segment; the null segment with errno ESTALE or EINVAL else.  Since: 0.1 */
ROMA_API roma_segment roma_block_segment(roma_block block);

/* ---- call sites ----------------------------------------------------------------------------- */

/** Name the place of this thread's next call into roma, for ROMA_DEBUG_SITES. `file` must live as
 *  long as the program. Programs compiled with ROMA_CALL_SITES defined before including roma.h do
 *  this at every call of the functions below.  NULL: take it back.  Cost: two stores.
 *  Since: 0.1 */
ROMA_API void roma_site(const char *file, int line);

#ifdef ROMA_CALL_SITES
/* Calls that may be met by a thread's cache alone do not take the place along with them, so it is
 * taken back after them: else it would be blamed for a later call of a source that names none. */
static inline ROMA_MUST_USE void *roma__site_past(void *block)
{
    roma_site(NULL, 0);
    return block;
}

static inline int roma__site_past_int(int left)
{
    roma_site(NULL, 0);
    return left;
}

#define roma_alloc(...) \
    roma__site_past((roma_site(__FILE__, __LINE__), roma_alloc(__VA_ARGS__)))
#define roma_alloc_zeroed(...) \
    roma__site_past((roma_site(__FILE__, __LINE__), roma_alloc_zeroed(__VA_ARGS__)))
#define roma_alloc_aligned(...) \
    roma__site_past((roma_site(__FILE__, __LINE__), roma_alloc_aligned(__VA_ARGS__)))
#define roma_release(...) \
    roma__site_past_int((roma_site(__FILE__, __LINE__), roma_release(__VA_ARGS__)))
#define roma_free(...) \
    (roma_site(__FILE__, __LINE__), roma_free(__VA_ARGS__), roma_site(NULL, 0))
#define roma_free_sized(...) \
    (roma_site(__FILE__, __LINE__), roma_free_sized(__VA_ARGS__), roma_site(NULL, 0))

#define roma_alloc_with(...) (roma_site(__FILE__, __LINE__), roma_alloc_with(__VA_ARGS__))
#define roma_alloc_batch(...) (roma_site(__FILE__, __LINE__), roma_alloc_batch(__VA_ARGS__))
#define roma_retain(...) (roma_site(__FILE__, __LINE__), roma_retain(__VA_ARGS__))
#define roma_free_batch(...) (roma_site(__FILE__, __LINE__), roma_free_batch(__VA_ARGS__))
#define roma_resize(...) (roma_site(__FILE__, __LINE__), roma_resize(__VA_ARGS__))
#define roma_block_retain(...) (roma_site(__FILE__, __LINE__), roma_block_retain(__VA_ARGS__))
#define roma_block_try_retain(...) \
    (roma_site(__FILE__, __LINE__), roma_block_try_retain(__VA_ARGS__))
#define roma_block_release(...) (roma_site(__FILE__, __LINE__), roma_block_release(__VA_ARGS__))
#define roma_block_resize(...) (roma_site(__FILE__, __LINE__), roma_block_resize(__VA_ARGS__))
#endif

#ifdef __cplusplus
}
#endif
#endif
