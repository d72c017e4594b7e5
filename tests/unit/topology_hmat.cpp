/* topology_hmat.cpp - latency, bandwidth and tiers of nodes, as firmware and kernel tell them. */
#include "topology.hpp"
#include "tree.hpp"

using roma_tests::fixture;
using roma_tests::node_of;
using roma_tests::read_topology;
using roma_tests::text_of;
using roma_tests::tree;

TEST_CASE("topology tells latency, bandwidth and memory tiers where the firmware does")
{
    const auto topology = read_topology(fixture("hmat"));
    CHECK(text_of(roma_topology_memory_nodes(topology.get())) == "0-2");
    CHECK(text_of(roma_topology_cpu_nodes(topology.get())) == "0-1");
    for (unsigned node : {0u, 1u}) {
        const roma_node_info near = node_of(topology.get(), node);
        CHECK(near.read_latency_ns == 80);
        CHECK(near.write_latency_ns == 80);
        CHECK(near.read_bandwidth_mb_per_s == 204800);
        CHECK(near.write_bandwidth_mb_per_s == 204800);
        CHECK(text_of(near.initiators) == std::to_string(node));
        CHECK(near.memory_tier == 4);
    }
    const roma_node_info far = node_of(topology.get(), 2);
    CHECK(far.read_latency_ns == 250); /* from node 0, which reaches it best */
    CHECK(far.read_bandwidth_mb_per_s == 51200);
    CHECK(text_of(far.initiators) == "0");
    CHECK(far.memory_tier == 56);

    for (const char *name : {"two-nodes", "no-numa"}) {
        const roma_node_info node = node_of(read_topology(fixture(name)).get(), 0);
        INFO(name);
        CHECK(node.read_latency_ns == 0);
        CHECK(node.write_latency_ns == 0);
        CHECK(node.read_bandwidth_mb_per_s == 0);
        CHECK(node.write_bandwidth_mb_per_s == 0);
        CHECK(text_of(node.initiators).empty());
        CHECK(node.memory_tier == -1);
    }
}

TEST_CASE("figures are those for CPUs, else those for any initiator, never a mixture")
{
    const auto topology = read_topology(fixture("sparse-hmat"));
    roma_node_info node = node_of(topology.get(), 0); /* both classes: the CPUs' */
    CHECK(node.read_latency_ns == 100);
    CHECK(node.write_latency_ns == 105);
    CHECK(node.read_bandwidth_mb_per_s == 120000);
    CHECK(node.write_bandwidth_mb_per_s == 110000);
    CHECK(node.memory_tier == 4);
    node = node_of(topology.get(), 2);
    CHECK(node.read_bandwidth_mb_per_s == 400000);
    CHECK(text_of(node.initiators) == "0,5");
    CHECK(node.memory_tier == 2);
    node = node_of(topology.get(), 5);
    CHECK(node.read_bandwidth_mb_per_s == 0);
    CHECK(text_of(node.initiators).empty());
    CHECK(node.memory_tier == 4);
    CHECK(node_of(topology.get(), 7).memory_tier == 22);
    CHECK(node_of(topology.get(), 9).memory_tier == -1);

    tree at(fixture("sparse-hmat"));
    const std::string best = "/sys/devices/system/node/node0/access1/initiators";
    at.put(best + "/read_latency", "fast\n");
    at.put(best + "/write_latency", "-1\n");
    at.put(best + "/node99999", "");
    at.put(best + "/nodes", "");
    at.remove(best + "/write_bandwidth");
    at.put("/sys/devices/virtual/memory_tiering/memory_tier4/nodelist", "none\n");
    at.put("/sys/devices/virtual/memory_tiering/memory_tier99999999999/nodelist", "0\n");
    at.put("/sys/devices/virtual/memory_tiering/memory_tier3x/nodelist", "0\n");
    node = node_of(read_topology(at.root()).get(), 0);
    CHECK(node.read_latency_ns == 0);
    CHECK(node.write_latency_ns == 0);
    CHECK(node.read_bandwidth_mb_per_s == 120000);
    CHECK(node.write_bandwidth_mb_per_s == 0);
    CHECK(text_of(node.initiators) == "0");
    CHECK(node.memory_tier == -1);
    at.put(best + "/read_bandwidth", "0\n"); /* nothing is left in this class */
    node = node_of(read_topology(at.root()).get(), 0);
    CHECK(node.read_latency_ns == 90);
    CHECK(node.read_bandwidth_mb_per_s == 130000);
}
