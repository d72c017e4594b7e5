/* checkpoint.c - a consistent copy of a store beside it, which a crash of the machine cannot touch.
 *
 * The kernel may write any page of a mapping at any time, so what lies on the disk under a store in
 * use is no state that ever was. A checkpoint is a second file:
 *
 *   1 a part file beside its path             nobody waits; a crash leaves the checkpoint before
 *   2 what is dirty is written out            nobody waits yet; makes 4 short
 *   3 quiesce(), park                         every call of every session is held
 *   4 the file is cloned; or copied           this is the moment that the checkpoint shows
 *   5 the store gets pages of its own again   see below
 *   6 unpark, resume()                        all go on
 *   7 the part's superblock becomes its own, the part is written out, renamed, and the folder
 *     written out                             a crash leaves the one before, or this one
 *
 * Shared pages. After a clone (FICLONE: XFS, btrfs) the first write to a page needs new space on
 * the disk, and where there is none the process gets SIGBUS: the promise that a full disk is an
 * error does not hold. So the store is unshared before anybody writes again (5), and where that
 * fails, or the caller would rather not wait, the promise is withdrawn: a bit of the superblock
 * says so, for all sessions, from before the clone until the store shares nothing. Where that was
 * to be for a moment, and the checkpoint was killed, the next first session unshares it (open.c).
 *
 * The part shares nothing then, either, but it has holes where the store had space and zeros: they
 * are filled (roma__copy_back). Where the disk has no room for that, the part keeps the bit.
 *
 * Sessions are in the copy as they were: dead, since nobody holds their bytes there. Opening it
 * recovers them as any other dead session, so the checkpoint shows what slots named at that moment
 * and nothing of what sessions held themselves. */
#include "store/checkpoint.h"

#include "base/error.h"
#include "base/structs.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const uint64_t timeout_default_ns = UINT64_C(5000000000);

typedef struct taking {
    roma_store *store;
    const roma_store_checkpoint_options *options;
    int fd; /* of the part */
    bool may_clone;
    bool has_cloned, is_unshared;
} taking;

/* ---- the bit that says that pages may be shared ---------------------------------------------- */

static void set_shared(roma__super *super, void *context)
{
    const roma_store_checkpoint_options *options = context;
    super->features_hint &= ~ROMA__HINT_UNSHARE;
    super->features_hint |= ROMA__HINT_SHARED | (options->stay_shared ? 0 : ROMA__HINT_UNSHARE);
}

static void clear_shared(roma__super *super, void *context)
{
    (void)context;
    super->features_hint &= ~(ROMA__HINT_SHARED | ROMA__HINT_UNSHARE);
}

/* Under the file lock, and one thread of this process at a time. Not under the lock of openings,
 * which who opens a store takes when he has the file lock. */
static int change_super(const taking *job, void (*change)(roma__super *super, void *context),
                        roma_error *error)
{
    roma_store *store = job->store;
    roma_store_checkpoint_options options = *job->options;
    (void)pthread_mutex_lock(&store->super_lock);
    int code = roma__byte_lock(store->fd, ROMA__LOCK_FILE, true);
    if (code < 0) {
        code = roma__error_call(error, "fcntl", -code);
    } else {
        code = roma__super_change(store, change, &options, error);
        (void)roma__byte_unlock(store->fd, ROMA__LOCK_FILE);
    }
    (void)pthread_mutex_unlock(&store->super_lock);
    return code;
}

/* ---- the copy -------------------------------------------------------------------------------- */

/* A file system that cannot, or not between these two, is no failure. */
static bool share_pages(taking *job)
{
    return job->may_clone && roma__sys->clone_file(job->fd, job->store->fd) == 0;
}

/* While everybody is parked. */
static int take_parked(taking *job, roma_error *error)
{
    job->has_cloned = share_pages(job);
    if (!job->has_cloned)
        return roma__copy_bytes(job->fd, job->store->fd, error);
    if (!job->options->stay_shared)
        job->is_unshared = roma__copy_unshare(job->store->fd) == 0;
    return 0;
}

static int unparked(const roma_store *store, int code, uint32_t session, roma_error *error)
{
    if (code == -EBUSY)
        return roma__error(error, code, ROMA_WHY_STORE_BUSY);
    if (code != -ETIMEDOUT)
        return roma__error_call(error, "membarrier", -code);
    char label[sizeof store->view.sessions->label + 1] = "";
    memcpy(label, store->view.sessions[session].label, sizeof label - 1);
    (void)roma__error_subject(error, code, ROMA_WHY_STORE_UNPARKED, label);
    if (error != NULL)
        error->need = session;
    return code;
}

static int take(taking *job, roma_error *error)
{
    uint64_t timeout_ns = job->options->timeout_ns;
    uint32_t session = 0;
    int code = roma__store_park(job->store, timeout_ns != 0 ? timeout_ns : timeout_default_ns,
                                &session);
    if (code < 0)
        return unparked(job->store, code, session, error);
    code = take_parked(job, error);
    roma__store_unpark(job->store);
    return code;
}

/* The promise is withdrawn before the clone, and holds again as soon as nothing is shared. */
static int take_withdrawn(taking *job, roma_error *error)
{
    int code = change_super(job, set_shared, error);
    if (code < 0)
        return code;
    if (roma__sys->fsync(job->store->fd) < 0)
        code = roma__error_call(error, "fsync", errno);
    if (code == 0)
        code = take(job, error);
    bool never_shared = !job->has_cloned; /* what an earlier one left shared is not known */
    if (job->is_unshared || (never_shared && roma__copy_unshare(job->store->fd) == 0)) {
        int cleared = change_super(job, clear_shared, code < 0 ? NULL : error);
        code = code < 0 ? code : cleared;
    }
    return code;
}

static int quiesce_and_take(taking *job, roma_error *error)
{
    const roma_store_checkpoint_options *options = job->options;
    int code = options->quiesce != NULL ? options->quiesce(options->context) : 0;
    if (code != 0)
        return roma__error(error, code, ROMA_WHY_STORE_DECLINED);
    code = job->may_clone ? take_withdrawn(job, error) : take(job, error);
    if (options->resume != NULL)
        options->resume(options->context);
    return code;
}

/* ---- where to -------------------------------------------------------------------------------- */

/* What is at that path already may be replaced when it is a store that nobody has open, and not
 * this one. */
static int judge_old(const roma_store *store, int fd, roma_error *error)
{
    struct stat own, old;
    roma__super super;
    roma__regions regions;
    if (roma__sys->fstat(fd, &old) < 0 || roma__sys->fstat(store->fd, &own) < 0)
        return roma__error_call(error, "fstat", errno);
    if (own.st_dev == old.st_dev && own.st_ino == old.st_ino)
        return roma__error_invalid(error, "path");
    if (old.st_size == 0)
        return 0;
    int code = roma__super_read(fd, &super, &regions, error);
    if (code == -EUCLEAN)
        return 0; /* a damaged checkpoint, which a new one is for */
    if (code < 0)
        return code;
    int alive = roma__sessions_alive(fd, &regions, NULL);
    if (alive == 0)
        alive = roma__byte_is_held(fd, ROMA__LOCK_OPEN);
    if (alive < 0)
        return roma__error_call(error, "fcntl", -alive);
    return alive == 1 ? roma__error(error, -EBUSY, ROMA_WHY_STORE_BUSY) : 0;
}

static int judge_target(const roma_store *store, const char *path, roma_error *error)
{
    int fd = roma__sys->open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : roma__error_call(error, "open", errno);
    int code = judge_old(store, fd, error);
    roma__sys->close(fd);
    return code;
}

/* ---- the whole of it ------------------------------------------------------------------------- */

/* A store of its own, with space for all that is written to it, if the disk has that much. */
static int own(const taking *job, roma_error *error)
{
    bool is_whole = (!job->has_cloned || job->is_unshared) && roma__copy_back(job->fd) == 0;
    return roma__copy_own(job->fd, is_whole ? 0 : ROMA__HINT_SHARED, error);
}

static int checkpoint_at(taking *job, const char *path, roma_error *error)
{
    struct stat status;
    roma__part part;
    int code = judge_target(job->store, path, error);
    if (code < 0)
        return code;
    if (roma__sys->fstat(job->store->fd, &status) < 0)
        return roma__error_call(error, "fstat", errno);
    code = roma__file_fits((uint64_t)status.st_size);
    if (code < 0)
        return roma__error_call(error, "ftruncate", -code);
    code = roma__part_begin(&part, path, (unsigned)status.st_mode & 0777, error);
    if (code < 0)
        return code;
    job->fd = part.fd;
    code = quiesce_and_take(job, error);
    if (code == 0)
        code = own(job, error);
    if (code == 0)
        code = roma__part_publish(&part, error);
    roma__part_end(&part);
    return code;
}

static int read_options(const roma_store_checkpoint_options *given,
                        roma_store_checkpoint_options *own, roma_error *error)
{
    static const roma_store_checkpoint_options none;
    *own = none;
    if (given == NULL)
        return 0;
    int code = roma__struct_read(own, sizeof *own, given, sizeof *own, "checkpoint options", error);
    if (code == 0 && memcmp(own->reserved, none.reserved, sizeof none.reserved) != 0)
        code = roma__error_subject(error, -E2BIG, ROMA_WHY_UNKNOWN_OPTION, "checkpoint options");
    return code;
}

int roma_store_checkpoint(roma_store *store, const char *path,
                          const roma_store_checkpoint_options *options, roma_error *error)
{
    roma_store_checkpoint_options own;
    if (store == NULL)
        return roma__error_invalid(error, "store");
    if (store->is_stale)
        return roma__error_subject(error, -ESTALE, ROMA_WHY_INVALID, "store, after fork");
    if (store->is_read_only)
        return roma__error_subject(error, -EROFS, ROMA_WHY_UNSUPPORTED, "read-only store");
    int code = read_options(options, &own, error);
    if (code < 0)
        return code;
    if (path == NULL && store->path == NULL)
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "checkpoint without a path, of a store that has none");
    char *whole = path != NULL ? roma__path_with(path, "")
                               : roma__path_with(store->path, ".checkpoint");
    if (whole == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    taking job = {.store = store,
                  .options = &own,
                  .may_clone = !own.copy && (store->capabilities & ROMA_STORE_REFLINKS) != 0};
    code = checkpoint_at(&job, whole, error);
    free(whole);
    return code;
}
