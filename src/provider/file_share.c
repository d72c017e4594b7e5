/* file_share.c - extents of a file provider for other processes, by descriptor.
 *
 * An extent is a part of a file, and a descriptor is for all of it. Which part is meant goes with
 * the descriptor itself: an export is a description of its own, whose position is the extent's
 * start, and which holds a read lock on exactly its bytes (an OFD lock). Both belong to the
 * description, so they go where it goes, through sockets too, and end with it. Who imports it looks
 * for the lock at that position, from another description, since one's own locks are not seen.
 *
 * Limits. A descriptor that was opened anew, through /proc, has lost both. The space stays the
 * exporter's: when he releases the extent, what others see of it is a hole, and writing there may
 * be a SIGBUS on a full disk. Extents that overlap are exported by no provider, but two exports of
 * one extent that was resized in between overlap, and the position alone may then find either. */
#include "provider/file.h"

#include "base/bits.h"
#include "base/error.h"
#include "base/text.h"
#include "numa/machine.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* The same file once more, as a description of its own. Returns it or -errno. */
static int open_again(int fd, roma_error *error)
{
    char link[40];
    roma__text text = roma__text_in(link, sizeof link);
    roma__text_add(&text, "/proc/self/fd/%d", fd);
    int again = roma__sys->open(link, O_RDWR);
    return again >= 0 ? again : roma__file_refused(error, "open", link);
}

int roma__file_export(void *self, const roma_extent *extent, roma_error *error)
{
    const roma__file *file = self;
    if (roma__file_is_gone(extent))
        return roma__file_gone(error);
    if (roma__file_is_import(extent))
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "exporting an imported extent");
    int fd = open_again(file->fd, error);
    if (fd < 0)
        return fd;
    struct flock part = {
        .l_type = F_RDLCK,
        .l_whence = SEEK_SET,
        .l_start = (off_t)((const char *)extent->address - file->base),
        .l_len = (off_t)extent->bytes,
    };
    int code = 0;
    if (roma__sys->lseek(fd, part.l_start, SEEK_SET) < 0)
        code = roma__file_refused(error, "lseek", file->path);
    else if (roma__sys->lock(fd, F_OFD_SETLK, &part) != 0)
        code = roma__file_refused(error, "fcntl", "F_OFD_SETLK");
    if (code == 0)
        return fd;
    (void)roma__sys->close(fd);
    return code;
}

/* Which part of its file a descriptor is for. Returns 0, -EINVAL (none), -errno. */
static int part_of(const roma__file *file, int fd, int again, struct flock *part, roma_error *error)
{
    off_t start = roma__sys->lseek(fd, 0, SEEK_CUR);
    if (start < 0)
        return roma__file_refused(error, "lseek", "fd");
    *part = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = start, .l_len = 1};
    if (roma__sys->lock(again, F_OFD_GETLK, part) != 0)
        return roma__file_refused(error, "fcntl", "F_OFD_GETLK");
    if (part->l_type != F_RDLCK || part->l_start != start || part->l_len <= 0 ||
        !roma__is_aligned((size_t)(part->l_start | part->l_len), file->page_bytes))
        return roma__error_invalid(error, "fd");
    return 0;
}

static int map_part(const struct flock *part, int fd, char **base, roma_error *error)
{
    size_t bytes = (size_t)part->l_len;
    *base = roma__sys->mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, part->l_start);
    if (*base == MAP_FAILED)
        return roma__file_refused(error, "mmap", "fd");
    if (roma__sys->madvise(*base, bytes, MADV_DONTFORK) == 0)
        return 0;
    int code = roma__file_refused(error, "madvise", "MADV_DONTFORK");
    (void)roma__sys->munmap(*base, bytes);
    return code;
}

int roma__file_import(void *self, int fd, roma_extent *extent, roma_error *error)
{
    roma__file *file = self;
    struct flock part = {0};
    char *base = NULL;
    int again = open_again(fd, error);
    if (again < 0)
        return again;
    int code = part_of(file, fd, again, &part, error);
    if (code == 0)
        code = map_part(&part, again, &base, error);
    (void)roma__sys->close(again);
    if (code < 0)
        return code;
    *extent = (roma_extent){
        .address = base,
        .bytes = (size_t)part.l_len,
        .page_bytes = file->page_bytes,
        .pages = roma__machine_resolve((roma_page_kind)ROMA_PAGES_BASE),
        .tag = roma__file_tag(true),
    };
    roma__file_note(file, 1, extent->bytes);
    return 0;
}

int roma__file_let_go(roma__file *file, const roma_extent *extent, roma_error *error)
{
    if (roma__sys->munmap(extent->address, extent->bytes) != 0)
        return roma__file_refused(error, "munmap", "an imported extent");
    roma__file_note(file, UINT64_MAX, 0 - (uint64_t)extent->bytes);
    return 0;
}
