/* cache.cpp - blocks from a thread's own cache: the interface of roma/cache.h. */
#include "emulated.hpp"
#include "owned.hpp"
#include "skip.hpp"

#include <cerrno>
#include <cstring>
#include <set>
#include <thread>

using roma_tests::owned;

namespace {

const roma_counts all_counts[] = {ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT, ROMA_COUNTS_NONE};

roma_cache *cache_of(owned &manager)
{
    roma_cache *cache = roma_cache_of(manager.self);
    REQUIRE(cache != nullptr);
    return cache;
}

} // namespace

TEST_CASE("a cache gives and takes the same blocks as the plain calls, of every length")
{
    for (roma_counts counts : all_counts) {
        owned manager(counts);
        roma_cache *cache = cache_of(manager);
        for (size_t bytes : {size_t{0}, size_t{1}, size_t{64}, size_t{100}, size_t{4096},
                             size_t{262144}, size_t{262145}, size_t{5} << 20}) {
            INFO("counts " << counts << ", " << bytes << " bytes");
            void *first = roma_cache_alloc(cache, bytes);
            void *second = manager.alloc(bytes);
            REQUIRE(first != nullptr);
            CHECK(first != second);
            std::memset(first, 1, bytes);
            std::memset(second, 2, bytes);
            CHECK(roma_manager_of(first) == manager.self);
            CHECK(roma_usable(first) == roma_usable(second));
            CHECK(roma_bytes(first) == roma_bytes(second));
            CHECK(manager.figure("blocks.live") == 2);
            roma_free(first);
            roma_cache_free(cache, second, bytes);
            CHECK(manager.figure("blocks.live") == 0);
        }
        CHECK(manager.kinds().empty());
        CHECK(roma_manager_check(manager.self) == 0);
    }
}

TEST_CASE("a thread has one cache of a manager, and no two threads have the same")
{
    SKIP_UNDER_TOOL();
    owned manager, other;
    roma_cache *mine = cache_of(manager);
    CHECK(roma_cache_of(manager.self) == mine);
    CHECK(roma_cache_of(other.self) != mine);
    roma_cache *theirs = nullptr;
    std::thread([&] { theirs = roma_cache_of(manager.self); }).join();
    CHECK(theirs != nullptr);
    CHECK(theirs != mine);
}

TEST_CASE("no manager, too long a length and NULL are refused or nothing, as by the plain calls")
{
    errno = 0;
    CHECK(roma_cache_of(nullptr) == nullptr);
    CHECK(errno == EINVAL);
    owned manager;
    roma_cache *cache = cache_of(manager);
    errno = 0;
    CHECK(roma_cache_alloc(cache, SIZE_MAX) == nullptr);
    CHECK(errno == EOVERFLOW);
    CHECK(manager.figure("failures.count") == 1);
    roma_cache_free(cache, nullptr, 64);
    void *none[2] = {nullptr, nullptr};
    roma_cache_free_batch(cache, 64, none, 2);
    CHECK(roma_cache_alloc_batch(cache, SIZE_MAX, none, 2) == -EOVERFLOW);
    CHECK(roma_cache_alloc_batch(cache, 64, nullptr, 1) == -EINVAL);
    CHECK(roma_cache_alloc_batch(nullptr, 64, none, 1) == -EINVAL);
    CHECK(roma_cache_alloc_batch(cache, 64, nullptr, 0) == 0);
    CHECK(manager.figure("blocks.live") == 0);
    CHECK(manager.kinds().empty());
}

TEST_CASE(
    "a wrong length, a foreign address and the inside of a block are misuse, and change nothing")
{
    owned manager;
    roma_cache *cache = cache_of(manager);
    char *block = static_cast<char *>(roma_cache_alloc(cache, 128));
    REQUIRE(block != nullptr);
    roma_cache_free(cache, block, 127);
    roma_cache_free(cache, block + 16, 128);
    CHECK(manager.kinds() == std::vector<roma_misuse_kind>{ROMA_MISUSE_SIZE, ROMA_MISUSE_INTERIOR});
    CHECK(roma_count(block) == 1);
    roma_cache_free(cache, block, 128);
    roma_cache_free(cache, block, 128);
    REQUIRE(manager.kinds().size() == 3);
    CHECK(manager.kinds().back() == ROMA_MISUSE_DOUBLE_FREE);
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("a block of another manager goes back to that one by any cache")
{
    for (roma_counts counts : all_counts) {
        owned manager(counts), other(counts);
        roma_cache *cache = cache_of(manager);
        roma_cache_free(cache, other.alloc(64), 64);
        roma_cache_free(cache, other.alloc(1u << 20), 1u << 20);
        CHECK(other.figure("blocks.live") == 0);
        CHECK(manager.figure("releases.count") == 0);
        CHECK(roma_manager_check(manager.self) == 0);
        CHECK(roma_manager_check(other.self) == 0);
    }
}

TEST_CASE("a shared block loses one reference by its cache, and lives")
{
    owned manager;
    roma_cache *cache = cache_of(manager);
    void *block = roma_cache_alloc(cache, 64);
    REQUIRE(block != nullptr);
    CHECK(roma_retain(block) == 2);
    roma_cache_free(cache, block, 64);
    CHECK(roma_count(block) == 1);
    roma_cache_free(cache, block, 64);
    CHECK(roma_count(block) == -ESTALE);
}

TEST_CASE("batches give blocks that differ, of any length, and take them back, NULLs skipped")
{
    enum { COUNT = 5000 };
    static void *blocks[COUNT];
    for (roma_counts counts : all_counts) {
        owned manager(counts);
        roma_cache *cache = cache_of(manager);
        for (size_t bytes : {size_t{48}, size_t{5000}}) {
            INFO("counts " << counts << ", " << bytes << " bytes");
            REQUIRE(roma_cache_alloc_batch(cache, bytes, blocks, COUNT) == 0);
            CHECK(std::set<void *>(blocks, blocks + COUNT).size() == COUNT);
            CHECK(manager.figure("blocks.live") == COUNT);
            void *kept = blocks[7];
            blocks[7] = nullptr;
            roma_cache_free_batch(cache, bytes, blocks, COUNT);
            CHECK(manager.figure("blocks.live") == 1);
            roma_free(kept);
            REQUIRE(roma_alloc_batch(manager.self, bytes, blocks, COUNT) == 0);
            CHECK(std::set<void *>(blocks, blocks + COUNT).size() == COUNT);
            for (void *block : blocks)
                std::memset(block, 1, bytes);
            kept = blocks[COUNT - 1];
            blocks[COUNT - 1] = nullptr;
            roma_free_batch(blocks, COUNT);
            CHECK(manager.figure("blocks.live") == 1);
            roma_free(kept);
        }
        REQUIRE(roma_cache_alloc_batch(cache, 1u << 20, blocks, 3) == 0);
        roma_cache_free_batch(cache, 1u << 20, blocks, 3);
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(manager.kinds().empty());
        CHECK(roma_manager_check(manager.self) == 0);
    }
}

TEST_CASE("a batch that a limit does not allow is not begun, by the cache or the plain call")
{
    enum { COUNT = 10000 };
    static void *blocks[COUNT];
    for (roma_counts counts : all_counts) {
        roma_options options = roma_options_default();
        options.counts = counts;
        options.limit_bytes = 8u << 20;
        owned manager(options);
        roma_cache *cache = cache_of(manager);
        CHECK(roma_cache_alloc_batch(cache, 4096, blocks, COUNT) == -ENOMEM);
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(roma_alloc_batch(manager.self, 4096, blocks, COUNT) == -ENOMEM);
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(roma_alloc_batch(manager.self, 4096, blocks, 100) == 0);
        roma_free_batch(blocks, 100);
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(roma_manager_check(manager.self) == 0);
    }
}

TEST_CASE("blocks of several managers are freed in one batch, and one that is none is told alone")
{
    owned first(ROMA_COUNTS_COUNTED), second(ROMA_COUNTS_NONE), third(ROMA_COUNTS_EXACT);
    void *blocks[] = {first.alloc(64),  second.alloc(64), third.alloc(64),      nullptr,
                      first.alloc(640), second.alloc(64), third.alloc(1 << 20), first.alloc(64)};
    roma_free_batch(blocks, std::size(blocks));
    for (owned *manager : {&first, &second, &third}) {
        CHECK(manager->figure("blocks.live") == 0);
        CHECK(roma_manager_check(manager->self) == 0);
        CHECK(manager->kinds().empty());
    }
    void *twice = first.alloc(64), *once = first.alloc(64);
    void *again[] = {twice, twice, once};
    roma_free_batch(again, 3);
    CHECK(first.kinds() == std::vector<roma_misuse_kind>{ROMA_MISUSE_DOUBLE_FREE});
    CHECK(first.figure("blocks.live") == 0);
}

TEST_CASE("a manager that looks at every block is called at each by its caches")
{
    roma_options options = roma_options_default();
    options.debug = ROMA_DEBUG_PATTERNS | ROMA_DEBUG_SITES;
    owned manager(options);
    roma_cache *cache = cache_of(manager);
    unsigned char *block = static_cast<unsigned char *>(roma_cache_alloc(cache, 64));
    REQUIRE(block != nullptr);
    CHECK(block[0] == 0xA5); /* filled, as by roma_alloc() */
    CHECK(block[63] == 0xA5);
    roma_cache_free(cache, block, 63);
    roma_cache_free(cache, block, 64);
    roma_cache_free(cache, block, 64);
    CHECK(manager.kinds() ==
          std::vector<roma_misuse_kind>{ROMA_MISUSE_SIZE, ROMA_MISUSE_DOUBLE_FREE});
    void *batch[10];
    REQUIRE(roma_cache_alloc_batch(cache, 64, batch, 10) == 0);
    CHECK(static_cast<unsigned char *>(batch[9])[0] == 0xA5);
    roma_cache_free_batch(cache, 64, batch, 10);
    CHECK(manager.figure("blocks.live") == 0);
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("blocks that are to be populated are so by a cache, too")
{
    SKIP_WHERE_EMULATED();
    roma_request defaults = roma_request_default();
    defaults.populate_threads = 1;
    defaults.pages = ROMA_PAGES_BASE;
    roma_options options = roma_options_default();
    options.request = &defaults;
    owned manager(options);
    roma_cache *cache = cache_of(manager);
    roma_report report;
    std::vector<void *> blocks;
    for (int i = 0; i < 20; i++) {
        blocks.push_back(roma_cache_alloc(cache, 128 << 10));
        REQUIRE(blocks.back() != nullptr);
        REQUIRE(roma_where(blocks.back(), &report) == 0);
        CHECK(report.resident_bytes >= 128 << 10);
    }
    for (void *block : blocks)
        roma_cache_free(cache, block, 128 << 10);
}

TEST_CASE("a manager whose memory is to be local has a cache on the node of the thread")
{
    roma_request defaults = roma_request_default();
    defaults.placement = ROMA_LOCAL;
    roma_options options = roma_options_default();
    options.request = &defaults;
    owned manager(options);
    roma_cache *cache = cache_of(manager);
    void *first = roma_cache_alloc(cache, 1000);
    void *second = manager.alloc(1000);
    REQUIRE(first != nullptr);
    roma_cache_free(cache, second, 1000);
    roma_free(first);
    CHECK(manager.figure("blocks.live") == 0);
}
