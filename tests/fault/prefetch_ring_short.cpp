/* prefetch_ring_short.cpp - short runs that have to be resident: who gives the advice, what the
 * answer behind it is worth, and what becomes of them when the ring breaks. */
#include "soft_ring.hpp"

#include <cerrno>
#include <unistd.h>
#include <vector>

using namespace roma_tests;
using namespace soft_rings;

namespace {

constexpr size_t PIECES = 1000;
constexpr unsigned ROOM = 256;

std::vector<roma_file_range> apart(const disk_file &file, size_t bytes)
{
    std::vector<roma_file_range> ranges;
    for (size_t i = 0; i < PIECES; i++)
        ranges.push_back(file.range(i * 2 * bytes, bytes));
    return ranges;
}

struct counts {
    unsigned advised = 0, awaited = 0, populated = 0;

    int operator()(const roma__call &call)
    {
        advised += call.kind == ROMA__CALL_FADVISE;
        awaited += call.kind == ROMA__CALL_AWAIT;
        populated += is_populate(call);
        return 0;
    }
};

} // namespace

TEST_CASE("a short run is advised by the engine's thread, and awaited by the ring", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    counts seen;
    script.result = [&](const roma__call &call, unsigned) { return seen(call); };
    CHECK(read_ranges(file, {file.range(0, 4096), file.range(12 * MiB, 4096)}).code == 0);
    CHECK(script.made == 2);
    CHECK(seen.advised == 2);
    CHECK(seen.awaited == 2);
    CHECK(seen.populated == 0);
    CHECK(file.came(0, 4096) == 4096);
    CHECK(file.came(12 * MiB, 4096) == 4096);
}

TEST_CASE("a short run at the end of a file is awaited by the file's last byte", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    REQUIRE(ftruncate(file.fd, off_t(12 * MiB + 100)) == 0);
    with_soft_rings rings;
    counts seen;
    uint64_t end = 0;
    script.result = [&](const roma__call &call, unsigned) {
        if (call.kind == ROMA__CALL_AWAIT)
            end = call.offset + call.bytes;
        return seen(call);
    };
    CHECK(read_ranges(file, {file.range(12 * MiB, 100)}).code == 0);
    CHECK(seen.awaited == 1);
    CHECK(end == 12 * MiB + 100);
    CHECK(seen.populated == 0);
}

TEST_CASE("whoever is longer is advised by the kernel's workers", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    counts seen;
    unsigned is_short = 0; /* where the device reads no more ahead, all are */
    script.result = [&](const roma__call &call, unsigned) {
        is_short += call.kind == ROMA__CALL_FADVISE && call.bytes <= (128 << 10);
        return seen(call);
    };
    CHECK(read_ranges(file, {file.range(0, MiB)}).code == 0);
    CHECK(script.made == is_short);
    CHECK(seen.advised >= 1);
    CHECK(seen.awaited == seen.advised);
    CHECK(file.came(0, MiB) == MiB);
}

TEST_CASE("a device that outruns the engine's thread gets the kernel's workers", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, PIECES * 8192);
    with_soft_rings rings;
    counts seen;
    /* All that was begun has come whenever the thread looks. */
    script.result = [&](const roma__call &call, unsigned) { return seen(call); };
    const outcome quick = read_ranges(file, apart(file, 4096), ROOM);
    CHECK(quick.code == 0);
    CHECK(quick.progress.done_bytes == PIECES * 4096);
    CHECK(seen.advised == PIECES);
    CHECK(script.made > 0);
    CHECK(script.made < PIECES / 2);
}

TEST_CASE("one that keeps up with it does not", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, PIECES * 8192);
    with_soft_rings rings;
    counts seen;
    script.result = [&](const roma__call &call, unsigned) { return seen(call); };
    script.answers = 8; /* at a time */
    CHECK(read_ranges(file, apart(file, 4096), ROOM).code == 0);
    CHECK(seen.advised == PIECES);
    CHECK(script.made >= PIECES - 128); /* but for the last ones, when no more are begun */
}

TEST_CASE("nor does one that tells of all that it has at once", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, PIECES * 8192);
    with_soft_rings rings;
    counts seen;
    script.result = [&](const roma__call &call, unsigned) { return seen(call); };
    script.together = true;
    CHECK(read_ranges(file, apart(file, 4096), ROOM).code == 0);
    CHECK(script.made == PIECES);
}

TEST_CASE("the next list begins anew with the engine's thread", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, PIECES * 8192);
    with_soft_rings rings;
    script.room = ROOM;
    counts seen;
    script.result = [&](const roma__call &call, unsigned) { return seen(call); };
    const owned_engine engine(ROMA_PREFETCH_URING);
    REQUIRE(engine.self != nullptr);
    const std::vector<roma_file_range> list = apart(file, 4096);
    const size_t outrun = 96 + 50; /* of which the last ones are left to workers */
    REQUIRE(file.chill());
    CHECK(owned_handle(engine, list.data(), outrun).wait() == 0);
    CHECK(script.made == 96);
    await_sleep(); /* else the one list goes over into the other */
    CHECK(owned_handle(engine, list.back()).wait() == 0);
    CHECK(script.made == 96 + 1);
}

TEST_CASE("what awaiting a short run results in is no error", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, 16 * MiB);
    with_soft_rings rings;
    for (int result : {-EIO, -EBADF, -EINVAL, -ECANCELED, -EAGAIN, -ENOMEM}) {
        INFO("result " << result);
        counts seen;
        script.calls = 0;
        script.result = [&](const roma__call &call, unsigned) {
            return call.kind == ROMA__CALL_AWAIT ? result : seen(call);
        };
        CHECK(read_ranges(file, {file.range(0, 4096), file.range(12 * MiB, 4096)}).code == 0);
        CHECK(file.came(0, 4096) == 4096);
        CHECK(file.came(12 * MiB, 4096) == 4096);
    }
}

TEST_CASE("who was awaited and has not come is populated at once", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, PIECES * 8192);
    with_soft_rings rings;
    counts seen;
    script.result = [&](const roma__call &call, unsigned) {
        (void)seen(call);
        return is_populate(call) ? 0 : NOT_MADE;
    };
    CHECK(read_ranges(file, apart(file, 4096), ROOM).code == 0);
    CHECK(seen.populated == PIECES);
    for (size_t i = 0; i < PIECES; i++)
        REQUIRE(file.came(i * 8192, 4096) == 4096);
}

TEST_CASE("short runs that a breaking ring awaited are read all the same", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(file, PIECES * 8192);
    with_soft_rings rings;
    script.room = ROOM;
    script.answers = 8;
    for (unsigned last : {0u, 1u, 2u, 20u}) {
        INFO("enters before it breaks: " << last);
        script.enters = 0;
        script.enter = [=](unsigned nth) { return nth > last ? -EPERM : 0; };
        const outcome seen = read_ranges(file, apart(file, 4096), ROOM);
        CHECK(seen.code == 0);
        CHECK(seen.progress.done_bytes == PIECES * 4096);
        for (size_t i = 0; i < PIECES; i++)
            REQUIRE(file.came(i * 8192, 4096) == 4096);
    }
}
