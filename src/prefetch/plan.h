/* plan.h - from the ranges that a program names to the runs and pieces that the kernel is asked
 * for: pure functions, no call of the kernel. */
#ifndef ROMA_PREFETCH_PLAN_H
#define ROMA_PREFETCH_PLAN_H

#include "prefetch/calls.h"
#include "prefetch/file.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The `base` of what is mapped nowhere: no file begins at an odd address. */
#define ROMA__UNMAPPED ((uintptr_t)1)

/* One range as asked for, its file found and its arguments checked. */
typedef struct roma__asked {
    uint64_t offset, bytes; /* in the file                                                       */
    uintptr_t base;         /* where byte 0 of the file would be in the program's mapping; may
                               wrap; ROMA__UNMAPPED                                              */
    uint32_t file;          /* index                                                             */
    int16_t code;           /* what became of it: 0, or its first error,                         */
    uint16_t call;          /* and the roma__call_kind that met that; 0: none did                */
} roma__asked;

/* It came to this. */
static inline void roma__asked_end(roma__asked *asked, int code, roma__call_kind call)
{
    asked->code = (int16_t)code;
    asked->call = (uint16_t)call;
}

/* Whole pages of one file, one after the other. Of several descriptors of it, one whose ranges have
 * all of the run: a program that gives those up may close it. */
typedef struct roma__run {
    uint64_t offset, bytes;
    uintptr_t base;
    uint32_t file;
    uint32_t first, count; /* the ranges that it may stand for: their indices are order[first..)  */
    bool dense;            /* long enough to be read in whole huge pages                          */
    uint64_t begun_bytes;  /* of a flush: being written, or left to the sync; the engine's lock   */
} roma__run;

typedef struct roma__rules {
    size_t huge_bytes; /* 0: no huge pages for files                                             */
    bool by_address;   /* runs must be contiguous in the program's mapping, too                  */
    bool no_dense;     /* all runs are short ones                                               */
} roma__rules;

/* Long runs begin here, or at two huge pages: a fault reads one huge page and the next, so that
 * shorter ones would read as much beside them as in them. */
enum { ROMA__DENSE_LEAST_BYTES = 4 << 20, ROMA__CHUNK_FIRST_BYTES = 2 << 20 };

/* The whole pages that a range touches, cut at the file's end; false when there are none. */
bool roma__asked_pages(const roma__file *file, const roma__asked *asked, uint64_t *start,
                       uint64_t *end);

/* Runs that n ranges can become: an edge on either side of a long run stands alone. */
static inline size_t roma__runs_most(size_t n)
{
    return 3 * n;
}

/* Clamp to the files' lengths, widen to pages, sort by file (and mapping, by_address) and offset,
 * merge what touches or overlaps, but for parts of other descriptors, and cut the edges off long
 * runs. A range that begins past its file's end gets the code -EFAULT and is in no run; one of no
 * bytes, or with a code already, is in none either.
 *
 * order and spare have room for n indices, runs for roma__runs_most(n). Returns how many runs. */
size_t roma__plan(const roma__file *files, roma__asked *asked, uint32_t *order, uint32_t *spare,
                  size_t n, const roma__rules *rules, roma__run *runs);

/* The length of the piece of a run that begins at `at`, where pieces may be `most` long: to the
 * run's end, or to a multiple of `unit` (a power of two) of the file, so that the pieces after an
 * uneven start lie on huge pages. With a shorter `most` to a multiple of that, where it is a power
 * of two; else they are as long as it says. A multiple of the page, > 0. */
size_t roma__piece_bytes(const roma__run *run, uint64_t at, size_t most, size_t unit);

/* How long the next chunk of a long run may be, when the last was `bytes` long and took `ns`: four
 * times that, as long as the device is expected to read it in 100 ms; never less than the first nor
 * more than `most`. */
size_t roma__chunk_next(size_t bytes, uint64_t ns, size_t most);

/* Sorted, disjoint within a file and mapping, of whole pages, and of the ranges they name. */
bool roma__plan_is_valid(const roma__file *files, const roma__asked *asked, const uint32_t *order,
                         size_t n, const roma__run *runs, size_t runs_count,
                         const roma__rules *rules);

#ifdef __cplusplus
}
#endif
#endif
