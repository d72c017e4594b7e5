/* handover.cpp - slabs that change over, and releases that are late, under every interleaving.
 *
 * A thread that gives up the last reference to another thread's block reads who owns the slab and
 * sends the release there. Meanwhile the slab may go to another owner, the life may end by
 * somebody's release too many, and a new one begin. */
#include "interleave.hpp"
#include "scenes_interleaved.h"

#include <roma/cache.h>

namespace {

constexpr handover_step take = {ACT_TAKE, 0}, serve = {ACT_SERVE, 0}, drain = {ACT_DRAIN, 0},
                        flush = {ACT_FLUSH, 0}, trim = {ACT_TRIM, 0}, leave = {ACT_LEAVE, 0},
                        adopt = {ACT_ADOPT, 0}, release_0 = {ACT_RELEASE, 0},
                        release_1 = {ACT_RELEASE, 1}, fast_0 = {ACT_RELEASE_FAST, 0},
                        fast_1 = {ACT_RELEASE_FAST, 1};

/* Heaps whose caches have no magazines, and those that have. */
constexpr bool plain = false, stacked = true;

using script = handover_step[HANDOVER_THREADS_MAX][HANDOVER_ACTS_MAX];

/* Threads with caches; the slab's keeper is the first one's, or an orphan. */
handover_scenario scene(bool has_magazines, unsigned keeper, unsigned live, unsigned threads,
                        const script &steps, uint32_t words = ROMA__WORDS_OWNED)
{
    handover_scenario made = {words, has_magazines, keeper, live, threads, false, {}};
    for (unsigned i = 0; i < threads; i++)
        for (unsigned j = 0; j < HANDOVER_ACTS_MAX; j++)
            made.steps[i][j] = steps[i][j];
    return made;
}

/* Threads that are ending and share the common cache, which keeps the slab. */
handover_scenario common_scene(unsigned live, unsigned threads, const script &steps)
{
    handover_scenario made = scene(plain, HANDOVER_COMMON, live, threads, steps);
    made.are_ending = true;
    return made;
}

/* The new owner and another release the same, and somebody else looks into the orphan's inbox. */
handover_scenario owner_and_another()
{
    return scene(plain, HANDOVER_ORPHAN, 2, 3, {{serve, release_0}, {release_0, flush}, {serve}});
}

/* Cells that are all in use, or all but those in the magazine: what is released is taken again. */
handover_scenario late_of_two(bool has_magazines)
{
    return scene(has_magazines, 0, has_magazines ? 2 : 4, 3,
                 {{drain, take, take}, {release_0, flush}, {release_0, flush}});
}

handover_scenario late_of_common()
{
    return common_scene(4, 3, {{release_0}, {release_0}, {take}});
}

long run(const handover_scenario &scenario)
{
    return runs_of(handover_run(&scenario));
}

void check_is_noticed_in(const handover_scenario &scenario, const interleave_mutant &mutant)
{
    check_is_noticed(mutant, [&] { return handover_run(&scenario); });
}

} // namespace

TEST_CASE("a release sent to a slab's owner of before arrives once at the one of now, in every "
          "interleaving",
          "[handover]")
{
    NEEDS_COROUTINES();
    for (uint32_t words : {ROMA__WORDS_NONE, ROMA__WORDS_OWNED, ROMA__WORDS_EXACT}) {
        INFO("words " << words);
        for (bool has_magazines : {plain, stacked})
            CHECK(run(scene(has_magazines, HANDOVER_ORPHAN, 2, 2, {{release_0, flush}, {take}},
                            words)) > 10);
        CHECK(run(scene(plain, HANDOVER_ORPHAN, 2, 3,
                        {{release_0, flush}, {release_1, flush}, {serve, drain}}, words)) > 100);
    }
    /* with all of its way before it at the end, when the heap is flushed */
    CHECK(run(scene(plain, HANDOVER_ORPHAN, 2, 2, {{release_0}, {serve}})) > 10);
    /* from one that has ended to one that ends, and on to a third */
    CHECK(run(scene(plain, HANDOVER_ORPHAN, 2, 3,
                    {{serve, leave}, {serve, drain}, {release_0, flush}})) > 100);
}

TEST_CASE("an orphan is adopted, or its slab taken over, and what is sent to it arrives, in every "
          "interleaving",
          "[handover]")
{
    NEEDS_COROUTINES();
    CHECK(run(scene(plain, HANDOVER_ORPHAN, 2, 2, {{serve, release_0}, {adopt, release_0}})) > 10);
    CHECK(run(scene(stacked, HANDOVER_ORPHAN, 2, 2, {{serve, take}, {adopt, take}})) > 10);
    CHECK(run(scene(stacked, HANDOVER_ORPHAN, 2, 2, {{serve, fast_0}, {adopt, fast_0}})) > 10);
    /* what has lost its slab is still written to when its second thread ends */
    CHECK(run(scene(plain, HANDOVER_ORPHAN, 2, 3, {{serve}, {adopt, leave}, {release_0, flush}})) >
          100);
}

TEST_CASE("a release that is sent to an owner arrives once, whoever empties its caches, in every "
          "interleaving",
          "[handover]")
{
    NEEDS_COROUTINES();
    CHECK(run(scene(stacked, 0, 2, 2, {{drain, take}, {release_0, flush}})) > 10);
    CHECK(run(scene(stacked, 0, 3, 2, {{take, take}, {release_0, fast_1, flush}})) > 10);
    CHECK(run(scene(stacked, 0, 2, 3, {{take}, {release_0, flush}, {trim}})) > 100);
}

TEST_CASE("of two last releases of one life one ends it and the other is told of, in every "
          "interleaving",
          "[handover]")
{
    NEEDS_COROUTINES();
    /* of two others, while the slab changes over */
    CHECK(run(scene(plain, HANDOVER_ORPHAN, 2, 3,
                    {{release_0, flush}, {release_0, flush}, {serve, drain}})) > 100);
    /* of the new owner and another */
    CHECK(run(scene(stacked, HANDOVER_ORPHAN, 2, 2, {{release_0, flush}, {serve, fast_0}})) > 10);
    CHECK(run(scene(plain, HANDOVER_ORPHAN, 2, 2, {{release_0, flush}, {serve, release_0}})) > 10);
    CHECK(run(owner_and_another()) > 100);
    /* through the cache that threads share that have none */
    CHECK(run(common_scene(2, 2, {{release_0}, {release_0}})) > 10);
}

TEST_CASE("a release that is late does not end the life that began since, in every interleaving",
          "[handover]")
{
    NEEDS_COROUTINES();
    CHECK(run(scene(plain, 0, 4, 2, {{take, take}, {release_0, flush}})) > 10);
    CHECK(run(late_of_two(plain)) > 100);
    CHECK(run(late_of_two(stacked)) > 100);
    CHECK(run(scene(stacked, 0, 2, 3,
                    {{drain, take}, {release_0, fast_1, flush}, {release_1, fast_0, flush}})) >
          100);
    CHECK(run(late_of_common()) > 100);
}

TEST_CASE(
    "an end of a life that does not compare, or a slab that goes without a note, is found out",
    "[handover]")
{
    NEEDS_COROUTINES();
    check_is_noticed_in(late_of_two(plain), handover_without_comparing("end_life"));
    check_is_noticed_in(late_of_two(stacked), handover_without_comparing("receive_fast"));
    check_is_noticed_in(late_of_common(), handover_without_comparing("end_as_owner"));
    check_is_noticed_in(owner_and_another(), handover_without_note());
}
