/* prefetch_flush.cpp - an error in writing back reaches every flush that it concerns, in each way,
 * though the kernel tells of it once: to the sync that asks first. And a flush of several
 * descriptors of a file is synced through one that is still there.
 *
 * The first sync of a test, the second and so on are told what the test says, and come back in the
 * order that it says; so are waits for writes, which a ring or threads make of a long flush, and
 * which are told as well. */
#include "asleep.hpp"
#include "between.hpp"
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "faulty.hpp"
#include "held_writes.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <thread>
#include <vector>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* Calls of one kind: which of them may come back, and results of the n-th sync, or write. */
struct syncs {
    static constexpr unsigned MOST = 8;

    between calls;
    roma__call_kind kind;
    std::array<std::atomic<bool>, MOST> held{};
    std::array<int, MOST> results{};

    explicit syncs(roma__call_kind which, roma__call_kind told = ROMA__CALL_SYNC) : kind(which)
    {
        calls.holds = [this](const made_call &call) {
            return call.kind == kind && call.nth < MOST && held[call.nth];
        };
        calls.ends = [this, told](const made_call &call, int result) {
            const bool is_told = call.kind == told && call.nth < MOST;
            return is_told && results[call.nth] != 0 ? results[call.nth] : result;
        };
    }

    /* So many have begun. */
    void await(unsigned count) const
    {
        while (calls.count(kind) < count)
            usleep(1000);
    }
};

/* The engine knows of so many calls, of any kind, that they came back. */
void await_back(const owned_engine &engine, unsigned count)
{
    while (engine.figure("calls.count") < count)
        usleep(1000);
}

/* No call has come back for a while. */
void await_quiet(const owned_engine &engine)
{
    uint64_t before = 0, now = engine.figure("calls.count");
    do {
        before = now;
        usleep(200000);
        now = engine.figure("calls.count");
    } while (now != before);
}

/* A flush by a thread of its own: with plain calls its submitter is blocked. */
class flusher {
  public:
    flusher(const owned_engine &engine, std::vector<roma_file_range> ranges)
        : thread_([this, self = engine.self, ranges] {
              roma_prefetch_handle *handle = nullptr;
              int result = roma_flush_submit(self, ranges.data(), ranges.size(), &handle, nullptr);
              if (result == 0)
                  result = roma_prefetch_wait(handle, ROMA_FOREVER);
              for (size_t i = 0; handle != nullptr && i < ranges.size(); i++)
                  range_codes_.push_back(roma_prefetch_range_error(handle, i, nullptr));
              roma_prefetch_close(handle);
              code_ = result;
          })
    {}
    flusher(const owned_engine &engine, int fd, size_t bytes)
        : flusher(engine, {roma_file_range_own(fd, 0, nullptr, bytes)})
    {}
    flusher(const owned_engine &engine, const disk_file &file)
        : flusher(engine, file.fd, file.bytes)
    {}
    flusher(const flusher &) = delete;
    flusher &operator=(const flusher &) = delete;
    ~flusher()
    {
        if (thread_.joinable())
            thread_.join();
    }

    /* Given time to end: it has not. */
    bool goes_on() const
    {
        usleep(50000);
        return code_ == RUNS;
    }
    int code()
    {
        if (thread_.joinable())
            thread_.join();
        return code_;
    }
    std::vector<int> range_codes()
    {
        (void)code();
        return range_codes_;
    }

  private:
    enum : int { RUNS = 1 };
    std::atomic<int> code_{RUNS};
    std::vector<int> range_codes_;
    std::thread thread_;
};

} // namespace

TEMPLATE_TEST_CASE("no flush is durable before the sync that may have taken its error is back",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(MiB); /* too little for anything but a sync */
    syncs on(ROMA__CALL_SYNC);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const int second_fd = dup(file.fd); /* of the same open file: the kernel tells one of them */
    REQUIRE(second_fd >= 0);
    on.held[1] = true;
    SECTION("which it has")
    {
        on.results[1] = -EIO;
        flusher first(engine, file);
        on.await(1);
        flusher second(engine, second_fd, file.bytes);
        await_back(engine, 1); /* the second's sync */
        CHECK(second.goes_on());
        on.held[1] = false;
        CHECK(first.code() == -EIO);
        CHECK(second.code() == -EIO);
        flusher third(engine, file); /* what is told is told */
        CHECK(third.code() == 0);
    }
    SECTION("which it has not")
    {
        flusher first(engine, file);
        on.await(1);
        flusher second(engine, second_fd, file.bytes);
        await_back(engine, 1); /* the second's sync */
        CHECK(second.goes_on());
        on.held[1] = false;
        CHECK(first.code() == 0);
        CHECK(second.code() == 0);
    }
    SECTION("which is interrupted, and does it again")
    {
        on.results[1] = -EINTR;
        flusher first(engine, file);
        on.await(1);
        flusher second(engine, second_fd, file.bytes);
        await_back(engine, 1);
        on.held[1] = false;
        CHECK(second.code() == 0);
        CHECK(first.code() == 0);
        CHECK(on.calls.count(ROMA__CALL_SYNC) == 3);
    }
    CHECK(engine.figure("handles.live") == 0);
    close(second_fd);
}

TEMPLATE_TEST_CASE("a flush fails of what another one's sync met while it wrote", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(4 * MiB);
    syncs on(ROMA__CALL_WRITE_RANGE);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    on.held[1] = true;
    on.results[1] = -ENOSPC;
    flusher first(engine, file);
    on.await(1);
    flusher second(engine, file);
    CHECK(second.code() == -ENOSPC);
    CHECK(first.goes_on());
    on.held[1] = false;
    CHECK(first.code() == -ENOSPC); /* its own sync met nothing */
    CHECK(on.calls.count(ROMA__CALL_SYNC) == 2);
}

namespace {

/* Of a flush of so much the first writes are waited for. */
constexpr size_t LONG = 128 * MiB;

/* Such waits of a way that has any: which may come back, and what they are told. */
template <typename way> struct awaited_writes : syncs {
    owned_engine engine{way::way};
    hollow_file file{LONG + 2 * MiB};
    roma_file_range most = file.range(0, LONG), rest = file.range(LONG + MiB, MiB);

    awaited_writes() : syncs(ROMA__CALL_AWAIT_WRITE, ROMA__CALL_AWAIT_WRITE) {}

    /* A flush is given up whose wait for a write is told this then. */
    void give_up_after(int code)
    {
        results[1] = code;
        held[1] = true;
        owned_flush given_up(engine, most);
        await(1);
        CHECK(roma_prefetch_cancel(given_up.self) == 0);
        held[1] = false;
        CHECK(given_up.wait() == -ECANCELED);
    }

    /* So many syncs have begun. */
    void await_syncs(unsigned count) const
    {
        while (calls.count(ROMA__CALL_SYNC) < count)
            usleep(1000);
    }
};

} // namespace

TEMPLATE_TEST_CASE("what a wait for a write met is the error of every flush of the file",
                   "[prefetch]", by_ring, by_threads)
{
    SKIP_WHERE_EMULATED();
    disk_file other(MiB);
    awaited_writes<TestType> on;
    SKIP_WITHOUT(on.engine);
    on.results[1] = -EIO;
    on.held[1] = true;
    flusher first(on.engine, {on.most, on.rest});
    on.await(1);
    flusher second(on.engine, {on.rest}), third(on.engine, other);
    CHECK(third.code() == 0);
    on.await_syncs(2);
    CHECK(second.goes_on()); /* its sync said 0 */
    CHECK(first.goes_on());
    on.held[1] = false;
    CHECK(second.code() == -EIO);
    CHECK(first.range_codes() == std::vector<int>{-EIO, -EIO}); /* though its own sync said 0 */
    flusher fourth(on.engine, {on.rest});
    CHECK(fourth.code() == 0);
    CHECK(on.engine.figure("handles.live") == 0);
}

TEMPLATE_TEST_CASE("what a wait of a flush that is given up met is the next flush's error",
                   "[prefetch]", by_ring, by_threads)
{
    SKIP_WHERE_EMULATED();
    disk_file other(MiB);
    awaited_writes<TestType> on;
    SKIP_WITHOUT(on.engine);
    on.give_up_after(-ENOSPC);
    flusher elsewhere(on.engine, other);
    CHECK(elsewhere.code() == 0);
    flusher next(on.engine, {on.rest}); /* its own sync meets nothing */
    CHECK(next.code() == -ENOSPC);
    flusher last(on.engine, {on.most}); /* what is told is told */
    CHECK(last.code() == 0);
}

TEMPLATE_TEST_CASE("what a flush that is given up met is not told of a later file with its number",
                   "[prefetch]", by_ring, by_threads)
{
    SKIP_WHERE_EMULATED();
    awaited_writes<TestType> on;
    on.calls.born = 5;
    SKIP_WITHOUT(on.engine);
    on.give_up_after(-ENOSPC);
    on.calls.born = 6; /* it is another file now */
    flusher other(on.engine, {on.rest});
    CHECK(other.code() == 0);
    on.calls.born = 5;
    flusher same(on.engine, {on.rest});
    CHECK(same.code() == -ENOSPC);
}

TEMPLATE_TEST_CASE("what a wait for a write met is an error, whatever the file system calls it",
                   "[prefetch]", by_ring, by_threads)
{
    SKIP_WHERE_EMULATED();
    for (int code : {-EPERM, -EOPNOTSUPP, -EINVAL, -EAGAIN, -EINTR, -ESPIPE}) {
        awaited_writes<TestType> on;
        SKIP_WITHOUT(on.engine);
        on.results[2] = code;
        flusher flush(on.engine, {on.most});
        const bool is_passing = code == -EAGAIN || code == -EINTR;
        CHECK(flush.code() == (code == -ESPIPE ? 0 : is_passing ? -EIO : code));
    }
}

/* The pages may be lost then, and the sync finds nothing. */
TEMPLATE_TEST_CASE("what the beginning of a write met is the error of every flush of the file",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(8 * MiB), other(MiB);
    for (int code : {-EIO, -ENOSPC, -EUCLEAN, -EPERM, -EINTR, -EAGAIN, -ENOMEM, -ESPIPE}) {
        syncs on(ROMA__CALL_WRITE_RANGE, ROMA__CALL_WRITE_RANGE);
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        on.results[2] = code;
        on.held[2] = true;
        const bool is_told = code != -EINTR && code != -EAGAIN && code != -ENOMEM &&
                             code != -ESPIPE; /* of these the pages are dirty still */
        flusher flush(engine, file);
        on.await(2);
        flusher elsewhere(engine, other);
        CHECK(elsewhere.code() == 0);
        on.held[2] = false;
        CHECK(flush.code() == (is_told ? code : 0));
        CHECK(on.calls.count(ROMA__CALL_WRITE_RANGE) == 8);
        flusher next(engine, {file.range(0, MiB)});
        CHECK(next.code() == 0);
    }
}

/* Where a filter refuses the call it is none of the file's errors. */
TEMPLATE_TEST_CASE("a flush does without writes that a filter refuses", "[prefetch]", by_threads,
                   by_plain_calls)
{
    SKIP_WHERE_EMULATED();
    disk_file file(8 * MiB);
    faulty table;
    table.calls.sync_file_range = [](int, off_t, off_t, unsigned) {
        errno = EPERM;
        return -1;
    };
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    flusher flush(engine, file);
    CHECK(flush.code() == 0);
}

/* Whose pages these are too: the sync finds nothing of them. */
TEMPLATE_TEST_CASE("no flush is durable before the beginning that may have taken its error is back",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(8 * MiB);
    syncs on(ROMA__CALL_WRITE_RANGE, ROMA__CALL_WRITE_RANGE);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    on.held[1] = true;
    on.results[1] = -EIO;
    flusher first(engine, file);
    on.await(1);
    flusher second(engine, {file.range(0, MiB)});
    await_back(engine, 1); /* its sync */
    CHECK(second.goes_on());
    on.held[1] = false;
    CHECK(second.code() == -EIO);
    CHECK(first.code() == -EIO);
}

/* Its wait is never made, and nobody comes back for it. */
TEMPLATE_TEST_CASE("a flush does not wait for a write of one that is given up", "[prefetch]",
                   by_ring, by_threads)
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG + 2 * MiB);
    syncs on(ROMA__CALL_WRITE_RANGE);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    on.held[1] = true;
    owned_flush given_up(engine, file.range(0, LONG));
    on.await(1);
    owned_flush flush(engine, file.range(LONG, MiB));
    await_back(engine, 1);
    CHECK(roma_prefetch_cancel(given_up.self) == 0);
    on.held[1] = false;
    CHECK(given_up.wait() == -ECANCELED);
    CHECK(roma_prefetch_wait(flush.self, UINT64_C(20000000000)) == 0);
}

TEMPLATE_TEST_CASE("a flush does not wait for writes of others for longer than they take",
                   "[prefetch]", by_ring, by_threads)
{
    SKIP_WHERE_EMULATED();
    awaited_writes<TestType> on;
    SKIP_WITHOUT(on.engine);
    const int early_fd = dup(on.file.fd), late_fd = dup(on.file.fd);
    std::atomic<bool> early_held{true}, late_held{true};
    std::atomic<unsigned> late_waits{0}, synced{0};
    on.calls.begins = [&](const made_call &call) {
        late_waits += call.kind == ROMA__CALL_AWAIT_WRITE && call.fd == late_fd;
    };
    on.calls.ends = [&](const made_call &call, int result) {
        synced += call.kind == ROMA__CALL_SYNC;
        return result;
    };
    on.calls.holds = [&](const made_call &call) {
        return call.kind == ROMA__CALL_AWAIT_WRITE &&
               ((call.fd == early_fd && early_held) || (call.fd == late_fd && late_held));
    };
    flusher first(on.engine, early_fd, LONG);
    on.await(1);
    flusher second(on.engine, {on.rest});
    while (synced == 0)
        usleep(1000);
    await_quiet(on.engine); /* it knows of that, and the first stands still */
    flusher third(on.engine, late_fd, LONG);
    while (late_waits == 0)
        usleep(1000);
    CHECK(second.goes_on());
    early_held = false;
    CHECK(second.code() == 0); /* the third's writes began later */
    CHECK(first.goes_on());
    late_held = false;
    CHECK(first.code() == 0);
    CHECK(third.code() == 0);
    close(early_fd);
    close(late_fd);
}

TEMPLATE_TEST_CASE("a flush is not concerned by other files, nor by what is wrong with a call",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(4 * MiB), other(4 * MiB);
    syncs on(ROMA__CALL_SYNC);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    on.held[1] = true;
    SECTION("the error is of another file")
    {
        on.results[2] = -EIO;
        flusher first(engine, other);
        on.await(1);
        flusher second(engine, file);
        CHECK(second.code() == -EIO);
        flusher third(engine, file); /* and nobody waits for another file's sync */
        CHECK(third.code() == 0);
        on.held[1] = false;
        CHECK(first.code() == 0);
    }
    SECTION("but it is where the file system has a name of its own for lost pages")
    {
        on.results[2] = GENERATE(-EPERM, -EOPNOTSUPP);
        flusher first(engine, file);
        on.await(1);
        flusher second(engine, file);
        CHECK(second.code() == on.results[2]);
        on.held[1] = false;
        CHECK(first.code() == on.results[2]);
    }
    SECTION("the error is of the call")
    {
        on.results[2] = -EBADF;
        flusher first(engine, file);
        on.await(1);
        flusher second(engine, file);
        CHECK(second.code() == -EBADF);
        on.held[1] = false;
        CHECK(first.code() == 0);
    }
}

TEMPLATE_TEST_CASE("a flush does not wait for syncs that began after its own", "[prefetch]",
                   EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(MiB);
    syncs on(ROMA__CALL_SYNC);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    on.held[1] = on.held[3] = true;
    flusher first(engine, file);
    on.await(1);
    flusher second(engine, file);
    await_back(engine, 1);
    CHECK(second.goes_on()); /* waits for the first */
    flusher third(engine, file);
    on.await(3);
    on.held[1] = false;
    CHECK(first.goes_on()); /* waits for the third, which was in flight when it came back */
    CHECK(second.code() == 0);
    on.held[3] = false;
    CHECK(first.code() == 0);
    CHECK(third.code() == 0);
}

namespace {

/* Through which descriptors an engine syncs; calls of one kind through one of them are held. */
class watched_syncs {
  public:
    std::atomic<int> held_fd;

    /* The first sync is told that result, where it is one. */
    watched_syncs(roma__call_kind kind, int fd, int first_result = 0) : held_fd(fd)
    {
        calls_.begins = [this, kind](const made_call &call) {
            if (call.kind == ROMA__CALL_SYNC) {
                const std::lock_guard<std::mutex> hold(lock_);
                fds_.push_back(call.fd);
            }
            has_begun_ = has_begun_ || (call.kind == kind && call.fd == held_fd);
        };
        calls_.holds = [this, kind](const made_call &call) {
            return call.kind == kind && call.fd == held_fd;
        };
        calls_.ends = [first_result](const made_call &call, int result) {
            const bool is_first = call.kind == ROMA__CALL_SYNC && call.nth == 1;
            return is_first && first_result != 0 ? first_result : result;
        };
    }

    void await_held() const
    {
        while (!has_begun_)
            usleep(1000);
    }
    void let_go() { held_fd = -1; }
    std::vector<int> fds()
    {
        const std::lock_guard<std::mutex> hold(lock_);
        return fds_;
    }

  private:
    between calls_;
    std::atomic<bool> has_begun_{false};
    std::mutex lock_;
    std::vector<int> fds_;
};

roma_map *map_of(const disk_file &file)
{
    roma_map *map = nullptr;
    REQUIRE(roma_map_open(file.path.c_str(), nullptr, &map, nullptr) == 0);
    return map;
}

} // namespace

/* The maps that these close are submitted through, with plain calls, by a thread that is in the
 * engine still; it has read of them what it needs when a call has begun. */

TEMPLATE_TEST_CASE("a flush is synced through a descriptor that stays when its map is closed",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    const disk_file file(16 * MiB);
    const owned_map kept(file);
    roma_map *closed = map_of(file);
    for (const roma_file_range &other :
         {file.range(8 * MiB, 4 * MiB), kept.range(8 * MiB, 4 * MiB)}) {
        const int other_fd = other.map != nullptr ? roma_map_fd(other.map) : other.fd;
        watched_syncs syncs(ROMA__CALL_WRITE_RANGE, other_fd);
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        flusher flush(engine, {roma_file_range_of(closed, 0, 4 * MiB), other});
        syncs.await_held(); /* the map's writes are begun, and no sync yet */
        CHECK(roma_map_close(closed) == 0);
        syncs.let_go();
        CHECK(flush.code() == 0);
        CHECK(flush.range_codes() == std::vector<int>{0, 0});
        CHECK(syncs.fds() == std::vector<int>{other_fd});
        closed = map_of(file);
    }
    CHECK(roma_map_close(closed) == 0);
}

TEMPLATE_TEST_CASE("a sync that is interrupted goes on through a descriptor that stays",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    const disk_file file(4 * MiB);
    roma_map *closed = map_of(file);
    const int closed_fd = roma_map_fd(closed);
    {
        watched_syncs syncs(ROMA__CALL_SYNC, closed_fd, -EINTR);
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        flusher flush(engine, {roma_file_range_of(closed, 0, MiB), file.range(2 * MiB, MiB)});
        syncs.await_held();
        std::atomic<int> code{EINPROGRESS};
        waiting_thread closer([&] { code = roma_map_close(closed); });
        CHECK(code == EINPROGRESS); /* its descriptor is in use */
        syncs.held_fd = file.fd;
        for (int ms = 0; code == EINPROGRESS && ms < 10000; ms++)
            usleep(1000);
        CHECK(code == 0); /* while the sync goes on through the other one */
        CHECK(flush.goes_on());
        syncs.let_go();
        closer.join();
        CHECK(flush.code() == 0);
        CHECK(syncs.fds() == std::vector<int>{closed_fd, file.fd});
    }
}

TEMPLATE_TEST_CASE(
    "a flush through a map that is closed is not synced by who was asked for nothing", "[prefetch]",
    EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    const disk_file file(4 * MiB), other(4 * MiB);
    roma_map *closed = map_of(file);
    {
        watched_syncs syncs(ROMA__CALL_WRITE_RANGE, other.fd);
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        flusher flush(engine, {roma_file_range_of(closed, 0, MiB), file.range(0, 0),
                               other.range(0, other.bytes)});
        syncs.await_held();
        CHECK(roma_map_close(closed) == 0);
        syncs.let_go();
        CHECK(flush.code() == -ECANCELED);
        CHECK(flush.range_codes() == std::vector<int>{-ECANCELED, 0, 0});
        CHECK(syncs.fds() == std::vector<int>{other.fd});
    }
}

/* Filters that come after the engine: it has found that writes may be begun. */
TEMPLATE_TEST_CASE("a flush does without beginning writes when that is forbidden later",
                   "[prefetch]", by_threads, by_plain_calls)
{
    SKIP_WHERE_EMULATED();
    const int cause = GENERATE(EPERM, EACCES, ENOSYS);
    static std::atomic<int> forbidden;
    forbidden = 0;
    faulty table;
    table.calls.sync_file_range = [](int fd, off_t offset, off_t bytes, unsigned flags) {
        if (forbidden == 0)
            return roma__sys_kernel.sync_file_range(fd, offset, bytes, flags);
        errno = forbidden;
        return -1;
    };
    const disk_file file(16 * MiB);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    forbidden = cause;
    const roma_file_range all = file.range(0, file.bytes);
    owned_flush flush(engine, all);
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
    CHECK(engine.figure("flushed.bytes") == file.bytes);
    owned_flush next(engine, all); /* which is told of nothing */
    CHECK(next.wait() == 0);
}
