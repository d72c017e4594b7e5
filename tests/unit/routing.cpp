/* routing.cpp - a manager's policy put to work: which provider, page kind and limit a request gets.
 *
 * Providers of different names stand for places: where a block came from is then what its grant, or
 * the count of extents of each, says. */
#include "emulated.hpp"
#include "owned.hpp"
#include "place.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace roma_tests;

namespace {

struct parsed {
    roma_policy *self = nullptr;
    explicit parsed(const std::string &text)
    {
        roma_error error = {};
        char sentence[256];
        const int code = roma_policy_parse(text.c_str(), &self, &error);
        INFO(roma_error_text(&error, sentence, sizeof sentence));
        REQUIRE(code == 0);
    }
    parsed(const parsed &) = delete;
    parsed &operator=(const parsed &) = delete;
    ~parsed() { roma_policy_destroy(self); }
};

void route(roma_manager *manager, const std::string &text)
{
    const parsed policy(text);
    roma_error error = {};
    char sentence[256];
    const int code = roma_manager_policy(manager, policy.self, &error);
    INFO(roma_error_text(&error, sentence, sizeof sentence));
    REQUIRE(code == 0);
}

roma_options over(roma_provider *const (&both)[2])
{
    roma_options options = roma_options_default();
    options.providers = both;
    options.providers_count = 2;
    return options;
}

/* Two places, and a manager that knows both. */
struct two_places {
    place near{"near"}, far{"far"};
    roma_provider *both[2] = {near.self, far.self};
    owned manager{over(both)};
};

roma_request of(size_t bytes)
{
    roma_request want = roma_request_default();
    want.bytes = bytes;
    want.pages = ROMA_PAGES_BASE;
    return want;
}

} // namespace

TEST_CASE("plain requests go where the rule of their length says", "[routing]")
{
    two_places at;
    route(at.manager.self, "size < 4K -> providers near, pages base\n"
                           "size < 1M -> providers far, pages base\n"
                           "any -> providers near, pages base");
    const struct {
        size_t bytes;
        bool near;
    } rows[] = {{1, true},         {64, true},         {4095, true},       {4096, false},
                {64 << 10, false}, {256 << 10, false}, {300 << 10, false}, {(1 << 20) - 1, false},
                {1 << 20, true},   {3 << 20, true}};
    for (int round = 0; round < 3; round++) /* the second time from caches */
        for (const auto &row : rows) {
            INFO("round " << round << ", " << row.bytes << " bytes");
            void *block = at.manager.alloc(row.bytes);
            CHECK(at.near.has(block) == row.near);
            CHECK(at.far.has(block) != row.near);
            roma_free(block);
            void *zeroed = roma_alloc_zeroed(at.manager.self, row.bytes);
            CHECK(at.near.has(zeroed) == row.near);
            roma_free(zeroed);
            void *aligned = roma_alloc_aligned(at.manager.self, row.bytes, 256);
            CHECK(at.near.has(aligned) == row.near);
            roma_free(aligned);
        }
}

TEST_CASE("caches and batches follow the rules of length, too", "[routing]")
{
    two_places at;
    route(at.manager.self,
          "size >= 1K -> providers far, pages base; any -> providers near, pages base");
    roma_cache *cache = roma_cache_of(at.manager.self);
    REQUIRE(cache != nullptr);
    for (const size_t bytes : {(size_t)64, (size_t)1000, (size_t)1024, (size_t)8192}) {
        INFO(bytes << " bytes");
        for (int i = 0; i < 100; i++) {
            void *block = roma_cache_alloc(cache, bytes);
            REQUIRE(block != nullptr);
            CHECK(at.near.has(block) == (bytes < 1024));
            roma_cache_free(cache, block, bytes);
        }
        void *blocks[40];
        REQUIRE(roma_alloc_batch(at.manager.self, bytes, blocks, 40) == 0);
        for (void *block : blocks)
            CHECK(at.near.has(block) == (bytes < 1024));
        roma_free_batch(blocks, 40);
        REQUIRE(roma_cache_alloc_batch(cache, bytes, blocks, 40) == 0);
        for (void *block : blocks)
            CHECK(at.near.has(block) == (bytes < 1024));
        roma_cache_free_batch(cache, bytes, blocks, 40);
    }
}

TEST_CASE("no cell that another rule's caches hold is handed out", "[routing]")
{
    two_places at;
    /* What is freed under one parting must not come back under a lower one. */
    route(at.manager.self,
          "size < 64K -> providers near, pages base; any -> providers far, pages base");
    std::vector<void *> blocks;
    for (int i = 0; i < 64; i++)
        blocks.push_back(at.manager.alloc(8192));
    for (void *block : blocks) {
        CHECK(at.near.has(block));
        roma_free(block);
    }
    route(at.manager.self,
          "size < 4K -> providers near, pages base; any -> providers far, pages base");
    for (int i = 0; i < 64; i++) {
        void *block = at.manager.alloc(8192);
        CHECK(at.far.has(block));
        roma_free(block);
    }
    /* Nor what a label had from the same place. */
    route(at.manager.self, "label \"x\" -> providers near, pages base\n"
                           "size < 4K -> providers near, pages base\n"
                           "any -> providers far, pages base");
    roma_request labelled = of(8192);
    labelled.label = "x";
    for (int i = 0; i < 64; i++)
        blocks[(size_t)i] = roma_alloc_with(at.manager.self, &labelled, nullptr);
    for (void *block : blocks) {
        CHECK(at.near.has(block));
        roma_free(block);
    }
    for (int i = 0; i < 64; i++) {
        void *block = at.manager.alloc(8192);
        CHECK(at.far.has(block));
        roma_free(block);
    }
}

TEST_CASE("labels and hints decide, the first rule that matches", "[routing]")
{
    two_places at;
    route(at.manager.self, "label \"index*\" -> providers far\n"
                           "lifetime short -> providers far\n"
                           "access sequential shared yes -> providers far\n"
                           "persistent yes -> providers far\n"
                           "any -> providers near");
    roma_request want = of(100);
    const auto is_far = [&] {
        void *block = roma_alloc_with(at.manager.self, &want, nullptr);
        REQUIRE(block != nullptr);
        const bool far = at.far.has(block);
        roma_free(block);
        return far;
    };
    CHECK_FALSE(is_far());
    want.label = "index of names";
    CHECK(is_far());
    want.label = "an index";
    CHECK_FALSE(is_far());
    want.lifetime = ROMA_LIFETIME_SHORT;
    CHECK(is_far());
    want.lifetime = ROMA_LIFETIME_LONG;
    CHECK_FALSE(is_far());
    want.access = ROMA_ACCESS_SEQUENTIAL;
    CHECK_FALSE(is_far());
    want.shared = true;
    CHECK(is_far());
    want.shared = false;
    want.persistent = true;
    CHECK(is_far());
}

TEST_CASE("what a request says itself goes before the rule", "[routing]")
{
    owned manager;
    route(manager.self, "any -> pages thp, populate 1");
    roma_request want = roma_request_default();
    want.bytes = 4 << 20;
    roma_grant grant;
    REQUIRE(roma_explain(manager.self, &want, &grant) == 0);
    CHECK(roma_page_class(grant.steps[0].pages) == ROMA_PAGE_CLASS_THP);
    want.pages = ROMA_PAGES_BASE;
    void *block = roma_alloc_with(manager.self, &want, &grant);
    REQUIRE(block != nullptr);
    CHECK(roma_page_class(grant.pages) == ROMA_PAGE_CLASS_BASE);
    CHECK(grant.populated); /* of that the request said nothing */
    roma_free(block);
}

TEST_CASE("a resize past a parting leaves no cell for plain requests of that length", "[routing]")
{
    two_places at;
    route(at.manager.self,
          "size < 4K -> providers near, pages base; any -> providers far, pages base");
    for (const size_t bytes : {(size_t)4096, (size_t)8192, (size_t)64 << 10}) {
        INFO(bytes << " bytes");
        void *grown = roma_resize(at.manager.alloc(64), bytes);
        REQUIRE(grown != nullptr);
        CHECK(at.far.has(grown)); /* a new block of that length */
        roma_free(grown);
        for (int i = 0; i < 64; i++) {
            void *block = at.manager.alloc(bytes);
            CHECK(at.far.has(block));
            roma_free(block);
        }
    }
}

TEST_CASE("a short block with a wide alignment leaves no cell for longer requests", "[routing]")
{
    two_places at;
    route(at.manager.self,
          "size < 4K -> providers near, pages base; any -> providers far, pages base");
    for (const size_t align : {(size_t)4096, (size_t)16384}) {
        void *aligned = roma_alloc_aligned(at.manager.self, 64, align);
        REQUIRE(aligned != nullptr);
        CHECK(at.near.has(aligned));
        roma_free(aligned);
        for (int i = 0; i < 64; i++) {
            void *block = at.manager.alloc(align);
            INFO(align << " bytes, block " << i);
            CHECK(at.far.has(block));
            roma_free(block);
        }
    }
}

TEST_CASE("a rule's populate holds for plain requests of any length", "[routing]")
{
    SKIP_WHERE_EMULATED();
    owned manager;
    route(manager.self, "any -> pages base, populate 1");
    for (const size_t bytes : {(size_t)64 << 10, (size_t)8 << 20}) {
        void *block = manager.alloc(bytes);
        roma_report report;
        REQUIRE(roma_where(block, &report) == 0);
        CHECK(report.resident_bytes == report.bytes);
        roma_free(block);
    }
}

TEST_CASE("a rule's populate holds for blocks of batches and caches, too", "[routing]")
{
    SKIP_WHERE_EMULATED();
    owned manager;
    const size_t bytes = 64 << 10;
    void *blocks[8];
    route(manager.self, "any -> pages base, populate 1");
    const auto check = [&blocks] {
        for (void *block : blocks) {
            roma_report report;
            REQUIRE(roma_where(block, &report) == 0);
            CHECK(report.resident_bytes == report.bytes);
        }
        roma_free_batch(blocks, 8);
    };
    REQUIRE(roma_alloc_batch(manager.self, bytes, blocks, 8) == 0);
    check();
    roma_cache *cache = roma_cache_of(manager.self);
    REQUIRE(cache != nullptr);
    REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
    REQUIRE(roma_cache_alloc_batch(cache, bytes, blocks, 8) == 0);
    check();

    /* A cache that was taken before goes on as it was. */
    REQUIRE(roma_manager_policy(manager.self, nullptr, nullptr) == 0);
    roma_free(manager.alloc(bytes));
    REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
    for (void *&block : blocks)
        REQUIRE((block = roma_cache_alloc(cache, bytes)) != nullptr);
    check();
}

TEST_CASE("the policy's limit holds, and the options' again without it", "[routing]")
{
    roma_options options = roma_options_default();
    size_t told = 0;
    options.limit_bytes = 64 << 20;
    options.threshold_bytes = 48 << 20;
    options.threshold_context = &told;
    options.on_threshold = [](void *context, roma_manager *, size_t held) {
        *static_cast<size_t *>(context) = held;
    };
    owned manager(options);
    CHECK(manager.figure("limit.bytes") == 64u << 20);
    route(manager.self, "limit 16M threshold 8M");
    CHECK(manager.figure("limit.bytes") == 16u << 20);
    errno = 0;
    CHECK(roma_alloc(manager.self, 20 << 20) == nullptr);
    CHECK(errno == ENOMEM);
    CHECK(told == 0);
    void *block = manager.alloc(12 << 20);
    CHECK(told > (size_t)8 << 20);
    roma_free(block);
    REQUIRE(roma_manager_policy(manager.self, nullptr, nullptr) == 0);
    CHECK(manager.figure("limit.bytes") == 64u << 20);
    roma_free(manager.alloc(20 << 20));
}

TEST_CASE("otherwise plain: when all steps fail, it is tried as if nothing was wished", "[routing]")
{
    place small("small", 1 << 20);
    roma_provider *both[] = {small.self, roma_provider_anonymous()};
    owned manager(over(both));
    roma_request want = of(8 << 20);
    roma_grant grant;

    route(manager.self, "any -> providers small, pages base, strict");
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &want, &grant) == nullptr);
    CHECK(grant.error.why == ROMA_WHY_REGION_FULL);

    route(manager.self, "any -> providers small anonymous, pages 1G, strict; otherwise plain");
    want.pages = ROMA_PAGES_DEFAULT;
    void *block = roma_alloc_with(manager.self, &want, &grant);
    REQUIRE(block != nullptr);
    CHECK(grant.steps_count > 1);
    CHECK(grant.steps[0].strict);
    CHECK_FALSE(grant.steps[grant.steps_count - 1].strict);
    roma_free(block);
}

TEST_CASE("otherwise plain: the manager's own providers are tried, whatever the rule names",
          "[routing]")
{
    place full("full", 1 << 20), spare("spare");
    roma_provider *both[] = {spare.self, full.self};
    owned manager(over(both));
    roma_request want = of(8 << 20);
    roma_grant grant;
    for (const char *strict : {"", ", strict"}) {
        route(manager.self,
              std::string("any -> providers full, pages base") + strict + "; otherwise plain");
        void *block = roma_alloc_with(manager.self, &want, &grant);
        INFO(strict);
        REQUIRE(block != nullptr);
        CHECK(spare.has(block));
        CHECK(std::string(grant.steps[0].provider) == "full");
        CHECK(std::string(grant.steps[grant.steps_count - 1].provider) == "spare");
        roma_free(block);
    }
}

TEST_CASE("a policy that names an unknown provider changes nothing", "[routing]")
{
    two_places at;
    route(at.manager.self, "any -> providers far, pages base");
    const parsed wrong("size >= 1M -> providers near; any -> providers elsewhere");
    roma_error error = {};
    CHECK(roma_manager_policy(at.manager.self, wrong.self, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "elsewhere");
    void *block = at.manager.alloc(4 << 20);
    CHECK(at.far.has(block));
    roma_free(block);
    CHECK(roma_manager_policy(nullptr, wrong.self, &error) == -EINVAL);
}

TEST_CASE("built-in providers are known to any manager", "[routing]")
{
    SKIP_WHERE_EMULATED(); /* qemu-user has no mbind */
    two_places at;
    route(at.manager.self, "any -> providers anonymous");
    void *block = at.manager.alloc(64);
    CHECK_FALSE(at.near.has(block));
    CHECK_FALSE(at.far.has(block));
    roma_free(block);
    route(at.manager.self, "any -> providers node0");
    roma_request want = of(64);
    roma_grant grant;
    block = roma_alloc_with(at.manager.self, &want, &grant);
    REQUIRE(block != nullptr);
    CHECK(std::string(grant.steps[0].provider) == "node0");
    roma_free(block);
    /* A name is the provider's own: not what merely reads as the same number. */
    for (const char *name : {"node1023", "node00", "node-0", "node-1", "node", "node99999"}) {
        const parsed wrong(std::string("any -> providers ") + name);
        INFO(name);
        CHECK(roma_manager_policy(at.manager.self, wrong.self, nullptr) == -EINVAL);
    }
}

TEST_CASE("blocks stay where they are when the policy changes", "[routing]")
{
    two_places at;
    route(at.manager.self, "any -> providers near, pages base");
    std::vector<void *> blocks;
    for (int i = 0; i < 1000; i++) {
        blocks.push_back(at.manager.alloc(64));
        std::memset(blocks.back(), i & 0xFF, 64);
    }
    route(at.manager.self, "any -> providers far, pages base");
    for (int i = 0; i < 1000; i++) {
        CHECK(at.near.has(blocks[(size_t)i]));
        CHECK(*(unsigned char *)blocks[(size_t)i] == (i & 0xFF));
        roma_free(blocks[(size_t)i]);
        void *block = at.manager.alloc(64);
        CHECK(at.far.has(block));
        roma_free(block);
    }
    CHECK(roma_manager_check(at.manager.self) == 0);
}

TEST_CASE("explaining a policy tells the rule and the ladder, and does nothing", "[routing]")
{
    const parsed policy("size >= 1M -> pages 1G, strict\n"
                        "label \"log\" -> pages base, strict");
    roma_request want = roma_request_default();
    roma_grant grant;
    int rule = 7;
    want.bytes = 100;
    REQUIRE(roma_policy_explain(policy.self, &want, &grant, &rule) == 0);
    CHECK(rule == -1);
    want.label = "log";
    REQUIRE(roma_policy_explain(policy.self, &want, &grant, &rule) == 0);
    CHECK(rule == 1);
    REQUIRE(grant.steps_count == 1);
    CHECK(roma_page_class(grant.steps[0].pages) == ROMA_PAGE_CLASS_BASE);
    CHECK(grant.steps[0].strict);
    want.bytes = 2 << 20;
    REQUIRE(roma_policy_explain(policy.self, &want, &grant, &rule) == 0);
    CHECK(rule == 0);
    CHECK(grant.steps[0].pages == ROMA_PAGES_1G);
    REQUIRE(roma_policy_explain(nullptr, &want, &grant, &rule) == 0);
    CHECK(rule == -1);
    CHECK(roma_policy_explain(policy.self, nullptr, &grant, &rule) == -EINVAL);
    CHECK(roma_policy_explain(policy.self, &want, nullptr, &rule) == -EINVAL);
}

TEST_CASE("a manager whose plain requests are local serves them by whatever call", "[routing]")
{
    roma_request local = roma_request_default();
    local.placement = ROMA_LOCAL;
    roma_options options = roma_options_default();
    options.request = &local;
    for (const roma_counts counts : {ROMA_COUNTS_COUNTED, ROMA_COUNTS_NONE, ROMA_COUNTS_EXACT}) {
        options.counts = counts;
        owned manager(options);
        std::vector<void *> blocks;
        for (int i = 0; i < 3000; i++)
            blocks.push_back(manager.alloc((size_t)16 << i % 12));
        void *many[100];
        REQUIRE(roma_alloc_batch(manager.self, 48, many, 100) == 0);
        blocks.insert(blocks.end(), many, many + 100);
        roma_cache *cache = roma_cache_of(manager.self);
        REQUIRE(cache != nullptr);
        for (int i = 0; i < 100; i++)
            blocks.push_back(roma_cache_alloc(cache, 48));
        blocks.push_back(roma_alloc_zeroed(manager.self, 5 << 20));
        CHECK(manager.figure("blocks.live") == blocks.size());
        for (void *block : blocks) {
            CHECK(roma_manager_of(block) == manager.self);
            roma_free(block);
        }
        CHECK(manager.figure("blocks.live") == 0);
        CHECK(roma_manager_check(manager.self) == 0);
    }
}

TEST_CASE("a thread says its node, if there is one", "[routing]")
{
    const roma_nodes nodes = roma_topology_nodes(roma_topology_get());
    const int node = roma_nodes_next(&nodes, 0);
    CHECK(roma_thread_bind(node) == 0);
    CHECK(roma_thread_bind(1023) == -EINVAL);
    CHECK(roma_thread_bind(5000) == -EINVAL);
    CHECK(roma_thread_bind(-1) == 0);
}

TEST_CASE("a child of fork routes by the policy of its parent, and by one of its own", "[routing]")
{
    two_places at;
    route(at.manager.self,
          "size < 4K -> providers near, pages base; any -> providers far, pages base");
    void *before = at.manager.alloc(8192);
    const pid_t child = fork();
    if (child == 0) {
        const auto is_far = [&](size_t bytes) {
            void *block = roma_alloc(at.manager.self, bytes);
            const bool far = at.far.has(block);
            roma_free(block);
            return far;
        };
        if (is_far(100) || !is_far(8192))
            _exit(1);
        roma_policy *policy = nullptr;
        if (roma_policy_parse("any -> providers far, pages base", &policy, nullptr) != 0 ||
            roma_manager_policy(at.manager.self, policy, nullptr) != 0 || !is_far(100))
            _exit(2);
        _exit(0);
    }
    REQUIRE(child > 0);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    roma_free(before);
    roma_free(at.manager.alloc(100));
}

TEST_CASE("a child of fork makes the first request of a manager", "[routing]")
{
    owned manager;
    const pid_t child = fork();
    if (child == 0)
        _exit(roma_alloc(manager.self, 100) == nullptr);
    REQUIRE(child > 0);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
}

TEST_CASE("a block that lies by weight gets longer, and lies by weight again", "[routing]")
{
    owned manager;
    roma_request want = of(4 << 20);
    want.placement = ROMA_WEIGHTED;
    const roma_nodes nodes = roma_topology_memory_nodes(roma_topology_get());
    want.nodes = roma_nodes_one((unsigned)roma_nodes_next(&nodes, 0));
    want.weights[0] = 3;
    for (const unsigned threads : {0u, 1u}) {
        want.populate_threads = threads;
        auto *block = static_cast<char *>(roma_alloc_with(manager.self, &want, nullptr));
        REQUIRE(block != nullptr);
        block[0] = 7;
        block = static_cast<char *>(roma_resize(block, 9 << 20));
        REQUIRE(block != nullptr);
        CHECK(block[0] == 7);
        block = static_cast<char *>(roma_resize(block, 3 << 20));
        REQUIRE(block != nullptr);
        CHECK(block[0] == 7);
        roma_free(block);
    }
}
