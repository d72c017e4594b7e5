/* prefetch_odds.cpp - requests at random, of files of odd lengths, to engines of odd options,
 * beside what the header says of them: what is asked for in all, which ranges fail, what is in
 * memory afterwards. The files are too short for long runs, whose last pages may be on their way
 * still. */
#include "disk_file.hpp"
#include "engine.hpp"

#include <cerrno>
#include <deque>
#include <random>
#include <set>
#include <vector>

using namespace roma_tests;

namespace {

class odds {
  public:
    explicit odds(unsigned seed) : numbers(seed) {}

    size_t below(size_t end) { return end == 0 ? 0 : numbers() % end; }
    template <size_t n> size_t one_of(const size_t (&values)[n]) { return values[below(n)]; }

  private:
    std::mt19937_64 numbers;
};

roma_prefetch_options odd_options(odds &by, roma_prefetch_way way)
{
    roma_prefetch_options options = owned_engine::with_way(way);
    options.entries = unsigned(by.one_of({0, 8, 9, 16, 256}));
    options.dense_depth = unsigned(by.one_of({0, 1, 1024}));
    options.sparse_depth = unsigned(by.one_of({0, 1, 3, 2048}));
    options.threads = unsigned(by.one_of({0, 1, 2, 64}));
    options.chunk_bytes = by.one_of({0, 1, 5000, 65536, 3 * MiB, MiB << 10});
    options.budget_bytes = by.one_of({0, 1, 4097, MiB, 8 * MiB});
    if (options.budget_bytes != 0 && options.budget_bytes < page_bytes())
        options.budget_bytes += page_bytes();
    return options;
}

/* Ranges of any file, and what is to become of them. */
struct request {
    std::vector<roma_file_range> ranges;
    std::vector<size_t> files;
    std::set<std::pair<size_t, size_t>> pages; /* (file, page) */
    size_t past = 0;                           /* ranges that begin past the end */

    request(odds &by, const std::deque<disk_file> &of)
    {
        const size_t n = by.one_of({0, 1, 2, 7, 400}),
                     most = by.one_of({1, 4096, 9000, MiB, SIZE_MAX});
        for (size_t i = 0; i < n; i++) {
            const size_t file = by.below(of.size());
            const size_t offset = by.below(of[file].bytes + 2);
            const size_t bytes = by.below(std::min(most, of[file].bytes + 10000) + 1);
            ranges.push_back(of[file].range(offset, bytes));
            files.push_back(file);
            past += is_past(of, i);
            if (bytes == 0 || is_past(of, i))
                continue;
            const size_t end = std::min(offset + bytes, of[file].bytes);
            for (size_t page = offset / page_bytes(); page * page_bytes() < end; page++)
                pages.emplace(file, page);
        }
    }

    bool is_past(const std::deque<disk_file> &of, size_t i) const
    {
        return ranges[i].bytes > 0 && ranges[i].offset >= of[files[i]].bytes;
    }
};

void check_done(const request &asked, const std::deque<disk_file> &files, owned_handle &handle)
{
    CHECK(handle.wait() == (asked.past > 0 ? -EFAULT : 0));
    const roma_prefetch_progress progress = handle.progress();
    CHECK(adds_up(progress));
    CHECK(progress.total_bytes == asked.pages.size() * page_bytes());
    CHECK(progress.done_bytes == progress.total_bytes);
    CHECK(progress.failed_ranges == asked.past);
    size_t wrong = 0;
    for (size_t i = 0; i < asked.ranges.size(); i++)
        wrong += roma_prefetch_range_error(handle.self, i, nullptr) !=
                 (asked.is_past(files, i) ? -EFAULT : 0);
    CHECK(wrong == 0);
}

size_t missing(const request &asked, const std::deque<disk_file> &files)
{
    size_t count = 0;
    for (const auto &[file, page] : asked.pages)
        count += files[file].came(page * page_bytes(), 1) == 0;
    return count;
}

} // namespace

TEMPLATE_TEST_CASE("what is asked for at random is what the header says", "[prefetch]", by_ring,
                   by_threads, by_plain_calls)
{
    SKIP_WITHOUT(owned_engine(TestType::way));
    std::deque<disk_file> files;
    for (size_t bytes : {size_t(0), size_t(1), page_bytes(), 300001 + page_bytes(), 3 * MiB - 1})
        files.emplace_back(bytes);
    SKIP_WHERE_EMULATED();
    if (!files[0].on_disk)
        SKIP_TEST("neither /var/tmp nor /tmp is on a disk");
    const unsigned engines = 12, requests = 10;
    for (unsigned seed = 1; seed <= engines; seed++) {
        INFO("seed " << seed);
        odds by(seed);
        const roma_prefetch_options options = odd_options(by, TestType::way);
        owned_engine engine(options);
        REQUIRE(engine.lacks.empty());
        for (unsigned i = 0; i < requests; i++) {
            for (const disk_file &file : files)
                if (by.below(2) == 0)
                    posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
            const request first(by, files), second(by, files);
            owned_handle one(engine, first.ranges.data(), first.ranges.size());
            owned_handle other(engine, second.ranges.data(), second.ranges.size(),
                               ROMA_PREFETCH_ISSUED);
            (void)one.wait();
            CHECK(missing(first, files) == 0);
            check_done(first, files, one);
            check_done(second, files, other);
        }
        const uint64_t peak = engine.figure("flying.peak_bytes");
        CHECK((options.budget_bytes == 0 || peak <= options.budget_bytes));
    }
}
