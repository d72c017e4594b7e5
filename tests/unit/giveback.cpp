/* giveback.cpp - what goes back to the provider: after which delay, in which pieces, and what
 * stays. */
#include "spans.hpp"

#include <cerrno>
#include <utility>
#include <vector>

using namespace page_layer;

/* ---- giving back ----------------------------------------------------------------------------- */

TEST_CASE("a free span keeps its pages for the delay and no longer", "[spans]")
{
    fixture f(delay_ns, base_pages, 4 * span_bytes);
    const auto spans = f.cut_spans(4);
    CHECK(spans_return(f.extents) == 0);
    CHECK_FALSE(spans_is_due(f.extents));
    f.give(spans[1]);
    spans_clock_ns += delay_ns - 1;
    CHECK_FALSE(spans_is_due(f.extents));
    CHECK(spans_return(f.extents) == 0);
    f.give(spans[3]);
    spans_clock_ns += 1;
    CHECK(spans_is_due(f.extents));
    CHECK(spans_return(f.extents) == span_bytes);
    CHECK_FALSE(spans_is_due(f.extents));
    CHECK(f.memory.discards == std::vector<std::pair<size_t, size_t>>{{span_bytes, span_bytes}});
    CHECK(f.figures().clean_bytes == span_bytes);
    CHECK(f.figures().dirty_bytes == span_bytes);
    f.must_be_sound();
    for (size_t i : {0, 2})
        f.give(spans[i]);
}

TEST_CASE("neighbours that are due go in one call, and a span in use again does not", "[spans]")
{
    fixture f(delay_ns, base_pages, 8 * span_bytes);
    const auto spans = f.cut_spans(8);
    for (size_t i : {5, 1, 3, 2, 6})
        f.give(spans[i]);
    const spans_run again = f.cut(3); /* of the span that was freed last */
    CHECK(is_in(again, spans[6]));
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == 4 * span_bytes);
    CHECK(f.memory.discards == std::vector<std::pair<size_t, size_t>>{
                                   {5 * span_bytes, span_bytes}, {span_bytes, 3 * span_bytes}});
    f.must_be_sound();
    for (const auto &run : {spans[0], spans[4], spans[7], again})
        f.give(run);
}

TEST_CASE("a page larger than a span goes when all of its spans are free", "[spans]")
{
    fixture f(delay_ns, ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, 23), 16 << 20); /* 8 MiB pages */
    const auto spans = f.cut_spans(8);
    for (size_t i : {0, 1, 3, 4})
        f.give(spans[i]);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == 0);
    CHECK_FALSE(spans_is_due(f.extents)); /* nothing to look at until one more is free */
    f.give(spans[2]);
    CHECK(spans_return(f.extents) == 0);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == 8 << 20);
    CHECK(f.memory.discards == std::vector<std::pair<size_t, size_t>>{{0, 8 << 20}});
    f.must_be_sound();
    for (size_t i : {5, 6, 7})
        f.give(spans[i]);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == 8 << 20);
    CHECK(f.figures().clean_bytes == 16 << 20);
}

TEST_CASE("empty extents go after the delay, but for the smallest, which has no pages", "[spans]")
{
    fixture f(delay_ns);
    std::vector<spans_run> runs = f.cut_spans(32); /* 2 MiB each, and later ones 4 MiB and more */
    const uint64_t held = f.figures().bytes;
    const int extents = f.memory.acquired;
    CHECK(held > 60 << 20);
    for (const auto &run : runs)
        f.give(run);
    CHECK(f.memory.released == 0);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) >= held - span_bytes);
    CHECK(f.memory.released == extents - 1);
    CHECK(f.figures().bytes == span_bytes);
    CHECK(f.figures().clean_bytes == span_bytes);
    CHECK_FALSE(spans_is_due(f.extents));
    f.must_be_sound();
    const spans_run again = f.cut(1);
    CHECK(again.reused);
    f.give(again);
    CHECK(spans_trim(f.extents, 0) == span_bytes);
    CHECK(f.figures().count == 0);
}

TEST_CASE("without a delay memory goes back at once, with an endless one only on trim", "[spans]")
{
    const bool at_once = GENERATE(true, false);
    fixture f(at_once ? 0 : UINT64_MAX, base_pages, 4 * span_bytes);
    const spans_run keeper = f.cut(1);
    const auto spans = f.cut_spans(3);
    for (const auto &span : spans)
        f.give(span);
    const spans_own own = f.take(16 << 20);
    f.release_own(own);
    spans_clock_ns = UINT64_MAX - 1;
    CHECK(spans_return(f.extents) == 0);
    CHECK(f.memory.discarded_bytes == (at_once ? 3 * span_bytes : 0));
    CHECK(f.figures().count == (at_once ? 1 : 2));
    CHECK(spans_trim(f.extents, 0) == (at_once ? 0 : 3 * span_bytes + (16 << 20)));
    CHECK(f.figures().count == 1);
    CHECK(f.figures().dirty_bytes == 0);
    f.give(keeper);
}

TEST_CASE("trim keeps what it is told to, of pages too", "[spans]")
{
    fixture f(UINT64_MAX, base_pages, 8 * span_bytes);
    const auto spans = f.cut_spans(8);
    for (size_t i = 1; i < spans.size(); i++)
        f.give(spans[i]);
    CHECK(spans_trim(f.extents, 16 << 20) == 0);
    CHECK(spans_trim(f.extents, 11 << 20) == 2 * span_bytes); /* to 12: less would be 10 */
    CHECK(f.figures().bytes - f.figures().clean_bytes == 12 << 20);
    CHECK(spans_trim(f.extents, 0) == 5 * span_bytes);
    CHECK(f.figures().bytes - f.figures().clean_bytes == span_bytes);
    f.give(spans[0]);
}

TEST_CASE("pages that cannot be discarded stay until their extent goes", "[spans]")
{
    fixture f(delay_ns, base_pages, 4 * span_bytes);
    SECTION("because the provider never does")
    {
        f.memory.discard_code = -EOPNOTSUPP;
    }
    SECTION("because the kernel refuses")
    {
        f.memory.discard_code = -ENOMEM;
    }
    SECTION("because they were proved when they were populated")
    {
        f.memory.fills_at_once = true;
    }
    const auto spans = f.cut_spans(4);
    f.give(spans[0]);
    f.give(spans[1]);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == 0);
    CHECK_FALSE(spans_is_due(f.extents));
    CHECK(f.figures().dirty_bytes == 2 * span_bytes);
    CHECK(f.memory.discards.empty());
    f.must_be_sound();
    const spans_run again = f.cut(1);
    CHECK(again.reused);
    for (const auto &run : {again, spans[2], spans[3]})
        f.give(run);
    spans_clock_ns += delay_ns;
    CHECK(spans_return(f.extents) == 4 * span_bytes);
    CHECK(f.figures().count == 0);
}
