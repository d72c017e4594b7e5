/* read.h - readers of small kernel files (/sys, /proc), whose root is a parameter.
 *
 * `root` is "" for this machine or a folder with a captured tree; a path is given with its leading
 * slash ("/sys/devices/system/node/online"). Files of /sys and /proc are small; the largest that is
 * read whole is a smaps of one process, line by line (roma__lines). Nothing here allocates. */
#ifndef ROMA_SYS_READ_H
#define ROMA_SYS_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { ROMA__PATH_BYTES = 1024 };

/* Read a whole file into `buffer`, terminated; the last newline is dropped.
 * Returns its length, -ENOENT when there is no such file, -EFBIG when it does not fit, or -errno.
 * The path is a printf format. */
__attribute__((format(printf, 4, 5))) ssize_t roma__read_file(const char *root, char *buffer,
                                                              size_t bytes, const char *path, ...);

/* Read a file that holds one decimal number ("max" gives UINT64_MAX). Returns 0, -EINVAL,
 * -errno. */
__attribute__((format(printf, 3, 4))) int roma__read_number(const char *root, uint64_t *value,
                                                            const char *path, ...);

/* The word in [brackets] of a file such as transparent_hugepage/enabled. Returns 0 or -errno. */
__attribute__((format(printf, 4, 5))) int roma__read_choice(const char *root, char *word,
                                                            size_t bytes, const char *path, ...);

/* A file read line by line, of any length; lines longer than the buffer are cut. */
typedef struct roma__lines {
    int fd;
    size_t used, next;
    bool end;
    bool skip; /* the line at hand was cut: drop its rest                      */
    int error; /* 0, or -errno when reading stopped before the file's end      */
    char buffer[4096];
} roma__lines;

/* Returns 0 or -errno. */
__attribute__((format(printf, 3, 4))) int roma__lines_open(roma__lines *lines, const char *root,
                                                           const char *path, ...);
/* The next line without its newline, valid until the next call; NULL at the end, and where reading
 * fails (`error` says so). */
char *roma__lines_next(roma__lines *lines);
void roma__lines_close(roma__lines *lines);

/* Visit the names in a folder ("." and ".." left out), in the kernel's order. A non-zero return of
 * `visit` ends the walk and is returned. Returns 0 or -errno. */
int roma__folder_each(const char *root, const char *path, int (*visit)(void *context,
                                                                       const char *name),
                      void *context);

#ifdef __cplusplus
}
#endif
#endif
