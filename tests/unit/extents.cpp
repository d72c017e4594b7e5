/* extents.cpp - the extents of a heap: how large they are, what makes room for them, which are
 * taken again, and what a child after fork has of them; and all that over the kernel's memory. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "huge_pages.hpp"
#include "skip.hpp"
#include "spans.hpp"

#include <cerrno>
#include <vector>

using namespace page_layer;

/* ---- growth ---------------------------------------------------------------------------------- */

TEST_CASE("an extent is an eighth of what is shared where pages come by touch", "[spans]")
{
    const auto obtained = [](roma_pages kind, size_t spans) {
        fixture f(delay_ns, kind);
        const auto runs = f.cut_spans(spans);
        const int count = f.memory.acquired;
        f.must_be_sound();
        for (const auto &run : runs)
            f.give(run);
        return count;
    };
    CHECK(obtained(base_pages, 1024) < 60); /* 2 GiB: 8 of 2 MiB, then by 1/8 each */
    CHECK(obtained(ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 21), 64) == 64);
}

TEST_CASE("a limit lets all of it be used", "[spans]")
{
    fixture f;
    spans_limit_bytes = (100 << 20) + 3 * granule_bytes;
    std::vector<spans_run> runs;
    spans_run run{};
    while (spans_cut(f.extents, 1, &run) == 0)
        runs.push_back(run);
    CHECK(runs.size() * granule_bytes == spans_limit_bytes);
    CHECK(f.figures().count < 40);
    for (const auto &one : runs)
        f.give(one);
}

TEST_CASE("what waits makes room when the limit or the provider refuses", "[spans]")
{
    const bool by_limit = GENERATE(true, false);
    INFO((by_limit ? "limit" : "provider"));
    fixture f(UINT64_MAX);
    (by_limit ? spans_limit_bytes : f.memory.room_bytes) = 64 << 20;

    const spans_own large = f.take(60 << 20);
    spans_own other{};
    CHECK(spans_take_own(f.extents, 48 << 20, 0, 0, &other) == -ENOMEM);
    f.release_own(large);
    CHECK(f.figures().count == 1); /* cached */
    REQUIRE(spans_take_own(f.extents, 48 << 20, 0, 0, &other) == 0);
    CHECK_FALSE(other.grant.reused);
    f.release_own(other);

    /* Shared extents in the place of the cached one; then an own one in the place of their ends. */
    std::vector<spans_run> runs = f.cut_spans(32);
    CHECK(f.figures().bytes == 64 << 20);
    CHECK(spans_take_own(f.extents, 16 << 20, 0, 0, &other) == -ENOMEM);
    f.must_be_sound();
    for (size_t i = 0; i < runs.size(); i++)
        if (i % 2 == 1 || i >= 16)
            f.give(runs[i]);
    REQUIRE(spans_take_own(f.extents, 16 << 20, 0, 0, &other) == 0);
    f.must_be_sound();
    f.release_own(other);
    for (size_t i = 0; i < 16; i += 2)
        f.give(runs[i]);
}

TEST_CASE("an extent's free end is cut off when memory is short", "[spans]")
{
    fixture f(UINT64_MAX, base_pages, 8 * span_bytes);
    spans_limit_bytes = 16 << 20;
    const auto runs = f.cut_spans(8);
    CHECK(f.memory.acquired == 1);
    for (size_t i = 1; i < runs.size(); i++)
        if (i != 2)
            f.give(runs[i]);
    const spans_own own = f.take(10 << 20); /* 16 MiB less three spans */
    f.must_be_sound();
    CHECK(f.figures().bytes == 16 << 20);
    const spans_run between = f.cut(span_granules);
    CHECK(between.base == runs[1].base);
    f.release_own(own);
    for (const auto &run : {runs[0], runs[2], between})
        f.give(run);
}

/* ---- the cache of large extents -------------------------------------------------------------- */

TEST_CASE("an own extent is taken again where it fits", "[spans]")
{
    const size_t mib = 1 << 20;
    const struct {
        size_t had_bytes, asked_bytes, align;
        bool fits;
    } rows[] = {
        {64 * mib, 64 * mib, 0, true},        {64 * mib, 64 * mib - 4095, 0, true},
        {72 * mib, 64 * mib, 0, true},        {72 * mib + 4096, 64 * mib, 0, false},
        {64 * mib, 64 * mib + 1, 0, false},   {64 * mib, 32 * mib, 0, false},
        {64 * mib, 64 * mib, 1 << 30, false},
    };
    for (const auto &row : rows) {
        INFO(row.had_bytes << " for " << row.asked_bytes << " aligned to " << row.align);
        fixture f;
        const spans_own had = f.take(row.had_bytes);
        CHECK(had.zeroed);
        spans_bind(&had);
        f.release_own(had);
        CHECK(f.figures().dirty_bytes == had.bytes);
        const spans_own own = f.take(row.asked_bytes, row.align);
        const bool is_aligned_by_luck = row.align > 0 &&
                                        reinterpret_cast<uintptr_t>(had.base) % row.align == 0;
        const bool fits = row.fits || is_aligned_by_luck;
        CHECK((own.record == had.record) == fits);
        CHECK(own.grant.reused == fits);
        CHECK(own.zeroed == !fits);
        CHECK(spans_is_bound(&own) == fits);
        CHECK(own.grant.code == 0);
        f.must_be_sound();
        f.release_own(own);
    }
}

TEST_CASE("the closest of the cached extents is taken, and then the newest", "[spans]")
{
    fixture f;
    const size_t mib = 1 << 20;
    std::vector<spans_own> had;
    for (const size_t length : {66, 64, 65, 64, 70})
        had.push_back(f.take(length * mib));
    for (const auto &own : had)
        f.release_own(own);
    std::vector<spans_own> taken;
    for (const size_t index : {3, 1, 2, 0, 4}) {
        taken.push_back(f.take(64 * mib));
        CHECK(taken.back().record == had[index].record);
        f.must_be_sound();
    }
    for (const auto &own : taken)
        f.release_own(own);
}

TEST_CASE("a cached extent goes after its delay, or when the cache is full", "[spans]")
{
    fixture f;
    const spans_own first = f.take(2 << 20);
    spans_bind(&first);
    f.release_own(first);
    spans_clock_ns += delay_ns - 1;
    CHECK(spans_return(f.extents) == 0);
    spans_clock_ns++;
    CHECK(spans_is_due(f.extents));
    CHECK(spans_return(f.extents) == 2 << 20);
    CHECK(spans_evicted_count == 1);
    CHECK(f.figures().bytes == 0);

    std::vector<spans_own> own;
    for (int i = 0; i < 40; i++)
        own.push_back(f.take(2 << 20));
    for (const auto &one : own)
        f.release_own(one);
    CHECK(f.figures().count == 32);
    f.must_be_sound();
}

TEST_CASE("who wants pages that are there gets them in a cached extent, too", "[spans]")
{
    fixture f;
    f.release_own(f.take(8 << 20));
    CHECK(f.memory.populated == 0);
    const spans_own own = f.take(8 << 20, 0, 2);
    CHECK(own.grant.reused);
    CHECK(own.grant.populated);
    CHECK(f.memory.populated == 1);
    f.release_own(own);
}

TEST_CASE("pages of a pool that wait do not drive a request down the ladder", "[spans]")
{
    fixture f(UINT64_MAX, roma_pages_then(ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 21), base_pages));
    const spans_own first = f.take(32 << 20);
    f.release_own(first);
    /* The next step has room enough, but then the first one has, too: once the cache is empty. The
     * provider's room is for both, so it is short by less than a huge page. */
    f.memory.room_bytes = (20 << 20) - 4096;
    const spans_own second = f.take((20 << 20) - 4096);
    CHECK(roma_page_class(second.grant.pages) == ROMA_PAGE_CLASS_HUGETLB);
    CHECK(f.memory.released == 2); /* what the weaker step gave, and the cached one */
    f.must_be_sound();
    f.release_own(second);
}

/* ---- fork ------------------------------------------------------------------------------------ */

TEST_CASE("a child after fork has what is in use, and the cached extents", "[spans]")
{
    fixture f(delay_ns, base_pages, 4 * span_bytes);
    const auto spans = f.cut_spans(4);
    f.give(spans[3]);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == span_bytes);
    const spans_own used = f.take(8 << 20), lost = f.take(9 << 20), cached = f.take(16 << 20);
    f.release_own(cached);
    spans_fork(f.extents, &spans[1], &used); /* and spans 0 and 2 were on their way back */
    f.must_be_sound();
    CHECK(f.figures().count == 3);
    CHECK(f.memory.released == 1);
    CHECK(lost.bytes == 9 << 20);
    CHECK(f.figures().clean_bytes == span_bytes);
    CHECK(f.figures().dirty_bytes == 2 * span_bytes + cached.bytes);
    const spans_own again = f.take(16 << 20);
    CHECK(again.record == cached.record);
    spans_clock_ns += delay_ns;
    CHECK(spans_is_due(f.extents));
    CHECK(spans_return(f.extents) == 2 * span_bytes);
    f.release_own(again);
    f.release_own(used);
    f.give(spans[1]);
}

/* ---- the kernel's memory --------------------------------------------------------------------- */

TEST_CASE("system calls that fail break nothing and lose nothing", "[spans][long]")
{
    for (const roma_pages kind : {ROMA_PAGES_BASE, ROMA_PAGES_THP}) {
        bool reached = true;
        for (long n = 1; reached && n < 400; n++) {
            for (const bool for_good : {false, true}) {
                INFO("call " << n << (for_good ? " and on" : ""));
                const roma_pages kinds = roma_topology_resolve(roma_topology_get(),
                                                               (roma_page_kind)kind);
                if (kinds == 0)
                    return;
                struct roma__extents *extents = spans_open(roma_provider_anonymous(), kinds,
                                                           delay_ns, 0);
                {
                    roma_tests::fail_nth faults(n, ENOMEM, for_good);
                    for (int i = 0; i < 3; i++) {
                        spans_run run{};
                        spans_own own{};
                        const bool has_run = spans_cut(extents, 32, &run) == 0;
                        const bool has_own = spans_take_own(extents, 4 << 20, 0, 1, &own) == 0;
                        if (has_run)
                            spans_give(extents, &run);
                        if (has_own)
                            spans_release_own(extents, &own);
                        spans_clock_ns += i == 1 ? delay_ns : 0;
                        (void)spans_return(extents);
                    }
                    reached = roma_tests::fail_nth::reached;
                }
                CHECK(spans_fault(extents) == nullptr);
                CHECK(spans_charged_bytes == spans_figures_of(extents).bytes);
                spans_close(extents);
                CHECK(spans_charged_bytes == 0);
            }
        }
        CHECK_FALSE(reached);
    }
}

TEST_CASE("hugetlb pages wait in the cache and in spans, and go back to their pool", "[spans]")
{
    SKIP_WHERE_EMULATED();
    const roma_tests::huge_pages pages(16);
    if (!pages.are_there || pages.page_bytes > span_bytes)
        SKIP_TEST("no 16 free hugetlb pages of at most 2 MiB");
    const uint64_t before = pages.free_count();
    struct roma__extents *extents = spans_open(roma_provider_anonymous(), pages.kind, delay_ns,
                                               span_bytes);
    spans_own own{};
    spans_run run{};
    REQUIRE(spans_take_own(extents, 8 * pages.page_bytes, 0, 0, &own) == 0);
    REQUIRE(spans_cut(extents, 4, &run) == 0);
    spans_release_own(extents, &own);
    spans_give(extents, &run);
    CHECK(spans_return(extents) == 0);
    CHECK(pages.free_count() < before);
    /* More than is free: what waits makes room. */
    REQUIRE(spans_take_own(extents, before * pages.page_bytes, 0, 0, &own) == 0);
    CHECK(pages.free_count() == 0);
    CHECK(spans_fault(extents) == nullptr);
    spans_release_own(extents, &own);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(extents) == before * pages.page_bytes);
    CHECK(pages.free_count() == before);
    spans_close(extents);
}
