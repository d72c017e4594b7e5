/* store_units.cpp - units of a store: growth, the largest size, large blocks, and space that goes
 * back to the file system. */
#include "stores.hpp"

#include <cerrno>
#include <cstring>
#include <sys/resource.h>
#include <sys/stat.h>
#include <vector>

using namespace roma_tests;

namespace {

uint64_t file_blocks(roma_store *store)
{
    struct stat status;
    REQUIRE(fstat(roma_store_fd(store), &status) == 0);
    return static_cast<uint64_t>(status.st_blocks) * 512;
}

} // namespace

TEST_CASE("a store grows up to its largest size, then says that it is full, and goes on", "[store]")
{
    open_store store(memory_store(small_store(8u << 20)));
    CHECK(figure_of(store, "store.committed_bytes") == 1u << 20);
    std::vector<void *> blocks;
    void *block;
    while ((block = roma_store_alloc(store, 4096)) != nullptr)
        blocks.push_back(block);
    CHECK(errno == ENOSPC);
    CHECK(blocks.size() > 1800);
    CHECK(figure_of(store, "store.committed_bytes") == 8u << 20);
    CHECK(faults_of(store) == "");
    CHECK(roma_store_alloc(store, 100000) == nullptr);
    CHECK(errno == ENOSPC);
    CHECK(roma_store_release_batch(store, blocks.data(), blocks.size()) == 0);
    block = roma_store_alloc(store, 6u << 20); /* all slabs went back, but for one */
    REQUIRE(block != nullptr);
    std::memset(block, 1, 6u << 20);
    CHECK(roma_store_release(store, block) == 0);
}

TEST_CASE("growth by one session is seen by another through its old mapping", "[store]")
{
    store_path path;
    open_store one(path.c_str(), true), two(path.c_str(), false);
    auto *block = static_cast<char *>(roma_store_alloc(one, 20u << 20));
    REQUIRE(block != nullptr);
    block[(20u << 20) - 1] = 42;
    REQUIRE(roma_store_link(one, roma_store_root(one, 0), block) == 0);
    auto *same = static_cast<char *>(roma_store_load(two, roma_store_root(two, 0)));
    REQUIRE(same != nullptr);
    CHECK(same[(20u << 20) - 1] == 42);
    CHECK(roma_store_release_from(two, roma_store_root(two, 0)) == 1);
    CHECK(roma_store_release(one, block) == 0);
    CHECK(roma_store_release(two, same) == 0);
}

TEST_CASE("the process's limit of file sizes is an error, not a signal", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    struct stat status;
    REQUIRE(stat(path.c_str(), &status) == 0);
    const int end = in_child([&] {
        const rlimit limit = {static_cast<rlim_t>(status.st_size) + 100000, RLIM_INFINITY};
        roma_store *own = nullptr, *other = nullptr;
        roma_error error = {};
        store_path second;
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
            roma_store_open(path.c_str(), nullptr, &own, nullptr) != 0)
            return 91;
        if (roma_store_alloc(own, 3u << 20) != nullptr || errno != EFBIG)
            return 92;
        if (roma_store_release(own, roma_store_alloc(own, 100)) != 0)
            return 93;
        roma_store_options options = small_store();
        options.bytes = 8u << 20;
        if (roma_store_create(second.c_str(), &options, &other, &error) != -EFBIG ||
            error.cause != EFBIG || access(second.c_str(), F_OK) == 0)
            return 94;
        return roma_store_close(own) == 0 ? 0 : 95;
    });
    CHECK(end == 0);
}

TEST_CASE("a large block grows and shrinks in place, or moves with its bytes", "[store]")
{
    open_store store(memory_store());
    auto *block = static_cast<char *>(roma_store_alloc(store, 300000));
    REQUIRE(block != nullptr);
    std::memset(block, 5, 300000);
    auto *grown = static_cast<char *>(roma_store_resize(store, block, 3000000));
    REQUIRE(static_cast<void *>(grown) == block);
    CHECK(roma_store_bytes(store, grown) == 3000000);
    CHECK(faults_of(store) == "");
    void *behind = roma_store_alloc(store, 200000);
    auto *shrunk = static_cast<char *>(roma_store_resize(store, grown, 100000));
    REQUIRE(static_cast<void *>(shrunk) == block);
    CHECK(figure_of(store, "store.large_bytes") < 600000);
    CHECK(faults_of(store) == "");
    void *between = roma_store_alloc(store, 2800000 - 100000);
    auto *moved = static_cast<char *>(roma_store_resize(store, shrunk, 4000000));
    REQUIRE(moved != nullptr);
    CHECK(static_cast<void *>(moved) != block);
    for (int i = 0; i < 100000; i += 999)
        CHECK(moved[i] == 5);
    for (void *each : {static_cast<void *>(moved), behind, between})
        CHECK(roma_store_release(store, each) == 0);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("resize of small blocks: within the cell, by a copy, or refused", "[store]")
{
    open_store store(memory_store());
    void *block = roma_store_alloc(store, 100);
    std::memset(block, 3, 100);
    CHECK(roma_store_resize(store, block, 112) == block);
    CHECK(roma_store_bytes(store, block) == 112);
    void *larger = roma_store_resize(store, block, 5000);
    REQUIRE(larger != nullptr);
    CHECK(larger != block);
    CHECK(static_cast<char *>(larger)[99] == 3);
    CHECK(roma_store_release(store, block) == -ESTALE);
    REQUIRE(roma_store_link(store, roma_store_root(store, 0), larger) == 0);
    CHECK(roma_store_resize(store, larger, 9000) == nullptr);
    CHECK(errno == EBUSY);
    CHECK(roma_store_resize(store, larger, 50) == larger);
    CHECK(roma_store_bytes(store, larger) == 50);
    REQUIRE(roma_store_release_from(store, roma_store_root(store, 0)) == 1);
    CHECK(roma_store_release(store, larger) == 0);
    roma_store_request request = roma_store_request_of(64);
    request.refs_count = 8;
    void *slots = roma_store_alloc_with(store, &request);
    CHECK(roma_store_resize(store, slots, 100) == nullptr);
    CHECK(errno == EOPNOTSUPP);
    CHECK(roma_store_resize(store, slots, 63) == nullptr);
    CHECK(errno == EOPNOTSUPP);
    CHECK(roma_store_release(store, slots) == 0);
    CHECK(roma_store_resize(store, slots, 64) == nullptr);
    CHECK(errno == ESTALE);
}

TEST_CASE("a block that was taken from another session moves to its new length", "[store]")
{
    const size_t bytes = GENERATE(100, 300000);
    store_path path;
    open_store one(path.c_str(), true), two(path.c_str(), false);
    void *block = roma_store_alloc(one, bytes);
    std::memset(block, 7, bytes);
    REQUIRE(roma_store_link(one, roma_store_root(one, 0), block) == 0);
    auto *taken = static_cast<char *>(roma_store_load(two, roma_store_root(two, 0)));
    REQUIRE(taken != nullptr);
    CHECK(roma_store_resize(two, taken, bytes * 3) == nullptr); /* the slot, and its owner */
    CHECK(errno == EBUSY);
    REQUIRE(roma_store_release_from(one, roma_store_root(one, 0)) == 1);
    CHECK(roma_store_resize(two, taken, bytes * 3) == nullptr); /* its owner */
    CHECK(errno == EBUSY);
    REQUIRE(roma_store_release(one, block) == 0);
    REQUIRE(roma_store_retain(two, taken) == 0);
    CHECK(roma_store_resize(two, taken, bytes * 3) == nullptr); /* another of the session's own */
    CHECK(errno == EBUSY);
    REQUIRE(roma_store_release(two, taken) == 0);
    auto *moved = static_cast<char *>(roma_store_resize(two, taken, bytes * 3));
    REQUIRE(moved != nullptr);
    CHECK(moved != taken);
    CHECK(roma_store_bytes(two, moved) == bytes * 3);
    for (size_t i = 0; i < bytes; i += 99)
        CHECK(moved[i] == 7);
    CHECK(roma_store_release(two, taken) == -ESTALE);
    CHECK(roma_store_trim(one, 0) >= 0);
    CHECK(live_blocks(one) == 1);
    CHECK(roma_store_release(two, moved) == 0);
    CHECK(live_blocks(one) == 0);
}

TEST_CASE("a block that another session alone holds is not resized, nor anything left", "[store]")
{
    store_path path;
    open_store one(path.c_str(), true), two(path.c_str(), false);
    void *block = roma_store_alloc(one, 100);
    void *same = roma_ref_at(two, roma_ref_of(one, block));
    CHECK(roma_store_resize(two, same, 5000) == nullptr);
    CHECK(errno == ESTALE);
    CHECK(live_blocks(one) == 1);
    CHECK(roma_store_release(one, block) == 0);
}

TEST_CASE("free units are punched out of the file and backed again before they are used", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    void *block = roma_store_alloc(store, 30u << 20);
    REQUIRE(block != nullptr);
    std::memset(block, 1, 30u << 20);
    const uint64_t full = file_blocks(store);
    CHECK(roma_store_release(store, block) == 0);
    CHECK(roma_store_trim(store, 4u << 20) > int64_t(20u << 20));
    CHECK(file_blocks(store) + (20u << 20) < full);
    CHECK(figure_of(store, "store.punched_bytes") > 20u << 20);
    CHECK(roma_store_trim(store, 0) > 0);
    CHECK(roma_store_trim(store, 0) == 0);
    block = roma_store_alloc(store, 30u << 20);
    REQUIRE(block != nullptr);
    CHECK(file_blocks(store) + (1u << 20) > full); /* backed, before it is touched */
    CHECK(figure_of(store, "store.punched_bytes") < 4u << 20);
    CHECK(static_cast<char *>(block)[29u << 20] == 0);
    CHECK(roma_store_release(store, block) == 0);
}

TEST_CASE("the last session to close cuts the file, if it is asked to", "[store]")
{
    store_path path;
    struct stat before, after;
    roma_store_options options = small_store();
    {
        open_store store(path.c_str(), true, options);
        void *kept = roma_store_alloc(store, 5u << 20);
        REQUIRE(roma_store_link(store, roma_store_root(store, 0), kept) == 0);
        REQUIRE(roma_store_alloc(store, 20u << 20) != nullptr);
        REQUIRE(stat(path.c_str(), &before) == 0);
    }
    options.shrink = true;
    open_store(path.c_str(), false, options).close();
    REQUIRE(stat(path.c_str(), &after) == 0);
    CHECK(after.st_size + (15 << 20) < before.st_size);
    open_store store(path.c_str(), false);
    void *block = roma_store_alloc(store, 20u << 20);
    REQUIRE(block != nullptr);
    std::memset(block, 1, 20u << 20);
    auto *kept = static_cast<char *>(roma_store_load(store, roma_store_root(store, 0)));
    REQUIRE(kept != nullptr);
    kept[(5u << 20) - 1] = 1;
}

TEST_CASE("units of many lengths come and go, and the map of them stays right", "[store]")
{
    open_store store(memory_store());
    std::vector<void *> blocks;
    unsigned seed = 7;
    for (int i = 0; i < 3000; i++) {
        seed = seed * 1103515245 + 12345;
        const unsigned number = seed / 65536;
        if (blocks.size() > 20 || (number % 3 == 0 && !blocks.empty())) {
            const size_t at = number % blocks.size();
            REQUIRE(roma_store_release(store, blocks[at]) == 0);
            blocks.erase(blocks.begin() + static_cast<long>(at));
        } else {
            void *block = roma_store_alloc(store, 65537 + number % 17 * 40000);
            REQUIRE(block != nullptr);
            blocks.push_back(block);
        }
        if (i % 500 == 0)
            REQUIRE(faults_of(store) == "");
    }
    for (void *block : blocks)
        CHECK(roma_store_release(store, block) == 0);
    CHECK(figure_of(store, "store.free_bytes") == figure_of(store, "store.committed_bytes"));
    CHECK(figure_of(store, "store.largest_free_bytes") ==
          figure_of(store, "store.committed_bytes"));
}
