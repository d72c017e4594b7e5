/* exam.h - what is asked of a store after a kill: recover, and account for everything.
 *
 * A new session attaches as anybody would, recovers the dead, and then
 *   - the library's check finds nothing, with the living peers as they are;
 *   - (in a sandbox) the peers die as well, are recovered, and nothing is lost: no block in use
 *     that no name leads to, no lock, lane, cell or record left, by the library's check and the
 *     oracle's;
 *   - recovering once more finds nothing to do;
 *   - blocks can be allocated, linked and released, none of them was in use, and afterwards the
 *     account and the signature are as before. */
#ifndef ROMA_TESTS_CRASH_EXAM_H
#define ROMA_TESTS_CRASH_EXAM_H

#include "oracle.h"

struct exam {
    uint64_t signature;
    oracle_account account;
    int recovered;   /* dead sessions that there were */
    bool failed;
    char text[400];  /* what is wrong */
};

/* Of the file as it is; every other session is dead. Returns !failed. */
bool exam_file(int fd, struct exam *exam);

/* Of a private copy of it, with the sessions of `alive` (bits) living at first. */
bool exam_copy(int fd, uint64_t alive, struct exam *exam);

/* Take signatures, of contents as support/scene.h makes them. On unless turned off. */
extern bool exam_signs;

/* Also compare the whole image before and after recovering once more: slower. */
extern bool exam_is_thorough;

#endif
