/* faults.hpp - a table of system calls that fails the N-th use of one entry, once or for good, and
 * keeps account of the mappings that go through it.
 *
 * The wrappers come from ROMA_SYS_CALLS, so a new entry of the table is failed too without a change
 * here. A failed call has no effect, with two exceptions that follow the kernel: close() gives the
 * descriptor up even when it reports an error, and a thread that was to be joined is joined, since
 * a test that leaves it running could not be judged afterwards. */
#ifndef ROMA_TESTS_FAULTS_HPP
#define ROMA_TESTS_FAULTS_HPP

#include "sys/sys.h"

#include <cstddef>
#include <vector>

namespace faults {

enum entry : unsigned {
#define X(type, name, failure, parameters, arguments) at_##name,
    ROMA_SYS_CALLS(X)
#undef X
    entry_count
};

const char *name_of(entry which);

enum class mode {
    once,     /* the N-th call fails                                        */
    for_good, /* it and all after it fail                                   */
    dribble   /* from the N-th on, reads and writes move a byte or two    */
};

struct plan {
    entry which;
    unsigned long nth; /* from 1; 0: none fails */
    mode how;
    int error;
};

/* What the kernel, a filter or an old kernel plausibly answers from this entry. */
std::vector<int> errors_of(entry which);

/* Put the table in place and start to count at 0. `background` entries fail always with the error
 * that stands beside them, as on a machine that lacks them; at most one. */
void arm(const plan &what, const plan *background = nullptr);
/* Let all calls through again; the table stays, and goes on keeping account. */
void disarm();

unsigned long calls(entry which); /* since arm()                                     */
bool has_fired();                 /* the planned call came                            */
size_t mapped_bytes();            /* mapped through the table and not unmapped        */
size_t kept_bytes();              /* that munmap was asked to unmap, and was failed   */
int failed_advice();              /* of the last madvise that was failed              */

/* Which uses of an entry are looked at: each; with ROMA_FAULT_STRIDE=K the first 16 (beyond K = 16
 * the first 4: a sample is asked for) and then every K-th. */
unsigned long stride(unsigned long otherwise = 1);
unsigned long next_use(unsigned long nth, unsigned long step);

} // namespace faults

#endif
