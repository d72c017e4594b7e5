/* prefetch_flush_waits.cpp - of a flush one write at a time is begun, and some are waited for: how
 * many, and for which; and a flush whose sync may not begin yet, while another request is waited
 * for. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "held_writes.hpp"
#include "soft_ring.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace roma_tests;
using namespace soft_rings;

/* The flush has nothing in flight, and is not done. It was taken for done. */
TEST_CASE("a flush that must wait with its sync is not done before that", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 16 * MiB);
    with_soft_rings rings;
    const size_t page = page_bytes();
    script.holds = [](const roma__call &call) {
        return call.kind == ROMA__CALL_FADVISE && call.offset < 4 * MiB;
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
    owned_handle held(engine, file.range(2 * MiB, 2 * page), ROMA_PREFETCH_ISSUED);
    await_held();
    /* One more than the budget has: whoever comes now waits behind it. */
    owned_handle refused(engine, file.range(8 * MiB, page), ROMA_PREFETCH_ISSUED);
    while (!refused.progress().planned)
        usleep(1000);
    owned_flush flush(engine, file.range(0, page));
    while (!flush.progress().planned)
        usleep(1000);
    usleep(20000);
    CHECK(roma_prefetch_poll(flush.self) == 0);
    let_go = true;
    CHECK(flush.wait() == 0);
    CHECK(syncs == 1);
    CHECK(flush.progress().done_bytes == page);
    CHECK(held.wait() == 0);
    CHECK(refused.wait() == 0);
}

namespace {

/* Of a flush of 512 MiB: eight of 1 MiB, and 126 of 4; the last 96 MiB are left to the sync. */
constexpr size_t LONG = 512 * MiB;
constexpr unsigned LONG_WRITES = 8 + 126, LONG_AWAITED_MOST = LONG_WRITES - 24;

} // namespace

TEST_CASE("of a flush one write at a time is begun", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(64 * MiB);
    held_writes writes(200);
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.pass(engine, file);
    CHECK(writes.begun == 8 + 14);
    CHECK(writes.beginning_most == 1);
    CHECK(writes.least_bytes == off_t(1 * MiB));
    CHECK(writes.most_bytes == off_t(4 * MiB));
    CHECK(writes.awaited == 0); /* nothing is to come behind that would wait for these */
    CHECK(writes.odd == 0);
}

TEST_CASE("writes of flushes are on their way in threads, 24 at a time", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG), other(LONG);
    held_writes writes;
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    {
        owned_flush flush(engine, file.range(0, file.bytes));
        CHECK(writes.await(24));
        CHECK(writes.begun == 24);
        owned_flush second(engine, other.range(0, other.bytes));
        usleep(50000);
        CHECK(writes.now == 24); /* of all flushes */
        writes.let_all_go();
        CHECK(flush.wait() == 0);
        CHECK(second.wait() == 0);
    }
    CHECK(writes.begun == 2 * LONG_WRITES);
    CHECK(writes.awaited <= 2 * LONG_AWAITED_MOST);
    CHECK(writes.odd == 0);
}

TEST_CASE("a flush does not take the device for idle that another one keeps busy", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(52 * MiB), other(LONG);
    held_writes writes;
    writes.only_fd = file.fd;
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.threads = 16; /* twelve on their way: the last 48 MiB are not waited for */
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    owned_flush busy(engine, file.range(0, file.bytes));
    CHECK(writes.await(4));
    owned_flush flush(engine, other.range(0, other.bytes));
    CHECK(flush.wait() == 0);
    CHECK(writes.awaited == 4 + LONG_WRITES - 12);
    writes.let_all_go();
    CHECK(busy.wait() == 0);
}

TEST_CASE("writes of a flush are on their way in a ring, 24 at a time", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    with_soft_rings rings;
    std::atomic<unsigned> begun{0}, awaited{0};
    script.room = 256;
    script.holds = [](const roma__call &call) { return call.kind == ROMA__CALL_AWAIT_WRITE; };
    script.result = [&](const roma__call &call, unsigned) {
        begun += call.kind == ROMA__CALL_WRITE_RANGE;
        awaited += call.kind == ROMA__CALL_AWAIT_WRITE;
        return NOT_MADE;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    while (engine.figure("flying.bytes") < (8 + 16 * 4) * MiB)
        usleep(1000);
    while (begun < 24)
        usleep(1000);
    usleep(50000); /* for more than there may be */
    CHECK(engine.figure("flying.bytes") == (8 + 16 * 4) * MiB);
    CHECK(begun == 24);
    let_go = true;
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
    CHECK(begun == LONG_WRITES);
    CHECK(awaited >= 24);
    CHECK(awaited <= LONG_AWAITED_MOST);
    CHECK(engine.figure("calls.count") == begun + awaited + 1);
}

TEST_CASE("where the device waits for who prepares few writes are waited for", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(2048 * MiB);
    held_writes writes(2000); /* by then the wait before it is over */
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.pass(engine, file);
    CHECK(writes.begun == 8 + 510);
    CHECK(writes.awaited > 8 + 3);
    CHECK(writes.awaited < 518 / 4);
    CHECK(writes.beginning_most == 1);
}

/* A thread that always finds the next write of the flush would not even plan the read. */
TEST_CASE("one thread does not keep a read behind all writes of a flush", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(2048 * MiB);
    disk_file other(MiB);
    held_writes writes(1000);
    writes.let_all_go();
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.threads = 1;
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    while (writes.begun == 0)
        usleep(100);
    owned_handle read(engine, other.range(0, MiB));
    CHECK(read.wait() == 0);
    CHECK(writes.begun < 8 + 510);
    CHECK(flush.wait() == 0);
    CHECK(writes.begun == 8 + 510);
}

/* No depth is free, and it is none that they need. */
TEST_CASE("writes are waited for while all places are taken by reads", "[prefetch]")
{
    NEEDS_POPULATE();
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    COLD_FILE(other, 32 * MiB);
    with_soft_rings rings;
    std::atomic<unsigned> begun{0}, awaited{0};
    script.room = 256;
    script.holds = [](const roma__call &call) {
        return call.kind == ROMA__CALL_FADVISE || call.kind == ROMA__CALL_POPULATE;
    };
    script.result = [&](const roma__call &call, unsigned) {
        begun += call.kind == ROMA__CALL_WRITE_RANGE;
        awaited += call.kind == ROMA__CALL_AWAIT_WRITE;
        const bool is_write = call.kind == ROMA__CALL_WRITE_RANGE ||
                              call.kind == ROMA__CALL_AWAIT_WRITE;
        return is_write ? NOT_MADE : 0;
    };
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    options.dense_depth = 1;
    options.sparse_depth = 8;
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    owned_handle dense(engine, other.range(0, 8 * MiB));
    std::vector<roma_file_range> ranges;
    for (unsigned i = 0; i < 7; i++)
        ranges.push_back(other.range((10 + 2 * i) * MiB, page_bytes()));
    owned_handle sparse(engine, ranges.data(), ranges.size(), ROMA_PREFETCH_ISSUED);
    await_held();
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(flush.wait() == 0);
    CHECK(begun == LONG_WRITES);
    CHECK(awaited > 0);
    let_go = true;
    CHECK(dense.wait() == 0);
    CHECK(sparse.wait() == 0);
}

TEST_CASE("what a ring gives up of a flush is made, or left to the sync", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    with_soft_rings rings;
    static std::atomic<unsigned> made, waits;
    made = waits = 0;
    static std::atomic<bool> is_refused;
    is_refused = GENERATE(false, true); /* and that is none of the file's errors */
    faulty table;
    table.calls.sync_file_range = [](int fd, off_t, off_t, unsigned flags) {
        if (fd >= 0)
            (flags == SYNC_FILE_RANGE_WRITE ? made : waits)++;
        errno = is_refused ? EPERM : EBADF;
        return fd < 0 || is_refused ? -1 : 0;
    };
    std::atomic<unsigned> begun{0};
    script.result = [&](const roma__call &call, unsigned) {
        begun += call.kind == ROMA__CALL_WRITE_RANGE;
        const bool is_write = call.kind == ROMA__CALL_WRITE_RANGE ||
                              call.kind == ROMA__CALL_AWAIT_WRITE;
        return is_write ? -ECANCELED : 0;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
    CHECK(begun == LONG_WRITES);
    CHECK(made == LONG_WRITES);
    CHECK(waits == 0);
}

TEST_CASE("short runs of a flush are left to its sync", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(64 * MiB), other(64 * MiB);
    held_writes writes;
    writes.let_all_go();
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    std::vector<roma_file_range> ranges;
    const size_t each = std::max(page_bytes(), MiB / 64);
    for (size_t at = 0; at < 32 * MiB; at += 2 * each)
        ranges.push_back(file.range(at, each));
    ranges.push_back(file.range(40 * MiB, 3 * MiB));
    ranges.push_back(other.range(8 * MiB, 4 * MiB));
    owned_flush flush(engine, ranges.data(), ranges.size());
    CHECK(flush.wait() == 0);
    CHECK(writes.begun == 4); /* of the last one */
    CHECK(engine.figure("calls.count") == 4 + 2);
    CHECK(flush.progress().done_bytes == flush.progress().total_bytes);
    CHECK(adds_up(flush.progress()));
}

TEST_CASE("of a run at an odd offset no write is short", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(64 * MiB);
    held_writes writes;
    writes.let_all_go();
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    /* From a page before 2 to 3, 4, 5, 6, 7.25; and from a page before 12 to 13, 14, 15, then to
     * 20, 24, 28, 33. */
    const size_t page = page_bytes(), quarter = MiB / 4;
    const roma_file_range ranges[] = {file.range(2 * MiB - page, 5 * MiB + page + quarter),
                                      file.range(12 * MiB - page, 21 * MiB + page)};
    owned_flush flush(engine, ranges, 2);
    CHECK(flush.wait() == 0);
    CHECK(writes.begun == 5 + 7);
    CHECK(writes.least_bytes == off_t(MiB));
    CHECK(writes.most_bytes == off_t(5 * MiB));
}

TEST_CASE("runs that are hardly long do not keep a flush from its end", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(640 * MiB);
    held_writes writes(0, 3000); /* the device is behind */
    writes.let_all_go();
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    std::vector<roma_file_range> ranges; /* of 2, 4 and 2 MiB: the last 96 MiB are more than 24 */
    for (size_t at = 2 * MiB; at + 8 * MiB <= file.bytes; at += 12 * MiB)
        ranges.push_back(file.range(at, 8 * MiB));
    owned_flush flush(engine, ranges.data(), ranges.size());
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == ranges.size() * 8 * MiB);
}

TEST_CASE("of few threads none waits for a write, and of eight six do", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    held_writes writes;
    const unsigned threads = GENERATE(7u, 8u);
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.threads = threads;
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(writes.await(threads == 7 ? 0 : 6));
    writes.let_all_go();
    CHECK(flush.wait() == 0);
    CHECK((writes.awaited > 0) == (threads == 8));
    CHECK(writes.begun == LONG_WRITES);
}

TEST_CASE("writes leave a quarter of the threads to reads", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    disk_file other(MiB);
    held_writes writes;
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.threads = 8;
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    owned_flush a(engine, file.range(0, file.bytes)), b(engine, file.range(0, file.bytes)),
        c(engine, file.range(0, file.bytes));
    CHECK(writes.await(6));
    owned_handle read(engine, other.range(0, MiB));
    CHECK(roma_prefetch_wait(read.self, UINT64_C(20000000000)) == 0);
    writes.let_all_go();
    for (owned_flush *flush : {&a, &b, &c})
        CHECK(flush->wait() == 0);
}

TEST_CASE("who makes the calls by himself does not wait for a write", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    held_writes writes;
    owned_engine engine(ROMA_PREFETCH_PLAIN);
    writes.pass(engine, file);
    CHECK(writes.awaited == 0);
    CHECK(writes.begun == LONG_WRITES);
}

TEST_CASE("threads that could not be started count for nothing", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
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
    CHECK(writes.awaited == 0); /* it was found out with the plan */
    CHECK(writes.begun == LONG_WRITES);
}

TEST_CASE("writes that are waited for are within the byte budget, or none is", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    held_writes writes;
    const size_t budget = GENERATE(8 * MiB, 32 * MiB);
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.budget_bytes = budget;
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(writes.await(budget == 8 * MiB ? 0 : 8 + 6));
    writes.let_all_go();
    CHECK(flush.wait() == 0);
    CHECK(engine.figure("flying.peak_bytes") <= budget);
    CHECK((writes.awaited > 0) == (budget > 8 * MiB));
    CHECK(writes.begun == LONG_WRITES);
}

TEST_CASE("what a wait for a write met is the flush's error, though its sync hears nothing",
          "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(256 * MiB);
    faulty table;
    table.calls.sync_file_range = [](int fd, off_t offset, off_t, unsigned flags) {
        errno = fd < 0 ? EBADF : EIO;
        const bool fails = flags == SYNC_FILE_RANGE_WAIT_BEFORE && offset == off_t(4 * MiB);
        return fd < 0 || fails ? -1 : 0;
    };
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(flush.wait() == -EIO);
    owned_flush next(engine, file.range(0, 4 * MiB));
    CHECK(next.wait() == 0);
}

TEST_CASE("a flush that is given up while writes are waited for begins no other one", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    held_writes writes;
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(writes.await(24));
    CHECK(roma_prefetch_cancel(flush.self) == 0);
    writes.let_all_go();
    CHECK(flush.wait() == -ECANCELED);
    CHECK(writes.begun == 24);
    CHECK(flush.progress().cancelled_bytes == file.bytes);
    CHECK(adds_up(flush.progress()));
}

TEST_CASE("a map is not closed while its writes are waited for", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(LONG);
    held_writes writes;
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    roma_map_options options = roma_map_options_default();
    options.writable = true;
    roma_map *map = nullptr;
    REQUIRE(roma_map_open(file.path.c_str(), &options, &map, nullptr) == 0);
    owned_flush flush(engine, roma_file_range_of(map, 0, file.bytes));
    CHECK(writes.await(24));
    std::atomic<bool> is_closed{false};
    std::thread closer([&] { is_closed = roma_map_close(map) == 0; });
    usleep(20000);
    CHECK_FALSE(is_closed);
    writes.let_all_go();
    closer.join();
    CHECK(is_closed);
    CHECK(flush.wait() == -ECANCELED);
    CHECK(writes.begun == 24);
    CHECK(adds_up(flush.progress()));
}

/* The thread that is left makes all calls, and does not sleep until something is written. */
TEST_CASE("a ring may break at any enter of a flush", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(192 * MiB);
    const unsigned nth = GENERATE(range(1u, 40u));
    INFO("it breaks with the enter of number " << nth);
    with_soft_rings rings;
    static std::atomic<unsigned> waits;
    waits = 0;
    faulty table;
    table.calls.sync_file_range = [](int, off_t, off_t, unsigned flags) {
        waits += flags != SYNC_FILE_RANGE_WRITE;
        return 0;
    };
    script.enter = [nth](unsigned number) { return number >= nth ? -EPERM : 0; };
    script.result = [](const roma__call &call, unsigned) {
        return call.kind == ROMA__CALL_AWAIT_WRITE ? NOT_MADE : 0;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
    CHECK(adds_up(flush.progress()));
    CHECK(waits == 0);
}
