/* manager.cpp - managers: making them, what their options refuse, limits, and unmaking. */
#include "owned.hpp"

#include <roma.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

using roma_tests::owned;

namespace {

/* The code and the field named when these options are refused. */
std::string refusal(const roma_options &options, int code)
{
    roma_manager *manager = nullptr;
    roma_error error = {};
    CHECK(roma_manager_create(&manager, &options, &error) == code);
    CHECK(manager == nullptr);
    CHECK(error.code == code);
    return error.subject;
}

} // namespace

TEST_CASE("the default manager is always the same and cannot be destroyed")
{
    roma_manager *manager = roma_default();
    REQUIRE(manager != nullptr);
    CHECK(roma_default() == manager);
    CHECK(roma_manager_destroy(manager) == -EINVAL);
    CHECK(roma_manager_destroy_all(manager) == -EINVAL);
    void *block = roma_alloc(manager, 100);
    REQUIRE(block != nullptr);
    CHECK(roma_manager_of(block) == manager);
    roma_free(block);
}

TEST_CASE("a manager is made with no options, and with NULL in their place")
{
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, nullptr, nullptr) == 0);
    CHECK(roma_manager_destroy(manager) == 0);
    owned with_defaults;
    CHECK(with_defaults.figure("extents.live") == 0); /* nothing is obtained before it is needed */
}

TEST_CASE("null managers are refused by every call that takes one")
{
    roma_request request = roma_request_default();
    roma_grant grant;
    auto nothing = [](void *, const char *, const roma_value *) { return 0; };
    auto no_block = [](void *, const roma_block_info *) { return 0; };
    CHECK(roma_manager_create(nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_manager_destroy(nullptr) == -EINVAL);
    CHECK(roma_manager_destroy_all(nullptr) == -EINVAL);
    CHECK(roma_manager_clear(nullptr) == -EINVAL);
    CHECK(roma_manager_trim(nullptr, 0) == -EINVAL);
    CHECK(roma_manager_check(nullptr) == -EINVAL);
    CHECK(roma_manager_stats(nullptr, nothing, nullptr) == -EINVAL);
    CHECK(roma_manager_json(nullptr, 1) == -EINVAL);
    CHECK(roma_manager_blocks(nullptr, no_block, nullptr) == -EINVAL);
    CHECK(roma_explain(nullptr, &request, &grant) == -EINVAL);
    CHECK(roma_explain(roma_default(), nullptr, &grant) == -EINVAL);
    CHECK(roma_explain(roma_default(), &request, nullptr) == -EINVAL);
}

TEST_CASE("wrong options are refused and named")
{
    roma_provider *none = nullptr;
    roma_provider *anonymous = roma_provider_anonymous();

    roma_options options = roma_options_default();
    options.size = 0;
    CHECK(refusal(options, -EINVAL) == "options.size");
    options.size = ~static_cast<size_t>(0);
    CHECK(refusal(options, -EINVAL) == "options.size");

    options = roma_options_default();
    options.providers = &anonymous;
    CHECK(refusal(options, -EINVAL) == "options.providers");
    options.providers = &none;
    options.providers_count = 1;
    CHECK(refusal(options, -EINVAL) == "options.providers");
    options.providers_count = 1000;
    CHECK(refusal(options, -EINVAL) == "options.providers_count");

    options = roma_options_default();
    options.threshold_bytes = 1;
    CHECK(refusal(options, -EINVAL) == "options.on_threshold");

    options = roma_options_default();
    options.growth_bytes = ~static_cast<size_t>(0);
    CHECK(refusal(options, -EINVAL) == "options.growth_bytes");

    options = roma_options_default();
    options.debug = 1u << 31;
    CHECK(refusal(options, -EINVAL) == "options.debug");

    options = roma_options_default();
    options.counts = static_cast<roma_counts>(3);
    CHECK(refusal(options, -EINVAL) == "options.counts");

    options = roma_options_default();
    options.background = true;
    options.return_delay_ns = ROMA_RETURN_NEVER;
    CHECK(refusal(options, -EINVAL) == "options.background");

    options = roma_options_default();
    options.reserved[1] = true;
    CHECK(refusal(options, -EINVAL) == "options.reserved");

    roma_request request = roma_request_default();
    request.align = 3;
    options = roma_options_default();
    options.request = &request;
    CHECK(refusal(options, -EINVAL) == "request.align");
}

TEST_CASE("options of an older program lack fields, and those of a newer one may have zeros more")
{
    roma_options options = roma_options_default();
    options.size = offsetof(roma_options, limit_bytes);
    options.limit_bytes = 1; /* beyond what an older program knows: not read */
    {
        owned older(options);
        roma_free(older.alloc(4096));
    }

    struct {
        roma_options known;
        uint64_t unknown;
    } newer = {roma_options_default(), 0};
    newer.known.size = sizeof newer;
    roma_manager *manager = nullptr;
    roma_error error = {};
    REQUIRE(roma_manager_create(&manager, &newer.known, &error) == 0);
    CHECK(roma_manager_destroy(manager) == 0);

    newer.unknown = 1;
    CHECK(roma_manager_create(&manager, &newer.known, &error) == -E2BIG);
    CHECK(error.why == ROMA_WHY_UNKNOWN_OPTION);
}

TEST_CASE("a manager with live blocks is not destroyed unless told")
{
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, nullptr, nullptr) == 0);
    void *block = roma_alloc(manager, 1000);
    roma_block handle = roma_block_of(block);
    CHECK(roma_manager_destroy(manager) == -EBUSY);
    CHECK(roma_count(block) == 1);
    CHECK(roma_manager_destroy_all(manager) == 0);
    CHECK_FALSE(roma_block_is_live(handle));
    CHECK(roma_block_get(handle) == nullptr);
}

TEST_CASE("clear frees all blocks, makes their handles stale, and leaves the manager in use")
{
    owned manager;
    std::vector<roma_block> handles;
    for (size_t bytes : {0u, 16u, 1000u, 300000u, 3000000u})
        handles.push_back(roma_block_of(manager.alloc(bytes)));
    CHECK(roma_manager_clear(manager.self) == 5);
    for (const roma_block &handle : handles)
        CHECK_FALSE(roma_block_is_live(handle));
    CHECK(manager.figure("blocks.live") == 0);
    CHECK(manager.figure("blocks.bytes") == 0);
    CHECK(manager.figure("extents.bytes") == 0);
    void *block = manager.alloc(16);
    CHECK(roma_manager_check(manager.self) == 0);
    roma_free(block);
}

TEST_CASE("a registered block keeps its manager from being cleared or destroyed")
{
    owned manager;
    roma_request request = roma_request_default();
    request.bytes = 4096;
    request.registered = true;
    void *block = roma_alloc_with(manager.self, &request, nullptr);
    REQUIRE(block != nullptr);
    CHECK(roma_manager_clear(manager.self) == -EBUSY);
    CHECK(roma_manager_destroy_all(manager.self) == -EBUSY);
    CHECK(roma_count(block) == 1);
    CHECK(roma_release(block) == 0);
}

TEST_CASE("the limit of a manager refuses with what is needed and what is left")
{
    roma_options options = roma_options_default();
    options.limit_bytes = 8u << 20;
    owned manager(options);
    void *first = manager.alloc(5u << 20);
    CHECK(manager.figure("extents.bytes") <= options.limit_bytes);

    roma_request request = roma_request_default();
    request.bytes = 5u << 20;
    roma_grant grant;
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &request, &grant) == nullptr);
    CHECK(errno == ENOMEM);
    CHECK(grant.code == -ENOMEM);
    CHECK(grant.error.why == ROMA_WHY_MANAGER_LIMIT);
    CHECK(grant.error.need >= request.bytes);
    CHECK(grant.error.total == options.limit_bytes);
    CHECK(grant.error.have == options.limit_bytes - manager.figure("extents.bytes"));
    CHECK(manager.figure("failures.count") == 1);

    roma_free(first);
    void *second = roma_alloc_with(manager.self, &request, &grant); /* the room is there again */
    CHECK(second != nullptr);
    CHECK(grant.code == 0);
    roma_free(second);
}

TEST_CASE("memory that no block needs is given back before the limit refuses")
{
    roma_options options = roma_options_default();
    options.limit_bytes = 4u << 20;
    owned manager(options);
    roma_free(manager.alloc(64)); /* an extent of 2 MiB, kept when it is empty */
    roma_free(manager.alloc(3u << 20));
}

TEST_CASE("the threshold is told once each time that memory rises past it")
{
    struct told {
        int times;
        size_t held_bytes;
    } told = {0, 0};
    roma_options options = roma_options_default();
    options.threshold_bytes = 8u << 20;
    options.threshold_context = &told;
    options.on_threshold = [](void *context, roma_manager *, size_t held_bytes) {
        auto *seen = static_cast<struct told *>(context);
        seen->times++;
        seen->held_bytes = held_bytes;
    };
    owned manager(options);
    void *first = manager.alloc(6u << 20);
    CHECK(told.times == 0);
    void *second = manager.alloc(6u << 20);
    CHECK(told.times == 1);
    CHECK(told.held_bytes > options.threshold_bytes);
    void *third = manager.alloc(6u << 20); /* above it already */
    CHECK(told.times == 1);
    roma_free(third);
    roma_free(second);
    CHECK(roma_manager_trim(manager.self, 0) >= 0);
    second = manager.alloc(6u << 20); /* it had fallen below */
    CHECK(told.times == 2);
    roma_free(first);
    roma_free(second);
}

TEST_CASE("an allocation that fails is neither a rise past the threshold nor a peak")
{
    int times = 0;
    roma_options options = roma_options_default();
    options.threshold_bytes = 1u << 30;
    options.threshold_context = &times;
    options.on_threshold = [](void *context, roma_manager *, size_t) {
        ++*static_cast<int *>(context);
    };
    owned manager(options);
    CHECK(roma_alloc(manager.self, size_t{1} << 60) == nullptr);
    CHECK(times == 0);
    CHECK(manager.figure("extents.peak_bytes") == 0);
    CHECK(manager.figure("failures.count") == 1);
}

TEST_CASE("a threshold callback may free blocks of its manager")
{
    static void *victim;
    roma_options options = roma_options_default();
    options.threshold_bytes = 4u << 20;
    options.on_threshold = [](void *, roma_manager *, size_t) {
        roma_free(victim);
        victim = nullptr;
    };
    owned manager(options);
    victim = manager.alloc(3u << 20);
    void *block = manager.alloc(3u << 20);
    CHECK(victim == nullptr);
    CHECK(manager.figure("blocks.live") == 1);
    roma_free(block);
}

TEST_CASE("trim gives back what no block needs, and keeps what it is told to keep")
{
    owned manager;
    roma_free(manager.alloc(64));
    uint64_t held = manager.figure("extents.bytes");
    REQUIRE(held > 0);
    CHECK(roma_manager_trim(manager.self, static_cast<size_t>(held)) == 0);
    CHECK(manager.figure("extents.bytes") == held);
    CHECK(roma_manager_trim(manager.self, 0) == static_cast<int64_t>(held));
    CHECK(manager.figure("extents.bytes") == 0);
}

TEST_CASE("a manager takes its memory from the providers that it was given, and holds on to them")
{
    enum { BYTES = 4 << 20 };
    static char memory[BYTES];
    roma_region_config config;
    std::memset(&config, 0, sizeof config);
    config.size = sizeof config;
    config.address = memory;
    config.bytes = sizeof memory;
    roma_provider *region = nullptr;
    REQUIRE(roma_provider_region(&config, &region, nullptr) == 0);

    roma_options options = roma_options_default();
    options.providers = &region;
    options.providers_count = 1;
    options.growth_bytes = 64 << 10;
    {
        owned manager(options);
        CHECK(roma_provider_unregister(region) == -EBUSY);
        char *block = static_cast<char *>(manager.alloc(1000));
        CHECK(block >= memory);
        CHECK(block + 1000 <= memory + sizeof memory);
        std::memset(block, 1, 1000);
        roma_free(block);
    }
    CHECK(roma_provider_unregister(region) == 0);
    std::memset(memory, 0, sizeof memory); /* it is the program's again, for every tool too */
}

TEST_CASE("requests that leave something unset take it from the manager's defaults")
{
    roma_request wish = roma_request_default();
    wish.pages = ROMA_PAGES_BASE;
    wish.strict = true;
    roma_options options = roma_options_default();
    options.request = &wish;
    owned manager(options);
    roma_request request = roma_request_default();
    request.bytes = 100000;
    roma_grant grant;
    void *block = roma_alloc_with(manager.self, &request, &grant);
    REQUIRE(block != nullptr);
    CHECK(roma_page_class(grant.pages) == ROMA_PAGE_CLASS_BASE);
    CHECK(grant.steps_count == 1);
    CHECK(grant.steps[0].strict);
    roma_free(block);
}

TEST_CASE("explain lists all steps of a request and obtains nothing")
{
    owned manager;
    roma_request request = roma_request_default();
    request.bytes = 1u << 20;
    request.pages = roma_pages_then(ROMA_PAGES_THP, ROMA_PAGES_BASE);
    roma_grant grant;
    REQUIRE(roma_explain(manager.self, &request, &grant) == 0);
    CHECK(grant.code == 0);
    CHECK(grant.steps_count == 2);
    CHECK(manager.figure("extents.live") == 0);

    request.align = 3;
    CHECK(roma_explain(manager.self, &request, &grant) == -EINVAL);
    CHECK(grant.code == -EINVAL);
    CHECK(std::string(grant.error.subject) == "request.align");
}
