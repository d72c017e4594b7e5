/* measure.h - what the parts of the measuring program share: what is measured, on which file, and
 * how figures are told.
 *
 *   main.c    arguments, and the list of methods
 *   file.c    a file of random bytes; evicting it, and proving that it is gone
 *   dense.c   a long range: roma, the kernel's own calls
 *   sparse.c  a list of random pages
 *   scan.c    reading with compute, and how long the reader waits
 *   flush.c   dirty pages to the device
 *   direct.c  O_DIRECT: the device's limit for each of these */
#ifndef PERF_PREFETCH_MEASURE_H
#define PERF_PREFETCH_MEASURE_H

#include <roma.h>
#include <roma/prefetch.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct settings {
    const char *method, *file;
    const char *to;      /* another file, which the first one's pages are written to              */
    uint64_t bytes;      /* of the file's beginning that is read; of a file that is made          */
    unsigned pages;      /* of the list                                                           */
    size_t page_bytes;   /* of each of them                                                       */
    uint64_t seed;       /* of the list's order                                                   */
    unsigned rounds;     /* of compute over each piece                                            */
    size_t window_bytes; /* of the scan; 0: its default                                           */
    roma_prefetch_way way;
    const char *cpus;    /* where roma's threads run; NULL: where this one may                    */
} settings;

/* ---- telling -------------------------------------------------------------------------------- */

/* A figure: a line "name value". */
void put(const char *name, double value);

/* "measure: METHOD: what: why" and exit status 1. */
__attribute__((noreturn)) void die(const char *what, int code);

/* The same for what this machine cannot do: exit status 77. */
__attribute__((noreturn)) void skip(const char *why);

/* ---- time ----------------------------------------------------------------------------------- */

uint64_t now_ns(void);

/* CPU time of the process so far, kernel's and workers' included. */
uint64_t cpu_ns(void);

/* What is put between two of these. */
typedef struct stretch {
    uint64_t begin_ns, begin_cpu_ns;
} stretch;

stretch stretch_begin(void);
void stretch_end(const stretch *s); /* puts seconds and cpu_seconds */

/* ---- files ---------------------------------------------------------------------------------- */

int open_file(const char *path, int flags);
uint64_t file_bytes(int fd);

/* Bytes of the file's beginning in memory, by mincore() on a mapping of its own: roma is not
 * asked. With a list, of those of its parts alone that are there as a whole. */
uint64_t resident_bytes(int fd, uint64_t bytes);
uint64_t resident_parts_bytes(int fd, uint64_t bytes, const uint64_t *parts, size_t count,
                              size_t part_bytes);

/* Evict all of the file and prove that nothing is left; dies where something stays. */
void make_cold(int fd);

/* Open the file, cold; how much of its beginning is to be read is told. */
int open_cold(const settings *s, uint64_t *bytes);

/* Open it so, and choose a list of its pages, whose length is put; to be freed. */
uint64_t *cold_list(const settings *s, int *fd, uint64_t *bytes, size_t *count);

/* Map the file's beginning, read-only and shared, at an address that suits huge pages. */
char *map_file(int fd, uint64_t bytes);

/* ---- roma ----------------------------------------------------------------------------------- */

roma_prefetch_engine *engine_of(const settings *s);
roma_map *roma_map_of(const settings *s, bool writable);

/* Submit, wait, put caller_ms and calls; dies when it fails. */
void read_with_roma(roma_prefetch_engine *engine, const roma_file_range *ranges, size_t n);

/* ---- dirty pages ---------------------------------------------------------------------------- */

/* Write all of what is mapped: new bytes each time. */
roma_segment dirty(roma_map *map);

/* ---- methods -------------------------------------------------------------------------------- */

void file_make(const settings *s);
void file_state(const settings *s);
void file_singly(const settings *s);

void dense_roma(const settings *s);
void dense_direct(const settings *s);
void dense_populate(const settings *s);
void dense_touch(const settings *s);
void dense_sequential(const settings *s);
void dense_willneed(const settings *s);
void dense_cold(const settings *s);
void resident_roma(const settings *s);

void random_roma(const settings *s);
void random_direct(const settings *s);
void random_touch(const settings *s);

void scan_roma(const settings *s);
void scan_none(const settings *s);
void scan_sequential(const settings *s);
void scan_resident(const settings *s);

void flush_roma(const settings *s);
void flush_msync(const settings *s);
void flush_begun(const settings *s);
void flush_direct(const settings *s);

#endif
