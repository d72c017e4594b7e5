/* openings.h - the stores that this process has open: for threads that end, and for fork(). */
#ifndef ROMA_STORE_OPENINGS_H
#define ROMA_STORE_OPENINGS_H

#include "store/internal.h"

/* While a session is attached, a forked child must not inherit the description of its lock: no
 * fork() happens between these two. Returns 0 or -ENOMEM (no fork handlers: not locked). */
int roma__opening_lock(void);
void roma__opening_unlock(void);

/* Between those two: add it, with a serial number of its own. */
void roma__opening_add(roma_store *store);
/* First step of closing: roma__opening_hold() says no from here on. It is still in the list, since
 * a child forked meanwhile must not keep its description, nor the locks on that. */
void roma__opening_end(roma_store *store);
/* Last step, when nothing is locked and mapped any more. */
void roma__opening_remove(roma_store *store);

/* If that opening is still there: keep it from being closed until roma__opening_free(). */
bool roma__opening_hold(roma_store *store, uint64_t serial);
void roma__opening_free(void);

/* worker.c: the calling thread's last worker is none of its any more (a forked child). */
void roma__worker_forget_thread(void);

#endif
