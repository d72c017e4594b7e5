/* prefetch_ring.cpp - rings that refuse, break, are full, and results that the kernel may give.
 *
 * The ring here is a test's own: calls are queued, and carried out in enter(), by the thread of the
 * engine, with results that the test chooses. So every case is the same at every run, and runs
 * where there is no io_uring. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "faulty.hpp"
#include "skip.hpp"

#include "base/error.h"
#include "prefetch/ring.h"

#include <roma/provider.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <deque>
#include <functional>
#include <map>
#include <poll.h>
#include <thread>
#include <vector>

using namespace roma_tests;

namespace {

/* A result that says done of a call that is not made. */
constexpr int NOT_MADE = 1;

/* What the rings of a test do; one engine at a time. */
struct script {
    std::map<unsigned, int> open_codes; /* entries -> what opening such a ring returns           */
    unsigned room = 64;
    std::function<int(const roma__call &, unsigned nth)> result; /* of the n-th call, from 1; 0:
                                                                    made, and its own result      */
    std::function<int(unsigned nth)> enter;                      /* of the n-th enter, from 1     */
    std::function<bool(const roma__call &)> holds; /* this call stays in flight, until let_go()   */
    unsigned calls = 0, enters = 0, opened = 0;
} script;

struct queued {
    roma__call call;
    uint64_t tag;
    bool linked;
};

/* Calls that are held come to their end at the next enter after this. */
std::atomic<bool> let_go{false};
std::atomic<unsigned> held_calls{0};

struct soft_ring {
    std::deque<queued> queue, held;
    std::deque<roma__answer> answers;
    int poll_fd = -1;
    uint64_t poll_tag = 0;
};

soft_ring *of(roma__ring *ring)
{
    return reinterpret_cast<soft_ring *>(ring);
}

int soft_open(roma__ring **ring, unsigned entries, unsigned, roma_error *error)
{
    const auto code = script.open_codes.find(entries);
    if (code != script.open_codes.end() && code->second != 0)
        return roma__error_call(error, "io_uring_setup", -code->second);
    script.opened = entries;
    *ring = reinterpret_cast<roma__ring *>(new soft_ring);
    return 0;
}

void soft_close(roma__ring *ring)
{
    delete of(ring);
}

unsigned soft_room(roma__ring *ring)
{
    return script.room - static_cast<unsigned>(of(ring)->queue.size());
}

void soft_queue(roma__ring *ring, const roma__call *call, uint64_t tag, bool linked)
{
    of(ring)->queue.push_back({*call, tag, linked});
}

void soft_queue_poll(roma__ring *ring, int fd, uint64_t tag)
{
    of(ring)->poll_fd = fd;
    of(ring)->poll_tag = tag;
}

void carry_out(soft_ring *ring)
{
    bool broken_link = false, in_link = false;
    while (!ring->queue.empty()) {
        const queued next = ring->queue.front();
        ring->queue.pop_front();
        int result = -ECANCELED;
        if (script.holds && script.holds(next.call) && !let_go) {
            ring->held.push_back(next);
            held_calls++;
            in_link = false;
            continue;
        }
        if (!(in_link && broken_link)) {
            const unsigned nth = ++script.calls;
            result = script.result ? script.result(next.call, nth) : 0;
            if (result == 0)
                result = roma__call_make(&next.call);
        }
        broken_link = result < 0;
        in_link = next.linked;
        ring->answers.push_back({next.tag, result});
    }
}

int soft_enter(roma__ring *self, unsigned wait)
{
    soft_ring *ring = of(self);
    const unsigned nth = ++script.enters;
    const int code = script.enter ? script.enter(nth) : 0;
    if (code < 0)
        return code;
    carry_out(ring);
    for (int ms = 0; wait > 0 && ring->answers.empty(); ms++) {
        if (let_go && !ring->held.empty()) {
            ring->queue.swap(ring->held);
            carry_out(ring);
            continue;
        }
        struct pollfd readable = {ring->poll_fd, POLLIN, 0};
        if (poll(&readable, 1, 1) == 1)
            ring->answers.push_back({ring->poll_tag, POLLIN});
        else if (ms == 60000)
            std::abort(); /* not the thread of the test */
    }
    return 0;
}

unsigned soft_reap(roma__ring *ring, roma__answer *answers, unsigned most)
{
    unsigned count = 0;
    for (; count < most && !of(ring)->answers.empty(); count++) {
        answers[count] = of(ring)->answers.front();
        of(ring)->answers.pop_front();
    }
    return count;
}

bool soft_unqueue(roma__ring *ring, uint64_t *tag)
{
    if (of(ring)->queue.empty())
        return false;
    *tag = of(ring)->queue.front().tag;
    of(ring)->queue.pop_front();
    return true;
}

const struct roma__rings soft_rings = {soft_open,  soft_close, soft_close,
                                       soft_room,  soft_queue, soft_queue_poll,
                                       soft_enter, soft_reap,  soft_unqueue};

/* Soft rings for the time of a test. */
struct with_soft_rings {
    with_soft_rings()
    {
        script = {};
        let_go = false;
        held_calls = 0;
        before = roma__rings_replace(&soft_rings);
    }
    ~with_soft_rings() { roma__rings_replace(before); }
    const struct roma__rings *before;
};

} // namespace

TEST_CASE("a ring that cannot be had is a step not taken, and the next way is", "[prefetch]")
{
    with_soft_rings rings;
    for (int code : {-EPERM, -ENOSYS, -EMFILE, -EAGAIN}) {
        script.open_codes = {{256, code}};
        owned_engine engine(ROMA_PREFETCH_AUTO);
        const roma_prefetch_report report = engine.report();
        CHECK(report.way == ROMA_PREFETCH_POOL);
        CHECK_FALSE(report.forced);
        REQUIRE(report.steps_count == 1);
        CHECK(report.steps[0].way == ROMA_PREFETCH_URING);
        CHECK(report.steps[0].entries == 256);
        CHECK(report.steps[0].error.code == code);
        char text[256];
        CHECK(std::string(roma_error_text(&report.steps[0].error, text, sizeof text))
                  .find("io_uring_setup") != std::string::npos);

        roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
        roma_prefetch_engine *forced = nullptr;
        roma_error error = {};
        CHECK(roma_prefetch_create(&forced, &options, &error) == code);
        CHECK(error.cause == -code);
    }
}

TEST_CASE("where memory for a ring is short a small one does", "[prefetch]")
{
    with_soft_rings rings;
    script.open_codes = {{256, -ENOMEM}};
    {
        owned_engine engine(ROMA_PREFETCH_AUTO);
        const roma_prefetch_report report = engine.report();
        CHECK(report.way == ROMA_PREFETCH_URING);
        CHECK(report.entries == 64);
        CHECK(report.steps_count == 1);
        CHECK(script.opened == 64);
    }
    script.open_codes = {{256, -ENOMEM}, {64, -ENOMEM}};
    {
        owned_engine engine(ROMA_PREFETCH_AUTO);
        CHECK(engine.report().way == ROMA_PREFETCH_POOL);
        CHECK(engine.report().steps_count == 2);
    }
}

namespace {

struct outcome {
    int code;
    roma_error error;
    roma_prefetch_progress progress;
};

/* Read ranges of a cold file through a soft ring. */
outcome read_ranges(const disk_file &file, const std::vector<roma_file_range> &ranges,
                    unsigned room, roma_prefetch_level level)
{
    script.room = room;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    (void)file.chill();
    owned_handle handle(engine, ranges.data(), ranges.size(), level);
    outcome seen = {};
    seen.code = handle.wait();
    for (size_t i = 0; i < ranges.size(); i++) {
        roma_error error = {};
        if (roma_prefetch_range_error(handle.self, i, &error) != 0 && seen.error.code == 0)
            seen.error = error;
    }
    seen.progress = handle.progress();
    CHECK(adds_up(seen.progress));
    CHECK(engine.figure("flying.bytes") == 0);
    return seen;
}

void await_held()
{
    while (held_calls == 0)
        usleep(1000);
}

bool is_populate(const roma__call &call)
{
    return call.kind == ROMA__CALL_POPULATE;
}

/* A long one and two short ones. */
outcome read_with(const disk_file &file, unsigned room = 64,
                  roma_prefetch_level level = ROMA_PREFETCH_RESIDENT)
{
    return read_ranges(
        file, {file.range(0, 8 * MiB), file.range(10 * MiB, 4096), file.range(12 * MiB, 4096)},
        room, level);
}

bool lacks_populate()
{
    return !owned_engine(ROMA_PREFETCH_PLAIN).lacks.empty();
}

} // namespace

#define NEEDS_POPULATE()                                                                           \
    SKIP_WHERE_EMULATED();                                                                         \
    if (lacks_populate())                                                                          \
    SKIP_TEST("this kernel has no MADV_POPULATE_READ")

TEST_CASE("every result that a call may have is a named error or another try", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    const struct {
        int result, code;
        roma_why why;
    } rows[] = {
        {-EFAULT, -EIO, ROMA_WHY_FILE_IO}, /* the file is as long as before: the device failed */
        {-EIO, -EIO, ROMA_WHY_FILE_IO},
        {-ENOMEM, -ENOMEM, ROMA_WHY_CALL},
        {-EBADF, -EBADF, ROMA_WHY_CALL},
        {-EINVAL, -EOPNOTSUPP, ROMA_WHY_UNSUPPORTED},
        {-EHWPOISON, -EHWPOISON, ROMA_WHY_CALL},
        {-EPERM, -EPERM, ROMA_WHY_CALL_REFUSED},
        {-ECANCELED, -ECANCELED, ROMA_WHY_CANCELLED},
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
        CHECK(seen.progress.failed_bytes + seen.progress.cancelled_bytes ==
              seen.progress.total_bytes);
        CHECK((seen.progress.cancelled_bytes > 0) == (row.code == -ECANCELED));
        CHECK(seen.progress.failed_ranges == 3);
    }
}

TEST_CASE("a short run is waited for where it has not come, and only there", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    unsigned waits = 0;
    const auto count_waits = [&](const roma__call &call) {
        waits += call.kind == ROMA__CALL_POPULATE;
        return 0;
    };
    const auto read_both = [&] {
        return read_ranges(file, {file.range(0, 4096), file.range(12 * MiB, 4096)}, 64,
                           ROMA_PREFETCH_RESIDENT)
            .code;
    };
    SECTION("what was advised has not come")
    {
        script.result = [&](const roma__call &call, unsigned) {
            return call.kind == ROMA__CALL_FADVISE ? NOT_MADE : count_waits(call);
        };
        CHECK(read_both() == 0);
        CHECK(waits == 2);
    }
    SECTION("it has come")
    {
        script.result = [&](const roma__call &call, unsigned) {
            char byte;
            if (call.kind == ROMA__CALL_FADVISE)
                return pread(file.fd, &byte, 1, off_t(call.offset)) == 1 ? NOT_MADE : -EIO;
            return count_waits(call);
        };
        CHECK(read_both() == 0);
        CHECK(waits == 0);
    }
    SECTION("it has come, and nobody tells")
    {
        faulty refusing;
        refusing.calls.mincore = [](void *, size_t, unsigned char *) {
            errno = EPERM;
            return -1;
        };
        script.result = [&](const roma__call &call, unsigned) {
            char byte;
            if (call.kind == ROMA__CALL_FADVISE)
                return pread(file.fd, &byte, 1, off_t(call.offset)) == 1 ? NOT_MADE : -EIO;
            return count_waits(call);
        };
        CHECK(read_both() == 0);
        CHECK(waits == 2);
    }
    CHECK(file.resident(0, 4096) == 4096);
    CHECK(file.resident(12 * MiB, 4096) == 4096);
}

TEST_CASE("calls that are told to come again come again", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    for (int result : {-EINTR, -EAGAIN}) {
        script.calls = 0;
        script.result = [&](const roma__call &, unsigned nth) { return nth % 3 == 1 ? result : 0; };
        const outcome seen = read_with(file);
        CHECK(seen.code == 0);
        CHECK(seen.progress.done_bytes == seen.progress.total_bytes);
        CHECK(file.resident(0, 8 * MiB) == 8 * MiB);
    }
}

TEST_CASE("an error of one range is not one of others", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    script.result = [](const roma__call &call, unsigned) {
        return call.kind == ROMA__CALL_FADVISE && call.offset == 4 * MiB ? -EIO : 0;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    (void)file.chill();
    const roma_file_range ranges[] = {file.range(0, 4096), file.range(4 * MiB, 4096),
                                      file.range(12 * MiB, 4096)};
    owned_handle handle(engine, ranges, 3);
    CHECK(handle.wait() == -EIO);
    CHECK(handle.progress().failed_bytes == 4096);
    CHECK(handle.progress().failed_ranges == 1);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == -EIO);
    CHECK(file.resident(12 * MiB, 4096) == 4096);
}

TEST_CASE("a file that is cut while it is read: what is left of it is read", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
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
    CHECK(file.resident(0, MiB) == MiB);
}

TEST_CASE("a ring of few entries does the same, later", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    for (unsigned room : {4u, 5u, 9u}) {
        const outcome seen = read_with(file, room);
        CHECK(seen.code == 0);
        CHECK(file.resident(0, 8 * MiB) == 8 * MiB);
    }
}

TEST_CASE("a ring that is busy for a while is entered again", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    for (int code : {-EINTR, -EAGAIN, -EBUSY}) {
        script.enters = 0;
        script.enter = [&](unsigned nth) { return nth % 4 != 0 ? code : 0; };
        CHECK(read_with(file).code == 0);
    }
}

TEST_CASE("a ring that is interrupted or busy, however often, is a ring", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    for (int code : {-EINTR, -EAGAIN}) {
        script.enters = 0;
        (void)file.chill();
        script.enter = [&](unsigned nth) { return nth < 300 ? code : 0; };
        owned_engine engine(ROMA_PREFETCH_URING);
        REQUIRE(engine.lacks.empty());
        owned_handle handle(engine, file.range(0, file.bytes));
        CHECK(handle.wait() == 0);
        CHECK(engine.report().way == ROMA_PREFETCH_URING);
    }
}

TEST_CASE("a full ring is handed over, and goes on without an answer", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(64 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    with_soft_rings rings;
    script.room = 4; /* one op at a time */
    script.holds = [](const roma__call &call) { return is_populate(call) && call.bytes >= MiB; };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    owned_handle first(engine, file.range(0, 32 * MiB));
    await_held();
    owned_handle second(engine, file.range(40 * MiB, page_bytes()));
    CHECK(roma_prefetch_wait(second.self, uint64_t(10) * 1000000000) == 0);
    let_go = true;
    CHECK(first.wait() == 0);
}

TEST_CASE("what the kernel has no memory for is asked for again a little later", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
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

TEST_CASE("a ring that breaks is left, and all that was asked for is done", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(16 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    for (unsigned breaks_at : {1u, 2u, 3u, 4u}) {
        INFO("at enter " << breaks_at);
        script.enters = 0;
        script.enter = [&](unsigned nth) { return nth >= breaks_at ? -EPERM : 0; };
        (void)file.chill();
        owned_engine engine(ROMA_PREFETCH_URING);
        REQUIRE(engine.lacks.empty());
        for (int round = 0; round < 3; round++) {
            owned_handle handle(engine, file.range(0, file.bytes), ROMA_PREFETCH_RESIDENT);
            CHECK(handle.wait() == 0);
            CHECK(adds_up(handle.progress()));
        }
        CHECK(file.resident(0, file.bytes) == file.bytes);
        const roma_prefetch_report report = engine.report();
        CHECK(report.way == ROMA_PREFETCH_POOL);
        CHECK(report.threads == 1);
        REQUIRE(report.steps_count == 1);
        CHECK(report.steps[0].error.code == -EPERM);
        CHECK(std::string(report.steps[0].error.call) == "io_uring_enter");
    }
}

TEST_CASE("a flush tells what its sync met", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    disk_file file(40 * MiB);
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    for (int code : {-EIO, -ENOSPC}) {
        script.result = [&](const roma__call &call, unsigned) {
            return call.kind == ROMA__CALL_SYNC ? code : 0;
        };
        const roma_file_range range = file.range(0, file.bytes);
        roma_prefetch_handle *handle = nullptr;
        REQUIRE(roma_flush_submit(engine.self, &range, 1, &handle, nullptr) == 0);
        CHECK(roma_prefetch_wait(handle, ROMA_FOREVER) == code);
        roma_prefetch_progress progress = {};
        progress.size = sizeof progress;
        CHECK(roma_prefetch_progress_of(handle, &progress) == 0);
        CHECK(progress.failed_bytes == file.bytes);
        CHECK(adds_up(progress));
        roma_prefetch_close(handle);
    }
    /* One that is to come again does: an answer without a sync would be a lie. */
    for (int code : {-EINTR, -EAGAIN}) {
        for (bool for_ever : {false, true}) {
            unsigned syncs = 0;
            script.result = [&](const roma__call &call, unsigned) {
                return call.kind == ROMA__CALL_SYNC && (syncs++ == 0 || for_ever) ? code : 0;
            };
            const roma_file_range range = file.range(0, file.bytes);
            roma_prefetch_handle *handle = nullptr;
            REQUIRE(roma_flush_submit(engine.self, &range, 1, &handle, nullptr) == 0);
            CHECK(roma_prefetch_wait(handle, ROMA_FOREVER) == (for_ever ? code : 0));
            CHECK((for_ever ? syncs > 2 : syncs == 2));
            roma_prefetch_close(handle);
        }
    }
    /* That writing back could not be begun early is nobody's loss. */
    script.result = [](const roma__call &call, unsigned) {
        return call.kind == ROMA__CALL_WRITE_RANGE ? -ESPIPE : 0;
    };
    const roma_file_range range = file.range(0, file.bytes);
    roma_prefetch_handle *handle = nullptr;
    REQUIRE(roma_flush_submit(engine.self, &range, 1, &handle, nullptr) == 0);
    CHECK(roma_prefetch_wait(handle, ROMA_FOREVER) == 0);
    roma_prefetch_close(handle);
}

TEST_CASE("a map that is closed while its engine is destroyed waits for what is in flight",
          "[prefetch]")
{
    NEEDS_POPULATE();
    with_soft_rings rings;
    disk_file file(8 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    script.holds = is_populate;
    roma_prefetch_engine *engine = nullptr;
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    REQUIRE(roma_prefetch_create(&engine, &options, nullptr) == 0);
    roma_map *map = nullptr;
    REQUIRE(roma_map_open(file.path.c_str(), nullptr, &map, nullptr) == 0);
    const roma_file_range range = roma_file_range_of(map, 0, file.bytes);
    REQUIRE(roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, nullptr, nullptr) == 0);
    await_held();
    std::atomic<int> destroyed{1}, closed{1};
    std::thread destroyer([&] { destroyed = roma_prefetch_destroy(engine); });
    usleep(50000);
    std::thread closer([&] { closed = roma_map_close(map); });
    usleep(50000);
    const int closed_early = closed;
    let_go = true;
    destroyer.join();
    closer.join();
    CHECK(closed_early == 1);
    CHECK(destroyed == 0);
    CHECK(closed == 0);
}

TEST_CASE("a part of a file is read through a descriptor that was given for it", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(32 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    owned_map second(file);
    roma_map *first = nullptr;
    roma_map_options half = roma_map_options_default();
    half.bytes = 16 * MiB;
    REQUIRE(roma_map_open(file.path.c_str(), &half, &first, nullptr) == 0);
    const int first_fd = roma_map_fd(first);
    std::atomic<unsigned> wrong{0};
    script.holds = [&](const roma__call &call) {
        wrong += call.offset >= 16 * MiB && call.fd == first_fd;
        return is_populate(call);
    };
    const roma_file_range ranges[] = {roma_file_range_of(first, 0, 16 * MiB),
                                      second.range(16 * MiB, 16 * MiB)};
    owned_handle handle(engine, ranges, 2);
    await_held();
    std::thread closer([&] { (void)roma_map_close(first); });
    usleep(50000);
    let_go = true;
    closer.join();
    CHECK(handle.wait() == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == 0);
    CHECK(wrong == 0);
    CHECK(file.resident(16 * MiB, 16 * MiB) == 16 * MiB);
}

TEST_CASE("thousands who want what is in flight keep nobody else waiting", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(64 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    script.holds = [](const roma__call &call) {
        return is_populate(call) && call.bytes >= MiB; /* of long runs */
    };
    owned_handle first(engine, file.range(0, 32 * MiB));
    await_held();
    std::vector<roma_file_range> many;
    for (size_t at = 0; at < 2 * MiB; at += 2 * page_bytes())
        many.push_back(file.range(at, page_bytes()));
    owned_handle second(engine, many.data(), many.size());
    owned_handle third(engine, file.range(40 * MiB, page_bytes()));
    CHECK(roma_prefetch_wait(third.self, uint64_t(10) * 1000000000) == 0);
    CHECK(roma_prefetch_poll(first.self) == 0);
    let_go = true;
    CHECK(first.wait() == 0);
    CHECK(second.wait() == 0);
}

TEST_CASE("a page that cannot be read is the error of the ranges that have it", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(32 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
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

TEST_CASE("what waits to be read again is not read in what was given up", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(32 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    std::atomic<bool> has_left{false};
    std::atomic<unsigned> wrong{0};
    script.holds = is_populate;
    script.result = [&](const roma__call &call, unsigned) {
        wrong += has_left && call.offset < 1 * MiB + page_bytes() && call.offset + call.bytes > MiB;
        return !has_left && is_populate(call) ? -EAGAIN : 0;
    };
    const roma_file_range ranges[] = {file.range(0, MiB), file.range(MiB, page_bytes()),
                                      file.range(MiB + page_bytes(), 31 * MiB - page_bytes())};
    owned_handle handle(engine, ranges, 3);
    await_held();
    std::thread canceller([&] {
        (void)roma_prefetch_cancel_ranges(engine.self, &ranges[1], 1, nullptr);
        has_left = true;
    });
    usleep(50000);
    let_go = true;
    canceller.join();
    CHECK(handle.wait() == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 2, nullptr) == 0);
    CHECK(wrong == 0);
}

TEST_CASE("many cancels of parts that touch leave the rest alone", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(64 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    script.holds = is_populate;
    const roma_file_range ranges[] = {file.range(0, 32 * MiB), file.range(32 * MiB, 16 * MiB),
                                      file.range(48 * MiB, 16 * MiB)};
    owned_handle handle(engine, ranges, 3);
    await_held(); /* in the first range */
    for (size_t at = 32 * MiB; at < 48 * MiB; at += MiB) {
        const roma_file_range part = file.range(at, MiB);
        CHECK(roma_prefetch_cancel_ranges(engine.self, &part, 1, nullptr) == 1);
    }
    const roma_file_range nothing = file.range(5, 0); /* not even its page */
    CHECK(roma_prefetch_cancel_ranges(engine.self, &nothing, 1, nullptr) == 0);
    let_go = true;
    CHECK(handle.wait() == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 2, nullptr) == 0);
    CHECK(handle.progress().cancelled_bytes == 16 * MiB);
}

TEST_CASE("cancelling ranges returns when what is in flight there has come back", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file file(64 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    script.holds = is_populate;
    const roma_file_range range = file.range(0, file.bytes);
    owned_handle handle(engine, range);
    await_held();
    std::atomic<bool> returned{false};
    std::thread canceller([&] {
        (void)roma_prefetch_cancel_ranges(engine.self, &range, 1, nullptr);
        returned = true;
    });
    usleep(50000);
    const bool early = returned;
    let_go = true;
    canceller.join();
    CHECK_FALSE(early);
    CHECK(handle.wait() == -ECANCELED);
    CHECK(handle.progress().cancelled_bytes >= 32 * MiB);
}

TEST_CASE("what nobody waits for is read though its provider has ended", "[prefetch]")
{
    NEEDS_POPULATE();
    disk_file beside(MiB);
    SKIP_WHERE_NOT_ON_DISK(beside);
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    roma_executor executor = {};
    REQUIRE(roma_prefetch_executor(engine.self, &executor) == 0);
    roma_file_options options = roma_file_options_default();
    options.executor = &executor;
    roma_provider *provider = nullptr;
    REQUIRE(roma_provider_file((beside.path + "-pages").c_str(), &options, &provider, nullptr) ==
            0);
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = 32 * MiB;
    wish.pages = static_cast<roma_page_kind>(ROMA_PAGES_BASE);
    roma_extent extent;
    if (roma_provider_acquire(provider, &wish, &extent, nullptr) != 0) {
        REQUIRE(roma_provider_unregister(provider) == 0);
        SKIP_TEST("this file system cannot reserve space");
    }
    script.holds = is_populate;
    const roma_range all = {&extent, 0, extent.bytes};
    REQUIRE(roma_provider_advise(provider, &all, ROMA_ADVICE_NEED, nullptr, nullptr) == 0);
    await_held();
    REQUIRE(roma_provider_release(provider, &extent, nullptr) == 0);
    REQUIRE(roma_provider_unregister(provider) == 0);
    let_go = true;
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(engine.figure("failed.bytes") == 0);
    CHECK(engine.figure("read.bytes") == 32 * MiB);
}

TEST_CASE("an engine that is being destroyed takes nothing from its callbacks", "[prefetch]")
{
    NEEDS_POPULATE();
    with_soft_rings rings;
    disk_file file(64 * MiB);
    SKIP_WHERE_NOT_ON_DISK(file);
    REQUIRE(file.chill());
    script.holds = is_populate;
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    options.chunk_bytes = 2 * MiB;
    options.dense_depth = 1;
    static roma_prefetch_engine *engine;
    static roma_file_range range;
    static std::atomic<int> submitted;
    submitted = 1;
    REQUIRE(roma_prefetch_create(&engine, &options, nullptr) == 0);
    range = file.range(0, file.bytes);
    roma_prefetch_handle *first = nullptr, *second = nullptr;
    REQUIRE(roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, &first, nullptr) == 0);
    await_held(); /* keeps the engine's end waiting */
    const roma_file_range other = file.range(32 * MiB, 8 * MiB); /* is not begun: depth 1 */
    REQUIRE(roma_prefetch_submit(engine, &other, 1, ROMA_PREFETCH_RESIDENT, &second, nullptr) == 0);
    REQUIRE(roma_prefetch_on_done(
                second,
                [](void *, roma_prefetch_handle *, int) {
                    submitted = roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_ISSUED,
                                                     nullptr, nullptr);
                },
                nullptr) == 0);
    std::atomic<int> destroyed{1};
    std::thread destroyer([&] { destroyed = roma_prefetch_destroy(engine); });
    for (int ms = 0; submitted == 1 && ms < 10000; ms++)
        usleep(1000);
    let_go = true;
    destroyer.join();
    CHECK(submitted == -ESHUTDOWN);
    CHECK(destroyed == 0);
    roma_prefetch_close(first);
    roma_prefetch_close(second);
}

TEST_CASE("a flush that is given up before its sync has done nothing", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    disk_file file(40 * MiB);
    with_soft_rings rings;
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    const roma_file_range range = file.range(0, file.bytes);
    for (bool by_range : {false, true}) {
        roma_prefetch_handle *handle = nullptr;
        std::atomic<bool> has_begun{false}, goes_on{false};
        script.result = [&](const roma__call &call, unsigned) {
            has_begun = true;
            while (!goes_on)
                usleep(1000);
            return call.kind == ROMA__CALL_SYNC ? -EIO : 0; /* there is to be none */
        };
        REQUIRE(roma_flush_submit(engine.self, &range, 1, &handle, nullptr) == 0);
        while (!has_begun)
            usleep(1000);
        std::thread canceller([&] {
            if (by_range)
                (void)roma_prefetch_cancel_ranges(engine.self, &range, 1, nullptr);
            else
                (void)roma_prefetch_cancel(handle);
        });
        usleep(50000);
        goes_on = true;
        canceller.join();
        CHECK(roma_prefetch_wait(handle, ROMA_FOREVER) == -ECANCELED);
        roma_prefetch_progress progress = {};
        progress.size = sizeof progress;
        CHECK(roma_prefetch_progress_of(handle, &progress) == 0);
        CHECK(progress.done_bytes == 0);
        CHECK(progress.cancelled_bytes == file.bytes);
        roma_prefetch_close(handle);
    }
    CHECK(engine.figure("read.bytes") == 0);
}
