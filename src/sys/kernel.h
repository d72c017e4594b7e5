/* kernel.h - the kernel's constants and structures that C libraries may lack: those of Linux up to
 * 6.7, under the kernel's own names where headers that a source includes may have them too.
 *
 * No <linux/...> header is needed, so the library builds with musl and with old kernel headers.
 * Whether the running kernel knows a value is asked at run time, never here. */
#ifndef ROMA_SYS_KERNEL_H
#define ROMA_SYS_KERNEL_H

#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* ---- mmap and mremap ------------------------------------------------------------------------ */

#ifndef MAP_HUGETLB
#define MAP_HUGETLB 0x40000
#endif
#ifndef MAP_HUGE_SHIFT
#define MAP_HUGE_SHIFT 26 /* log2 of the page's bytes stands here in mmap's flags */
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MREMAP_MAYMOVE
#define MREMAP_MAYMOVE 1
#endif
#ifndef MREMAP_FIXED
#define MREMAP_FIXED 2
#endif

/* ---- madvise -------------------------------------------------------------------------------- */

#ifndef MADV_DONTFORK
#define MADV_DONTFORK 10
#endif
#ifndef MADV_DOFORK
#define MADV_DOFORK 11
#endif
#ifndef MADV_HUGEPAGE
#define MADV_HUGEPAGE 14
#endif
#ifndef MADV_NOHUGEPAGE
#define MADV_NOHUGEPAGE 15
#endif
#ifndef MADV_DONTDUMP
#define MADV_DONTDUMP 16
#endif
#ifndef MADV_DODUMP
#define MADV_DODUMP 17
#endif
#ifndef MADV_COLD
#define MADV_COLD 20 /* Linux 5.4 */
#endif
#ifndef MADV_PAGEOUT
#define MADV_PAGEOUT 21 /* Linux 5.4 */
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

/* ---- memory policy -------------------------------------------------------------------------- */

#ifndef MPOL_PREFERRED
#define MPOL_PREFERRED 1
#endif
#ifndef MPOL_BIND
#define MPOL_BIND 2
#endif
#ifndef MPOL_INTERLEAVE
#define MPOL_INTERLEAVE 3
#endif
#ifndef MPOL_PREFERRED_MANY
#define MPOL_PREFERRED_MANY 5 /* Linux 5.15 */
#endif

/* ---- names of mappings (Linux 5.17, CONFIG_ANON_VMA_NAME) ----------------------------------- */

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_VMA_ANON_NAME
#define PR_SET_VMA_ANON_NAME 0
#endif

/* ---- system calls newer than some C libraries ----------------------------------------------- */

#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#endif
#ifndef SYS_io_uring_register
#define SYS_io_uring_register 427
#endif
#ifndef SYS_cachestat
#define SYS_cachestat 451 /* Linux 6.5 */
#endif

enum { ROMA__IO_URING_PARAMS_BYTES = 120 };

/* ---- files ----------------------------------------------------------------------------------- */

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#endif
#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE 0x01
#endif
#ifndef FALLOC_FL_ZERO_RANGE
#define FALLOC_FL_ZERO_RANGE 16
#endif
#ifndef FALLOC_FL_PUNCH_HOLE
#define FALLOC_FL_PUNCH_HOLE 0x02
#endif

#ifndef FALLOC_FL_UNSHARE_RANGE
#define FALLOC_FL_UNSHARE_RANGE 0x40
#endif
#ifndef SEEK_DATA
#define SEEK_DATA 3
#define SEEK_HOLE 4
#endif

#ifndef SYS_statx
#define SYS_statx __NR_statx
#endif

/* What statx() fills (Linux 4.11), as far as it is looked at. */
typedef struct roma__statx {
    uint32_t mask; /* of what is known */
    uint32_t before[19];
    int64_t birth_seconds; /* when the inode was made: ROMA__STATX_BIRTH */
    uint32_t birth_ns;
    uint32_t after[41];
} roma__statx;

enum { ROMA__STATX_BIRTH = 0x800 };

#define ROMA__FICLONE _IOW(0x94, 9, int)

enum {
    ROMA__MFD_CLOEXEC = 1,
    ROMA__MFD_ALLOW_SEALING = 2,
    ROMA__MFD_HUGETLB = 4,
    ROMA__SEAL_SEAL = 1,
    ROMA__SEAL_SHRINK = 2
};

/* ---- membarrier (Linux 4.14) ----------------------------------------------------------------- */

enum {
    ROMA__MEMBARRIER_GLOBAL = 1 << 0, /* all processes; a millisecond or so */
    ROMA__MEMBARRIER_GLOBAL_EXPEDITED = 1 << 1, /* Linux 4.16: those that registered */
    ROMA__MEMBARRIER_REGISTER_GLOBAL_EXPEDITED = 1 << 2,
    ROMA__MEMBARRIER_PRIVATE_EXPEDITED = 1 << 3,
    ROMA__MEMBARRIER_REGISTER_PRIVATE_EXPEDITED = 1 << 4
};

/* ---- files and the page cache --------------------------------------------------------------- */

enum { ROMA__TMPFS_MAGIC = 0x01021994, ROMA__OVERLAYFS_MAGIC = 0x794c7630 }; /* statfs.f_type */
#define ROMA__HUGETLBFS_MAGIC 0x958458f6u
#define ROMA__RAMFS_MAGIC 0x858458f6u

typedef struct roma__cachestat_range {
    uint64_t offset, bytes;
} roma__cachestat_range;

typedef struct roma__cachestat {
    uint64_t cached, dirty, writeback, evicted, recently_evicted; /* base pages */
} roma__cachestat;

/* ---- PAGEMAP_SCAN (Linux 6.7) ---------------------------------------------------------------- */

typedef struct roma__pagemap_region {
    uint64_t start, end; /* addresses */
    uint64_t categories; /* ROMA__PAGE_IS_* */
} roma__pagemap_region;

typedef struct roma__pagemap_argument {
    uint64_t size; /* of this struct */
    uint64_t flags;
    uint64_t start, end;
    uint64_t walk_end; /* out: where the walk stopped */
    uint64_t vec, vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
} roma__pagemap_argument;

#define ROMA__PAGEMAP_SCAN _IOWR('f', 16, roma__pagemap_argument)

enum {
    ROMA__PAGE_IS_PRESENT = 1 << 3,
    ROMA__PAGE_IS_PFNZERO = 1 << 5, /* the kernel's shared page of zeros */
    ROMA__PAGE_IS_HUGE = 1 << 6     /* mapped as a whole: hugetlb, or transparent of full size */
};

#endif
