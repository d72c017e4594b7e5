/* tool.h - what the files of the `roma` command share: its commands, exit codes, messages and
 * arguments.
 *
 * The command is built on the public headers of roma alone: it shows nothing that a program of a
 * user could not find out. Answers go to stdout, everything else to stderr. */
#ifndef ROMA_TOOL_TOOL_H
#define ROMA_TOOL_TOOL_H

#include <roma.h>

#include <getopt.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    EXIT_GOOD = 0,   /* done; what was asked about is so          */
    EXIT_FAULT = 1,  /* could not, or found something to be wrong */
    EXIT_MISUSE = 2  /* the arguments make no sense               */
};

/* Long enough for a size, a page kind or a sentence of roma_error_text(). */
enum { WORD_BYTES = 48, SENTENCE_BYTES = 256 };

/* ---- commands: argv[0] is the command's name; each returns an exit code --------------------- */

int topo_command(int argc, char **argv);
int explain_command(int argc, char **argv);
int tour_command(int argc, char **argv);
int run_command(int argc, char **argv);
int warm_command(int argc, char **argv);
int store_command(int argc, char **argv);

/* ---- messages ------------------------------------------------------------------------------- */

/* "roma COMMAND: sentence" on stderr. Returns EXIT_FAULT. */
__attribute__((format(printf, 2, 3))) int complain(const char *command, const char *format, ...);

/* The same, followed by where to read on. Returns EXIT_MISUSE. */
__attribute__((format(printf, 2, 3))) int complain_misuse(const char *command, const char *format,
                                                          ...);

/* Flush stdout; an answer that could not be written is a fault. Returns `code`, or EXIT_FAULT. */
int finish_output(const char *command, int code);

/* ---- arguments ------------------------------------------------------------------------------ */

/* What next_option() returns when there is no further option, and when it has complained. */
enum { OPTIONS_END = -1, OPTIONS_WRONG = -2 };

/* The `val` of the next long option; its value is in optarg. */
int next_option(int argc, char **argv, const struct option *options);

/* Read the value of an option, or of an argument (name without dashes). False after complaining. */
bool read_size(const char *command, const char *name, const char *text, uint64_t *size);
bool read_count(const char *command, const char *name, const char *text, unsigned most,
                unsigned *count);

/* The policy that an option gives: text, or @ and a file's path; one that cannot be put in place is
 * none. The caller's to destroy; NULL after complaining. */
roma_policy *read_policy(const char *command, const char *given);

/* ---- memory for the tool's own records: ends the program when there is none ----------------- */

void *need_memory(void *memory);

#endif
