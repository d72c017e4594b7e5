/* counts.cpp - what a manager keeps about its blocks: counted, exact, none. */
#include "owned.hpp"
#include "skip.hpp"

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

using roma_tests::owned;

namespace {

const roma_counts all_counts[] = {ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT, ROMA_COUNTS_NONE};
const size_t lengths[] = {0, 1, 16, 100, 4096, 70000, 262144, 300000, 3u << 20};

roma_options options_with(roma_counts counts)
{
    roma_options options = roma_options_default();
    options.counts = counts;
    return options;
}

} // namespace

TEST_CASE("blocks of each kind of manager hold their bytes, tell their length and are freed")
{
    const bool counted_always = roma_tests::under_tool();
    for (roma_counts counts : all_counts) {
        owned manager(counts);
        for (size_t bytes : lengths) {
            INFO("counts " << counts << ", " << bytes << " bytes");
            void *block = manager.alloc(bytes);
            std::memset(block, 0x3C, bytes);
            CHECK(roma_count(block) == 1);
            CHECK(roma_usable(block) >= bytes);
            const bool knows_lengths = counted_always || counts != ROMA_COUNTS_NONE ||
                                       bytes > ROMA__CLASS_MAX_BYTES;
            CHECK(roma_bytes(block) == (knows_lengths ? bytes : roma_usable(block)));
            CHECK(manager.figure("blocks.live") == 1);
            CHECK(manager.figure("blocks.bytes") == roma_bytes(block));
            CHECK(manager.figure("blocks.usable_bytes") == roma_usable(block));
            CHECK(roma_manager_check(manager.self) == 0);
            CHECK(roma_release(block) == 0);
            CHECK(manager.figure("blocks.live") == 0);
            CHECK(manager.figure("blocks.bytes") == 0);
        }
        CHECK(manager.figure("allocations.count") == std::size(lengths));
        CHECK(manager.figure("releases.count") == std::size(lengths));
        CHECK(manager.kinds().empty());
    }
}

TEST_CASE("references and handles are counted, or refused where nothing is")
{
    SKIP_UNDER_TOOL();
    for (roma_counts counts : {ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT}) {
        owned manager(counts);
        void *block = manager.alloc(100);
        const roma_block handle = roma_block_of(block);
        CHECK(roma_block_is_live(handle));
        CHECK(roma_retain(block) == 2);
        CHECK(roma_release(block) == 1);
        CHECK(roma_release(block) == 0);
        CHECK_FALSE(roma_block_is_live(handle));
        CHECK(roma_release(block) == -ESTALE);
    }
    owned manager(ROMA_COUNTS_NONE);
    for (size_t bytes : {size_t{100}, size_t{1} << 20}) {
        void *block = manager.alloc(bytes);
        errno = 0;
        const roma_block handle = roma_block_of(block);
        CHECK(errno == EOPNOTSUPP);
        CHECK(handle.address == nullptr);
        CHECK(handle.generation == 0);
        const roma_block made_up = {block, 0};
        CHECK_FALSE(roma_block_is_live(made_up));
        CHECK(roma_block_retain(made_up) == -ESTALE);
        CHECK(roma_retain(block) == -EOPNOTSUPP);
        CHECK(roma_count(block) == 1);
        CHECK(roma_release(block) == 0);
    }
}

TEST_CASE(
    "what a block must be known by while it lives is refused without counts, a label not kept")
{
    SKIP_UNDER_TOOL();
    owned manager(ROMA_COUNTS_NONE);
    roma_grant grant;
    for (bool weak : {true, false}) {
        roma_request request = roma_request_default();
        request.bytes = 100;
        request.weak = weak;
        request.registered = !weak;
        errno = 0;
        CHECK(roma_alloc_with(manager.self, &request, &grant) == nullptr);
        CHECK(errno == EOPNOTSUPP);
        CHECK(grant.code == -EOPNOTSUPP);
        CHECK(std::string(grant.error.subject) == (weak ? "request.weak" : "request.registered"));
    }
    roma_request request = roma_request_default();
    request.bytes = 100;
    request.label = "queue";
    void *block = roma_alloc_with(manager.self, &request, &grant);
    REQUIRE(block != nullptr);
    CHECK(std::string(roma_label_of(block)).empty());
    roma_free(block);
}

TEST_CASE("a resize keeps the bytes of both lengths without counts, too")
{
    owned manager(ROMA_COUNTS_NONE);
    for (size_t before : lengths) {
        for (size_t after : lengths) {
            INFO(before << " to " << after);
            char *block = static_cast<char *>(manager.alloc(before));
            for (size_t i = 0; i < before; i++)
                block[i] = static_cast<char>(i * 7);
            block = static_cast<char *>(roma_resize(block, after));
            REQUIRE(block != nullptr);
            CHECK(roma_usable(block) >= after);
            size_t kept = 0;
            while (kept < std::min(before, after) && block[kept] == static_cast<char>(kept * 7))
                kept++;
            CHECK(kept == std::min(before, after));
            std::memset(block, 1, after);
            roma_free(block);
        }
    }
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("a sized free of another length is misuse and frees nothing")
{
    for (roma_counts counts : {ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT}) {
        owned manager(counts);
        for (size_t bytes : lengths) {
            void *block = manager.alloc(bytes);
            const size_t before = manager.kinds().size();
            roma_free_sized(block, bytes + 1);
            REQUIRE(manager.kinds().size() == before + 1);
            CHECK(manager.kinds().back() == ROMA_MISUSE_SIZE);
            CHECK(roma_count(block) == 1);
            roma_free_sized(block, bytes);
            CHECK(manager.kinds().size() == before + 1);
            CHECK(manager.figure("blocks.live") == 0);
        }
    }
}

TEST_CASE("without counts a sized free is misuse where so much does not fit into the block")
{
    SKIP_UNDER_TOOL();
    owned manager(ROMA_COUNTS_NONE);
    for (size_t bytes : lengths) {
        void *block = manager.alloc(bytes);
        const size_t before = manager.kinds().size();
        roma_free_sized(block, roma_usable(block) + 1);
        REQUIRE(manager.kinds().size() == before + 1);
        CHECK(manager.kinds().back() == ROMA_MISUSE_SIZE);
        CHECK(roma_count(block) == 1);
        roma_free_sized(block, bytes);
        CHECK(manager.kinds().size() == before + 1);
    }
    void *aligned = roma_alloc_aligned(manager.self, 100, 4096); /* in a cell of 4 KiB */
    REQUIRE(aligned != nullptr);
    roma_free_sized(aligned, 100);
    CHECK(manager.figure("blocks.live") == 0);
}

TEST_CASE("debug options make a manager exact whatever was asked")
{
    for (roma_counts counts : all_counts) {
        roma_options options = options_with(counts);
        options.debug = ROMA_DEBUG_GUARDS;
        owned manager(options);
        void *block = manager.alloc(100);
        CHECK(roma_bytes(block) == 100);
        CHECK(roma_retain(block) == 2);
        const roma_block handle = roma_block_of(block);
        std::thread([&] {
            CHECK(roma_release(block) == 1);
            CHECK(roma_release(block) == 0);
        }).join();
        CHECK_FALSE(roma_block_is_live(handle));
    }
}

TEST_CASE("an exact manager ends a block at once, whichever thread releases it")
{
    owned manager(ROMA_COUNTS_EXACT);
    void *block = manager.alloc(100);
    const roma_block handle = roma_block_of(block);
    std::thread([&] {
        CHECK(roma_release(block) == 0);
        CHECK_FALSE(roma_block_is_live(handle));
        CHECK(roma_release(block) == -ESTALE);
    }).join();
    CHECK_FALSE(roma_block_is_live(handle));
    CHECK(manager.kinds().empty());
}

TEST_CASE("weak blocks end at once in a counted manager, too")
{
    owned manager(ROMA_COUNTS_COUNTED);
    roma_request request = roma_request_default();
    request.bytes = 100;
    request.weak = true;
    void *block = roma_alloc_with(manager.self, &request, nullptr);
    REQUIRE(block != nullptr);
    const roma_block handle = roma_block_of(block);
    std::thread([&] { CHECK(roma_release(block) == 0); }).join();
    CHECK(roma_block_try_retain(handle) == -ESTALE);
}
