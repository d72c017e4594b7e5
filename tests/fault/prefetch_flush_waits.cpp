/* prefetch_flush_waits.cpp - how many writes of a flush are on their way, and a flush whose sync
 * may not begin yet, while another request is waited for. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "held_writes.hpp"
#include "soft_ring.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <unistd.h>

using namespace roma_tests;
using namespace soft_rings;

/* The flush has nothing in flight, and is not done. It was taken for done. */
TEST_CASE("a flush that must wait with its sync is not done before that", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    with_soft_rings rings;
    const size_t page = page_bytes();
    script.answers = 1; /* the write is over while the read is held still */
    script.holds = [](const roma__call &call) {
        return call.kind == ROMA__CALL_WRITE_RANGE ||
               (call.kind == ROMA__CALL_FADVISE && call.offset < 4 * MiB);
    };
    unsigned syncs = 0;
    script.result = [&](const roma__call &call, unsigned) {
        syncs += call.kind == ROMA__CALL_SYNC;
        return 0;
    };
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    options.budget_bytes = 2 * page;
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    REQUIRE(pwrite(file.fd, "x", 1, 0) == 1);
    owned_flush flush(engine, file.range(0, page));
    await_held();
    owned_handle held(engine, file.range(2 * MiB, page), ROMA_PREFETCH_ISSUED);
    while (engine.figure("flying.bytes") < 2 * page)
        usleep(1000);
    /* One more than the budget has: whoever comes now waits behind it. */
    owned_handle refused(engine, file.range(8 * MiB, page), ROMA_PREFETCH_ISSUED);
    while (!refused.progress().planned)
        usleep(1000);
    let_go = true;
    CHECK(flush.wait() == 0);
    CHECK(syncs == 1);
    CHECK(flush.progress().done_bytes == page);
    CHECK(held.wait() == 0);
    CHECK(refused.wait() == 0);
}

TEST_CASE("writes of a flush are on their way in a ring, sixteen at a time", "[prefetch]")
{
    WATCHED_FILE(file, 80 * MiB);
    with_soft_rings rings;
    faulty table;
    told_pages::put_into(&table.calls);
    told_pages::found = found_of_pages::UNDER_WAY;
    std::atomic<unsigned> waiting{0}, begun{0}, odd{0};
    script.room = 256;
    script.holds = [](const roma__call &call) { return call.kind == ROMA__CALL_WRITE_OUT; };
    script.result = [&](const roma__call &call, unsigned) {
        if (call.kind == ROMA__CALL_PAUSE)
            return 0;
        waiting += call.kind == ROMA__CALL_WRITE_OUT;
        begun += call.kind == ROMA__CALL_WRITE_RANGE;
        odd += call.kind == ROMA__CALL_WRITE_OUT && call.bytes != 4 * MiB;
        return NOT_MADE;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes)), other(engine, file.range(0, 16 * MiB));
    while (engine.figure("flying.bytes") < 64 * MiB)
        usleep(1000);
    usleep(50000); /* for more than there may be */
    CHECK(engine.figure("flying.bytes") == 64 * MiB);
    CHECK(odd == 0);
    let_go = true;
    CHECK(flush.wait() == 0);
    CHECK(other.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
    /* A sync each; a pause is no call. */
    CHECK(engine.figure("calls.count") == waiting + begun + 2);
}

TEST_CASE("writes of a flush are on their way in threads, sixteen at a time", "[prefetch]")
{
    WATCHED_FILE(file, 80 * MiB);
    held_writes writes(found_of_pages::UNDER_WAY);
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.hold(engine, file, 16, 4 * MiB);
    CHECK(writes.waiting > 16);
    CHECK(writes.odd == 0);
}

TEST_CASE("of few threads none waits for a write, and of eight four do", "[prefetch]")
{
    WATCHED_FILE(file, 128 * MiB);
    held_writes writes(found_of_pages::UNDER_WAY);
    const unsigned threads = GENERATE(7u, 8u);
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.threads = threads;
    owned_engine engine(options);
    writes.hold(engine, file, threads == 7 ? 7 : 4, threads == 7 ? 16 * MiB : 4 * MiB);
    CHECK((writes.waiting > 0) == (threads == 8));
    CHECK(writes.begun == (threads == 7 ? 8 : 0));
}

TEST_CASE("who makes the calls by himself does not wait for a write", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(64 * MiB);
    held_writes writes;
    owned_engine engine(ROMA_PREFETCH_PLAIN);
    writes.pass(engine, file);
    CHECK(writes.waiting == 0);
    CHECK(writes.begun == 4);
}

TEST_CASE("threads that could not be started count for nothing", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(64 * MiB);
    held_writes writes;
    owned_engine engine(ROMA_PREFETCH_POOL); /* one thread starts with it */
    REQUIRE(engine.self != nullptr);
    faulty table;
    table.calls.sync_file_range = writes.calls().sync_file_range;
    table.calls.thread_start = [](void **, void *(*)(void *), void *) {
        errno = EAGAIN;
        return -1;
    };
    writes.pass(engine, file);
    CHECK(writes.waiting == 0); /* it was found out with the plan */
    CHECK(writes.begun == 4);
}

TEST_CASE("of a byte budget a write that waits has a quarter, or does not wait", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(64 * MiB);
    held_writes writes(found_of_pages::UNKNOWN);
    const size_t budget = GENERATE(8 * MiB, 32 * MiB);
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.budget_bytes = budget;
    owned_engine engine(options);
    writes.hold(engine, file, budget == 8 * MiB ? 1 : 4, 8 * MiB);
    CHECK(writes.waiting == (budget == 8 * MiB ? 0 : 8));
    CHECK(writes.begun == (budget == 8 * MiB ? 8 : 0));
}

TEST_CASE("what a thread's write met is the flush's error, though its sync hears nothing",
          "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(64 * MiB);
    faulty table;
    table.calls.sync_file_range = [](int fd, off_t offset, off_t, unsigned) {
        errno = fd < 0 ? EBADF : EIO;
        return fd < 0 || offset == off_t(32 * MiB) ? -1 : 0;
    };
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(flush.wait() == -EIO);
    owned_flush next(engine, file.range(0, 4 * MiB));
    CHECK(next.wait() == 0);
}
