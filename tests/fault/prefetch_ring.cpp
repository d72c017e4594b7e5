/* prefetch_ring.cpp - rings that cannot be had, are small, busy, full or break: the engine goes
 * another way, or waits, and all that was asked for is done; who wants something else does not wait
 * with it. */
#include "faulty.hpp"
#include "soft_ring.hpp"

#include <cerrno>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

using namespace roma_tests;
using namespace soft_rings;

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

TEST_CASE("plain calls are as many as there are callers, also where nothing else could be had",
          "[prefetch]")
{
    constexpr int callers = 80; /* more than the depths that are set and those that follow */
    const size_t apart = 16 * page_bytes();
    COLD_FILE(file, callers * apart);
    with_soft_rings rings;
    script.open_codes = {{256, -EPERM}};
    faulty table;
    static std::atomic<int> begun;
    static std::atomic<bool> may_go;
    begun = 0;
    may_go = false;
    table.calls.thread_start = [](void **, void *(*)(void *), void *) {
        errno = EAGAIN;
        return -1;
    };
    table.calls.fadvise = [](int fd, off_t offset, off_t bytes, int advice) {
        begun++;
        while (!may_go)
            usleep(1000);
        return roma__sys_kernel.fadvise(fd, offset, bytes, advice);
    };
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_AUTO);
    options.dense_depth = options.sparse_depth = 1;
    roma_prefetch_engine *engine = nullptr;
    REQUIRE(roma_prefetch_create(&engine, &options, nullptr) == 0);
    roma_prefetch_report report = {};
    report.size = sizeof report;
    REQUIRE(roma_prefetch_backend(engine, &report) == 0);
    REQUIRE(report.way == ROMA_PREFETCH_PLAIN);
    CHECK(report.steps_count == 2);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (size_t i = 0; i < callers; i++)
        threads.emplace_back([&, i] {
            const roma_file_range page = file.range(i * apart, page_bytes());
            wrong += roma_prefetch_submit(engine, &page, 1, ROMA_PREFETCH_ISSUED, nullptr,
                                          nullptr) != 0;
        });
    for (int ms = 0; begun < callers && ms < 10000; ms++)
        usleep(1000);
    const int seen = begun;
    may_go = true;
    for (std::thread &thread : threads)
        thread.join();
    CHECK(seen == callers);
    CHECK(wrong == 0);
    CHECK(roma_prefetch_destroy(engine) == 0);
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

TEST_CASE("a ring of few entries does the same, later", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    for (unsigned room : {4u, 5u, 9u}) {
        const outcome seen = read_with(file, room);
        CHECK(seen.code == 0);
        CHECK(file.came(0, 8 * MiB) == 8 * MiB);
    }
}

TEST_CASE("a ring that is busy for a while is entered again", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
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
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    for (int code : {-EINTR, -EAGAIN, -ENOMEM}) {
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

TEST_CASE("what is queued is handed over before a callback runs", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    ring_engine engine;
    struct {
        unsigned made = 0, made_at_callback = 0;
    } second;
    owned_handle behind;
    script.result = [&](const roma__call &call, unsigned) {
        if (call.offset < 8 * MiB && behind.self == nullptr) { /* on the engine's thread */
            const roma_file_range range = file.range(8 * MiB, page_bytes());
            (void)roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_ISSUED, &behind.self,
                                       nullptr);
        }
        second.made += call.offset >= 8 * MiB;
        return 0;
    };
    owned_handle first(engine, file.range(0, page_bytes()), ROMA_PREFETCH_ISSUED);
    const auto note = [](void *context, roma_prefetch_handle *, int) {
        auto *seen = static_cast<decltype(second) *>(context);
        seen->made_at_callback = seen->made;
    };
    const int is_late = roma_prefetch_on_done(first.self, note, &second);
    REQUIRE(is_late >= 0);
    CHECK(first.wait() == 0);
    REQUIRE(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(behind.wait() == 0);
    CHECK(second.made == 1);
    CHECK(second.made_at_callback == 1);
}

TEST_CASE("a full ring is handed over, and goes on without an answer", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 64 * MiB);
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

TEST_CASE("thousands who want what is in flight keep nobody else waiting", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 64 * MiB);
    ring_engine engine;
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

TEST_CASE("a ring that breaks is left, and all that was asked for is done", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
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
        CHECK(file.came(0, file.bytes) == file.bytes);
        /* Handles may be done before the thread has come to its next enter. */
        for (int ms = 0; ms < 10000 && engine.report().way == ROMA_PREFETCH_URING; ms++)
            usleep(1000);
        const roma_prefetch_report report = engine.report();
        CHECK(report.way == ROMA_PREFETCH_POOL);
        CHECK(report.threads == 1);
        REQUIRE(report.steps_count == 1);
        CHECK(report.steps[0].error.code == -EPERM);
        CHECK(std::string(report.steps[0].error.call) == "io_uring_enter");
    }
}

TEST_CASE("a ring that cannot tell when it is wanted is left, and all is done", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    with_soft_rings rings;
    script.poll = [] { return -EACCES; };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    for (int ms = 0; ms < 10000 && engine.report().way == ROMA_PREFETCH_URING; ms++)
        usleep(1000);
    const roma_prefetch_report report = engine.report();
    CHECK(report.way == ROMA_PREFETCH_POOL);
    REQUIRE(report.steps_count == 1);
    CHECK(report.steps[0].error.code == -EACCES);
    CHECK(std::string(report.steps[0].error.call) == "IORING_OP_POLL_ADD");
    for (auto level : {ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_ISSUED}) {
        owned_handle handle(engine, file.range(0, file.bytes), level);
        CHECK(handle.wait() == 0);
    }
    CHECK(file.came(0, file.bytes) == file.bytes);
}

TEST_CASE("a ring that cannot tell for a while when it is wanted is asked again, now and then",
          "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    with_soft_rings rings;
    std::atomic<int> polls{0};
    std::atomic<bool> has_memory{false};
    script.poll = [&] {
        polls++;
        return has_memory ? 0 : -ENOMEM;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.lacks.empty());
    const auto start = std::chrono::steady_clock::now();
    usleep(50000);
    const int seen = polls;
    const auto spent = std::chrono::steady_clock::now() - start;
    CHECK(seen > 1);
    CHECK(seen <= std::chrono::duration_cast<std::chrono::milliseconds>(spent).count() + 10);
    owned_handle early(engine, file.range(0, 8 * MiB));
    CHECK(early.wait() == 0);
    has_memory = true;
    owned_handle late(engine, file.range(0, file.bytes));
    CHECK(late.wait() == 0);
    CHECK(engine.report().way == ROMA_PREFETCH_URING);
    CHECK(file.came(0, file.bytes) == file.bytes);
}
