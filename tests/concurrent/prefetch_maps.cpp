/* prefetch_maps.cpp - several users of one file in one process, each with a map of its own: those
 * who come and go with requests in flight disturb nobody who stays, nor what stays of a request. */
#include "descriptors.hpp"
#include "disk_file.hpp"
#include "engine.hpp"
#include "prefetch_shim.h"
#include "scene.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <atomic>
#include <cerrno>
#include <thread>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

using scene::failures;

/* What a request of one who stays ended with, and how much of it was not done. */
void expect_done(failures *seen, roma_prefetch_handle *handle)
{
    roma_prefetch_progress progress = {};
    progress.size = sizeof progress;
    seen->require(roma_prefetch_wait(handle, ROMA_FOREVER) == 0, "what stays is done");
    seen->require(roma_prefetch_progress_of(handle, &progress) == 0 && adds_up(progress) &&
                      progress.done_bytes == progress.total_bytes,
                  "every byte of what stays is done");
    roma_prefetch_close(handle);
}

void stay(const owned_engine &engine, const owned_map &map, failures *seen)
{
    for (int i = 0; i < 12; i++) {
        const roma_file_range all = map.all();
        roma_prefetch_handle *handle = nullptr;
        (void)roma_evict(&all, 1, ROMA_EVICT_DROP, nullptr);
        const int code = i % 4 == 3 ? roma_flush_submit(engine.self, &all, 1, &handle, nullptr)
                                    : roma_prefetch_submit(engine.self, &all, 1,
                                                           static_cast<roma_prefetch_level>(i % 4),
                                                           &handle, nullptr);
        if (seen->require(code == 0, "a request of one who stays is taken"))
            expect_done(seen, handle);
    }
}

void scan(const owned_engine &engine, const owned_map &map, failures *seen)
{
    for (int i = 0; i < 4; i++) {
        const roma_file_range all = map.all();
        roma_scan *reader = nullptr;
        roma_segment piece;
        if (!seen->require(roma_scan_open(engine.self, &all, nullptr, &reader, nullptr) == 0,
                           "a scan is opened"))
            return;
        for (int code; (code = roma_scan_next(reader, &piece)) != 0;)
            seen->require(code == 1, "a piece of a scan that stays is there");
        roma_scan_close(reader);
    }
}

void come_and_go(const owned_engine &engine, const disk_file &file, unsigned seed, failures *seen)
{
    scene::random_numbers random(seed);
    for (int i = 0; i < 30; i++) {
        roma_map *map = nullptr;
        if (!seen->require(roma_map_open(file.path.c_str(), nullptr, &map, nullptr) == 0,
                           "a map is opened"))
            return;
        const size_t bytes = 4 * MiB + random.below(12 * MiB);
        const roma_file_range range = roma_file_range_of(map, random.below(file.bytes - bytes),
                                                         bytes);
        const auto level = static_cast<roma_prefetch_level>(random.below(3));
        roma_prefetch_handle *handle = nullptr;
        seen->require(roma_prefetch_submit(engine.self, &range, 1, level, &handle, nullptr) == 0,
                      "a request of one who goes is taken");
        seen->require(roma_map_close(map) == 0, "a map is closed");
        const int code = roma_prefetch_wait(handle, ROMA_FOREVER);
        seen->require(code == 0 || code == -ECANCELED, "what goes is done or cancelled");
        seen->require(prefetch_is_valid(engine.self), "the accounts agree");
        roma_prefetch_close(handle);
    }
}

/* A flush of parts that do not touch, of which one goes. */
void flush_in_part(const owned_engine &engine, const disk_file &file, failures *seen)
{
    for (int i = 0; i < 30; i++) {
        roma_map *map = nullptr;
        if (!seen->require(roma_map_open(file.path.c_str(), nullptr, &map, nullptr) == 0,
                           "a map is opened"))
            return;
        const roma_file_range ranges[] = {roma_file_range_of(map, 0, 8 * MiB),
                                          file.range(16 * MiB, 8 * MiB)};
        roma_prefetch_handle *handle = nullptr;
        seen->require(roma_flush_submit(engine.self, ranges, 2, &handle, nullptr) == 0,
                      "a flush of one who goes and one who stays is taken");
        seen->require(roma_map_close(map) == 0, "a map is closed");
        const int code = roma_prefetch_wait(handle, ROMA_FOREVER);
        seen->require(code == 0 || code == -ECANCELED, "what goes is durable or cancelled");
        seen->require(roma_prefetch_range_error(handle, 1, nullptr) == 0, "what stays is durable");
        seen->require(prefetch_is_valid(engine.self), "the accounts agree");
        roma_prefetch_close(handle);
    }
}

/* Engines one after the other; a handle of each goes to who closes it, at any time from then on. */
void make_and_end(const owned_map &map, const roma_prefetch_options &options,
                  std::atomic<roma_prefetch_handle *> *left, failures *seen)
{
    for (int i = 0; i < 60; i++) {
        const roma_file_range range = map.range(static_cast<size_t>(i % 8) * MiB, MiB);
        roma_prefetch_engine *engine = nullptr;
        roma_prefetch_handle *handle = nullptr;
        if (!seen->require(roma_prefetch_create(&engine, &options, nullptr) == 0, "it is made"))
            return;
        seen->require(
            roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_ISSUED, &handle, nullptr) == 0,
            "a request is taken");
        if (i % 2 == 0)
            roma_prefetch_close(left->exchange(handle));
        seen->require(roma_prefetch_destroy(engine) == 0, "it is destroyed");
        if (i % 2 == 1)
            roma_prefetch_close(left->exchange(handle));
    }
}

void ask_and_close(std::atomic<roma_prefetch_handle *> *left, const std::atomic<bool> *over,
                   failures *seen)
{
    while (!*over) {
        roma_prefetch_handle *handle = left->exchange(nullptr);
        roma_prefetch_progress progress = {};
        progress.size = sizeof progress;
        if (handle == nullptr) {
            usleep(100);
            continue;
        }
        (void)roma_prefetch_cancel(handle);
        seen->require(roma_prefetch_progress_of(handle, &progress) == 0, "its progress is told");
        roma_prefetch_close(handle);
    }
    roma_prefetch_close(left->exchange(nullptr));
}

} // namespace

TEMPLATE_TEST_CASE("engines end, and their last handles, while maps are closed", "[prefetch]",
                   EVERY_WAY)
{
    const disk_file file(8 * MiB);
    {
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
    }
    const int descriptors = open_descriptors();
    {
        const owned_map map(file);
        std::atomic<roma_prefetch_handle *> left{nullptr};
        std::atomic<bool> over{false};
        failures seen;
        std::thread closer([&] {
            while (!over) {
                roma_map *passing = nullptr;
                if (seen.require(roma_map_open(file.path.c_str(), nullptr, &passing, nullptr) == 0,
                                 "a map is opened"))
                    seen.require(roma_map_close(passing) == 0, "a map is closed");
            }
        });
        std::thread asker([&] { ask_and_close(&left, &over, &seen); });
        std::thread ender(
            [&] { make_and_end(map, owned_engine::with_way(TestType::way), &left, &seen); });
        ender.join();
        over = true;
        asker.join();
        closer.join();
        INFO(seen.first());
        CHECK(seen.count() == 0);
    }
    CHECK(open_descriptors() == descriptors);
}

TEMPLATE_TEST_CASE("maps that are closed disturb nobody who reads their file", "[prefetch]",
                   EVERY_WAY)
{
    const disk_file file(32 * MiB);
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    (void)file.chill();
    const owned_map map(file);
    failures seen;
    std::thread threads[] = {
        std::thread([&] { stay(engine, map, &seen); }),
        std::thread([&] { scan(engine, map, &seen); }),
        std::thread([&] { come_and_go(engine, file, 1, &seen); }),
        std::thread([&] { come_and_go(engine, file, 2, &seen); }),
        std::thread([&] { flush_in_part(engine, file, &seen); }),
    };
    for (std::thread &thread : threads)
        thread.join();
    INFO(seen.first());
    CHECK(seen.count() == 0);
    CHECK(engine.figure("handles.live") == 0);
    CHECK(engine.figure("flying.bytes") == 0);
}
