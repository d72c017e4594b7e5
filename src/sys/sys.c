/* sys.c - the table in use, and the kernel's own: one short function for each call that the C
 * library does not offer in the form of the table, nothing else. */
#include "sys/sys.h"

#include "sys/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

_Static_assert(sizeof(pthread_t) <= sizeof(void *), "a thread is handed out as a pointer");

static void *kernel_mremap(void *address, size_t old_bytes, size_t bytes, int flags, void *to)
{
    return mremap(address, old_bytes, bytes, flags, to);
}

static int kernel_mbind(void *address, size_t bytes, int mode, const unsigned long *nodes,
                        unsigned long max_node, unsigned flags)
{
    return (int)syscall(SYS_mbind, address, bytes, mode, nodes, max_node, flags);
}

static int kernel_move_pages(unsigned long count, void **pages, const int *nodes, int *status,
                             int flags)
{
    return (int)syscall(SYS_move_pages, 0, count, pages, nodes, status, flags);
}

/* The C library's needs no system call, where it has one. */
static int kernel_getcpu(unsigned *cpu, unsigned *node)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 29)
    return getcpu(cpu, node);
#else
    return (int)syscall(SYS_getcpu, cpu, node, NULL);
#endif
}

/* Of the calling thread. */
static int kernel_set_affinity(size_t bytes, const void *cpus)
{
    return (int)syscall(SYS_sched_setaffinity, 0, bytes, cpus);
}

/* The same; the call fills no more than the kernel has. */
static int kernel_get_affinity(size_t bytes, void *cpus)
{
    long filled = syscall(SYS_sched_getaffinity, 0, bytes, cpus);
    if (filled < 0)
        return -1;
    memset((char *)cpus + filled, 0, bytes - (size_t)filled);
    return 0;
}

static int kernel_name_mapping(void *address, size_t bytes, const char *name)
{
    return prctl(PR_SET_VMA, (unsigned long)PR_SET_VMA_ANON_NAME, (unsigned long)address, bytes,
                 (unsigned long)name);
}

static int kernel_open(const char *path, int flags)
{
    return open(path, flags | O_CLOEXEC);
}

static ssize_t kernel_getdents(int fd, void *buffer, size_t bytes)
{
    return syscall(SYS_getdents64, fd, buffer, bytes);
}

static int kernel_dup(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

static int kernel_fadvise(int fd, off_t offset, off_t bytes, int advice)
{
    int code = posix_fadvise(fd, offset, bytes, advice); /* an errno, and not in errno */
    errno = code;
    return code == 0 ? 0 : -1;
}

static int kernel_eventfd(unsigned count, int flags)
{
    return eventfd(count, flags | EFD_CLOEXEC);
}

static int kernel_cachestat(int fd, const void *range, void *found, unsigned flags)
{
    return (int)syscall(SYS_cachestat, fd, range, found, flags);
}

static int kernel_pagemap_scan(int fd, void *argument)
{
    return (int)syscall(SYS_ioctl, fd, ROMA__PAGEMAP_SCAN, argument); /* musl: an int number */
}

static int kernel_io_uring_setup(unsigned entries, void *parameters)
{
    return (int)syscall(SYS_io_uring_setup, entries, parameters);
}

static int kernel_io_uring_register(int fd, unsigned operation, void *argument, unsigned count)
{
    return (int)syscall(SYS_io_uring_register, fd, operation, argument, count);
}

static int kernel_membarrier(int command, unsigned flags)
{
    return (int)syscall(SYS_membarrier, command, flags, 0);
}

/* Signals are the program's: its handlers never run on a thread of roma's. */
static int kernel_thread_start(void **thread, void *(*run)(void *), void *argument)
{
    sigset_t all, before;
    sigfillset(&all);
    int code = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (code == 0) {
        pthread_t started;
        code = pthread_create(&started, NULL, run, argument);
        if (code == 0)
            *thread = (void *)(uintptr_t)started;
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    errno = code;
    return code == 0 ? 0 : -1;
}

static int kernel_thread_join(void *thread)
{
    int code = pthread_join((pthread_t)(uintptr_t)thread, NULL);
    errno = code;
    return code == 0 ? 0 : -1;
}

/* What the program has it do is done no more. */
static int kernel_reset_signal(int signal_number)
{
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    return sigaction(signal_number, &usual, NULL);
}

static int kernel_create(const char *path, int flags, unsigned mode)
{
    return open(path, flags | O_CREAT | O_CLOEXEC, (mode_t)mode);
}

static int kernel_memfd_create(const char *name, unsigned flags)
{
    return (int)syscall(SYS_memfd_create, name, flags);
}

static int kernel_add_seals(int fd, int seals)
{
    return fcntl(fd, F_ADD_SEALS, seals);
}

/* Commands of fcntl() that take a struct flock: F_OFD_SETLK, F_OFD_GETLK. */
static int kernel_lock(int fd, int command, struct flock *range)
{
    return fcntl(fd, command, range);
}

static int kernel_clone_file(int to, int from)
{
    return (int)syscall(SYS_ioctl, to, ROMA__FICLONE, from);
}

/* The C library's takes an enum with some, an int with others. */
static int kernel_getrlimit(int resource, struct rlimit *limit)
{
    return (int)syscall(SYS_prlimit64, 0, resource, NULL, limit);
}

static int kernel_fstat(int fd, struct stat *status)
{
    return fstat(fd, status);
}

/* Of the file behind a descriptor; `status` is a roma__statx. */
static int kernel_statx(int fd, unsigned mask, void *status)
{
    enum { EMPTY_PATH = 0x1000, DONT_SYNC = 0x4000 }; /* no server is asked */
    return (int)syscall(SYS_statx, fd, "", EMPTY_PATH | DONT_SYNC, mask, status);
}

const struct roma__sys roma__sys_kernel = {
    .mmap = mmap,
    .munmap = munmap,
    .mremap = kernel_mremap,
    .mprotect = mprotect,
    .madvise = madvise,
    .mbind = kernel_mbind,
    .move_pages = kernel_move_pages,
    .getcpu = kernel_getcpu,
    .set_affinity = kernel_set_affinity,
    .get_affinity = kernel_get_affinity,
    .name_mapping = kernel_name_mapping,
    .open = kernel_open,
    .read = read,
    .pread = pread,
    .write = write,
    .getdents = kernel_getdents,
    .close = close,
    .dup = kernel_dup,
    .fstat = kernel_fstat,
    .fstatfs = fstatfs,
    .fadvise = kernel_fadvise,
    .sync_file_range = sync_file_range,
    .fdatasync = fdatasync,
    .cachestat = kernel_cachestat,
    .mincore = mincore,
    .eventfd = kernel_eventfd,
    .pagemap_scan = kernel_pagemap_scan,
    .io_uring_setup = kernel_io_uring_setup,
    .io_uring_register = kernel_io_uring_register,
    .membarrier = kernel_membarrier,
    .thread_start = kernel_thread_start,
    .thread_join = kernel_thread_join,
    .reset_signal = kernel_reset_signal,
    .create = kernel_create,
    .memfd_create = kernel_memfd_create,
    .add_seals = kernel_add_seals,
    .statx = kernel_statx,
    .fallocate = fallocate,
    .ftruncate = ftruncate,
    .lock = kernel_lock,
    .pwrite = pwrite,
    .lseek = lseek,
    .fsync = fsync,
    .msync = msync,
    .clone_file = kernel_clone_file,
    .rename = rename,
    .link = link,
    .unlink = unlink,
    .readlink = readlink,
    .getrlimit = kernel_getrlimit,
};

const struct roma__sys *roma__sys = &roma__sys_kernel;

const struct roma__sys *roma__sys_replace(const struct roma__sys *table)
{
    const struct roma__sys *before = roma__sys;
    roma__sys = table != NULL ? table : &roma__sys_kernel;
    return before;
}
