/* openings.h - the stores that this process has open: for threads that end, and for fork(). */
#ifndef ROMA_STORE_OPENINGS_H
#define ROMA_STORE_OPENINGS_H

#include "store/internal.h"

/* No fork() happens between these two, and no store of this process is opened or closed: for short
 * moments, in which nobody is waited for. */
void roma__opening_lock(void);
void roma__opening_unlock(void);

/* First step of opening, before anything is locked or mapped: add it, with a serial number of its
 * own. Returns 0 or -ENOMEM (no fork handlers: not added). */
int roma__opening_add(roma_store *store);
/* Last step of opening: it is the caller's. */
void roma__opening_done(roma_store *store);
/* First step of closing: roma__opening_hold() says no from here on. It is still in the list, since
 * a child forked meanwhile must not keep its description, nor the locks on that. */
void roma__opening_end(roma_store *store);
/* Last step, when nothing is locked and mapped any more. */
void roma__opening_remove(roma_store *store);

/* If that opening is still there: keep it from being closed until roma__opening_free(), as between
 * the first two. */
bool roma__opening_hold(roma_store *store, uint64_t serial);
void roma__opening_free(void);

/* worker.c: the calling thread's last worker is none of its any more (a forked child). */
void roma__worker_forget_thread(void);

#endif
