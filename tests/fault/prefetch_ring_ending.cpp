/* prefetch_ring_ending.cpp - maps, providers and engines that end while calls are in a ring: they
 * wait for what is in flight, and what others asked for is read all the same. */
#include "asleep.hpp"
#include "filed.hpp"
#include "soft_ring.hpp"

#include <roma/manager.h>

#include <atomic>
#include <cerrno>
#include <thread>

using namespace roma_tests;
using namespace soft_rings;

TEST_CASE("a map that is closed while its engine is destroyed waits for what is in flight",
          "[prefetch]")
{
    NEEDS_POPULATE();
    with_soft_rings rings;
    COLD_FILE(file, 8 * MiB);
    script.holds = is_populate;
    roma_prefetch_engine *engine = nullptr;
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    REQUIRE(roma_prefetch_create(&engine, &options, nullptr) == 0);
    roma_map *map = nullptr;
    REQUIRE(roma_map_open(file.path.c_str(), nullptr, &map, nullptr) == 0);
    const roma_file_range range = roma_file_range_of(map, 0, file.bytes);
    REQUIRE(roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, nullptr, nullptr) == 0);
    await_held();
    std::atomic<int> destroyed{1}, closed{1};
    waiting_thread destroyer([&] { destroyed = roma_prefetch_destroy(engine); });
    waiting_thread closer([&] { closed = roma_map_close(map); });
    const int closed_early = closed;
    let_go = true;
    destroyer.join();
    closer.join();
    CHECK(closed_early == 1);
    CHECK(destroyed == 0);
    CHECK(closed == 0);
}

TEST_CASE("a part of a file is read through a descriptor that was given for it", "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 32 * MiB);
    ring_engine engine;
    owned_map second(file);
    roma_map *first = nullptr;
    roma_map_options half = roma_map_options_default();
    half.bytes = 16 * MiB;
    REQUIRE(roma_map_open(file.path.c_str(), &half, &first, nullptr) == 0);
    const int first_fd = roma_map_fd(first);
    std::atomic<unsigned> wrong{0};
    script.holds = [&](const roma__call &call) {
        wrong += call.offset >= 16 * MiB && call.fd == first_fd;
        return is_populate(call);
    };
    const roma_file_range ranges[] = {roma_file_range_of(first, 0, 16 * MiB),
                                      second.range(16 * MiB, 16 * MiB)};
    owned_handle handle(engine, ranges, 2);
    await_held();
    waiting_thread closer([&] { (void)roma_map_close(first); });
    let_go = true;
    closer.join();
    CHECK(handle.wait() == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == -ECANCELED);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == 0);
    CHECK(wrong == 0);
    CHECK(file.came(16 * MiB, 16 * MiB) == 16 * MiB);
}

TEST_CASE("what nobody waits for is read though its provider has ended", "[prefetch]")
{
    NEEDS_POPULATE();
    FILE_ON_DISK(beside, MiB);
    ring_engine engine;
    script.holds = is_populate;
    {
        const roma_executor executor = engine.executor();
        filed pages(beside, 32 * MiB, &executor);
        SKIP_WITHOUT(pages);
        const roma_range all = pages.all();
        REQUIRE(roma_provider_advise(pages.self, &all, ROMA_ADVICE_NEED, nullptr, nullptr) == 0);
        await_held();
    }
    let_go = true;
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(engine.figure("failed.bytes") == 0);
    CHECK(engine.figure("read.bytes") == 32 * MiB);
}

TEST_CASE("an engine that is being destroyed takes nothing from its callbacks", "[prefetch]")
{
    NEEDS_POPULATE();
    with_soft_rings rings;
    COLD_FILE(file, 64 * MiB);
    script.holds = is_populate;
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    options.chunk_bytes = 2 * MiB;
    options.dense_depth = 1;
    static roma_prefetch_engine *engine;
    static roma_file_range range;
    static std::atomic<int> submitted, opened, managed;
    static roma_manager *manager;
    const owned_map map(file);
    static roma_file_range mapped;
    mapped = map.all();
    submitted = opened = managed = 1;
    REQUIRE(roma_manager_create(&manager, nullptr, nullptr) == 0);
    REQUIRE(roma_prefetch_create(&engine, &options, nullptr) == 0);
    range = file.range(0, file.bytes);
    roma_prefetch_handle *first = nullptr, *second = nullptr;
    REQUIRE(roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, &first, nullptr) == 0);
    await_held(); /* keeps the engine's end waiting */
    const roma_file_range other = file.range(32 * MiB, 8 * MiB); /* is not begun: depth 1 */
    REQUIRE(roma_prefetch_submit(engine, &other, 1, ROMA_PREFETCH_RESIDENT, &second, nullptr) == 0);
    REQUIRE(roma_prefetch_on_done(
                second,
                [](void *, roma_prefetch_handle *, int) {
                    roma_scan *scan = nullptr;
                    opened = roma_scan_open(engine, &mapped, nullptr, &scan, nullptr);
                    managed = roma_manager_engine(manager, engine, nullptr);
                    submitted = roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_ISSUED,
                                                     nullptr, nullptr);
                },
                nullptr) == 0);
    std::atomic<int> destroyed{1};
    std::thread destroyer([&] { destroyed = roma_prefetch_destroy(engine); });
    for (int ms = 0; submitted == 1 && ms < 10000; ms++)
        usleep(1000);
    let_go = true;
    destroyer.join();
    CHECK(submitted == -ESHUTDOWN);
    CHECK(opened == -ESHUTDOWN);
    CHECK(managed == -ESHUTDOWN);
    CHECK(destroyed == 0);
    roma_prefetch_close(first);
    roma_prefetch_close(second);
    CHECK(roma_manager_destroy(manager) == 0);
}
