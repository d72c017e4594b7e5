/* few_files.c - a library to preload that lets a program open no file below $FEW_FILES_IN whose
 * descriptor would be $FEW_FILES or above: that is ENFILE, as on a machine that is short of open
 * files. So it can be tried what a program does that has counted on more of them. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int open(const char *path, int flags, ...)
{
    int (*next)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    const char *folder = getenv("FEW_FILES_IN"), *most = getenv("FEW_FILES");
    va_list more;
    va_start(more, flags);
    int fd = next(path, flags, (flags & O_CREAT) != 0 ? va_arg(more, unsigned) : 0);
    va_end(more);
    if (fd < 0 || folder == NULL || most == NULL || strncmp(path, folder, strlen(folder)) != 0 ||
        fd < atoi(most))
        return fd;
    close(fd);
    errno = ENFILE;
    return -1;
}
