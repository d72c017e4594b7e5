/* prefetch_plain.cpp - many threads that submit to an engine whose calls they make themselves: who
 * can go on does, and does not sleep until another one has ended. */
#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include <atomic>
#include <cstring>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace roma_tests;

namespace {

constexpr unsigned CALLERS = 80;

/* How many are in a call, each held there until all are, or that is given up. */
struct meeting {
    std::atomic<unsigned> count{0};
    std::atomic<bool> is_over{false};

    void join()
    {
        count++;
        while (count < CALLERS && !is_over)
            usleep(1000);
    }
    /* Returns how many have come. */
    unsigned await(int most_ms = 10000)
    {
        for (int ms = 0; count < CALLERS && ms < most_ms; ms++)
            usleep(1000);
        is_over = true;
        return count;
    }
};

meeting *advising, *populating;

} // namespace

TEST_CASE("callers whose short runs have all been asked for wait for them at once", "[prefetch]")
{
    const size_t stride = 64 << 10;
    FILE_ON_DISK(file, CALLERS * stride);
    meeting advice, waits;
    advising = &advice;
    populating = &waits;
    faulty table;
    table.calls.fadvise = [](int, off_t, off_t, int) {
        advising->join();
        return 0;
    };
    table.calls.mincore = [](void *, size_t bytes, unsigned char *present) {
        memset(present, 0, bytes / static_cast<size_t>(getpagesize()));
        return 0;
    };
    table.calls.madvise = [](void *address, size_t bytes, int kind) {
        const int populate_read = 22;
        if (kind == populate_read && address != nullptr)
            populating->join();
        return roma__sys_kernel.madvise(address, bytes, kind);
    };
    owned_engine engine(ROMA_PREFETCH_PLAIN);
    SKIP_WITHOUT(engine);
    std::vector<std::thread> callers;
    std::atomic<unsigned> done{0};
    for (unsigned i = 0; i < CALLERS; i++)
        callers.emplace_back([&, i] {
            const roma_file_range range = roma_file_range_own(file.fd, i * stride, nullptr, 4096);
            done += roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_RESIDENT, nullptr,
                                         nullptr) == 0;
        });
    const unsigned advised = advice.await(), waited = waits.await();
    for (auto &caller : callers)
        caller.join();
    CHECK(advised == CALLERS);
    CHECK(waited == CALLERS);
    CHECK(done == CALLERS);
}
