/* soft_ring.hpp - a ring of a test's own, in the place of io_uring.
 *
 * Calls are queued, and carried out in enter(), or at once where the engine asks for that, by the
 * engine's thread, with results that the test chooses. So every case is the same at every run, and
 * runs where there is no io_uring.
 *
 * The engine's thread reads the script while it has calls: a test changes it while there is no
 * engine or nothing was submitted. */
#ifndef ROMA_TESTS_SOFT_RING_HPP
#define ROMA_TESTS_SOFT_RING_HPP

#include "disk_file.hpp"
#include "engine.hpp"

#include "prefetch/ring.h"

#include <atomic>
#include <climits>
#include <functional>
#include <map>
#include <vector>

namespace soft_rings {

/* A result that says done of a call that is not made. */
constexpr int NOT_MADE = 1;

/* What the rings of a test do; one engine at a time. */
extern struct script {
    std::map<unsigned, int> open_codes; /* entries -> what opening such a ring returns           */
    unsigned room = 64;
    unsigned answers = UINT_MAX; /* so many of an enter, the oldest first; others at a later one  */
    bool unasked = false;        /* held calls come to their end without an enter, too            */
    bool together = false; /* those that are there come when one is waited for, all at once      */
    std::function<int(const roma__call &, unsigned nth)> result; /* of the n-th call, from 1; 0:
                                                                    made, and its own result      */
    std::function<int(unsigned nth)> enter;                      /* of the n-th enter, from 1     */
    std::function<int()> poll;        /* with which one fails; 0: it waits                        */
    std::function<bool()> interrupts; /* who sleeps in an enter is woken for nothing              */
    std::function<bool(const roma__call &)> holds; /* this call stays in flight, until let_go     */
    unsigned calls = 0, made = 0, enters = 0, opened = 0; /* made: those at once, of all calls    */
} script;

/* Calls that are held come to their end at the next enter after this. */
extern std::atomic<bool> let_go;

void await_held();  /* until some call is */
void await_sleep(); /* until the engine's thread waits for an answer */

inline bool is_populate(const roma__call &call)
{
    return call.kind == ROMA__CALL_POPULATE;
}

/* Soft rings for the time of a test. */
struct with_soft_rings {
    with_soft_rings();
    ~with_soft_rings();
    const struct roma__rings *before;
};

/* An engine on soft rings that does as they are told from now on; what is to be told before it is
 * made (how many entries, results of enter) needs the two apart. */
struct ring_engine : with_soft_rings, roma_tests::owned_engine {
    ring_engine() : owned_engine(ROMA_PREFETCH_URING) { REQUIRE(self != nullptr); }
};

struct outcome {
    int code;
    roma_error error = {}; /* of the first range that has one */
    roma_prefetch_progress progress;
};

/* Read ranges of a cold file through a soft ring. */
outcome read_ranges(const roma_tests::disk_file &file, const std::vector<roma_file_range> &ranges,
                    unsigned room = 64);

/* A long one and two short ones. */
outcome read_with(const roma_tests::disk_file &file, unsigned room = 64);

} // namespace soft_rings

#define NEEDS_POPULATE() SKIP_WITHOUT(roma_tests::owned_engine(ROMA_PREFETCH_PLAIN))

#endif
