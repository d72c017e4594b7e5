/* ladder.cpp - the ladder as a pure function, by tables: wish and machine in, steps out. */
#include "catch.hpp"

#include "policy/ladder.h"

#include <string>
#include <vector>

namespace {

/* The ladder compares and copies providers and never calls them: any distinct addresses do. */
char places[3];
roma_provider *const first = reinterpret_cast<roma_provider *>(&places[0]);
roma_provider *const second = reinterpret_cast<roma_provider *>(&places[1]);

constexpr roma_page_kind base4k = ROMA_PAGE_CLASS_BASE | 12;
constexpr roma_page_kind thp2m = ROMA_PAGE_CLASS_THP | 21;
constexpr roma_page_kind huge2m = ROMA_PAGE_CLASS_HUGETLB | 21;
constexpr roma_page_kind huge1g = ROMA_PAGE_CLASS_HUGETLB | 30;
constexpr roma_page_kind huge64k = ROMA_PAGE_CLASS_HUGETLB | 16;
constexpr roma_page_kind huge32m = ROMA_PAGE_CLASS_HUGETLB | 25;

roma_pages list(std::initializer_list<roma_page_kind> kinds)
{
    roma_pages pages = 0;
    for (roma_page_kind kind : kinds)
        pages = roma_pages_then(pages, kind);
    return pages;
}

const roma__ladder_machine x86 = {base4k, thp2m, huge2m, list({huge1g, huge2m})};
const roma__ladder_machine no_thp = {base4k, 0, huge2m, list({huge1g, huge2m})};
const roma__ladder_machine bare = {base4k, 0, 0, 0};
const roma__ladder_machine arm = {base4k, thp2m, huge2m, list({huge1g, huge32m, huge2m, huge64k})};

struct row {
    const char *what;
    const roma__ladder_machine *machine;
    roma_pages wanted;
    bool strict;
    std::vector<roma_page_kind> expected;
};

std::vector<roma_page_kind> kinds_of(const roma__ladder &ladder)
{
    std::vector<roma_page_kind> kinds;
    for (unsigned i = 0; i < ladder.count; i++)
        kinds.push_back(ladder.steps[i].pages);
    return kinds;
}

} // namespace

TEST_CASE("page kinds of a ladder follow the wish, then what is weaker", "[ladder]")
{
    const std::vector<row> rows = {
        {"no wish", &x86, 0, false, {thp2m, base4k}},
        {"no wish, strict", &x86, 0, true, {thp2m, base4k}},
        {"no wish, no transparent pages", &no_thp, 0, false, {base4k}},
        {"base", &x86, ROMA_PAGES_BASE, false, {base4k}},
        {"transparent", &x86, ROMA_PAGES_THP, false, {thp2m, base4k}},
        {"transparent, strict", &x86, ROMA_PAGES_THP, true, {thp2m}},
        {"2 MiB", &x86, ROMA_PAGES_2M, false, {huge2m, thp2m, base4k}},
        {"2 MiB, strict", &x86, ROMA_PAGES_2M, true, {huge2m}},
        {"default hugetlb", &x86, ROMA_PAGES_HUGETLB, false, {huge2m, thp2m, base4k}},
        {"1 GiB falls to the smaller pool first",
         &x86,
         ROMA_PAGES_1G,
         false,
         {huge1g, huge2m, thp2m, base4k}},
        {"1 GiB, strict", &x86, ROMA_PAGES_1G, true, {huge1g}},
        {"1 GiB then base: named order first",
         &x86,
         roma_pages_then(ROMA_PAGES_1G, ROMA_PAGES_BASE),
         false,
         {huge1g, base4k, huge2m, thp2m}},
        {"two kinds, strict",
         &x86,
         roma_pages_then(ROMA_PAGES_2M, ROMA_PAGES_THP),
         true,
         {huge2m, thp2m}},
        {"64 KiB hugetlb is not answered with larger transparent pages",
         &arm,
         ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 16),
         false,
         {huge64k, base4k}},
        {"32 MiB on four pools",
         &arm,
         ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 25),
         false,
         {huge32m, huge2m, huge64k, thp2m, base4k}},
        {"a size that the machine has no pool of keeps its step",
         &x86,
         ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 25),
         false,
         {huge32m, huge2m, thp2m, base4k}},
        {"default hugetlb where there is none keeps its step",
         &bare,
         ROMA_PAGES_HUGETLB,
         false,
         {ROMA_PAGE_CLASS_HUGETLB, base4k}},
    };
    for (const row &r : rows) {
        INFO(r.what);
        roma__ladder_wish wish{};
        wish.pages = r.wanted;
        wish.strict = r.strict;
        wish.providers = &first;
        wish.providers_count = 1;
        roma__ladder ladder;
        roma_error error = {};
        REQUIRE(roma__ladder_build(&wish, r.machine, &ladder, &error) == 0);
        CHECK(kinds_of(ladder) == r.expected);
        for (unsigned i = 0; i < ladder.count; i++) {
            CHECK(ladder.steps[i].strict == r.strict);
            CHECK(roma_nodes_is_empty(&ladder.steps[i].nodes));
        }
    }
}

TEST_CASE("nodes come before kinds, kinds before providers; other nodes last", "[ladder]")
{
    roma_provider *const both[] = {first, second};
    roma__ladder_wish wish{};
    wish.pages = ROMA_PAGES_2M;
    wish.groups_count = 1;
    wish.groups[0] = roma_nodes_one(5);
    wish.providers = both;
    wish.providers_count = 2;
    roma__ladder ladder;
    roma_error error = {};
    REQUIRE(roma__ladder_build(&wish, &no_thp, &ladder, &error) == 0);
    REQUIRE(ladder.count == 8);
    const struct {
        roma_provider *provider;
        bool on_node;
        roma_page_kind pages;
    } expected[] = {
        {first, true, huge2m},  {second, true, huge2m},  {first, true, base4k},
        {second, true, base4k}, {first, false, huge2m},  {second, false, huge2m},
        {first, false, base4k}, {second, false, base4k},
    };
    for (unsigned i = 0; i < 8; i++) {
        INFO("step " << i);
        CHECK(ladder.steps[i].provider == expected[i].provider);
        CHECK(ladder.steps[i].pages == expected[i].pages);
        CHECK(roma_nodes_has(&ladder.steps[i].nodes, 5) == expected[i].on_node);
        CHECK(roma_nodes_is_empty(&ladder.steps[i].nodes) != expected[i].on_node);
    }

    wish.strict = true;
    REQUIRE(roma__ladder_build(&wish, &no_thp, &ladder, &error) == 0);
    REQUIRE(ladder.count == 2); /* the listed kind on the listed node, by either provider */
    CHECK(roma_nodes_has(&ladder.steps[1].nodes, 5));
}

TEST_CASE("a ladder that cannot be built says which field is wrong", "[ladder]")
{
    roma__ladder ladder;
    roma_error error = {};
    roma__ladder_wish wish{};
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "providers");

    wish.providers = &first;
    wish.providers_count = 1;
    wish.pages = 0x15; /* a size without a class */
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "pages");

    std::vector<roma_provider *> many(ROMA_STEPS_MAX, first); /* 32 providers x 2 kinds */
    wish.pages = 0;
    wish.providers = many.data();
    wish.providers_count = many.size();
    CHECK(roma__ladder_build(&wish, &x86, &ladder, &error) == -EINVAL);
}

TEST_CASE("ladders are equal when their steps are", "[ladder]")
{
    roma__ladder_wish wish{};
    wish.providers = &first;
    wish.providers_count = 1;
    roma__ladder a, b;
    roma_error error = {};
    REQUIRE(roma__ladder_build(&wish, &x86, &a, &error) == 0);
    wish.pages = roma_pages_then(ROMA_PAGES_THP, ROMA_PAGES_BASE); /* the default, spelt out */
    REQUIRE(roma__ladder_build(&wish, &x86, &b, &error) == 0);
    CHECK(roma__ladder_equal(&a, &b));
    wish.strict = true;
    REQUIRE(roma__ladder_build(&wish, &x86, &b, &error) == 0);
    CHECK_FALSE(roma__ladder_equal(&a, &b));
    wish.strict = false;
    wish.groups_count = 1;
    wish.groups[0] = roma_nodes_one(0);
    REQUIRE(roma__ladder_build(&wish, &x86, &b, &error) == 0);
    CHECK_FALSE(roma__ladder_equal(&a, &b));
    wish.groups_count = 0;
    wish.pages = ROMA_PAGES_BASE;
    REQUIRE(roma__ladder_build(&wish, &(const roma__ladder_machine &)arm, &b, &error) == 0);
    CHECK_FALSE(roma__ladder_equal(&a, &b));
}

TEST_CASE("sets of nodes are tried in order, each with all kinds, and any node last", "[ladder]")
{
    roma__ladder_wish wish{};
    wish.providers = &first;
    wish.providers_count = 1;
    wish.groups_count = 2;
    wish.groups[0] = roma_nodes_one(7);
    wish.groups[1] = roma_nodes_one(1);
    roma_nodes_add(&wish.groups[1], 3);
    roma__ladder ladder;
    roma_error error = {};
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    REQUIRE(ladder.count == 6); /* (7), (1 and 3), any: transparent huge and base on each */
    for (unsigned i = 0; i < 6; i++) {
        CHECK(ladder.steps[i].pages == (i % 2 == 0 ? thp2m : base4k));
        CHECK(roma_nodes_has(&ladder.steps[i].nodes, 7) == (i < 2));
        CHECK(roma_nodes_has(&ladder.steps[i].nodes, 3) == (i == 2 || i == 3));
    }
    wish.strict = true;
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    CHECK(ladder.count == 4);
}

TEST_CASE("where there are more sets of nodes than steps, the last one takes in the rest",
          "[ladder]")
{
    roma_provider *const both[] = {first, second};
    roma__ladder_wish wish{};
    wish.providers = both;
    wish.providers_count = 2; /* 4 steps a set: 7 sets and any node fill 32 steps */
    wish.groups_count = 12;
    for (unsigned g = 0; g < 12; g++)
        wish.groups[g] = roma_nodes_one(g);
    roma__ladder ladder;
    roma_error error = {};
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    REQUIRE(ladder.count == ROMA_STEPS_MAX);
    CHECK(roma_nodes_count(&ladder.steps[20].nodes) == 1);
    CHECK(roma_nodes_count(&ladder.steps[24].nodes) == 6); /* 6 to 11 */
    CHECK(roma_nodes_is_empty(&ladder.steps[28].nodes));
    wish.strict = true;
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    REQUIRE(ladder.count == ROMA_STEPS_MAX);
    CHECK(roma_nodes_count(&ladder.steps[28].nodes) == 5); /* 7 to 11 */
}

TEST_CASE("how pages are laid on nodes, and by which weights, is part of a step", "[ladder]")
{
    roma__ladder_wish wish{};
    wish.providers = &first;
    wish.providers_count = 1;
    wish.groups_count = 1;
    wish.groups[0] = roma_nodes_one(0);
    roma_nodes_add(&wish.groups[0], 1);
    roma__ladder plain, spread, other;
    roma_error error = {};
    REQUIRE(roma__ladder_build(&wish, &x86, &plain, &error) == 0);
    wish.spread = ROMA_SPREAD_WEIGHTED;
    wish.weights[0] = 3;
    wish.weights[1] = 1;
    REQUIRE(roma__ladder_build(&wish, &x86, &spread, &error) == 0);
    CHECK_FALSE(roma__ladder_equal(&plain, &spread));
    CHECK(spread.steps[0].spread == ROMA_SPREAD_WEIGHTED);
    CHECK(spread.steps[2].spread == ROMA_SPREAD_NONE); /* any node */
    CHECK(spread.weights[0] == 3);
    wish.weights[1] = 2;
    REQUIRE(roma__ladder_build(&wish, &x86, &other, &error) == 0);
    CHECK_FALSE(roma__ladder_equal(&spread, &other));
}

TEST_CASE("a ladder may end as if nothing had been wished", "[ladder]")
{
    roma__ladder_wish wish{};
    wish.providers = &first;
    wish.providers_count = 1;
    wish.pages = ROMA_PAGES_1G;
    wish.groups_count = 1;
    wish.groups[0] = roma_nodes_one(1);
    wish.strict = true;
    wish.plain_providers = &first;
    wish.plain_providers_count = 1;
    roma__ladder ladder;
    roma_error error = {};
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    CHECK(kinds_of(ladder) == std::vector<roma_page_kind>{huge1g, thp2m, base4k});
    CHECK(ladder.steps[0].strict);
    CHECK_FALSE(ladder.steps[1].strict);
    CHECK(roma_nodes_is_empty(&ladder.steps[1].nodes));

    wish.strict = false; /* it ends so anyway: no step twice */
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    CHECK(kinds_of(ladder) == std::vector<roma_page_kind>{huge1g, huge2m, thp2m, base4k, huge1g,
                                                          huge2m, thp2m, base4k});

    wish.plain_providers = &second; /* another than that of the wish: its steps are new */
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    REQUIRE(ladder.count == 10);
    CHECK(ladder.steps[7].provider == first);
    CHECK(ladder.steps[8].provider == second);
    CHECK(ladder.steps[9].provider == second);
}

TEST_CASE("sets of nodes leave room for the steps at last", "[ladder]")
{
    roma__ladder_wish wish{};
    wish.providers = &first;
    wish.providers_count = 1; /* 2 steps a set */
    wish.strict = true;
    wish.plain_providers = &first;
    wish.plain_providers_count = 1;
    wish.groups_count = 16;
    for (unsigned g = 0; g < 16; g++)
        wish.groups[g] = roma_nodes_one(g);
    roma__ladder ladder;
    roma_error error = {};
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    REQUIRE(ladder.count == ROMA_STEPS_MAX);
    CHECK(roma_nodes_count(&ladder.steps[28].nodes) == 2);
    CHECK(roma_nodes_is_empty(&ladder.steps[30].nodes));
    CHECK_FALSE(ladder.steps[31].strict);

    wish.strict = false; /* base pages on any node, then transparent ones, which nobody named */
    wish.pages = ROMA_PAGES_BASE;
    roma_provider *const both[] = {first, second};
    wish.providers = wish.plain_providers = both;
    wish.providers_count = wish.plain_providers_count = 2;
    REQUIRE(roma__ladder_build(&wish, &x86, &ladder, &error) == 0);
    CHECK(ladder.count <= ROMA_STEPS_MAX);
    CHECK(ladder.steps[ladder.count - 1].pages == thp2m);
}
