/* local.cpp - memory is local to the thread that asks: pinned, moving, or saying where it runs; and
 * a block that is freed elsewhere goes home. */
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <cstring>
#include <sched.h>
#include <string>
#include <thread>
#include <vector>

using namespace roma_tests;

namespace {

roma_options local_options()
{
    static roma_request local = [] {
        roma_request request = roma_request_default();
        request.placement = ROMA_LOCAL;
        request.pages = ROMA_PAGES_BASE;
        return request;
    }();
    roma_options options = roma_options_default();
    options.request = &local;
    return options;
}

/* The lowest CPU of a node. */
int cpu_of(unsigned node)
{
    const std::string list = read_text("/sys/devices/system/node/node" + std::to_string(node) +
                                       "/cpulist");
    return std::stoi(list);
}

void run_on(unsigned node)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu_of(node), &set);
    REQUIRE(sched_setaffinity(0, sizeof set, &set) == 0);
}

/* Have the test's thread run anywhere again when the test ends. */
struct anywhere {
    cpu_set_t before;
    anywhere() { sched_getaffinity(0, sizeof before, &before); }
    ~anywhere()
    {
        sched_setaffinity(0, sizeof before, &before);
        roma_thread_bind(-1);
    }
};

int node_of(const void *block)
{
    const auto found = bytes_by_node(block, 1);
    return found.size() == 1 ? found.begin()->first : -2;
}

void *touched(roma_manager *manager, size_t bytes)
{
    void *block = roma_alloc(manager, bytes);
    REQUIRE(block != nullptr);
    std::memset(block, 1, bytes);
    return block;
}

} // namespace

TEST_CASE("plain blocks of a local manager lie where their thread runs", "[local]")
{
    const anywhere restored;
    owned manager(local_options());
    for (const size_t bytes : {(size_t)64, (size_t)4096, mib, 4 * mib})
        for (const unsigned node : cpu_nodes()) {
            run_on(node);
            std::vector<void *> blocks;
            /* What the thread's cache still has is where it ran before: more than that. */
            for (int i = 0; i < 1200 && blocks.size() * bytes < 8 * mib; i++)
                blocks.push_back(touched(manager.self, bytes));
            INFO(bytes << " bytes, node " << node);
            CHECK(node_of(blocks.back()) == (int)node);
            for (void *block : blocks)
                roma_free(block);
        }
}

TEST_CASE("a thread that says its node is served from it at once", "[local]")
{
    const anywhere restored;
    owned manager(local_options());
    run_on(cpu_nodes()[0]);
    for (int round = 0; round < 3; round++)
        for (const unsigned node : memory_nodes()) {
            REQUIRE(roma_thread_bind((int)node) == 0);
            void *small = touched(manager.self, 64), *large = touched(manager.self, 2 * mib);
            INFO("round " << round << ", node " << node);
            CHECK(node_of(small) == (int)node);
            CHECK(node_of(large) == (int)node);
            roma_cache *cache = roma_cache_of(manager.self);
            void *cached = roma_cache_alloc(cache, 64);
            REQUIRE(cached != nullptr);
            std::memset(cached, 1, 64);
            CHECK(node_of(cached) == (int)node);
            roma_cache_free(cache, cached, 64);
            roma_free(small);
            roma_free(large);
        }
    CHECK(roma_thread_bind(1023) == -EINVAL);
    CHECK(roma_thread_bind(-1) == 0);
}

TEST_CASE("a block that is freed on another node goes home", "[local][several]")
{
    const anywhere restored;
    owned manager(local_options());
    const auto nodes = cpu_nodes();
    run_on(nodes[0]);
    REQUIRE(roma_thread_bind((int)nodes[0]) == 0);
    std::vector<void *> blocks;
    for (int i = 0; i < 3000; i++)
        blocks.push_back(touched(manager.self, 64));
    std::thread([&] {
        run_on(nodes[1]);
        CHECK(roma_thread_bind((int)nodes[1]) == 0);
        std::vector<void *> own;
        for (void *block : blocks) {
            roma_free(block);
            own.push_back(touched(manager.self, 64)); /* never one of those */
        }
        for (void *block : own) {
            CHECK(node_of(block) == (int)nodes[1]);
            roma_free(block);
        }
    }).join();
    for (int i = 0; i < 3000; i++) {
        blocks[(size_t)i] = touched(manager.self, 64);
        if (node_of(blocks[(size_t)i]) != (int)nodes[0])
            FAIL("block " << i << " lies on node " << node_of(blocks[(size_t)i]));
    }
    for (void *block : blocks)
        roma_free(block);
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("each of many pinned threads gets its own node's memory", "[local]")
{
    owned manager(local_options());
    std::vector<std::thread> threads;
    std::vector<int> wrong(2 * cpu_nodes().size(), 0);
    for (size_t i = 0; i < wrong.size(); i++)
        threads.emplace_back([&, i] {
            const unsigned node = cpu_nodes()[i % cpu_nodes().size()];
            run_on(node);
            std::vector<void *> blocks;
            for (int k = 0; k < 500; k++) {
                blocks.push_back(touched(manager.self, (size_t)16 << k % 8));
                wrong[i] += node_of(blocks.back()) != (int)node;
            }
            for (void *block : blocks)
                roma_free(block);
        });
    for (std::thread &thread : threads)
        thread.join();
    for (const int count : wrong)
        CHECK(count == 0);
}

TEST_CASE("pages are cleared by threads of the node that they are for", "[local][several]")
{
    const anywhere restored;
    run_on(cpu_nodes()[0]);
    for (const unsigned node : cpu_nodes()) {
        owned manager;
        roma_request want = on_node(node, 64 * mib, ROMA_PAGES_BASE, true);
        want.populate_threads = 4;
        void *block = roma_alloc_with(manager.self, &want, nullptr);
        REQUIRE(block != nullptr);
        CHECK(bytes_by_node(block, want.bytes).begin()->first == (int)node);
        roma_free(block);
    }
    cpu_set_t now;
    REQUIRE(sched_getaffinity(0, sizeof now, &now) == 0);
    CHECK(CPU_COUNT(&now) == 1); /* the caller stays where it was pinned */
    CHECK(CPU_ISSET((unsigned)cpu_of(cpu_nodes()[0]), &now));
}
