/* placement.cpp - memory lies on the nodes that were asked for, by the kernel's own word, of every
 * page kind, and from blocks of 64 B to a quarter of a node.
 *
 * They fill whole nodes: only the rig runs them, on machines with several nodes, of unequal size,
 * without CPUs, or hardly any memory. */
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"
#include "skip.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

using namespace roma_tests;

namespace {

struct page_case {
    const char *name;
    roma_pages pages;
};
const page_case page_cases[] = {
    {"base", ROMA_PAGES_BASE}, {"thp", ROMA_PAGES_THP}, {"hugetlb", ROMA_PAGES_2M}};

/* A quarter of what a node has free of a kind. */
size_t quarter_of(unsigned node, roma_pages pages)
{
    return (pages == ROMA_PAGES_2M ? free_huge_on(node) * 2 * mib : free_on(node)) / 4;
}

std::string text_of(const roma_grant &grant)
{
    char text[256];
    return roma_error_text(&grant.error, text, sizeof text);
}

void check_lies_on(const void *block, size_t bytes, unsigned node)
{
    const auto found = bytes_by_node(block, bytes);
    CHECK(found.size() == 1);
    CHECK(found.begin()->first == (int)node);
    roma_report report;
    CHECK(roma_where(block, &report) == 0);
    CHECK(report.nodes_known);
    CHECK(report.nodes_count == 1);
    CHECK(report.nodes[0].node == (int)node);
    CHECK(report.resident_bytes >= bytes);
}

/* A movable node has no hugetlb pages. */
void check_pool_is_empty(roma_manager *manager, unsigned node)
{
    const roma_request want = on_node(node, 2 * mib, ROMA_PAGES_2M, true);
    roma_grant grant;
    errno = 0;
    CHECK(roma_alloc_with(manager, &want, &grant) == nullptr);
    CHECK(errno == ENOMEM);
    CHECK(grant.error.why == ROMA_WHY_POOL_EMPTY);
}

} // namespace

TEST_CASE("a strict block lies on its node, of each page kind and of any length", "[placement]")
{
    const size_t lengths[] = {64, 4096, 64 << 10, mib, 2 * mib, 16 * mib, 64 * mib, 256 * mib};
    for (const unsigned node : memory_nodes())
        for (const page_case &kind : page_cases) {
            owned manager;
            unsigned tried = 0;
            for (const size_t bytes : lengths) {
                /* A block of any class comes from an extent of 2 MiB. */
                if (quarter_of(node, kind.pages) < (bytes < 2 * mib ? 2 * mib : bytes))
                    break;
                INFO(bytes << " bytes, " << kind.name << ", node " << node);
                const roma_request want = on_node(node, bytes, kind.pages, true);
                roma_grant grant;
                void *block = roma_alloc_with(manager.self, &want, &grant);
                INFO(text_of(grant));
                REQUIRE(block != nullptr);
                std::memset(block, 1, bytes);
                check_lies_on(block, bytes, node);
                roma_free(block);
                tried++;
            }
            INFO(kind.name << " on node " << node << ": too little is free to try anything");
            if (kind.pages == ROMA_PAGES_2M && free_huge_on(node) == 0)
                check_pool_is_empty(manager.self, node);
            else
                CHECK(tried > 0);
        }
}

TEST_CASE("blocks of 64 B on several nodes at once each lie on their own", "[placement]")
{
    owned manager;
    std::vector<std::pair<unsigned, void *>> blocks;
    for (int round = 0; round < 100; round++)
        for (const unsigned node : memory_nodes()) {
            const roma_request want = on_node(node, 64, ROMA_PAGES_BASE, true);
            void *block = roma_alloc_with(manager.self, &want, nullptr);
            REQUIRE(block != nullptr);
            std::memset(block, (int)node + 1, 64);
            blocks.emplace_back(node, block);
        }
    for (const auto &[node, block] : blocks) {
        CHECK(*(unsigned char *)block == node + 1);
        check_lies_on(block, 64, node);
        roma_free(block);
    }
}

TEST_CASE("a strict block that a node cannot hold is refused, and nobody is killed", "[placement]")
{
    const uint64_t kills = kills_count();
    for (const unsigned node : memory_nodes())
        for (const roma_pages pages : {ROMA_PAGES_BASE, ROMA_PAGES_THP}) {
            owned manager;
            const uint64_t free_bytes = free_on(node);
            const roma_request want = on_node(node, free_bytes + 64 * mib, pages, true);
            roma_grant grant;
            errno = 0;
            CHECK(roma_alloc_with(manager.self, &want, &grant) == nullptr);
            CHECK(errno == ENOMEM);
            INFO(text_of(grant));
            CHECK(grant.error.why == ROMA_WHY_NODE_FULL);
            CHECK(grant.error.node == (int)node);
            CHECK(free_on(node) + 16 * mib > free_bytes);
        }
    CHECK(kills_count() == kills);
}

TEST_CASE("a node that is filled block by block ends in -ENOMEM, not in a kill", "[placement]")
{
    const uint64_t kills = kills_count();
    for (const unsigned node : memory_nodes()) {
        owned manager;
        std::vector<void *> blocks;
        const roma_request want = on_node(node, 8 * mib, ROMA_PAGES_BASE, true);
        roma_grant grant;
        for (;;) {
            void *block = roma_alloc_with(manager.self, &want, &grant);
            if (block == nullptr)
                break;
            blocks.push_back(block);
        }
        INFO("node " << node << ", after " << blocks.size() << ": " << text_of(grant));
        CHECK(blocks.size() > 2);
        CHECK((grant.code == -ENOMEM || grant.code == -EXDEV));
        for (void *block : blocks) {
            const auto found = bytes_by_node(block, 8 * mib);
            CHECK((found.size() == 1 && found.begin()->first == (int)node));
            roma_free(block);
        }
    }
    CHECK(kills_count() == kills);
}

TEST_CASE("a page pool that is empty on the node is a step that failed, and says so", "[placement]")
{
    unsigned tried = 0;
    for (const unsigned node : memory_nodes()) {
        owned manager;
        const size_t more = (free_huge_on(node) + 1) * 2 * mib;
        if (free_on(node) / 2 < more)
            continue;
        tried++;
        roma_request want = on_node(node, more, ROMA_PAGES_2M, false);
        roma_grant grant;
        void *block = roma_alloc_with(manager.self, &want, &grant);
        REQUIRE(block != nullptr);
        REQUIRE(grant.steps_count > 1);
        CHECK(grant.steps[0].error.why == ROMA_WHY_POOL_EMPTY);
        CHECK(roma_page_class(grant.pages) != ROMA_PAGE_CLASS_HUGETLB);
        check_lies_on(block, more, node);
        roma_free(block);

        want.strict = true;
        errno = 0;
        CHECK(roma_alloc_with(manager.self, &want, &grant) == nullptr);
        CHECK(errno == ENOMEM);
        CHECK(grant.error.why == ROMA_WHY_POOL_EMPTY);
    }
    CHECK(tried > 0);
}

TEST_CASE("what is asked of no node in particular stays off nodes without CPUs", "[placement]")
{
    owned manager;
    const size_t bytes = free_on(cpu_nodes().at(0)) / 8;
    void *block = manager.alloc(bytes);
    std::memset(block, 1, bytes);
    const auto nodes = cpu_nodes();
    for (const auto &[node, held] : bytes_by_node(block, bytes)) {
        INFO(held << " bytes on node " << node);
        CHECK(std::count(nodes.begin(), nodes.end(), (unsigned)node) == 1);
    }
    roma_free(block);
}

TEST_CASE("roma names the nodes that sysfs names", "[placement]")
{
    CHECK(roma_topology_refresh() >= 0); /* a test before may have brought memory online */
    const roma_topology *topology = roma_topology_get();
    const roma_nodes memory = roma_topology_memory_nodes(topology);
    const roma_nodes cpus = roma_topology_cpu_nodes(topology);
    CHECK(roma_nodes_count(&memory) == memory_nodes().size());
    CHECK(roma_nodes_count(&cpus) == cpu_nodes().size());
    for (const unsigned node : memory_nodes()) {
        CHECK(roma_nodes_has(&memory, node));
        CHECK(roma_topology_distance(topology, node, node) == 10);
    }
    for (const unsigned node : cpu_nodes())
        CHECK(roma_nodes_has(&cpus, node));
}
