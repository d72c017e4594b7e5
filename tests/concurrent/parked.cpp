/* parked.cpp - large runs that keep their places between lives: the kernel under every
 * interleaving, and whole managers under threads. */
#include "interleave.hpp"
#include "parked_interleaved.h"
#include "scene.hpp"

#include <roma.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace {

long run(const parked_scenario &scenario)
{
    return runs_of(parked_run(&scenario));
}

} // namespace

TEST_CASE("a run goes from one life to the next once, in every interleaving", "[parked]")
{
    NEEDS_COROUTINES();
    CHECK(run({2, {{PARKED_END}, {PARKED_END, PARKED_TAKE}}}) > 2);
    CHECK(run({3, {{PARKED_END}, {PARKED_TAKE}, {PARKED_TAKE}}}) > 6);
    CHECK(run({3, {{PARKED_END, PARKED_CYCLE}, {PARKED_CYCLE}, {PARKED_END}}}) > 6);
    CHECK(run({3, {{PARKED_END}, {PARKED_RETURN, PARKED_CYCLE}, {PARKED_CYCLE}}}) > 6);
}

TEST_CASE("a run that is taken away is nobody's, in every interleaving", "[parked]")
{
    NEEDS_COROUTINES();
    CHECK(run({3, {{PARKED_END, PARKED_CYCLE}, {PARKED_CYCLE}, {PARKED_WITHDRAW}}}) > 6);
    CHECK(run({3, {{PARKED_END}, {PARKED_RETURN}, {PARKED_WITHDRAW, PARKED_WITHDRAW}}}) > 6);
    CHECK(run({3, {{PARKED_END}, {PARKED_CYCLE}, {PARKED_EVICT, PARKED_WITHDRAW}}}) > 6);
    CHECK(run({3, {{PARKED_LEAVE, PARKED_END}, {PARKED_TAKE}, {PARKED_EVICT}}}) > 6);
}

TEST_CASE("a run gets a place while others take and leave theirs, in every interleaving",
          "[parked]")
{
    NEEDS_COROUTINES();
    CHECK(run({2, {{PARKED_PUT, PARKED_CYCLE}, {PARKED_END, PARKED_TAKE}}}) > 2);
    CHECK(run({3, {{PARKED_PUT}, {PARKED_CYCLE, PARKED_TAKE}, {PARKED_END}}}) > 6);
    CHECK(run({3, {{PARKED_PUT}, {PARKED_WITHDRAW, PARKED_TAKE}, {PARKED_END}}}) > 6);
}

TEST_CASE("a run that changes hands by load and store is found to be given to two", "[parked]")
{
    NEEDS_COROUTINES();
    static constexpr parked_scenario takes = {3, {{PARKED_END}, {PARKED_TAKE}, {PARKED_TAKE}}},
                                     ends = {2, {{PARKED_END}, {PARKED_END}}},
                                     leaves = {3, {{PARKED_END}, {PARKED_TAKE}, {PARKED_WITHDRAW}}};
    check_is_noticed(torn("interleaved_parked_take"), [] { return parked_run(&takes); });
    check_is_noticed(torn("end"), [] { return parked_run(&ends); });
    check_is_noticed(torn("interleaved_parked_withdraw"), [] { return parked_run(&leaves); });
}

/* ---- threads --------------------------------------------------------------------------------- */

namespace {

constexpr size_t mib = 1 << 20;
constexpr unsigned threads_count = 6;

struct stage {
    roma_manager *manager = nullptr;
    scene::failures wrong;
    std::atomic<bool> ended{false};
};

/* Words at the start, at the end and at a page in between: no other holds them. */
void mark(void *block, size_t bytes, uint64_t mark)
{
    auto *words = static_cast<uint64_t *>(block);
    for (size_t at : {size_t{0}, bytes / 16, bytes / 8 - 1})
        __atomic_store_n(&words[at], mark, __ATOMIC_RELAXED);
}

bool is_marked(const void *block, size_t bytes, uint64_t mark)
{
    const auto *words = static_cast<const uint64_t *>(block);
    bool is_so = true;
    for (size_t at : {size_t{0}, bytes / 16, bytes / 8 - 1})
        is_so &= __atomic_load_n(&words[at], __ATOMIC_RELAXED) == mark;
    return is_so;
}

void act(stage &on, unsigned number, unsigned rounds)
{
    scene::random_numbers random(number + 1);
    const bool is_counted = (number & 1) == 0;
    for (unsigned i = 0; i < rounds; i++) {
        const size_t bytes = (2 + random.below(3)) * 2 * mib - random.below(4) * 4096;
        const uint64_t identity = (uint64_t)number << 32 | i;
        void *block = roma_alloc(on.manager, bytes);
        if (!on.wrong.require(block != nullptr, "a block is not to be had"))
            return;
        mark(block, bytes, identity);
        on.wrong.require(roma_bytes(block) == bytes, "a block has another length");
        if (is_counted && random.below(4) == 0 && roma_retain(block) == 2) {
            on.wrong.require(is_marked(block, bytes, identity), "a shared block is another's");
            on.wrong.require(roma_release(block) == 1, "a reference is not there to be released");
        }
        if (random.below(16) == 0) {
            void *resized = roma_resize(block, bytes + 2 * mib);
            block = resized != nullptr ? resized : block;
            const auto *words = static_cast<const uint64_t *>(block);
            on.wrong.require(__atomic_load_n(words, __ATOMIC_RELAXED) == identity,
                             "a resized block has other contents");
        } else {
            on.wrong.require(is_marked(block, bytes, identity), "two have a block");
        }
        roma_free(block);
    }
}

void trim(stage &on)
{
    for (unsigned i = 0; !on.ended.load(); i++) {
        on.wrong.require(roma_manager_trim(on.manager, i % 3 * 8 * mib) >= 0, "a trim fails");
        std::this_thread::yield();
    }
}

} // namespace

TEST_CASE("threads take and give large blocks while another trims", "[parked][concurrent]")
{
    stage on;
    roma_options options = roma_options_default();
    options.counts = ROMA_COUNTS_COUNTED;
    options.return_delay_ns = GENERATE(uint64_t{2000000}, uint64_t{1000000000});
    REQUIRE(roma_manager_create(&on.manager, &options, nullptr) == 0);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < threads_count; i++)
        threads.emplace_back([&on, i] { act(on, i, 3000); });
    std::thread trimmer([&on] { trim(on); });
    for (auto &thread : threads)
        thread.join();
    on.ended.store(true);
    trimmer.join();
    CHECK(on.wrong.first() == "");
    CHECK(roma_manager_check(on.manager) == 0);
    CHECK(roma_manager_trim(on.manager, 0) >= 0);
    roma_manager_destroy(on.manager);
}
