/* file.h - the file behind a file provider, and what its files offer to each other.
 *
 *   file.c        the provider: requests, extents, ranges
 *   file_ranges.c ranges of extents: populated, advised, synced
 *   file_space.c  the file: made, mapped, its space taken and given back
 *   file_share.c  extents for other processes, by descriptor */
#ifndef ROMA_PROVIDER_FILE_H
#define ROMA_PROVIDER_FILE_H

#include <roma/provider.h>

#include "provider/runs.h"

#include <limits.h>

typedef struct roma__file {
    char path[PATH_MAX]; /* absolute where the kernel tells; a child's file lies beside it */
    unsigned mode;
    size_t page_bytes, bytes; /* of a page; at most of the file */
    size_t record_bytes;

    /* Under the lock of all regions. The first three are of the process of that generation. */
    unsigned generation;
    int fd;
    char *base;
    size_t fresh;   /* pages from here on were never handed out         */
    bool keeps_old; /* a hole could not be punched: old bytes stand     */
    bool advised;   /* some extent has had advice that must end with it */

    roma_executor executor; /* for calls that name none; constant; without functions: none */
    unsigned maker;         /* the generation of the process that it is of                  */
    uint64_t live, live_bytes, failures;
    struct roma__runs runs;
} roma__file;

/* ---- file_space.c ---------------------------------------------------------------------------- */

/* A system call failed, with errno, for what `subject` names. Returns as roma__error_call(). */
int roma__file_refused(roma_error *error, const char *call, const char *subject);

/* Make the file at its place, and map it as this process's; its name goes unless it is kept.
 * Records start. Returns 0 or -errno; then there is no file. */
int roma__file_make(roma__file *file, const char *path, bool keeps_name, roma_error *error);

/* Under the lock: a child makes a file of its own before it does anything. Returns 0 or -errno. */
int roma__file_be_here(roma__file *file, roma_error *error);

/* Space for pages that are taken. Returns 0 or -errno; then nothing of it is kept. */
int roma__file_back(const roma__file *file, size_t first, size_t pages, roma_error *error);

/* Give the space of taken pages back, and then the pages. */
void roma__file_give(roma__file *file, size_t first, size_t pages);

/* ---- file.c ---------------------------------------------------------------------------------- */

/* What an extent's tag says: whose it is. */
bool roma__file_is_gone(const roma_extent *extent);   /* the parent's, in its child: a hole */
bool roma__file_is_import(const roma_extent *extent); /* of another descriptor              */
void *roma__file_tag(bool is_import);                 /* of this process                    */

int roma__file_gone(roma_error *error);    /* -ESTALE                                           */
int roma__file_foreign(roma_error *error); /* -EOPNOTSUPP: an import's space is the exporter's  */

/* Count a failure where the code is one; returns the code. */
int roma__file_failed(roma__file *file, int code);

/* One extent more (or less, UINT64_MAX) and so many bytes. */
void roma__file_note(roma__file *file, uint64_t more_live, uint64_t more_bytes);

/* ---- file_ranges.c --------------------------------------------------------------------------- */

int roma__file_populate_pages(const roma__file *file, char *address, size_t bytes,
                              unsigned threads, const roma_executor *executor, roma_error *error);

/* Functions of the table. */
int roma__file_populate(void *self, const roma_range *range, const roma_populate_options *options,
                        roma_error *error);
int roma__file_advise(void *self, const roma_range *range, roma_advice advice,
                      const roma_executor *executor, roma_error *error);
int roma__file_query(void *self, const roma_range *range, roma_report *report, roma_error *error);
int roma__file_sync(void *self, const roma_range *range, roma_error *error);

/* ---- file_share.c ---------------------------------------------------------------------------- */

/* Release of an imported extent. */
int roma__file_let_go(roma__file *file, const roma_extent *extent, roma_error *error);

/* Functions of the table. */
int roma__file_export(void *self, const roma_extent *extent, roma_error *error);
int roma__file_import(void *self, int fd, roma_extent *extent, roma_error *error);

#endif
