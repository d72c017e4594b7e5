/* ending.cpp - threads that end while heaps are closed that they have used, under every
 * interleaving.
 *
 * Nobody calls a heap that is being closed. But a thread's end is no call, and it may come late:
 * the caches that it gives up may just be taken, or be another thread's in another heap already. */
#include "interleave.hpp"
#include "scenes_interleaved.h"

namespace {

constexpr ending_step leave = {END_LEAVE, 0}, tell = {END_TELL, 0}, await = {END_AWAIT, 0},
                      check_0 = {END_CHECK, 0}, clear_0 = {END_CLEAR, 0}, close_0 = {END_CLOSE, 0},
                      take_caches_0 = {END_CLOSE_CACHES, 0}, take_caches_1 = {END_CLOSE_CACHES, 1},
                      attach_1 = {END_ATTACH, 1}, use_1 = {END_USE, 1};

using script = ending_step[ENDING_THREADS_MAX][ENDING_ACTS_MAX];

/* The first `users` threads have caches of the first heap. */
ending_scenario scene(unsigned users, unsigned threads, const script &steps)
{
    ending_scenario made = {};
    made.threads = threads;
    for (unsigned i = 0; i < threads; i++) {
        made.has_cache[i][0] = i < users;
        for (unsigned j = 0; j < ENDING_ACTS_MAX; j++)
            made.steps[i][j] = steps[i][j];
    }
    return made;
}

/* The same, of blocks that live, or also in a magazine; `sends`: one that is freed on its way. */
ending_scenario scene_with_blocks(unsigned users, unsigned threads, bool has_magazines, bool sends,
                                  const script &steps)
{
    ending_scenario made = scene(users, threads, steps);
    made.has_magazines = has_magazines;
    made.live = 2;
    made.sends = sends;
    return made;
}

ending_scenario end_and_close()
{
    return scene(1, 2, {{leave}, {take_caches_0}});
}

/* The first thread's cache is the second's by the time that the first ends. */
ending_scenario end_late()
{
    return scene(1, 3, {{leave}, {attach_1, use_1, leave}, {take_caches_0}});
}

long run(const ending_scenario &scenario)
{
    return runs_of(ending_run(&scenario));
}

void check_is_noticed_in(const ending_scenario &scenario, const interleave_mutant &mutant)
{
    check_is_noticed(mutant, [&] { return ending_run(&scenario); });
}

} // namespace

TEST_CASE("a cache is given up by its thread or taken by its heap's closing, in every interleaving",
          "[ending]")
{
    NEEDS_COROUTINES();
    CHECK(run(end_and_close()) > 10);
    ending_scenario of_two_heaps = end_and_close();
    of_two_heaps.has_cache[0][1] = true;
    CHECK(run(of_two_heaps) > 10);
    CHECK(run(scene(2, 3, {{leave}, {leave}, {take_caches_0}})) > 100);
    CHECK(run(end_late()) > 100);
}

TEST_CASE("a heap whose thread has a cache that was just another's waits for its end, in every "
          "interleaving",
          "[ending]")
{
    NEEDS_COROUTINES();
    CHECK(run(scene(1, 3, {{leave}, {attach_1, tell, leave}, {await, take_caches_1}})) > 100);
}

TEST_CASE("a heap is closed, proved or cleared while its threads end, in every interleaving",
          "[ending]")
{
    NEEDS_COROUTINES();
    for (const ending_step &alone : {close_0, check_0, clear_0}) {
        INFO("act " << alone.act);
        CHECK(run(scene(1, 2, {{leave}, {alone}})) > 5);
        for (bool has_magazines : {false, true}) {
            CHECK(run(scene_with_blocks(1, 2, has_magazines, false, {{leave}, {alone}})) > 10);
            CHECK(run(scene_with_blocks(2, 3, has_magazines, true, {{leave}, {leave}, {alone}})) >
                  100);
        }
    }
}

TEST_CASE("a thread that ends unannounced, or without a look, is found out", "[ending]")
{
    NEEDS_COROUTINES();
    check_is_noticed_in(end_and_close(), forgetful("announce"));
    check_is_noticed_in(end_late(), ending_without_look());
}
