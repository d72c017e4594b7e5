/* prefetch_ring_results.cpp - every result that the kernel may give a call of a ring: an error that
 * has a name and belongs to its ranges alone, another try, or nobody's loss. */
#include "faulty.hpp"
#include "soft_ring.hpp"

#include <atomic>
#include <cerrno>
#include <ctime>
#include <string>
#include <sys/mman.h>
#include <vector>

using namespace roma_tests;
using namespace soft_rings;

TEST_CASE("every result that a call may have is a named error or another try", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    const struct {
        int result, code;
        roma_why why;
    } rows[] = {
        {-EFAULT, -EIO, ROMA_WHY_FILE_IO}, /* the file is as long as before: the device failed */
        {-EIO, -EIO, ROMA_WHY_FILE_IO},          {-ENOMEM, -ENOMEM, ROMA_WHY_CALL},
        {-EBADF, -EBADF, ROMA_WHY_CALL},         {-EINVAL, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED},
        {-EHWPOISON, -EHWPOISON, ROMA_WHY_CALL}, {-EPERM, -EPERM, ROMA_WHY_CALL_REFUSED},
        {-EAGAIN, -EAGAIN, ROMA_WHY_CALL}, /* for ever */
        {-EINTR, -EINTR, ROMA_WHY_CALL},
    };
    for (const auto &row : rows) {
        INFO("result " << row.result);
        script.calls = 0;
        script.result = [&](const roma__call &call, unsigned) {
            return call.kind == ROMA__CALL_POPULATE ? row.result : NOT_MADE;
        };
        const outcome seen = read_with(file);
        CHECK(seen.code == row.code);
        CHECK(seen.error.why == row.why);
        CHECK(seen.progress.failed_bytes == seen.progress.total_bytes);
        CHECK(seen.progress.cancelled_bytes == 0);
        CHECK(seen.progress.failed_ranges == 3);
    }
}

TEST_CASE("a short run is waited for where it has not come, and only there", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    unsigned waits = 0;
    const auto count_waits = [&](const roma__call &call) {
        waits += call.kind == ROMA__CALL_POPULATE;
        return 0;
    };
    const auto come_at_once = [&](const roma__call &call, unsigned) {
        char byte;
        if (call.kind == ROMA__CALL_FADVISE)
            return pread(file.fd, &byte, 1, off_t(call.offset)) == 1 ? NOT_MADE : -EIO;
        return count_waits(call);
    };
    const auto read_both = [&] {
        return read_ranges(file, {file.range(0, 4096), file.range(12 * MiB, 4096)}).code;
    };
    SECTION("what was advised has not come")
    {
        script.result = [&](const roma__call &call, unsigned) {
            return is_populate(call) ? count_waits(call) : NOT_MADE;
        };
        CHECK(read_both() == 0);
        CHECK(waits == 2);
    }
    SECTION("it has come")
    {
        script.result = come_at_once;
        CHECK(read_both() == 0);
        CHECK(waits == 0);
    }
    SECTION("it has come, and nobody tells")
    {
        /* From the first call on: before, the test itself asks whether the file is cold, which is
         * by mincore() where there is no cachestat(). */
        static std::atomic<bool> is_refused;
        is_refused = false;
        faulty refusing;
        refusing.calls.mincore = [](void *address, size_t bytes, unsigned char *present) {
            if (!is_refused)
                return roma__sys_kernel.mincore(address, bytes, present);
            errno = EPERM;
            return -1;
        };
        script.result = [&](const roma__call &call, unsigned nth) {
            is_refused = true;
            return come_at_once(call, nth);
        };
        CHECK(read_both() == 0);
        CHECK(waits == 2);
    }
    CHECK(file.came(0, 4096) == 4096);
    CHECK(file.came(12 * MiB, 4096) == 4096);
}

TEST_CASE("calls that are told to come again come again", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    for (int result : {-EINTR, -EAGAIN}) {
        script.calls = 0;
        script.result = [&](const roma__call &, unsigned nth) { return nth % 3 == 1 ? result : 0; };
        const outcome seen = read_with(file);
        CHECK(seen.code == 0);
        CHECK(seen.progress.done_bytes == seen.progress.total_bytes);
        CHECK(file.came(0, 8 * MiB) == 8 * MiB);
    }
}

TEST_CASE("calls that the kernel gives up, with no worker for them, are made all the same",
          "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    ring_engine engine;
    const auto level = GENERATE(ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED);
    owned_map map(file);
    /* The engine's own thread advises what is to be awaited, and no worker. */
    script.result = [&](const roma__call &call, unsigned) {
        return call.kind == ROMA__CALL_FADVISE && level == ROMA_PREFETCH_RESIDENT ? 0 : -ECANCELED;
    };
    const roma_file_range ranges[] = {map.range(0, 8 * MiB), map.range(9 * MiB, 4096),
                                      map.range(12 * MiB, 512 << 10)};
    owned_handle handle(engine, ranges, 3, level);
    CHECK(handle.wait() == 0);
    CHECK(handle.progress().done_bytes == handle.progress().total_bytes);
    CHECK(file.came(0, 8 * MiB) == 8 * MiB);
    REQUIRE(pwrite(file.fd, "x", 1, 0) == 1);
    owned_flush flush(engine, map.all());
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
}

TEST_CASE("what is made in place of the kernel has errors of its own, and nothing behind them",
          "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    const owned_map map(file);
    const int path_fd = open(file.path.c_str(), O_PATH);
    REQUIRE(path_fd >= 0);
    const roma_file_range range = roma_file_range_own(path_fd, 0, map.address(), page_bytes());
    const auto level = GENERATE(ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_MAPPED);
    const bool is_broken = GENERATE(false, true);
    with_soft_rings rings;
    script.result = [&](const roma__call &, unsigned) { return is_broken ? 0 : -ECANCELED; };
    std::atomic<bool> breaks{false};
    script.enter = [&](unsigned) { return breaks ? -EPERM : 0; };
    {
        owned_engine engine(ROMA_PREFETCH_URING);
        REQUIRE(engine.lacks.empty());
        await_sleep(); /* it breaks when calls are queued */
        breaks = is_broken;
        owned_handle handle(engine, range, level);
        CHECK(handle.wait() == -EBADF);
        CHECK(handle.progress().failed_bytes == page_bytes());
        CHECK(handle.progress().cancelled_bytes == 0);
    }
    CHECK(file.resident(0, page_bytes()) == 0); /* nor was the program's mapping populated */
    close(path_fd);
}

TEST_CASE("what the kernel has no memory for is asked for again a little later", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    struct timespec start = {};
    clock_gettime(CLOCK_MONOTONIC, &start);
    script.result = [&](const roma__call &call, unsigned) {
        struct timespec now = {};
        clock_gettime(CLOCK_MONOTONIC, &now);
        const long ms = (now.tv_sec - start.tv_sec) * 1000 +
                        (now.tv_nsec - start.tv_nsec) / 1000000;
        return is_populate(call) && ms < 40 ? -EAGAIN : 0;
    };
    CHECK(read_with(file).code == 0);
}

TEST_CASE("an error of one range is not one of others", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    ring_engine engine;
    script.result = [](const roma__call &call, unsigned) {
        return call.kind == ROMA__CALL_FADVISE && call.offset == 4 * MiB ? -EIO : 0;
    };
    const roma_file_range ranges[] = {file.range(0, 4096), file.range(4 * MiB, 4096),
                                      file.range(12 * MiB, 4096)};
    owned_handle handle(engine, ranges, 3);
    CHECK(handle.wait() == -EIO);
    CHECK(handle.progress().failed_bytes == 4096);
    CHECK(handle.progress().failed_ranges == 1);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == -EIO);
    CHECK(file.came(12 * MiB, 4096) == 4096);
}

TEST_CASE("a page that cannot be read is the error of the ranges that have it", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 32 * MiB);
    ring_engine engine;
    const size_t bad = 9 * MiB + 5 * page_bytes();
    for (size_t step : {page_bytes(), 2 * MiB}) {
        REQUIRE(file.chill());
        std::vector<roma_file_range> ranges; /* which touch: one run, short or long */
        const size_t start = step == page_bytes() ? 9 * MiB : 0,
                     end = start + (start ? MiB : 32 * MiB);
        for (size_t at = start; at < end; at += step)
            ranges.push_back(file.range(at, step));
        script.result = [&](const roma__call &call, unsigned) {
            const bool has_it = call.offset <= bad && bad < call.offset + call.bytes;
            if (!is_populate(call))
                return NOT_MADE;
            return has_it ? -EFAULT : 0;
        };
        owned_handle handle(engine, ranges.data(), ranges.size());
        CHECK(handle.wait() == -EIO);
        CHECK(handle.progress().failed_ranges == 1);
        CHECK(adds_up(handle.progress()));
        CHECK(roma_prefetch_range_error(handle.self, (bad - start) / step, nullptr) == -EIO);
    }
}

TEST_CASE("a file that is cut while it is read: what is left of it is read", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    bool cut = false;
    script.result = [&](const roma__call &call, unsigned) {
        if (!cut && call.kind == ROMA__CALL_POPULATE)
            cut = ftruncate(file.fd, MiB) == 0;
        return 0;
    };
    const outcome seen = read_with(file);
    CHECK(cut);
    CHECK(seen.code == -EFAULT);
    CHECK(seen.error.why == ROMA_WHY_FILE_ENDS);
    CHECK(seen.progress.done_bytes == MiB);
    CHECK(seen.progress.failed_ranges == 3);
    CHECK(file.came(0, MiB) == MiB);
}

TEST_CASE("a flush tells what its sync met", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    disk_file file(40 * MiB);
    ring_engine engine;
    for (int code : {-EIO, -ENOSPC}) {
        script.result = [&](const roma__call &call, unsigned) {
            return call.kind == ROMA__CALL_SYNC ? code : 0;
        };
        owned_flush flush(engine, file.range(0, file.bytes));
        CHECK(flush.wait() == code);
        CHECK(flush.progress().failed_bytes == file.bytes);
        CHECK(adds_up(flush.progress()));
    }
    /* One that is to come again does: an answer without a sync would be a lie. */
    for (int code : {-EINTR, -EAGAIN}) {
        for (bool for_ever : {false, true}) {
            unsigned syncs = 0;
            script.result = [&](const roma__call &call, unsigned) {
                return call.kind == ROMA__CALL_SYNC && (syncs++ == 0 || for_ever) ? code : 0;
            };
            owned_flush flush(engine, file.range(0, file.bytes));
            CHECK(flush.wait() == (for_ever ? code : 0));
            CHECK((for_ever ? syncs > 2 : syncs == 2));
        }
    }
    /* That writing back could not be begun early is nobody's loss. */
    script.result = [](const roma__call &call, unsigned) {
        return call.kind == ROMA__CALL_WRITE_RANGE ? -ESPIPE : 0;
    };
    owned_flush flush(engine, file.range(0, file.bytes - MiB));
    CHECK(flush.wait() == 0);
}

TEST_CASE("an error of a range names the call that met it", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    REQUIRE(file.chill());
    struct names {
        roma__call_kind fails;
        roma_prefetch_level level;
        size_t bytes;
        std::string call;
    };
    const auto rows = {
        names{ROMA__CALL_FADVISE, ROMA_PREFETCH_ISSUED, 4096, "posix_fadvise"},
        names{ROMA__CALL_FADVISE, ROMA_PREFETCH_RESIDENT, 4096, "posix_fadvise"},
        names{ROMA__CALL_POPULATE, ROMA_PREFETCH_RESIDENT, 8 * MiB, "madvise"},
    };
    static std::atomic<bool> is_unmappable;
    is_unmappable = false;
    faulty table;
    table.calls.mmap = [](void *address, size_t bytes, int protection, int flags, int fd,
                          off_t offset) {
        errno = EPERM;
        return is_unmappable && fd >= 0
                   ? MAP_FAILED
                   : roma__sys_kernel.mmap(address, bytes, protection, flags, fd, offset);
    };
    ring_engine engine;
    const auto call_of = [&](const roma_file_range &range, roma_prefetch_level level) {
        roma_error error = {};
        owned_handle handle(engine, range, level);
        CHECK(handle.wait() == -EPERM);
        CHECK(roma_prefetch_range_error(handle.self, 0, &error) == -EPERM);
        CHECK(error.cause == EPERM);
        return std::string(error.call != nullptr ? error.call : "");
    };
    for (const auto &row : rows) {
        script.result = [&](const roma__call &call, unsigned) {
            return call.kind == row.fails ? -EPERM : NOT_MADE;
        };
        CHECK(call_of(file.range(0, row.bytes), row.level) == row.call);
    }
    script.result = [](const roma__call &, unsigned) { return NOT_MADE; };
    is_unmappable = true;
    for (size_t bytes : {size_t{4096}, 8 * MiB})
        CHECK(call_of(file.range(0, bytes), ROMA_PREFETCH_RESIDENT) == "mmap");
}
