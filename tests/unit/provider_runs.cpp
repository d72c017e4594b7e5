/* provider_runs.cpp - the list of free runs against a plain array of pages. */
#include "catch.hpp"

#include "provider/runs.h"

#include <random>
#include <vector>

namespace {

struct list {
    explicit list(size_t pages) : space(roma__runs_bytes(pages) / sizeof(roma__run))
    {
        roma__runs_start(&runs, pages, space.data());
    }
    std::vector<roma__run> space;
    roma__runs runs = {};
};

size_t lowest_fit(const std::vector<bool> &taken, size_t count, size_t stride, size_t phase)
{
    for (size_t first = phase; first + count <= taken.size(); first += stride) {
        size_t run = 0;
        while (run < count && !taken[first + run])
            run++;
        if (run == count)
            return first;
    }
    return SIZE_MAX;
}

} // namespace

TEST_CASE("runs: random taking and giving agrees with a plain array of pages", "[runs]")
{
    const size_t pages = 257;
    list list(pages);
    std::vector<bool> taken(pages, false);
    std::vector<std::pair<size_t, size_t>> held;
    std::minstd_rand random(7);
    for (int step = 0; step < 20000; step++) {
        size_t choice = random() % 4;
        if (choice < 2) {
            size_t count = 1 + random() % 9, stride = (size_t)1 << random() % 6;
            size_t phase = random() % stride;
            size_t expected = lowest_fit(taken, count, stride, phase);
            REQUIRE(roma__runs_find(&list.runs, count, stride, phase) == expected);
            REQUIRE(roma__runs_take(&list.runs, count, stride, phase) == expected);
            if (expected != SIZE_MAX) {
                held.emplace_back(expected, count);
                std::fill_n(taken.begin() + (long)expected, count, true);
            }
        } else if (choice == 2) {
            size_t first = random() % pages, count = 1 + random() % 4;
            bool fits = first + count <= pages;
            for (size_t i = 0; fits && i < count; i++)
                fits = !taken[first + i];
            REQUIRE(roma__runs_take_at(&list.runs, first, count) == fits);
            if (fits) {
                held.emplace_back(first, count);
                std::fill_n(taken.begin() + (long)first, count, true);
            }
        } else if (!held.empty()) {
            size_t at = random() % held.size();
            auto [first, count] = held[at];
            REQUIRE(roma__runs_are_taken(&list.runs, first, count));
            REQUIRE(roma__runs_give(&list.runs, first, count));
            REQUIRE_FALSE(roma__runs_give(&list.runs, first, count));
            std::fill_n(taken.begin() + (long)first, count, false);
            held[at] = held.back();
            held.pop_back();
        }
        REQUIRE(roma__runs_are_valid(&list.runs));
    }
    for (auto [first, count] : held)
        REQUIRE(roma__runs_give(&list.runs, first, count));
    REQUIRE(list.runs.count == 1);
    REQUIRE(list.runs.free_pages == pages);
}

TEST_CASE("runs: the list never outgrows what was set aside, at its worst: every other page free",
          "[runs]")
{
    for (size_t pages : {1, 2, 3, 4, 63, 64}) {
        list list(pages);
        for (size_t i = 0; i < pages; i++)
            REQUIRE(roma__runs_take_at(&list.runs, i, 1));
        CHECK(list.runs.count == 0);
        for (size_t i = 0; i < pages; i += 2) {
            REQUIRE(roma__runs_give(&list.runs, i, 1));
            REQUIRE(list.runs.count <= list.space.size());
        }
        CHECK(list.runs.count == (pages + 1) / 2);
        CHECK(roma__runs_are_valid(&list.runs));
    }
}

TEST_CASE("runs: what is not in the range, or free already, is not taken back", "[runs]")
{
    list list(8);
    CHECK_FALSE(roma__runs_give(&list.runs, 0, 8));
    REQUIRE(roma__runs_take(&list.runs, 8, 1, 0) == 0);
    CHECK_FALSE(roma__runs_give(&list.runs, 0, 0));
    CHECK_FALSE(roma__runs_give(&list.runs, 0, 9));
    CHECK_FALSE(roma__runs_give(&list.runs, 9, 1));
    CHECK_FALSE(roma__runs_give(&list.runs, 4, SIZE_MAX));
    CHECK_FALSE(roma__runs_give(&list.runs, SIZE_MAX, 2));
    REQUIRE(roma__runs_give(&list.runs, 2, 2));
    CHECK_FALSE(roma__runs_give(&list.runs, 1, 2));
    CHECK_FALSE(roma__runs_give(&list.runs, 3, 2));
    CHECK_FALSE(roma__runs_take_at(&list.runs, 1, 2));
    CHECK(roma__runs_take(&list.runs, 3, 1, 0) == SIZE_MAX);
    CHECK(roma__runs_are_valid(&list.runs));
    CHECK(roma__runs_bytes(SIZE_MAX) == 0);
}
