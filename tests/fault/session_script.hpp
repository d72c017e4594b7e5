/* session_script.hpp - a scripted session over the public interface, and what it saw.
 *
 * The same calls in the same order at each run. Every answer is judged against the headers (a code
 * that the call documents, an error record that agrees with it and prints as a sentence, a grant
 * whose steps add up, the bytes of blocks that must not have changed) and noted, so that two runs
 * can be compared. Notes hold no addresses and no figures that other programs change. */
#ifndef ROMA_TESTS_SESSION_SCRIPT_HPP
#define ROMA_TESTS_SESSION_SCRIPT_HPP

#include <roma.h>

#include <cstddef>

namespace session {

/* Kept in memory that a parent shares with its child. */
struct record {
    char notes[16384];      /* one line an answer                                          */
    char broken[2048];      /* what was not as the headers say, a line each                */
    unsigned errors_count;  /* answers that were errors, or grants with failed steps       */
    unsigned broken_count;
    bool has_ended;
};

/* What the script needs from outside, made before calls are failed. */
struct setting {
    void *region; /* memory for a region provider, aligned to a huge page         */
    size_t region_bytes;
    size_t huge_bytes; /* of a huge page, transparent or not                      */
    int json_fd;  /* an empty file to write and read                              */
    FILE *quiet;  /* where reports go                                             */
    int long_fd;  /* a file of 7 MiB to read ahead                                */
};

/* `may_keep`: extents may be live at the end, since munmap was failed. */
void run(const setting &with, record &into, bool (*may_keep)());

/* Its part that reads a file ahead. */
void use_files(int fd);

/* A few calls that must all go well, whatever was failed before. */
void run_briefly(record &into);

} // namespace session

#endif
