/* prefetch_map.cpp - files mapped through roma, and engines that refuse their options. */
#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include "prefetch/file.h"

#include <cerrno>
#include <cstring>
#include <sys/sysmacros.h>

using namespace roma_tests;

TEST_CASE("a map shows its file, with its own descriptor")
{
    disk_file file(3 * MiB + 5);
    roma_map *map = nullptr;
    REQUIRE(roma_map_open_fd(file.fd, nullptr, &map, nullptr) == 0);
    const roma_segment segment = roma_map_segment(map);
    CHECK(segment.bytes == file.bytes);
    CHECK(roma_map_fd(map) != file.fd);
    CHECK(disk_file::holds(segment.address, 0, segment.bytes));
    CHECK(roma_map_close(map) == 0);
    CHECK(roma_map_close(nullptr) == 0);
    CHECK(roma_map_segment(nullptr).address == nullptr);
    CHECK(roma_map_fd(nullptr) == -1);
    CHECK(roma_map_refresh(nullptr) == -EINVAL);
}

TEST_CASE("a part of a file is mapped from where it is asked, and no further")
{
    disk_file file(4 * MiB);
    roma_map_options options = roma_map_options_default();
    options.offset = MiB;
    options.bytes = MiB + 7;
    owned_map map(file, options);
    CHECK(map.segment().bytes == MiB + 7);
    CHECK(disk_file::holds(map.address(), MiB, MiB + 7));
    CHECK(roma_map_refresh(map.self) == static_cast<int64_t>(MiB + 7));
}

TEST_CASE("a writable map is its file")
{
    disk_file file(MiB);
    roma_map_options options = roma_map_options_default();
    options.writable = true;
    owned_map map(file, options);
    map.address()[77] = 200;
    unsigned char byte = 0;
    REQUIRE(pread(file.fd, &byte, 1, 77) == 1);
    CHECK(byte == 200);
}

TEST_CASE("maps lie as their files do, so that huge folios fit")
{
    disk_file file(8 * MiB);
    roma_map_options options = roma_map_options_default();
    options.offset = MiB;
    for (roma_map_access access :
         {ROMA_MAP_NORMAL, ROMA_MAP_SEQUENTIAL, ROMA_MAP_RANDOM, ROMA_MAP_HUGE}) {
        options.access = access;
        owned_map map(file, options);
        const size_t huge = 2 * MiB;
        if (page_bytes() == 4096)
            CHECK((reinterpret_cast<uintptr_t>(map.address()) - MiB) % huge == 0);
        CHECK(disk_file::holds(map.address(), MiB, 7 * MiB));
    }
}

TEST_CASE("what cannot be mapped is said")
{
    disk_file file(MiB);
    roma_map *map = nullptr;
    roma_error error = {};
    const auto open_with = [&](const roma_map_options &options) {
        return roma_map_open(file.path.c_str(), &options, &map, &error);
    };
    roma_map_options options = roma_map_options_default();
    options.offset = 1;
    CHECK(open_with(options) == -EINVAL);
    CHECK(std::string(error.subject) == "offset");
    options.offset = 2 * MiB;
    CHECK(open_with(options) == -ENODATA);
    options = roma_map_options_default();
    options.access = static_cast<roma_map_access>(9);
    CHECK(open_with(options) == -EINVAL);
    options = roma_map_options_default();
    options.reserved[1] = true;
    CHECK(open_with(options) == -E2BIG);
    options = roma_map_options_default();
    options.size = 8;
    CHECK(open_with(options) == -EINVAL);
    options = roma_map_options_default();
    options.reserve_bytes = SIZE_MAX;
    CHECK(open_with(options) == -EOVERFLOW);
    CHECK(roma_map_open(nullptr, nullptr, &map, nullptr) == -EINVAL);
    CHECK(roma_map_open("/", nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_map_open("/var/no/such/file", nullptr, &map, &error) == -ENOENT);
    CHECK(std::string(error.subject) == "/var/no/such/file");
    CHECK(roma_map_open("/dev/null", nullptr, &map, &error) == -EOPNOTSUPP);
    CHECK(roma_map_open_fd(-1, nullptr, &map, &error) == -EBADF);
    disk_file empty(0);
    CHECK(roma_map_open(empty.path.c_str(), nullptr, &map, &error) == -ENODATA);
    CHECK(map == nullptr);
}

TEST_CASE("wrong options of an engine are named")
{
    const struct {
        const char *subject;
        void (*spoil)(roma_prefetch_options &);
        int code;
    } rows[] = {
        {"way", [](roma_prefetch_options &o) { o.way = static_cast<roma_prefetch_way>(4); },
         -EINVAL},
        {"threads", [](roma_prefetch_options &o) { o.threads = 257; }, -EINVAL},
        {"entries", [](roma_prefetch_options &o) { o.entries = 7; }, -EINVAL},
        {"entries", [](roma_prefetch_options &o) { o.entries = 1u << 20; }, -EINVAL},
        {"dense_depth", [](roma_prefetch_options &o) { o.dense_depth = 100000; }, -EINVAL},
        {"sparse_depth", [](roma_prefetch_options &o) { o.sparse_depth = 100000; }, -EINVAL},
        {"chunk_bytes", [](roma_prefetch_options &o) { o.chunk_bytes = size_t(2) << 30; }, -EINVAL},
        {"size", [](roma_prefetch_options &o) { o.size = 9; }, -EINVAL},
        {"cpus", [](roma_prefetch_options &o) { o.cpus = ""; }, -EINVAL},
        {"cpus", [](roma_prefetch_options &o) { o.cpus = "all"; }, -EINVAL},
        {"cpus", [](roma_prefetch_options &o) { o.cpus = "0,"; }, -EINVAL},
        {"cpus", [](roma_prefetch_options &o) { o.cpus = "1-0"; }, -EINVAL},
        {"cpus", [](roma_prefetch_options &o) { o.cpus = "4294967296"; }, -EINVAL},
    };
    for (const auto &row : rows) {
        roma_prefetch_options options = roma_prefetch_options_default();
        row.spoil(options);
        roma_prefetch_engine *engine = nullptr;
        roma_error error = {};
        CHECK(roma_prefetch_create(&engine, &options, &error) == row.code);
        CHECK(std::string(error.subject) == row.subject);
        CHECK(engine == nullptr);
    }
    CHECK(roma_prefetch_create(nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_prefetch_destroy(nullptr) == 0);
    CHECK(roma_prefetch_cancel(nullptr) == -EINVAL);
    CHECK(roma_prefetch_cancel_all(nullptr) == -EINVAL);
    CHECK(roma_prefetch_drain(nullptr, 0) == -EINVAL);
    CHECK(roma_prefetch_eventfd(nullptr) == -EINVAL);
    roma_prefetch_close(nullptr);
    CHECK(std::string(roma_prefetch_way_text(static_cast<roma_prefetch_way>(9))).empty());
}

TEST_CASE("a kernel without cachestat tells by mincore")
{
    disk_file file(3 * MiB);
    const kept_warm kept(file);
    const uint64_t counted = file.resident(0, file.bytes);
    CHECK(counted == file.bytes);
    faulty table;
    table.calls.cachestat = [](int, const void *, void *, unsigned) {
        errno = ENOSYS;
        return -1;
    };
    CHECK(file.resident(0, file.bytes) == counted);
    CHECK(file.resident(MiB + 1, 1) == page_bytes());
    owned_engine engine(ROMA_PREFETCH_PLAIN);
    SKIP_WITHOUT(engine);
    CHECK_FALSE(engine.report().cachestat);
    owned_handle handle(engine, file.range(0, file.bytes));
    CHECK(handle.wait() == 0);
}

TEST_CASE("a pipe is refused, though nobody writes to it")
{
    const std::string path = "/tmp/roma-test-pipe-" + std::to_string(getpid());
    REQUIRE(mkfifo(path.c_str(), 0600) == 0);
    roma_map *map = nullptr;
    CHECK(roma_map_open(path.c_str(), nullptr, &map, nullptr) == -EOPNOTSUPP);
    unlink(path.c_str());
}

TEST_CASE("an error record is left alone where there is no error")
{
    disk_file file(MiB);
    owned_engine engine(ROMA_PREFETCH_PLAIN);
    SKIP_WITHOUT(engine);
    const roma_file_range ranges[] = {file.range(0, 4096), file.range(0, 4096)};
    const int second = dup(file.fd); /* a file of its own to look at */
    roma_file_range both[] = {ranges[0], roma_file_range_own(second, 0, nullptr, 4096)};
    roma_error error = {};
    CHECK(roma_prefetch_submit(engine.self, both, 2, ROMA_PREFETCH_RESIDENT, nullptr, &error) == 0);
    CHECK(error.need == 0);
    CHECK(roma_evict(both, 2, ROMA_EVICT_DROP, &error) == 0);
    CHECK(error.need == 0);
    close(second);
}

TEST_CASE("how far a device reads ahead is known of a partition, too")
{
    static const std::string given = "/tmp/roma-test-ahead-" + std::to_string(getpid());
    const int fd = open(given.c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
    REQUIRE(write(fd, "512\n", 4) == 4);
    close(fd);
    {
        faulty table;
        table.calls.open = [](const char *path, int flags) {
            if (std::strstr(path, "/sys/class/bdi/") != nullptr) {
                errno = ENOENT;
                return -1;
            }
            const bool is_asked = std::strcmp(path, "/sys/dev/block/8:3/../queue/read_ahead_kb") ==
                                  0;
            return roma__sys_kernel.open(is_asked ? given.c_str() : path, flags);
        };
        roma__file file = {};
        file.device = makedev(8, 3);
        CHECK(roma__file_reach(&file) == 512 * 1024);
        file.device = makedev(8, 200); /* of no disk */
        CHECK(roma__file_reach(&file) == 128 * 1024);
    }
    unlink(given.c_str());
}

TEST_CASE("a page that is being read is not resident yet", "[prefetch]")
{
    COLD_FILE(file, 16 * MiB);
    faulty table; /* to cachestat it is in the page cache from when its read begins */
    table.calls.cachestat = [](int fd, const void *range, void *found, unsigned flags) {
        const int code = roma__sys_kernel.cachestat(fd, range, found, flags);
        if (code == 0)
            *static_cast<uint64_t *>(found) = static_cast<const uint64_t *>(range)[1] /
                                              page_bytes();
        return code;
    };
    {
        owned_engine engine(ROMA_PREFETCH_POOL);
        SKIP_WITHOUT(engine);
        if (!engine.report().cachestat)
            SKIP_TEST("this kernel has no cachestat");
        const roma_file_range ranges[] = {file.range(0, page_bytes()),
                                          file.range(MiB, page_bytes())};
        owned_handle handle(engine, ranges, 2);
        CHECK(handle.wait() == 0);
        CHECK(handle.progress().resident_bytes == 0);
    }
    table.calls.cachestat = roma__sys_kernel.cachestat;
    CHECK(file.resident(MiB, page_bytes()) == page_bytes());
}

TEST_CASE("a kernel that never tells what is resident is an error, not a wait for ever")
{
    disk_file file(MiB);
    faulty table;
    table.calls.cachestat = [](int, const void *, void *, unsigned) {
        errno = ENOSYS;
        return -1;
    };
    table.calls.mincore = [](void *, size_t, unsigned char *) {
        errno = EAGAIN;
        return -1;
    };
    const roma_file_range range = file.range(0, file.bytes);
    roma_residency found = {};
    found.size = sizeof found;
    CHECK(roma_residency_of(&range, 1, &found, nullptr) == -EAGAIN);
}

TEST_CASE("a kernel without MADV_POPULATE_READ can only be asked to begin")
{
    disk_file file(8 * MiB);
    faulty table;
    table.calls.madvise = [](void *address, size_t bytes, int advice) {
        if (advice == 22) {
            errno = EINVAL;
            return -1;
        }
        return roma__sys_kernel.madvise(address, bytes, advice);
    };
    owned_engine engine(ROMA_PREFETCH_PLAIN);
    const roma_file_range range = file.range(0, file.bytes);
    roma_prefetch_handle *handle = nullptr;
    roma_error error = {};
    CHECK(roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_RESIDENT, &handle, &error) ==
          -EOPNOTSUPP);
    CHECK(std::strstr(error.subject, "5.14") != nullptr);
    (void)file.chill();
    owned_handle issued(engine, range, ROMA_PREFETCH_ISSUED);
    CHECK(issued.wait() == 0);
    CHECK(issued.progress().done_bytes == file.bytes);
}
