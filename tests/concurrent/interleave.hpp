/* interleave.hpp - results of interleave.h as Catch2 wants them. */
#ifndef ROMA_TESTS_INTERLEAVE_HPP
#define ROMA_TESTS_INTERLEAVE_HPP

#include "catch.hpp"
#include "interleave.h"
#include "skip.hpp"

#if defined(__SANITIZE_THREAD__)
#define NEEDS_COROUTINES() SKIP_TEST("ThreadSanitizer does not follow swapcontext")
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define NEEDS_COROUTINES() SKIP_TEST("ThreadSanitizer does not follow swapcontext")
#endif
#endif
#ifndef NEEDS_COROUTINES
#define NEEDS_COROUTINES() (void)0
#endif

/* All must hold. Returns how many runs that were. */
inline long runs_of(const interleave_result &result)
{
    INFO((result.message != nullptr ? result.message : "all interleavings hold") << result.trace);
    CHECK(result.message == nullptr);
    return result.message == nullptr ? result.runs : 0;
}

/* The source broken on purpose: some interleaving must show it. `run` returns its result. */
template <typename scene> void check_is_noticed(const interleave_mutant &mutant, scene run)
{
    interleave_mutant_now = mutant;
    const interleave_result result = run();
    INFO(mutant.function << " broken as " << mutant.mutation << ", which it was "
                         << interleave_mutant_now.met << " times in " << result.runs << " runs");
    CHECK(interleave_mutant_now.met > 0);
    CHECK(result.message != nullptr);
    interleave_mutant_now = {};
}

inline interleave_mutant torn(const char *function)
{
    return {function, INTERLEAVE_TORN, nullptr, 0};
}

inline interleave_mutant forgetful(const char *function)
{
    return {function, INTERLEAVE_FORGETFUL, nullptr, 0};
}

#endif
