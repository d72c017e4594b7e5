/* sandbox.c - see sandbox.h. */
#include "sandbox.h"

#include "store/layout.h"
#include "sys/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

uint64_t sandbox_alive;
void (*sandbox_on_held)(uint32_t session);

static dev_t device;
static ino_t inode;
static char *mapping; /* private, from offset 0; NULL: none yet */
static size_t mapping_bytes;
static off_t file_bytes;
static char overlay[2 * ROMA__SUPER_BYTES]; /* written before there was a mapping */
static bool has_overlay;

static bool is_store(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

/* ---- locks ----------------------------------------------------------------------------------- */

/* Taken inside, by which descriptor; -1: it was closed, and a mapping keeps the lock. */
enum { TAKEN_MAX = 64 };
static struct taken {
    int64_t from, to; /* the last one included; from > to: unused */
    int fd;
    short type;
} taken[TAKEN_MAX];

static void forget_locks(void)
{
    for (unsigned i = 0; i < TAKEN_MAX; i++)
        taken[i] = (struct taken){.from = 1, .to = 0, .fd = -1};
}

static bool living(int64_t from, int64_t to, uint32_t *session)
{
    for (uint32_t i = 0; i < 64; i++) {
        int64_t byte = ROMA__LOCK_SESSIONS + i;
        if ((sandbox_alive >> i & 1) != 0 && byte >= from && byte <= to) {
            *session = i;
            return true;
        }
    }
    return false;
}

/* What keeps a description from locking a range: true with the first byte of it. */
static bool conflict(int fd, short type, int64_t from, int64_t to, int64_t *byte)
{
    uint32_t session;
    if (living(from, to, &session)) {
        *byte = ROMA__LOCK_SESSIONS + session;
        if (sandbox_on_held != NULL)
            sandbox_on_held(session);
        return true;
    }
    for (unsigned i = 0; i < TAKEN_MAX; i++) {
        const struct taken *lock = &taken[i];
        if (lock->from <= to && lock->to >= from && lock->fd != fd &&
            (type == F_WRLCK || lock->type == F_WRLCK)) {
            *byte = lock->from > from ? lock->from : from;
            return true;
        }
    }
    return false;
}

static void unlock(int fd, int64_t from, int64_t to)
{
    for (unsigned i = 0; i < TAKEN_MAX; i++)
        if (taken[i].fd == fd && taken[i].from >= from && taken[i].to <= to)
            taken[i] = (struct taken){.from = 1, .to = 0, .fd = -1};
}

static void lock(int fd, short type, int64_t from, int64_t to)
{
    unlock(fd, from, to);
    for (unsigned i = 0; i < TAKEN_MAX; i++)
        if (taken[i].from > taken[i].to) {
            taken[i] = (struct taken){.from = from, .to = to, .fd = fd, .type = type};
            return;
        }
    abort();
}

static int inside_lock(int fd, int command, struct flock *range)
{
    int64_t from = range->l_start, byte;
    int64_t to = range->l_len == 0 ? INT64_MAX : range->l_start + range->l_len - 1;
    if (command == F_OFD_GETLK) {
        if (!conflict(fd, range->l_type, from, to, &byte)) {
            range->l_type = F_UNLCK;
        } else {
            range->l_type = F_WRLCK;
            range->l_start = byte;
            range->l_len = 1;
            range->l_pid = -1;
        }
        return 0;
    }
    if (range->l_type == F_UNLCK) {
        unlock(fd, from, to);
        return 0;
    }
    if (conflict(fd, range->l_type, from, to, &byte)) {
        errno = EAGAIN;
        return -1;
    }
    lock(fd, range->l_type, from, to);
    return 0;
}

/* ---- the file -------------------------------------------------------------------------------- */

static void *inside_mmap(void *address, size_t bytes, int protection, int flags, int fd,
                         off_t offset)
{
    bool is_file = fd >= 0 && (flags & MAP_TYPE) != MAP_PRIVATE && is_store(fd);
    if (is_file)
        flags = (flags & ~MAP_TYPE) | MAP_PRIVATE | MAP_NORESERVE;
    void *place = roma__sys_kernel.mmap(address, bytes, protection, flags, fd, offset);
    if (place != MAP_FAILED && is_file && offset == 0 && (protection & PROT_WRITE) != 0) {
        mapping = place;
        mapping_bytes = bytes;
        if (has_overlay)
            memcpy(mapping, overlay, sizeof overlay);
    }
    return place;
}

static int inside_munmap(void *address, size_t bytes)
{
    if (address == mapping) {
        mapping = NULL;
        for (unsigned i = 0; i < TAKEN_MAX; i++)
            if (taken[i].fd == -1)
                taken[i].from = taken[i].to + 1;
    }
    return roma__sys_kernel.munmap(address, bytes);
}

static bool is_mapped(off_t offset, size_t bytes)
{
    return mapping != NULL && offset >= 0 && (uint64_t)offset + bytes <= mapping_bytes &&
           (uint64_t)offset + bytes <= (uint64_t)file_bytes;
}

static ssize_t inside_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    if (is_store(fd) && is_mapped(offset, bytes)) {
        memcpy(buffer, mapping + offset, bytes);
        return (ssize_t)bytes;
    }
    ssize_t count = roma__sys_kernel.pread(fd, buffer, bytes, offset);
    if (count > 0 && has_overlay && is_store(fd) && offset < (off_t)sizeof overlay) {
        size_t rest = sizeof overlay - (size_t)offset;
        memcpy(buffer, overlay + offset, rest < (size_t)count ? rest : (size_t)count);
    }
    return count;
}

static ssize_t inside_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    if (!is_store(fd)) /* a checkpoint's file, or what else the library makes */
        return roma__sys_kernel.pwrite(fd, buffer, bytes, offset);
    if (is_mapped(offset, bytes)) {
        memcpy(mapping + offset, buffer, bytes);
    } else if (offset >= 0 && (uint64_t)offset + bytes <= sizeof overlay) {
        if (!has_overlay &&
            roma__sys_kernel.pread(fd, overlay, sizeof overlay, 0) != (ssize_t)sizeof overlay)
            abort();
        has_overlay = true;
        memcpy(overlay + offset, buffer, bytes);
    } else {
        errno = ENOSPC;
        return -1;
    }
    return (ssize_t)bytes;
}

/* Space that is there can be had; a hole punched in the copy reads as zero. */
static int inside_fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    if (!is_store(fd))
        return roma__sys_kernel.fallocate(fd, mode, offset, bytes);
    if ((mode & FALLOC_FL_PUNCH_HOLE) != 0) {
        if (is_mapped(offset, (size_t)bytes))
            memset(mapping + offset, 0, (size_t)bytes);
        return 0;
    }
    if (offset + bytes <= file_bytes)
        return 0;
    errno = ENOSPC;
    return -1;
}

static int inside_ftruncate(int fd, off_t bytes)
{
    return is_store(fd) ? 0 : roma__sys_kernel.ftruncate(fd, bytes);
}

static int inside_fsync(int fd)
{
    (void)fd;
    return 0;
}

static int inside_msync(void *address, size_t bytes, int flags)
{
    (void)address, (void)bytes, (void)flags;
    return 0;
}

static int inside_close(int fd)
{
    if (fd >= 0)
        for (unsigned i = 0; i < TAKEN_MAX; i++)
            if (taken[i].fd == fd)
                taken[i].fd = -1;
    return roma__sys_kernel.close(fd);
}

/* ---- in and out ------------------------------------------------------------------------------ */

void sandbox_enter(int fd, uint64_t alive)
{
    static struct roma__sys table;
    struct stat status;
    if (fstat(fd, &status) != 0)
        abort();
    device = status.st_dev;
    inode = status.st_ino;
    file_bytes = status.st_size;
    sandbox_alive = alive;
    has_overlay = false;
    mapping = NULL;
    forget_locks();
    table = roma__sys_kernel;
    table.mmap = inside_mmap;
    table.munmap = inside_munmap;
    table.pread = inside_pread;
    table.pwrite = inside_pwrite;
    table.fallocate = inside_fallocate;
    table.ftruncate = inside_ftruncate;
    table.fsync = inside_fsync;
    table.msync = inside_msync;
    table.close = inside_close;
    table.lock = inside_lock;
    (void)roma__sys_replace(&table);
}

void sandbox_leave(void)
{
    (void)roma__sys_replace(NULL);
}
