/* oracle.h - what a store is like after recovery, found out without the library's own check.
 *
 * The account walks all units and blocks, and counts who names what: every root, name and slot of a
 * block in use. With all sessions gone, a block in use that is named by nothing is lost, its bytes
 * are leaked; a count that is not the number of names is a fault, and so is any lock, lane, record
 * or PENDING that is left. It shares the layout and the way from a ref to a block with the library,
 * and nothing else.
 *
 * The signature is what a user sees: what is reachable from roots and names, by the marks in the
 * blocks. Two stores with the same signature have the same contents; a call that is one step
 * against a crash has either the signature before it or the one after it, wherever it is killed. */
#ifndef ROMA_TESTS_CRASH_ORACLE_H
#define ROMA_TESTS_CRASH_ORACLE_H

#include "store/internal.h"

typedef struct oracle_account {
    uint64_t blocks, bytes;           /* in use                          */
    uint64_t lost_blocks, lost_bytes; /* of them, named by nothing       */
    uint64_t free_units, faults;
    char first[200];                  /* the first fault, as a sentence  */
} oracle_account;

/* All sessions are gone but `own` (index; UINT32_MAX: none), which holds nothing. */
void oracle_take(const roma__view *view, uint32_t own, oracle_account *account);

/* Did the last account have a block in use at that ref? */
bool oracle_was_in_use(roma_ref ref);

/* Sets *torn when a block that is named is not whole. */
uint64_t oracle_signature(roma_store *store, bool *torn);

#endif
