/* changes.cpp - what a process may use changes between and during its allocations: its cpuset
 * shrinks, a node's memory goes offline. Whatever the moment, a request succeeds where it says or
 * fails with a reason, and the figures add up. */
#include "memory_state.hpp"
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>
#include <vector>

using namespace roma_tests;

namespace {

constexpr size_t bytes = 4 * mib;

/* A cgroup of the test's own, with this process in it while it lives. */
class group {
  public:
    group()
    {
        REQUIRE((mkdir(path.c_str(), 0755) == 0 || errno == EEXIST));
        REQUIRE(write_text(path + "/cgroup.procs", std::to_string(getpid())));
    }
    group(const group &) = delete;
    group &operator=(const group &) = delete;
    ~group()
    {
        CHECK(write_text("/sys/fs/cgroup/cgroup.procs", std::to_string(getpid())));
        CHECK(rmdir(path.c_str()) == 0);
    }
    void allow(const std::string &nodes) const
    {
        REQUIRE(write_text(path + "/cpuset.mems", nodes));
    }

  private:
    const std::string path = "/sys/fs/cgroup/roma-test";
};

std::string list_of(const std::vector<unsigned> &nodes)
{
    std::string list;
    for (const unsigned node : nodes)
        list += (list.empty() ? "" : ",") + std::to_string(node);
    return list;
}

/* Allocate on a node, strictly and not, until told to end. Returns how many requests succeeded. */
uint64_t allocate_until(const std::atomic<bool> &ended, roma_manager *manager, unsigned node,
                        std::atomic<uint64_t> &wrong)
{
    uint64_t good = 0;
    for (unsigned i = 0; !ended; i++) {
        roma_request want = on_node(node, bytes + i % 7 * 65536, ROMA_PAGES_BASE, i % 2 == 0);
        roma_grant grant;
        void *block = roma_alloc_with(manager, &want, &grant);
        if (block != nullptr) {
            std::memset(block, 1, want.bytes);
            good++;
            roma_free(block);
        } else if (grant.error.why == ROMA_WHY_NONE || grant.code == 0 || !want.strict) {
            wrong++; /* no reason; or a request that any node would have met */
        }
    }
    return good;
}

} // namespace

TEST_CASE("a cpuset that shrinks forbids a node by name, and allows it again", "[several]")
{
    const auto nodes = memory_nodes();
    const group own;
    own.allow(list_of(nodes));
    owned manager;
    const unsigned node = nodes.back();
    roma_request strict = on_node(node, bytes, ROMA_PAGES_BASE, true);
    void *before = roma_alloc_with(manager.self, &strict, nullptr);
    REQUIRE(before != nullptr);
    std::memset(before, 0x5A, bytes);

    own.allow(std::to_string(nodes[0]));
    roma_grant grant;
    strict.bytes = 2 * bytes; /* more than freed memory could serve */
    errno = 0;
    CHECK(roma_alloc_with(manager.self, &strict, &grant) == nullptr);
    CHECK(errno == EXDEV);
    CHECK(grant.error.why == ROMA_WHY_NODE_FORBIDDEN);
    CHECK(grant.error.node == (int)node);
    roma_request weak = on_node(node, 2 * bytes, ROMA_PAGES_BASE, false);
    void *elsewhere = roma_alloc_with(manager.self, &weak, &grant);
    REQUIRE(elsewhere != nullptr);
    CHECK(grant.steps[0].error.why == ROMA_WHY_NODE_FORBIDDEN);
    for (const auto &[found, held] : bytes_by_node(elsewhere, weak.bytes)) {
        INFO(held << " bytes on node " << found);
        CHECK(found == (int)nodes[0]);
    }
    CHECK(std::count((char *)before, (char *)before + bytes, 0x5A) == (std::ptrdiff_t)bytes);
    CHECK(roma_topology_refresh() == 1);
    roma_nodes allowed = roma_topology_allowed_nodes(roma_topology_get());
    CHECK_FALSE(roma_nodes_has(&allowed, node));

    own.allow(list_of(nodes));
    void *again = roma_alloc_with(manager.self, &strict, nullptr);
    CHECK(again != nullptr);
    CHECK(roma_topology_refresh() == 1);
    roma_free(again);
    roma_free(elsewhere);
    roma_free(before);
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("a cpuset that shrinks and grows while threads allocate", "[several]")
{
    const auto nodes = memory_nodes();
    const group own;
    own.allow(list_of(nodes));
    owned manager;
    std::atomic<bool> ended{false};
    std::atomic<uint64_t> good{0}, wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++)
        threads.emplace_back(
            [&] { good += allocate_until(ended, manager.self, nodes.back(), wrong); });
    for (int i = 0; i < 40; i++) {
        own.allow(i % 2 == 0 ? std::to_string(nodes[0]) : list_of(nodes));
        usleep(20000);
    }
    own.allow(list_of(nodes));
    ended = true;
    for (std::thread &thread : threads)
        thread.join();
    INFO(good << " requests met");
    CHECK(good > 0);
    CHECK(wrong == 0);
    CHECK(manager.figure("blocks.live") == 0);
    CHECK(roma_manager_check(manager.self) == 0);
}

TEST_CASE("a node that goes offline and comes back while threads allocate", "[hotplug]")
{
    if (!movable_has_memory())
        REQUIRE(set_movable("online_movable"));
    owned manager;
    std::atomic<bool> ended{false};
    std::atomic<uint64_t> good{0}, wrong{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; i++)
        threads.emplace_back(
            [&] { good += allocate_until(ended, manager.self, movable_node, wrong); });
    int offline = 0;
    for (int i = 0; i < 6; i++) {
        offline += set_movable("offline") ? 1 : 0; /* pages in use may keep a part online */
        CHECK(set_movable("online_movable"));
    }
    ended = true;
    for (std::thread &thread : threads)
        thread.join();
    INFO(good << " requests met, " << offline << " times all offline");
    CHECK(good > 0);
    CHECK(offline > 0);
    CHECK(wrong == 0);
    CHECK(manager.figure("blocks.live") == 0);
    CHECK(roma_manager_check(manager.self) == 0);
}
