/* prefetch_changing.cpp - what every way of an engine must hold to: files that are cut or grow
 * while they are read, on a disk, in tmpfs and in hugetlbfs.
 *
 * A file changes as a call of the engine is about to be made, or has come back and is not judged
 * yet: the engine has looked at its length before, and every run goes the same way. All is asked
 * for at the level MAPPED, which makes the same call for each kind of file. */
#include "between.hpp"
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "fd_map.hpp"
#include "huge_pages.hpp"
#include "memory_file.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <atomic>
#include <cerrno>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* A file of some kind, and where a test cuts it: on a disk within the engine's first chunk, on
 * hugetlbfs between two huge pages. */
struct subject {
    int fd;
    size_t bytes, left_bytes;
    bool is_memory;
};

subject subject_of(const disk_file &file)
{
    return {file.fd, file.bytes, file.bytes / 8, false};
}

subject subject_of(const memory_file &file)
{
    struct stat status = {};
    REQUIRE(fstat(file.fd, &status) == 0);
    const auto bytes = static_cast<size_t>(status.st_size);
    return {file.fd, bytes, bytes / 4, true};
}

int set_length(const subject &file, size_t bytes)
{
    return ftruncate(file.fd, static_cast<off_t>(bytes));
}

/* One piece at a time, so that the first call that meets a change is the first of its kind. */
roma_prefetch_options one_by_one(roma_prefetch_way way)
{
    roma_prefetch_options options = owned_engine::with_way(way);
    options.dense_depth = options.sparse_depth = 1;
    return options;
}

bool is_populate(const made_call &call)
{
    return call.kind == ROMA__CALL_POPULATE;
}

/* An address range over a file and beyond its end, which does not make a hugetlb file longer, but
 * has its pages promised. */
class wide_mapping {
  public:
    void *address;
    size_t bytes;

    wide_mapping(const subject &file, size_t length)
        : address(mmap(nullptr, length, PROT_READ, MAP_SHARED, file.fd, 0)), bytes(length)
    {}
    wide_mapping(const wide_mapping &) = delete;
    wide_mapping &operator=(const wide_mapping &) = delete;
    ~wide_mapping()
    {
        if (is_there())
            munmap(address, bytes);
    }
    bool is_there() const { return address != MAP_FAILED; }
};

/* The engine has seen the file's old length when it is cut: the range behind the cut is an error,
 * the one before it is read. */
void cut_in_flight(roma_prefetch_way way, const subject &file)
{
    std::atomic<int> cut{1};
    between calls;
    calls.begins = [&](const made_call &call) {
        if (is_populate(call) && call.nth == 1)
            cut = set_length(file, file.left_bytes);
    };
    owned_engine engine(way);
    SKIP_WITHOUT(engine);
    fd_map map(file.fd);
    const size_t gone_bytes = file.bytes - file.left_bytes;
    const roma_file_range ranges[] = {map.range(0, file.left_bytes),
                                      map.range(file.left_bytes, gone_bytes)};
    owned_handle handle(engine, ranges, 2, ROMA_PREFETCH_MAPPED);
    CHECK(handle.wait() == -EFAULT);
    CHECK(cut == 0);
    CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
    roma_error error = {};
    CHECK(roma_prefetch_range_error(handle.self, 1, &error) == -EFAULT);
    CHECK(error.why == ROMA_WHY_FILE_ENDS);
    CHECK(handle.progress().done_bytes == file.left_bytes);
    CHECK(handle.progress().failed_bytes == gone_bytes);
    CHECK(adds_up(handle.progress()));
    if (file.is_memory)
        CHECK(allocated_of(file.fd) == file.left_bytes);
}

/* A request ends where the file did when the engine came to it; the next one goes on. */
void grow_in_flight(roma_prefetch_way way, const subject &file)
{
    std::atomic<int> grown{1};
    between calls;
    calls.begins = [&](const made_call &call) {
        if (is_populate(call) && call.nth == 1)
            grown = set_length(file, 2 * file.bytes);
    };
    owned_engine engine(way);
    SKIP_WITHOUT(engine);
    const wide_mapping mapping(file, 2 * file.bytes);
    REQUIRE(mapping.is_there());
    const auto all = roma_file_range_own(file.fd, 0, mapping.address, mapping.bytes);
    for (size_t wanted : {file.bytes, 2 * file.bytes}) {
        owned_handle handle(engine, all, ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == 0);
        CHECK(grown == 0);
        CHECK(handle.progress().total_bytes == wanted);
        CHECK(handle.progress().done_bytes == wanted);
    }
}

/* Cut before the call, and whole again before anybody asks how long it is. Once is not noticed;
 * for ever it is taken for a page that cannot be had. */
void cut_and_grow_in_flight(roma_prefetch_way way, const subject &file, int for_ever_code)
{
    for (bool for_ever : {false, true}) {
        std::atomic<int> failed{0};
        between calls;
        calls.begins = [&](const made_call &call) {
            if (is_populate(call) && (for_ever || call.nth == 1))
                failed = failed + set_length(file, file.left_bytes);
        };
        calls.ends = [&](const made_call &call, int result) {
            if (is_populate(call) && (for_ever || call.nth == 1))
                failed = failed + set_length(file, file.bytes);
            return result;
        };
        owned_engine engine(one_by_one(way));
        SKIP_WITHOUT(engine);
        fd_map map(file.fd);
        owned_handle handle(engine, map.range(0, file.bytes), ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == (for_ever ? for_ever_code : 0));
        CHECK(failed == 0);
        CHECK(adds_up(handle.progress()));
        CHECK(handle.progress().total_bytes == file.bytes);
        CHECK((handle.progress().done_bytes == file.bytes) == !for_ever);
    }
}

/* Shorter than its map before anything is asked for. */
void cut_before(roma_prefetch_way way, const subject &file)
{
    owned_engine engine(way);
    SKIP_WITHOUT(engine);
    fd_map map(file.fd);
    REQUIRE(set_length(file, file.left_bytes) == 0);
    const roma_file_range ranges[] = {map.range(0, file.left_bytes),
                                      map.range(file.left_bytes, file.bytes - file.left_bytes)};
    for (roma_prefetch_level level :
         {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED}) {
        owned_handle handle(engine, ranges, 2, level);
        CHECK(handle.wait() == -EFAULT);
        CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
        CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == -EFAULT);
    }
    CHECK(roma_map_refresh(map.self) == static_cast<int64_t>(file.left_bytes));
}

} // namespace

/* A file of hugetlbfs that can become twice as long; or the test is left out. */
#define HUGETLB_FILE(file)                                                                         \
    SKIP_WHERE_EMULATED();                                                                         \
    huge_pages pages(8);                                                                           \
    if (!pages.are_there)                                                                          \
        SKIP_TEST_HUGE("no 8 free hugetlb pages, and they cannot be reserved");                    \
    memory_file file(4 * pages.page_bytes, MFD_HUGETLB);                                           \
    REQUIRE(file.fd >= 0);                                                                         \
    const wide_mapping promise(subject_of(file), 8 * pages.page_bytes);                            \
    if (!promise.is_there())                                                                       \
    SKIP_TEST_HUGE("the free hugetlb pages have been taken by others")

TEMPLATE_TEST_CASE("a file that is cut in flight: what is left of it is read", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(8 * MiB);
    cut_in_flight(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a tmpfs file that is cut in flight: what is left of it is mapped", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    memory_file file(8 * MiB);
    cut_in_flight(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a hugetlb file that is cut in flight: what is left of it is mapped",
                   "[prefetch][pool]", EVERY_WAY)
{
    HUGETLB_FILE(file);
    cut_in_flight(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a file that grows in flight is read to where it ended", "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(8 * MiB);
    grow_in_flight(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a tmpfs file that grows in flight is mapped to where it ended", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    memory_file file(8 * MiB);
    grow_in_flight(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a hugetlb file that grows in flight is mapped to where it ended",
                   "[prefetch][pool]", EVERY_WAY)
{
    HUGETLB_FILE(file);
    grow_in_flight(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a file that is cut and grows again within one read is read", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(8 * MiB);
    cut_and_grow_in_flight(TestType::way, subject_of(file), -EIO);
}

TEMPLATE_TEST_CASE("a tmpfs file that is cut and grows again within one call is mapped",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    memory_file file(8 * MiB);
    cut_and_grow_in_flight(TestType::way, subject_of(file), -ENOSPC);
}

TEMPLATE_TEST_CASE("a hugetlb file that is cut and grows again within one call is mapped",
                   "[prefetch][pool]", EVERY_WAY)
{
    HUGETLB_FILE(file);
    cut_and_grow_in_flight(TestType::way, subject_of(file), -ENOMEM);
}

TEMPLATE_TEST_CASE("a tmpfs file that has become shorter than its map is an error, not a signal",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    memory_file file(8 * MiB);
    cut_before(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a hugetlb file that has become shorter than its map is an error, not a signal",
                   "[prefetch][pool]", EVERY_WAY)
{
    HUGETLB_FILE(file);
    cut_before(TestType::way, subject_of(file));
}

TEMPLATE_TEST_CASE("a map follows a tmpfs file that grows", "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    memory_file file(MiB);
    roma_map_options options = roma_map_options_default();
    options.reserve_bytes = 64 * MiB;
    fd_map map(file.fd, options);
    const roma_file_range all = map.range(0, 8 * MiB);
    {
        owned_handle handle(engine, all, ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == 0);
        CHECK(handle.progress().total_bytes == MiB);
        CHECK(file.allocated() == MiB);
    }
    REQUIRE(ftruncate(file.fd, 8 * MiB) == 0);
    CHECK(roma_map_refresh(map.self) == static_cast<int64_t>(8 * MiB));
    owned_handle handle(engine, all, ROMA_PREFETCH_MAPPED);
    CHECK(handle.wait() == 0);
    CHECK(handle.progress().total_bytes == 8 * MiB);
    CHECK(file.allocated() == 8 * MiB);
}

/* Below MAPPED nothing of them is read, and nobody looks again. */
TEMPLATE_TEST_CASE("a tmpfs file that is cut while it is asked back is done; mapping it tells",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    memory_file file(8 * MiB);
    std::atomic<int> cut{1};
    between calls;
    calls.begins = [&](const made_call &call) {
        if (call.kind == ROMA__CALL_WILLNEED && call.nth == 1)
            cut = ftruncate(file.fd, MiB);
    };
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    fd_map map(file.fd);
    const roma_file_range ranges[] = {map.range(0, MiB), map.range(MiB, 7 * MiB)};
    owned_handle asked(engine, ranges, 2);
    CHECK(asked.wait() == 0);
    CHECK(cut == 0);
    CHECK(asked.progress().done_bytes == 8 * MiB);
    owned_handle mapped(engine, ranges, 2, ROMA_PREFETCH_MAPPED);
    CHECK(mapped.wait() == -EFAULT);
    CHECK(roma_prefetch_range_error(mapped.self, 0, nullptr) == 0);
    CHECK(roma_prefetch_range_error(mapped.self, 1, nullptr) == -EFAULT);
}
