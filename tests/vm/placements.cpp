/* placements.cpp - every placement puts every page where it says, on each page kind, from blocks of
 * 64 B to 256 MiB, where the nodes have four times what it needs of them. */
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

using namespace roma_tests;

namespace {

struct page_case {
    const char *name;
    roma_pages pages;
    size_t page_bytes; /* of what is laid in turn */
};
const page_case page_cases[] = {{"base", ROMA_PAGES_BASE, 4096},
                                {"thp", ROMA_PAGES_THP, 2 * mib},
                                {"hugetlb", ROMA_PAGES_2M, 2 * mib}};
const size_t lengths[] = {64, 4096, 64 << 10, mib, 2 * mib, 16 * mib, 64 * mib, 256 * mib};

/* Shares of a block by node; each within `slack` bytes. */
struct expectation {
    std::map<unsigned, double> shares;
    size_t slack;
};

size_t free_of(unsigned node, const page_case &kind)
{
    return kind.pages == ROMA_PAGES_2M ? free_huge_on(node) * 2 * mib : free_on(node);
}

/* Have all nodes four times what they would get, and the extent that holds a small block? */
bool has_room(const expectation &expected, const page_case &kind, size_t bytes)
{
    for (const auto &[node, share] : expected.shares)
        if (free_of(node, kind) / 4 < std::max(share * (double)bytes, (double)(2 * mib)))
            return false;
    return true;
}

roma_nodes set_of(const std::vector<unsigned> &nodes)
{
    roma_nodes set = roma_nodes_none();
    for (const unsigned node : nodes)
        roma_nodes_add(&set, node);
    return set;
}

std::string text_of(const roma_grant &grant)
{
    char text[256];
    return roma_error_text(&grant.error, text, sizeof text);
}

void check_shares(const void *block, size_t bytes, const expectation &expected)
{
    std::map<int, size_t> found = bytes_by_node(block, bytes);
    size_t resident = 0;
    for (const auto &[node, held] : found) {
        INFO(held << " bytes on node " << node);
        CHECK(expected.shares.count((unsigned)node) == 1);
        resident += held;
    }
    if (bytes < 2 * mib) /* less than a granule, and perhaps in one page with others */
        return;
    for (const auto &[node, share] : expected.shares) {
        const double wanted = share * (double)resident;
        const double held = (double)found[(int)node];
        INFO("node " << node << " has " << held << " of " << wanted);
        CHECK(std::max(held, wanted) - std::min(held, wanted) <= (double)expected.slack);
    }
}

unsigned try_all(const roma_request &like,
                 const std::function<expectation(const page_case &kind, size_t bytes)> &expect)
{
    unsigned tried = 0;
    for (const page_case &kind : page_cases) {
        owned manager;
        for (const size_t bytes : lengths) {
            const expectation expected = expect(kind, bytes);
            if (!has_room(expected, kind, bytes))
                break;
            INFO(bytes << " bytes, " << kind.name);
            roma_request want = like;
            want.bytes = bytes;
            want.pages = kind.pages;
            want.populate_threads = 2;
            roma_grant grant;
            void *block = roma_alloc_with(manager.self, &want, &grant);
            INFO(text_of(grant));
            REQUIRE(block != nullptr);
            std::memset(block, 1, bytes);
            check_shares(block, bytes, expected);
            roma_free(block);
            tried++;
        }
    }
    return tried;
}

roma_request strictly(roma_placement placement, const std::vector<unsigned> &nodes)
{
    roma_request want = roma_request_default();
    want.placement = placement;
    want.nodes = set_of(nodes);
    want.strict = true;
    return want;
}

/* The nodes that every kernel here gives ordinary memory of at boot: all but a movable one. */
std::vector<unsigned> fixed_nodes()
{
    std::vector<unsigned> nodes;
    for (const unsigned node : memory_nodes())
        if (free_huge_on(node) > 0)
            nodes.push_back(node);
    return nodes;
}

} // namespace

TEST_CASE("a preferred node gets all pages while it has room", "[placements]")
{
    for (const unsigned node : fixed_nodes())
        for (const roma_placement placement : {ROMA_PREFERRED, ROMA_PREFERRED_MANY})
            CHECK(try_all(strictly(placement, {node}), [node](const page_case &, size_t) {
                      return expectation{{{node, 1.0}}, 0};
                  }) > 0);
}

TEST_CASE("a preferred node that is full is no failure, strict or not", "[placements][several]")
{
    const auto nodes = fixed_nodes();
    owned manager;
    roma_request want = strictly(ROMA_PREFERRED, {nodes[0]});
    want.pages = ROMA_PAGES_2M;
    want.populate_threads = 1;
    want.bytes = (free_huge_on(nodes[0]) + 2) * 2 * mib;
    roma_grant grant;
    void *block = roma_alloc_with(manager.self, &want, &grant);
    INFO(text_of(grant));
    REQUIRE(block != nullptr);
    auto found = bytes_by_node(block, want.bytes);
    CHECK(found[(int)nodes[0]] == want.bytes - 4 * mib);
    unsigned nearest = UINT32_MAX; /* of those that have such pages */
    for (const unsigned node : nodes)
        if (node != nodes[0])
            nearest = std::min(nearest,
                               roma_topology_distance(roma_topology_get(), nodes[0], node));
    for (const auto &[node, held] : found) {
        INFO(held << " bytes on node " << node);
        CHECK((node == (int)nodes[0] ||
               roma_topology_distance(roma_topology_get(), nodes[0], (unsigned)node) == nearest));
    }
    CHECK(grant.pages == ROMA_PAGES_2M); /* the kind was kept, the node was not */
    roma_free(block);
}

TEST_CASE("interleaved pages lie on the nodes in turn", "[placements]")
{
    const auto nodes = fixed_nodes();
    CHECK(try_all(strictly(ROMA_INTERLEAVE, nodes), [&](const page_case &kind, size_t bytes) {
              expectation expected{{}, std::max(kind.page_bytes, bytes / 50)};
              for (const unsigned node : nodes)
                  expected.shares[node] = 1.0 / (double)nodes.size();
              return expected;
          }) > 0);
}

TEST_CASE("granules lie on nodes by weight", "[placements]")
{
    const auto nodes = fixed_nodes();
    roma_request want = strictly(ROMA_WEIGHTED, nodes);
    unsigned sum = 0;
    for (size_t i = 0; i < nodes.size(); i++) {
        want.weights[i] = (uint8_t)(nodes.size() - i + (i == 0 ? 1 : 0)); /* 3 1, 5 3 2 1 */
        sum += want.weights[i];
    }
    CHECK(try_all(want, [&](const page_case &, size_t bytes) {
              /* Of a whole round one granule, of less a little more than one. */
              const size_t slack = bytes / (2 * mib) >= sum ? 2 * mib : 2 * mib + mib / 2;
              expectation expected{{}, std::max(slack, bytes / 50)};
              for (size_t i = 0; i < nodes.size(); i++)
                  expected.shares[nodes[i]] = want.weights[i] / (double)sum;
              return expected;
          }) > 0);
}

TEST_CASE("small blocks are spread by weight over many extents", "[placements][several]")
{
    const auto nodes = fixed_nodes();
    owned manager;
    roma_request want = strictly(ROMA_WEIGHTED, {nodes[0], nodes[1]});
    want.weights[0] = 3;
    want.weights[1] = 1;
    want.pages = ROMA_PAGES_BASE;
    want.bytes = 64 << 10;
    std::vector<void *> blocks;
    std::map<int, size_t> held;
    for (int i = 0; i < 8 * 32; i++) { /* eight extents of 2 MiB */
        void *block = roma_alloc_with(manager.self, &want, nullptr);
        REQUIRE(block != nullptr);
        std::memset(block, 1, want.bytes);
        for (const auto &[node, bytes] : bytes_by_node(block, want.bytes))
            held[node] += bytes;
        blocks.push_back(block);
    }
    const size_t all = held[(int)nodes[0]] + held[(int)nodes[1]];
    CHECK(all == blocks.size() * want.bytes);
    INFO(held[(int)nodes[0]] << " and " << held[(int)nodes[1]]);
    CHECK(held[(int)nodes[0]] >= all * 3 / 4 - 2 * mib);
    CHECK(held[(int)nodes[0]] <= all * 3 / 4 + 2 * mib);
    for (void *block : blocks)
        roma_free(block);
}

TEST_CASE("weights that nobody names are the machine's bandwidths, or equal", "[placements]")
{
    CHECK(roma_topology_refresh() >= 0); /* a test before may have brought memory online */
    owned manager;
    roma_request want = roma_request_default();
    want.placement = ROMA_WEIGHTED;
    want.pages = ROMA_PAGES_BASE;
    want.bytes = 64 * mib;
    want.populate_threads = 1;
    uint64_t least = UINT64_MAX;
    for (const unsigned node : memory_nodes())
        least = std::min(least, free_on(node));
    if (least / 4 < want.bytes)
        want.bytes = 16 * mib;
    void *block = roma_alloc_with(manager.self, &want, nullptr);
    REQUIRE(block != nullptr);
    auto found = bytes_by_node(block, want.bytes);
    std::map<unsigned, double> weights;
    double sum = 0;
    for (const unsigned node : memory_nodes()) {
        roma_node_info info;
        REQUIRE(roma_topology_node(roma_topology_get(), node, &info) == 0);
        weights[node] = info.read_bandwidth_mb_per_s > 0 ? (double)info.read_bandwidth_mb_per_s
                                                         : 1.0;
        sum += weights[node];
    }
    for (const auto &[node, weight] : weights) {
        const double wanted = weight / sum * (double)want.bytes, held = (double)found[(int)node];
        INFO("node " << node << " has " << held << " of " << wanted);
        CHECK(std::abs(held - wanted) <= std::max((double)(2 * mib), (double)want.bytes / 50));
    }
    roma_free(block);
}

TEST_CASE("the nearest node comes first, and the next nearest when it is full",
          "[placements][several]")
{
    const roma_topology *topology = roma_topology_get();
    for (const unsigned from : fixed_nodes()) {
        CHECK(try_all(strictly(ROMA_NEAREST, {from}), [from](const page_case &, size_t) {
                  return expectation{{{from, 1.0}}, 0};
              }) > 0);
        const auto nodes = fixed_nodes();
        owned manager;
        roma_request want = strictly(ROMA_NEAREST, {from});
        want.pages = ROMA_PAGES_2M;
        want.bytes = free_huge_on(from) * 2 * mib;
        void *filling = roma_alloc_with(manager.self, &want, nullptr);
        REQUIRE(filling != nullptr);
        want.bytes = 2 * mib;
        roma_grant grant;
        void *block = roma_alloc_with(manager.self, &want, &grant);
        INFO(text_of(grant));
        REQUIRE(block != nullptr);
        unsigned nearest = UINT32_MAX;
        for (const unsigned node : nodes)
            if (node != from)
                nearest = std::min(nearest, roma_topology_distance(topology, from, node));
        for (const auto &[node, bytes] : bytes_by_node(block, want.bytes)) {
            INFO(bytes << " bytes on node " << node << ", from " << from);
            CHECK(roma_topology_distance(topology, from, (unsigned)node) == nearest);
        }
        CHECK(grant.steps_count == 2);
        CHECK(grant.steps[0].error.why == ROMA_WHY_POOL_EMPTY);
        roma_free(block);
        roma_free(filling);
    }
}

TEST_CASE("bandwidth and latency go by what the firmware says", "[placements]")
{
    CHECK(roma_topology_refresh() >= 0);
    for (const roma_placement placement : {ROMA_BANDWIDTH, ROMA_LATENCY}) {
        uint64_t best = 0;
        std::map<unsigned, uint64_t> figures;
        for (const unsigned node : memory_nodes()) {
            roma_node_info info;
            REQUIRE(roma_topology_node(roma_topology_get(), node, &info) == 0);
            uint64_t figure = info.read_bandwidth_mb_per_s;
            if (placement == ROMA_LATENCY)
                figure = info.read_latency_ns == 0 ? 0 : 1000000 / info.read_latency_ns;
            figures[node] = figure;
            best = std::max(best, figure);
        }
        owned manager;
        roma_request want = strictly(placement, {});
        want.bytes = 4 * mib;
        want.pages = ROMA_PAGES_BASE;
        roma_grant grant;
        void *block = roma_alloc_with(manager.self, &want, &grant);
        INFO(text_of(grant));
        REQUIRE(block != nullptr);
        for (const auto &[node, bytes] : bytes_by_node(block, want.bytes)) {
            INFO(bytes << " bytes on node " << node);
            CHECK(figures[(unsigned)node] == best);
        }
        roma_free(block);
    }
}

TEST_CASE("capacity is where most is free", "[placements]")
{
    CHECK(roma_topology_refresh() >= 0);
    owned manager;
    roma_request want = strictly(ROMA_CAPACITY, {});
    want.bytes = 4 * mib;
    want.pages = ROMA_PAGES_BASE;
    void *block = roma_alloc_with(manager.self, &want, nullptr);
    REQUIRE(block != nullptr);
    const auto found = bytes_by_node(block, want.bytes);
    REQUIRE(found.size() == 1);
    for (const unsigned node : memory_nodes()) {
        INFO("node " << node << " has " << free_on(node) << " free, node " << found.begin()->first
                     << " " << free_on((unsigned)found.begin()->first));
        /* What it counts as free is less than MemFree, by different amounts. */
        CHECK(free_on(node) <= free_on((unsigned)found.begin()->first) + 128 * mib);
    }
    roma_free(block);
}

TEST_CASE("a spread over nodes of which one has too little is refused by name",
          "[placements][several]")
{
    const auto nodes = fixed_nodes();
    owned manager;
    const size_t most = free_huge_on(nodes[1]);
    roma_request hog = on_node(nodes[1], (most - 1) * 2 * mib, ROMA_PAGES_2M, true);
    void *filling = roma_alloc_with(manager.self, &hog, nullptr);
    REQUIRE(filling != nullptr);
    for (const roma_placement placement : {ROMA_INTERLEAVE, ROMA_WEIGHTED}) {
        roma_request want = strictly(placement, {nodes[0], nodes[1]});
        want.pages = ROMA_PAGES_2M;
        want.bytes = 16 * mib;
        roma_grant grant;
        errno = 0;
        CHECK(roma_alloc_with(manager.self, &want, &grant) == nullptr);
        CHECK(errno == ENOMEM);
        CHECK(grant.error.why == ROMA_WHY_POOL_EMPTY);
        CHECK(grant.error.node == (int)nodes[1]);
    }
    roma_free(filling);
}
