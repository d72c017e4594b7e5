/* arena.cpp - the providers of one node's memory: which there are, what they refuse, and how they
 * come to be. Where their memory lies on machines with several nodes is for tests/vm. */
#include "catch.hpp"
#include "emulated.hpp"
#include "faulty.hpp"
#include "owned.hpp"
#include "skip.hpp"
#include "topology.hpp"
#include "tree.hpp"

#include "numa/arena/named.h"
#include "numa/machine.h"
#include "sys/kernel.h"

#include <roma.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace roma_tests;

namespace {

/* A machine that says of these nodes that they are there and have memory. */
struct machine_with {
    const tree files{fixture("two-nodes")};

    explicit machine_with(const std::string &nodes)
    {
        files.put("/sys/devices/system/node/online", nodes + "\n");
        files.put("/sys/devices/system/node/has_memory", nodes + "\n");
        roma__machine_root(files.root());
    }
    machine_with(const machine_with &) = delete;
    machine_with &operator=(const machine_with &) = delete;
    ~machine_with() { roma__machine_root(nullptr); }
};

/* The first node of this machine that has memory. */
unsigned first_node()
{
    const roma_nodes nodes = roma_topology_memory_nodes(roma_topology_get());
    REQUIRE_FALSE(roma_nodes_is_empty(&nodes));
    return (unsigned)roma_nodes_next(&nodes, 0);
}

roma_extent_request base_request(size_t bytes)
{
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = bytes;
    wish.pages = ROMA_PAGES_BASE;
    return wish;
}

uint64_t figure(roma_provider *provider, const std::string &key)
{
    sought_figure want{key};
    CHECK(roma_provider_stats(provider, want.visit, &want) == 0);
    return want.number;
}

/* mbind that takes whatever it is told, and tells it. */
struct binding {
    static inline int mode;
    static inline roma_nodes nodes;
    static inline unsigned count;
    static int bind(void *, size_t, int how, const unsigned long *mask, unsigned long, unsigned)
    {
        count++;
        mode = how;
        std::memcpy(nodes.words, mask, sizeof nodes.words);
        return 0;
    }
};

} // namespace

TEST_CASE("there is one arena a node with memory, and it is the same each time", "[arena]")
{
    /* Nodes 0, 2 and 5; the cpuset allows 0 and 5. */
    const machine sparse(fixture("sparse-ids"));
    std::vector<roma_provider *> seen;
    for (const unsigned node : {0u, 2u, 5u}) {
        roma_provider *provider = roma_provider_node(node);
        REQUIRE(provider != nullptr);
        CHECK(roma_provider_name(provider) == "node" + std::to_string(node));
        CHECK(roma_provider_capabilities(provider) == ROMA_CAN_MIGRATE);
        CHECK(roma_provider_node(node) == provider);
        CHECK(roma_provider_unregister(provider) == -EINVAL);
        for (roma_provider *other : seen)
            CHECK(other != provider);
        seen.push_back(provider);
    }
    for (const unsigned node : {1u, 3u, 1000u, 1023u, 1024u, UINT32_MAX}) {
        errno = 0;
        CHECK(roma_provider_node(node) == nullptr);
        CHECK(errno == EINVAL);
    }
}

TEST_CASE("a node without memory has no arena", "[arena]")
{
    /* Node 1 has CPUs and no memory, node 2 the reverse. */
    const machine here(fixture("memory-only"));
    errno = 0;
    CHECK(roma_provider_node(1) == nullptr);
    CHECK(errno == EINVAL);
    CHECK(roma_provider_node(2) != nullptr);
}

TEST_CASE("a kernel without NUMA has the arena of node 0", "[arena]")
{
    const machine here(fixture("no-numa"));
    CHECK(roma_provider_node(0) != nullptr);
    errno = 0;
    CHECK(roma_provider_node(4) == nullptr);
    CHECK(errno == EINVAL);
}

TEST_CASE("an arena that cannot be made says why", "[arena]")
{
    const machine_with here("0-1,77");
    faulty table;
    table.calls.mmap = [](void *, size_t, int, int, int, off_t) -> void * {
        errno = EAGAIN;
        return (void *)-1;
    };
    errno = 0;
    CHECK(roma_provider_node(77) == nullptr);
    CHECK(errno == ENOMEM);
    table.calls.mmap = roma__sys_kernel.mmap;
    table.calls.open = [](const char *, int) {
        errno = EMFILE;
        return -1;
    };
    CHECK(roma_provider_node(77) == nullptr);
    CHECK(errno == EMFILE);
}

TEST_CASE("a request is placed on the arena's node, or refused where it names only others",
          "[arena]")
{
    SKIP_WHERE_EMULATED();
    const machine here(fixture("two-nodes"));
    faulty table;
    table.calls.mbind = binding::bind;
    roma_provider *provider = roma_provider_node(1);
    REQUIRE(provider != nullptr);
    roma_nodes both = roma_nodes_one(0);
    roma_nodes_add(&both, 1);
    const roma_nodes one = roma_nodes_one(1);
    for (const roma_nodes &nodes : {roma_nodes_none(), one, both})
        for (const roma_spread spread :
             {ROMA_SPREAD_NONE, ROMA_SPREAD_INTERLEAVE, ROMA_SPREAD_WEIGHTED}) {
            roma_extent extent;
            roma_error error = {};
            auto wish = base_request(1);
            wish.nodes = nodes;
            wish.spread = spread;
            wish.weights[0] = 200;
            CHECK(roma_provider_probe(provider, &wish, &error) == 0);
            binding::count = 0;
            REQUIRE(roma_provider_acquire(provider, &wish, &extent, &error) == 0);
            CHECK(binding::count == 1);
            CHECK(roma_nodes_equal(&binding::nodes, &one));
            CHECK(roma_nodes_equal(&extent.nodes, &one));
            REQUIRE(roma_provider_resize(provider, &extent, 3 * extent.bytes, true, &error) == 0);
            CHECK(binding::count == 2);
            CHECK(roma_nodes_equal(&binding::nodes, &one));
            CHECK(roma_provider_release(provider, &extent, &error) == 0);
        }

    roma_extent extent;
    roma_error error = {};
    auto wish = base_request(1);
    wish.nodes = roma_nodes_one(0);
    const uint64_t failures = figure(provider, "failures.count");
    CHECK(roma_provider_probe(provider, &wish, &error) == -EXDEV);
    CHECK(roma_provider_acquire(provider, &wish, &extent, &error) == -EXDEV);
    CHECK(error.why == ROMA_WHY_UNSUPPORTED);
    CHECK(error.node == 0);
    char text[256];
    CHECK(std::string(roma_error_text(&error, text, sizeof text)).find("arena") !=
          std::string::npos);
    CHECK(figure(provider, "failures.count") == failures + 1);
}

TEST_CASE("pages of an arena may come home, and none may leave", "[arena]")
{
    SKIP_WHERE_EMULATED();
    const unsigned node = first_node();
    roma_provider *provider = roma_provider_node(node);
    REQUIRE(provider != nullptr);
    roma_extent extent;
    roma_error error = {};
    roma_migration migration;
    auto wish = base_request(1);
    if (roma_provider_acquire(provider, &wish, &extent, &error) != 0)
        SKIP_TEST("memory of one node cannot be asked for here");
    roma_range all = {&extent, 0, extent.bytes};
    const roma_nodes home = roma_nodes_one(node);
    roma_nodes more = home;
    roma_nodes_add(&more, node + 1);
    CHECK(roma_provider_migrate(provider, &all, &more, &migration, &error) == -EXDEV);
    CHECK(error.why == ROMA_WHY_UNSUPPORTED);
    CHECK(error.node == (int)node + 1);
    const int code = roma_provider_migrate(provider, &all, &home, &migration, &error);
    CHECK((code == 0 || (code == -EPERM && error.why == ROMA_WHY_CALL_REFUSED)));
    CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
}

TEST_CASE("an arena's figures are its own", "[arena]")
{
    const unsigned node = first_node();
    roma_provider *provider = roma_provider_node(node);
    REQUIRE(provider != nullptr);
    const uint64_t others = figure(roma_provider_anonymous(), "extents.bytes");
    const uint64_t live = figure(provider, "extents.live");
    const uint64_t acquisitions = figure(provider, "acquisitions.count");
    const std::string kind = "base-" + std::to_string(roma__machine_base_bytes() / 1024) +
                             "kB.bytes";
    const uint64_t bytes = figure(provider, kind);
    roma_extent extent;
    auto wish = base_request(5 * roma__machine_base_bytes());
    if (roma_provider_acquire(provider, &wish, &extent, nullptr) != 0)
        SKIP_TEST("memory of one node cannot be asked for here");
    CHECK(figure(provider, "extents.live") == live + 1);
    CHECK(figure(provider, "acquisitions.count") == acquisitions + 1);
    CHECK(figure(provider, kind) == bytes + wish.bytes);
    CHECK(figure(roma_provider_anonymous(), "extents.bytes") == others);
    CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
    CHECK(figure(provider, kind) == bytes);
}

TEST_CASE("a manager on an arena has its blocks there, and says so", "[arena]")
{
    SKIP_WHERE_EMULATED(); /* qemu-user has no mbind */
    roma_provider *provider = roma_provider_node(first_node());
    REQUIRE(provider != nullptr);
    auto wish = base_request(1);
    if (roma_provider_probe(provider, &wish, nullptr) != 0)
        SKIP_TEST("memory of one node cannot be asked for here");
    roma_options options = roma_options_default();
    options.providers = &provider;
    options.providers_count = 1;
    owned manager(options);
    roma_request want = roma_request_default();
    want.bytes = 64;
    roma_grant grant;
    void *block = roma_alloc_with(manager.self, &want, &grant);
    REQUIRE(block != nullptr);
    CHECK(std::string(grant.steps[grant.steps_count - 1].provider) == roma_provider_name(provider));
    CHECK(roma_nodes_has(&grant.nodes, first_node()));
    CHECK(figure(provider, "dispatch.extents") > 0);
    roma_free(block);

    want.placement = ROMA_NODES;
    want.nodes = roma_nodes_one(ROMA_NODES_MAX - 1);
    want.strict = true;
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &want, &grant) == nullptr);
    CHECK(errno == EXDEV);
}

TEST_CASE("threads that ask for an arena at once get the same one, and so does a child", "[arena]")
{
    const machine_with here("0-1,100-163");
    for (unsigned node = 100; node < 164; node++) {
        std::atomic<unsigned> waiting{4};
        std::atomic<roma_provider *> got[4] = {};
        std::vector<std::thread> threads;
        for (auto &mine : got)
            threads.emplace_back([&, node] {
                waiting--;
                while (waiting > 0)
                    std::this_thread::yield();
                mine = roma_provider_node(node);
            });
        for (auto &thread : threads)
            thread.join();
        for (auto &mine : got)
            CHECK(mine == got[0].load());
        CHECK(got[0] != nullptr);
    }
    roma_provider *before = roma_provider_node(100);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(roma_provider_node(100) == before && roma_provider_node(1) != nullptr ? 0 : 1);
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the providers that are always there are found by their names alone", "[arena]")
{
    CHECK(roma__provider_named("anonymous") == roma_provider_anonymous());
    roma_provider *first = roma__provider_named("node0");
    REQUIRE(first != nullptr);
    CHECK(first == roma_provider_node(0));
    CHECK(roma_provider_name(first) == std::string("node0"));
    for (const char *name : {"", "anonymou", "anonymous2", "node", "node00", "node-1", "node+0",
                             "node0x", "node 0", "node1023", "node1024", "node10000", "Node0"}) {
        INFO(name);
        CHECK(roma__provider_named(name) == nullptr);
    }
}
