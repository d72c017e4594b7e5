/* restore.c - the last checkpoint in place of a store that a crash of the machine interrupted.
 *
 *   1 the checkpoint is checked block by block
 *   2 a part file beside the store's path becomes a copy of it, with space for all that is written
 *   3 the interrupted store gets a second name, `path` and ".crashed"
 *   4 the part is written out and renamed to the store's path, and the folder written out
 *
 * At every moment `path` is the interrupted store or the whole copy. The checkpoint itself is only
 * read, so a second crash finds it again. Both files' lock bytes are held throughout: nobody opens
 * one meanwhile. On a file system without hard links the second name is had by renaming, and for a
 * moment `path` names nothing; the checkpoint is still there. */
#include "store/checkpoint.h"

#include "base/error.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- files that nobody else may have --------------------------------------------------------- */

/* What has it open: a session, or a read-only opening. 0, or -EBUSY, -errno. */
static int is_free(int fd, const roma__regions *regions)
{
    int alive = regions != NULL ? roma__sessions_alive(fd, regions, NULL) : 0;
    if (alive == 0)
        alive = roma__byte_is_held(fd, ROMA__LOCK_OPEN);
    return alive == 1 ? -EBUSY : alive;
}

static int lock_file(int fd, const roma__regions *regions, roma_error *error)
{
    int code = roma__byte_lock(fd, ROMA__LOCK_FILE, false);
    if (code == 0)
        code = is_free(fd, regions);
    if (code == -EAGAIN || code == -EBUSY)
        return roma__error(error, -EBUSY, ROMA_WHY_STORE_BUSY);
    return code < 0 ? roma__error_call(error, "fcntl", -code) : 0;
}

/* ---- the checkpoint -------------------------------------------------------------------------- */

static int check(const char *path, roma_error *error)
{
    int64_t faults = roma_store_check_file(path, NULL, NULL, error);
    if (faults > 0)
        return roma__error_subject(error, -EUCLEAN, ROMA_WHY_STORE_DAMAGED, "the checkpoint");
    return (int)faults;
}

/* Returns its descriptor, locked, or -errno. */
static int open_checkpoint(const char *path, roma_error *error)
{
    roma__super super;
    roma__regions regions;
    int fd = roma__sys->open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return roma__error_call(error, "open", errno);
    int code = roma__super_read(fd, &super, &regions, error);
    if (code == 0)
        code = lock_file(fd, &regions, error);
    if (code == 0 && (super.flags & ROMA__SUPER_CLEAN) == 0)
        code = roma__error_subject(error, -EUCLEAN, ROMA_WHY_STORE_DAMAGED,
                                   "the checkpoint was in use when it was left");
    if (code == 0)
        code = check(path, error);
    if (code < 0)
        roma__locked_close(fd);
    return code < 0 ? code : fd;
}

/* ---- the interrupted store ------------------------------------------------------------------- */

/* Returns its descriptor, locked, -ENOENT when there is none (no error), or -errno. */
static int open_store(const char *path, roma_error *error)
{
    roma__super super;
    roma__regions regions;
    int fd = roma__sys->open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ENOENT : roma__error_call(error, "open", errno);
    bool is_store = roma__super_read(fd, &super, &regions, NULL) == 0;
    int code = lock_file(fd, is_store ? &regions : NULL, error);
    if (code < 0)
        roma__locked_close(fd);
    return code < 0 ? code : fd;
}

static int keep_crashed(const char *path, roma_error *error)
{
    char *kept = roma__path_with(path, ".crashed");
    if (kept == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    int code = 0;
    if (roma__sys->unlink(kept) < 0 && errno != ENOENT)
        code = roma__error_call(error, "unlink", errno);
    else if (roma__sys->link(path, kept) < 0 && roma__sys->rename(path, kept) < 0)
        code = roma__error_call(error, "rename", errno);
    free(kept);
    return code;
}

/* ---- the whole of it ------------------------------------------------------------------------- */

static int fill(int to, int from, roma_error *error)
{
    int code = 0;
    bool has_cloned = roma__sys->clone_file(to, from) == 0;
    if (!has_cloned)
        code = roma__copy_bytes(to, from, error);
    if (code < 0)
        return code;
    /* A full disk is no reason to be without the store; it only promises less. */
    bool is_whole = roma__copy_back(to) == 0 && (!has_cloned || roma__copy_unshare(to) == 0);
    return roma__copy_own(to, is_whole ? 0 : ROMA__HINT_SHARED, error);
}

static int restore(const char *path, int from, bool is_there, roma_error *error)
{
    struct stat status;
    roma__part part;
    if (roma__sys->fstat(from, &status) < 0)
        return roma__error_call(error, "fstat", errno);
    int code = roma__file_fits((uint64_t)status.st_size);
    if (code < 0)
        return roma__error_call(error, "ftruncate", -code);
    code = roma__part_begin(&part, path, (unsigned)status.st_mode & 0777, error);
    if (code < 0)
        return code;
    code = fill(part.fd, from, error);
    if (code == 0 && is_there)
        code = keep_crashed(path, error);
    if (code == 0)
        code = roma__part_publish(&part, error);
    roma__part_end(&part);
    return code;
}

static int restore_from(const char *path, const char *checkpoint, roma_error *error)
{
    int from = open_checkpoint(checkpoint, error);
    if (from < 0)
        return from;
    int store = open_store(path, error);
    int code = store < 0 && store != -ENOENT ? store : 0;
    if (code == 0)
        code = restore(path, from, store >= 0, error);
    if (store >= 0)
        roma__locked_close(store);
    roma__locked_close(from);
    return code;
}

int roma_store_restore(const char *path, const char *checkpoint, roma_error *error)
{
    if (path == NULL)
        return roma__error_invalid(error, "path");
    char *whole = checkpoint != NULL ? roma__path_with(checkpoint, "")
                                     : roma__path_with(path, ".checkpoint");
    if (whole == NULL)
        return roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    int code = restore_from(path, whole, error);
    free(whole);
    return code;
}
