/* warm.h - what the parts of `roma warm` tell each other.
 *
 *   warm.c         the command: arguments, order of events
 *   warm_files.c   the files: those named, and those in folders; which parts of them
 *   warm_work.c    reading and evicting them, and asking what of them is in memory
 *   warm_report.c  the answer, for people and as JSON */
#ifndef ROMA_TOOL_WARM_H
#define ROMA_TOOL_WARM_H

#include "json.h"

#include <sys/types.h>

enum { WARM_FAULTS_MAX = 32 }; /* that are kept for the answer; all are told on stderr */

typedef enum warm_task { WARM_READ, WARM_EVICT, WARM_STATUS } warm_task;

/* A part of every file, from byte to byte. */
typedef struct warm_part {
    uint64_t from, to; /* to: UINT64_MAX is the file's end */
} warm_part;

/* What to do. */
typedef struct warm_plan {
    const char *command; /* its name, for complaints */
    warm_task task;
    roma_prefetch_level level;
    roma_prefetch_way way;
    bool as_json;
    warm_part *parts;
    size_t parts_count;
    size_t page_bytes; /* base page */
} warm_plan;

/* How much of something is in memory. */
typedef struct warm_resident {
    uint64_t looked_bytes; /* in whole pages, of the files that are known */
    uint64_t bytes, dirty_bytes;
    uint64_t unknown_bytes; /* what is wanted of the others */
    bool is_known;          /* of all its files */
    bool is_dirty_known;    /* the kernel may tell the one and not the other */
} warm_resident;

/* What is not in memory, and what may not be. */
static inline uint64_t warm_missing_bytes(const warm_resident *found)
{
    return found->looked_bytes - found->bytes + found->unknown_bytes;
}

/* One argument: a file, or a folder with all files below it. */
typedef struct warm_row {
    const char *path;
    uint64_t files_count, bytes; /* bytes: of the parts that are wanted */
    warm_resident before, after;
    uint64_t asked_bytes; /* of the kernel, in pieces that were not all in memory  */
    uint64_t read_bytes;  /* of these: the pages that were missing, at most       */
    uint64_t failed_bytes;
} warm_row;

typedef struct warm_file {
    char *path;
    size_t row;
    dev_t device;
    ino_t inode;
    bool is_twice; /* the same file under another name, or named again */
    bool is_lost;  /* it could not be opened, which was told           */
} warm_file;

typedef struct warm_fault {
    char *path;
    char sentence[SENTENCE_BYTES];
} warm_fault;

typedef struct warm_answer {
    warm_plan plan;
    warm_file *files;
    size_t files_count, files_room;
    warm_row *rows;
    size_t rows_count;
    warm_row total;
    warm_fault faults[WARM_FAULTS_MAX];
    uint64_t faults_count; /* all of them */
    double seconds;        /* of reading or evicting */
    bool is_cut;           /* what was not evicted may be in large folios that a part cuts */
    roma_prefetch_report report;
} warm_answer;

/* ---- files ---------------------------------------------------------------------------------- */

/* Find the files of the arguments, each file once. */
void warm_find(warm_answer *answer, char **paths, size_t paths_count);
void warm_forget(warm_answer *answer);

/* Read a list of offsets, a line each: OFFSET [LENGTH]; "-": from standard input. Without a
 * length it is the page that has this byte. False after complaining. */
bool warm_read_list(warm_plan *plan, const char *path);

/* Widen the parts to pages, sort them, and make one of those that touch: the kernel evicts whole
 * pages, large ones only where a call has all of them, and what is in memory is counted once. */
void warm_join_parts(warm_plan *plan);

/* The parts of an open file, cut at its end; free() them. Returns how many. */
size_t warm_ranges(const warm_plan *plan, int fd, uint64_t file_bytes, roma_file_range **ranges);

/* How many files may be open at once, at most `most` and at least one: the limit of the process
 * (ulimit -n), less what it has open and what it needs for itself. */
size_t warm_files_room(size_t most);

/* Open a file and find its length. Returns the descriptor, or -errno. */
int warm_try_open(const warm_file *file, uint64_t *file_bytes);

/* The same; below 0 after noting the fault. */
int warm_open(warm_answer *answer, const warm_file *file, uint64_t *file_bytes);

/* Complain about a file, and keep that for the answer. */
void warm_note(warm_answer *answer, const char *path, const char *sentence);

/* ---- work ----------------------------------------------------------------------------------- */

/* Whether a file counts: not one that was there before, nor one that cannot be opened. */
static inline bool warm_counts(const warm_file *file)
{
    return !file->is_twice && !file->is_lost;
}

/* Ask what is in memory, of all files: into `before` or `after` of rows and total. What cannot be
 * opened before is lost. */
void warm_look(warm_answer *answer, bool is_after);

/* Read what is wanted. False after complaining: there is no engine. */
bool warm_read(warm_answer *answer);

/* Write what is dirty, and evict. */
bool warm_evict(warm_answer *answer);

/* ---- the answer ----------------------------------------------------------------------------- */

/* Whether all came to be as it was asked. */
bool warm_is_done(const warm_answer *answer);

void warm_print(const warm_answer *answer, FILE *stream);
json *warm_json(const warm_answer *answer);

#endif
