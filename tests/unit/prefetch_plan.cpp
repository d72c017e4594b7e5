/* prefetch_plan.cpp - from ranges to runs and pieces, as tables. */
#include "catch.hpp"

#include "prefetch/plan.h"

#include <cerrno>
#include <random>
#include <vector>

namespace {

constexpr uint64_t KiB = 1024, MiB = 1024 * KiB;

struct expected {
    uint64_t offset, bytes;
    bool dense;
    uint32_t file = 0;
};

struct planned {
    std::vector<roma__run> runs;
    std::vector<roma__asked> asked;
    std::vector<uint32_t> order;
    bool valid;
};

roma__file disk(uint64_t bytes, uint64_t inode = 1)
{
    roma__file file{};
    file.device = 7;
    file.inode = inode;
    file.bytes = bytes;
    file.page_bytes = 4096;
    return file;
}

roma__asked range(uint64_t offset, uint64_t bytes, uint32_t file = 0,
                  uintptr_t base = ROMA__UNMAPPED)
{
    return {offset, bytes, base, file, 0, 0};
}

const roma__rules by_huge_pages = {2 * MiB, false, false};

planned plan(const std::vector<roma__file> &files, std::vector<roma__asked> asked,
             const roma__rules &rules = by_huge_pages)
{
    std::vector<uint32_t> order(asked.size()), spare(asked.size());
    planned made;
    made.runs.resize(roma__runs_most(asked.size()) + 1);
    made.runs.resize(roma__plan(files.data(), asked.data(), order.data(), spare.data(),
                                asked.size(), &rules, made.runs.data()));
    made.valid = roma__plan_is_valid(files.data(), asked.data(), order.data(), asked.size(),
                                     made.runs.data(), made.runs.size(), &rules);
    made.asked = asked;
    made.order = order;
    return made;
}

void check(const planned &made, const std::vector<expected> &wanted)
{
    CHECK(made.valid);
    REQUIRE(made.runs.size() == wanted.size());
    for (size_t i = 0; i < wanted.size(); i++) {
        INFO("run " << i);
        CHECK(made.runs[i].offset == wanted[i].offset);
        CHECK(made.runs[i].bytes == wanted[i].bytes);
        CHECK(made.runs[i].dense == wanted[i].dense);
        CHECK(made.runs[i].file == wanted[i].file);
    }
}

} // namespace

TEST_CASE("ranges are widened to pages, cut at the end, sorted and merged")
{
    const std::vector<roma__file> file = {disk(10 * MiB + 100)};
    check(plan(file, {}), {});
    check(plan(file, {range(5, 0)}), {});
    check(plan(file, {range(1, 1)}), {{0, 4096, false}});
    check(plan(file, {range(4095, 2)}), {{0, 8192, false}});
    check(plan(file, {range(8192, 4096), range(0, 4096)}), {{0, 4096, false}, {8192, 4096, false}});
    check(plan(file, {range(8192, 1), range(4096, 1), range(0, 1)}), {{0, 12288, false}});
    check(plan(file, {range(0, 40960), range(4096, 4096), range(36864, 8192)}),
          {{0, 45056, false}});
    check(plan(file, {range(10 * MiB + 50, MiB)}), {{10 * MiB, 4096, false}});
    check(plan(file, {range(0, UINT64_MAX / 4)}), {{0, 10 * MiB + 4096, true}});
}

TEST_CASE("what begins past the file's end is an error of that range alone")
{
    const planned made = plan({disk(MiB)},
                              {range(MiB, 1), range(0, 1), range(5 * MiB, MiB), range(9 * MiB, 0)});
    check(made, {{0, 4096, false}});
    CHECK(made.asked[0].code == -EFAULT);
    CHECK(made.asked[1].code == 0);
    CHECK(made.asked[2].code == -EFAULT);
    CHECK(made.asked[3].code == 0); /* of no bytes: nothing wrong with it */
}

TEST_CASE("a range that has a code already is left out")
{
    std::vector<roma__asked> asked = {range(0, 4096), range(4096, 4096), range(8192, 4096)};
    asked[1].code = -ECANCELED;
    const planned made = plan({disk(MiB)}, asked);
    check(made, {{0, 4096, false}, {8192, 4096, false}});
    CHECK(made.asked[1].code == -ECANCELED);
}

TEST_CASE("long runs are read in huge pages, and their small edges apart")
{
    const std::vector<roma__file> file = {disk(100 * MiB)};
    check(plan(file, {range(0, 4 * MiB)}), {{0, 4 * MiB, true}});
    check(plan(file, {range(0, 4 * MiB - 4096)}), {{0, 4 * MiB - 4096, false}});
    /* less than half of a huge page before and behind */
    check(plan(file, {range(2 * MiB - 64 * KiB, 8 * MiB + 128 * KiB)}),
          {{2 * MiB - 64 * KiB, 64 * KiB, false},
           {2 * MiB, 8 * MiB, true},
           {10 * MiB, 64 * KiB, false}});
    /* more than half of one */
    check(plan(file, {range(512 * KiB, 8 * MiB + 1024 * KiB)}), {{512 * KiB, 9 * MiB, true}});
    /* at the file's end nothing is read in vain */
    check(plan({disk(8 * MiB + 8192)}, {range(0, 9 * MiB)}), {{0, 8 * MiB + 8192, true}});
    /* without huge pages there are no edges; and there may be no long runs at all */
    check(plan(file, {range(4096, 8 * MiB)}, {0, false, false}), {{4096, 8 * MiB, true}});
    check(plan(file, {range(4096, 8 * MiB)}, {2 * MiB, false, true}), {{4096, 8 * MiB, false}});
}

TEST_CASE("files in memory have short runs alone")
{
    roma__file file = disk(64 * MiB);
    file.kind = ROMA__FILE_TMPFS;
    check(plan({file}, {range(0, 64 * MiB)}), {{0, 64 * MiB, false}});
    file.kind = ROMA__FILE_HUGETLB;
    file.page_bytes = 2 * MiB;
    check(plan({file}, {range(3 * MiB, 1)}), {{2 * MiB, 2 * MiB, false}});
}

TEST_CASE("files are told by what they are, not by their descriptors")
{
    const std::vector<roma__file> files = {disk(MiB, 5), disk(MiB, 4), disk(MiB, 5)};
    check(plan(files, {range(0, 8192, 0), range(4096, 4096, 2), range(0, 4096, 1)}),
          {{0, 4096, false, 1}, {0, 8192, false, 0}});
}

TEST_CASE("a run goes on with no descriptor whose ranges end before it does")
{
    const std::vector<roma__file> files = {disk(64 * MiB), disk(64 * MiB)};
    check(plan(files, {range(0, 8 * MiB, 0), range(8 * MiB, 8 * MiB, 1)}),
          {{0, 8 * MiB, true, 0}, {8 * MiB, 8 * MiB, true, 1}});
    const planned overlapping = plan(files, {range(0, 8 * MiB, 0), range(4 * MiB, 12 * MiB, 1),
                                             range(6 * MiB, MiB, 0), range(6 * MiB, 14 * MiB, 0)});
    check(overlapping,
          {{0, 8 * MiB, true, 0}, {8 * MiB, 8 * MiB, true, 1}, {16 * MiB, 4 * MiB, true, 0}});
    for (const roma__run &run : overlapping.runs) { /* any range may lie in any of them */
        CHECK(run.first == 0);
        CHECK(run.count == 4);
    }
}

TEST_CASE("whatever the descriptors, a run is of one whose ranges have all of it")
{
    std::mt19937_64 random(12);
    const uint64_t pages = 2048;
    const std::vector<roma__file> files = {disk(pages * 4096), disk(pages * 4096),
                                           disk(pages * 4096)};
    for (int round = 0; round < 200; round++) {
        std::vector<roma__asked> asked;
        for (size_t i = 0; i < 1 + random() % 20; i++)
            asked.push_back(range(random() % (pages * 4096), random() % (6 * MiB),
                                  static_cast<uint32_t>(random() % files.size())));
        const planned made = plan(files, asked);
        REQUIRE(made.valid);
        for (const roma__run &run : made.runs) {
            std::vector<bool> has(pages + 1);
            for (size_t i = 0; i < asked.size(); i++) {
                const roma__asked &one = made.asked[made.order[i]];
                const bool is_in = one.bytes > 0 && one.offset < run.offset + run.bytes &&
                                   one.offset + one.bytes > run.offset;
                REQUIRE((!is_in || (i >= run.first && i < run.first + run.count)));
                for (uint64_t at = one.offset / 4096;
                     one.file == run.file && one.bytes > 0 && at < pages &&
                     at <= (one.offset + one.bytes - 1) / 4096;
                     at++)
                    has[at] = true;
            }
            bool has_all = true;
            for (uint64_t at = run.offset / 4096; at < (run.offset + run.bytes) / 4096; at++)
                has_all = has_all && has[at];
            REQUIRE(has_all);
        }
    }
}

TEST_CASE("where huge pages are long, so are long runs")
{
    const roma__rules rules = {32 * MiB, false, false};
    check(plan({disk(256 * MiB)}, {range(0, 4 * MiB)}, rules), {{0, 4 * MiB, false}});
    check(plan({disk(256 * MiB)}, {range(0, 63 * MiB)}, rules), {{0, 63 * MiB, false}});
    check(plan({disk(256 * MiB)}, {range(64 * MiB, 64 * MiB)}, rules),
          {{64 * MiB, 64 * MiB, true}});
}

TEST_CASE("runs by address do not go from one mapping into another")
{
    const roma__rules rules = {2 * MiB, true, false};
    check(plan({disk(MiB)},
               {range(0, 4096, 0, 0x10000), range(4096, 4096, 0, 0x10000),
                range(8192, 4096, 0, 0x90000)},
               rules),
          {{0, 8192, false}, {8192, 4096, false}});
}

TEST_CASE("whatever the ranges, runs cover their pages and nothing else")
{
    std::mt19937_64 random(11);
    const uint64_t pages = 8192;
    for (int round = 0; round < 200; round++) {
        std::vector<roma__asked> asked;
        std::vector<bool> wanted(pages + 1), had(pages + 1);
        const size_t n = 1 + random() % 60;
        for (size_t i = 0; i < n; i++) {
            const uint64_t offset = random() % (pages * 4096);
            const uint64_t bytes = random() % (random() % 4 == 0 ? 12 * MiB : 64 * KiB);
            asked.push_back(range(offset, bytes));
            for (uint64_t at = offset / 4096; bytes > 0 && at <= (offset + bytes - 1) / 4096; at++)
                if (at < pages)
                    wanted[at] = true;
        }
        const planned made = plan({disk(pages * 4096)}, asked);
        REQUIRE(made.valid);
        bool had_once = true;
        for (const roma__run &run : made.runs)
            for (uint64_t at = run.offset / 4096; at < (run.offset + run.bytes) / 4096; at++) {
                had_once = had_once && !had[at];
                had[at] = true;
            }
        REQUIRE(had_once);
        REQUIRE(had == wanted);
    }
}

TEST_CASE("pieces end on the grid, and cover their run")
{
    const roma__run run = {1 * MiB, 40 * MiB, ROMA__UNMAPPED, 0, 0, 1, true, 0};
    const struct {
        uint64_t at;
        size_t most, unit, bytes;
    } rows[] = {
        {1 * MiB, 2 * MiB, 2 * MiB, 1 * MiB},
        {2 * MiB, 8 * MiB, 2 * MiB, 8 * MiB},
        {3 * MiB, 8 * MiB, 2 * MiB, 7 * MiB},
        {10 * MiB, 32 * MiB, 2 * MiB, 31 * MiB},
        {40 * MiB, 32 * MiB, 2 * MiB, 1 * MiB},
        {1 * MiB, 4096, 2 * MiB, 4096},
        {1 * MiB + 4096, 64 * KiB, 64 * KiB, 60 * KiB},
        {1 * MiB, 12 * KiB, 2 * MiB, 12 * KiB},
        {1 * MiB + 12 * KiB, 12 * KiB, 2 * MiB, 12 * KiB},
        {1 * MiB, 1536 * KiB, 2 * MiB, 1536 * KiB},
    };
    for (const auto &row : rows) {
        INFO(row.at << " " << row.most);
        CHECK(roma__piece_bytes(&run, row.at, row.most, row.unit) == row.bytes);
    }
}

TEST_CASE("chunks grow while the device keeps up, and shrink when it does not")
{
    const size_t most = 32 * MiB;
    const uint64_t ms = 1000000;
    CHECK(roma__chunk_next(2 * MiB, 1 * ms, most) == 8 * MiB);
    CHECK(roma__chunk_next(8 * MiB, 5 * ms, most) == 32 * MiB);
    CHECK(roma__chunk_next(32 * MiB, 20 * ms, most) == 32 * MiB);
    CHECK(roma__chunk_next(2 * MiB, 26 * ms, most) == 2 * MiB);
    CHECK(roma__chunk_next(8 * MiB, 90 * ms, most) == 8 * MiB);
    CHECK(roma__chunk_next(32 * MiB, 500 * ms, most) == 8 * MiB);
    CHECK(roma__chunk_next(2 * MiB, 5000 * ms, most) == 2 * MiB);
    CHECK(roma__chunk_next(2 * MiB, 0, 4096) == 4096);
}
