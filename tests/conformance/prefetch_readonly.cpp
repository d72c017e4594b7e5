/* prefetch_readonly.cpp - what every way of an engine must hold to: files that nobody may write,
 * mounts that nobody may write to, and files of somebody else.
 *
 * The kernel tells what of a file is in memory to its owner and to who may write it. To others
 * mincore() says that all of it is: they must not believe it, and read. */
#include "child.hpp"
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "fd_map.hpp"
#include "faulty.hpp"
#include "private_mounts.hpp"
#include "skip.hpp"
#include "tree.hpp"
#include "wish.hpp"

#include <roma/prefetch.h>

#include <cerrno>
#include <cstdio>
#include <grp.h>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* All of a cold file comes into memory through this descriptor, and is known to be there. */
void read_by(const owned_engine &engine, const disk_file &file, int fd)
{
    fd_map map(fd);
    for (roma_prefetch_level level : {ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED}) {
        REQUIRE(file.chill());
        owned_handle handle(engine, map.range(0, file.bytes), level);
        CHECK(handle.wait() == 0);
        CHECK(adds_up(handle.progress()));
        CHECK(file.came(0, file.bytes) == file.bytes);
    }
    CHECK(disk_file::holds(map.address(), 0, file.bytes));
    const kept_warm kept(file);
    const roma_file_range all = map.range(0, file.bytes);
    roma_residency found = {};
    found.size = sizeof found;
    CHECK(roma_residency_of(&all, 1, &found, nullptr) == 0);
    CHECK(found.resident_bytes == file.bytes);
    owned_handle again(engine, all);
    CHECK(again.wait() == 0);
    CHECK(again.progress().resident_bytes == file.bytes);
}

int refusal_of_writing(const std::string &path)
{
    roma_map_options options = roma_map_options_default();
    options.writable = true;
    roma_map *map = nullptr;
    const int code = roma_map_open(path.c_str(), &options, &map, nullptr);
    (void)roma_map_close(map);
    return code;
}

/* ---- a child that does not own the file ------------------------------------------------------ */

enum : int { no_folder = 76, no_engine = 77 };

int flush(roma_prefetch_engine *engine, const roma_file_range &range)
{
    roma_prefetch_handle *handle = nullptr;
    WISH(roma_flush_submit(engine, &range, 1, &handle, nullptr) == 0);
    WISH(roma_prefetch_wait(handle, ROMA_FOREVER) == 0);
    roma_prefetch_close(handle);
    return 0;
}

int read_all(roma_prefetch_engine *engine, const roma_file_range &range, roma_prefetch_level level,
             size_t resident_bytes)
{
    roma_prefetch_handle *handle = nullptr;
    roma_prefetch_progress progress = {};
    progress.size = sizeof progress;
    WISH(roma_prefetch_submit(engine, &range, 1, level, &handle, nullptr) == 0);
    WISH(roma_prefetch_wait(handle, ROMA_FOREVER) == 0);
    WISH(roma_prefetch_progress_of(handle, &progress) == 0);
    WISH(adds_up(progress));
    WISH(progress.done_bytes == range.bytes);
    WISH(progress.resident_bytes == resident_bytes);
    roma_prefetch_close(handle);
    return 0;
}

/* What is there at the second reading is known to who may write the file. */
int use_file(roma_prefetch_engine *engine, const roma_map *map, bool may_write, bool has_cachestat)
{
    const roma_segment all = roma_map_segment(map);
    const roma_file_range range = roma_file_range_of(map, 0, all.bytes);
    const size_t known_bytes = may_write ? all.bytes : 0;
    WISH(read_all(engine, range, ROMA_PREFETCH_RESIDENT, 0) == 0);
    WISH(disk_file::holds(all.address, 0, all.bytes)); /* what is mapped is not reclaimed soon */
    WISH(read_all(engine, range, ROMA_PREFETCH_RESIDENT, known_bytes) == 0);
    WISH(read_all(engine, range, ROMA_PREFETCH_MAPPED, known_bytes) == 0);
    roma_residency found = {};
    found.size = sizeof found;
    const int code = roma_residency_of(&range, 1, &found, nullptr);
    /* The first kernels with cachestat() told everybody. */
    WISH(may_write ? code == 0 && found.resident_bytes == all.bytes
                   : code == -EPERM || (has_cachestat && code == 0 && found.details));
    return flush(engine, range);
}

int read_as_stranger(const std::string &path, roma_prefetch_way way, bool may_write,
                     bool has_cachestat)
{
    const gid_t stranger = 65534;
    WISH(setgroups(0, nullptr) == 0 && setgid(stranger) == 0 && setuid(stranger) == 0);
    if (access(path.c_str(), R_OK) != 0)
        return no_folder;
    faulty table;
    if (!has_cachestat)
        table.calls.cachestat = [](int, const void *, void *, unsigned) {
            errno = ENOSYS;
            return -1;
        };
    const roma_prefetch_options options = owned_engine::with_way(way);
    roma_prefetch_engine *engine = nullptr;
    roma_map *map = nullptr;
    if (roma_prefetch_create(&engine, &options, nullptr) != 0)
        return no_engine;
    WISH(refusal_of_writing(path) == (may_write ? 0 : -EACCES));
    WISH(roma_map_open(path.c_str(), nullptr, &map, nullptr) == 0);
    const int code = use_file(engine, map, may_write, has_cachestat);
    WISH(roma_map_close(map) == 0);
    WISH(roma_prefetch_destroy(engine) == 0);
    return code;
}

} // namespace

TEMPLATE_TEST_CASE("a file that nobody may write is read", "[prefetch]", EVERY_WAY)
{
    FILE_ON_DISK(file, 8 * MiB);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    REQUIRE(fchmod(file.fd, 0444) == 0);
    const int fd = open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    read_by(engine, file, fd);
    if (geteuid() != 0) /* who may do all */
        CHECK(refusal_of_writing(file.path) == -EACCES);
    close(fd);
}

TEMPLATE_TEST_CASE("a file on a mount that nobody may write to is read", "[prefetch]", EVERY_WAY)
{
    FILE_ON_DISK(file, 8 * MiB);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const tree folder;
    int fd = -1, refusal = 0;
    (void)with_read_only_mount(file.path, folder.root(), [&](const std::string &there) {
        fd = open(there.c_str(), O_RDONLY | O_CLOEXEC);
        refusal = refusal_of_writing(there);
    });
    if (fd < 0)
        SKIP_TEST("nothing can be mounted here");
    CHECK(refusal == -EROFS);
    read_by(engine, file, fd);
    close(fd);
}

TEMPLATE_TEST_CASE(
    "a file of somebody else is read, and what is there is known to who may write it", "[prefetch]",
    EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
#ifdef ROMA_TESTS_UNDER_TSAN
    if (TestType::way != ROMA_PREFETCH_PLAIN)
        SKIP_TEST("ThreadSanitizer has no threads in a child of fork()");
#endif
    if (geteuid() != 0)
        SKIP_TEST("only root can become a stranger");
    {
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
    }
    disk_file file(8 * MiB);
    if (!file.on_disk)
        SKIP_TEST("neither /var/tmp nor /tmp is on a disk");
    const bool may_write = GENERATE(false, true);
    REQUIRE(fchmod(file.fd, may_write ? 0666 : 0644) == 0);
    for (bool has_cachestat : {true, false}) {
        INFO("may write " << may_write << ", cachestat " << has_cachestat);
        REQUIRE(file.chill());
        const int code = in_child(
            [&] { return read_as_stranger(file.path, TestType::way, may_write, has_cachestat); });
        if (code == no_folder)
            SKIP_TEST("a stranger cannot come to where temporary files are");
        if (code == no_engine)
            SKIP_TEST("a stranger cannot have this way");
        CHECK(code == 0);
        CHECK(file.came(0, file.bytes) == file.bytes);
    }
}
