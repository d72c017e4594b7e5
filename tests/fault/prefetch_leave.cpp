/* prefetch_leave.cpp - whom the end of a map and the cancelling of ranges concern, and for whom
 * they wait: for what is in flight on the map, or was there, and for nobody else. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "held_reads.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <cerrno>

using namespace roma_tests;

namespace {

/* Long enough for a call that does not wait, and for one that does to be seen waiting. */
constexpr int MOMENT_MS = 100;

roma_map *map_of(const disk_file &file, roma_map_options options = roma_map_options_default())
{
    roma_map *map = nullptr;
    REQUIRE(roma_map_open(file.path.c_str(), &options, &map, nullptr) == 0);
    return map;
}

roma_prefetch_options by_pool(unsigned dense_depth)
{
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    options.dense_depth = dense_depth;
    options.chunk_bytes = 2 * MiB;
    return options;
}

} // namespace

TEST_CASE("closing a map leaves those alone who read its file through another", "[prefetch]")
{
    COLD_FILE(file, 64 * MiB);
    held_reads reads;
    {
        const owned_map kept(file);
        roma_map *closed = map_of(file);
        owned_engine engine(by_pool(2));
        SKIP_WITHOUT(engine);
        held_reads::hold_after(0);
        owned_handle reader(engine, kept.range(0, 32 * MiB));
        held_reads::await(2); /* the depth is full */
        owned_handle waiting(engine, roma_file_range_of(closed, 32 * MiB, 32 * MiB)),
            follower(engine, roma_file_range_of(closed, 0, 32 * MiB)),
            own(engine, file.range(16 * MiB, 32 * MiB));
        CHECK(while_held([&] { return roma_map_close(closed); }) == 0);
        CHECK(roma_prefetch_poll(reader.self) == 0);
        held_reads::let_go();
        CHECK(reader.wait() == 0);
        CHECK(own.wait() == 0);
        CHECK(waiting.wait() == -ECANCELED);
        CHECK(follower.wait() == -ECANCELED);
        CHECK(file.came(0, 48 * MiB) == 48 * MiB);
    }
}

TEST_CASE("closing a map leaves a flush alone that goes through another descriptor", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    const disk_file file(8 * MiB);
    held_reads reads;
    {
        roma_map *closed = map_of(file);
        owned_engine engine(by_pool(2));
        SKIP_WITHOUT(engine);
        held_reads::hold_after(0);
        const roma_file_range all = file.range(0, file.bytes);
        roma_prefetch_handle *flush = nullptr;
        REQUIRE(roma_flush_submit(engine.self, &all, 1, &flush, nullptr) == 0);
        held_reads::await(1); /* in its sync, which is of the whole file */
        CHECK(while_held([&] { return roma_map_close(closed); }) == 0);
        held_reads::let_go();
        CHECK(roma_prefetch_wait(flush, ROMA_FOREVER) == 0);
        roma_prefetch_close(flush);
    }
}

TEST_CASE("closing a map waits for all that uses its descriptor or its addresses", "[prefetch]")
{
    COLD_FILE(file, 64 * MiB);
    held_reads reads;
    roma_map_options part = roma_map_options_default();
    part.offset = 16 * MiB;
    part.bytes = 16 * MiB;
    enum { ITSELF, ITS_DESCRIPTOR, ITS_ADDRESSES };
    for (int named : {ITSELF, ITS_DESCRIPTOR, ITS_ADDRESSES}) {
        CAPTURE(named);
        REQUIRE(file.chill());
        owned_engine engine(by_pool(2));
        SKIP_WITHOUT(engine);
        roma_map *map = map_of(file, part);
        void *address = roma_map_segment(map).address;
        const roma_file_range ranges[] = {
            roma_file_range_of(map, 0, 16 * MiB),
            roma_file_range_own(roma_map_fd(map), 40 * MiB, nullptr, 16 * MiB), /* not mapped */
            roma_file_range_own(file.fd, 16 * MiB, address, 16 * MiB),
        };
        held_reads::hold_after(0);
        owned_handle handle(engine, ranges[named],
                            named == ITS_ADDRESSES ? ROMA_PREFETCH_MAPPED : ROMA_PREFETCH_RESIDENT);
        held_reads::await(2);
        CHECK(while_held([&] { return roma_map_close(map); }, MOMENT_MS) == DID_NOT_END);
        held_reads::let_go();
        CHECK(handle.wait() == -ECANCELED);
        CHECK(handle.progress().cancelled_bytes == 12 * MiB);
    }
}

TEST_CASE("cancelling ranges waits for what was there, not for what comes later", "[prefetch]")
{
    COLD_FILE(file, 64 * MiB);
    held_reads reads;
    {
        owned_engine engine(by_pool(1));
        SKIP_WITHOUT(engine);
        const roma_file_range all = file.range(0, file.bytes);
        held_reads::hold_after(0);
        owned_handle before(engine, all);
        held_reads::await(1);
        std::atomic<bool> has_come{false};
        owned_handle later;
        std::thread submitter([&] {
            while (before.progress().cancelled_bytes == 0) /* nobody has given it up yet */
                usleep(1000);
            const int code = roma_prefetch_submit(engine.self, &all, 1, ROMA_PREFETCH_RESIDENT,
                                                  &later.self, nullptr);
            has_come = code == 0;
            held_reads::allowed = 1; /* what was there comes to its end, and what came is held */
        });
        CHECK(while_held(
                  [&] { return roma_prefetch_cancel_ranges(engine.self, &all, 1, nullptr); }) == 1);
        submitter.join();
        REQUIRE(has_come);
        CHECK(before.wait() == -ECANCELED);
        CHECK(roma_prefetch_poll(later.self) == 0);
        held_reads::let_go();
        CHECK(later.wait() == 0);
    }
}

TEST_CASE("cancelled ranges are those of the file, whatever they were named by", "[prefetch]")
{
    COLD_FILE(file, 64 * MiB);
    held_reads reads;
    {
        const owned_map map(file);
        owned_engine engine(by_pool(1));
        SKIP_WITHOUT(engine);
        held_reads::hold_after(0);
        owned_handle first(engine, map.range(0, 16 * MiB));
        held_reads::await(1);
        owned_handle second(engine, map.range(32 * MiB, 16 * MiB)); /* has no depth left */
        const roma_file_range rest = file.range(16 * MiB, 48 * MiB);
        CHECK(while_held([&] {
                  return roma_prefetch_cancel_ranges(engine.self, &rest, 1, nullptr);
              }) == 1);
        CHECK(second.wait() == -ECANCELED);
        held_reads::let_go();
        CHECK(first.wait() == 0);
    }
}
