/* file.c - byte locks, descriptors, this run of the machine.
 *
 * Byte locks are those of open file descriptions (F_OFD_SETLK): they belong to neither a process
 * nor a descriptor, but to the description, and go when its last user does: a descriptor, or a
 * mapping made from it. They stand far behind any file's end. */
#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "store/internal.h"
#include "sys/kernel.h"
#include "sys/read.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct flock range_of(short type, int64_t first, int64_t count)
{
    struct flock range;
    memset(&range, 0, sizeof range); /* the kernel wants l_pid to be 0 */
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = (off_t)first;
    range.l_len = (off_t)count;
    return range;
}

int roma__byte_lock(int fd, int64_t byte, bool wait)
{
    struct flock range = range_of(F_WRLCK, byte, 1);
    while (roma__sys->lock(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &range) < 0) {
        if (errno != EINTR)
            return errno == EACCES ? -EAGAIN : -errno;
    }
    return 0;
}

int roma__byte_share(int fd, int64_t byte)
{
    struct flock range = range_of(F_RDLCK, byte, 1);
    while (roma__sys->lock(fd, F_OFD_SETLKW, &range) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

/* What is not let go keeps others out, so a failure is not the last word. */
int roma__byte_unlock(int fd, int64_t byte)
{
    enum { TRIES = 4 };
    struct flock range = range_of(F_UNLCK, byte, 1);
    for (int tries = 0; roma__sys->lock(fd, F_OFD_SETLK, &range) < 0; tries++)
        if (tries == TRIES)
            return -errno;
    return 0;
}

void roma__locked_close(int fd)
{
    (void)roma__byte_unlock(fd, ROMA__LOCK_FILE);
    (void)roma__sys->close(fd);
}

/* Does another description hold any of them? */
static int range_is_held(int fd, int64_t first, int64_t count)
{
    struct flock range = range_of(F_WRLCK, first, count);
    if (count == 0)
        return 0;
    if (roma__sys->lock(fd, F_OFD_GETLK, &range) < 0)
        return -errno;
    return range.l_type != F_UNLCK;
}

int roma__byte_is_held(int fd, int64_t byte)
{
    return range_is_held(fd, byte, 1);
}

int roma__sessions_alive(int fd, const roma__regions *regions, const roma_store *store)
{
    int64_t first = ROMA__LOCK_SESSIONS, count = regions->sessions;
    if (store == NULL)
        return range_is_held(fd, first, count);
    int64_t own = store->session;
    int below = range_is_held(fd, first, own);
    return below != 0 ? below : range_is_held(fd, first + own + 1, count - own - 1);
}

int roma__store_file_back(int fd, uint64_t from, uint64_t to)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (to <= from)
        return 0;
    from = roma__align_down(from, page);
    to = roma__align_up(to, page);
    int code = roma__file_fits(to);
    if (code < 0)
        return code;
    while (roma__sys->fallocate(fd, 0, (off_t)from, (off_t)(to - from)) < 0)
        if (errno != EINTR)
            return errno == EDQUOT ? -ENOSPC : -errno;
    return 0;
}

int roma__file_reopen(int fd, bool read_only, roma_error *error)
{
    char path[64];
    roma__text text = roma__text_in(path, sizeof path);
    roma__text_put(&text, "/proc/self/fd/"); /* not printf: also called after fork */
    roma__text_put_number(&text, (uint64_t)fd);
    if (fd < 0)
        return roma__error_call(error, "open", EBADF);
    int own = roma__sys->open(path, read_only ? O_RDONLY : O_RDWR);
    return own < 0 ? roma__error_call(error, "open", errno) : own;
}

int roma__file_has_name(int fd, const char *path)
{
    struct stat own, named;
    int other = roma__sys->open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (other < 0)
        return errno == ENOENT ? 0 : -errno;
    int code;
    if (roma__sys->fstat(fd, &own) == 0 && roma__sys->fstat(other, &named) == 0)
        code = own.st_dev == named.st_dev && own.st_ino == named.st_ino;
    else
        code = -errno;
    roma__sys->close(other);
    return code;
}

void roma__boot_id(char *text, size_t bytes)
{
    if (roma__read_file("", text, bytes, "/proc/sys/kernel/random/boot_id") < 0)
        text[0] = '\0';
}
