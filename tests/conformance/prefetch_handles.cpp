/* prefetch_handles.cpp - what every way of an engine must hold to: handles, their ends, fork. */
#include "between.hpp"
#include "disk_file.hpp"
#include "engine.hpp"

#include <roma/prefetch.h>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <poll.h>
#include <string>
#include <sys/wait.h>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* Wait for a handle of which something was cancelled: it may have been read before that, and every
 * byte of it is accounted for. */
int end_of_cancelled(owned_handle &handle)
{
    const int code = handle.wait();
    CHECK((code == 0 || code == -ECANCELED));
    CHECK(adds_up(handle.progress()));
    return code;
}

} // namespace

TEMPLATE_TEST_CASE("waiting has a time-out, and polling does not wait", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(16 * MiB);
    (void)file.chill();
    owned_handle handle(engine, file.range(0, file.bytes));
    int code = -ETIMEDOUT;
    for (int tries = 0; code == -ETIMEDOUT && tries < 100000; tries++)
        code = roma_prefetch_wait(handle.self, 100000);
    CHECK(code == 0);
    CHECK(roma_prefetch_wait(handle.self, 0) == 0);
    CHECK(roma_prefetch_poll(handle.self) == 1);
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(roma_prefetch_wait(nullptr, 0) == -EINVAL);
    CHECK(roma_prefetch_poll(nullptr) == -EINVAL);
}

TEMPLATE_TEST_CASE("a callback comes once, and late ones at once", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(16 * MiB);
    (void)file.chill();
    struct seen {
        std::atomic<int> calls{0}, code{1};
    } seen;
    const roma_on_done note = [](void *context, roma_prefetch_handle *, int code) {
        auto *me = static_cast<struct seen *>(context);
        me->code = code;
        me->calls++;
    };
    {
        owned_handle handle(engine, file.range(0, file.bytes));
        const int set = roma_prefetch_on_done(handle.self, note, &seen);
        CHECK((set == 0 || set == 1));
        if (set == 0 && roma_prefetch_poll(handle.self) == 0)
            CHECK(roma_prefetch_on_done(handle.self, note, &seen) <= 1);
        CHECK(handle.wait() == 0);
        REQUIRE(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
        for (int tries = 0; seen.calls == 0 && tries < 10000; tries++)
            usleep(100);
        CHECK(seen.calls >= 1);
        CHECK(seen.code == 0);
        const int before = seen.calls;
        CHECK(roma_prefetch_on_done(handle.self, note, &seen) == 1);
        CHECK(seen.calls == before + 1);
        CHECK(roma_prefetch_on_done(handle.self, nullptr, nullptr) == 0);
    }
}

namespace {

/* What a callback does that submits, tries to wait, and closes its own handle. */
struct chain {
    roma_prefetch_engine *engine;
    roma_file_range range;
    int left = 3;
    std::atomic<bool> over{false};
    roma_map *map = nullptr;
    std::atomic<int> waited{0}, submitted{0}, cancelled{0}, destroyed{0}, closed{0};

    static void next(void *context, roma_prefetch_handle *handle, int)
    {
        auto *me = static_cast<chain *>(context);
        roma_prefetch_close(handle);
        if (me->left-- == 0) {
            me->over = true;
            return;
        }
        roma_prefetch_handle *more = nullptr;
        me->submitted = roma_prefetch_submit(me->engine, &me->range, 1, ROMA_PREFETCH_RESIDENT,
                                             &more, nullptr);
        me->waited = roma_prefetch_drain(me->engine, ROMA_FOREVER);
        me->cancelled = static_cast<int>(roma_prefetch_cancel_all(me->engine));
        me->destroyed = roma_prefetch_destroy(me->engine);
        me->closed = roma_map_close(me->map);
        if (roma_prefetch_on_done(more, next, me) < 0)
            std::abort();
    }
};

} // namespace

TEMPLATE_TEST_CASE("a callback may submit and close handles, not wait, destroy nor close maps",
                   "[prefetch]", EVERY_WAY)
{
    const int not_yet = 99;
    std::atomic<int> set{not_yet};
    chain chain;
    roma_prefetch_handle *first = nullptr;
    between calls; /* the first read does not end before the callback is set, */
    calls.holds = [&](const made_call &) { return set == not_yet; };
    calls.begins = [&](const made_call &call) { /* by the submitter itself where it is blocked */
                                                if (TestType::way == ROMA_PREFETCH_PLAIN &&
                                                    call.kind == ROMA__CALL_POPULATE && set != 0)
                                                    set = roma_prefetch_on_done(first, chain::next,
                                                                                &chain);
    };
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(8 * MiB);
    (void)file.chill();
    owned_map map(file);
    chain.map = map.self;
    chain.engine = engine.self;
    chain.range = file.range(0, file.bytes);
    const roma_file_range all = map.all(); /* mapping them is a call wherever they are */
    REQUIRE(roma_prefetch_submit(engine.self, &all, 1, ROMA_PREFETCH_MAPPED, &first, nullptr) == 0);
    if (TestType::way != ROMA_PREFETCH_PLAIN)
        set = roma_prefetch_on_done(first, chain::next, &chain);
    CHECK(set == 0);
    for (int tries = 0; !chain.over && tries < 100000; tries++)
        usleep(100);
    REQUIRE(chain.over);
    CHECK(chain.submitted == 0);
    CHECK(chain.waited == -EDEADLK);
    CHECK(chain.cancelled == -EDEADLK);
    CHECK(chain.destroyed == -EDEADLK);
    CHECK(chain.closed == -EDEADLK);
}

TEMPLATE_TEST_CASE("a descriptor becomes readable when a handle is done", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(16 * MiB);
    (void)file.chill();
    owned_handle handle(engine, file.range(0, file.bytes));
    const int fd = roma_prefetch_eventfd(handle.self);
    REQUIRE(fd >= 0);
    CHECK(roma_prefetch_eventfd(handle.self) == fd);
    struct pollfd wait = {fd, POLLIN, 0};
    CHECK(poll(&wait, 1, 60000) == 1);
    CHECK(roma_prefetch_poll(handle.self) == 1);
}

TEMPLATE_TEST_CASE("an engine is drained when its last callback has returned", "[prefetch]",
                   by_ring, by_threads)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(24 * MiB);
    for (int round = 0; round < 20; round++) {
        std::atomic<int> state{0};
        (void)file.chill();
        owned_handle handle(engine, file.range(0, file.bytes));
        const int code = roma_prefetch_on_done(
            handle.self,
            [](void *context, roma_prefetch_handle *, int) {
                auto *told = static_cast<std::atomic<int> *>(context);
                *told = 1;
                usleep(20000);
                *told = 2;
            },
            &state);
        REQUIRE(code >= 0);
        CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
        CHECK(state == 2);
    }
}

TEMPLATE_TEST_CASE("a handle that is let go of goes on", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    COLD_FILE(file, 16 * MiB);
    const roma_file_range half = file.range(0, 8 * MiB), rest = file.range(8 * MiB, 8 * MiB);
    REQUIRE(roma_prefetch_submit(engine.self, &half, 1, ROMA_PREFETCH_RESIDENT, nullptr, nullptr) ==
            0);
    roma_prefetch_handle *handle = nullptr;
    REQUIRE(roma_prefetch_submit(engine.self, &rest, 1, ROMA_PREFETCH_RESIDENT, &handle, nullptr) ==
            0);
    roma_prefetch_close(handle);
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(file.came(0, file.bytes) == file.bytes);
    CHECK(engine.figure("handles.live") == 0);
}

TEMPLATE_TEST_CASE("a cancelled handle ends, and says what was done", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(64 * MiB);
    for (int round = 0; round < 5; round++) {
        (void)file.chill();
        owned_handle handle(engine, file.range(0, file.bytes));
        usleep(static_cast<useconds_t>(round * 700));
        CHECK(roma_prefetch_cancel(handle.self) == 0);
        const int code = end_of_cancelled(handle);
        CHECK((code == -ECANCELED) == (handle.progress().cancelled_bytes > 0));
        roma_error error = {};
        CHECK(roma_prefetch_range_error(handle.self, 0, &error) == code);
        CHECK((error.why == ROMA_WHY_CANCELLED) == (code != 0));
        CHECK(roma_prefetch_cancel(handle.self) == 0);
    }
    CHECK(engine.figure("flying.bytes") == 0);
}

TEMPLATE_TEST_CASE("a handle of no bytes is done, whenever it is given up", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(MiB);
    const roma_file_range ranges[] = {file.range(0, 0), file.range(5000, 0)};
    unsigned cancelled = 0, failed = 0;
    for (int tries = 0; tries < 200; tries++) { /* some of them before anybody comes to it */
        owned_handle handle(engine, ranges, tries % 3);
        REQUIRE(roma_prefetch_cancel(handle.self) == 0);
        cancelled += handle.wait() != 0;
        failed += handle.progress().failed_ranges != 0;
    }
    CHECK(cancelled == 0);
    CHECK(failed == 0);
    CHECK(engine.figure("cancelled.bytes") == 0);
}

TEMPLATE_TEST_CASE("cancelled ranges may be unmapped and closed at once", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(48 * MiB), other(16 * MiB);
    (void)file.chill();
    (void)other.chill();
    const int fd = open(file.path.c_str(), O_RDONLY);
    REQUIRE(fd >= 0);
    void *own = mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, fd, 0);
    REQUIRE(own != MAP_FAILED);
    const roma_file_range ranges[] = {roma_file_range_own(fd, 0, own, file.bytes),
                                      other.range(0, other.bytes)};
    owned_handle mapped(engine, ranges, 1, ROMA_PREFETCH_MAPPED);
    owned_handle both(engine, ranges, 2);
    const int64_t count = roma_prefetch_cancel_ranges(engine.self, ranges, 1, nullptr);
    CHECK(count >= 0);
    CHECK(count <= 2);
    munmap(own, file.bytes);
    close(fd);
    for (owned_handle *handle : {&mapped, &both})
        end_of_cancelled(*handle);
    CHECK(roma_prefetch_range_error(both.self, 1, nullptr) == 0); /* the other file was read */
    CHECK(roma_prefetch_cancel_ranges(engine.self, ranges, 1, nullptr) == -EBADF);
}

TEMPLATE_TEST_CASE("a part of a handle can be cancelled", "[prefetch]", EVERY_WAY)
{
    roma_prefetch_options options = owned_engine::with_way(TestType::way);
    options.chunk_bytes = page_bytes() * 16; /* slow, so that there is something to cancel */
    options.dense_depth = 1;
    owned_engine engine(options);
    SKIP_WITHOUT(engine);
    disk_file file(32 * MiB);
    (void)file.chill();
    owned_handle handle(engine, file.range(0, file.bytes));
    const roma_file_range part = file.range(20 * MiB, 4 * MiB);
    CHECK(roma_prefetch_cancel_ranges(engine.self, &part, 1, nullptr) >= 0);
    end_of_cancelled(handle);
    CHECK(handle.progress().cancelled_bytes <= 4 * MiB);
}

TEMPLATE_TEST_CASE("all can be cancelled", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(32 * MiB);
    (void)file.chill();
    owned_handle first(engine, file.range(0, file.bytes)), second(engine, file.range(5, MiB));
    CHECK(roma_prefetch_cancel_all(engine.self) >= 0);
    CHECK(roma_prefetch_poll(first.self) == 1);
    CHECK(roma_prefetch_poll(second.self) == 1);
    CHECK(roma_prefetch_cancel_all(engine.self) == 0);
}

TEMPLATE_TEST_CASE("a map is closed with requests in flight", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(48 * MiB);
    for (roma_prefetch_level level : {ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED}) {
        (void)file.chill();
        roma_map *map = nullptr;
        REQUIRE(roma_map_open(file.path.c_str(), nullptr, &map, nullptr) == 0);
        owned_handle handle(engine, roma_file_range_of(map, 0, file.bytes), level);
        CHECK(roma_map_close(map) == 0);
        end_of_cancelled(handle);
    }
}

TEMPLATE_TEST_CASE("handles outlive their engine", "[prefetch]", EVERY_WAY)
{
    disk_file file(48 * MiB);
    (void)file.chill();
    roma_prefetch_handle *handle = nullptr;
    {
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        const roma_file_range range = file.range(0, file.bytes);
        REQUIRE(roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_RESIDENT, &handle,
                                     nullptr) == 0);
    }
    const int code = roma_prefetch_wait(handle, ROMA_FOREVER);
    CHECK((code == 0 || code == -ECANCELED));
    CHECK(roma_prefetch_poll(handle) == 1);
    CHECK(roma_prefetch_eventfd(handle) >= 0);
    CHECK(roma_prefetch_cancel(handle) == 0);
    roma_prefetch_close(handle);
}

/* Pages that were read, reclaimed and read again, of all files of the machine. */
static uint64_t refaults()
{
    std::ifstream counters("/proc/vmstat");
    std::string name;
    for (uint64_t count = 0; counters >> name >> count;)
        if (name == "workingset_refault_file") /* Linux 5.9 */
            return count;
    return 0;
}

TEMPLATE_TEST_CASE("what two handles want at once is read once", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    FILE_ON_DISK(file, 64 * MiB);
    bool is_twice = true, is_disturbed = true;
    for (unsigned tries = 0; is_twice && is_disturbed && tries < 10; tries++) {
        REQUIRE(file.chill());
        const uint64_t refaults_before = refaults(), read_before = engine.figure("read.bytes");
        owned_handle first(engine, file.range(0, file.bytes)),
            second(engine, file.range(0, file.bytes));
        CHECK(first.wait() == 0);
        CHECK(second.wait() == 0);
        const uint64_t read = engine.figure("read.bytes"), joined = engine.figure("joined.bytes"),
                       resident = engine.figure("resident.bytes");
        CHECK(read + joined + resident == (tries + 1) * 2 * file.bytes);
        CHECK(adds_up(first.progress()));
        CHECK(adds_up(second.progress()));
        /* A look may come before the last page of a chunk is in. */
        is_twice = read - read_before > file.bytes + 8 * MiB;
        is_disturbed = refaults() != refaults_before;
    }
    CHECK_FALSE(is_twice);
}

namespace {

/* Descriptors of io_uring that this process has. */
int rings_open()
{
    int count = 0;
    for (int fd = 0; fd < 1024; fd++) {
        char target[64] = "";
        const std::string link = "/proc/self/fd/" + std::to_string(fd);
        if (readlink(link.c_str(), target, sizeof target - 1) > 0)
            count += std::strstr(target, "io_uring") != nullptr;
    }
    return count;
}

} // namespace

TEMPLATE_TEST_CASE("a child of fork has no engine, and its parent goes on", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(48 * MiB);
    owned_map map(file);
    (void)file.chill();
    owned_handle handle(engine, map.all()), later(engine, map.all());
    const roma_file_range range = map.all();
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        roma_prefetch_handle *own = nullptr;
        roma_prefetch_progress progress = {};
        progress.size = sizeof progress;
        roma_prefetch_report report = {};
        report.size = sizeof report;
        int wrong = 0;
        wrong += roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_ISSUED, &own,
                                      nullptr) != -ESTALE;
        wrong += roma_prefetch_wait(handle.self, ROMA_FOREVER) != -ESTALE;
        wrong += roma_prefetch_poll(handle.self) != -ESTALE;
        wrong += roma_prefetch_cancel(handle.self) != -ESTALE;
        wrong += roma_prefetch_cancel_all(engine.self) != -ESTALE;
        wrong += roma_prefetch_drain(engine.self, 0) != -ESTALE;
        wrong += roma_prefetch_eventfd(handle.self) != -ESTALE;
        wrong += roma_prefetch_progress_of(handle.self, &progress) != -ESTALE;
        wrong += roma_prefetch_backend(engine.self, &report) != -ESTALE;
        roma_prefetch_close(handle.self);
        wrong += roma_prefetch_destroy(engine.self) != 0;
        wrong += rings_open() != 0; /* their memory would count as its parent's */
        wrong += roma_prefetch_poll(later.self) != -ESTALE; /* it outlives its engine here, too */
        wrong += roma_prefetch_wait(later.self, 0) != -ESTALE;
        roma_prefetch_close(later.self);
        wrong += !disk_file::holds(map.address(), 0, file.bytes); /* the map is there */
        wrong += roma_map_close(map.self) != 0;
#ifndef ROMA_TESTS_UNDER_TSAN                    /* which has no threads after fork */
        roma_prefetch_engine *another = nullptr; /* one of its own works */
        roma_prefetch_options options = owned_engine::with_way(TestType::way);
        wrong += roma_prefetch_create(&another, &options, nullptr) != 0;
        const roma_file_range again = file.range(0, file.bytes);
        wrong += roma_prefetch_submit(another, &again, 1, ROMA_PREFETCH_RESIDENT, &own, nullptr) !=
                 0;
        wrong += roma_prefetch_wait(own, ROMA_FOREVER) != 0;
        roma_prefetch_close(own);
        wrong += roma_prefetch_destroy(another) != 0;
#endif
        _exit(wrong);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(handle.wait() == 0);
}
