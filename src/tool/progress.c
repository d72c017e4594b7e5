/* progress.c - what is going on, on stderr. */
#include "progress.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static bool line_is_open; /* only the main thread reports */

void progress_clear(void)
{
    if (line_is_open)
        fputs("\r\033[K", stderr);
    line_is_open = false;
}

static void put_line(const char *end, const char *format, va_list arguments)
{
    progress_clear();
    fputs("roma tour: ", stderr);
    vfprintf(stderr, format, arguments);
    fputs(end, stderr);
    fflush(stderr);
}

void progress(const char *format, ...)
{
    bool overwrite = isatty(STDERR_FILENO) == 1;
    va_list arguments;
    va_start(arguments, format);
    put_line(overwrite ? " ..." : "\n", format, arguments);
    va_end(arguments);
    line_is_open = overwrite;
}

void remark(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_line("\n", format, arguments);
    va_end(arguments);
}
