/* directory.h - an entry of the directory as it lies in the file, and the check of them all. */
#ifndef ROMA_STORE_DIRECTORY_H
#define ROMA_STORE_DIRECTORY_H

#include "store/view.h"

#ifdef __cplusplus
extern "C" {
#endif

/* A block whose first two words are its slots: its map is {offset 0, stride 8, count 2}. Its length
 * is ROMA__ENTRY_BYTES and that of the name; the name has no terminator. */
typedef struct roma__entry {
    roma_ref next;       /* slot: the next entry of this chain                          */
    roma_ref block;      /* slot: what the name names                                   */
    uint64_t type;       /* the program's own number                                    */
    uint64_t name_bytes; /* 1 to 255                                                    */
    char name[];         /* any bytes but 0                                             */
} roma__entry;

enum { ROMA__ENTRY_BYTES = 32, ROMA__NAME_BYTES_MAX = ROMA_STORE_NAME_BYTES - 1 };

ROMA__LAYOUT_IS(offsetof(roma__entry, name) == ROMA__ENTRY_BYTES, "directory entry");

/* The chain that a name is in: an index of name slots. */
unsigned roma__name_chain(const char *name, size_t name_bytes);

/* The directory of a store at rest: each chain ends, each entry is whole, in its own chain, and
 * alone with its name. Counts of references are not looked at here.
 * Returns the number of faults, what `visit` (may be NULL) returned, or -ENOMEM. */
int64_t roma__directory_check(const roma__view *view, roma_store_on_fault visit, void *context);

#ifdef __cplusplus
}
#endif
#endif
