/* fake_malloc.c - a library to preload that leaves roma's malloc out: as a process ends, it appends
 * $FAKE_LINE to $ROMA_REPORT, each @ in it replaced by the process's number. So the report of
 * `roma run` can be tried with lines that no well-behaved process writes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((destructor)) static void append_line(void)
{
    const char *line = getenv("FAKE_LINE"), *path = getenv("ROMA_REPORT");
    int file = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    FILE *stream = file >= 0 ? fdopen(file, "a") : NULL;
    if (line == NULL || stream == NULL)
        return;
    for (; *line != '\0'; line++)
        if (*line == '@')
            fprintf(stream, "%d", (int)getpid());
        else
            fputc(*line, stream);
    fclose(stream);
}
