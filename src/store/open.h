/* open.h - the parts of opening and closing that stand in files of their own. */
#ifndef ROMA_STORE_OPEN_H
#define ROMA_STORE_OPEN_H

#include "store/worker.h"

/* ---- session.c ------------------------------------------------------------------------------- */

/* Take a session slot: its byte through the description behind the mapping. Under the file lock.
 * Returns 0, or -EUSERS, -errno, with *error filled. */
int roma__session_attach(roma_store *store, const char *label, roma_error *error);
/* Give up all that the session holds; its byte goes with the mapping. */
void roma__session_detach(roma_store *store);

/* ---- units.c --------------------------------------------------------------------------------- */

/* Back units [from, to) and what describes them. Returns 0, -ENOSPC, -errno. */
int roma__units_back(roma_store *store, uint64_t from, uint64_t to);
void roma__units_set_free(const roma__view *view, uint64_t from, uint64_t to);
/* Units up to the last one that is in use. */
uint64_t roma__units_in_use(const roma__view *view);

/* ---- map.c ----------------------------------------------------------------------------------- */

/* Reserve and map the largest size through `fd`, and make the view. Returns 0 or -errno, with
 * *error filled. */
int roma__store_map(roma_store *store, int fd, const roma__regions *regions, roma_error *error);
/* And close the descriptor behind the mapping, if there still is one. */
void roma__store_unmap(roma_store *store);
void roma__store_close_mapped(roma_store *store);
roma_store *roma__store_new(void);
void roma__store_delete(roma_store *store);

/* ---- close.c --------------------------------------------------------------------------------- */

/* Under the file lock, when nobody has it open: say so in the superblock, and write all out. */
int roma__store_rest(roma_store *store);

/* ---- open.c ---------------------------------------------------------------------------------- */

/* Read options, NULL being the default. Returns 0 or -EINVAL, -E2BIG, with *error filled. */
int roma__store_options_read(const roma_store_options *given, roma_store_options *options,
                             roma_error *error);
/* The store behind store->fd is opened in three steps, so that a new one is made under its lock.
 * begin: judge the file system, and lock; on failure there is nothing to end. locked: all else.
 * end: let go of the lock, of everything where `code` says that the second step failed; returns
 * it. The first two return 0 or -errno with *error filled. */
int roma__store_open_begin(roma_store *store, const roma_store_options *options,
                           roma_error *error);
int roma__store_open_locked(roma_store *store, const roma_store_options *options,
                            roma_error *error);
int roma__store_open_end(roma_store *store, int code);
/* The byte lock of opening and closing, for readers that of being open. */
int64_t roma__store_lock_of(const roma_store *store);

/* worker.c */
void roma__worker_pause(roma__worker *worker);

#endif
