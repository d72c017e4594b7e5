/* spans.cpp - the page layer of a heap: which span a run comes from, what is kept for how long, and
 * what goes back to the provider, over a provider and a clock that do as they are told. */
#include "emulated.hpp"
#include "catch.hpp"
#include "faulty.hpp"
#include "huge_pages.hpp"
#include "skip.hpp"
#include "spans_shim.h"

#include <roma.h>

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr size_t granule_bytes = 64 << 10, span_bytes = 2 << 20;
constexpr uint32_t span_granules = 32;
constexpr uint64_t delay_ns = 1000000;
constexpr roma_pages base_pages = ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE, 12);

/* A provider over mmap that notes what is done to it. */
struct noting {
    int acquired = 0, released = 0, populated = 0;
    std::vector<std::pair<size_t, size_t>> discards; /* offset and bytes, in order */
    size_t discarded_bytes = 0;
    size_t room_bytes = SIZE_MAX; /* of the page pool: what can be acquired still */
    int discard_code = 0;
    bool fills_at_once = false;
};

int probe(void *, const roma_extent_request *, roma_error *)
{
    return 0;
}

int acquire(void *self, const roma_extent_request *request, roma_extent *extent, roma_error *error)
{
    auto *me = static_cast<noting *>(self);
    const size_t page = roma_page_bytes(request->pages);
    const size_t align = std::max(request->align, page);
    const size_t length = (request->bytes + page - 1) / page * page;
    if (length > me->room_bytes) {
        error->why = ROMA_WHY_PROVIDER;
        return -ENOMEM;
    }
    auto *raw = static_cast<char *>(mmap(nullptr, length + align, PROT_READ | PROT_WRITE,
                                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    if (raw == MAP_FAILED)
        return -errno;
    const size_t before = (align - reinterpret_cast<uintptr_t>(raw) % align) % align;
    if (before > 0)
        munmap(raw, before);
    munmap(raw + before + length, align - before);
    extent->address = raw + before;
    extent->bytes = length;
    extent->page_bytes = page;
    extent->pages = request->pages;
    extent->zeroed = true;
    extent->inherited = true;
    extent->populated = me->fills_at_once;
    me->acquired++;
    me->room_bytes -= me->room_bytes == SIZE_MAX ? 0 : length;
    return 0;
}

int release(void *self, const roma_extent *extent, roma_error *)
{
    auto *me = static_cast<noting *>(self);
    me->released++;
    me->room_bytes += me->room_bytes == SIZE_MAX ? 0 : extent->bytes;
    return munmap(extent->address, extent->bytes) == 0 ? 0 : -errno;
}

/* Shorter alone. */
int resize(void *self, roma_extent *extent, size_t bytes, bool, roma_error *)
{
    auto *me = static_cast<noting *>(self);
    if (bytes > extent->bytes)
        return -ENOMEM;
    munmap(static_cast<char *>(extent->address) + bytes, extent->bytes - bytes);
    me->room_bytes += me->room_bytes == SIZE_MAX ? 0 : extent->bytes - bytes;
    extent->bytes = bytes;
    return 0;
}

int populate(void *self, const roma_range *, const roma_populate_options *, roma_error *)
{
    static_cast<noting *>(self)->populated++;
    return 0;
}

int advise(void *self, const roma_range *range, roma_advice advice, const roma_executor *,
           roma_error *)
{
    auto *me = static_cast<noting *>(self);
    if (advice != ROMA_ADVICE_DISCARD)
        return -EINVAL;
    if (me->discard_code < 0)
        return me->discard_code;
    me->discards.emplace_back(range->offset, range->bytes);
    me->discarded_bytes += range->bytes;
    auto *start = static_cast<char *>(range->extent->address) + range->offset;
    return madvise(start, range->bytes, MADV_DONTNEED) == 0 ? 0 : -errno;
}

int query(void *, const roma_range *, roma_report *, roma_error *)
{
    return 0;
}

int stats(void *, roma_visit, void *)
{
    return 0;
}

struct fixture {
    noting memory;
    roma_provider *provider = nullptr;
    struct roma__extents *extents = nullptr;

    explicit fixture(uint64_t delay = delay_ns, roma_pages kinds = base_pages, size_t growth = 0)
    {
        roma_provider_ops ops{};
        ops.size = sizeof ops;
        ops.version = ROMA_PROVIDER_VERSION;
        ops.name = "noting";
        ops.probe = probe;
        ops.acquire = acquire;
        ops.release = release;
        ops.resize = resize;
        ops.populate = populate;
        ops.advise = advise;
        ops.query = query;
        ops.stats = stats;
        REQUIRE(roma_provider_register(&ops, &memory, &provider, nullptr) == 0);
        extents = spans_open(provider, kinds, delay, growth);
    }

    ~fixture()
    {
        must_be_sound();
        spans_close(extents);
        CHECK(memory.acquired == memory.released);
        CHECK(spans_charged_bytes == 0);
        CHECK(roma_provider_unregister(provider) == 0);
    }

    fixture(const fixture &) = delete;
    fixture &operator=(const fixture &) = delete;

    void must_be_sound() const
    {
        const char *fault = spans_fault(extents);
        INFO((fault == nullptr ? "" : fault));
        CHECK(fault == nullptr);
        CHECK(spans_charged_bytes == spans_figures_of(extents).bytes);
    }

    spans_run cut(uint32_t granules) const
    {
        spans_run run{};
        REQUIRE(spans_cut(extents, granules, &run) == 0);
        return run;
    }

    spans_own take(size_t bytes, size_t align = 0, unsigned threads = 0) const
    {
        spans_own own{};
        REQUIRE(spans_take_own(extents, bytes, align, threads, &own) == 0);
        return own;
    }

    void give(const spans_run &run) const { spans_give(extents, &run); }
    void release_own(const spans_own &own) const { spans_release_own(extents, &own); }
    spans_figures figures() const { return spans_figures_of(extents); }

    /* A whole extent of so many spans, each a run of its own. */
    std::vector<spans_run> cut_spans(size_t spans) const
    {
        std::vector<spans_run> runs;
        for (size_t i = 0; i < spans; i++)
            runs.push_back(cut(span_granules));
        return runs;
    }
};

bool is_in(const spans_run &run, const spans_run &span)
{
    return run.base >= span.base && run.base < span.base + span_bytes;
}

} // namespace

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

/* ---- anything, in any order ------------------------------------------------------------------ */

TEST_CASE("no order of calls breaks the lists, overlaps runs or loses memory", "[spans]")
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

/* ---- the kernel's memory --------------------------------------------------------------------- */

TEST_CASE("system calls that fail break nothing and lose nothing", "[spans]")
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
