/* topology_refresh.cpp - the library's own topology follows the machine when it is asked to. */
#include "faulty.hpp"
#include "topology.hpp"
#include "tree.hpp"

using roma_tests::fixture;
using roma_tests::machine;
using roma_tests::node_of;
using roma_tests::read_topology;
using roma_tests::text_of;
using roma_tests::tree;

TEST_CASE("a refresh publishes what has changed, and what was there before stays valid")
{
    const std::string node = "/sys/devices/system/node/node";
    const std::string pools = "/sys/kernel/mm/hugepages/hugepages-";
    const struct {
        const char *what;
        std::string path;
        const char *text; /* nullptr: gone */
    } rows[] = {
        {"a node comes", "/sys/devices/system/node/online", "0-1,3\n"},
        {"a node goes", "/sys/devices/system/node/online", "0-1\n"},
        {"a node has memory no more", "/sys/devices/system/node/has_memory", "0\n"},
        {"memory grows", node + "1/meminfo", "Node 1 MemTotal: 999 kB\nNode 1 MemFree: 5 kB\n"},
        {"a CPU goes", node + "1/cpulist", "\n"},
        {"the cpuset shrinks", "/proc/self/status", "Mems_allowed_list:\t1\n"},
        {"a distance", node + "0/distance", "10 22\n"},
        {"a latency", node + "0/access1/initiators/read_latency", "81\n"},
        {"a bandwidth", node + "0/access1/initiators/write_bandwidth", "1000\n"},
        {"an initiator", node + "0/access1/initiators/node1", ""},
        {"a tier", "/sys/devices/virtual/memory_tiering/memory_tier4/nodelist", "0\n"},
        {"a transparent size", "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled",
         "always inherit [madvise] never\n"},
        {"a setting", "/proc/sys/vm/overcommit_memory", "2\n"},
        {"a page pool goes", pools + "1048576kB", nullptr},
        {"a node's page pool goes", node + "0/hugepages/hugepages-2048kB", nullptr},
    };
    tree at(fixture("hmat"));
    machine here(at.root());
    const roma_topology *first = roma_topology_get();
    const roma_topology *last = first;
    REQUIRE(first != nullptr);
    CHECK(roma_topology_refresh() == 0);
    CHECK(roma_topology_get() == first);
    for (const auto &row : rows) {
        INFO(row.what);
        if (row.text == nullptr)
            at.remove(row.path);
        else
            at.put(row.path, row.text);
        CHECK(roma_topology_refresh() == 1);
        CHECK(roma_topology_get() != last);
        last = roma_topology_get();
        CHECK(roma_topology_refresh() == 0);
        CHECK(roma_topology_get() == last);
    }
    CHECK(text_of(roma_topology_nodes(first)) == "0-2");
    CHECK(roma_topology_distance(first, 0, 1) == 21);
    CHECK(node_of(first, 0).read_latency_ns == 80);
    CHECK(text_of(roma_topology_nodes(last)) == "0-1");
    CHECK(roma_topology_distance(last, 0, 1) == 22);
    CHECK(node_of(last, 0).read_latency_ns == 81);
    CHECK(text_of(roma_topology_allowed_nodes(last)) == "1");
}

TEST_CASE("a refresh leaves a topology in place where only figures have moved")
{
    tree at(fixture("cgroup-v2"));
    machine here(at.root());
    CHECK(roma_topology_refresh() == 0); /* none had been read */
    const roma_topology *topology = roma_topology_get();
    roma_limit_info limit;
    REQUIRE(roma_topology_limit(topology, 0, &limit) == 0);
    REQUIRE(limit.kind == ROMA_LIMIT_MEMORY);
    const uint64_t total_kib = node_of(topology, 0).total_bytes / 1024;
    at.put("/sys/devices/system/node/node0/meminfo",
           "Node 0 MemTotal: " + std::to_string(total_kib) + " kB\nNode 0 MemFree: 7 kB\n");
    const std::string pool = "/sys/kernel/mm/hugepages/hugepages-2048kB";
    at.put(pool + "/nr_hugepages", "33\n");
    at.put(pool + "/free_hugepages", "31\n");
    at.put(pool + "/nr_overcommit_hugepages", "3\n");
    const std::string cgroup = "/sys/fs/cgroup" + std::string(limit.cgroup);
    at.put(cgroup + "/memory.current", "4096\n");
    CHECK(roma_topology_refresh() == 0);
    CHECK(roma_topology_get() == topology);
    CHECK(read_topology(at.root()) != nullptr);
    CHECK(node_of(read_topology(at.root()).get(), 0).free_bytes == 7 * 1024);
    REQUIRE(roma_topology_limit(read_topology(at.root()).get(), 0, &limit) == 0);
    CHECK(limit.used_bytes == 4096);

    at.put(cgroup + "/memory.max", "123456789\n");
    CHECK(roma_topology_refresh() == 1);
    REQUIRE(roma_topology_limit(roma_topology_get(), 0, &limit) == 0);
    CHECK(limit.max_bytes == 123456789);
    at.put(cgroup + "/memory.max", "max\n");
    CHECK(roma_topology_refresh() == 1);
    CHECK(roma_topology_limits_count(roma_topology_get()) + 1 ==
          roma_topology_limits_count(topology));
}

TEST_CASE("a refresh that cannot read leaves what is there")
{
    tree at(fixture("two-nodes"));
    machine here(at.root());
    const roma_topology *topology = roma_topology_get();
    at.put("/sys/devices/system/node/node0/distance", "10 22\n");
    {
        roma_tests::fail_nth faults(1, EMFILE, true);
        CHECK(roma_topology_refresh() == -EMFILE);
    }
    CHECK(roma_topology_get() == topology);
    at.put("/sys/devices/system/node/online", "\n");
    CHECK(roma_topology_refresh() == -EINVAL);
    CHECK(roma_topology_get() == topology);
    at.put("/sys/devices/system/node/online", "0-1\n");
    CHECK(roma_topology_refresh() == 1);
    CHECK(roma_topology_distance(roma_topology_get(), 0, 1) == 22);
}
