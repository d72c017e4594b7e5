/* owner.cpp - blocks that another thread releases than the one they came from: when that takes
 * effect, and what a thread leaves behind. */
#include "owned.hpp"
#include "skip.hpp"

#include <cerrno>
#include <thread>
#include <vector>

using roma_tests::owned;

namespace {

/* More blocks of a length than any cache holds: who allocates so many looks into its inbox. */
constexpr size_t beyond_caches = 6000;

template <typename work> void in_a_thread(work does)
{
    std::thread(does).join();
}

std::vector<void *> alloc_many(roma_manager *manager, size_t bytes, size_t count)
{
    std::vector<void *> blocks(count);
    REQUIRE(roma_alloc_batch(manager, bytes, blocks.data(), count) == 0);
    return blocks;
}

} // namespace

TEST_CASE("a block that another thread releases is stale after a trim at the latest")
{
    owned manager;
    for (size_t bytes : {size_t{64}, size_t{4096}, size_t{1} << 20}) {
        void *block = manager.alloc(bytes);
        const roma_block handle = roma_block_of(block);
        in_a_thread([&] { CHECK(roma_release(block) == 0); });
        CHECK(roma_manager_trim(manager.self, SIZE_MAX) == 0);
        CHECK_FALSE(roma_block_is_live(handle));
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(manager.figure("blocks.bytes") == 0);
    }
    CHECK(manager.kinds().empty());
}

TEST_CASE("and when its owner needs more than its cache has")
{
    owned manager;
    void *block = manager.alloc(64);
    const roma_block handle = roma_block_of(block);
    in_a_thread([&] { CHECK(roma_release(block) == 0); });
    std::vector<void *> more = alloc_many(manager.self, 64, beyond_caches);
    CHECK_FALSE(roma_block_is_live(handle));
    roma_free_batch(more.data(), more.size());
    CHECK(manager.figure("blocks.live") == 0);
}

TEST_CASE("a manager is destroyed while a release is on its way, as if it had arrived")
{
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, nullptr, nullptr) == 0);
    void *block = roma_alloc(manager, 64);
    REQUIRE(block != nullptr);
    in_a_thread([&] { roma_free(block); });
    CHECK(roma_manager_check(manager) == 0);
    CHECK(roma_manager_destroy(manager) == 0);
}

TEST_CASE("of two last releases by other threads one frees, the other is told at the latest late")
{
    owned manager;
    for (size_t bytes : {size_t{64}, size_t{4096}}) {
        const size_t told = manager.kinds().size();
        void *block = manager.alloc(bytes);
        int second = 1;
        in_a_thread([&] { CHECK(roma_release(block) == 0); });
        in_a_thread([&] { second = roma_release(block); });
        CHECK(roma_manager_trim(manager.self, SIZE_MAX) == 0);
        if (second == -ESTALE) {
            CHECK(manager.kinds().size() == told);
        } else {
            CHECK(second == 0);
            REQUIRE(manager.kinds().size() == told + 1);
            CHECK(manager.kinds().back() == ROMA_MISUSE_DOUBLE_FREE);
        }
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(roma_manager_check(manager.self) == 0);
    }
}

TEST_CASE("another thread's release of a shared block is counted at once")
{
    owned manager;
    void *block = manager.alloc(64);
    CHECK(roma_retain(block) == 2);
    in_a_thread([&] { CHECK(roma_release(block) == 1); });
    CHECK(roma_count(block) == 1);
    CHECK(roma_release(block) == 0);
    CHECK(roma_count(block) == -ESTALE);
}

TEST_CASE("threads that end give everything back that they do not hold in blocks")
{
    for (roma_counts counts : {ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT, ROMA_COUNTS_NONE}) {
        owned manager(counts);
        for (int round = 0; round < 20; round++)
            in_a_thread([&] {
                for (size_t bytes : {size_t{16}, size_t{100}, size_t{5000}, size_t{200000}}) {
                    std::vector<void *> blocks = alloc_many(manager.self, bytes, 100);
                    roma_free_batch(blocks.data(), blocks.size());
                }
            });
        INFO("counts " << counts);
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(manager.figure("allocations.count") == 20 * 4 * 100);
        CHECK(manager.figure("releases.count") == 20 * 4 * 100);
        CHECK(roma_manager_trim(manager.self, 0) >= 0);
        CHECK(manager.figure("extents.bytes") == 0);
        CHECK(manager.figure("extents.live") == 0);
        CHECK(roma_manager_check(manager.self) == 0);
    }
}

TEST_CASE("blocks outlive the thread that allocated them, and are freed by any other")
{
    for (roma_counts counts : {ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT, ROMA_COUNTS_NONE}) {
        owned manager(counts);
        std::vector<void *> blocks;
        in_a_thread([&] { blocks = alloc_many(manager.self, 100, beyond_caches); });
        INFO("counts " << counts);
        CHECK(manager.figure("blocks.live") == beyond_caches);
        in_a_thread([&] {
            for (size_t i = 0; i < blocks.size() / 2; i++)
                roma_free(blocks[i]);
        });
        for (size_t i = blocks.size() / 2; i < blocks.size(); i++)
            roma_free(blocks[i]);
        CHECK(roma_manager_trim(manager.self, 0) > 0);
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(manager.figure("extents.bytes") == 0);
        CHECK(manager.kinds().empty());
    }
}

TEST_CASE("what a thread freed for others is used again by them, not piled up")
{
    owned manager;
    uint64_t held_first = 0;
    for (int round = 0; round < 50; round++) {
        std::vector<void *> blocks = alloc_many(manager.self, 64, beyond_caches);
        in_a_thread([&] { roma_free_batch(blocks.data(), blocks.size()); });
        if (round == 0)
            held_first = manager.figure("extents.bytes");
    }
    CHECK(manager.figure("extents.bytes") <= 3 * held_first);
    CHECK(roma_manager_trim(manager.self, 0) > 0);
    CHECK(manager.figure("blocks.live") == 0);
}
