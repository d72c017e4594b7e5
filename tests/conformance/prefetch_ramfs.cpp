/* prefetch_ramfs.cpp - files of a ramfs (an initial file system in memory is one): as on hugetlbfs
 * the pages are the file, never leave, and have no device. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "private_mounts.hpp"
#include "skip.hpp"
#include "tree.hpp"

#include <roma/prefetch.h>

#include <cerrno>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* A file of one byte and a hole; below 0: nothing can be mounted here. */
int open_on_ramfs(size_t bytes)
{
    int fd = -1;
    const tree folder;
    (void)with_private_mounts([&] {
        if (mount("ramfs", folder.root(), "ramfs", 0, nullptr) == 0)
            fd = open((std::string(folder.root()) + "/file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC,
                      0600);
    });
    if (fd < 0)
        return fd;
    REQUIRE(ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    REQUIRE(pwrite(fd, "x", 1, 0) == 1);
    return fd;
}

uint64_t resident_of(const roma_file_range &range)
{
    roma_residency found = {};
    found.size = sizeof found;
    REQUIRE(roma_residency_of(&range, 1, &found, nullptr) == 0);
    return found.resident_bytes;
}

} // namespace

TEMPLATE_TEST_CASE("a ramfs file is not filled by reading ahead, but by mapping", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    const owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const size_t bytes = 8 * MiB;
    const int fd = open_on_ramfs(bytes);
    if (fd < 0)
        SKIP_TEST("no ramfs can be mounted here");
    void *own = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(own != MAP_FAILED);
    const roma_file_range all = roma_file_range_own(fd, 0, own, bytes);
    for (roma_prefetch_level level : {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT}) {
        owned_handle handle(engine, all, level);
        CHECK(handle.wait() == 0);
        CHECK(handle.progress().resident_bytes == bytes);
        CHECK(resident_of(all) == page_bytes());
    }
    {
        owned_handle handle(engine, all, ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == 0);
        CHECK(adds_up(handle.progress()));
        CHECK(resident_of(all) == bytes);
    }
    {
        owned_flush flush(engine, all);
        CHECK(flush.wait() == 0);
        CHECK(flush.progress().done_bytes == bytes);
        CHECK(flush.progress().resident_bytes == bytes); /* durable is what is done and not that */
    }
    CHECK(roma_evict(&all, 1, ROMA_EVICT_DROP, nullptr) == -EOPNOTSUPP);
    munmap(own, bytes);
    close(fd);
}
