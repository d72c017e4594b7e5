/* file.h - what the engine has to know of a file, asked once for each descriptor of a request. */
#ifndef ROMA_PREFETCH_FILE_H
#define ROMA_PREFETCH_FILE_H

#include <roma/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum roma__file_kind {
    ROMA__FILE_DISK = 0, /* pages come from somewhere: a disk, a network                         */
    ROMA__FILE_TMPFS,    /* pages are the file; they may be swapped out                          */
    ROMA__FILE_HUGETLB,  /* pages are the file and stay                                          */
    ROMA__FILE_RAMFS,    /* so they do; base pages, of no pool                                   */
    ROMA__FILE_DEVICE    /* a block device: as a disk, but of a length that nobody tells         */
} roma__file_kind;

typedef struct roma__file {
    uint64_t device, inode; /* who it is                                                         */
    uint64_t bytes;         /* its length; UINT64_MAX for devices                                */
    size_t page_bytes;      /* of the page cache: base pages, or those of its hugetlbfs          */
    roma__file_kind kind;
    int fd;
    bool may_ask;           /* the kernel tells this process what is resident; constant          */
    bool is_stacked;        /* its pages are those of a file below, whose owner counts; constant */
    bool is_silent;         /* it was asked, and did not; the engine's lock                      */
    bool wanted;            /* the planner's: a range that is not given up is in it              */
    int sync_code;          /* of a flush: what was met in writing it back; the engine's lock   */
} roma__file;

/* Look at an open file. Returns 0, -EBADF, -EOPNOTSUPP (neither a file nor a block device), -errno
 * with *error (may be NULL). */
int roma__file_look(int fd, roma__file *file, roma_error *error);

/* Its length now; UINT64_MAX for devices. Returns 0 or -errno. */
int roma__file_length(int fd, uint64_t *bytes);

/* Its pages are the file: no device is behind it. */
static inline bool roma__file_is_memory(const roma__file *file)
{
    return file->kind == ROMA__FILE_TMPFS || file->kind == ROMA__FILE_HUGETLB ||
           file->kind == ROMA__FILE_RAMFS;
}

/* And never leave it. */
static inline bool roma__file_stays(const roma__file *file)
{
    return file->kind == ROMA__FILE_HUGETLB || file->kind == ROMA__FILE_RAMFS;
}

static inline bool roma__file_is_same(const roma__file *a, const roma__file *b)
{
    return a->inode == b->inode && a->device == b->device;
}

/* Bytes of a huge page that a fault in a VM_HUGEPAGE mapping reads as a whole; 0 where the kernel
 * has none, or only ones that are too large to be read for a few bytes (512 MiB with base pages of
 * 64 KiB). Read until it is known. */
size_t roma__file_huge_bytes(void);

/* How much of one FADV_WILLNEED the kernel acts on for this file; what is beyond it is silently
 * left out. At least 128 KiB. Reads a file of /sys. */
size_t roma__file_reach(const roma__file *file);

#ifdef __cplusplus
}
#endif
#endif
