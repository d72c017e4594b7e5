/* spans.cpp - runs out of spans: which span a run comes from; and the whole page layer in any order
 * of calls. */
#include "spans.hpp"

#include <cstring>
#include <map>
#include <random>
#include <vector>

using namespace page_layer;

/* ---- which span ------------------------------------------------------------------------------ */

TEST_CASE("a run comes from the fullest span that has room for it", "[spans]")
{
    fixture f(delay_ns, base_pages, 4 * span_bytes);
    const auto spans = f.cut_spans(4);
    for (const auto &span : spans)
        f.give(span);
    /* Fill them to 4, 12, 20 and 28 free granules, each by one run and what is left of it. */
    std::vector<spans_run> fill;
    for (const uint32_t free_granules : {4, 12, 20, 28}) {
        spans_run run = f.cut(span_granules);
        fill.push_back(run);
        spans_run end{run.base + (span_granules - free_granules) * granule_bytes, run.record,
                      free_granules, false};
        f.give(end);
        fill.back().granules = span_granules - free_granules;
    }
    const struct {
        uint32_t granules;
        size_t fullest; /* index into fill */
    } rows[] = {{1, 0}, {4, 0}, {5, 1}, {12, 1}, {13, 2}, {20, 2}, {21, 3}, {28, 3}};
    for (const auto &row : rows) {
        INFO(row.granules << " granules");
        const spans_run run = f.cut(row.granules);
        CHECK(run.reused);
        CHECK(run.base == fill[row.fullest].base + fill[row.fullest].granules * granule_bytes);
        f.must_be_sound();
        f.give(run);
    }
    for (const auto &run : fill)
        f.give(run);
}

TEST_CASE("a run is not cut across spans, one longer than a span is", "[spans]")
{
    fixture f(delay_ns, base_pages, 4 * span_bytes);
    const spans_run first = f.cut(20), second = f.cut(20);
    CHECK(second.base == first.base + span_bytes);
    const spans_run across = f.cut(40); /* 12 of the second span, and 28 of the third */
    CHECK(across.base == second.base + 20 * granule_bytes);
    f.must_be_sound();
    const spans_run small = f.cut(4);
    CHECK(small.base == across.base + 40 * granule_bytes);
    for (const auto &run : {first, second, across, small})
        f.give(run);
    CHECK(f.memory.acquired == 1);
}

TEST_CASE("free granules that lie apart are no run, and a bounded search ends", "[spans]")
{
    fixture f(UINT64_MAX, base_pages, 16 * span_bytes);
    std::vector<spans_run> single;
    for (uint32_t i = 0; i < 16 * span_granules; i++)
        single.push_back(f.cut(1));
    for (size_t i = 0; i < single.size(); i += 2)
        f.give(single[i]);
    CHECK(f.memory.acquired == 1);
    const spans_run pair = f.cut(2);
    CHECK(f.memory.acquired == 2); /* half of all is free, and no two together */
    f.give(pair);
    /* One span of the sixteen gets a pair. Without room to grow it is found. */
    f.give(single[1]);
    spans_trim(f.extents, 0);
    spans_limit_bytes = spans_charged_bytes;
    spans_run found{};
    REQUIRE(spans_cut(f.extents, 2, &found) == 0);
    CHECK(found.reused);
    f.must_be_sound();
    f.give(found);
    for (size_t i = 3; i < single.size(); i += 2)
        f.give(single[i]);
}

TEST_CASE("memory with pages is used before memory without", "[spans]")
{
    fixture f(delay_ns, base_pages, 4 * span_bytes);
    const spans_run keeper = f.cut(1); /* so that the extent stays */
    const auto spans = f.cut_spans(3);
    f.give(spans[0]);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == span_bytes);
    f.give(spans[2]);
    CHECK(f.figures().dirty_bytes == span_bytes);
    CHECK(f.figures().clean_bytes == span_bytes);
    const spans_run warm = f.cut(span_granules), cold = f.cut(span_granules);
    CHECK(warm.base == spans[2].base);
    CHECK(cold.base == spans[0].base);
    for (const auto &run : {keeper, warm, cold, spans[1]})
        f.give(run);
}

TEST_CASE("a run is lengthened over what is free behind it, also across spans", "[spans]")
{
    fixture f(delay_ns, base_pages, 2 * span_bytes);
    spans_run run = f.cut(30);
    CHECK(spans_lengthen(f.extents, &run, 40));
    f.must_be_sound();
    CHECK_FALSE(spans_lengthen(f.extents, &run, 65));
    const spans_run behind = f.cut(1);
    CHECK(behind.base == run.base + 40 * granule_bytes);
    CHECK_FALSE(spans_lengthen(f.extents, &run, 41));
    f.give(run);
    f.give(behind);
}

/* ---- anything, in any order ------------------------------------------------------------------ */

TEST_CASE("no order of calls breaks the lists, overlaps runs or loses memory", "[spans][long]")
{
    const roma_pages kinds[] = {base_pages, ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, 22),
                                ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 21)};
    fixture f(delay_ns, kinds[GENERATE(0, 1, 2)], 6 * span_bytes + 3 * granule_bytes);
    std::mt19937 random(42);
    std::map<char *, spans_run> runs;
    std::vector<spans_own> owns;
    bool apart = true;
    for (int i = 0; i < 20000; i++) {
        const uint32_t what = random() % 100;
        spans_clock_ns += random() % (delay_ns / 16);
        f.memory.room_bytes = random() % 20 == 0 ? 1 << 20 : size_t(1) << 40;
        f.memory.discard_code = random() % 50 == 0 ? -ENOMEM : 0;
        if (what < 45 && runs.size() < 200) {
            const uint32_t granules = random() % 20 == 0 ? 33 + random() % 60 : 1 + random() % 32;
            spans_run run{};
            if (spans_cut(f.extents, granules, &run) < 0)
                continue;
            memset(run.base, 1, 1);
            const auto behind = runs.lower_bound(run.base);
            apart = apart &&
                    (behind == runs.end() || run.base + granules * granule_bytes <= behind->first);
            apart = apart && (behind == runs.begin() ||
                              std::prev(behind)->first +
                                      std::prev(behind)->second.granules * granule_bytes <=
                                  run.base);
            runs[run.base] = run;
        } else if (what < 90 && !runs.empty()) {
            auto victim = std::next(runs.begin(), random() % runs.size());
            f.give(victim->second);
            runs.erase(victim);
        } else if (what < 94) {
            spans_own own{};
            if (spans_take_own(f.extents, (1 + random() % 64) << 16, 0, 0, &own) == 0)
                owns.push_back(own);
        } else if (what < 98 && !owns.empty()) {
            f.release_own(owns.back());
            owns.pop_back();
        } else if (what == 98) {
            spans_return(f.extents);
        } else if (what == 99 && random() % 20 == 0) {
            spans_trim(f.extents, random() % (32 << 20));
        }
        if (i % 50 == 0)
            f.must_be_sound();
    }
    CHECK(apart);
    for (const auto &[base, run] : runs)
        f.give(run);
    for (const auto &own : owns)
        f.release_own(own);
    f.memory.discard_code = 0;
    spans_clock_ns += delay_ns;
    spans_return(f.extents);
    CHECK(f.figures().count <= 1);
    CHECK(f.figures().dirty_bytes == 0);
}
