/* prefetch_flush.cpp - an error in writing back reaches every flush that it concerns, in each way,
 * though the kernel tells of it once: to the sync that asks first.
 *
 * The first sync of a test, the second and so on are told what the test says, and come back in the
 * order that it says. */
#include "between.hpp"
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <thread>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* Calls of one kind: results of the n-th, and which of them may come back. */
struct syncs {
    static constexpr unsigned MOST = 8;

    between calls;
    roma__call_kind kind;
    std::array<std::atomic<bool>, MOST> held{};
    std::array<int, MOST> results{};

    explicit syncs(roma__call_kind which) : kind(which)
    {
        calls.holds = [this](const made_call &call) {
            return call.kind == kind && call.nth < MOST && held[call.nth];
        };
        calls.ends = [this](const made_call &call, int result) {
            const bool is_told = call.kind == ROMA__CALL_SYNC && call.nth < MOST;
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

/* A flush of all of a file, by a thread of its own: with plain calls its submitter is blocked. */
class flusher {
  public:
    flusher(const owned_engine &engine, int fd, size_t bytes)
        : thread_([this, self = engine.self, fd, bytes] {
              const roma_file_range all = roma_file_range_own(fd, 0, nullptr, bytes);
              roma_prefetch_handle *handle = nullptr;
              int result = roma_flush_submit(self, &all, 1, &handle, nullptr);
              if (result == 0)
                  result = roma_prefetch_wait(handle, ROMA_FOREVER);
              roma_prefetch_close(handle);
              code_ = result;
          })
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

  private:
    enum : int { RUNS = 1 };
    std::atomic<int> code_{RUNS};
    std::thread thread_;
};

} // namespace

TEMPLATE_TEST_CASE("no flush is durable before the sync that may have taken its error is back",
                   "[prefetch]", EVERY_WAY)
{
    SKIP_WHERE_EMULATED();
    disk_file file(4 * MiB);
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
        await_back(engine, 3); /* two beginnings of writes, and the second's sync */
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
        await_back(engine, 3); /* two beginnings of writes, and the second's sync */
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
        await_back(engine, 3);
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
    disk_file file(4 * MiB);
    syncs on(ROMA__CALL_SYNC);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    on.held[1] = on.held[3] = true;
    flusher first(engine, file);
    on.await(1);
    flusher second(engine, file);
    await_back(engine, 3);
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
