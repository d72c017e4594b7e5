/* store_full.cpp - space of the file system: what works where there is none, and how much is taken
 * at once. A hook in the table of system calls stands for the full disk, or looks on. */
#include "faulty.hpp"
#include "stores.hpp"

#include "store/layout.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <vector>

using namespace roma_tests;

namespace {

constexpr size_t MIB = size_t(1) << 20;

/* A disk that gives nothing any more; what it has may be punched. */
struct full_disk {
    faulty table;

    full_disk()
    {
        table.calls.fallocate = [](int fd, int mode, off_t offset, off_t bytes) {
            if ((mode & FALLOC_FL_PUNCH_HOLE) != 0)
                return roma__sys_kernel.fallocate(fd, mode, offset, bytes);
            errno = ENOSPC;
            return -1;
        };
    }
};

} // namespace

TEST_CASE("store full: units that have space are found behind punched ones")
{
    enum { COUNT = 20 };
    open_store store(memory_store());
    std::vector<void *> blocks;
    for (int i = 0; i < COUNT; i++) {
        blocks.push_back(roma_store_alloc(store, MIB));
        REQUIRE(blocks.back() != nullptr);
    }
    CHECK(roma_store_release_batch(store, blocks.data(), COUNT / 2) == 0);
    CHECK(roma_store_trim(store, 0) >= int64_t(COUNT / 2 * MIB));
    CHECK(roma_store_release_batch(store, &blocks[COUNT / 2], COUNT / 2) == 0);
    blocks.clear();
    {
        full_disk disk;
        for (void *block; (block = roma_store_alloc(store, MIB)) != nullptr;) {
            std::memset(block, 1, MIB);
            blocks.push_back(block);
        }
        CHECK(errno == ENOSPC);
        CHECK(blocks.size() == COUNT / 2);
    }
    CHECK(faults_of(store) == "");
    void *block = roma_store_alloc(store, MIB); /* the disk has space again */
    CHECK(block != nullptr);
    CHECK(roma_store_release(store, block) == 0);
    CHECK(roma_store_release_batch(store, blocks.data(), blocks.size()) == 0);
}

TEST_CASE("store full: who comes then can release")
{
    store_path path;
    open_store one(path.c_str(), true);
    for (unsigned i = 0; i < 2; i++) {
        void *block = roma_store_alloc(one, MIB);
        REQUIRE(roma_store_link(one, roma_store_root(one, i), block) == 0);
        REQUIRE(roma_store_release(one, block) == 0);
    }
    open_store two(path.c_str(), false);
    {
        full_disk disk;
        CHECK(roma_store_release_from(two, roma_store_root(two, 0)) == 1);
        void *held = roma_store_take(two, roma_store_root(two, 1));
        CHECK(held != nullptr);
        CHECK(roma_store_release(two, held) == 0);
        CHECK(roma_store_trim(one, 0) >= 0);
    }
    CHECK(live_blocks(one) == 0);
}

TEST_CASE("store full: lanes of the dead serve where a new one has no space")
{
    enum { DEAD = 20 };
    store_path path;
    roma_store_options options = small_store();
    options.sessions = 2 * DEAD;
    options.bytes = 4 * MIB; /* nobody recovers for want of units */
    open_store store(path.c_str(), true, options);
    for (int i = 0; i < DEAD; i++)
        REQUIRE(in_child([&] {
                    roma_store *own = nullptr;
                    if (roma_store_open(path.c_str(), nullptr, &own, nullptr) != 0 ||
                        roma_store_alloc(own, 64) == nullptr)
                        return 91;
                    kill(getpid(), SIGKILL);
                    return 92;
                }) == -SIGKILL);
    CHECK(live_blocks(store) == DEAD);
    {
        full_disk disk;
        void *block = roma_store_alloc(store, 64);
        CHECK(block != nullptr);
        CHECK(roma_store_release(store, block) == 0);
    }
    CHECK(live_blocks(store) == 0);
}

namespace {

/* What is seen when space is taken. */
struct onlooker {
    static inline std::atomic<uint64_t> calls{0}, most_bytes{0}, held{0};
    static inline const uint32_t *names = nullptr; /* the holder of the stripe */

    faulty table;

    onlooker()
    {
        calls = most_bytes = held = 0;
        table.calls.fallocate = [](int fd, int mode, off_t offset, off_t bytes) {
            if ((mode & FALLOC_FL_PUNCH_HOLE) == 0) {
                calls++;
                most_bytes = std::max(most_bytes.load(), uint64_t(bytes));
                held += names != nullptr && __atomic_load_n(names, __ATOMIC_RELAXED) != 0;
            }
            return roma__sys_kernel.fallocate(fd, mode, offset, bytes);
        };
    }
};

/* The tables of a store, for reading. */
struct tables {
    static constexpr size_t BYTES = ROMA__AT_MAPS;
    char *base;

    explicit tables(roma_store *store)
        : base(static_cast<char *>(
              mmap(nullptr, BYTES, PROT_READ, MAP_SHARED, roma_store_fd(store), 0)))
    {
        REQUIRE(base != MAP_FAILED);
    }
    tables(const tables &) = delete;
    tables &operator=(const tables &) = delete;
    ~tables() { munmap(base, BYTES); }

    const uint32_t *holder(unsigned stripe) const
    {
        return &reinterpret_cast<const roma__stripe *>(base + ROMA__AT_STRIPES)[stripe].holder;
    }
};

} // namespace

TEST_CASE("store full: no name waits while space is taken for a reference")
{
    enum { COUNT = ROMA__LANE_CELLS }; /* references that a lane has room for */
    store_path path;
    open_store one(path.c_str(), true), two(path.c_str(), false);
    roma_store_request request = roma_store_request_of(COUNT * sizeof(roma_ref));
    request.refs_count = COUNT;
    auto *slots = static_cast<roma_ref *>(
        roma_store_alloc_into(one, roma_store_root(one, 0), &request));
    REQUIRE(slots != nullptr);
    request = roma_store_request_of(64);
    for (unsigned i = 0; i < COUNT; i++)
        REQUIRE(roma_store_alloc_into(one, &slots[i], &request) != nullptr);
    void *named = roma_store_alloc(one, 64);
    REQUIRE(roma_store_put(one, "name", named, 0) == 0);
    REQUIRE(roma_store_release(one, named) == 0);

    auto *theirs = static_cast<roma_ref *>(roma_ref_at(two, roma_ref_of(one, slots)));
    std::vector<void *> blocks;
    for (unsigned i = 0; i < COUNT; i++) {
        blocks.push_back(roma_store_load(two, &theirs[i]));
        REQUIRE(blocks.back() != nullptr);
    }
    REQUIRE(roma_store_trim(one, 0) > 0); /* any unit has to be backed */
    {
        const tables seen(one);
        onlooker::names = seen.holder(ROMA__STRIPE_NAMES);
        onlooker looks;
        blocks.push_back(roma_store_get(two, "name", nullptr));
        onlooker::names = nullptr;
        CHECK(blocks.back() != nullptr);
        CHECK(onlooker::calls > 0);
        CHECK(onlooker::held == 0);
    }
    CHECK(roma_store_release_batch(two, blocks.data(), blocks.size()) == 0);
    CHECK(roma_store_release_from(one, roma_store_root(one, 0)) == 1);
    CHECK(roma_store_remove(one, "name") == 0);
    CHECK(roma_store_trim(one, 0) >= 0);
    CHECK(live_blocks(one) == 0);
}

TEST_CASE("store full: in memory no more is taken ahead than is soon cleared")
{
    open_store store(memory_store(small_store(256 * MIB)));
    onlooker looks;
    std::vector<void *> blocks;
    for (int i = 0; i < 160; i++) {
        blocks.push_back(roma_store_alloc(store, MIB));
        REQUIRE(blocks.back() != nullptr);
    }
    CHECK(onlooker::most_bytes >= 8 * MIB);
    CHECK(onlooker::most_bytes <= 16 * MIB);
    CHECK(roma_store_release_batch(store, blocks.data(), blocks.size()) == 0);
}
