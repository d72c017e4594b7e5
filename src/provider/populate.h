/* populate.h - making the pages of a range present, on several threads at once. */
#ifndef ROMA_PROVIDER_POPULATE_H
#define ROMA_PROVIDER_POPULATE_H

#include <roma/provider.h>

/* What the kernel's populate is worth here. */
typedef struct roma__populate {
    char *address;
    size_t bytes; /* whole pages                                             */
    size_t page_bytes;
    unsigned threads;              /* in how many parts at once; 0: 1                         */
    const roma_executor *executor; /* who runs them beside the caller; NULL: threads           */
    roma_nodes nodes;              /* where the pages are to lie: threads that are started run
                                      there; empty: wherever                                   */
    bool may_touch;                /* where the kernel cannot populate, touch every page. Only for
                                      memory whose touch cannot fail: ordinary anonymous pages */
} roma__populate;

/* Can the kernel populate, and does it say so truthfully? Returns 0, or -EOPNOTSUPP (before Linux
 * 5.14, or an emulator that agrees to everything), -EPERM (refused by a filter), -errno, with
 * *error filled. */
int roma__populate_ready(roma_error *error);

/* Make all pages present for writing; contents stay, also those that other threads write meanwhile.
 * Returns when no part is at work any more. Returns 0, or on failure, with some pages present,
 * -EFAULT (no page was to be had, where touching it would have been a SIGBUS), -ENOMEM, -EHWPOISON,
 * what roma__populate_ready() says, or -errno, with *error filled. */
int roma__populate_now(const roma__populate *wish, roma_error *error);

#endif
