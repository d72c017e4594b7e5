/* stall.h - a proof that does not go on any more says in what, and fails. */
#ifndef ROMA_TESTS_CRASH_STALL_H
#define ROMA_TESTS_CRASH_STALL_H

/* What is run now: kept up to date by the program, and named in what it tells of violations. */
extern char stall_in[300];

/* From here on SIGALRM tells of it and ends the program with 1; the program sets the alarms. */
void stall_watch(void);

#endif
