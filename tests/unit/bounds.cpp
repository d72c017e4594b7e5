/* bounds.cpp - the promises in figures: alignment and direct I/O, bytes of metadata a block; and
 * segments at their bounds. */
#include "bounds.hpp"
#include "emulated.hpp"

#include "heap/heap.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <sys/wait.h>
#include <vector>

using namespace bounds;

/* ---- alignment ------------------------------------------------------------------------------- */

TEST_CASE("blocks of a power of two are aligned to their size up to a page, all to 16", "[bounds]")
{
    const owned_manager manager(ROMA_PAGES_BASE);
    std::vector<void *> blocks;
    for (size_t bytes = 1; bytes <= base_bytes; bytes *= 2) {
        for (unsigned i = 0; i < 100; i++) {
            void *block = roma_alloc(manager.self, bytes);
            REQUIRE(block != nullptr);
            INFO(bytes << " bytes at " << block);
            REQUIRE(is_aligned(block, std::max<size_t>(bytes, 16)));
            blocks.push_back(block);
        }
        for (size_t odd : {bytes + 1, bytes + bytes / 2}) {
            void *block = roma_alloc(manager.self, odd);
            REQUIRE(block != nullptr);
            REQUIRE(is_aligned(block, 16));
            blocks.push_back(block);
        }
    }
    for (size_t bytes = 2 * base_bytes; bytes <= size_t(4) << 20; bytes *= 2) {
        void *block = roma_alloc(manager.self, bytes);
        REQUIRE(block != nullptr);
        INFO(bytes << " bytes at " << block);
        CHECK(is_aligned(block, base_bytes));
        blocks.push_back(block);
    }
    std::sort(blocks.begin(), blocks.end());
    for (size_t i = 1; i < blocks.size(); i++) /* usable bytes overlap nobody */
        REQUIRE(static_cast<char *>(blocks[i - 1]) + roma_usable(blocks[i - 1]) <= blocks[i]);
    for (void *block : blocks)
        REQUIRE(roma_release(block) == 0);
}

TEST_CASE("direct I/O works on a 4 KiB block and on larger ones", "[bounds]")
{
    const direct_file file;
    if (file.fd < 0)
        SKIP_TEST("no folder here is on a file system with O_DIRECT");
    const owned_manager manager;
    for (size_t bytes : {size_t(4096), size_t(16384), size_t(1) << 20, size_t(5) << 20}) {
        void *out = roma_alloc(manager.self, bytes);
        void *in = roma_alloc(manager.self, bytes);
        REQUIRE(out != nullptr);
        REQUIRE(in != nullptr);
        CHECK(is_aligned(out, 4096));
        write_and_read_directly(file.fd, out, in, bytes);
        roma_free(out);
        roma_free(in);
    }
}

/* ---- metadata -------------------------------------------------------------------------------- */

TEST_CASE("metadata for 1 GiB of 4 KiB blocks stays below 0.5 % of it", "[bounds]")
{
    if (is_sanitized)
        SKIP_TEST("under a sanitizer each block has a redzone, of a page here");
    constexpr size_t all_bytes = size_t(1) << 30, block_bytes = 4096;
    constexpr size_t count = all_bytes / block_bytes;
    const owned_manager manager(ROMA_PAGES_BASE);
    roma_free(roma_alloc(manager.self, block_bytes)); /* what a process has once */
    const size_t process_before = roma__heap_process_bytes();
    std::vector<void *> blocks(count);
    REQUIRE(roma_alloc_batch(manager.self, block_bytes, blocks.data(), count) == 0);
    const uint64_t metadata = figure(manager.self, "metadata.bytes");
    const uint64_t process = roma__heap_process_bytes() - process_before;
    INFO("metadata " << metadata << " bytes, process-wide records " << process << " bytes, held "
                     << figure(manager.self, "extents.bytes"));
    CHECK(metadata > 0);
    CHECK(metadata < all_bytes / 200);
    CHECK(process < all_bytes / 200);
    CHECK(figure(manager.self, "blocks.bytes") == all_bytes);
    CHECK(figure(manager.self, "extents.bytes") - figure(manager.self, "returned.bytes") <
          all_bytes + all_bytes / 200);
    std::sort(blocks.begin(), blocks.end());
    bool apart = true;
    for (size_t i = 0; i < count; i++)
        apart = apart && is_aligned(blocks[i], block_bytes) &&
                (i == 0 || static_cast<char *>(blocks[i - 1]) + block_bytes <= blocks[i]);
    CHECK(apart);
    roma_free_batch(blocks.data(), count);
    CHECK(figure(manager.self, "blocks.live") == 0);
}

TEST_CASE("1 GiB of 4 KiB blocks grows the process by less than 0.5 % until they are touched",
          "[bounds]")
{
    SKIP_WHERE_EMULATED(); /* its own pages are counted as the process's */
    constexpr size_t all_bytes = size_t(1) << 30, count = all_bytes / 4096;
    const auto resident = [] {
        size_t size = 0, pages = 0;
        std::ifstream("/proc/self/statm") >> size >> pages;
        return pages * base_bytes;
    };
    if (is_sanitized)
        SKIP_TEST("a sanitizer's shadow memory counts as resident");
    const owned_manager manager(ROMA_PAGES_BASE);
    std::vector<void *> blocks(count);
    const size_t before = resident();
    REQUIRE(roma_alloc_batch(manager.self, 4096, blocks.data(), count) == 0);
    const size_t after = resident();
    INFO("resident before " << before << ", after " << after);
    CHECK(after < before + all_bytes / 200);
    roma_free_batch(blocks.data(), count);
}

/* ---- advice ---------------------------------------------------------------------------------- */

TEST_CASE("what was advised of an extent ends with it, also in memory that the user brought",
          "[bounds]")
{
    const size_t bytes = 16 * base_bytes;
    roma_region_config config = {};
    config.size = sizeof config;
    config.address = std::aligned_alloc(base_bytes, bytes);
    config.bytes = bytes;
    REQUIRE(config.address != nullptr);
    roma_provider *provider = nullptr;
    REQUIRE(roma_provider_region(&config, &provider, nullptr) == 0);
    roma_extent_request request = roma_extent_request_default();
    request.bytes = bytes;
    request.pages = ROMA_PAGE_CLASS_BASE;
    roma_extent extent = {};
    REQUIRE(roma_provider_acquire(provider, &request, &extent, nullptr) == 0);
    const roma_range whole = {&extent, 0, extent.bytes};
    const int code = roma_provider_advise(provider, &whole, ROMA_ADVICE_NOFORK, nullptr, nullptr);
    CHECK((code == 0 || code == -EOPNOTSUPP));
    REQUIRE(roma_provider_release(provider, &extent, nullptr) == 0);

    REQUIRE(roma_provider_acquire(provider, &request, &extent, nullptr) == 0);
    CHECK(extent.inherited);
    *static_cast<volatile char *>(extent.address) = 'i';
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        std::signal(SIGSEGV, SIG_DFL);
        _exit(*static_cast<volatile char *>(extent.address) == 'i' ? 0 : 2);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0); /* SIGSEGV: the extent says that a child has it, and it has not */
    CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
    CHECK(roma_provider_unregister(provider) == 0);
    std::free(config.address);
}

/* ---- segments -------------------------------------------------------------------------------- */

TEST_CASE("segments give nothing outside their bounds, whatever is asked", "[bounds]")
{
    const owned_manager manager;
    void *block = roma_alloc_zeroed(manager.self, 1000);
    REQUIRE(block != nullptr);
    const roma_segment whole = roma_block_segment(roma_block_of(block));
    CHECK(whole.address == block);
    CHECK(whole.bytes == 1000);
    const size_t edges[] = {0,
                            1,
                            7,
                            8,
                            500,
                            992,
                            993,
                            999,
                            1000,
                            1001,
                            2000,
                            SIZE_MAX - 1000,
                            SIZE_MAX - 999,
                            SIZE_MAX / 8,
                            SIZE_MAX - 1,
                            SIZE_MAX};
    for (size_t offset : edges)
        for (size_t bytes : edges) {
            INFO("offset " << offset << " bytes " << bytes);
            const bool inside = offset <= 1000 && bytes <= 1000 - offset;
            const roma_segment part = roma_segment_slice(whole, offset, bytes);
            CHECK((part.address != nullptr) == inside);
            CHECK(part.bytes == (inside ? bytes : 0));
            CHECK((roma_segment_at(whole, offset, bytes) != nullptr) == inside);
            const unsigned __int128 end = (static_cast<unsigned __int128>(offset) + 1) * bytes;
            CHECK((roma_segment_item(whole, offset, bytes) != nullptr) == (end <= 1000));
        }
    roma_segment left = {nullptr, 7}, right = {nullptr, 8};
    CHECK(roma_segment_split(whole, 1001, &left, &right) == -EINVAL);
    CHECK(left.bytes == 7);
    CHECK(right.bytes == 8);
    CHECK(roma_segment_split(roma_segment_of(nullptr, 0), 0, &left, &right) == -EINVAL);
    CHECK(roma_segment_split(whole, 0, nullptr, &right) == -EINVAL);
    CHECK(roma_segment_split(whole, 1000, &left, &right) == 0);
    CHECK(left.bytes == 1000);
    CHECK(right.bytes == 0);
    CHECK(roma_segment_split(whole, 300, &left, &right) == 0);
    CHECK(static_cast<char *>(left.address) + 300 == right.address);
    CHECK(ROMA_ITEM(uint64_t, whole, 124) != nullptr);
    CHECK(ROMA_ITEM(uint64_t, whole, 125) == nullptr);
    CHECK(ROMA_ITEMS(uint64_t, whole) == 125);
    CHECK(roma_segment_copy(left, right) == -ERANGE);
    CHECK(roma_segment_copy(right, left) == 0);
    CHECK(roma_segment_copy(roma_segment_of(nullptr, 0), roma_segment_of(nullptr, 0)) == 0);
    roma_segment_fill(left, 0xEE);
    CHECK(static_cast<unsigned char *>(block)[299] == 0xEE);
    CHECK(static_cast<unsigned char *>(block)[300] == 0);
    roma_segment_fill(roma_segment_of(nullptr, 0), 1);
    CHECK(roma_segment_compare(left, right) == 1);
    CHECK(roma_segment_compare(right, left) == -1);
    CHECK(roma_segment_compare(left, roma_segment_slice(left, 0, 299)) == 1);
    CHECK(roma_segment_compare(left, left) == 0);
    CHECK(roma_segment_compare(roma_segment_of(nullptr, 0), left) == -1);
    roma_free(block);
    CHECK(roma_block_segment({block, 3}).address == nullptr);
}
