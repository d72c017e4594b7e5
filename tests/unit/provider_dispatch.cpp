/* provider_dispatch.cpp - what the dispatch does for callers when a provider breaks its contract,
 * and what the counting provider tells of one that keeps it. */
#include "catch.hpp"

#include "provider/dispatch.h"

#include <roma.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <string>

namespace {

/* A provider that answers what a test tells it to. */
struct teller {
    roma_extent extent = {};
    int code = 0;
    unsigned releases = 0;
    alignas(4096) char memory[8192] = {};

    teller()
    {
        extent.address = memory;
        extent.bytes = 8192;
        extent.page_bytes = 4096;
        extent.pages = (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE, 12);
        roma_provider_ops ops = {};
        ops.size = sizeof ops;
        ops.version = ROMA_PROVIDER_VERSION;
        ops.name = "teller";
        ops.probe = [](void *self, const roma_extent_request *, roma_error *) {
            return of(self).code;
        };
        ops.acquire = [](void *self, const roma_extent_request *, roma_extent *granted,
                         roma_error *) {
            *granted = of(self).extent;
            return of(self).code;
        };
        ops.release = [](void *self, const roma_extent *, roma_error *) {
            of(self).releases++;
            return of(self).code;
        };
        ops.resize = [](void *self, roma_extent *resized, size_t bytes, bool, roma_error *) {
            resized->bytes = bytes; /* also on failure, which it must not */
            resized->address = nullptr;
            return of(self).code;
        };
        ops.populate = [](void *self, const roma_range *, const roma_populate_options *,
                          roma_error *) { return of(self).code; };
        ops.advise = [](void *self, const roma_range *, roma_advice, const roma_executor *,
                        roma_error *) { return of(self).code; };
        ops.query = [](void *self, const roma_range *, roma_report *, roma_error *) {
            return of(self).code;
        };
        ops.stats = [](void *self, roma_visit, void *) { return of(self).code; };
        REQUIRE(roma_provider_register(&ops, this, &provider, nullptr) == 0);
    }
    ~teller() { CHECK(roma_provider_unregister(provider) == 0); }
    teller(const teller &) = delete;
    teller &operator=(const teller &) = delete;

    static teller &of(void *self) { return *static_cast<teller *>(self); }

    roma_provider *provider = nullptr;
};

roma_extent_request one_page()
{
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = 4096;
    wish.pages = (roma_page_kind)ROMA_PAGES_BASE;
    return wish;
}

std::map<std::string, uint64_t> figures_of(roma_provider *provider)
{
    std::map<std::string, uint64_t> figures;
    int code = roma_provider_stats(
        provider,
        [](void *context, const char *key, const roma_value *value) {
            (*static_cast<std::map<std::string, uint64_t> *>(context))[key] = value->number;
            return 0;
        },
        &figures);
    REQUIRE(code == 0);
    return figures;
}

} // namespace

TEST_CASE("dispatch: an extent that is none is given back and is the provider's failure",
          "[dispatch]")
{
    teller teller;
    const roma_extent good = teller.extent;
    auto wish = one_page();
    roma_extent got;
    roma_error error = {};
    struct {
        const char *what;
        roma_extent extent;
        bool goes_back;
    } rows[] = {{"too short", good, true},     {"half a page", good, true},
                {"not aligned", good, true},   {"no page size", good, true},
                {"odd page size", good, true}, {"nowhere", good, false}};
    rows[0].extent.bytes = 0;
    rows[1].extent.bytes = 4097;
    rows[2].extent.address = teller.memory + 8;
    rows[3].extent.page_bytes = 0;
    rows[4].extent.page_bytes = 3000;
    rows[5].extent.address = nullptr;
    for (auto &row : rows) {
        INFO(row.what);
        teller.extent = row.extent;
        teller.releases = 0;
        CHECK(roma_provider_acquire(teller.provider, &wish, &got, &error) == -EIO);
        CHECK(error.why == ROMA_WHY_PROVIDER);
        CHECK(std::string(error.subject) == "teller");
        CHECK(teller.releases == (row.goes_back ? 1 : 0));
        CHECK(got.address == nullptr);
        CHECK(roma__provider_extents(teller.provider) == 0);
    }
    teller.extent = good;
    wish.align = (size_t)1 << 40; /* nothing is aligned like that by chance */
    CHECK(roma_provider_acquire(teller.provider, &wish, &got, &error) == -EIO);
}

TEST_CASE("dispatch: a failure that says nothing is given words, a positive code is a failure",
          "[dispatch]")
{
    teller teller;
    auto wish = one_page();
    roma_extent got;
    roma_error error = {};
    for (int code : {-ENODEV, 5}) {
        teller.code = code;
        const int expected = code < 0 ? code : -EIO;
        CHECK(roma_provider_probe(teller.provider, &wish, &error) == expected);
        CHECK(roma_provider_acquire(teller.provider, &wish, &got, &error) == expected);
        CHECK(error.code == expected);
        CHECK(error.why == ROMA_WHY_PROVIDER);
        CHECK(got.address == nullptr); /* though the provider wrote one */
    }
    CHECK(roma__provider_extents(teller.provider) == 0);
}

TEST_CASE("dispatch: whatever a provider writes, a failed call leaves the extent as it was",
          "[dispatch]")
{
    teller teller;
    auto wish = one_page();
    roma_extent got;
    REQUIRE(roma_provider_acquire(teller.provider, &wish, &got, nullptr) == 0);
    const roma_extent before = got;
    teller.code = -ENOMEM;
    CHECK(roma_provider_resize(teller.provider, &got, 4096, false, nullptr) == -ENOMEM);
    CHECK(std::memcmp(&before, &got, sizeof got) == 0);
    CHECK(roma_provider_release(teller.provider, &got, nullptr) == -ENOMEM);
    CHECK(std::memcmp(&before, &got, sizeof got) == 0);
    CHECK(roma__provider_extents(teller.provider) == 1);
    teller.code = 0;
    CHECK(roma_provider_resize(teller.provider, &got, 4096, false, nullptr) == -EIO);
    CHECK(std::memcmp(&before, &got, sizeof got) == 0);
    CHECK(roma_provider_release(teller.provider, &got, nullptr) == 0);
}

TEST_CASE("counting: calls, failures and bytes are told beside the other's own figures",
          "[dispatch]")
{
    teller teller;
    roma_provider *counting = nullptr;
    REQUIRE(roma_provider_counting(teller.provider, &counting, nullptr) == 0);
    CHECK(std::string(roma_provider_name(counting)) == "counting:teller");
    CHECK(roma_provider_unregister(teller.provider) == -EBUSY);
    auto wish = one_page();
    roma_extent got, none;
    REQUIRE(roma_provider_acquire(counting, &wish, &got, nullptr) == 0);
    teller.code = -ENOMEM;
    CHECK(roma_provider_acquire(counting, &wish, &none, nullptr) == -ENOMEM);
    CHECK(roma_provider_resize(counting, &got, 4096, false, nullptr) == -ENOMEM);
    teller.code = 0;
    auto figures = figures_of(counting);
    CHECK(figures["calls.acquire.count"] == 2);
    CHECK(figures["failures.acquire.count"] == 1);
    CHECK(figures["calls.resize.count"] == 1);
    CHECK(figures["failures.resize.count"] == 1);
    CHECK(figures["calls.release.count"] == 0);
    CHECK(figures["extents.live"] == 1);
    CHECK(figures["extents.bytes"] == 8192);
    CHECK(figures["extents.peak.bytes"] == 8192);
    CHECK(figures["dispatch.extents"] == 1);
    CHECK(figures["other.dispatch.extents"] == 1);
    CHECK(roma_provider_unregister(counting) == -EBUSY);
    CHECK(roma_provider_release(counting, &got, nullptr) == 0);
    figures = figures_of(counting);
    CHECK(figures["extents.live"] == 0);
    CHECK(figures["extents.bytes"] == 0);
    CHECK(figures["extents.peak.bytes"] == 8192);
    CHECK(figures["acquired.bytes"] == 8192);
    CHECK(roma_provider_unregister(counting) == 0);
}

TEST_CASE("stats: a visitor that says stop is obeyed, and its word returned", "[dispatch]")
{
    unsigned visits = 0;
    int code = roma_provider_stats(
        roma_provider_anonymous(),
        [](void *context, const char *, const roma_value *) {
            ++*static_cast<unsigned *>(context);
            return 77;
        },
        &visits);
    CHECK(code == 77);
    CHECK(visits == 1);
}
