/* run.h - what the files of `roma run` share: what was asked for, what the program left behind,
 * what was sampled while it ran, and the answer that text and JSON are made from.
 *
 * Two accounts of the same memory stand side by side in the answer. The heap's own comes from the
 * lines that each process under libroma_malloc.so appends to a file as it ends (run_lines.c);
 * the kernel's comes from /proc while the program runs (run_sample.c) and from its end
 * (run_child.c). */
#ifndef ROMA_TOOL_RUN_H
#define ROMA_TOOL_RUN_H

#include "json.h"
#include "tool.h"

#include <limits.h>
#include <sys/types.h>

enum {
    EXIT_NOT_EXECUTABLE = 126, /* as shells and env(1) have it */
    EXIT_NOT_FOUND = 127
};

enum {
    RUN_NODES_MAX = 64,      /* nodes that the report tells apart; those above are "other" */
    RUN_REMARKS_MAX = 4,     /* what a reader must know before believing the figures       */
    RUN_PAGE_SIZES_MAX = 16, /* page sizes of the kernel that a sample tells apart         */
    RUN_PROCESSES_MAX = 512, /* processes that one sample visits                           */
    RUN_SIZES_MAX = 48       /* powers of two that the table of sizes has room for         */
};

/* ---- what was asked for --------------------------------------------------------------------- */

typedef struct run_plan {
    const char *command;        /* argv[0]: "run"                      */
    char **program;             /* PROGRAM ARGUMENTS... NULL           */
    const char *library_option; /* --lib, or NULL                      */
    char library[PATH_MAX];     /* libroma_malloc.so, an absolute path */
    const char *output;         /* --output, or NULL: stderr           */
    bool report, as_json;
} run_plan;

/* ---- remarks -------------------------------------------------------------------------------- */

typedef struct run_remarks {
    char text[RUN_REMARKS_MAX][SENTENCE_BYTES];
    unsigned count;
} run_remarks;

/* Keep a sentence; what is beyond RUN_REMARKS_MAX is dropped. */
__attribute__((format(printf, 2, 3))) void run_remark(run_remarks *remarks, const char *format,
                                                      ...);

/* ---- finding files (run_find.c) ------------------------------------------------------------- */

/* Find libroma_malloc.so for the plan. False after complaining. */
bool run_find_library(run_plan *plan);

/* Say why the program, or the interpreter of a script, will not load the library: it is statically
 * linked, set-user-id, or made for another C library or machine. Silent when it will, or when that
 * cannot be told. */
void run_check_program(const char *program, run_remarks *remarks);

/* ---- what each process said of its heap as it ended (run_lines.c) --------------------------- */

typedef struct run_pages {
    uint64_t page_bytes, count;
    int node; /* below 0: not known */
} run_pages;

typedef struct run_node {
    int node;
    uint64_t bytes;
} run_node;

typedef struct run_size {
    uint64_t up_to_bytes, count; /* up_to_bytes 0: all that are larger than the largest class */
} run_size;

typedef struct run_line {
    pid_t pid;
    char program[64];
    double seconds;
    uint64_t allocations, releases;
    uint64_t live_bytes, peak_bytes;      /* what the program asked for, rounded up to its class */
    uint64_t held_bytes, held_peak_bytes; /* what the heap had from the kernel                   */
    uint64_t free_bytes, returned_bytes, metadata_bytes;
    uint64_t minor_faults, major_faults;
    run_pages *pages;
    size_t pages_count;
    run_node *nodes;
    size_t nodes_count;
    run_size *sizes;
    size_t sizes_count;
    json *said; /* the line itself */
} run_line;

typedef struct run_lines {
    run_line *lines;
    size_t count;
    size_t unreadable_count; /* lines that no process under this library wrote whole */
} run_lines;

/* Read the lines of a report file. A file that cannot be read has none. */
void run_lines_read(run_lines *lines, const char *path);
void run_lines_free(run_lines *lines);

/* Sum a line's sizes by power of two: counts[n] are the allocations above 2^(n-1) and up to 2^n
 * bytes; what is beyond RUN_SIZES_MAX or without an upper limit is returned. */
uint64_t run_sizes_by_power(const run_line *line, uint64_t counts[RUN_SIZES_MAX]);

/* ---- what the kernel says while the program runs (run_sample.c) ------------------------------ */

typedef struct run_process {
    pid_t pid;
    char program[64];
} run_process;

/* The pages of one size by node, in bytes. Transparent huge pages are among the base pages. */
typedef struct run_placed {
    uint64_t page_bytes;
    uint64_t node[RUN_NODES_MAX], other_nodes;
} run_placed;

/* Sums over the processes of a tree; bytes. A figure that no process could tell is not known. */
typedef struct run_memory {
    double seconds; /* since the start */
    unsigned processes_count;
    uint64_t resident, hugetlb; /* apart, as the kernel counts them */
    uint64_t anonymous, anonymous_huge, file_huge, swapped;
    bool knows_rollup; /* `anonymous` to `swapped` */
    run_placed placed[RUN_PAGE_SIZES_MAX]; /* the smallest pages first */
    unsigned placed_count;                 /* 0: it is not known       */
} run_memory;

typedef struct run_sampler {
    pid_t root;
    uint64_t start_ns, next_ns, next_close_ns;
    uint64_t spent_ns; /* of CPU time */
    unsigned looks_count, close_looks_count;
    uint64_t most_bytes; /* of all looks                                 */
    run_memory peak;     /* the close look that met the most memory      */
    run_process *seen;   /* every process that a look met                */
    size_t seen_count, seen_room;
} run_sampler;

void run_sampler_start(run_sampler *sampler, pid_t root);

/* Look at the tree if it is time. Returns the nanoseconds until the next look. */
uint64_t run_sampler_look(run_sampler *sampler);
void run_sampler_free(run_sampler *sampler);

/* ---- running and telling -------------------------------------------------------------------- */

typedef struct run_answer {
    const run_plan *plan;
    run_remarks remarks;
    int status; /* of the program, or -1 when a signal ended it */
    int signal; /* that ended it, or 0                          */
    pid_t pid;
    double seconds;
    uint64_t minor_faults, major_faults; /* with the processes that it waited for          */
    uint64_t most_resident_bytes;        /* of the one process that had most               */
    run_sampler sampler;
    run_lines lines;
} run_answer;

/* Run the program under a parent that samples it, passes signals on and reaps it; fills the answer
 * but for its lines.
 *
 *  Returns 0, or the exit status of a tool that could not start the program, after complaining. */
int run_child(run_answer *answer);

/* The line of the process that was started; NULL when it wrote none. */
const run_line *run_main_line(const run_answer *answer);

/* True when no line was written by a process that was seen. */
bool run_is_silent(const run_answer *answer, pid_t pid);

void run_print(const run_answer *answer, FILE *stream);
json *run_answer_json(const run_answer *answer);

#endif
