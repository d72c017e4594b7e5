/* prefetch_tmpfs.cpp - what every way of an engine must hold to: a tmpfs that is full, and pages of
 * one that were swapped out. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "fd_map.hpp"
#include "memory_file.hpp"
#include "private_mounts.hpp"
#include "skip.hpp"
#include "tree.hpp"

#include <roma/prefetch.h>

#include <cerrno>
#include <sys/sysinfo.h>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* A tmpfs that holds little, with two files in it. */
class small_tmpfs {
  public:
    int fd = -1, rest_fd = -1;

    explicit small_tmpfs(size_t bytes)
    {
        const std::string at = folder_.root(), options = "size=" + std::to_string(bytes);
        (void)with_private_mounts([&] {
            if (mount("tmpfs", at.c_str(), "tmpfs", 0, options.c_str()) != 0)
                return;
            fd = open((at + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            rest_fd = open((at + "/rest").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        });
    }
    small_tmpfs(const small_tmpfs &) = delete;
    small_tmpfs &operator=(const small_tmpfs &) = delete;
    ~small_tmpfs()
    {
        if (fd >= 0)
            close(fd);
        if (rest_fd >= 0)
            close(rest_fd);
    }

    bool is_there() const { return fd >= 0 && rest_fd >= 0; }

    /* All that is free goes to the second file. */
    void fill() const
    {
        const std::vector<char> page(page_bytes());
        while (write(rest_fd, page.data(), page.size()) > 0) {
        }
        REQUIRE(errno == ENOSPC);
    }

  private:
    tree folder_;
};

size_t resident_by_mincore(void *address, size_t bytes)
{
    std::vector<unsigned char> present(bytes / page_bytes());
    REQUIRE(mincore(address, bytes, present.data()) == 0);
    size_t sum = 0;
    for (unsigned char page : present)
        sum += (page & 1) != 0 ? page_bytes() : 0;
    return sum;
}

bool has_swap()
{
    struct sysinfo now = {};
    return sysinfo(&now) == 0 && uint64_t(now.freeswap) * now.mem_unit >= 64 * MiB;
}

/* In the file's own page cache: what waits in that of the swap is not, though it takes no disk. */
size_t resident_of(const roma_file_range &range)
{
    roma_residency found = {};
    found.size = sizeof found;
    REQUIRE(roma_residency_of(&range, 1, &found, nullptr) == 0);
    return found.resident_bytes;
}

/* Out to the swap with it, as far as the kernel will. */
size_t swap_out(const roma_file_range &range)
{
    for (int tries = 0; resident_of(range) > 0 && tries < 100; tries++) {
        REQUIRE(roma_evict(&range, 1, ROMA_EVICT_PAGEOUT, nullptr) == 0);
        usleep(10000);
    }
    return range.bytes - resident_of(range);
}

} // namespace

TEMPLATE_TEST_CASE("a tmpfs that is full has no room for a hole, and says so of it alone",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const small_tmpfs place(2 * MiB);
    if (!place.is_there())
        SKIP_TEST("a tmpfs cannot be mounted here");
    REQUIRE(ftruncate(place.fd, 8 * MiB) == 0);
    const std::vector<unsigned char> half(MiB, 7);
    REQUIRE(pwrite(place.fd, half.data(), half.size(), 0) == ssize_t(half.size()));
    place.fill();
    fd_map map(place.fd);
    const roma_file_range apart[] = {map.range(0, MiB), map.range(4 * MiB, 2 * MiB)},
                          beside[] = {map.range(0, MiB), map.range(MiB, MiB)};
    for (roma_prefetch_level level : {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT}) {
        owned_handle handle(engine, apart, 2, level);
        CHECK(handle.wait() == 0);
    }
    for (const roma_file_range *ranges : {apart, beside}) {
        owned_handle handle(engine, ranges, 2, ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == -ENOSPC);
        CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
        roma_error error = {};
        CHECK(roma_prefetch_range_error(handle.self, 1, &error) == -ENOSPC);
        CHECK(error.cause == ENOSPC);
        char text[256];
        CHECK(std::string(roma_error_text(&error, text, sizeof text)).find(std::strerror(ENOSPC)) !=
              std::string::npos);
        CHECK(handle.progress().failed_bytes == ranges[1].bytes);
        CHECK(adds_up(handle.progress()));
    }
    CHECK(allocated_of(place.fd) == MiB);
    REQUIRE(ftruncate(place.rest_fd, 0) == 0);
    owned_handle handle(engine, beside, 2, ROMA_PREFETCH_MAPPED);
    CHECK(handle.wait() == 0);
    CHECK(allocated_of(place.fd) == 2 * MiB);
    CHECK(static_cast<unsigned char *>(map.address())[MiB - 1] == 7);
}

TEMPLATE_TEST_CASE("pages of a tmpfs that were swapped out are asked back, and there when mapped",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    if (!has_swap())
        SKIP_TEST("this machine has no swap to spare");
    if (!engine.report().cachestat)
        SKIP_TEST("this kernel does not tell what is swapped out");
    const size_t bytes = 8 * MiB;
    memory_file file(bytes);
    REQUIRE(file.fd >= 0);
    roma_map_options options = roma_map_options_default();
    options.writable = true;
    fd_map map(file.fd, options);
    const roma_file_range all = map.range(0, bytes);
    auto *own = static_cast<unsigned char *>(map.address());
    for (size_t i = 0; i < bytes; i += 509)
        own[i] = disk_file::pattern(i);
    for (roma_prefetch_level level :
         {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED}) {
        if (swap_out(all) < bytes / 2)
            SKIP_TEST("the kernel does not swap these pages out");
        owned_handle handle(engine, all, level);
        CHECK(handle.wait() == 0);
        CHECK(handle.progress().calls > 0);
        CHECK(adds_up(handle.progress()));
        if (level == ROMA_PREFETCH_MAPPED)
            CHECK(resident_of(all) == bytes);
        for (int tries = 0; resident_by_mincore(own, bytes) < bytes && tries < 1000; tries++)
            usleep(10000); /* nobody waits for them, below MAPPED */
        CHECK(resident_by_mincore(own, bytes) == bytes);
    }
    CHECK(disk_file::holds(own, 0, bytes));
}
