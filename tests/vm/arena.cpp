/* arena.cpp - the providers of one node's memory: what they give lies on their node, by the
 * kernel's own word, whatever the request says and wherever the caller runs. */
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

using namespace roma_tests;

namespace {

roma_extent_request extent_of(size_t bytes, roma_pages pages, bool strict)
{
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = bytes;
    wish.pages = static_cast<roma_page_kind>(pages);
    wish.strict = strict;
    wish.populate_threads = 2;
    return wish;
}

bool lies_on(const void *address, size_t bytes, unsigned node)
{
    const auto found = bytes_by_node(address, bytes);
    return found.size() == 1 && found.begin()->first == (int)node;
}

roma_options on_arena(roma_provider *&provider, unsigned node)
{
    provider = roma_provider_node(node);
    REQUIRE(provider != nullptr);
    roma_options options = roma_options_default();
    options.providers = &provider;
    options.providers_count = 1;
    return options;
}

} // namespace

TEST_CASE("extents of an arena lie on its node, of each page kind, strict or not, grown too",
          "[arena]")
{
    for (const unsigned node : memory_nodes()) {
        roma_provider *provider = roma_provider_node(node);
        REQUIRE(provider != nullptr);
        CHECK(roma_provider_name(provider) == "node" + std::to_string(node));
        for (const roma_pages pages : {ROMA_PAGES_BASE, ROMA_PAGES_THP, ROMA_PAGES_2M})
            for (const bool strict : {false, true}) {
                INFO("node " << node << ", kind " << pages << (strict ? ", strict" : ""));
                roma_extent extent;
                roma_error error = {};
                auto wish = extent_of(4 * mib, pages, strict);
                if (pages == ROMA_PAGES_2M && free_huge_on(node) < 4) { /* a movable node */
                    wish.bytes = (free_huge_on(node) + 1) * 2 * mib;
                    CHECK(roma_provider_acquire(provider, &wish, &extent, &error) == -ENOMEM);
                    CHECK(error.why == ROMA_WHY_POOL_EMPTY);
                    CHECK(error.node == (int)node);
                    continue;
                }
                REQUIRE(roma_provider_acquire(provider, &wish, &extent, &error) == 0);
                CHECK(lies_on(extent.address, extent.bytes, node));
                REQUIRE(roma_provider_resize(provider, &extent, 8 * mib, true, &error) == 0);
                CHECK(lies_on(extent.address, extent.bytes, node));
                CHECK(roma_provider_release(provider, &extent, &error) == 0);
            }
    }
}

TEST_CASE("an arena refuses other nodes, and takes a set that has its own", "[arena]")
{
    const auto nodes = memory_nodes();
    for (const unsigned node : nodes)
        for (const unsigned other : nodes) {
            if (node == other)
                continue;
            roma_provider *provider = roma_provider_node(node);
            REQUIRE(provider != nullptr);
            roma_extent extent;
            roma_error error = {};
            auto wish = extent_of(mib, ROMA_PAGES_BASE, true);
            wish.nodes = roma_nodes_one(other);
            CHECK(roma_provider_acquire(provider, &wish, &extent, &error) == -EXDEV);
            CHECK(error.node == (int)other);
            roma_nodes_add(&wish.nodes, node);
            REQUIRE(roma_provider_acquire(provider, &wish, &extent, &error) == 0);
            CHECK(lies_on(extent.address, extent.bytes, node));
            roma_migration migration;
            const roma_range all = {&extent, 0, extent.bytes};
            const roma_nodes away = roma_nodes_one(other), home = roma_nodes_one(node);
            CHECK(roma_provider_migrate(provider, &all, &away, &migration, &error) == -EXDEV);
            CHECK(lies_on(extent.address, extent.bytes, node));
            CHECK(roma_provider_migrate(provider, &all, &home, &migration, &error) == 0);
            CHECK(migration.already == extent.bytes / migration.page_bytes);
            CHECK(roma_provider_release(provider, &extent, &error) == 0);
        }
}

TEST_CASE("a strict extent that an arena cannot hold is refused, and nobody is killed", "[arena]")
{
    const uint64_t kills = kills_count();
    for (const unsigned node : memory_nodes()) {
        roma_provider *provider = roma_provider_node(node);
        REQUIRE(provider != nullptr);
        roma_extent extent;
        roma_error error = {};
        const auto wish = extent_of(free_on(node) + 64 * mib, ROMA_PAGES_BASE, true);
        CHECK(roma_provider_acquire(provider, &wish, &extent, &error) == -ENOMEM);
        CHECK(error.why == ROMA_WHY_NODE_FULL);
        CHECK(error.node == (int)node);
    }
    CHECK(kills_count() == kills);
}

TEST_CASE("blocks of 64 B of managers on arenas each lie on their node", "[arena]")
{
    for (const unsigned node : memory_nodes()) {
        roma_provider *provider = nullptr;
        owned manager(on_arena(provider, node));
        std::vector<void *> blocks;
        for (int i = 0; i < 1000; i++) {
            void *block = manager.alloc(64);
            std::memset(block, (int)node + 1, 64);
            blocks.push_back(block);
        }
        size_t elsewhere = 0;
        for (void *block : blocks)
            elsewhere += !lies_on(block, 64, node);
        CHECK(elsewhere == 0);
        roma_report report;
        CHECK(roma_where(blocks[0], &report) == 0);
        CHECK(report.nodes_count == 1);
        CHECK(report.nodes[0].node == (int)node);
        for (void *block : blocks)
            roma_free(block);
    }
}

TEST_CASE("a manager on several arenas serves a node from the arena of that node", "[arena]")
{
    std::vector<roma_provider *> arenas;
    for (const unsigned node : memory_nodes())
        arenas.push_back(roma_provider_node(node));
    roma_options options = roma_options_default();
    options.providers = arenas.data();
    options.providers_count = arenas.size();
    owned manager(options);
    for (const unsigned node : memory_nodes()) {
        const roma_request want = on_node(node, 4 * mib, ROMA_PAGES_BASE, true);
        roma_grant grant;
        void *block = roma_alloc_with(manager.self, &want, &grant);
        REQUIRE(block != nullptr);
        CHECK(grant.steps[grant.steps_count - 1].provider == "node" + std::to_string(node));
        CHECK(lies_on(block, 4 * mib, node));
        roma_free(block);
    }
}
