/* scan.cpp - many readers scan one file on one engine, while others cancel and evict what they are
 * about to read: each piece is right or is told to be cancelled. */
#include "scene.hpp"
#include "disk_file.hpp"
#include "engine.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <cerrno>
#include <thread>

using roma_tests::disk_file;
using roma_tests::MiB;
using roma_tests::owned_map;

namespace {

struct tally {
    std::atomic<unsigned> good{0}, cancelled{0}, wrong{0};
};

/* Read once through, forwards, backwards or by a list, dropping or not. */
void read_once(roma_prefetch_engine *engine, const roma_map *map, unsigned kind, tally *seen)
{
    const roma_segment all = roma_map_segment(map);
    const roma_file_range range = roma_file_range_of(map, 0, all.bytes);
    const auto page = (size_t)sysconf(_SC_PAGESIZE);
    std::vector<uint64_t> pages;
    for (uint64_t i = 0; i < 500; i++)
        pages.push_back(i * 7919 % (all.bytes / page) * page);
    roma_scan_options options = roma_scan_options_default();
    options.window_bytes = 8 * MiB;
    options.step_bytes = 1 * MiB;
    options.drop_behind = kind % 2 == 1;
    if (kind % 3 == 1)
        options.direction = ROMA_SCAN_BACKWARDS;
    if (kind % 3 == 2) {
        options.pages = pages.data();
        options.pages_count = pages.size();
        options.step_bytes = page;
    }
    roma_scan *scan;
    if (roma_scan_open(engine, &range, &options, &scan, nullptr) != 0) {
        seen->wrong++;
        return;
    }
    roma_segment piece;
    for (int code; (code = roma_scan_next(scan, &piece)) != 0;) {
        const auto offset = (uint64_t)(static_cast<char *>(piece.address) -
                                       static_cast<char *>(all.address));
        if (code == -ECANCELED)
            seen->cancelled++;
        else if (code == 1 && disk_file::holds(piece.address, offset, piece.bytes))
            seen->good++;
        else
            seen->wrong++;
    }
    roma_scan_close(scan);
}

} // namespace

TEMPLATE_TEST_CASE("readers of one file do not disturb each other, nor those who cancel and evict",
                   "[scan]", roma_tests::by_ring, roma_tests::by_threads,
                   roma_tests::by_plain_calls)
{
    const roma_tests::owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    const disk_file file(24 * MiB);
    const owned_map map(file);
    const unsigned rounds = scene::is_sanitized ? 2 : 6;
    tally seen;
    std::atomic<bool> ended{false};
    std::thread disturber([&] {
        const roma_file_range half = map.range(0, 12 * MiB), all = map.range(0, 24 * MiB);
        for (unsigned i = 0; !ended; i++) {
            if (i % 4 == 0)
                (void)roma_prefetch_cancel_ranges(engine.self, &half, 1, nullptr);
            if (i % 7 == 0)
                (void)roma_evict(&all, 1, ROMA_EVICT_DROP, nullptr);
            usleep(3000);
        }
    });
    std::vector<std::thread> readers;
    for (unsigned i = 0; i < 6; i++)
        readers.emplace_back([&, i] {
            for (unsigned round = 0; round < rounds; round++)
                read_once(engine.self, map.self, i + round, &seen);
        });
    for (std::thread &reader : readers)
        reader.join();
    ended = true;
    disturber.join();
    CHECK(seen.wrong == 0);
    CHECK(seen.good > 0);
}
