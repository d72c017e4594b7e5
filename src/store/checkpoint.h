/* checkpoint.h - copies of a store's file, and files that appear at their path whole or not at all:
 * what checkpoint.c and restore.c have in common. */
#ifndef ROMA_STORE_CHECKPOINT_H
#define ROMA_STORE_CHECKPOINT_H

#include "store/internal.h"

/* A bit of `features_hint`: parts of the file that a store writes to may be shared with another
 * file, or be holes, so the file system may need space when they are written. While it is set,
 * ROMA_STORE_FULL_IS_ERROR does not hold. Set before a file shares, cleared when it does not. */
#define ROMA__HINT_SHARED (UINT64_C(1) << 0)

/* Another one, for a checkpoint that shares only for a moment: set with the first and cleared with
 * it. Where it is found by the first session of all, that checkpoint was killed, or could not
 * unshare: the session tries to, once. */
#define ROMA__HINT_UNSHARE (UINT64_C(1) << 1)

/* Is that bit set in the superblock that counts? */
bool roma__store_may_share(const roma_store *store);

/* ---- a file on its way to its path (part.c) -------------------------------------------------- */

typedef struct roma__part {
    char *path, *part_path, *folder;
    int fd;
    bool is_published;
} roma__part;

/* Begin an empty file beside `path`, under a name that only one writer at a time can have. Returns
 * 0, -EBUSY, or -errno with *error; then nothing is to be ended. */
int roma__part_begin(roma__part *part, const char *path, unsigned mode, roma_error *error);
/* Write it out, and put it at its path in one step. */
int roma__part_publish(roma__part *part, roma_error *error);
/* Forget it; what was not published is removed. */
void roma__part_end(roma__part *part);

/* `path` and `suffix`, to be freed; NULL: no memory. */
char *roma__path_with(const char *path, const char *suffix);

/* ---- copies (copy.c) ------------------------------------------------------------------------- */

/* Write all of it. Returns 0 or -errno with *error. */
int roma__write_at(int fd, const void *bytes, size_t count, uint64_t offset, roma_error *error);

/* The superblock that counts, and whether the file is as long as it says. Returns 0, or -EUCLEAN,
 * -EMEDIUMTYPE, -EPROTONOSUPPORT, -errno with *error. */
int roma__super_read(int fd, roma__super *super, roma__regions *regions, roma_error *error);

/* The bytes of one file in another, empty one; holes stay holes. */
int roma__copy_bytes(int to, int from, roma_error *error);

/* Have no page in common with another file any more. Returns 0 or -errno. */
int roma__copy_unshare(int fd);

/* Have space for all that a store writes to, but for units that were given back. */
int roma__copy_back(int fd);

/* Make the copy of a store in use one of its own: closed cleanly, of that device and inode, nobody
 * parked, with `hint` being ROMA__HINT_SHARED or 0. */
int roma__copy_own(int fd, uint64_t hint, roma_error *error);

#endif
