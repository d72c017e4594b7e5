/* prefetch_flush_waits.cpp - how many writes of a flush are on their way, and a flush whose sync
 * may not begin yet, while another request is waited for. */
#include "emulated.hpp"
#include "soft_ring.hpp"

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
    SKIP_WHERE_EMULATED();
    disk_file file(101 * MiB);
    with_soft_rings rings;
    std::atomic<unsigned> waiting{0}, begun{0}, odd{0};
    script.room = 256;
    script.holds = [](const roma__call &call) { return call.kind == ROMA__CALL_WRITE_OUT; };
    script.result = [&](const roma__call &call, unsigned) {
        waiting += call.kind == ROMA__CALL_WRITE_OUT;
        begun += call.kind == ROMA__CALL_WRITE_RANGE;
        odd += call.kind == ROMA__CALL_WRITE_OUT && call.bytes != 4 * MiB;
        return NOT_MADE;
    };
    owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    owned_flush flush(engine, file.range(0, file.bytes)), other(engine, file.range(0, 8 * MiB));
    await_held();
    usleep(50000); /* for more than there may be */
    CHECK(engine.figure("flying.bytes") == 64 * MiB);
    let_go = true;
    CHECK(flush.wait() == 0);
    CHECK(other.wait() == 0);
    CHECK(waiting == 25 + 2);
    CHECK(begun == 1); /* the last MiB */
    CHECK(odd == 0);
    CHECK(flush.progress().done_bytes == file.bytes);
}
