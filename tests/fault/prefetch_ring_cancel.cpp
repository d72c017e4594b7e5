/* prefetch_ring_cancel.cpp - cancelling while calls are in a ring: what is in flight comes back
 * first, what has not begun or waits for another try is left, and nothing else is. */
#include "asleep.hpp"
#include "soft_ring.hpp"

#include <atomic>
#include <cerrno>
#include <thread>

using namespace roma_tests;
using namespace soft_rings;

TEST_CASE("cancelling ranges returns when what is in flight there has come back", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 64 * MiB);
    ring_engine engine;
    script.holds = is_populate;
    const roma_file_range range = file.range(0, file.bytes);
    owned_handle handle(engine, range);
    await_held();
    std::atomic<bool> returned{false};
    waiting_thread canceller([&] {
        (void)roma_prefetch_cancel_ranges(engine.self, &range, 1, nullptr);
        returned = true;
    });
    const bool early = returned;
    let_go = true;
    canceller.join();
    CHECK_FALSE(early);
    CHECK(handle.wait() == -ECANCELED);
    CHECK(handle.progress().cancelled_bytes >= 32 * MiB);
}

TEST_CASE("many cancels of parts that touch leave the rest alone", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 64 * MiB);
    ring_engine engine;
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

TEST_CASE("what waits to be read again is not read in what was given up", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 32 * MiB);
    ring_engine engine;
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
    waiting_thread canceller([&] {
        (void)roma_prefetch_cancel_ranges(engine.self, &ranges[1], 1, nullptr);
        has_left = true;
    });
    let_go = true;
    canceller.join();
    CHECK(handle.wait() == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 2, nullptr) == 0);
    CHECK(wrong == 0);
}

TEST_CASE("a flush that is given up before its sync has done nothing", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    disk_file file(40 * MiB);
    ring_engine engine;
    const roma_file_range range = file.range(0, file.bytes);
    for (bool by_range : {false, true}) {
        std::atomic<bool> has_begun{false}, goes_on{false};
        script.result = [&](const roma__call &call, unsigned) {
            has_begun = true;
            while (!goes_on)
                usleep(1000);
            return call.kind == ROMA__CALL_SYNC ? -EIO : 0; /* there is to be none */
        };
        owned_flush flush(engine, range);
        while (!has_begun)
            usleep(1000);
        std::atomic<bool> is_called{false};
        std::thread canceller([&] {
            is_called = true;
            if (by_range)
                (void)roma_prefetch_cancel_ranges(engine.self, &range, 1, nullptr);
            else
                (void)roma_prefetch_cancel(flush.self);
        });
        while (!is_called)
            usleep(1000);
        usleep(200000); /* until it waits for what is in flight, if it does */
        goes_on = true;
        canceller.join();
        CHECK(flush.wait() == -ECANCELED);
        CHECK(flush.progress().done_bytes == 0);
        CHECK(flush.progress().cancelled_bytes == file.bytes);
    }
    CHECK(engine.figure("read.bytes") == 0);
}
