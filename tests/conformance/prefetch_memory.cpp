/* prefetch_memory.cpp - what every way of an engine must hold to: files in memory, eviction, and
 * flushing. */
#include "memory_file.hpp"
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "huge_pages.hpp"

#include <roma/prefetch.h>

#include <cerrno>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

roma_residency residency_of(const roma_file_range &range)
{
    roma_residency found = {};
    found.size = sizeof found;
    REQUIRE(roma_residency_of(&range, 1, &found, nullptr) == 0);
    return found;
}

} // namespace

TEMPLATE_TEST_CASE("a file in memory is not filled by reading ahead, but by mapping", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    memory_file file(8 * MiB);
    REQUIRE(file.fd >= 0);
    REQUIRE(pwrite(file.fd, "x", 1, 0) == 1);
    const uint64_t before = file.allocated();
    roma_map *map = nullptr;
    REQUIRE(roma_map_open_fd(file.fd, nullptr, &map, nullptr) == 0);
    for (roma_prefetch_level level : {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT}) {
        owned_handle handle(engine, roma_file_range_of(map, 0, 8 * MiB), level);
        CHECK(handle.wait() == 0);
        CHECK(adds_up(handle.progress()));
        CHECK(file.allocated() == before);
    }
    {
        owned_handle handle(engine, roma_file_range_of(map, 0, 4 * MiB), ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == 0);
        CHECK(file.allocated() >= 4 * MiB);
        CHECK(file.allocated() < 8 * MiB);
    }
    CHECK(roma_map_close(map) == 0);
}

TEMPLATE_TEST_CASE("a hugetlb file has nothing to read, and is mapped from the pool",
                   "[prefetch][pool]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    huge_pages pages(4);
    SKIP_WITHOUT_PAGES(pages);
    memory_file file(4 * pages.page_bytes, MFD_HUGETLB);
    REQUIRE(file.fd >= 0);
    roma_map *map = nullptr;
    REQUIRE(roma_map_open_fd(file.fd, nullptr, &map, nullptr) == 0);
    const uint64_t free_before = pages.figure("free_hugepages");
    {
        owned_handle handle(engine, roma_file_range_of(map, 1, pages.page_bytes));
        CHECK(handle.wait() == 0);
        CHECK(handle.progress().total_bytes == 2 * pages.page_bytes); /* whole huge pages */
        CHECK(handle.progress().resident_bytes == 2 * pages.page_bytes);
        CHECK(handle.progress().calls == 0);
        CHECK(pages.figure("free_hugepages") == free_before);
    }
    {
        owned_handle handle(engine, roma_file_range_of(map, 0, 2 * pages.page_bytes),
                            ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == 0);
        CHECK(pages.figure("free_hugepages") == free_before - 2);
    }
    const roma_file_range all = roma_file_range_of(map, 0, 4 * pages.page_bytes);
    for (roma_evict_how how : {ROMA_EVICT_COLD, ROMA_EVICT_PAGEOUT, ROMA_EVICT_DROP})
        CHECK(roma_evict(&all, 1, how, nullptr) == -EOPNOTSUPP);
    CHECK(roma_map_close(map) == 0);
}

TEMPLATE_TEST_CASE("an empty page pool is an error, not a signal", "[prefetch][pool]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    huge_pages pages(1);
    SKIP_WITHOUT_PAGES(pages);
    const size_t count = pages.figure("free_hugepages") + 4;
    memory_file file(count * pages.page_bytes, MFD_HUGETLB);
    REQUIRE(file.fd >= 0);
    roma_map *map = nullptr;
    REQUIRE(roma_map_open_fd(file.fd, nullptr, &map, nullptr) == 0);
    {
        owned_handle handle(engine, roma_file_range_of(map, 0, count * pages.page_bytes),
                            ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == -ENOMEM);
        roma_error error = {};
        CHECK(roma_prefetch_range_error(handle.self, 0, &error) == -ENOMEM);
        CHECK(error.why == ROMA_WHY_POOL_EMPTY);
        CHECK(adds_up(handle.progress()));
    }
    CHECK(roma_map_close(map) == 0);
}

TEST_CASE("dropping empties the page cache, of what is mapped by roma too", "[prefetch]")
{
    FILE_ON_DISK(file, 8 * MiB);
    owned_map map(file);
    REQUIRE(disk_file::holds(map.address(), 0, file.bytes)); /* mapped, and thus in use */
    posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
    CHECK(file.resident(0, file.bytes) > 0);
    const roma_file_range uneven = map.range(1, 4 * MiB);
    REQUIRE(roma_evict(&uneven, 1, ROMA_EVICT_DROP, nullptr) == 0);
    CHECK(file.resident(page_bytes(), 4 * MiB - 2 * page_bytes()) < 4 * MiB);
    CHECK(file.came(0, page_bytes()) == page_bytes()); /* a neighbour's half page stays */
    const roma_file_range all = map.all();
    REQUIRE(roma_evict(&all, 1, ROMA_EVICT_DROP, nullptr) == 0);
    CHECK(file.resident(0, file.bytes) == 0);
    CHECK(disk_file::holds(map.address(), 0, file.bytes));
}

TEST_CASE("pages are paged out now, or become cold", "[prefetch]")
{
    FILE_ON_DISK(file, 8 * MiB);
    owned_map map(file);
    REQUIRE(disk_file::holds(map.address(), 0, file.bytes));
    const roma_file_range all = map.all();
    CHECK(roma_evict(&all, 1, ROMA_EVICT_COLD, nullptr) == 0);
    CHECK(file.came(0, file.bytes) == file.bytes);
    CHECK(roma_evict(&all, 1, ROMA_EVICT_PAGEOUT, nullptr) == 0);
    CHECK(file.resident(0, file.bytes) < file.bytes / 2);
    CHECK(disk_file::holds(map.address(), 0, file.bytes));
}

TEST_CASE("what cannot be evicted is said", "[prefetch]")
{
    disk_file file(MiB);
    memory_file memory(MiB);
    REQUIRE(memory.fd >= 0);
    roma_error error = {};
    const roma_file_range unmapped = file.range(0, MiB);
    CHECK(roma_evict(&unmapped, 1, ROMA_EVICT_COLD, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "address");
    const roma_file_range in_memory = roma_file_range_own(memory.fd, 0, nullptr, MiB);
    CHECK(roma_evict(&in_memory, 1, ROMA_EVICT_DROP, &error) == -EOPNOTSUPP);
    CHECK(roma_evict(nullptr, 1, ROMA_EVICT_DROP, nullptr) == -EINVAL);
    CHECK(roma_evict(&unmapped, 1, static_cast<roma_evict_how>(3), nullptr) == -EINVAL);
    const roma_file_range gone = roma_file_range_own(-1, 0, nullptr, 1);
    CHECK(roma_evict(&gone, 1, ROMA_EVICT_DROP, nullptr) == -EBADF);
    const roma_file_range nothing[] = {file.range(0, 0), file.range(5 * MiB, MiB)};
    CHECK(roma_evict(nothing, 2, ROMA_EVICT_DROP, nullptr) == 0);
}

TEST_CASE("what is locked in memory is not evicted, which is said", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    const disk_file file(16 * page_bytes());
    const owned_map map(file);
    /* Not mlock(): sanitizers have one that does nothing. */
    if (syscall(SYS_mlock, map.address(), page_bytes()) != 0)
        SKIP_TEST("this process may not lock a page in memory");
    const roma_file_range ranges[] = {map.range(8 * page_bytes(), page_bytes()), map.all()};
    for (roma_evict_how how : {ROMA_EVICT_COLD, ROMA_EVICT_PAGEOUT, ROMA_EVICT_DROP}) {
        CAPTURE(how);
        roma_error error = {};
        CHECK(roma_evict(ranges, 2, how, &error) == -EOPNOTSUPP);
        CHECK(error.need == 1); /* the index */
        CHECK(std::string(error.subject).substr(0, 5) == "MADV_");
        CHECK(roma_evict(ranges, 1, how, nullptr) == 0);
    }
    REQUIRE(syscall(SYS_munlock, map.address(), page_bytes()) == 0);
    CHECK(roma_evict(ranges, 2, ROMA_EVICT_DROP, nullptr) == 0);
}

TEMPLATE_TEST_CASE("a flush leaves nothing dirty", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 40 * MiB);
    roma_map_options options = roma_map_options_default();
    options.writable = true;
    owned_map map(file, options);
    std::memset(map.address(), 7, file.bytes);
    const roma_residency before = residency_of(map.all());
    if (before.details)
        CHECK(before.dirty_bytes > 0);
    const roma_file_range ranges[] = {map.range(0, 10 * MiB), map.range(20 * MiB, 20 * MiB)};
    owned_flush flush(engine, ranges, 2);
    CHECK(flush.wait() == 0);
    const roma_prefetch_progress progress = flush.progress();
    CHECK(progress.done_bytes == 30 * MiB);
    CHECK(adds_up(progress));
    CHECK(progress.calls >= 4); /* three pieces at least, and one sync */
    const roma_residency after = residency_of(map.all());
    CHECK(after.dirty_bytes == 0);
    CHECK(after.writeback_bytes == 0);
}

TEMPLATE_TEST_CASE("a flush can be cancelled, and says that nothing is sure", "[prefetch]",
                   EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(40 * MiB);
    const roma_file_range range = file.range(0, file.bytes);
    file.write_pattern(0, file.bytes);
    owned_flush flush(engine, range);
    CHECK(roma_prefetch_cancel(flush.self) == 0);
    const int code = flush.wait();
    CHECK((code == 0 || code == -ECANCELED));
    CHECK(roma_prefetch_range_error(flush.self, 0, nullptr) == code);
}
