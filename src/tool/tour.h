/* tour.h - what the parts of `roma tour` tell each other.
 *
 *   tour.c          the command: arguments, order of events
 *   tour_kind.c     one page kind: take memory of it, measure, give it back
 *   tour_measure.c  the measurements themselves, on any memory
 *   tour_proof.c    what pages they were, by the kernel's own accounting
 *   tour_file.c     a file through blocks and segments, verified
 *   tour_cold.c     a file that is not in memory, with prefetch and without
 *   tour_store.c    the file into a store, by processes of which one is killed
 *   tour_report.c   tables and the paragraph that reads them
 *   tour_json.c     the same for programs */
#ifndef ROMA_TOOL_TOUR_H
#define ROMA_TOOL_TOUR_H

#include "json.h"
#include "reserve.h"

enum {
    TOUR_KINDS_MAX = 24,
    TOUR_PASSES_MAX = 3,
    FILE_CHECKS_MAX = 12,
    STORE_CHECKS_MAX = 8,
    FILE_PATH_BYTES = 1024
};

/* What to do, decided before anything is measured. */
typedef struct tour_plan {
    const char *file;     /* NULL: look for one                                            */
    uint64_t bytes;       /* working set                                                   */
    unsigned threads;     /* of the parallel figures                                       */
    unsigned passes;      /* of which the median counts                                    */
    size_t base_bytes;    /* base page                                                     */
    size_t thp_bytes;     /* the transparent huge page that smaps counts; 0: none          */
    int node;             /* where to stay on a machine with several nodes; -1: anywhere   */
    roma_nodes nodes;     /* the same as a set                                             */
    unsigned cpus;        /* that this process may use                                     */
    double load;          /* processes that wanted a CPU before the tour; below 0: unknown */
    bool reserve, quick, as_json;
} tour_plan;

/* ---- proof ---------------------------------------------------------------------------------- */

/* What the kernel says this process has, and what is free in one page pool. */
typedef struct accounting {
    bool process_known, pool_known;
    uint64_t thp_bytes, hugetlb_bytes, pool_free_pages;
} accounting;

typedef enum proof_result { PROOF_UNKNOWN, PROOF_GOOD, PROOF_WRONG } proof_result;

typedef struct proof {
    proof_result result;
    roma_report report; /* kinds_known false: the kernel cannot tell for a range */
    accounting before, after;
} proof;

/* page_bytes  of the page pool to look into; 0: none */
void accounting_read(accounting *now, size_t page_bytes, int node);

/* Fill p->result from the report and the two accounts. */
void proof_judge(proof *p, roma_page_kind kind, size_t bytes, size_t thp_bytes);

/* "128 x 2 MiB hugetlb, 3 x 4 KiB base" */
void proof_pages_text(const proof *p, char *text, size_t bytes);

/* "AnonHugePages +256 MiB" */
void proof_account_text(const proof *p, roma_page_kind kind, char *text, size_t bytes);

const char *proof_result_text(proof_result result);

/* ---- figures of one page kind --------------------------------------------------------------- */

/* A rate on one thread and on as many as planned; below 0: not measured. */
typedef struct rates {
    double one, many;
} rates;

typedef struct kind_figures {
    char name[WORD_BYTES];
    roma_page_kind pages; /* 0: plain malloc                                */
    bool given;
    char reason[SENTENCE_BYTES];
    size_t bytes;       /* of the block: whole pages                        */
    size_t chase_bytes; /* of it that the chase runs over                   */
    rates populate, writing; /* GB/s: giving pages, memset */
    double chase_ns;
    proof proof;
} kind_figures;

void measure_malloc(const tour_plan *plan, kind_figures *figures);
void measure_kind(const tour_plan *plan, const roma_kind_info *info, kind_figures *figures);

/* ---- measurements --------------------------------------------------------------------------- */

/* GB/s of touching one byte a page, of writing every byte; below 0: threads could not be started.
 * Threads share the segment in whole pages. */
double touch_rate(roma_segment segment, size_t page_bytes, unsigned threads);
double memset_rate(roma_segment segment, size_t page_bytes, unsigned threads);

double rate_of(uint64_t bytes, uint64_t elapsed_ns);

/* Link the cache lines of a segment into one random cycle; then follow it. */
void chase_link(roma_segment segment);
double chase_time_ns(roma_segment segment, unsigned passes, bool quick);

/* Reorders the values. */
double median(double *values, unsigned count);

/* ---- the file part -------------------------------------------------------------------------- */

typedef struct file_check {
    const char *what;
    bool good;
} file_check;

typedef struct file_figures {
    char path[FILE_PATH_BYTES];
    bool ran;
    char reason[SENTENCE_BYTES]; /* why it did not run, or not to its end  */
    uint64_t bytes, grown_bytes;
    roma_page_kind pages;        /* of the block                           */
    char degraded[SENTENCE_BYTES]; /* why not the first wish; "" when it is */
    size_t segments_count;
    uint64_t hash;
    double load_rate, hash_rate; /* GB/s                                   */
    double grow_ms;
    bool moved;                  /* growing changed the address            */
    double share_ns;             /* a retain and a release                 */
    file_check checks[FILE_CHECKS_MAX];
    unsigned checks_count;
} file_figures;

/* Look for the largest shared library. False when there is none that can be read. */
bool find_largest_library(char *path, size_t bytes);

void tour_file(const tour_plan *plan, const char *path, file_figures *figures);
bool file_is_good(const file_figures *figures);

/* FNV-1a of 64 bits, from a value on. */
#define FNV_START 0xCBF29CE484222325u
uint64_t fnv_on(uint64_t hash, const void *data, size_t bytes);

/* ---- the cold part -------------------------------------------------------------------------- */

typedef struct cold_figures {
    bool ran;
    bool failed;                 /* an error, or a scan that read something else */
    char reason[SENTENCE_BYTES]; /* why it did not run, or not to its end        */
    char way[WORD_BYTES];        /* by which prefetch was made */
    uint64_t bytes;
    double touch_seconds, prefetch_seconds;
    double caller_ms; /* the most that asking for it took */
    double hash_seconds, scan_seconds;
    uint64_t plain_hash; /* that the scan has to come to */
    uint64_t pieces, waits; /* of the last scan; waits: pieces that were not there yet */
    double longest_wait_ms;
} cold_figures;

void tour_cold(const tour_plan *plan, const char *path, cold_figures *figures);

/* ---- the store part ------------------------------------------------------------------------- */

typedef struct store_figures {
    bool ran;
    char reason[SENTENCE_BYTES]; /* why it did not run                      */
    uint64_t bytes, pieces;      /* of the file that were put into the store */
    uint64_t killed_at;          /* pieces that the killed process had done  */
    double fill_ms;
    file_check checks[STORE_CHECKS_MAX];
    unsigned checks_count;
} store_figures;

void tour_store(const char *file, store_figures *figures);
bool store_is_good(const store_figures *figures);

/* ---- the answer ----------------------------------------------------------------------------- */

typedef struct tour_answer {
    tour_plan plan;
    kind_figures kinds[TOUR_KINDS_MAX];
    unsigned kinds_count;
    file_figures file;
    cold_figures cold;
    store_figures store;
    reservation reserved;
    bool verified;
} tour_answer;

/* The paragraph that reads the table, computed from the figures; free() it. */
char *tour_reading(const tour_answer *answer);

/* What became of --reserve, as one sentence; "" when it was not given. Returns `text`. */
const char *reservation_text(const reservation *r, char *text, size_t bytes);

void tour_print(const tour_answer *answer, FILE *stream);
json *tour_json(const tour_answer *answer);

#endif
