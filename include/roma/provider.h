/* roma/provider.h - the interface that every source of memory implements, and calls on it.
 *
 * A provider obtains and returns extents: runs of pages. It tries exactly what it is asked, once;
 * the order of fallbacks belongs to the policy's ladder and nowhere else. Reference counts, caches
 * and names live above providers, never in them.
 *
 * To write one, fill a roma_provider_ops and register it. Registration checks the table once: size
 * and version, the mandatory functions, and that each optional group is whole when its capability
 * bit is set and absent when not. After that no call tests a pointer again.
 *
 * Threads: every function of a table may be called from any thread at any time, also at once,
 * except that one extent is never released, resized or populated by two threads at once.
 * Fork: a provider with locks of its own holds them over fork() (pthread_atfork), set up before the
 * first manager that uses it: managers call providers under their locks. None of its functions
 * forks: a fork waits for extents that are being resized. */
#ifndef ROMA_PROVIDER_H
#define ROMA_PROVIDER_H

#include <roma/request.h>
#include <roma/visitor.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What one step of a ladder asks of a provider. */
typedef struct roma_extent_request {
    size_t size;               /**< of this struct */
    size_t bytes;              /**< > 0; the provider rounds up to whole pages */
    size_t align;              /**< power of two; 0 or less than a page: a page */
    const char *label;         /**< for the kernel's name of the mapping; may be NULL */
    roma_nodes nodes;          /**< empty: the kernel's choice */
    roma_page_kind pages;      /**< with its size; a class alone means the machine's default size */
    bool strict;               /**< prove placement and page kind, or fail */
    bool inherit;              /**< the extent is there in a child made by fork() */
    unsigned populate_threads; /**< > 0: all pages present on return; hugetlb pages always are */
    roma_spread spread;        /**< how pages are laid on the nodes                            */
    uint8_t weights[ROMA_WEIGHTS_MAX]; /**< for ROMA_SPREAD_WEIGHTED, of the nodes from the lowest
                                            up                                                 */
} roma_extent_request;

static inline roma_extent_request roma_extent_request_default(void)
{
    roma_extent_request request;
    memset(&request, 0, sizeof request);
    request.size = sizeof request;
    return request;
}

/** A run of pages that a provider granted. The provider fills it; callers keep it unchanged. */
typedef struct roma_extent {
    void *address;
    size_t bytes;         /**< whole pages, at least what was asked                          */
    size_t page_bytes;    /**< size of its pages                                             */
    roma_page_kind pages; /**< kind, with its size                                           */
    bool zeroed;          /**< what was not written since acquire reads as zero */
    bool populated;       /**< its pages are present                                         */
    bool pinned;          /**< its pages cannot be swapped out                               */
    bool inherited;       /**< a child made by fork() has it too (as a copy), unless advised */
    roma_nodes nodes;     /**< asked for; empty: the kernel's choice. Pages that a resize adds go
                               there, too: who has migrated all of it writes the new ones here */
    roma_spread spread;   /**< how they are laid on the nodes                                */
    void *tag;            /**< the provider's own                                            */
} roma_extent;

/** A part of an extent: `offset` and `bytes` are multiples of its page size. */
typedef struct roma_range {
    const roma_extent *extent;
    size_t offset, bytes;
} roma_range;

typedef enum roma_advice {
    ROMA_ADVICE_NEED = 1, /**< soon used                                                         */
    ROMA_ADVICE_COLD,     /**< not soon used; reclaim it first                                   */
    ROMA_ADVICE_PAGEOUT,  /**< reclaim it now                                                    */
    ROMA_ADVICE_DISCARD,  /**< contents no longer needed; reads as zero or as before afterwards  */
    ROMA_ADVICE_NODUMP,   /**< leave it out of core dumps                                        */
    ROMA_ADVICE_NOFORK,   /**< not inherited over fork()                                         */
    ROMA_ADVICE_COUNT
} roma_advice;

/** A part of a file that is mapped: whole pages. */
typedef struct roma_file_part {
    int fd;
    uint64_t offset; /**< in the file         */
    void *address;   /**< where it is mapped  */
    size_t bytes;
} roma_file_part;

/** Runs work elsewhere: a worker pool; or reads files: an engine (roma_prefetch_executor()).
 *  NULL in its place means: the call
 *  does the work itself, on threads that it starts. A call given one takes part in the work and
 *  waits for what has begun; work that the executor starts later finds nothing to do. So an
 *  executor may be slow, refuse, or have only the thread that is calling; what it accepted it must
 *  run once, in the end. */
typedef struct roma_executor {
    size_t size; /**< of this struct */
    void *self;
    /** Run `work(argument)` soon on some thread. Returns 0, or -errno: then it will not run.
     *  -EOPNOTSUPP: nor will any other; the call starts threads, as without an executor. */
    int (*submit)(void *self, void (*work)(void *argument), void *argument);
    /* Both or none (NULL): for parts of files, by providers that have one. Return 0, or -errno with
     * *error filled (never NULL), with which the call fails. */
    /** Have what the file has there in memory; the provider makes the pages present afterwards. */
    int (*file_populate)(void *self, const roma_file_part *part, roma_error *error);
    /** In place of advice to the kernel: NEED, COLD or PAGEOUT. The provider may close the
     *  descriptor when the call has returned. */
    int (*file_advise)(void *self, const roma_file_part *part, roma_advice advice,
                       roma_error *error);
} roma_executor;

typedef struct roma_populate_options {
    size_t size;                   /**< of this struct                                            */
    unsigned threads;              /**< in how many parts the range is populated at once; 0: 1    */
    const roma_executor *executor; /**< who runs the parts; NULL: threads of the call             */
} roma_populate_options;

enum { ROMA_REPORT_NODES = 64, ROMA_REPORT_KINDS = 8 };

/** Where the pages of a range are, as the kernel reports them. */
typedef struct roma_report {
    size_t bytes;           /**< length that was looked at */
    size_t resident_bytes;  /**< present in memory */
    bool kinds_known;       /**< false: the kernel cannot tell for a range; `kinds` is empty */
    bool nodes_known;       /**< false: the kernel cannot tell, or refused; `nodes` is empty */
    unsigned kinds_count;
    struct roma_report_kind {
        roma_page_kind pages; /**< with its size */
        size_t bytes;         /**< present in pages of this kind */
    } kinds[ROMA_REPORT_KINDS];
    unsigned nodes_count;     /**< nodes that hold any of it, the first 64 */
    struct roma_report_node {
        int node;
        size_t bytes;
    } nodes[ROMA_REPORT_NODES];
} roma_report;

enum { ROMA_MIGRATION_REASONS = 8 };

/** How a migration went, page by page. Counts are in pages of `page_bytes`: hugetlb pages count as
 *  what they are, all others in base pages, so a transparent huge page is as many as it has. Every
 *  page of the range is in one of the four counts. */
typedef struct roma_migration {
    size_t page_bytes;      /**< the unit; 0: no page was looked at                               */
    size_t moved;           /**< lie on their node now and did not before                         */
    size_t already;         /**< were there                                                       */
    size_t absent;          /**< not in memory (never touched, swapped out, or the kernel's shared
                                 page of zeros): nothing to move; a later fault prefers the nodes */
    size_t failed;          /**< lie elsewhere still                                              */
    unsigned reasons_count;
    struct roma_migration_reason {
        int cause;          /**< errno: ENOMEM (no free memory or huge page on the node), EBUSY or
                                 EAGAIN (pinned, or in use at that moment, after some tries), EACCES
                                 (shared with another process, as after fork), ...; in the last of
                                 all, 0 may stand for several others                              */
        size_t pages;
    } reasons[ROMA_MIGRATION_REASONS];
    roma_error error;       /**< what the call returned as a code, and why; its code 0: nothing   */
} roma_migration;

#define ROMA_PROVIDER_VERSION 1

/** Optional groups: a bit set means that the whole group is there, clear that none of it is. */
enum {
    ROMA_CAN_MIGRATE = 1u << 0, /**< migrate                  */
    ROMA_CAN_SYNC = 1u << 1,    /**< sync                     */
    ROMA_CAN_SHARE = 1u << 2,   /**< export_fd and import_fd  */
    ROMA_CAN_ALL = ROMA_CAN_MIGRATE | ROMA_CAN_SYNC | ROMA_CAN_SHARE
};

/** The table. All functions return 0 or -errno and, on failure, fill *error (never NULL; cleared
 *  before the call; a code left 0 is filled in by the dispatch). A provider that cannot do a
 *  mandatory thing returns -EOPNOTSUPP from it. */
typedef struct roma_provider_ops {
    size_t size;           /**< of this struct                                                    */
    uint32_t version;      /**< ROMA_PROVIDER_VERSION                                             */
    uint32_t capabilities; /**< ROMA_CAN_*                                                        */
    const char *name;      /**< 1 to 31 of a-z 0-9 - _ ; copied                                   */

    /** Make an instance out of the configuration given at registration; NULL: `config` is it. */
    int (*open)(const void *config, void **self, roma_error *error);
    /** Undo open; called when no extent is left. NULL exactly when `open` is. */
    void (*close)(void *self);

    /** Could acquire work now? No side effect. 0 is a forecast, not a promise. */
    int (*probe)(void *self, const roma_extent_request *request, roma_error *error);
    /** Obtain an extent exactly as asked; on failure nothing is left behind. */
    int (*acquire)(void *self, const roma_extent_request *request, roma_extent *extent,
                   roma_error *error);
    /** Give an extent back. Also called in a child made by fork() for extents that are not
     *  inherited: their address range is then a hole, and nothing is to be unmapped. (An extent of
     *  ordinary memory that was advised NOFORK says `inherited` still: a child leaves it alone.) */
    int (*release)(void *self, const roma_extent *extent, roma_error *error);
    /** Change the length (> 0, rounded up), keeping the contents up to the smaller one. In place,
     * or
     *  anywhere when `may_move`, which a provider need not do; new pages are as the old ones, and
     *  the alignment asked at acquire stays. On failure the extent is as it was. */
    int (*resize)(void *self, roma_extent *extent, size_t bytes, bool may_move, roma_error *error);
    /** Make all pages of the range present, or say why not. Contents stay. */
    int (*populate)(void *self, const roma_range *range, const roma_populate_options *options,
                    roma_error *error);
    /** Tell the kernel what a range is for. */
    int (*advise)(void *self, const roma_range *range, roma_advice advice,
                  const roma_executor *executor, roma_error *error);
    /** Report where the range's pages are. */
    int (*query)(void *self, const roma_range *range, roma_report *report, roma_error *error);
    /** Visit figures; at least "extents.live" and "extents.bytes". */
    int (*stats)(void *self, roma_visit visit, void *context);

    /* group MIGRATE */
    /** Move the pages of a range to `nodes` (never empty), and have those that are absent come
     *  there later. The extent stays as it was, its `nodes` too. *migration is cleared before the
     *  call and filled as far as the call came. 0: every page that is present lies there now.
     *  -EXDEV with a count of failed pages: some lie elsewhere still. */
    int (*migrate)(void *self, const roma_range *range, const roma_nodes *nodes,
                   roma_migration *migration, roma_error *error);
    /* group SYNC */
    /** Make the contents durable. */
    int (*sync)(void *self, const roma_range *range, roma_error *error);
    /* group SHARE */
    /** A new descriptor for the extent's memory, the caller's to close, or -errno. */
    int (*export_fd)(void *self, const roma_extent *extent, roma_error *error);
    /** An extent over the memory of a descriptor. */
    int (*import_fd)(void *self, int fd, roma_extent *extent, roma_error *error);
} roma_provider_ops;

typedef struct roma_provider roma_provider;

/** Register a provider.
 *
 *  ops       copied; may be shorter than this version's table (an older one)
 *  config    given to ops->open
 *  provider  receives the handle
 *  error     may be NULL; `subject` names the member that is wrong
 *  Returns 0, -EINVAL (a mandatory function is missing, a group is not whole, a bad name, size or
 *  version), -E2BIG (a non-zero tail), -ENOMEM, or what ops->open returned.
 *  Threads: any.  Signals: no.  Cost: one small allocation.  Since: 0.1 */
ROMA_API int roma_provider_register(const roma_provider_ops *ops, const void *config,
                                    roma_provider **provider, roma_error *error);

/** Undo a registration.
 *
 *  Returns 0, or -EBUSY while extents or managers use it, -EINVAL for NULL or a built-in provider.
 *  Threads: any.  Signals: no.  Since: 0.1 */
ROMA_API int roma_provider_unregister(roma_provider *provider);

/** The provider's name; valid while it is registered.  Since: 0.1 */
ROMA_API const char *roma_provider_name(const roma_provider *provider);

/** Its ROMA_CAN_* bits.  Since: 0.1 */
ROMA_API uint32_t roma_provider_capabilities(const roma_provider *provider);

/** The built-in provider of anonymous memory: hugetlb pages of every size that the machine has,
 *  transparent huge pages, base pages. Never NULL; cannot be unregistered.
 *  Threads: any.  Signals: no.  Cost: reads the topology at its first use.  Since: 0.1 */
ROMA_API roma_provider *roma_provider_anonymous(void);

/** The built-in provider of one node's memory, of all page kinds: its arena, named "node0" or
 *  "node12". It is made at its first use, kept until the program ends, and cannot be unregistered.
 *
 *  Every extent of it lies on its node: a request that names no nodes, or names this one among
 *  others, is placed there; one that names only others is -EXDEV, and so is a migration to others.
 *  It is as strict as the request: without `strict`, ordinary pages lie on other nodes where this
 *  one has no memory left. Figures are its own, with the keys of the anonymous provider's.
 *
 *  Returns NULL with errno EINVAL (no such node is online with memory), ENOMEM.
 *  Threads: any.  Signals: no.  Cost: a load; at the first use of a node some small files are read.
 *  Fork: a child has those of its parent.  Since: 0.1 */
ROMA_API roma_provider *roma_provider_node(unsigned node);

/** Memory that the caller brings, handed out by first fit in whole pages. */
typedef struct roma_region_config {
    size_t size;          /**< of this struct */
    const char *name;     /**< as in the table; NULL: "region" */
    void *address;        /**< readable and writable while the provider lives */
    size_t bytes;         /**< what is not a whole page at either end is left unused */
    roma_page_kind pages; /**< what it is made of; 0: the machine's base pages. Requests for a kind
                               that this is not are refused; base pages are always granted */
    bool zeroed;          /**< it reads as zero now */
    roma_nodes nodes;     /**< where it lies, when known; empty: not known */
} roma_region_config;

/** Make a region provider.
 *
 *  Returns 0, or -EINVAL (NULL, or less than one page), -E2BIG, -ENOMEM.
 *  The region's bytes are never written by roma itself: its records stand elsewhere.
 *  Threads: any.  Signals: no.  Since: 0.1 */
ROMA_API int roma_provider_region(const roma_region_config *config, roma_provider **provider,
                                  roma_error *error);

/** How a file becomes memory. All 0 (or NULL for the whole struct) is the default. */
typedef struct roma_file_options {
    size_t size;        /**< of this struct                                                      */
    const char *name;   /**< as in the table; NULL: "file"                                       */
    uint64_t max_bytes; /**< the longest that the file can become; so much address space is
                             reserved. 0: 64 GiB                                                 */
    uint32_t mode;      /**< permission bits, less the umask; 0: 0600                            */
    bool keeps_name;    /**< the file stays where it is, also afterwards; else its name goes at
                             once, and the file with the provider, or the process                */
    bool reserved[3];   /**< 0                                                                   */
    const roma_executor *executor; /**< copied: who reads and advises where a call names none, as
                             roma_prefetch_executor() fills it; it must be there as long as the
                             provider. NULL: the call itself. Not in a child of fork()           */
} roma_file_options;

static inline roma_file_options roma_file_options_default(void)
{
    roma_file_options options;
    memset(&options, 0, sizeof options);
    options.size = sizeof options;
    return options;
}

/** Make a provider whose extents are parts of a new file: memory for what is larger than memory,
 *  which the kernel writes out and reads in by itself. For what is to be found again there are
 *  stores (roma/store.h).
 *
 *  path  must not exist (-EEXIST)
 *  Returns 0, or -EINVAL, -E2BIG, -EEXIST, -ENOMEM (no address range), or -errno of making it.
 *  Space is taken from the file system at acquire: a full disk is -ENOSPC there, and no signal at
 *  access (but where the file system does not write in place, as btrfs); -EFBIG is RLIMIT_FSIZE or
 *  the file system's limit, and -EOPNOTSUPP says that it cannot reserve space. Release gives it
 *  back. Pages are base pages, on any node; extents grow in place only. There are the optional
 *  groups SYNC and SHARE: a descriptor of an extent is the file opened anew, positioned at the
 *  extent's start, and names that extent as long as it is passed on (not opened anew through
 *  /proc); releasing the extent makes it a hole for all.
 *  Fork: extents are not there in a child, which has a file of its own beside this one, without a
 *  name, from its first call on.
 *  Threads: any.  Signals: no.  Cost: some system calls, here and for each extent.  Since: 0.1 */
ROMA_API int roma_provider_file(const char *path, const roma_file_options *options,
                                roma_provider **provider, roma_error *error);

/** Wrap a provider in one that counts calls, failures and bytes, and forwards everything. Its name
 *  is "counting:" and the other's. The other cannot be unregistered while this one is there.
 *
 *  Returns 0, -EINVAL, -ENOMEM.  Threads: any.  Signals: no.  Cost a call: some ns.  Since: 0.1 */
ROMA_API int roma_provider_counting(roma_provider *other, roma_provider **provider,
                                    roma_error *error);

/* ---- calls on a provider: what managers use, and who wants bare extents --------------------- */
/* Each checks its arguments, calls the provider and returns what that returned. `error` may be
 * NULL. A request's or range's mistakes are -EINVAL. Threads: as said at the top. Signals: no. */

ROMA_API int roma_provider_probe(roma_provider *provider, const roma_extent_request *request,
                                 roma_error *error);
ROMA_API int roma_provider_acquire(roma_provider *provider, const roma_extent_request *request,
                                   roma_extent *extent, roma_error *error);
/** Clears *extent on success. */
ROMA_API int roma_provider_release(roma_provider *provider, roma_extent *extent,
                                   roma_error *error);
ROMA_API int roma_provider_resize(roma_provider *provider, roma_extent *extent, size_t bytes,
                                  bool may_move, roma_error *error);
/** options NULL: one thread, no executor. */
ROMA_API int roma_provider_populate(roma_provider *provider, const roma_range *range,
                                    const roma_populate_options *options, roma_error *error);
ROMA_API int roma_provider_advise(roma_provider *provider, const roma_range *range,
                                  roma_advice advice, const roma_executor *executor,
                                  roma_error *error);
ROMA_API int roma_provider_query(roma_provider *provider, const roma_range *range,
                                 roma_report *report, roma_error *error);
/** Also visits "dispatch.extents", the count that the dispatch keeps of live extents. */
ROMA_API int roma_provider_stats(roma_provider *provider, roma_visit visit, void *context);
/** Move the pages of a range to `nodes`: to several of them in contiguous shares of nearly the same
 *  length, the lowest node first. A page lies where it should when it is on the node of its share.
 *
 *  migration  filled on success and on failure; may be NULL
 *  Returns 0 when all pages that are present lie there now; -EXDEV when some do not (migration says
 *  how many and why), or a node is outside the cpuset; -EINVAL (no nodes, or one that is not there
 *  or has no memory), -EOPNOTSUPP (the group is not announced; so for the three below), -EPERM (a
 *  filter refuses the call), -ESTALE (an extent of the parent, in a child made by fork()).
 *  Contents stay. Others may read and write the pages meanwhile: who touches a page just when it
 *  moves waits for it. After a failure half way the pages moved so far stay where they are.
 *  Cost: about a copy of the pages that move; for the others two system calls a 512 of them. */
ROMA_API int roma_provider_migrate(roma_provider *provider, const roma_range *range,
                                   const roma_nodes *nodes, roma_migration *migration,
                                   roma_error *error);
ROMA_API int roma_provider_sync(roma_provider *provider, const roma_range *range,
                                roma_error *error);
ROMA_API int roma_provider_export_fd(roma_provider *provider, const roma_extent *extent,
                                     roma_error *error);
ROMA_API int roma_provider_import_fd(roma_provider *provider, int fd, roma_extent *extent,
                                     roma_error *error);

#ifdef __cplusplus
}
#endif
#endif
