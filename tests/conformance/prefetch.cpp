/* prefetch.cpp - what every way of an engine must hold to: reading ranges into memory. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include <roma/prefetch.h>

#include <cerrno>
#include <random>
#include <sys/resource.h>

using namespace roma_tests;

namespace {

long minor_faults()
{
    struct rusage usage = {};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_minflt;
}

/* How many faults a read of every page takes. A sanitizer's own would count, too. */
__attribute__((no_sanitize("address"), no_sanitize("thread"))) long faults_of(const void *address,
                                                                              size_t bytes)
{
    const auto *at = static_cast<const volatile unsigned char *>(address);
    const size_t page = page_bytes();
    const long before = minor_faults();
    for (size_t i = 0; i < bytes; i += page)
        (void)at[i];
    return minor_faults() - before;
}

size_t whole_pages(size_t bytes)
{
    return (bytes + page_bytes() - 1) / page_bytes() * page_bytes();
}

constexpr size_t range_bytes = 16384;

/* Ranges of that length at random places of a file. */
std::vector<roma_file_range> scattered(const disk_file &file, size_t count)
{
    std::mt19937 random(7);
    std::vector<roma_file_range> ranges;
    for (size_t i = 0; i < count; i++)
        ranges.push_back(
            file.range(random() % (file.bytes / range_bytes) * range_bytes, range_bytes));
    return ranges;
}

uint64_t bytes_that_came(const disk_file &file, const std::vector<roma_file_range> &ranges)
{
    uint64_t there = 0;
    for (const roma_file_range &range : ranges)
        there += file.came(range.offset, range.bytes);
    return there;
}

} // namespace

#define EVERY_WAY by_ring, by_threads, by_plain_calls

TEMPLATE_TEST_CASE("a cold file is resident when its handle is done", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 24 * MiB + 5000);
    for (roma_prefetch_level level : {ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED}) {
        owned_map map(file);
        REQUIRE(file.chill());
        owned_handle handle(engine, map.all(), level);
        CHECK(handle.wait() == 0);
        CHECK(roma_prefetch_poll(handle.self) == 1);
        CHECK(file.came(0, file.bytes) >= file.bytes);
        const roma_prefetch_progress progress = handle.progress();
        CHECK(adds_up(progress));
        CHECK(progress.total_bytes == whole_pages(file.bytes));
        CHECK(progress.done_bytes == progress.total_bytes);
        CHECK(progress.resident_bytes < progress.total_bytes);
        CHECK(progress.code == 0);
        CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
        CHECK(disk_file::holds(map.address(), 0, file.bytes));
    }
}

TEMPLATE_TEST_CASE("what is resident is skipped without a call", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 16 * MiB);
    const kept_warm kept(file);
    owned_handle handle(engine, file.range(0, file.bytes));
    CHECK(handle.wait() == 0);
    const roma_prefetch_progress progress = handle.progress();
    CHECK(progress.resident_bytes == file.bytes);
    CHECK(progress.calls == 0);
    CHECK(engine.figure("resident.bytes") == file.bytes);
    CHECK(engine.figure("read.bytes") == 0);
}

TEMPLATE_TEST_CASE("short runs that are resident are skipped without a call", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    FILE_ON_DISK(file, 16 * MiB);
    const bool has_cachestat = GENERATE(true, false);
    faulty table;
    if (!has_cachestat)
        table.calls.cachestat = [](int, const void *, void *, unsigned) {
            errno = ENOSYS;
            return -1;
        };
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    std::vector<roma_file_range> ranges;
    for (size_t at = 0; at < file.bytes; at += 4 * range_bytes)
        ranges.push_back(file.range(at, range_bytes));
    const kept_warm kept(file);
    owned_handle handle(engine, ranges.data(), ranges.size());
    CHECK(handle.wait() == 0);
    CHECK(handle.progress().resident_bytes == ranges.size() * range_bytes);
    CHECK(handle.progress().calls == 0);
    CHECK(engine.figure("read.bytes") == 0);
}

TEMPLATE_TEST_CASE("a mapped range takes no fault more", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 16 * MiB);
    roma_map_options options = roma_map_options_default();
    options.access = ROMA_MAP_RANDOM; /* no fault maps more than its page */
    owned_map map(file, options);
    REQUIRE(file.chill());
    owned_handle handle(engine, map.all(), ROMA_PREFETCH_MAPPED);
    REQUIRE(handle.wait() == 0);
    CHECK(faults_of(map.address(), file.bytes) < 16);
    CHECK(disk_file::holds(map.address(), 0, file.bytes));
}

TEMPLATE_TEST_CASE("scattered pages are all there, at every level", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 64 * MiB);
    const std::vector<roma_file_range> ranges = scattered(file, 500);
    for (roma_prefetch_level level : {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT}) {
        REQUIRE(file.chill());
        owned_handle handle(engine, ranges.data(), ranges.size(), level);
        CHECK(handle.wait() == 0);
        CHECK(adds_up(handle.progress()));
        /* What is only asked for comes soon: mincore() does not count a page on its way. */
        int tries = level == ROMA_PREFETCH_ISSUED ? 1000 : 0;
        for (; tries > 0 && bytes_that_came(file, ranges) < ranges.size() * range_bytes; tries--)
            usleep(10000);
        INFO("level " << level);
        CHECK(bytes_that_came(file, ranges) == ranges.size() * range_bytes);
        CHECK(file.resident(0, file.bytes) < file.bytes); /* and not all of the file */
    }
}

TEMPLATE_TEST_CASE("ranges of any order, overlap and evenness are read once", "[prefetch]",
                   EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    COLD_FILE(file, 20 * MiB);
    const size_t page = page_bytes();
    const roma_file_range ranges[] = {
        file.range(9 * MiB + 1, 4 * MiB), file.range(17, 1),       file.range(8 * MiB, 2 * MiB),
        file.range(5 * MiB, 0),           file.range(16, page),    file.range(19 * MiB - 1, 2),
        file.range(8 * MiB, 2 * MiB),     file.range(3 * MiB, 100)};
    owned_handle handle(engine, ranges, 8);
    CHECK(handle.wait() == 0);
    const roma_prefetch_progress progress = handle.progress();
    /* [8 MiB, 13 MiB + 1), two pages at 0, two at 19 MiB - 1, one at 3 MiB */
    CHECK(progress.total_bytes == 5 * MiB + page + 2 * page + 2 * page + page);
    CHECK(adds_up(progress));
    for (const roma_file_range &range : ranges)
        if (range.bytes > 0)
            CHECK(file.came(range.offset, range.bytes) >= range.bytes);
}

TEMPLATE_TEST_CASE("a program's own mapping is mapped, and its advice stays its own", "[prefetch]",
                   EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 8 * MiB);
    void *own = mmap(nullptr, 4 * MiB, PROT_READ, MAP_SHARED, file.fd, 2 * MiB);
    REQUIRE(own != MAP_FAILED);
    REQUIRE(madvise(own, 4 * MiB, MADV_RANDOM) == 0);
    REQUIRE(file.chill());
    {
        owned_handle handle(engine, roma_file_range_own(file.fd, 2 * MiB, own, 4 * MiB),
                            ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == 0);
        CHECK(faults_of(own, 4 * MiB) < 16);
        CHECK(disk_file::holds(own, 2 * MiB, 4 * MiB));
    }
    munmap(own, 4 * MiB);
}

TEMPLATE_TEST_CASE("a range past the file's end is an error of its own", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(3 * MiB + 10);
    const roma_file_range ranges[] = {file.range(0, MiB), file.range(4 * MiB, MiB),
                                      file.range(3 * MiB, 5 * MiB)};
    owned_handle handle(engine, ranges, 3);
    CHECK(handle.wait() == -EFAULT);
    roma_error error = {};
    CHECK(roma_prefetch_range_error(handle.self, 0, &error) == 0);
    CHECK(error.code == 0);
    CHECK(roma_prefetch_range_error(handle.self, 2, nullptr) == 0); /* cut at the end */
    CHECK(roma_prefetch_range_error(handle.self, 1, &error) == -EFAULT);
    CHECK(error.why == ROMA_WHY_FILE_ENDS);
    CHECK(error.have == file.bytes);
    CHECK(error.need == 5 * MiB);
    CHECK(roma_prefetch_range_error(handle.self, 3, nullptr) == -EINVAL);
    const roma_prefetch_progress progress = handle.progress();
    CHECK(progress.failed_ranges == 1);
    CHECK(progress.total_bytes == MiB + page_bytes());
    CHECK(adds_up(progress));
}

TEMPLATE_TEST_CASE("a file that has become shorter than its map is an error, not a signal",
                   "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(8 * MiB);
    owned_map map(file);
    REQUIRE(ftruncate(file.fd, 1 * MiB) == 0);
    const roma_file_range ranges[] = {map.range(0, MiB), map.range(4 * MiB, 4 * MiB)};
    for (roma_prefetch_level level : {ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED}) {
        owned_handle handle(engine, ranges, 2, level);
        CHECK(handle.wait() == -EFAULT);
        CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
        CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == -EFAULT);
    }
    CHECK(roma_map_refresh(map.self) == static_cast<int64_t>(MiB));
    CHECK(map.segment().bytes == MiB);
}

TEMPLATE_TEST_CASE("a map follows a file that grows", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(1 * MiB);
    roma_map_options options = roma_map_options_default();
    options.reserve_bytes = 64 * MiB;
    owned_map map(file, options);
    const void *address = map.address();
    CHECK(map.segment().bytes == MiB);
    REQUIRE(ftruncate(file.fd, 8 * MiB) == 0);
    file.write_pattern(MiB, 7 * MiB);
    CHECK(roma_map_refresh(map.self) == static_cast<int64_t>(8 * MiB));
    owned_handle handle(engine, map.all(), ROMA_PREFETCH_MAPPED);
    CHECK(handle.wait() == 0);
    CHECK(map.address() == address);
    CHECK(disk_file::holds(address, 0, 8 * MiB));
}

TEMPLATE_TEST_CASE("an empty file and no range at all are done at once", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(0);
    owned_handle none(engine, nullptr, 0);
    CHECK(none.wait() == 0);
    CHECK(none.progress().total_bytes == 0);
    owned_handle nothing(engine, file.range(0, 0));
    CHECK(nothing.wait() == 0);
    owned_handle past(engine, file.range(0, 1));
    CHECK(past.wait() == -EFAULT);
}

TEMPLATE_TEST_CASE("what is wrong with a request is said at once", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(MiB);
    owned_map map(file);
    roma_prefetch_handle *handle = nullptr;
    roma_error error = {};
    const auto submit = [&](const roma_file_range &range, roma_prefetch_level level) {
        const roma_file_range two[] = {file.range(0, 1), range};
        error = {};
        return roma_prefetch_submit(engine.self, two, 2, level, &handle, &error);
    };
    CHECK(submit(map.range(0, MiB + page_bytes()), ROMA_PREFETCH_ISSUED) == -EINVAL);
    CHECK(std::string(error.subject) == "bytes");
    CHECK(error.need == 1); /* the index */
    CHECK(submit(map.range(2 * MiB, 0), ROMA_PREFETCH_ISSUED) == -EINVAL);
    CHECK(submit(file.range(0, 1), ROMA_PREFETCH_MAPPED) == -EINVAL);
    CHECK(std::string(error.subject) == "address");
    char *odd = static_cast<char *>(map.segment().address) + 1;
    CHECK(submit(roma_file_range_own(file.fd, 0, odd, 1), ROMA_PREFETCH_MAPPED) == -EINVAL);
    CHECK(submit(file.range(UINT64_MAX - 5, 10), ROMA_PREFETCH_ISSUED) == -EOVERFLOW);
    CHECK(submit(file.range(0, SIZE_MAX), ROMA_PREFETCH_ISSUED) == -EOVERFLOW);
    CHECK(submit(roma_file_range_own(-1, 0, nullptr, 1), ROMA_PREFETCH_ISSUED) == -EBADF);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK(submit(roma_file_range_own(ends[0], 0, nullptr, 1), ROMA_PREFETCH_ISSUED) == -EOPNOTSUPP);
    close(ends[0]);
    close(ends[1]);
    CHECK(submit(file.range(0, 1), static_cast<roma_prefetch_level>(3)) == -EINVAL);
    CHECK(roma_prefetch_submit(engine.self, nullptr, 1, ROMA_PREFETCH_ISSUED, &handle, nullptr) ==
          -EINVAL);
    CHECK(handle == nullptr);
    CHECK(engine.figure("submits.count") == 0);
}

TEMPLATE_TEST_CASE("a descriptor that is not for reading is a named error", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    COLD_FILE(file, 8 * MiB);
    const int fd = open(file.path.c_str(), O_WRONLY);
    REQUIRE(fd >= 0);
    {
        owned_handle handle(engine, roma_file_range_own(fd, 0, nullptr, 8 * MiB));
        CHECK(handle.wait() == -EACCES);
        roma_error error = {};
        CHECK(roma_prefetch_range_error(handle.self, 0, &error) == -EACCES);
        char text[256];
        CHECK(std::strlen(roma_error_text(&error, text, sizeof text)) > 10);
        CHECK(adds_up(handle.progress()));
    }
    close(fd);
}

TEMPLATE_TEST_CASE("two descriptors of one file are one file", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 8 * MiB);
    owned_map map(file);
    REQUIRE(file.chill());
    const roma_file_range ranges[] = {map.range(0, 8 * MiB), file.range(0, 8 * MiB)};
    owned_handle handle(engine, ranges, 2);
    CHECK(handle.wait() == 0);
    CHECK(handle.progress().total_bytes == 8 * MiB);
}

namespace {

/* All of a cold file is read, and never more at once than that. */
void check_budget(const owned_engine &engine, const disk_file &file, size_t budget_bytes)
{
    owned_handle handle(engine, file.range(0, file.bytes));
    CHECK(handle.wait() == 0);
    CHECK(engine.figure("flying.peak_bytes") <= budget_bytes);
    CHECK(file.came(0, file.bytes) == file.bytes);
}

} // namespace

TEMPLATE_TEST_CASE("the byte budget bounds what is being read", "[prefetch]", EVERY_WAY)
{
    roma_prefetch_options options = owned_engine::with_way(TestType::way);
    options.budget_bytes = 3 * MiB;
    options.chunk_bytes = 2 * MiB;
    options.dense_depth = 8;
    owned_engine engine(options);
    SKIP_WITHOUT(engine);
    COLD_FILE(file, 32 * MiB);
    check_budget(engine, file, options.budget_bytes);
}

TEMPLATE_TEST_CASE("no chunk is longer than the budget", "[prefetch]", EVERY_WAY)
{
    roma_prefetch_options options = owned_engine::with_way(TestType::way);
    options.budget_bytes = 5 * MiB;
    owned_engine engine(options);
    SKIP_WITHOUT(engine);
    COLD_FILE(file, 64 * MiB);
    check_budget(engine, file, options.budget_bytes);
}

TEMPLATE_TEST_CASE("an engine tells which way it goes", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    roma_prefetch_report report = {};
    CHECK(roma_prefetch_backend(engine.self, &report) == -EINVAL); /* no size */
    report.size = sizeof report;
    REQUIRE(roma_prefetch_backend(engine.self, &report) == 0);
    CHECK(report.way == TestType::way);
    CHECK(report.forced);
    CHECK((report.entries > 0) == (TestType::way == ROMA_PREFETCH_URING));
    CHECK((report.threads > 0) == (TestType::way != ROMA_PREFETCH_PLAIN));
    CHECK(std::strlen(roma_prefetch_way_text(report.way)) > 0);
}
