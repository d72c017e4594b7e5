/* endings.cpp - managers are destroyed at the moment when threads that used them end.
 *
 * A thread's end is no call on a manager, and its caches outlive the last statement of its
 * function: they are given up by a destructor that runs after it. So who was told that a thread is
 * done with a manager may destroy that while the thread's cache of it is just going: one of the two
 * takes it. The same for what else needs the manager alone, as roma_manager_check().
 *
 * ROMA_STRESS_OPS is the number of blocks of each test (72000; sanitizers: 30000), ROMA_STRESS_SEED
 * the seed. */
#include "scene.hpp"

#include <algorithm>
#include <iterator>
#include <thread>
#include <vector>

namespace {

using scene::failures;
using scene::random_numbers;

constexpr unsigned threads_count = 6, managers_count = 3, blocks_count = 40;

struct parcel {
    void *address;
    uint64_t identity;
};

/* What the threads of a round share. A block is put down by whoever made it and taken by whoever
 * comes next, so most are freed by others than their makers. */
struct gathering {
    roma_manager *managers[managers_count] = {};
    std::mutex lock;
    std::vector<parcel> table;
    std::atomic<unsigned> working{threads_count};
    failures *wrong;
};

constexpr size_t length_of(uint64_t identity)
{
    return 16 + identity * 40503 % 3000;
}

void end_one(gathering &on, const parcel &block)
{
    on.wrong->require(scene::is_signed(block.address, length_of(block.identity), block.identity),
                      "the bytes of a block have changed");
    on.wrong->require(roma_release(block.address) == 0, "the last release did not free");
}

/* Put one down, and take another where there are many. Returns whether there was one to take. */
bool exchange(gathering &on, const parcel *put, size_t least, parcel *taken)
{
    const std::lock_guard<std::mutex> hold(on.lock);
    if (put != nullptr)
        on.table.push_back(*put);
    if (on.table.size() <= least)
        return false;
    std::swap(on.table[on.table.size() / 2], on.table.back());
    *taken = on.table.back();
    on.table.pop_back();
    return true;
}

void work(gathering &on, uint64_t seed)
{
    random_numbers random(seed);
    parcel taken;
    for (unsigned i = 0; i < blocks_count; i++) {
        parcel made = {nullptr, random.next()};
        made.address = roma_alloc(on.managers[random.below(managers_count)],
                                  length_of(made.identity));
        if (!on.wrong->require(made.address != nullptr, "no memory"))
            continue;
        scene::sign(made.address, length_of(made.identity), made.identity);
        if (exchange(on, &made, blocks_count / 2, &taken))
            end_one(on, taken);
    }
    while (exchange(on, nullptr, 0, &taken))
        end_one(on, taken);
    on.working.fetch_sub(1, std::memory_order_release);
    /* No call follows, but the thread's end. */
}

/* Let threads work with the managers; `finish` is called when they are done and about to end. */
template <typename function>
void gather(roma_manager *const (&managers)[managers_count], failures &wrong, uint64_t seed,
            function finish)
{
    gathering on;
    on.wrong = &wrong;
    std::copy(std::begin(managers), std::end(managers), on.managers);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < threads_count; i++)
        threads.emplace_back([&on, i, seed] { work(on, seed * threads_count + i); });
    while (on.working.load(std::memory_order_acquire) > 0)
        std::this_thread::yield();
    finish();
    for (std::thread &thread : threads)
        thread.join();
}

unsigned long rounds_count()
{
    return scene::count_from("ROMA_STRESS_OPS", scene::is_sanitized ? 30000 : 72000) /
           (threads_count * blocks_count);
}

} // namespace

TEST_CASE("managers that are destroyed while their threads end take all of their memory back, and "
          "the threads end",
          "[endings]")
{
    const roma_counts counts = GENERATE(ROMA_COUNTS_NONE, ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT);
    const unsigned long seed = scene::count_from("ROMA_STRESS_SEED", 1);
    INFO("ROMA_STRESS_SEED=" << seed << ", counts " << counts);
    failures wrong;
    roma_provider *provider = nullptr;
    REQUIRE(roma_provider_counting(roma_provider_anonymous(), &provider, nullptr) == 0);
    roma_options options = roma_options_default();
    options.providers = &provider;
    options.providers_count = 1;
    options.counts = counts;
    for (unsigned long round = 0; round < rounds_count() && wrong.count() == 0; round++) {
        roma_manager *managers[managers_count];
        for (roma_manager *&manager : managers)
            REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
        gather(managers, wrong, seed + round, [&] {
            for (roma_manager *manager : managers)
                wrong.require(roma_manager_destroy(manager) == 0,
                              "a manager without blocks is busy");
        });
        wrong.require(scene::figure(provider, "extents.live") == 0, "extents are left");
    }
    INFO(wrong.first());
    CHECK(wrong.count() == 0);
    CHECK(roma_provider_unregister(provider) == 0);
}

TEST_CASE("managers are proved and trimmed while their threads end", "[endings]")
{
    const roma_counts counts = GENERATE(ROMA_COUNTS_NONE, ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT);
    const unsigned long seed = scene::count_from("ROMA_STRESS_SEED", 1);
    INFO("ROMA_STRESS_SEED=" << seed << ", counts " << counts);
    failures wrong;
    scene::counted_manager first(ROMA_PAGES_BASE, 0, counts), second(ROMA_PAGES_BASE, 0, counts),
        third(ROMA_PAGES_BASE, 0, counts);
    roma_manager *const managers[managers_count] = {first.self(), second.self(), third.self()};
    for (unsigned long round = 0; round < rounds_count() && wrong.count() == 0; round++)
        gather(managers, wrong, seed + round, [&] {
            for (roma_manager *manager : managers) {
                wrong.require(roma_manager_check(manager) == 0, "a manager does not hold");
                wrong.require(roma_manager_trim(manager, 0) >= 0, "trim failed");
                wrong.require(scene::figure(manager, "blocks.live") == 0,
                              "blocks live that nobody has");
            }
        });
    INFO(wrong.first());
    CHECK(wrong.count() == 0);
}
