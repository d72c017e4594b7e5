/* scan_window.cpp - the window of a scan lies behind the piece that the reader has, however long
 * the pieces are, and memory holds both and not much more. */
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "held_reads.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <algorithm>

using namespace roma_tests;

namespace {

roma_scan *scan_of(const owned_engine &on, const owned_map &map, size_t step, size_t window)
{
    roma_scan_options options = roma_scan_options_default();
    options.step_bytes = step;
    options.window_bytes = window;
    options.drop_behind = true;
    roma_scan *scan = nullptr;
    const roma_file_range all = map.all();
    REQUIRE(roma_scan_open(on.self, &all, &options, &scan, nullptr) == 0);
    return scan;
}

} // namespace

TEST_CASE("a piece is given out when the window behind it has been asked for, and no more",
          "[scan]")
{
    FILE_ON_DISK(file, 96 * MiB);
    const size_t window = 8 * MiB;
    for (size_t step : {4 * MiB, 8 * MiB, 16 * MiB}) { /* shorter, as long, longer */
        CAPTURE(step);
        REQUIRE(file.chill());
        const owned_map map(file);
        const owned_engine on(ROMA_PREFETCH_PLAIN); /* what it is asked for is there at once */
        SKIP_WITHOUT(on);
        roma_scan *scan = scan_of(on, map, step, window);
        const size_t ahead = std::max(window, step);
        roma_segment piece;
        size_t most = 0;
        for (size_t at = 0; at < file.bytes; at += step) {
            REQUIRE(roma_scan_next(scan, &piece) == 1);
            const size_t end = std::min(at + step + ahead, file.bytes);
            CHECK(on.figure("requested.bytes") == end);
            CHECK(file.came(at, end - at) == end - at);
            most = std::max<size_t>(most, file.resident(0, file.bytes));
        }
        CHECK(most <= step + ahead + 16 * MiB); /* what waits to be dropped, and was read beyond */
        CHECK(roma_scan_next(scan, &piece) == 0);
        CHECK(roma_scan_close(scan) == 0);
    }
}

TEST_CASE("a piece as long as the window is read while the reader has the one before", "[scan]")
{
    COLD_FILE(file, 32 * MiB);
    held_reads reads;
    {
        const owned_map map(file);
        const owned_engine on(ROMA_PREFETCH_POOL);
        SKIP_WITHOUT(on);
        held_reads::hold_after(0);
        roma_scan *scan = scan_of(on, map, 8 * MiB, 8 * MiB);
        CHECK(on.figure("requested.bytes") == 16 * MiB);
        roma_segment piece;
        CHECK(while_held([&] { return roma_scan_next(scan, &piece); }, 100) == DID_NOT_END);
        held_reads::let_go();
        CHECK(piece.address == map.address());
        bool is_there = false; /* the next one, which nobody has asked the scan for */
        for (int ms = 0; !is_there && ms < 10000; ms++) {
            is_there = file.came(8 * MiB, 8 * MiB) == 8 * MiB;
            usleep(1000);
        }
        CHECK(is_there);
        CHECK(roma_scan_close(scan) == 0);
    }
}
