/* parked.cpp - large blocks whose extent waits, slab and all, for the next: what can be seen of
 * that is what could be seen of any other free extent. */
#include "catch.hpp"
#include "owned.hpp"
#include "skip.hpp"

#include <roma.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <map>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

constexpr size_t mib = 1 << 20;

struct fixture {
    roma_manager *manager = nullptr;
    roma_options options = roma_options_default();
    std::vector<int> misuses;

    explicit fixture(roma_counts counts = ROMA_COUNTS_COUNTED,
                     uint64_t delay_ns = ROMA_RETURN_NEVER)
    {
        options.counts = counts;
        options.return_delay_ns = delay_ns;
        options.misuse_context = this;
        options.on_misuse = [](void *context, const roma_misuse *misuse) {
            static_cast<fixture *>(context)->misuses.push_back(misuse->kind);
        };
        options.limit_bytes = 256 * mib;
        REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    }

    ~fixture()
    {
        CHECK(roma_manager_check(manager) == 0);
        CHECK(roma_manager_destroy(manager) == 0);
    }

    /* Room is left for a memory tool's redzone, so that the extent is of that length under one,
     * too. */
    void *take_of(size_t extent_bytes) { return take(extent_bytes - 4096); }

    void *take(size_t bytes)
    {
        void *block = roma_alloc(manager, bytes);
        REQUIRE(block != nullptr);
        return block;
    }

    /* A block that has come out of its place at least once. */
    void *take_parked(size_t bytes)
    {
        roma_free(take(bytes));
        return take(bytes);
    }

    uint64_t figure(const char *key)
    {
        std::map<std::string, uint64_t> all;
        auto collect = [](void *context, const char *name, const roma_value *value) {
            if (value->type != ROMA_VALUE_TEXT)
                (*static_cast<std::map<std::string, uint64_t> *>(context))[name] = value->number;
            return 0;
        };
        REQUIRE(roma_manager_stats(manager, collect, &all) == 0);
        return all[key];
    }
};

} // namespace

TEST_CASE("a large block gets the extent of the one before, of about its length", "[parked]")
{
    const roma_counts counts = GENERATE(ROMA_COUNTS_COUNTED, ROMA_COUNTS_NONE, ROMA_COUNTS_EXACT);
    fixture f(counts);
    void *first = f.take_of(64 * mib);
    roma_free(first);
    for (size_t bytes : {64 * mib - 4096, 60 * mib + 5, 64 * mib - 5000}) {
        void *block = f.take(bytes);
        CHECK(block == first);
        CHECK(roma_bytes(block) == (counts == ROMA_COUNTS_NONE ? roma_bytes(block) : bytes));
        CHECK(roma_manager_check(f.manager) == 0);
        roma_free(block);
        CHECK(roma_manager_check(f.manager) == 0);
    }
    for (size_t bytes :
         {64 * mib + 1, 56 * mib - 4096}) { /* too long; an eighth and more too short */
        void *block = f.take(bytes);
        CHECK(block != first);
        roma_free(block);
        CHECK(roma_manager_trim(f.manager, 0) > 0);
        roma_free(first = f.take_of(64 * mib));
    }
    void *apart = roma_alloc_aligned(f.manager, 64 * mib, 512 * mib);
    if (apart != nullptr) /* where the first is aligned so by chance, it is the same */
        CHECK((uintptr_t)apart % (512 * mib) == 0);
    roma_free(apart);
}

TEST_CASE("of several that wait the closest is taken", "[parked]")
{
    fixture f;
    void *longer = f.take(34 * mib), *close = f.take(32 * mib), *shorter = f.take(30 * mib);
    for (void *block : {longer, close, shorter})
        roma_free(block);
    void *block = f.take(32 * mib);
    CHECK(block == close);
    void *next = f.take(32 * mib);
    CHECK(next == longer);
    roma_free(next);
    roma_free(block);
}

TEST_CASE("more runs than places come and go, and none is lost", "[parked]")
{
    fixture f(ROMA_COUNTS_NONE);
    for (unsigned round = 0; round < 20; round++) {
        std::vector<void *> blocks;
        for (unsigned i = 0; i < 10; i++) {
            blocks.push_back(f.take((4 + 2 * i) * mib));
            std::memset(blocks.back(), (int)i + 1, 64);
        }
        for (unsigned i = 0; i < 10; i++)
            CHECK(*static_cast<unsigned char *>(blocks[i]) == i + 1);
        CHECK(f.figure("blocks.live") == 10);
        for (void *block : blocks)
            roma_free(block);
        CHECK(f.figure("blocks.live") == 0);
        CHECK(roma_manager_check(f.manager) == 0);
    }
    const uint64_t held = f.figure("extents.bytes");
    CHECK(held < 2 * 130 * mib); /* the closest that fits need not be the one of that length */
    CHECK(f.figure("free.bytes") == held);
    CHECK(roma_manager_trim(f.manager, 0) == static_cast<int64_t>(held));
    CHECK(f.figure("extents.live") == 0);
}

TEST_CASE("lives in a place are counted as any others", "[parked]")
{
    const roma_counts counts = GENERATE(ROMA_COUNTS_COUNTED, ROMA_COUNTS_NONE);
    fixture f(counts);
    for (unsigned i = 0; i < 100; i++)
        roma_free(f.take_of(16 * mib));
    CHECK(f.figure("blocks.live") == 0);
    CHECK(f.figure("blocks.bytes") == 0);
    CHECK(f.figure("blocks.usable_bytes") == 0);
    CHECK(f.figure("allocations.count") == 100);
    CHECK(f.figure("releases.count") == 100);
    CHECK(f.figure("free.bytes") == 16 * mib);
    CHECK(f.figure("extents.bytes") == 16 * mib);
    void *block = f.take(15 * mib);
    CHECK(f.figure("blocks.live") == 1);
    CHECK(f.figure("blocks.bytes") == 15 * mib);
    CHECK(f.figure("blocks.usable_bytes") == roma_usable(block));
    CHECK(f.figure("free.bytes") == 0);
    CHECK(f.figure("blocks.peak_bytes") == 16 * mib);
    void *other = f.take_of(32 * mib);
    CHECK(f.figure("blocks.peak_bytes") == 48 * mib);
    roma_free(block);
    void *third = f.take_of(20 * mib); /* instead of the one that waits, not on top of it */
    CHECK(f.figure("blocks.peak_bytes") == 52 * mib);
    roma_free(other);
    roma_free(third);
    CHECK(roma_manager_trim(f.manager, 0) > 0);
    CHECK(f.figure("allocations.count") == 103);
    CHECK(f.figure("releases.count") == 103);
    CHECK(f.figure("blocks.usable_bytes") == 0);
    CHECK(f.figure("extents.bytes") == 0);
}

TEST_CASE("a large block that is free is nobody's, whoever asks", "[parked]")
{
    fixture f;
    void *block = f.take_parked(8 * mib);
    const roma_block handle = roma_block_of(block);
    CHECK(roma_retain(block) == 2);
    CHECK(roma_release(block) == 1);
    CHECK(roma_release(block) == 0);
    CHECK(roma_release(block) == -ESTALE);
    CHECK(roma_retain(block) == -ESTALE);
    CHECK(roma_count(block) == -ESTALE);
    CHECK(roma_bytes(block) == 0);
    CHECK(roma_block_get(handle) == nullptr);
    CHECK(roma_release(static_cast<char *>(block) + 4096) == -ESTALE);
    CHECK(f.take(8 * mib) == block);
    CHECK(roma_block_get(handle) == nullptr); /* another life */
    CHECK(roma_block_get(roma_block_of(block)) == block);
    CHECK(roma_release(static_cast<char *>(block) + 4096) == -EINVAL);
    roma_free(block);
    CHECK(f.misuses.empty());
}

TEST_CASE("a large block frees with its length only, and is reported else", "[parked]")
{
    fixture f;
    void *block = f.take_parked(8 * mib);
    roma_free_sized(block, 8 * mib - 1);
    roma_free_sized(block, SIZE_MAX);
    CHECK(f.misuses == std::vector<int>{ROMA_MISUSE_SIZE, ROMA_MISUSE_SIZE});
    CHECK(roma_count(block) == 1);
    roma_free_sized(block, 8 * mib);
    CHECK(roma_count(block) == -ESTALE);
    CHECK(f.misuses.size() == 2);
}

TEST_CASE("what waits goes when the limit is reached", "[parked]")
{
    fixture f;
    roma_free(f.take_parked(200 * mib - 4096));
    void *block = f.take_of(100 * mib);
    CHECK(f.figure("extents.bytes") == 100 * mib);
    roma_free(block);
}

TEST_CASE("what waits goes after the delay, and what is used again does not", "[parked]")
{
    constexpr uint64_t delay_ns = 100000000;
    fixture f(ROMA_COUNTS_COUNTED, delay_ns);
    roma_free(f.take_parked(8 * mib - 4096));
    CHECK(f.figure("extents.bytes") == 8 * mib);
    std::this_thread::sleep_for(std::chrono::nanoseconds(2 * delay_ns));
    void *other = f.take_of(4 * mib); /* a slow path: what is due goes */
    roma_free(other);
    CHECK(f.figure("extents.bytes") == 4 * mib);
    void *kept = f.take_parked(8 * mib - 4096);
    std::this_thread::sleep_for(std::chrono::nanoseconds(2 * delay_ns));
    roma_free(f.take_of(2 * mib));
    CHECK(roma_count(kept) == 1);
    CHECK(f.figure("blocks.live") == 1);
    std::this_thread::sleep_for(std::chrono::nanoseconds(2 * delay_ns));
    roma_free(f.take_of(2 * mib));
    CHECK(roma_manager_check(f.manager) == 0);
    roma_free(kept);
    CHECK(f.figure("blocks.live") == 0);
}

TEST_CASE("where memory goes back at once the next slow path gives back what waits", "[parked]")
{
    fixture f(ROMA_COUNTS_COUNTED, ROMA_RETURN_AT_ONCE);
    roma_free(f.take_of(8 * mib));
    std::this_thread::sleep_for(std::chrono::milliseconds(50)); /* a tick of the coarse clock */
    roma_free(f.take_of(4 * mib));
    CHECK(f.figure("extents.bytes") <= 4 * mib);
}

TEST_CASE("a block from a place is resized, in place or elsewhere, and still counted", "[parked]")
{
    fixture f;
    void *block = f.take_parked(8 * mib);
    std::memset(block, 0x5A, 8 * mib);
    for (size_t bytes : {8 * mib - 100, 4 * mib, 32 * mib, 9 * mib}) {
        block = roma_resize(block, bytes);
        REQUIRE(block != nullptr);
        CHECK(static_cast<unsigned char *>(block)[4 * mib - 1] == 0x5A);
        CHECK(f.figure("blocks.bytes") == bytes);
        CHECK(roma_manager_check(f.manager) == 0);
        if (bytes == 4 * mib) { /* gets its place back in between */
            roma_free(block);
            CHECK(f.figure("blocks.live") == 0);
            block = f.take_parked(4 * mib);
            std::memset(block, 0x5A, 4 * mib);
        }
    }
    roma_free(block);
    CHECK(f.figure("blocks.live") == 0);
    CHECK(f.figure("blocks.bytes") == 0);
}

TEST_CASE("a wish for zeroes or for pages is met by a run that waited", "[parked]")
{
    fixture f;
    void *block = f.take_parked(8 * mib);
    std::memset(block, 0xFF, 8 * mib);
    roma_free(block);
    roma_request want = roma_request_default();
    want.bytes = 8 * mib;
    want.zero = true;
    roma_grant grant;
    auto *bytes = static_cast<unsigned char *>(roma_alloc_with(f.manager, &want, &grant));
    REQUIRE(bytes != nullptr);
    CHECK(grant.reused);
    CHECK(grant.bytes >= 8 * mib);
    for (size_t i = 0; i < 8 * mib; i += 4096)
        REQUIRE(bytes[i] == 0);
    roma_free(bytes);
    bytes = static_cast<unsigned char *>(roma_alloc_zeroed(f.manager, 8 * mib));
    REQUIRE(bytes != nullptr);
    CHECK(bytes[8 * mib - 1] == 0);
    roma_free(bytes);
}

TEST_CASE("a manager is cleared with runs in use and waiting", "[parked]")
{
    fixture f;
    void *block = f.take_parked(8 * mib), *other = f.take_parked(6 * mib);
    roma_free(other);
    CHECK(roma_manager_clear(f.manager) == 1);
    CHECK(f.figure("blocks.live") == 0);
    CHECK(f.figure("extents.bytes") == 0);
    CHECK(roma_count(block) < 0);
    CHECK(roma_manager_check(f.manager) == 0);
    roma_free(f.take_parked(8 * mib));
}

TEST_CASE("a child of fork has the large blocks that live and none that wait", "[parked]")
{
    fixture f;
    void *block = f.take_parked(8 * mib);
    std::memset(block, 0x33, 4096);
    void *other = f.take_parked(6 * mib);
    roma_free(other);
    const pid_t child = fork();
    if (child == 0) {
        bool is_right = roma_count(block) == 1 && *static_cast<char *>(block) == 0x33 &&
                        roma_count(other) < 0 && roma_manager_check(f.manager) == 0;
        for (unsigned i = 0; i < 3 && is_right; i++) {
            roma_free(block);
            block = roma_alloc(f.manager, 8 * mib);
            is_right = block != nullptr && roma_manager_check(f.manager) == 0;
        }
        roma_free(block);
        _exit(is_right && roma_manager_check(f.manager) == 0 ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    CHECK(roma_count(block) == 1);
    roma_free(block);
}

TEST_CASE("guards and patterns are looked at in blocks that come out of a place", "[parked]")
{
    SKIP_UNDER_TOOL();
    std::vector<int> found;
    roma_options options = roma_options_default();
    options.debug = ROMA_DEBUG_GUARDS | ROMA_DEBUG_PATTERNS;
    options.misuse_context = &found;
    options.on_misuse = [](void *context, const roma_misuse *misuse) {
        static_cast<std::vector<int> *>(context)->push_back(misuse->kind);
    };
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    for (unsigned i = 0; i < 4; i++) {
        auto *block = static_cast<char *>(roma_alloc(manager, 4 * mib));
        REQUIRE(block != nullptr);
        if (i == 3)
            block[4 * mib] ^= 1;
        roma_free(block);
        CHECK(roma_manager_check(manager) == 0);
    }
    CHECK(found == std::vector<int>{ROMA_MISUSE_OVERRUN});
    CHECK(roma_manager_destroy(manager) == 0);
}
