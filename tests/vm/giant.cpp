/* giant.cpp - pages of 1 GiB on the nodes that have them: one extra machine with larger nodes. */
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <cerrno>
#include <cstring>
#include <string>

using namespace roma_tests;

namespace {

constexpr size_t gib = (size_t)1 << 30;

uint64_t free_giant_on(unsigned node)
{
    const std::string text = read_text("/sys/devices/system/node/node" + std::to_string(node) +
                                       "/hugepages/hugepages-1048576kB/free_hugepages");
    return text.empty() ? 0 : std::stoull(text);
}

void check_lies_on(void *block, size_t bytes, unsigned node)
{
    const auto found = bytes_by_node(block, bytes);
    REQUIRE(found.size() == 1);
    CHECK(found.begin()->first == (int)node);
    roma_report report;
    REQUIRE(roma_where(block, &report) == 0);
    REQUIRE(report.nodes_count == 1);
    CHECK(report.nodes[0].node == (int)node);
    CHECK(report.nodes[0].bytes == bytes);
}

} // namespace

TEST_CASE("a page of 1 GiB lies on the node that was asked for", "[giant]")
{
    REQUIRE(free_giant_on(0) == 1);
    REQUIRE(free_giant_on(1) == 2);
    for (const unsigned node : memory_nodes()) {
        owned manager;
        const roma_request want = on_node(node, gib, ROMA_PAGES_1G, true);
        const uint64_t before = free_giant_on(node);
        roma_grant grant;
        void *block = roma_alloc_with(manager.self, &want, &grant);
        REQUIRE(block != nullptr);
        CHECK((uintptr_t)block % gib == 0);
        CHECK(grant.page_bytes == gib);
        CHECK(free_giant_on(node) == before - 1);
        std::memset(block, 1, gib);
        check_lies_on(block, gib, node);
        roma_free(block);
        REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
        CHECK(free_giant_on(node) == before);
    }
}

TEST_CASE("where a node has no more pages of 1 GiB, the next step serves, or none when strict",
          "[giant]")
{
    owned manager;
    roma_request want = on_node(0, 2 * gib, ROMA_PAGES_1G, true);
    roma_grant grant;
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &want, &grant) == nullptr);
    CHECK(errno == ENOMEM);
    CHECK(grant.error.why == ROMA_WHY_POOL_EMPTY);
    CHECK(grant.error.need == 2);
    CHECK(grant.error.have == 1);
    want.strict = false;
    want.populate_threads = 0;
    void *block = roma_alloc_with(manager.self, &want, &grant);
    REQUIRE(block != nullptr);
    REQUIRE(grant.steps_count > 1);
    CHECK(grant.steps[0].error.why == ROMA_WHY_POOL_EMPTY);
    CHECK(roma_page_class(grant.pages) != ROMA_PAGE_CLASS_HUGETLB);
    roma_free(block);
}

TEST_CASE("pages of 1 GiB are spread in turn and by weight", "[giant]")
{
    for (const roma_placement placement : {ROMA_INTERLEAVE, ROMA_WEIGHTED}) {
        owned manager;
        roma_request want = on_node(0, 2 * gib, ROMA_PAGES_1G, true);
        want.placement = placement;
        roma_nodes_add(&want.nodes, 1);
        if (placement == ROMA_WEIGHTED) {
            want.bytes = 3 * gib;
            want.weights[0] = 1;
            want.weights[1] = 2;
        }
        roma_grant grant;
        char text[256];
        void *block = roma_alloc_with(manager.self, &want, &grant);
        INFO(roma_error_text(&grant.error, text, sizeof text));
        REQUIRE(block != nullptr);
        auto found = bytes_by_node(block, want.bytes);
        CHECK(found[0] == gib);
        CHECK(found[1] == want.bytes - gib);
        roma_free(block);
    }
}

TEST_CASE("small blocks are cut from a page of 1 GiB", "[giant]")
{
    owned manager;
    const roma_request want = on_node(1, 64, ROMA_PAGES_1G, true);
    roma_grant grant;
    void *block = roma_alloc_with(manager.self, &want, &grant);
    REQUIRE(block != nullptr);
    CHECK(grant.page_bytes == gib);
    std::memset(block, 1, 64);
    CHECK(bytes_by_node(block, 64).begin()->first == 1);
    roma_free(block);
}
