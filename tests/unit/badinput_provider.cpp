/* badinput_provider.cpp - mistakes in registering providers, in calls on them and in topologies. */
#include "catch.hpp"
#include "ops.hpp"

#include <roma.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <unistd.h>

namespace {

/* The least that a provider can be: it has nothing and says so. */
int none(roma_error *error)
{
    error->code = -ENOMEM;
    error->why = ROMA_WHY_PROVIDER;
    return -ENOMEM;
}
int probe(void *, const roma_extent_request *, roma_error *error)
{
    return none(error);
}
int acquire(void *, const roma_extent_request *, roma_extent *, roma_error *error)
{
    return none(error);
}
int release(void *, const roma_extent *, roma_error *)
{
    return 0;
}
int resize(void *, roma_extent *, size_t, bool, roma_error *error)
{
    return none(error);
}
int populate(void *, const roma_range *, const roma_populate_options *, roma_error *error)
{
    return none(error);
}
int advise(void *, const roma_range *, roma_advice, const roma_executor *, roma_error *error)
{
    return none(error);
}
int query(void *, const roma_range *, roma_report *, roma_error *error)
{
    return none(error);
}
int stats(void *, roma_visit, void *)
{
    return 0;
}
int sync(void *, const roma_range *, roma_error *error)
{
    return none(error);
}
int open_refused(const void *, void **, roma_error *)
{
    return -EACCES;
}
int open_good(const void *config, void **self, roma_error *)
{
    *self = const_cast<void *>(config);
    return 0;
}
void close_it(void *) {}

roma_provider_ops good_table()
{
    return roma_tests::mandatory_ops("nothing", probe, acquire, release, resize, populate, advise,
                                     query, stats);
}

int skip_figure(void *, const char *, const roma_value *)
{
    return 0;
}

struct base_extent {
    roma_provider *provider = roma_provider_anonymous();
    roma_extent self = {};
    base_extent()
    {
        roma_extent_request request = roma_extent_request_default();
        request.bytes = 1 << 20;
        request.pages = ROMA_PAGE_CLASS_BASE;
        REQUIRE(roma_provider_acquire(provider, &request, &self, nullptr) == 0);
    }
    base_extent(const base_extent &) = delete;
    base_extent &operator=(const base_extent &) = delete;
    ~base_extent() { CHECK(roma_provider_release(provider, &self, nullptr) == 0); }
};

} // namespace

TEST_CASE("a provider's table with a mistake is refused and the member named", "[badinput]")
{
    struct row {
        const char *subject;
        int code;
        std::function<void(roma_provider_ops &)> spoil;
    };
    const row rows[] = {
        {"size", -EINVAL, [](roma_provider_ops &o) { o.size = 0; }},
        {"size", -EINVAL, [](roma_provider_ops &o) { o.size = 9; }},
        {"version", -EINVAL, [](roma_provider_ops &o) { o.version = 0; }},
        {"version", -EINVAL, [](roma_provider_ops &o) { o.version = 99; }},
        {"capabilities", -EINVAL, [](roma_provider_ops &o) { o.capabilities = 1u << 30; }},
        {"name", -EINVAL, [](roma_provider_ops &o) { o.name = nullptr; }},
        {"name", -EINVAL, [](roma_provider_ops &o) { o.name = ""; }},
        {"name", -EINVAL, [](roma_provider_ops &o) { o.name = "Upper"; }},
        {"name", -EINVAL, [](roma_provider_ops &o) { o.name = "with space"; }},
        {"name", -EINVAL,
         [](roma_provider_ops &o) { o.name = "thirty-two-characters-are-too-many"; }},
        {"open", -EINVAL, [](roma_provider_ops &o) { o.open = open_good; }},
        {"close", -EINVAL, [](roma_provider_ops &o) { o.close = close_it; }},
        {"probe", -EINVAL, [](roma_provider_ops &o) { o.probe = nullptr; }},
        {"acquire", -EINVAL, [](roma_provider_ops &o) { o.acquire = nullptr; }},
        {"release", -EINVAL, [](roma_provider_ops &o) { o.release = nullptr; }},
        {"resize", -EINVAL, [](roma_provider_ops &o) { o.resize = nullptr; }},
        {"populate", -EINVAL, [](roma_provider_ops &o) { o.populate = nullptr; }},
        {"advise", -EINVAL, [](roma_provider_ops &o) { o.advise = nullptr; }},
        {"query", -EINVAL, [](roma_provider_ops &o) { o.query = nullptr; }},
        {"stats", -EINVAL, [](roma_provider_ops &o) { o.stats = nullptr; }},
        {"migrate", -EINVAL, [](roma_provider_ops &o) { o.capabilities = ROMA_CAN_MIGRATE; }},
        {"sync", -EINVAL, [](roma_provider_ops &o) { o.capabilities = ROMA_CAN_SYNC; }},
        {"sync", -EINVAL, [](roma_provider_ops &o) { o.sync = sync; }},
        {"", -EINVAL, [](roma_provider_ops &o) { o.capabilities = ROMA_CAN_SHARE; }},
        {"", -EACCES,
         [](roma_provider_ops &o) {
             o.open = open_refused;
             o.close = close_it;
         }},
    };
    for (const row &row : rows) {
        roma_provider_ops ops = good_table();
        row.spoil(ops);
        roma_provider *provider = nullptr;
        roma_error error = {};
        INFO("row " << (&row - rows) << ": " << row.subject);
        CHECK(roma_provider_register(&ops, nullptr, &provider, &error) == row.code);
        CHECK(provider == nullptr);
        CHECK(error.code == row.code);
        CHECK(error.why != ROMA_WHY_NONE);
        CHECK(std::string(error.subject).find(row.subject) != std::string::npos);
    }
    const roma_provider_ops ops = good_table();
    roma_provider *provider = nullptr;
    CHECK(roma_provider_register(nullptr, nullptr, &provider, nullptr) == -EINVAL);
    CHECK(roma_provider_register(&ops, nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_unregister(nullptr) == -EINVAL);
    CHECK(roma_provider_unregister(roma_provider_anonymous()) == -EINVAL);

    struct longer {
        roma_provider_ops ops;
        void *tail;
    } next = {good_table(), nullptr};
    next.ops.size = sizeof next;
    REQUIRE(roma_provider_register(&next.ops, nullptr, &provider, nullptr) == 0);
    CHECK(roma_provider_unregister(provider) == 0);
    next.tail = &next;
    provider = nullptr;
    roma_error error = {};
    CHECK(roma_provider_register(&next.ops, nullptr, &provider, &error) == -E2BIG);
    CHECK(error.why == ROMA_WHY_UNKNOWN_OPTION);
    CHECK(provider == nullptr);
}

TEST_CASE("regions that are none and wrappers of nothing are refused", "[badinput]")
{
    static char memory[64 << 10];
    roma_provider *provider = nullptr;
    roma_region_config config = {};
    CHECK(roma_provider_region(nullptr, &provider, nullptr) == -EINVAL);
    config.size = sizeof config;
    CHECK(roma_provider_region(&config, &provider, nullptr) == -EINVAL);
    config.address = memory;
    CHECK(roma_provider_region(&config, &provider, nullptr) == -EINVAL);
    config.bytes = 100;
    CHECK(roma_provider_region(&config, &provider, nullptr) == -EINVAL);
    config.bytes = SIZE_MAX; /* beyond the end of the address space */
    CHECK(roma_provider_region(&config, &provider, nullptr) == -EINVAL);
    config.bytes = 64 << 10;
    config.name = "Not A Name";
    CHECK(roma_provider_region(&config, &provider, nullptr) == -EINVAL);
    config.name = nullptr;
    config.pages = 0x11;
    CHECK(roma_provider_region(&config, &provider, nullptr) == -EINVAL);
    config.pages = 0;
    config.size = 3;
    CHECK(roma_provider_region(&config, &provider, nullptr) == -EINVAL);
    config.size = sizeof config;
    CHECK(roma_provider_region(&config, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_counting(nullptr, &provider, nullptr) == -EINVAL);
    CHECK(roma_provider_counting(roma_provider_anonymous(), nullptr, nullptr) == -EINVAL);
    CHECK(provider == nullptr);

    struct longer {
        roma_region_config config;
        int tail;
    } next = {config, 1};
    next.config.size = sizeof next;
    roma_error error = {};
    CHECK(roma_provider_region(&next.config, &provider, &error) == -E2BIG);
    CHECK(error.code == -E2BIG);
}

TEST_CASE("a provider in use cannot be unregistered, and loses nothing by the attempt",
          "[badinput]")
{
    roma_provider *counting = nullptr, *outer = nullptr;
    REQUIRE(roma_provider_counting(roma_provider_anonymous(), &counting, nullptr) == 0);
    REQUIRE(roma_provider_counting(counting, &outer, nullptr) == 0);
    CHECK(roma_provider_unregister(counting) == -EBUSY);
    CHECK(roma_provider_unregister(outer) == 0);

    roma_options options = roma_options_default();
    options.providers = &counting;
    options.providers_count = 1;
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    CHECK(roma_provider_unregister(counting) == -EBUSY);
    void *block = roma_alloc(manager, 100);
    CHECK(block != nullptr);
    roma_free(block);
    CHECK(roma_manager_destroy(manager) == 0);

    roma_extent_request request = roma_extent_request_default();
    request.bytes = 1;
    request.pages = ROMA_PAGE_CLASS_BASE;
    roma_extent extent = {};
    REQUIRE(roma_provider_acquire(counting, &request, &extent, nullptr) == 0);
    CHECK(roma_provider_unregister(counting) == -EBUSY);
    CHECK(roma_provider_release(counting, &extent, nullptr) == 0);
    CHECK(extent.address == nullptr);
    CHECK(roma_provider_unregister(counting) == 0);
}

TEST_CASE("requests that no provider can mean are refused before they reach one", "[badinput]")
{
    roma_provider *provider = roma_provider_anonymous();
    struct row {
        const char *what;
        std::function<void(roma_extent_request &)> spoil;
    };
    const row rows[] = {
        {"no bytes", [](roma_extent_request &r) { r.bytes = 0; }},
        {"align 3", [](roma_extent_request &r) { r.align = 3; }},
        {"align 4097", [](roma_extent_request &r) { r.align = 4097; }},
        {"align max", [](roma_extent_request &r) { r.align = SIZE_MAX; }},
        {"no kind", [](roma_extent_request &r) { r.pages = 0; }},
        {"kind without a class", [](roma_extent_request &r) { r.pages = 21; }},
        {"size 0", [](roma_extent_request &r) { r.size = 0; }},
        {"size 5", [](roma_extent_request &r) { r.size = 5; }},
    };
    for (const row &row : rows) {
        roma_extent_request request = roma_extent_request_default();
        request.bytes = 100;
        request.pages = ROMA_PAGE_CLASS_BASE;
        row.spoil(request);
        roma_extent extent = {};
        roma_error error = {};
        INFO(row.what);
        CHECK(roma_provider_probe(provider, &request, &error) == -EINVAL);
        error = {};
        CHECK(roma_provider_acquire(provider, &request, &extent, &error) == -EINVAL);
        CHECK(error.code == -EINVAL);
        CHECK(error.why != ROMA_WHY_NONE);
        CHECK(extent.address == nullptr);
    }
    for (size_t bytes : {SIZE_MAX, SIZE_MAX - 4095, SIZE_MAX / 2, size_t(1) << 60}) {
        for (roma_page_kind pages :
             {ROMA_PAGE_CLASS_BASE, ROMA_PAGE_CLASS_THP, ROMA_PAGE_CLASS_HUGETLB}) {
            roma_extent_request request = roma_extent_request_default();
            request.bytes = bytes;
            request.pages = pages;
            request.align = size_t(1) << 30;
            roma_extent extent = {};
            roma_error error = {};
            INFO("bytes " << bytes << " of kind " << int(pages));
            const int code = roma_provider_acquire(provider, &request, &extent, &error);
            CHECK(code < 0);
            CHECK(code != -EINVAL); /* the caller's arguments are well formed */
            CHECK(error.code == code);
            CHECK(extent.address == nullptr);
        }
    }
    roma_extent_request request = roma_extent_request_default();
    roma_extent extent = {};
    request.bytes = 1;
    request.pages = ROMA_PAGE_CLASS_BASE;
    CHECK(roma_provider_probe(nullptr, &request, nullptr) == -EINVAL);
    CHECK(roma_provider_probe(provider, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_acquire(nullptr, &request, &extent, nullptr) == -EINVAL);
    CHECK(roma_provider_acquire(provider, nullptr, &extent, nullptr) == -EINVAL);
    CHECK(roma_provider_acquire(provider, &request, nullptr, nullptr) == -EINVAL);
    request.pages = ROMA_PAGE_CLASS_HUGETLB | 33; /* well formed, but no machine has it */
    roma_error error = {};
    CHECK(roma_provider_acquire(provider, &request, &extent, &error) == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_NO_PAGE_KIND);
}

TEST_CASE("ranges outside an extent, unaligned ones and unknown advice are refused", "[badinput]")
{
    base_extent extent;
    roma_provider *provider = extent.provider;
    const size_t page_bytes = extent.self.page_bytes, bytes = extent.self.bytes;
    const roma_range ranges[] = {
        {nullptr, 0, page_bytes},
        {&extent.self, bytes, page_bytes},
        {&extent.self, 0, bytes + page_bytes},
        {&extent.self, page_bytes, bytes},
        {&extent.self, page_bytes / 2, page_bytes},
        {&extent.self, 0, page_bytes - 1},
        {&extent.self, 1, page_bytes},
        {&extent.self, SIZE_MAX - page_bytes + 1, page_bytes},
        {&extent.self, SIZE_MAX - page_bytes + 1, 2 * page_bytes},
        {&extent.self, page_bytes, SIZE_MAX - page_bytes + 1},
    };
    for (const roma_range &range : ranges) {
        roma_report report = {};
        roma_error error = {};
        INFO("range " << (&range - ranges));
        CHECK(roma_provider_populate(provider, &range, nullptr, &error) == -EINVAL);
        CHECK(error.code == -EINVAL);
        CHECK(roma_provider_advise(provider, &range, ROMA_ADVICE_COLD, nullptr, &error) == -EINVAL);
        CHECK(roma_provider_query(provider, &range, &report, &error) == -EINVAL);
    }
    const roma_range whole = {&extent.self, 0, bytes};
    for (int advice : {0, -1, int(ROMA_ADVICE_COUNT), 1000})
        CHECK(roma_provider_advise(provider, &whole, static_cast<roma_advice>(advice), nullptr,
                                   nullptr) == -EINVAL);
    roma_populate_options options = {};
    options.size = 1;
    CHECK(roma_provider_populate(provider, &whole, &options, nullptr) == -EINVAL);
    struct longer {
        roma_populate_options options;
        void *tail;
    } next = {{sizeof next, 1, nullptr}, &next};
    CHECK(roma_provider_populate(provider, &whole, &next.options, nullptr) == -E2BIG);

    roma_report report = {};
    CHECK(roma_provider_populate(nullptr, &whole, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_populate(provider, nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_query(provider, &whole, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_query(nullptr, &whole, &report, nullptr) == -EINVAL);
    CHECK(roma_provider_advise(nullptr, &whole, ROMA_ADVICE_COLD, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_release(provider, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_release(nullptr, &extent.self, nullptr) == -EINVAL);
    roma_extent cleared = {};
    CHECK(roma_provider_release(provider, &cleared, nullptr) == -EINVAL);
    const roma_extent before = extent.self;
    CHECK(roma_provider_resize(provider, &extent.self, 0, true, nullptr) == -EINVAL);
    CHECK(roma_provider_resize(provider, nullptr, 1, true, nullptr) == -EINVAL);
    CHECK(roma_provider_resize(provider, &extent.self, SIZE_MAX, true, nullptr) < 0);
    CHECK(roma_provider_resize(provider, &extent.self, SIZE_MAX / 2, false, nullptr) < 0);
    CHECK(std::memcmp(&before, &extent.self, sizeof before) == 0);
    CHECK(roma_provider_stats(provider, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_stats(nullptr, skip_figure, nullptr) == -EINVAL);

    roma_migration migration = {};
    roma_extent other = {};
    const roma_nodes nodes = roma_nodes_one(0);
    if ((roma_provider_capabilities(provider) & ROMA_CAN_MIGRATE) == 0)
        CHECK(roma_provider_migrate(provider, &whole, &nodes, &migration, nullptr) == -EOPNOTSUPP);
    const roma_nodes no_nodes = roma_nodes_none();
    CHECK(roma_provider_migrate(provider, &whole, nullptr, &migration, nullptr) == -EINVAL);
    CHECK(roma_provider_migrate(provider, &whole, &no_nodes, nullptr, nullptr) == -EINVAL);
    CHECK(roma_provider_migrate(provider, nullptr, &nodes, &migration, nullptr) == -EINVAL);
    CHECK(roma_provider_migrate(nullptr, &whole, &nodes, &migration, nullptr) == -EINVAL);
    CHECK(migration.error.code == -EINVAL);
    CHECK(migration.page_bytes == 0);
    if ((roma_provider_capabilities(provider) & ROMA_CAN_SYNC) == 0)
        CHECK(roma_provider_sync(provider, &whole, nullptr) == -EOPNOTSUPP);
    if ((roma_provider_capabilities(provider) & ROMA_CAN_SHARE) == 0) {
        CHECK(roma_provider_export_fd(provider, &extent.self, nullptr) == -EOPNOTSUPP);
        CHECK(roma_provider_import_fd(provider, 0, &other, nullptr) == -EOPNOTSUPP);
    }
}

TEST_CASE("a topology answers questions about what it does not have with an error", "[badinput]")
{
    roma_topology *topology = nullptr;
    roma_error error = {};
    CHECK(roma_topology_read("", nullptr, nullptr) == -EINVAL);
    REQUIRE(roma_topology_read(nullptr, &topology, &error) == 0);
    roma_node_info node;
    roma_kind_info kind;
    roma_pool_info pool;
    roma_limit_info limit;
    CHECK(roma_topology_node(topology, ROMA_NODES_MAX - 1, &node) == -EINVAL);
    CHECK(roma_topology_node(topology, UINT32_MAX, &node) == -EINVAL);
    CHECK(roma_topology_node(topology, 0, nullptr) == -EINVAL);
    CHECK(roma_topology_kind(topology, roma_topology_kinds_count(topology), &kind) == -EINVAL);
    CHECK(roma_topology_kind(topology, UINT32_MAX, &kind) == -EINVAL);
    CHECK(roma_topology_limit(topology, roma_topology_limits_count(topology), &limit) == -EINVAL);
    CHECK(roma_topology_pool(topology, 12345, -1, &pool) == -EINVAL);
    CHECK(roma_topology_pool(topology, 0, -1, &pool) == -EINVAL);
    CHECK(roma_topology_pool(topology, 2 << 20, 1023, &pool) == -EINVAL);
    CHECK(roma_topology_pool(topology, 2 << 20, -7, &pool) == -EINVAL);
    CHECK(roma_topology_distance(topology, 1023, 0) == 0);
    CHECK(roma_topology_distance(topology, UINT32_MAX, UINT32_MAX) == 0);
    for (unsigned value = 0; value < 256; value++) {
        const auto any = static_cast<roma_page_kind>(value);
        const roma_page_kind made = roma_topology_resolve(topology, any);
        CHECK((roma_topology_page_bytes(topology, any) == 0) == (made == 0));
        if (made != 0)
            CHECK(roma_page_class(made) == roma_page_class(any));
    }
    roma_topology_free(topology);
    roma_topology_free(nullptr);

    topology = nullptr;
    const std::string far(5000, 'x'); /* longer than any path */
    const int code = roma_topology_read(far.c_str(), &topology, &error);
    CHECK(code < 0);
    CHECK(error.code == code);
    CHECK(topology == nullptr);
}
