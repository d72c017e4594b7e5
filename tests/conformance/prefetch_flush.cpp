/* prefetch_flush.cpp - what every way of an engine must hold to: flushes of files that are memory,
 * and by descriptors that cannot write. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "huge_pages.hpp"
#include "memory_file.hpp"
#include "private_mounts.hpp"
#include "skip.hpp"
#include "tree.hpp"

#include <roma/prefetch.h>

#include <cerrno>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

roma_prefetch_progress flushed(const owned_engine &engine,
                               const std::vector<roma_file_range> &ranges)
{
    owned_handle handle;
    REQUIRE(roma_flush_submit(engine.self, ranges.data(), ranges.size(), &handle.self, nullptr) ==
            0);
    CHECK(handle.wait() == 0);
    CHECK(adds_up(handle.progress()));
    return handle.progress();
}

roma_residency residency_of(const disk_file &file)
{
    const roma_file_range all = file.range(0, file.bytes);
    roma_residency found = {};
    found.size = sizeof found;
    REQUIRE(roma_residency_of(&all, 1, &found, nullptr) == 0);
    return found;
}

/* What was written through one descriptor is flushed through another one, and is clean then, where
 * the kernel tells of that. */
void flush_by(const owned_engine &engine, disk_file &file, int fd)
{
    file.write_pattern(0, file.bytes);
    const roma_residency before = residency_of(file);
    if (before.details)
        CHECK(before.dirty_bytes + before.writeback_bytes > 0);
    const auto seen = flushed(engine, {roma_file_range_own(fd, 0, nullptr, file.bytes)});
    CHECK(seen.done_bytes == file.bytes);
    CHECK(seen.resident_bytes == 0);
    const roma_residency after = residency_of(file);
    CHECK(after.dirty_bytes + after.writeback_bytes == 0);
}

} // namespace

TEMPLATE_TEST_CASE("a flush of a tmpfs file is done, and does not say durable", "[prefetch]",
                   EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    memory_file file(8 * MiB);
    REQUIRE(pwrite(file.fd, "x", 1, 0) == 1);
    const auto seen = flushed(engine, {roma_file_range_own(file.fd, 0, nullptr, 8 * MiB)});
    CHECK(seen.done_bytes == 8 * MiB);
    CHECK(seen.resident_bytes == 8 * MiB); /* durable is what is done and not resident */
}

TEMPLATE_TEST_CASE("a flush of a hugetlb file is done, and does not say durable",
                   "[prefetch][pool]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    huge_pages pages(1);
    if (!pages.are_there)
        SKIP_TEST_HUGE("no free hugetlb page, and none can be reserved");
    const size_t bytes = pages.page_bytes;
    memory_file file(bytes, MFD_HUGETLB);
    REQUIRE(file.fd >= 0);
    void *own = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd, 0);
    REQUIRE(own != MAP_FAILED);
    *static_cast<volatile char *>(own) = 1;
    const auto seen = flushed(engine, {roma_file_range_own(file.fd, 0, own, bytes)});
    CHECK(seen.done_bytes == bytes);
    CHECK(seen.resident_bytes == bytes);
    munmap(own, bytes);
}

TEMPLATE_TEST_CASE("of a flush of several files those on a disk are durable", "[prefetch]",
                   EVERY_WAY)
{
    FILE_ON_DISK(file, 3 * MiB);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    memory_file memory(2 * MiB);
    const auto seen = flushed(
        engine, {file.range(0, 3 * MiB), roma_file_range_own(memory.fd, 0, nullptr, 2 * MiB)});
    CHECK(seen.done_bytes == 5 * MiB);
    CHECK(seen.resident_bytes == 2 * MiB);
}

TEMPLATE_TEST_CASE("a flush works on a descriptor that cannot write", "[prefetch]", EVERY_WAY)
{
    FILE_ON_DISK(file, 4 * MiB);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const int fd = open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    flush_by(engine, file, fd);
    close(fd);
}

TEMPLATE_TEST_CASE("a flush works through a mount that cannot be written to", "[prefetch]",
                   EVERY_WAY)
{
    FILE_ON_DISK(file, 4 * MiB);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const tree folder;
    const int fd = open_read_only(file.path, folder.root());
    if (fd < 0)
        SKIP_TEST("nothing can be mounted here");
    flush_by(engine, file, fd);
    close(fd);
}
