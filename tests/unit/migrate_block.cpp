/* migrate_block.cpp - moving blocks by roma_migrate(), with this machine's kernel: what may not
 * move, and what a block is afterwards.
 *
 * Here a block is mostly on its node already: the way is the same but for the last step. Blocks
 * that go to other nodes are for tests/vm, the counting for migrate.cpp. */
#include "catch.hpp"
#include "emulated.hpp"
#include "huge_pages.hpp"
#include "owned.hpp"
#include "skip.hpp"

#include "numa/machine.h"

#include <roma.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using roma_tests::owned;
using roma_tests::under_tool;

namespace {

const size_t base_bytes = roma__machine_base_bytes();
constexpr size_t mib = (size_t)1 << 20;

/* The node that a first touch here goes to; -1: this kernel does not tell. */
int node_here()
{
    roma_report report;
    void *probe = roma_alloc(roma_default(), 4 * mib);
    REQUIRE(probe != nullptr);
    std::memset(probe, 1, 16);
    const bool is_known = roma_where(probe, &report) == 0 && report.nodes_known;
    roma_free(probe);
    return is_known && report.nodes_count > 0 ? report.nodes[0].node : -1;
}

/* 4 MiB of base pages, wherever. */
roma_request plain_wish()
{
    roma_request want = roma_request_default();
    want.bytes = 4 * mib;
    want.pages = ROMA_PAGES_BASE;
    return want;
}

/* The same on these nodes. */
roma_request wish_on(const roma_nodes &nodes)
{
    roma_request want = plain_wish();
    want.placement = ROMA_NODES;
    want.nodes = nodes;
    return want;
}

} // namespace

/* `here` is the node that a first touch goes to. */
#define NODE_HERE(here)                                                                            \
    const int here##_found = node_here();                                                          \
    if (here##_found < 0)                                                                          \
        SKIP_TEST("this kernel does not tell where pages are");                                    \
    const roma_nodes here = roma_nodes_one((unsigned)here##_found)

TEST_CASE("what is no block, no node, or may not move is refused by name", "[migrate]")
{
    NODE_HERE(here);
    owned manager;
    const roma_nodes none = roma_nodes_none();
    const roma_nodes absent = roma_nodes_one(ROMA_NODES_MAX - 1);
    roma_migration migration;
    auto *block = static_cast<char *>(manager.alloc(4 * mib));
    block[0] = 1;
    CHECK(roma_migrate(nullptr, &here, &migration) == -EINVAL);
    CHECK(std::string(migration.error.subject) == "block");
    CHECK(roma_migrate(block + 16, &here, &migration) == -EINVAL);
    int on_the_stack;
    CHECK(roma_migrate(&on_the_stack, &here, nullptr) == -EINVAL);
    CHECK(roma_migrate(block, nullptr, &migration) == -EINVAL);
    CHECK(std::string(migration.error.subject) == "nodes");
    CHECK(roma_migrate(block, &none, &migration) == -EINVAL);
    CHECK(roma_migrate(block, &absent, &migration) == -EINVAL);
    CHECK(migration.error.why == ROMA_WHY_NODE_ABSENT);
    CHECK(migration.error.node == ROMA_NODES_MAX - 1);
    CHECK(migration.page_bytes == 0);
    roma_free(block);
    CHECK(roma_migrate(block, &here, &migration) == -ESTALE);

    void *small = manager.alloc(64);
    CHECK(roma_migrate(small, &here, &migration) == -EOPNOTSUPP);
    CHECK(migration.error.why == ROMA_WHY_UNSUPPORTED);
    roma_free(small);

    roma_request want = roma_request_default();
    want.bytes = 4 * mib;
    want.registered = true;
    void *registered = roma_alloc_with(manager.self, &want, nullptr);
    REQUIRE(registered != nullptr);
    CHECK(roma_migrate(registered, &here, &migration) == -EBUSY);
    CHECK(migration.error.code == -EBUSY);
    roma_free(registered);

    /* A provider that cannot. */
    static std::vector<char> memory(16 * mib);
    roma_region_config config = {};
    config.size = sizeof config;
    config.address = memory.data();
    config.bytes = memory.size();
    roma_provider *region = nullptr;
    REQUIRE(roma_provider_region(&config, &region, nullptr) == 0);
    {
        roma_options options = roma_options_default();
        options.providers = &region;
        options.providers_count = 1;
        owned other(options);
        void *fixed = other.alloc(4 * mib);
        CHECK(roma_migrate(fixed, &here, &migration) == -EOPNOTSUPP);
        CHECK(std::string(migration.error.subject) == "migrate");
        roma_free(fixed);
    }
    CHECK(roma_provider_unregister(region) == 0);
}

TEST_CASE("a block that lies on its node already stays as it was, with what is absent", "[migrate]")
{
    SKIP_WHERE_EMULATED();
    NODE_HERE(here);
    owned manager;
    const roma_request want = wish_on(here);
    auto *block = static_cast<unsigned char *>(roma_alloc_with(manager.self, &want, nullptr));
    REQUIRE(block != nullptr);
    const roma_block handle = roma_block_of(block);
    CHECK(roma_retain(block) == 2);
    const size_t pages = 4 * mib / base_bytes;
    for (size_t page = 0; page < pages; page += 4)
        block[page * base_bytes] = (unsigned char)page;
    roma_migration migration;
    REQUIRE(roma_migrate(block, &here, &migration) == 0);
    CHECK(migration.page_bytes == base_bytes);
    CHECK(migration.already == pages / 4);
    /* Under a memory tool a page behind it, too. */
    CHECK(migration.absent == (under_tool() ? 1 : 0) + pages - pages / 4);
    CHECK(migration.moved + migration.failed == 0);
    CHECK(roma_migrate(block, &here, nullptr) == 0);
    CHECK(roma_block_get(handle) == block);
    CHECK(roma_count(block) == 2);
    size_t wrong = 0;
    for (size_t page = 0; page < pages; page += 4)
        wrong += block[page * base_bytes] != (unsigned char)page;
    CHECK(wrong == 0);
    std::memset(block, 1, 4 * mib);
    REQUIRE(roma_migrate(block, &here, &migration) == 0);
    CHECK(migration.already == pages);
    roma_free(block);
    roma_free(block);
}

TEST_CASE("the memory of a migrated block goes to no other block", "[migrate]")
{
    SKIP_WHERE_EMULATED();
    NODE_HERE(here);
    owned manager;
    roma_request want = wish_on(here);
    want.strict = true;
    for (const bool is_migrated : {false, true}) {
        roma_grant grant;
        void *block = roma_alloc_with(manager.self, &want, &grant);
        REQUIRE(block != nullptr);
        if (is_migrated)
            REQUIRE(roma_migrate(block, &here, nullptr) == 0);
        roma_free(block);
        block = roma_alloc_with(manager.self, &want, &grant);
        REQUIRE(block != nullptr);
        CHECK(grant.reused == !is_migrated);
        roma_free(block);
        CHECK(roma_manager_trim(manager.self, 0) > 0);
    }
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("a migrated block grows and shrinks, in place or elsewhere", "[migrate]")
{
    SKIP_WHERE_EMULATED();
    NODE_HERE(here);
    owned manager;
    const roma_request want = plain_wish();
    void *block = roma_alloc_with(manager.self, &want, nullptr);
    REQUIRE(block != nullptr);
    std::memset(block, 0x3C, 4 * mib);
    REQUIRE(roma_migrate(block, &here, nullptr) == 0);
    for (const size_t bytes : {8 * mib, 2 * mib, 16 * mib}) {
        block = roma_resize(block, bytes);
        REQUIRE(block != nullptr);
        CHECK(*((unsigned char *)block + 2 * mib - 1) == 0x3C);
        std::memset((char *)block + 2 * mib - 1, 0x3C, bytes - 2 * mib + 1);
        roma_report report;
        REQUIRE(roma_where(block, &report) == 0);
        CHECK(report.nodes_known);
    }
    roma_migration migration;
    CHECK(roma_migrate(block, &here, &migration) == 0);
    CHECK(migration.already == 16 * mib / base_bytes);
    roma_free(block);
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("huge pages are migrated as they are", "[migrate]")
{
    SKIP_WHERE_EMULATED();
    NODE_HERE(here);
    roma_tests::huge_pages reserved(4);
    SKIP_WITHOUT_PAGES(reserved);
    owned manager;
    roma_request want = roma_request_default();
    want.bytes = 2 * reserved.page_bytes;
    want.pages = reserved.kind;
    want.strict = true;
    void *block = roma_alloc_with(manager.self, &want, nullptr);
    REQUIRE(block != nullptr);
    roma_migration migration;
    CHECK(roma_migrate(block, &here, &migration) == 0);
    CHECK(migration.page_bytes == reserved.page_bytes);
    CHECK(migration.already + migration.moved == 2);
    CHECK(migration.absent == 0);
    roma_free(block);
}

TEST_CASE("a child made by fork may ask for a migration of its copy", "[migrate]")
{
    SKIP_WHERE_EMULATED();
    NODE_HERE(here);
    owned manager;
    void *block = manager.alloc(4 * mib);
    std::memset(block, 1, 4 * mib);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        roma_migration migration;
        const int code = roma_migrate(block, &here, &migration);
        _exit(code == 0 && migration.failed == 0 ? 0 : 1);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    roma_free(block);
}
