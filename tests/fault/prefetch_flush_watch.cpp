/* prefetch_flush_watch.cpp - of a flush one write at a time is prepared, as far as cachestat()
 * tells; and what becomes of that when it does not. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "held_writes.hpp"
#include "soft_ring.hpp"

#include <cerrno>
#include <thread>

using namespace roma_tests;
using namespace soft_rings;

TEST_CASE("while pages of a write are dirty no other one begins, for eight pauses", "[prefetch]")
{
    WATCHED_FILE(file, 128 * MiB);
    held_writes writes(found_of_pages::DIRTY);
    std::atomic<unsigned> early{0};
    told_pages::looked = [&](unsigned look) {
        if (look < 8 && held_writes::waiting > 1)
            early++;
    };
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.hold(engine, file, 16, 4 * MiB);
    CHECK(early == 0);
    CHECK(told_pages::looks >= 15 * 8); /* behind the last of them there is nothing to begin */
    told_pages::looked = nullptr;
}

TEST_CASE("a few pages that the program writes meanwhile do not count", "[prefetch]")
{
    WATCHED_FILE(file, 64 * MiB);
    held_writes writes;
    faulty table;
    table.calls = writes.calls();
    table.calls.cachestat = [](int fd, const void *range, void *given, unsigned) {
        if (fd < 0) {
            errno = EBADF;
            return -1;
        }
        told_pages::looks++;
        const uint64_t pages = static_cast<const roma__cachestat_range *>(range)->bytes /
                               page_bytes();
        *static_cast<roma__cachestat *>(given) = {pages, pages / 64, pages - pages / 64, 0, 0};
        return 0;
    };
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.hold(engine, file, 16, 4 * MiB);
    CHECK(told_pages::looks == 15); /* the first tells; behind the last there is nothing to begin */
}

TEST_CASE("behind writes that had little to do others go unwatched", "[prefetch]")
{
    WATCHED_FILE(file, 512 * MiB);
    held_writes writes;
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.pass(engine, file);
    /* Of 4 MiB, and then to a multiple of 16: 4 of these, 8, 16, and 4 to the end. More are watched
     * where this machine is late; all would be 128. */
    CHECK(writes.waiting >= (1 + 4) + (1 + 8) + (1 + 16) + (1 + 4));
    CHECK(writes.waiting < 100);
    CHECK(writes.begun == 0);
    CHECK(writes.least_bytes == off_t(4 * MiB));
    CHECK(writes.most_bytes == off_t(16 * MiB));
}

TEST_CASE("where cachestat is refused writes go unwatched", "[prefetch]")
{
    WATCHED_FILE(file, 512 * MiB);
    held_writes writes(found_of_pages::REFUSED);
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.pass(engine, file);
    CHECK(told_pages::looks <= 1); /* none, if all that are watched were written before */
    CHECK(writes.waiting < 100);
}

TEST_CASE("where there is no cachestat writes go unwatched", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    hollow_file file(499 * MiB);
    held_writes writes(found_of_pages::UNKNOWN);
    owned_engine engine(ROMA_PREFETCH_POOL);
    writes.hold(engine, file, 16, 16 * MiB);
    CHECK(writes.waiting == 31); /* the last one has 19 MiB */
    CHECK(told_pages::looks == 0);
}

TEST_CASE("a flush that is given up while a write is watched begins no other one", "[prefetch]")
{
    WATCHED_FILE(file, 64 * MiB);
    held_writes writes(found_of_pages::HELD);
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(writes.await(1));
    CHECK(roma_prefetch_cancel(flush.self) == 0);
    writes.let_all_go();
    CHECK(flush.wait() == -ECANCELED);
    CHECK(writes.waiting == 1);
    CHECK(flush.progress().cancelled_bytes == file.bytes);
    CHECK(adds_up(flush.progress()));
}

TEST_CASE("a map is not closed while a look at its write is out", "[prefetch]")
{
    WATCHED_FILE(file, 64 * MiB);
    held_writes writes(found_of_pages::HELD);
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    roma_map_options options = roma_map_options_default();
    options.writable = true;
    roma_map *map = nullptr;
    REQUIRE(roma_map_open(file.path.c_str(), &options, &map, nullptr) == 0);
    owned_flush flush(engine, roma_file_range_of(map, 0, file.bytes));
    CHECK(writes.await(1));
    CHECK(told_pages::held == 1);
    std::atomic<bool> is_closed{false};
    std::thread closer([&] { is_closed = roma_map_close(map) == 0; });
    usleep(20000);
    CHECK_FALSE(is_closed);
    writes.let_all_go();
    closer.join();
    CHECK(is_closed);
    CHECK(flush.wait() == -ECANCELED);
    CHECK(writes.waiting == 1);
    CHECK(adds_up(flush.progress()));
}

TEST_CASE("of a run at an odd offset no write is too short to be waited for", "[prefetch]")
{
    WATCHED_FILE(file, 64 * MiB);
    const bool is_told = GENERATE(true, false);
    held_writes writes(is_told ? found_of_pages::UNDER_WAY : found_of_pages::UNKNOWN);
    owned_engine engine(ROMA_PREFETCH_POOL);
    REQUIRE(engine.self != nullptr);
    /* 1 to 7; 15 to 20 or 32, 24, 28, 33 */
    const roma_file_range ranges[] = {file.range(1 * MiB, 6 * MiB), file.range(15 * MiB, 18 * MiB)};
    owned_flush flush(engine, ranges, 2);
    CHECK(writes.await(is_told ? 5 : 2));
    CHECK(writes.begun == 0);
    CHECK(writes.least_bytes == off_t(is_told ? 4 * MiB : 6 * MiB));
    CHECK(writes.most_bytes == off_t(is_told ? 6 * MiB : 18 * MiB));
    writes.let_all_go();
    CHECK(flush.wait() == 0);
}

/* Of eight, however many flushes there are. */
TEST_CASE("writes and looks leave half of the threads to reads", "[prefetch]")
{
    WATCHED_FILE(file, 64 * MiB);
    disk_file other(MiB);
    held_writes writes(found_of_pages::HELD);
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.threads = 8;
    owned_engine engine(options);
    REQUIRE(engine.self != nullptr);
    owned_flush a(engine, file.range(0, file.bytes)), b(engine, file.range(0, file.bytes)),
        c(engine, file.range(0, file.bytes)), d(engine, file.range(0, file.bytes)),
        e(engine, file.range(0, file.bytes));
    for (int ms = 0; writes.now + told_pages::held < 4 && ms < 10000; ms++)
        usleep(1000);
    usleep(50000); /* for more than there may be */
    CHECK(writes.now + told_pages::held == 4);
    owned_handle read(engine, other.range(0, MiB));
    CHECK(roma_prefetch_wait(read.self, UINT64_C(20000000000)) == 0);
    writes.let_all_go();
    for (owned_flush *flush : {&a, &b, &c, &d, &e})
        CHECK(flush->wait() == 0);
}

TEST_CASE("a sync does not wait for a pause behind no write", "[prefetch]")
{
    WATCHED_FILE(file, 8 * MiB);
    with_soft_rings rings;
    faulty table;
    told_pages::put_into(&table.calls);
    std::atomic<unsigned> syncs{0};
    script.holds = [](const roma__call &call) { return call.kind == ROMA__CALL_PAUSE; };
    script.result = [&](const roma__call &call, unsigned) {
        syncs += call.kind == ROMA__CALL_SYNC;
        return call.kind == ROMA__CALL_WRITE_OUT ? NOT_MADE : 0;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    await_held();
    for (int ms = 0; flush.progress().done_bytes < file.bytes && ms < 10000; ms++)
        usleep(1000);
    CHECK(flush.progress().done_bytes == file.bytes);
    CHECK(syncs == 1);
    CHECK(roma_prefetch_poll(flush.self) == 0); /* the pause is its own still */
    let_go = true;
    CHECK(flush.wait() == 0);
}

/* A pause that is queued, and was not handed over, does not keep the flush. */
TEST_CASE("a ring may break at any enter of a flush that is watched", "[prefetch]")
{
    WATCHED_FILE(file, 32 * MiB);
    const unsigned nth = GENERATE(range(1u, 40u));
    INFO("it breaks with the enter of number " << nth);
    with_soft_rings rings;
    faulty table;
    told_pages::put_into(&table.calls);
    told_pages::found = GENERATE(found_of_pages::UNDER_WAY, found_of_pages::DIRTY);
    script.enter = [nth](unsigned number) { return number >= nth ? -EPERM : 0; };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
    CHECK(adds_up(flush.progress()));
}

/* Nothing else is in flight then, and nobody would wake who sleeps until something is. */
TEST_CASE("a pause that a broken ring has is waited for", "[prefetch]")
{
    WATCHED_FILE(file, 8 * MiB);
    with_soft_rings rings;
    faulty table;
    told_pages::put_into(&table.calls);
    std::atomic<bool> breaks{false};
    script.unasked = true;
    script.holds = [](const roma__call &call) { return call.kind == ROMA__CALL_PAUSE; };
    script.enter = [&](unsigned) { return breaks ? -EPERM : 0; };
    script.result = [&](const roma__call &call, unsigned) {
        breaks = breaks || call.kind == ROMA__CALL_WRITE_OUT; /* behind it the pause is queued */
        return 0;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes));
    await_held();
    usleep(20000); /* for the thread to find the ring broken, and to sleep */
    let_go = true;
    CHECK(flush.wait() == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
}
