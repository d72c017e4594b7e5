/* prefetch.cpp - many threads at one engine: overlapping submissions, storms of cancels, files that
 * are cut meanwhile, mappings that go. Whatever the order, every handle ends, every byte is
 * accounted for, and nothing is in flight afterwards. */
#include "disk_file.hpp"
#include "engine.hpp"
#include "prefetch_shim.h"
#include "skip.hpp"

#include <roma.h>

#include <atomic>
#include <cerrno>
#include <random>
#include <thread>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

constexpr unsigned threads_count = 8;

/* Catch2's assertions are not for threads: what is wrong is counted. */
std::atomic<unsigned> wrong{0};

void expect(bool condition)
{
    if (!condition)
        wrong++;
}

template <class Work> void in_threads(unsigned count, Work work)
{
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < count; i++)
        threads.emplace_back(work, i);
    for (std::thread &thread : threads)
        thread.join();
}

roma_file_range random_range(const disk_file &file, std::mt19937 &random)
{
    const size_t bytes = random() % 4 == 0 ? random() % (16 * MiB) : 16384;
    return file.range(random() % file.bytes, bytes);
}

void end(roma_prefetch_handle *handle, bool may_be_cancelled, bool may_be_cut)
{
    const int code = roma_prefetch_wait(handle, ROMA_FOREVER);
    expect(code == 0 || (may_be_cancelled && code == -ECANCELED) ||
           (may_be_cut && (code == -EFAULT || code == -EIO))); /* cut and grown at each try */
    roma_prefetch_progress progress = {};
    progress.size = sizeof progress;
    expect(roma_prefetch_progress_of(handle, &progress) == 0);
    expect(adds_up(progress));
    roma_prefetch_close(handle);
}

} // namespace

TEMPLATE_TEST_CASE("submissions of many threads that overlap all end well", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(48 * MiB);
    wrong = 0;
    for (int round = 0; round < 4; round++) {
        (void)file.chill();
        in_threads(threads_count, [&](unsigned index) {
            std::mt19937 random(index + static_cast<unsigned>(round) * 100);
            for (int i = 0; i < 20; i++) {
                roma_file_range ranges[5];
                for (roma_file_range &range : ranges)
                    range = random_range(file, random);
                roma_prefetch_handle *handle = nullptr;
                const auto level = static_cast<roma_prefetch_level>(random() % 2);
                expect(roma_prefetch_submit(engine.self, ranges, 5, level, &handle, nullptr) == 0);
                expect(prefetch_is_valid(engine.self));
                end(handle, false, false);
            }
        });
    }
    CHECK(wrong == 0);
    CHECK(engine.figure("handles.live") == 0);
    CHECK(engine.figure("flying.bytes") == 0);
}

TEST_CASE("a piece that the budget refused flies before shorter ones that came later", "[prefetch]")
{
    CHECK(prefetch_pieces_before_a_long_one(1000) == 0);
}

TEMPLATE_TEST_CASE("a storm of cancels leaves nothing in flight", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(64 * MiB);
    wrong = 0;
    in_threads(threads_count, [&](unsigned index) {
        std::mt19937 random(index);
        for (int i = 0; i < 40; i++) {
            if (index == 0)
                posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
            roma_file_range ranges[20];
            for (roma_file_range &range : ranges)
                range = random_range(file, random);
            roma_prefetch_handle *handle = nullptr;
            expect(roma_prefetch_submit(engine.self, ranges, 20, ROMA_PREFETCH_RESIDENT, &handle,
                                        nullptr) == 0);
            switch (random() % 6) {
            case 0: expect(roma_prefetch_cancel(handle) == 0); break;
            case 1:
                expect(roma_prefetch_cancel_ranges(engine.self, ranges, 2, nullptr) >= 0);
                break;
            case 2: expect(roma_prefetch_cancel_all(engine.self) >= 0); break;
            case 3: (void)roma_prefetch_wait(handle, random() % 200000); break;
            case 4: expect(prefetch_is_valid(engine.self)); break;
            default: break;
            }
            end(handle, true, false);
        }
    });
    CHECK(wrong == 0);
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(engine.figure("flying.bytes") == 0);
    CHECK(engine.figure("handles.live") == 0);
}

TEMPLATE_TEST_CASE("files that are cut and grow while they are read are no signal", "[prefetch]",
                   EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(32 * MiB);
    std::atomic<bool> over{false};
    wrong = 0;
    std::thread cutter([&] {
        std::mt19937 random(3);
        while (!over) {
            expect(ftruncate(file.fd, static_cast<off_t>(random() % file.bytes)) == 0);
            expect(ftruncate(file.fd, static_cast<off_t>(file.bytes)) == 0);
            posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
        }
    });
    in_threads(3, [&](unsigned index) {
        std::mt19937 random(index);
        for (int i = 0; i < 30; i++) {
            roma_map *map = nullptr;
            roma_map_options options = roma_map_options_default();
            options.reserve_bytes = file.bytes;
            expect(roma_map_open(file.path.c_str(), &options, &map, nullptr) == 0);
            if (map == nullptr)
                continue;
            const roma_file_range ranges[] = {roma_file_range_of(map, 0, 12 * MiB),
                                              roma_file_range_of(map, 20 * MiB, 16384),
                                              roma_file_range_of(map, 24 * MiB, 8 * MiB)};
            roma_prefetch_handle *handle = nullptr;
            const auto level = static_cast<roma_prefetch_level>(random() % 3);
            expect(roma_prefetch_submit(engine.self, ranges, 3, level, &handle, nullptr) == 0);
            const bool at_once = random() % 2 == 0; /* with its requests in flight */
            if (at_once)
                expect(roma_map_close(map) == 0);
            end(handle, true, true);
            if (!at_once)
                expect(roma_map_close(map) == 0);
        }
    });
    over = true;
    cutter.join();
    CHECK(wrong == 0);
    CHECK(engine.figure("flying.bytes") == 0);
}

TEMPLATE_TEST_CASE("populating through an engine while others cancel, need and would end it",
                   "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(MiB);
    roma_provider *provider = nullptr;
    REQUIRE(roma_provider_file((file.path + "-pages").c_str(), nullptr, &provider, nullptr) == 0);
    roma_options options = roma_options_default();
    options.providers = &provider;
    options.providers_count = 1;
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    REQUIRE(roma_manager_engine(manager, engine.self, nullptr) == 0);
    wrong = 0;
    std::atomic<unsigned> without{0};
    std::atomic<bool> over{false};
    std::thread canceller([&] {
        while (!over) {
            expect(roma_prefetch_cancel_all(engine.self) >= 0);
            usleep(500);
        }
    });
    in_threads(4, [&](unsigned index) {
        std::mt19937 random(index);
        for (int i = 0; i < 20; i++) {
            const size_t bytes = 4 * MiB + random() % (8 * MiB);
            auto *block = static_cast<unsigned char *>(roma_alloc(manager, bytes));
            if (block == nullptr) {
                without++;
                continue;
            }
            block[bytes - 1] = static_cast<unsigned char>(i);
            expect(roma_advise(block, 0, bytes, ROMA_ADVICE_PAGEOUT, nullptr) == 0);
            if (random() % 2 == 0)
                expect(roma_advise(block, 0, bytes, ROMA_ADVICE_NEED, nullptr) == 0);
            const int code = roma_populate(block, 0, bytes, 1 + random() % 2, nullptr);
            expect(code == 0 || code == -ECANCELED);
            expect(block[bytes - 1] == static_cast<unsigned char>(i));
            roma_free(block);
        }
    });
    over = true;
    canceller.join();
    CHECK(wrong == 0);
    CHECK(roma_prefetch_destroy(engine.self) == -EBUSY);
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(engine.figure("flying.bytes") == 0);
    CHECK(roma_manager_destroy(manager) == 0);
    CHECK(roma_provider_unregister(provider) == 0);
    if (without > 0)
        SKIP_TEST("this file system cannot reserve space");
}

TEMPLATE_TEST_CASE("callbacks, closes and new handles at once", "[prefetch]", EVERY_WAY)
{
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    disk_file file(16 * MiB);
    wrong = 0;
    std::atomic<unsigned> called{0}, set{0};
    in_threads(threads_count, [&](unsigned index) {
        std::mt19937 random(index);
        for (int i = 0; i < 100; i++) {
            const roma_file_range range = random_range(file, random);
            roma_prefetch_handle *handle = nullptr;
            expect(roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_ISSUED, &handle,
                                        nullptr) == 0);
            const int code = roma_prefetch_on_done(
                handle,
                [](void *context, roma_prefetch_handle *, int) {
                    (*static_cast<std::atomic<unsigned> *>(context))++;
                },
                &called);
            expect(code == 0 || code == 1);
            if (random() % 2 == 0) {
                expect(roma_prefetch_wait(handle, ROMA_FOREVER) == 0);
                set++;
            }
            roma_prefetch_close(handle);
        }
    });
    CHECK(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
    CHECK(wrong == 0);
    CHECK(called <= threads_count * 100);
}
