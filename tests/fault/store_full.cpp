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
