/* file_space.c - the file behind a file provider: made, mapped, its space taken and given back.
 *
 * Space of the file system is taken before pages are handed out (fallocate), so that a full disk is
 * an error there and no SIGBUS later, and given back afterwards by a hole: what is handed out again
 * reads as zero. A file system that cannot punch holes keeps the space, and that is noted. */
#include "provider/file.h"

#include "base/check.h"
#include "base/error.h"
#include "base/text.h"
#include "provider/fork.h"
#include "sys/kernel.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

int roma__file_refused(roma_error *error, const char *call, const char *path)
{
    int code = roma__error_call(error, call, errno);
    roma__text_copy(error->subject, sizeof error->subject, path);
    return code;
}

/* Where the file lies, whatever the working directory becomes. */
static void note_path(roma__file *file, int fd, const char *given)
{
    char link[40], path[PATH_MAX];
    roma__text text = roma__text_in(link, sizeof link);
    roma__text_add(&text, "/proc/self/fd/%d", fd);
    ssize_t length = roma__sys->readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    roma__text_copy(file->path, sizeof file->path, path[0] == '/' ? path : given);
}

static void start_records(roma__file *file)
{
    file->fresh = 0;
    file->keeps_old = file->advised = false;
    roma__runs_start(&file->runs, file->bytes / file->page_bytes,
                     (struct roma__run *)(void *)(file + 1));
}

int roma__file_make(roma__file *file, const char *path, bool keeps_name, roma_error *error)
{
    int fd = roma__sys->create(path, O_RDWR | O_EXCL | O_NOFOLLOW, file->mode);
    if (fd < 0)
        return roma__file_refused(error, "open", path);
    int code = 0;
    char *base = roma__sys->mmap(NULL, file->bytes, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (base == MAP_FAILED)
        code = roma__file_refused(error, "mmap", path);
    else if (roma__sys->madvise(base, file->bytes, MADV_DONTFORK) != 0)
        code = roma__file_refused(error, "madvise", "MADV_DONTFORK");
    if (code < 0 && base != MAP_FAILED)
        (void)roma__sys->munmap(base, file->bytes);
    if (code == 0 && file->path[0] == '\0')
        note_path(file, fd, path);
    if (code < 0 || !keeps_name)
        (void)roma__sys->unlink(path);
    if (code < 0) {
        (void)roma__sys->close(fd);
        return code;
    }
    file->fd = fd;
    file->base = base;
    file->generation = roma__fork_generation();
    start_records(file);
    return 0;
}

int roma__file_be_here(roma__file *file, roma_error *error)
{
    enum { TRIES_MAX = 100 };
    if (file->generation == roma__fork_generation())
        return 0;
    int parents = file->fd, code = -EEXIST;
    for (int i = 0; code == -EEXIST && i < TRIES_MAX; i++) {
        char path[PATH_MAX];
        roma__text text = roma__text_in(path, sizeof path);
        roma__text_add(&text, "%s.%ld-%d", file->path, (long)getpid(), i);
        code = text.cut ? roma__error_subject(error, -ENAMETOOLONG, ROMA_WHY_INVALID, "path")
                        : roma__file_make(file, path, false, error);
    }
    if (code < 0)
        return code;
    (void)roma__sys->close(parents);
    return 0;
}

/* Beyond this limit the kernel sends a signal, whose default is the end. */
static int check_limit(uint64_t end, roma_error *error)
{
    struct rlimit limit;
    if (roma__sys->getrlimit(RLIMIT_FSIZE, &limit) != 0 || end <= limit.rlim_cur)
        return 0;
    errno = EFBIG;
    int code = roma__file_refused(error, "fallocate", "RLIMIT_FSIZE");
    error->need = end;
    error->total = limit.rlim_cur;
    return code;
}

int roma__file_back(const roma__file *file, size_t first, size_t pages, roma_error *error)
{
    enum { TRIES_MAX = 1000 };
    off_t offset = (off_t)(first * file->page_bytes), bytes = (off_t)(pages * file->page_bytes);
    int code = check_limit((uint64_t)offset + (uint64_t)bytes, error);
    if (code < 0)
        return code;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        if (roma__sys->fallocate(file->fd, 0, offset, bytes) == 0)
            return 0;
        if (errno != EINTR)
            break;
    }
    code = roma__file_refused(error, "fallocate", file->path);
    error->need = (uint64_t)bytes;
    (void)roma__sys->fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, bytes);
    return code;
}

/* Other mappings lose their advice when they are unmapped; these pages are the next caller's. */
void roma__file_give(roma__file *file, size_t first, size_t pages)
{
    size_t offset = first * file->page_bytes, bytes = pages * file->page_bytes;
    bool is_hole = roma__sys->fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                        (off_t)offset, (off_t)bytes) == 0;
    roma__regions_lock();
    if (file->advised)
        (void)roma__sys->madvise(file->base + offset, bytes, MADV_DODUMP);
    file->keeps_old = file->keeps_old || !is_hole;
    roma_check(roma__runs_give(&file->runs, first, pages));
    roma__regions_unlock();
}
