/* calls.h - what the kernel is asked to do, as values: a ring or a thread can carry one out. The
 * last two are asked on the way to these, and have a name for error records alone. */
#ifndef ROMA_PREFETCH_CALLS_H
#define ROMA_PREFETCH_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum roma__call_kind {
    ROMA__CALL_FADVISE = 1, /* FADV_WILLNEED: done means issued                                   */
    ROMA__CALL_AWAIT,       /* read the last byte: done, whatever it says, means look again       */
    ROMA__CALL_WILLNEED,    /* MADV_WILLNEED: asks swapped pages of a tmpfs back                  */
    ROMA__CALL_POPULATE,    /* MADV_POPULATE_READ: done means resident, and mapped there          */
    ROMA__CALL_WRITE_RANGE, /* SYNC_FILE_RANGE_WRITE: done means begun                            */
    ROMA__CALL_AWAIT_WRITE, /* SYNC_FILE_RANGE_WAIT_BEFORE: done means that what was begun is
                               written, or an error of the file                                   */
    ROMA__CALL_SYNC,        /* fdatasync of the whole file                                        */
    ROMA__CALL_MMAP,        /* of a shadow                                                        */
    ROMA__CALL_FSTAT        /* for the file's length                                              */
} roma__call_kind;

typedef struct roma__call {
    roma__call_kind kind;
    int fd;          /* not for advice about addresses                                           */
    void *address;   /* for that                                                                 */
    uint64_t offset; /* in the file                                                              */
    size_t bytes;    /* below 4 GiB: a ring has no room for more                                 */
} roma__call;

/* Carry one out on this thread; one of those that are no mere names. Returns 0 or -errno. */
int roma__call_make(const roma__call *call);

/* Whether a thread may make those of writes: a filter may refuse them. */
bool roma__call_may_write(void);

/* The name of its system call, for error records. */
const char *roma__call_name(roma__call_kind kind);

#ifdef __cplusplus
}
#endif
#endif
