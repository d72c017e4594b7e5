/* progress.h - tells on stderr what is going on: one line that is overwritten on a terminal, a line
 * each elsewhere. */
#ifndef ROMA_TOOL_PROGRESS_H
#define ROMA_TOOL_PROGRESS_H

#include <stdbool.h>

/* Whose progress it is from now on: the command's name, which begins each line. */
void progress_for(const char *command);

/* Whether stderr is a terminal, where a line can be overwritten. */
bool progress_is_overwritten(void);

/* What is being done now; short enough for a line. */
__attribute__((format(printf, 1, 2))) void progress(const char *format, ...);

/* Clear the line, so that something else can be printed. */
void progress_clear(void);

/* A line on stderr that stays. */
__attribute__((format(printf, 1, 2))) void remark(const char *format, ...);

#endif
