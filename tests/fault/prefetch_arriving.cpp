/* prefetch_arriving.cpp - a long run whose pages are all in the page cache, and are being read for
 * another handle still: it is not taken for resident. */
#include "between.hpp"
#include "disk_file.hpp"
#include "engine.hpp"

#include <atomic>
#include <unistd.h>

using namespace roma_tests;

TEMPLATE_TEST_CASE("a long run that another handle is still reading is not resident", "[prefetch]",
                   by_ring, by_threads)
{
    COLD_FILE(file, 8 * MiB);
    static std::atomic<bool> is_held;
    is_held = true;
    between calls;
    calls.holds = [](const made_call &) { return is_held.load(); }; /* its pages are there then */
    owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    owned_handle first(engine, file.range(0, file.bytes));
    for (int ms = 0; file.resident(0, file.bytes) < file.bytes && ms < 10000; ms++)
        usleep(1000);
    owned_handle second(engine, file.range(0, file.bytes));
    for (int ms = 0; !second.progress().planned && ms < 10000; ms++)
        usleep(1000);
    usleep(50000); /* who took it for resident is done */
    const int was_done = roma_prefetch_poll(second.self);
    is_held = false;
    CHECK(was_done == 0);
    CHECK(first.wait() == 0);
    CHECK(second.wait() == 0);
    CHECK(adds_up(second.progress()));
}
