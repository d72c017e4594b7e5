/* progress.c - what is going on, on stderr. */
#include "progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

static bool line_is_open;            /* only the main thread reports */
static const char *command = "tour"; /* whose progress it is         */

void progress_for(const char *name)
{
    command = name;
}

bool progress_is_overwritten(void)
{
    return isatty(STDERR_FILENO) == 1;
}

void progress_clear(void)
{
    if (line_is_open)
        fputs("\r\033[K", stderr);
    line_is_open = false;
}

static void put_line(const char *end, const char *format, va_list arguments)
{
    progress_clear();
    fprintf(stderr, "roma %s: ", command);
    vfprintf(stderr, format, arguments);
    fputs(end, stderr);
    fflush(stderr);
}

void progress(const char *format, ...)
{
    bool overwrite = progress_is_overwritten();
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
