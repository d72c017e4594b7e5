/* park.h - holding every call of every session for a moment: see park.c. */
#ifndef ROMA_STORE_PARK_H
#define ROMA_STORE_PARK_H

#include "store/internal.h"

/* What roma__store_enter() does when it sees a park, with its lane's `busy` back at 0: wait until
 * there is none. That of a dead session is taken back. */
void roma__park_wait(roma_store *store);

/* A session ends, or is recovered: a park of its own ends with it. Called before its slot is free,
 * so that none is ever left to the next session of that index. */
void roma__park_forget(const roma__view *view, uint32_t session);

#endif
