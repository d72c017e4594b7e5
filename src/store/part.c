/* part.c - a file that appears at its path whole, or not at all.
 *
 * It is written under `path` and ".roma-part", written out, renamed to its path, and the folder is
 * written out: a crash at any point leaves at `path` what was there before, or the new file.
 *
 * One writer at a time has the part: who holds the lock on a byte of the file that has that name
 * now. The name is looked up again after locking, since the writer before may have renamed the file
 * meanwhile; the file at its final path must never be cut. What a killed writer left is taken over
 * and emptied by the next. */
#include "store/checkpoint.h"

#include "base/error.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ATTEMPTS = 16 };

char *roma__path_with(const char *path, const char *suffix)
{
    size_t bytes = strlen(path) + strlen(suffix) + 1;
    char *joined = malloc(bytes);
    if (joined != NULL)
        (void)snprintf(joined, bytes, "%s%s", path, suffix);
    return joined;
}

static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = roma__path_with(slash == NULL ? "." : path, "");
    if (folder != NULL && slash != NULL)
        folder[slash == path ? 1 : slash - path] = '\0';
    return folder;
}

static void free_paths(roma__part *part)
{
    free(part->path);
    free(part->part_path);
    free(part->folder);
}

/* The file of that name, locked. Returns its descriptor, -EAGAIN to try again, or -errno. */
static int open_locked(const char *path, unsigned mode, roma_error *error)
{
    int fd = roma__sys->create(path, O_RDWR | O_NOFOLLOW, mode);
    if (fd < 0)
        return roma__error_call(error, "open", errno);
    int code = roma__byte_lock(fd, ROMA__LOCK_FILE, false);
    if (code == -EAGAIN)
        code = roma__error(error, -EBUSY, ROMA_WHY_STORE_BUSY);
    else if (code < 0)
        code = roma__error_call(error, "fcntl", -code);
    if (code == 0) {
        int named = roma__file_has_name(fd, path);
        code = named == 1 ? 0 : named == 0 ? -EAGAIN : roma__error_call(error, "open", -named);
    }
    if (code == 0 && roma__sys->ftruncate(fd, 0) < 0)
        code = roma__error_call(error, "ftruncate", errno);
    if (code < 0)
        roma__locked_close(fd);
    return code < 0 ? code : fd;
}

int roma__part_begin(roma__part *part, const char *path, unsigned mode, roma_error *error)
{
    *part = (roma__part){.path = roma__path_with(path, ""),
                         .part_path = roma__path_with(path, ".roma-part"),
                         .folder = folder_of(path),
                         .fd = -EAGAIN};
    if (part->path == NULL || part->part_path == NULL || part->folder == NULL)
        part->fd = roma__error(error, -ENOMEM, ROMA_WHY_OUT_OF_MEMORY);
    for (int i = 0; i < ATTEMPTS && part->fd == -EAGAIN; i++)
        part->fd = open_locked(part->part_path, mode, error);
    if (part->fd == -EAGAIN)
        part->fd = roma__error(error, -EBUSY, ROMA_WHY_STORE_BUSY);
    if (part->fd < 0)
        free_paths(part);
    return part->fd < 0 ? part->fd : 0;
}

static int sync_folder(const char *folder, roma_error *error)
{
    int fd = roma__sys->open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return roma__error_call(error, "open", errno);
    int code = roma__sys->fsync(fd) == 0 ? 0 : roma__error_call(error, "fsync", errno);
    roma__sys->close(fd);
    return code;
}

int roma__part_publish(roma__part *part, roma_error *error)
{
    if (roma__sys->fsync(part->fd) < 0)
        return roma__error_call(error, "fsync", errno);
    if (roma__sys->rename(part->part_path, part->path) < 0)
        return roma__error_call(error, "rename", errno);
    part->is_published = true;
    return sync_folder(part->folder, error);
}

void roma__part_end(roma__part *part)
{
    if (!part->is_published)
        (void)roma__sys->unlink(part->part_path);
    roma__locked_close(part->fd);
    free_paths(part);
}
