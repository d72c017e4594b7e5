/* spans.hpp - for the tests of a heap's page layer: its extents over a provider and a clock that do
 * as they are told. */
#ifndef ROMA_TESTS_SPANS_HPP
#define ROMA_TESTS_SPANS_HPP

#include "catch.hpp"
#include "ops.hpp"
#include "spans_shim.h"

#include <roma.h>

#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

namespace page_layer {

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

inline int probe(void *, const roma_extent_request *, roma_error *)
{
    return 0;
}

inline int acquire(void *self, const roma_extent_request *request, roma_extent *extent,
                   roma_error *error)
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

inline int release(void *self, const roma_extent *extent, roma_error *)
{
    auto *me = static_cast<noting *>(self);
    me->released++;
    me->room_bytes += me->room_bytes == SIZE_MAX ? 0 : extent->bytes;
    return munmap(extent->address, extent->bytes) == 0 ? 0 : -errno;
}

/* Shorter alone. */
inline int resize(void *self, roma_extent *extent, size_t bytes, bool, roma_error *)
{
    auto *me = static_cast<noting *>(self);
    if (bytes > extent->bytes)
        return -ENOMEM;
    munmap(static_cast<char *>(extent->address) + bytes, extent->bytes - bytes);
    me->room_bytes += me->room_bytes == SIZE_MAX ? 0 : extent->bytes - bytes;
    extent->bytes = bytes;
    return 0;
}

inline int populate(void *self, const roma_range *, const roma_populate_options *, roma_error *)
{
    static_cast<noting *>(self)->populated++;
    return 0;
}

inline int advise(void *self, const roma_range *range, roma_advice advice, const roma_executor *,
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

inline int query(void *, const roma_range *, roma_report *, roma_error *)
{
    return 0;
}

inline int stats(void *, roma_visit, void *)
{
    return 0;
}

struct fixture {
    noting memory;
    roma_provider *provider = nullptr;
    struct roma__extents *extents = nullptr;

    explicit fixture(uint64_t delay = delay_ns, roma_pages kinds = base_pages, size_t growth = 0)
    {
        const roma_provider_ops ops = roma_tests::mandatory_ops(
            "noting", probe, acquire, release, resize, populate, advise, query, stats);
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

inline bool is_in(const spans_run &run, const spans_run &span)
{
    return run.base >= span.base && run.base < span.base + span_bytes;
}

} // namespace page_layer

#endif
