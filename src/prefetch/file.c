/* file.c - see file.h. */
#include "prefetch/file.h"

#include "base/bits.h"
#include "base/error.h"
#include "sys/kernel.h"
#include "sys/read.h"
#include "sys/sys.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum {
    HUGE_MOST_BYTES = 32 << 20,
    REACH_LEAST_BYTES = 128 << 10,
    REACH_MOST_BYTES = 2 << 20 /* the kernel reads no more at a time, whatever its settings */
};

static uint64_t length_of(const struct stat *status)
{
    return S_ISBLK(status->st_mode) ? UINT64_MAX : (uint64_t)status->st_size;
}

/* Which files these are: their pages can only be told from those of a disk by the file system. What
 * an overlay shows has pages in the file of its layer alone: a mapping is of that one, and
 * cachestat() looks at the other. */
static int look_at_system(int fd, roma__file *file, roma_error *error)
{
    struct statfs system;
    if (roma__sys->fstatfs(fd, &system) < 0)
        return roma__error_call(error, "fstatfs", errno);
    if ((unsigned long)system.f_type == ROMA__TMPFS_MAGIC)
        file->kind = ROMA__FILE_TMPFS;
    if ((unsigned long)system.f_type == ROMA__RAMFS_MAGIC)
        file->kind = ROMA__FILE_RAMFS;
    if ((unsigned long)system.f_type == ROMA__HUGETLBFS_MAGIC) {
        file->kind = ROMA__FILE_HUGETLB;
        file->page_bytes = (size_t)system.f_bsize;
    }
    file->is_stacked = (unsigned long)system.f_type == ROMA__OVERLAYFS_MAGIC;
    return 0;
}

/* Root is believed only where it may act for the owner: else the kernel says of every page that it
 * is there, also of one behind the file's end. */
static bool tells_truth(int fd, uint64_t length, size_t page_bytes)
{
    unsigned char answer = 1;
    uint64_t behind = roma__align_up(length, page_bytes);
    if (behind > INT64_MAX - page_bytes)
        return false;
    char *address = roma__sys->mmap(NULL, page_bytes, PROT_READ, MAP_SHARED, fd, (off_t)behind);
    if (address == MAP_FAILED)
        return false;
    bool is_told = roma__sys->mincore(address, page_bytes, &answer) == 0;
    (void)roma__sys->munmap(address, page_bytes);
    return is_told && (answer & 1) == 0;
}

int roma__file_look(int fd, roma__file *file, roma_error *error)
{
    struct stat status;
    if (roma__sys->fstat(fd, &status) < 0)
        return roma__error_call(error, "fstat", errno);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode))
        return roma__error_subject(error, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED,
                                   "what is neither a file nor a block device");
    /* As the kernel asks: the owner, or who may write. It tells the others that all is there. */
    *file = (roma__file){
        .device = (uint64_t)status.st_dev,
        .inode = (uint64_t)status.st_ino,
        .bytes = length_of(&status),
        .page_bytes = (size_t)getpagesize(),
        .kind = S_ISBLK(status.st_mode) ? ROMA__FILE_DEVICE : ROMA__FILE_DISK,
        .fd = fd,
        .may_ask = geteuid() == status.st_uid,
    };
    int code = 0;
    if (file->kind == ROMA__FILE_DEVICE) {
        file->device = (uint64_t)status.st_rdev; /* its page cache belongs to it, not to its name */
        file->inode = UINT64_MAX;
    } else {
        code = look_at_system(fd, file, error);
    }
    if (code == 0 && (!file->may_ask || file->is_stacked))
        file->may_ask = tells_truth(fd, file->bytes, (size_t)getpagesize());
    return code;
}

int roma__file_length(int fd, uint64_t *bytes)
{
    struct stat status;
    if (roma__sys->fstat(fd, &status) < 0)
        return -errno;
    *bytes = length_of(&status);
    return 0;
}

size_t roma__file_huge_bytes(void)
{
    static _Atomic(size_t) known = 1; /* 1: not yet asked; all who ask find the same */
    size_t huge_bytes = atomic_load_explicit(&known, memory_order_relaxed);
    if (huge_bytes != 1)
        return huge_bytes;
    uint64_t value = 0;
    int code = roma__read_number("", &value, "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    if (code < 0 && code != -ENOENT)
        return 0; /* this time */
    bool is_fit = code == 0 && value <= HUGE_MOST_BYTES && roma__is_power_of_two((size_t)value) &&
                  value > (size_t)getpagesize();
    huge_bytes = is_fit ? (size_t)value : 0;
    atomic_store_explicit(&known, huge_bytes, memory_order_relaxed);
    return huge_bytes;
}

size_t roma__file_reach(const roma__file *file)
{
    uint64_t ahead_kib = 0;
    unsigned major = major((dev_t)file->device), minor = minor((dev_t)file->device);
    int code = roma__read_number("", &ahead_kib, "/sys/class/bdi/%u:%u/read_ahead_kb", major,
                                 minor);
    if (code < 0) /* a partition: its disk's */
        code = roma__read_number("", &ahead_kib, "/sys/dev/block/%u:%u/../queue/read_ahead_kb",
                                 major, minor);
    if (code < 0 || ahead_kib > REACH_MOST_BYTES >> 10)
        return code < 0 ? REACH_LEAST_BYTES : REACH_MOST_BYTES;
    return roma__max((size_t)ahead_kib << 10, REACH_LEAST_BYTES);
}
