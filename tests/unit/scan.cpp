/* scan.cpp - a scan gives each piece of its range once, in order and in memory, keeps its window
 * ahead and nothing beyond it, drops what was read, and tells each piece's own error. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "faulty.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <vector>
#include <sys/wait.h>
#include <thread>

using namespace roma_tests;

namespace {

const size_t page = page_bytes();

struct scan {
    roma_scan *self = nullptr;
    scan(const owned_engine &on, const roma_file_range &range, const roma_scan_options &options)
    {
        REQUIRE(roma_scan_open(on.self, &range, &options, &self, nullptr) == 0);
    }
    scan(const scan &) = delete;
    scan &operator=(const scan &) = delete;
    ~scan() { roma_scan_close(self); }
    int next(roma_segment *piece) const { return roma_scan_next(self, piece); }
    roma_scan_progress progress() const
    {
        roma_scan_progress progress{};
        progress.size = sizeof progress;
        REQUIRE(roma_scan_progress_of(self, &progress) == 0);
        return progress;
    }
};

roma_scan_options steps_of(size_t step_bytes, size_t window_bytes = 0)
{
    roma_scan_options options = roma_scan_options_default();
    options.step_bytes = step_bytes;
    options.window_bytes = window_bytes;
    return options;
}

roma_scan_options list_of(const std::vector<uint64_t> &pages, size_t page_bytes)
{
    roma_scan_options options = steps_of(page_bytes);
    options.pages = pages.data();
    options.pages_count = pages.size();
    return options;
}

int open_code(const owned_engine &on, const roma_file_range &range,
              const roma_scan_options &options, roma_error *error = nullptr)
{
    roma_scan *self = nullptr;
    const int code = roma_scan_open(on.self, &range, &options, &self, error);
    CHECK((self != nullptr) == (code == 0));
    roma_scan_close(self);
    return code;
}

/* Read all of it; every piece lies where it should and has what the file has. Returns how many. */
size_t read_all(const scan &reader, const owned_map &map, const std::vector<uint64_t> &offsets,
                size_t step_bytes, uint64_t end)
{
    roma_segment piece;
    for (size_t i = 0; i < offsets.size(); i++) {
        REQUIRE(reader.next(&piece) == 1);
        REQUIRE(piece.address == map.address() + offsets[i]);
        REQUIRE(piece.bytes == std::min<uint64_t>(step_bytes, end - offsets[i]));
        REQUIRE(disk_file::holds(piece.address, offsets[i], piece.bytes));
    }
    CHECK(reader.next(&piece) == 0);
    CHECK(piece.address == nullptr);
    CHECK(reader.next(&piece) == 0); /* the end stays the end */
    return offsets.size();
}

std::vector<uint64_t> offsets_of(uint64_t from, uint64_t end, size_t step_bytes)
{
    std::vector<uint64_t> offsets;
    for (uint64_t at = from; at < end; at += step_bytes)
        offsets.push_back(at);
    return offsets;
}

/* How many pieces came, and how many were an error, which is that one. */
struct tally {
    size_t good = 0, failed = 0;
};

tally count_pieces(const scan &reader, int error)
{
    tally count;
    roma_segment piece;
    for (int code; (code = reader.next(&piece)) != 0;) {
        CHECK((code == 1 || code == error));
        (code == 1 ? count.good : count.failed)++;
    }
    return count;
}

/* Reads wait while `closed`, and fail with `number` from the `fail_from`-th on, `fails` times. */
struct gate {
    static inline std::atomic<bool> closed;
    static inline std::atomic<int> calls, fail_from, fails, number;
    roma_tests::faulty table;

    gate()
    {
        closed = false;
        calls = 0;
        fails = 0;
        table.calls.madvise = [](void *address, size_t bytes, int advice) {
            const int populate_read = 22;
            if (advice != populate_read)
                return roma__sys_kernel.madvise(address, bytes, advice);
            while (closed)
                usleep(1000);
            const int call = calls++;
            if (call >= fail_from && call < fail_from + fails) {
                errno = number;
                return -1;
            }
            return roma__sys_kernel.madvise(address, bytes, advice);
        };
    }

    /* Let them go in a while. */
    static std::thread open_soon()
    {
        return std::thread([] {
            usleep(50000);
            closed = false;
        });
    }
};

} // namespace

TEMPLATE_TEST_CASE("a scan gives every piece of its range once, in order, by each way", "[scan]",
                   by_ring, by_threads, by_plain_calls)
{
    const owned_engine on(TestType::way);
    SKIP_WITHOUT(on);
    const disk_file file(11 * MiB + 1234);
    const bool is_disk = file.chill();
    for (size_t step : {page, 16 * page, 2 * MiB, 64 * MiB})
        for (uint64_t from : {(uint64_t)0, (uint64_t)777, (uint64_t)(3 * MiB + page)}) {
            CHECK(file.chill() == is_disk);
            const owned_map map(file); /* a mapping would keep what was read before */
            const scan reader(on, map.range(from, file.bytes - from), steps_of(step));
            const auto offsets = offsets_of(from, file.bytes, step);
            CHECK(read_all(reader, map, offsets, step, file.bytes) == offsets.size());
            const roma_scan_progress seen = reader.progress();
            CHECK(seen.steps == offsets.size());
            CHECK(seen.given_bytes == file.bytes - from);
            CHECK(seen.failed_bytes == 0);
            CHECK(seen.dropped_bytes == 0);
        }
}

TEST_CASE("backwards the same pieces come, the last of the file first", "[scan]")
{
    const disk_file file(9 * MiB + 99);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const bool is_disk = file.chill();
    for (size_t step : {4 * page, 2 * MiB}) {
        CHECK(file.chill() == is_disk);
        const owned_map map(file);
        roma_scan_options options = steps_of(step);
        options.direction = ROMA_SCAN_BACKWARDS;
        const scan reader(on, map.range(0, file.bytes), options);
        auto offsets = offsets_of(0, file.bytes, step);
        std::reverse(offsets.begin(), offsets.end());
        read_all(reader, map, offsets, step, file.bytes);
    }
}

TEST_CASE("a list gives its pages in its order, of any length, also twice", "[scan]")
{
    const disk_file file(16 * MiB);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const bool is_disk = file.chill();
    for (size_t bytes : {(size_t)1000, page, 4 * page}) {
        std::vector<uint64_t> pages;
        for (uint64_t i = 0; i < 700; i++)
            pages.push_back(i * 7919 * 512 % (file.bytes - 1));
        pages.push_back(pages[3]);
        pages.push_back(file.bytes - 1); /* ends with the range */
        CHECK(file.chill() == is_disk);
        const owned_map map(file);
        const scan reader(on, map.range(0, file.bytes), list_of(pages, bytes));
        read_all(reader, map, pages, bytes, file.bytes);
    }
}

TEST_CASE("pieces of a list are one page of the machine where no length is told", "[scan]")
{
    const disk_file file(MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const std::vector<uint64_t> pages = {0, 4 * page};
    const scan reader(on, map.range(0, file.bytes), list_of(pages, 0));
    read_all(reader, map, pages, page, file.bytes);
}

TEST_CASE("a list that is changed while it is read gives no piece outside the range", "[scan]")
{
    const disk_file file(MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    std::vector<uint64_t> pages(600, 0);
    const scan reader(on, map.range(0, file.bytes), list_of(pages, page));
    for (size_t i = 0; i < pages.size(); i += 2)
        pages[i] = i % 4 == 0 ? file.bytes : ~(uint64_t)0;
    roma_segment piece;
    for (size_t i = 0; i < pages.size(); i++) {
        CHECK(reader.next(&piece) == (i % 2 == 0 ? -EINVAL : 1));
        CHECK(piece.bytes == (i % 2 == 0 ? 0 : page));
    }
    CHECK(reader.next(&piece) == 0);
}

TEST_CASE("a range that the program mapped itself is scanned, too", "[scan]")
{
    const disk_file file(6 * MiB);
    void *at = mmap(nullptr, 4 * MiB, PROT_READ, MAP_SHARED, file.fd, (off_t)(2 * MiB));
    REQUIRE(at != MAP_FAILED);
    {
        const owned_engine on(ROMA_PREFETCH_AUTO);
        file.chill();
        const scan reader(on, roma_file_range_own(file.fd, 2 * MiB, at, 4 * MiB), steps_of(MiB));
        roma_segment piece;
        for (size_t i = 0; i < 4; i++) {
            REQUIRE(reader.next(&piece) == 1);
            CHECK(piece.address == static_cast<char *>(at) + i * MiB);
            CHECK(disk_file::holds(piece.address, 2 * MiB + i * MiB, piece.bytes));
        }
        CHECK(reader.next(&piece) == 0);
    }
    munmap(at, 4 * MiB);
}

TEST_CASE("an empty range and an empty list are at their end at once", "[scan]")
{
    const disk_file file(MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    roma_segment piece;
    const scan nothing(on, map.range(0, 0), steps_of(0));
    CHECK(nothing.next(&piece) == 0);
    const uint64_t none = 0;
    roma_scan_options options = steps_of(0);
    options.pages = &none;
    const scan no_page(on, map.range(0, file.bytes), options);
    CHECK(no_page.next(&piece) == 0);
    CHECK(no_page.progress().steps == 0);
}

TEST_CASE("each piece is in memory when it is given, and the window ahead of it, not more",
          "[scan]")
{
    COLD_FILE(file, 96 * MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const size_t window = 8 * MiB, step = 2 * MiB, more = 16 * MiB; /* as far as a read goes on */
    const scan reader(on, map.range(0, file.bytes), steps_of(step, window));
    roma_segment piece;
    size_t ahead = 0;
    for (uint64_t at = 0; at < 20 * MiB; at += step) {
        REQUIRE(reader.next(&piece) == 1);
        CHECK(file.came(at, step) == step);
        const uint64_t end = at + step + window;
        CHECK(file.resident(end + more, file.bytes - end - more) == 0);
        usleep(5000); /* work, while the window fills */
        ahead = std::max(ahead, file.resident(at + step, window));
    }
    CHECK(ahead >= window / 2);
    CHECK(reader.progress().waits >= 1); /* the first piece was not there */
    CHECK(reader.progress().longest_wait_ns > 0);
    CHECK(reader.progress().waited_ns >= reader.progress().longest_wait_ns);
}

TEST_CASE("a scan that maps has each piece in the page table when it is given", "[scan]")
{
    SKIP_WHERE_EMULATED();
    const disk_file file(8 * MiB);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const int table = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    if (table < 0)
        SKIP_TEST("this process cannot read its own page table");
    file.chill();
    roma_scan_options options = steps_of(MiB);
    for (bool is_mapped : {true, false}) {
        options.mapped = is_mapped;
        const owned_map own(file);
        const scan reader(on, own.range(0, file.bytes), options);
        roma_segment piece;
        size_t present = 0;
        while (reader.next(&piece) == 1) {
            std::vector<uint64_t> entries(piece.bytes / page);
            const auto bytes = (ssize_t)(entries.size() * sizeof(uint64_t));
            REQUIRE(pread(table, entries.data(), (size_t)bytes,
                          (off_t)((uintptr_t)piece.address / page * sizeof(uint64_t))) == bytes);
            for (uint64_t entry : entries)
                present += entry >> 63;
        }
        CHECK(present == (is_mapped ? file.bytes / page : 0));
    }
    close(table);
}

TEST_CASE("what lies behind the reader is dropped, forwards, backwards and from a list", "[scan]")
{
    COLD_FILE(file, 48 * MiB + 100);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    std::vector<uint64_t> pages;
    for (uint64_t i = 0; i < 256; i++)
        pages.push_back(i * 167 % 256 * 8 * page);
    enum { FORWARDS, BACKWARDS, LIST };
    for (int kind : {FORWARDS, BACKWARDS, LIST}) {
        REQUIRE(file.chill());
        roma_scan_options options = kind == LIST ? list_of(pages, page) : steps_of(2 * MiB);
        options.window_bytes = 8 * MiB;
        options.drop_behind = true;
        if (kind == BACKWARDS)
            options.direction = ROMA_SCAN_BACKWARDS;
        const scan reader(on, map.range(0, file.bytes), options);
        roma_segment piece;
        size_t most = 0;
        for (int code; (code = reader.next(&piece)) != 0;) {
            REQUIRE(code == 1);
            const size_t offset = (size_t)(static_cast<unsigned char *>(piece.address) -
                                           map.address());
            CHECK(disk_file::holds(piece.address, offset, piece.bytes));
            most = std::max(most, file.resident(0, file.bytes));
        }
        const uint64_t wanted = kind == LIST ? pages.size() * page : file.bytes;
        CHECK(reader.progress().dropped_bytes == wanted);
        CAPTURE(kind, most);
        CHECK(most <= 32 * MiB); /* window, group, and what was read beyond */
        /* Backwards the kernel may read on upwards, into what was dropped: docs/prefetch.md. */
        CHECK(file.resident(0, file.bytes) <= (kind == BACKWARDS ? 12 : 2) * MiB);
    }
}

TEST_CASE("pages of a list are dropped with the last piece in a row that has a part of them",
          "[scan]")
{
    const size_t count = 512;
    COLD_FILE(file, count * 8 * page);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    std::vector<uint64_t> records; /* three in a page, one of which goes over into the next one */
    for (uint64_t i = 0; i < count; i++)
        for (uint64_t at : {size_t(0), page / 2, page - 50})
            records.push_back(i * 8 * page + at);
    roma_scan_options options = list_of(records, 100);
    options.drop_behind = true;
    options.window_bytes = 100 * 100;
    const scan reader(on, map.range(0, file.bytes), options);
    roma_segment piece;
    size_t most = 0, gone = 0, i = 0;
    for (int code; (code = reader.next(&piece)) != 0; i++) {
        REQUIRE(code == 1);
        gone += file.resident(records[i], 1) == 0;
        CHECK(disk_file::holds(piece.address, records[i], piece.bytes));
        if (i % 16 == 0)
            most = std::max<size_t>(most, file.resident(0, file.bytes));
    }
    CHECK(gone == 0); /* with the piece before it */
    CHECK(reader.progress().dropped_bytes == 2 * page * count);
    CHECK(most <= MiB);
    CHECK(file.resident(0, file.bytes) <= 16 * page);
}

TEST_CASE("options that make no sense are refused by name", "[scan]")
{
    const disk_file file(MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const roma_file_range all = map.range(0, file.bytes);
    roma_error error = {};
    const auto refused = [&](const roma_file_range &range, const roma_scan_options &options,
                             const char *subject) {
        CHECK(open_code(on, range, options, &error) == -EINVAL);
        CHECK(std::string(error.subject) == subject);
    };
    refused(all, steps_of(page + 1), "options.step_bytes");
    roma_scan_options options = roma_scan_options_default();
    options.direction = (roma_scan_direction)7;
    refused(all, options, "options.direction");
    const std::vector<uint64_t> pages = {0, MiB};
    options = list_of(pages, page);
    refused(all, options, "options.pages");
    CHECK(error.need == 1);
    options.pages_count = 1;
    options.direction = ROMA_SCAN_BACKWARDS;
    refused(all, options, "options.direction");
    options = roma_scan_options_default();
    options.pages_count = 1;
    refused(all, options, "options.pages_count");
    options = roma_scan_options_default();
    options.reserved[1] = true;
    refused(all, options, "options.reserved");
    options = roma_scan_options_default();
    options.size = 4;
    refused(all, options, "options.size");
    refused(map.range(0, file.bytes + 1), roma_scan_options_default(), "range");
    refused(map.range(~(uint64_t)0, 1), roma_scan_options_default(), "range");
    refused(roma_file_range_own(file.fd, 0, nullptr, MiB), roma_scan_options_default(),
            "range.address");
    struct {
        roma_scan_options known;
        uint64_t unknown;
    } newer = {roma_scan_options_default(), 1};
    newer.known.size = sizeof newer;
    roma_scan *self;
    CHECK(roma_scan_open(on.self, &all, &newer.known, &self, nullptr) == -E2BIG);
    CHECK(roma_scan_open(nullptr, &all, nullptr, &self, nullptr) == -EINVAL);
    CHECK(roma_scan_open(on.self, nullptr, nullptr, &self, nullptr) == -EINVAL);
    CHECK(roma_scan_open(on.self, &all, nullptr, nullptr, nullptr) == -EINVAL);
    roma_segment piece;
    CHECK(roma_scan_next(nullptr, &piece) == -EINVAL);
    roma_scan_close(nullptr);
    const scan reader(on, all, roma_scan_options_default());
    roma_scan_progress progress{};
    CHECK(roma_scan_progress_of(reader.self, &progress) == -EINVAL);
    CHECK(roma_scan_next(reader.self, nullptr) == -EINVAL);
}

TEST_CASE("a file that is cut short ends in errors of the pieces behind its end", "[scan]")
{
    SKIP_WHERE_EMULATED();
    disk_file file(16 * MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    file.chill();
    const scan reader(on, map.range(0, file.bytes), steps_of(MiB, 4 * MiB));
    roma_segment piece;
    for (size_t i = 0; i < 4; i++)
        REQUIRE(reader.next(&piece) == 1);
    REQUIRE(ftruncate(file.fd, (off_t)(8 * MiB)) == 0);
    size_t good = 4, failed = 0;
    for (int code; (code = reader.next(&piece)) != 0;) {
        CHECK(piece.address ==
              map.address() + (good + failed) * MiB); /* told, also where it is none */
        if (code == 1) {
            CHECK(failed == 0);
            CHECK(disk_file::holds(piece.address, good * MiB, piece.bytes));
            good++;
        } else {
            CHECK(code == -EFAULT);
            failed++;
        }
    }
    CHECK(good == 8);
    CHECK(failed == 8);
    CHECK(reader.progress().failed_bytes == 8 * MiB);
}

TEST_CASE("the end of a map that was refreshed since is an error of the pieces there", "[scan]")
{
    SKIP_WHERE_EMULATED();
    disk_file file(8 * MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const scan reader(on, map.range(0, file.bytes), steps_of(MiB, MiB));
    REQUIRE(ftruncate(file.fd, (off_t)(6 * MiB)) == 0);
    REQUIRE(roma_map_refresh(map.self) == (int64_t)(6 * MiB));
    roma_segment piece;
    for (size_t i = 0; i < 8; i++)
        CHECK((reader.next(&piece) == 1) == (i < 6));
    CHECK(reader.next(&piece) == 0);
}

TEST_CASE("a read that fails is the error of its pieces alone", "[scan]")
{
    COLD_FILE(file, 16 * MiB);
    gate reads;
    {
        const owned_map map(file);
        const owned_engine on(ROMA_PREFETCH_PLAIN);
        gate::number = EIO;
        gate::fail_from = 1;
        gate::fails = 2; /* whoever tries a second time fails again */
        const scan reader(on, map.range(0, file.bytes), steps_of(MiB, 8 * MiB));
        const tally count = count_pieces(reader, -EIO);
        CHECK(count.good + count.failed == 16);
        CHECK(count.failed > 0);
        CHECK(count.good > 0);
        CHECK(reader.progress().failed_bytes == count.failed * MiB);
    }
}

namespace {

/* So that what has been asked for has not all been begun. */
roma_prefetch_options one_at_a_time()
{
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.dense_depth = 1;
    return options;
}

} // namespace

TEST_CASE("pieces that somebody cancels are told so, and the scan goes on behind them", "[scan]")
{
    COLD_FILE(file, 24 * MiB);
    gate reads;
    {
        const owned_map map(file);
        const owned_engine on(one_at_a_time());
        REQUIRE(on.lacks.empty());
        gate::closed = true;
        const scan reader(on, map.range(0, file.bytes), steps_of(MiB, 8 * MiB));
        std::thread opener = gate::open_soon();
        CHECK(roma_prefetch_cancel_all(on.self) >= 1); /* waits for what has begun */
        opener.join();
        const tally count = count_pieces(reader, -ECANCELED);
        CHECK(count.good + count.failed == 24);
        CHECK(count.failed > 0);
        CHECK(count.good >= 16); /* what had not been asked for then */
    }
}

TEST_CASE("closing a scan waits for its reads in flight", "[scan]")
{
    COLD_FILE(file, 12 * MiB);
    gate reads;
    {
        const owned_engine on(ROMA_PREFETCH_POOL);
        REQUIRE(on.lacks.empty());
        roma_scan *reader;
        void *at = mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.fd, 0);
        REQUIRE(at != MAP_FAILED);
        const roma_file_range range = roma_file_range_own(file.fd, 0, at, file.bytes);
        gate::closed = true;
        REQUIRE(roma_scan_open(on.self, &range, nullptr, &reader, nullptr) == 0);
        usleep(20000); /* into the gate */
        std::thread opener = gate::open_soon();
        roma_scan_close(reader);
        CHECK(!gate::closed);
        munmap(at, file.bytes);
        opener.join();
        CHECK(on.figure("flying.bytes") == 0);
    }
}

TEST_CASE("while a scan is open its map and its engine stay", "[scan]")
{
    const disk_file file(4 * MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const scan reader(on, map.range(0, file.bytes), roma_scan_options_default());
    CHECK(roma_map_close(map.self) == -EBUSY);
    CHECK(roma_prefetch_destroy(on.self) == -EBUSY);
    roma_segment piece;
    CHECK(reader.next(&piece) == 1);
}

TEST_CASE("a child of fork has no scan, and can close what it has of it", "[scan]")
{
    const disk_file file(16 * MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_AUTO);
    const scan reader(on, map.range(0, file.bytes), roma_scan_options_default());
    roma_segment piece;
    REQUIRE(reader.next(&piece) == 1);
    const pid_t child = fork();
    if (child == 0) {
        roma_scan_progress progress{};
        progress.size = sizeof progress;
        if (roma_scan_next(reader.self, &piece) != -ESTALE || piece.address != nullptr)
            _exit(1);
        if (roma_scan_progress_of(reader.self, &progress) != -ESTALE)
            _exit(2);
        roma_scan_close(reader.self);
        if (!disk_file::holds(map.address(), 0, 4096)) /* the map is there */
            _exit(3);
        if (roma_prefetch_destroy(on.self) != 0)
            _exit(4);
        _exit(roma_map_close(map.self) == 0 ? 0 : 5);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    size_t count = 1;
    while (reader.next(&piece) == 1)
        count++;
    CHECK(count == 8);
}

TEST_CASE("a scan that has no memory for itself says so and leaves nothing behind", "[scan]")
{
    const disk_file file(MiB);
    const owned_map map(file);
    const owned_engine on(ROMA_PREFETCH_PLAIN);
    roma_tests::faulty table;
    table.calls.mmap = [](void *, size_t, int, int, int, off_t) {
        errno = ENOMEM;
        return MAP_FAILED;
    };
    roma_error error = {};
    CHECK(open_code(on, map.range(0, file.bytes), roma_scan_options_default(), &error) == -ENOMEM);
    CHECK(error.code == -ENOMEM);
}
