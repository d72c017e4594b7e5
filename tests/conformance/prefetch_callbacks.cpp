/* prefetch_callbacks.cpp - what a callback of an engine may do with scans, and what a child that is
 * forked in one may do. */
#include "disk_file.hpp"
#include "engine.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <atomic>
#include <cerrno>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace roma_tests;

namespace {

/* Have `work` called back by a thread of the engine, once; one that comes late is called here, and
 * then another is tried. False: they all came late. */
template <class Work> bool call_back(const owned_engine &engine, const disk_file &file, Work work)
{
    struct call {
        Work *work;
        std::thread::id here;
        std::atomic<bool> over;
    } call = {&work, std::this_thread::get_id(), {false}};
    for (int tries = 0; tries < 100 && !call.over; tries++) {
        (void)file.chill();
        owned_handle handle(engine, file.range(0, file.bytes));
        const int set = roma_prefetch_on_done(
            handle.self,
            [](void *context, roma_prefetch_handle *, int) {
                auto *me = static_cast<struct call *>(context);
                if (std::this_thread::get_id() == me->here)
                    return;
                (*me->work)();
                me->over = true;
            },
            &call);
        REQUIRE(set >= 0);
        REQUIRE(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    }
    return call.over;
}

} // namespace

TEMPLATE_TEST_CASE("a scan neither goes on nor ends in a callback of its engine",
                   "[prefetch][scan]", by_ring, by_threads)
{
    const disk_file file(16 * MiB);
    const owned_map map(file);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const roma_file_range all = map.all();
    roma_scan *first = nullptr, *second = nullptr;
    REQUIRE(roma_scan_open(engine.self, &all, nullptr, &first, nullptr) == 0);
    roma_segment piece = map.segment(), segment;
    int next = 1, close = 1, open = 1;
    REQUIRE(call_back(engine, file, [&] {
        next = roma_scan_next(first, &piece);
        close = roma_scan_close(first);
        open = roma_scan_open(engine.self, &all, nullptr, &second, nullptr);
    }));
    CHECK(next == -EDEADLK);
    CHECK(piece.address == nullptr);
    CHECK(close == -EDEADLK);
    CHECK(open == 0);
    CHECK(roma_map_close(map.self) == -EBUSY);
    for (roma_scan *scan : {first, second}) { /* as if nothing had been tried */
        CHECK(roma_scan_next(scan, &segment) == 1);
        CHECK(segment.address == map.address());
        CHECK(roma_scan_close(scan) == 0);
    }
}

TEST_CASE("what is cancelled in parts before it was looked at is looked at no more", "[prefetch]")
{
    const disk_file file(16 * MiB);
    owned_engine engine(ROMA_PREFETCH_URING); /* whose thread is in the callback */
    SKIP_WITHOUT(engine);
    roma_prefetch_handle *handle = nullptr;
    std::atomic<int> state{0};
    int canceled = 0, code = 0;
    std::thread other([&] {
        while (state != 1)
            usleep(100);
        const int fd = dup(file.fd);
        const roma_file_range all = roma_file_range_own(fd, 0, nullptr, 8 * MiB),
                              parts[] = {roma_file_range_own(fd, 0, nullptr, 3 * MiB),
                                         roma_file_range_own(fd, 5 * MiB, nullptr, 3 * MiB),
                                         roma_file_range_own(fd, 3 * MiB, nullptr, 2 * MiB)};
        (void)roma_prefetch_submit(engine.self, &all, 1, ROMA_PREFETCH_RESIDENT, &handle, nullptr);
        canceled = static_cast<int>(roma_prefetch_cancel_ranges(engine.self, parts, 3, nullptr));
        close(fd);
        state = 2;
    });
    const bool was_called = call_back(engine, file, [&] {
        state = 1;
        while (state != 2)
            usleep(100);
    });
    state = 1; /* for who was never called */
    other.join();
    REQUIRE(was_called);
    REQUIRE(handle != nullptr);
    CHECK(canceled >= 1);
    code = roma_prefetch_wait(handle, ROMA_FOREVER);
    CHECK(code == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle, 0, nullptr) == -ECANCELED);
    roma_prefetch_close(handle);
}

TEMPLATE_TEST_CASE("a child that is forked in a callback may end what it has", "[prefetch][scan]",
                   by_ring, by_threads)
{
    const disk_file file(16 * MiB);
    const owned_map map(file);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const roma_file_range all = map.all();
    roma_scan *scan = nullptr;
    REQUIRE(roma_scan_open(engine.self, &all, nullptr, &scan, nullptr) == 0);
    pid_t child = -1;
    REQUIRE(call_back(engine, file, [&] {
        child = fork();
        if (child != 0)
            return;
        if (roma_scan_close(scan) != 0)
            _exit(1);
        if (roma_map_close(map.self) != 0)
            _exit(2);
        _exit(roma_prefetch_destroy(engine.self) == 0 ? 0 : 3);
    }));
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(roma_scan_close(scan) == 0);
}
