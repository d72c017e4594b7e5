/* sys.h - every system call that roma issues, behind one table of function pointers.
 *
 * The library calls `roma__sys->madvise(...)` and never the C library's function, so a test can put
 * its own table in place and fail the N-th call of any kind, once or for good. Entries behave as
 * system calls do: -1 (MAP_FAILED for mmap and mremap) and errno on failure.
 *
 * The list is an X-macro, so that tests make their wrappers from it and notice a new entry:
 * X(return type, name, failure value, (parameters), (arguments)).
 *
 * Not in the table: what issues no system call in the common case (mutexes, getpagesize), the
 * streams that a caller passes in (FILE *), and what liburing does with its queues
 * (prefetch/ring_liburing.c). */
#ifndef ROMA_SYS_SYS_H
#define ROMA_SYS_SYS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stat;
struct statfs;

#ifdef __cplusplus
extern "C" {
#endif

struct stat;
struct statfs;
struct flock;
struct rlimit;

#define ROMA_SYS_CALLS(X)                                                                          \
    X(void *, mmap, ((void *)-1),                                                                  \
      (void *address, size_t bytes, int protection, int flags, int fd, off_t offset),              \
      (address, bytes, protection, flags, fd, offset))                                             \
    X(int, munmap, -1, (void *address, size_t bytes), (address, bytes))                            \
    X(void *, mremap, ((void *)-1),                                                                \
      (void *address, size_t old_bytes, size_t bytes, int flags, void *to),                        \
      (address, old_bytes, bytes, flags, to))                                                      \
    X(int, mprotect, -1, (void *address, size_t bytes, int protection),                            \
      (address, bytes, protection))                                                                \
    X(int, madvise, -1, (void *address, size_t bytes, int advice), (address, bytes, advice))       \
    X(int, mbind, -1,                                                                              \
      (void *address, size_t bytes, int mode, const unsigned long *nodes, unsigned long max_node,  \
       unsigned flags),                                                                            \
      (address, bytes, mode, nodes, max_node, flags))                                              \
    X(int, move_pages, -1,                                                                         \
      (unsigned long count, void **pages, const int *nodes, int *status, int flags),               \
      (count, pages, nodes, status, flags))                                                        \
    X(int, getcpu, -1, (unsigned *cpu, unsigned *node), (cpu, node))                               \
    X(int, set_affinity, -1, (size_t bytes, const void *cpus), (bytes, cpus))                      \
    X(int, get_affinity, -1, (size_t bytes, void *cpus), (bytes, cpus))                            \
    X(int, name_mapping, -1, (void *address, size_t bytes, const char *name),                      \
      (address, bytes, name))                                                                      \
    X(int, open, -1, (const char *path, int flags), (path, flags))                                 \
    X(ssize_t, read, -1, (int fd, void *buffer, size_t bytes), (fd, buffer, bytes))                \
    X(ssize_t, pread, -1, (int fd, void *buffer, size_t bytes, off_t offset),                      \
      (fd, buffer, bytes, offset))                                                                 \
    X(ssize_t, write, -1, (int fd, const void *buffer, size_t bytes), (fd, buffer, bytes))         \
    X(ssize_t, getdents, -1, (int fd, void *buffer, size_t bytes), (fd, buffer, bytes))            \
    X(int, close, -1, (int fd), (fd))                                                              \
    X(int, dup, -1, (int fd), (fd))                                                                \
    X(int, fstat, -1, (int fd, struct stat *status), (fd, status))                                 \
    X(int, fstatfs, -1, (int fd, struct statfs *status), (fd, status))                             \
    X(int, fadvise, -1, (int fd, off_t offset, off_t bytes, int advice),                           \
      (fd, offset, bytes, advice))                                                                 \
    X(int, sync_file_range, -1, (int fd, off_t offset, off_t bytes, unsigned flags),               \
      (fd, offset, bytes, flags))                                                                  \
    X(int, fdatasync, -1, (int fd), (fd))                                                          \
    X(int, cachestat, -1, (int fd, const void *range, void *found, unsigned flags),                \
      (fd, range, found, flags))                                                                   \
    X(int, mincore, -1, (void *address, size_t bytes, unsigned char *present),                     \
      (address, bytes, present))                                                                   \
    X(int, eventfd, -1, (unsigned count, int flags), (count, flags))                               \
    X(int, pagemap_scan, -1, (int fd, void *argument), (fd, argument))                             \
    X(int, io_uring_setup, -1, (unsigned entries, void *parameters), (entries, parameters))        \
    X(int, io_uring_register, -1,                                                                  \
      (int fd, unsigned operation, void *argument, unsigned count),                                \
      (fd, operation, argument, count))                                                            \
    X(int, membarrier, -1, (int command, unsigned flags), (command, flags))                        \
    X(int, thread_start, -1, (void **thread, void *(*run)(void *), void *argument),                \
      (thread, run, argument))                                                                     \
    X(int, thread_join, -1, (void *thread), (thread))                                              \
    X(int, reset_signal, -1, (int signal_number), (signal_number))                                 \
    X(int, create, -1, (const char *path, int flags, unsigned mode), (path, flags, mode))          \
    X(int, memfd_create, -1, (const char *name, unsigned flags), (name, flags))                    \
    X(int, add_seals, -1, (int fd, int seals), (fd, seals))                                        \
    X(int, statx, -1, (int fd, unsigned mask, void *status), (fd, mask, status))                   \
    X(int, fallocate, -1, (int fd, int mode, off_t offset, off_t bytes),                           \
      (fd, mode, offset, bytes))                                                                   \
    X(int, ftruncate, -1, (int fd, off_t bytes), (fd, bytes))                                      \
    X(int, lock, -1, (int fd, int command, struct flock *range), (fd, command, range))             \
    X(ssize_t, pwrite, -1, (int fd, const void *buffer, size_t bytes, off_t offset),               \
      (fd, buffer, bytes, offset))                                                                 \
    X(off_t, lseek, -1, (int fd, off_t offset, int whence), (fd, offset, whence))                  \
    X(int, fsync, -1, (int fd), (fd))                                                              \
    X(int, msync, -1, (void *address, size_t bytes, int flags), (address, bytes, flags))           \
    X(int, clone_file, -1, (int to, int from), (to, from))                                         \
    X(int, rename, -1, (const char *from, const char *to), (from, to))                             \
    X(int, link, -1, (const char *from, const char *to), (from, to))                               \
    X(int, unlink, -1, (const char *path), (path))                                                 \
    X(ssize_t, readlink, -1, (const char *path, char *buffer, size_t bytes),                       \
      (path, buffer, bytes))                                                                       \
    X(int, getrlimit, -1, (int resource, struct rlimit *limit), (resource, limit))

struct roma__sys {
#define X(type, name, failure, parameters, arguments) type(*name) parameters;
    ROMA_SYS_CALLS(X)
#undef X
};

/* The table in use: the kernel's calls unless a test has replaced it. */
extern const struct roma__sys *roma__sys;

/* The kernel's own, for wrappers to forward to. */
extern const struct roma__sys roma__sys_kernel;

/* Put a table in place (NULL: the kernel's) and return the one before. For tests; no other thread
 * may be inside the library. */
const struct roma__sys *roma__sys_replace(const struct roma__sys *table);

#ifdef __cplusplus
}
#endif
#endif
