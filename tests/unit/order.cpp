/* order.cpp - nodes in the order of distance, bandwidth, latency and room, over captured trees. */
#include "faulty.hpp"
#include "topology.hpp"
#include "tree.hpp"

#include "numa/order.h"

#include <cerrno>
#include <string>
#include <vector>

using roma_tests::fixture;
using roma_tests::machine;
using roma_tests::node_set;
using roma_tests::read_topology;
using roma_tests::text_of;
using roma_tests::tree;

namespace {

constexpr size_t two_mib = 2 << 20;

/* The groups from best to worst, as "0-1 > 2". */
std::string order(const roma_topology *topology, roma__order by, unsigned from, unsigned max = 16)
{
    roma_nodes groups[16];
    const unsigned count = roma__order_nodes(topology, by, from, groups, max);
    REQUIRE(count <= max);
    std::string all;
    for (unsigned i = 0; i < count; i++)
        all += (i > 0 ? " > " : "") + text_of(groups[i]);
    return all;
}

std::string weights(const roma_topology *topology, const std::string &nodes, unsigned count)
{
    std::vector<uint8_t> made(count + 1, 77);
    const roma_nodes wanted = node_set(nodes);
    roma__order_weights(topology, &wanted, made.data(), count);
    CHECK(made[count] == 77);
    std::string all;
    for (unsigned i = 0; i < count; i++)
        all += (i > 0 ? " " : "") + std::to_string(made[i]);
    return all;
}

/* The node with the most room, or the error as text. */
std::string roomiest(const std::string &among, size_t page_bytes, roma_error *error)
{
    const roma_nodes wanted = node_set(among);
    roma_nodes best;
    *error = roma_error{};
    const int code = roma__order_roomiest(&wanted, page_bytes, &best, error);
    CHECK(error->code == code);
    return code == 0 ? text_of(best) : std::to_string(code);
}

/* Another figure of a node, for both classes of initiators. */
void put_figure(const tree &at, int node, const std::string &name, const std::string &value)
{
    for (const char *access : {"access0", "access1"})
        at.put("/sys/devices/system/node/node" + std::to_string(node) + "/" + access +
                   "/initiators/" + name,
               value + "\n");
}

} // namespace

TEST_CASE("nodes in order: a table over the captured trees")
{
    const struct {
        const char *tree;
        roma__order by;
        unsigned from;
        const char *groups;
    } rows[] = {
        {"one-node", ROMA__ORDER_DISTANCE, 0, "0"},
        {"one-node", ROMA__ORDER_BANDWIDTH, 0, "0"},
        {"no-numa", ROMA__ORDER_DISTANCE, 0, "0"},
        {"no-numa", ROMA__ORDER_BANDWIDTH, 0, "0"},
        {"no-numa", ROMA__ORDER_LATENCY, 0, "0"},
        {"two-nodes", ROMA__ORDER_DISTANCE, 0, "0 > 1"},
        {"two-nodes", ROMA__ORDER_DISTANCE, 1, "1 > 0"},
        {"two-nodes", ROMA__ORDER_DISTANCE, 7, "0-1"}, /* no such node: no distance is known */
        {"two-nodes", ROMA__ORDER_BANDWIDTH, 1, "1 > 0"},
        {"two-nodes", ROMA__ORDER_LATENCY, 0, "0 > 1"},
        {"sparse-ids", ROMA__ORDER_DISTANCE, 0, "0 > 5"}, /* 2 is forbidden */
        {"sparse-ids", ROMA__ORDER_DISTANCE, 2, "0 > 5"}, /* from a node that is not allowed */
        {"sparse-ids", ROMA__ORDER_DISTANCE, 5, "5 > 0"},
        {"memory-only", ROMA__ORDER_DISTANCE, 0, "0 > 2"}, /* 1 has no memory */
        {"memory-only", ROMA__ORDER_DISTANCE, 2, "2 > 0"},
        {"hmat", ROMA__ORDER_DISTANCE, 0, "0 > 1 > 2"},
        {"hmat", ROMA__ORDER_DISTANCE, 1, "1 > 0 > 2"},
        {"hmat", ROMA__ORDER_DISTANCE, 2, "2 > 0 > 1"},
        {"hmat", ROMA__ORDER_BANDWIDTH, 2, "0-1 > 2"}, /* equals share a group */
        {"hmat", ROMA__ORDER_LATENCY, 2, "0-1 > 2"},
        {"sparse-hmat", ROMA__ORDER_DISTANCE, 0, "0 > 2 > 7 > 5"},
        {"sparse-hmat", ROMA__ORDER_DISTANCE, 9, "0,2,5,7"},
        {"sparse-hmat", ROMA__ORDER_BANDWIDTH, 0, "2 > 0 > 7 > 5"}, /* 9 is forbidden, 5 unknown */
        {"sparse-hmat", ROMA__ORDER_BANDWIDTH, 5, "2 > 0 > 7 > 5"},
        {"sparse-hmat", ROMA__ORDER_LATENCY, 7, "0 > 2 > 7 > 5"},
    };
    for (const auto &row : rows) {
        const auto topology = read_topology(fixture(row.tree));
        INFO(row.tree << " by " << row.by << " from " << row.from);
        CHECK(order(topology.get(), row.by, row.from) == row.groups);
    }
}

TEST_CASE("nodes in order: the last group takes in what does not fit")
{
    const auto topology = read_topology(fixture("sparse-hmat"));
    CHECK(order(topology.get(), ROMA__ORDER_BANDWIDTH, 0, 4) == "2 > 0 > 7 > 5");
    CHECK(order(topology.get(), ROMA__ORDER_BANDWIDTH, 0, 3) == "2 > 0 > 5,7");
    CHECK(order(topology.get(), ROMA__ORDER_BANDWIDTH, 0, 2) == "2 > 0,5,7");
    CHECK(order(topology.get(), ROMA__ORDER_BANDWIDTH, 0, 1) == "0,2,5,7");
    CHECK(order(topology.get(), ROMA__ORDER_BANDWIDTH, 0, 0).empty());
    CHECK(order(nullptr, ROMA__ORDER_DISTANCE, 0).empty());
}

TEST_CASE("nodes in order: those of unknown distance come last, those without a figure by distance")
{
    tree at(fixture("sparse-hmat"));
    for (const char *node : {"0", "2", "7"})
        for (const char *access : {"0", "1"})
            at.remove(std::string("/sys/devices/system/node/node") + node + "/access" + access);
    auto topology = read_topology(at.root());
    CHECK(order(topology.get(), ROMA__ORDER_BANDWIDTH, 0) == "0 > 2 > 7 > 5");
    CHECK(order(topology.get(), ROMA__ORDER_LATENCY, 5) == "5 > 2 > 0 > 7");
    put_figure(at, 7, "read_latency", "400");
    topology = read_topology(at.root());
    CHECK(order(topology.get(), ROMA__ORDER_LATENCY, 5) == "7 > 5 > 2 > 0");
    CHECK(order(topology.get(), ROMA__ORDER_BANDWIDTH, 5) == "5 > 2 > 0 > 7");
    at.put("/sys/devices/system/node/node5/distance", "unreadable\n");
    topology = read_topology(at.root());
    CHECK(order(topology.get(), ROMA__ORDER_DISTANCE, 5) == "0,2,5,7");
    CHECK(order(topology.get(), ROMA__ORDER_LATENCY, 5) == "7 > 0,2,5");
    at.put("/sys/devices/system/node/node5/distance", "31 22 10 0 28\n");
    topology = read_topology(at.root());
    CHECK(order(topology.get(), ROMA__ORDER_DISTANCE, 5) == "5 > 2 > 0 > 7");
}

TEST_CASE("weights follow read bandwidth in small integers without a common divisor")
{
    const auto hmat = read_topology(fixture("hmat"));      /* 204800, 204800, 51200 MB/s */
    CHECK(weights(hmat.get(), "0-2", 3) == "14 14 3");     /* 32 * 4/9 = 14.2, 32/9 = 3.6 */
    CHECK(weights(hmat.get(), "0-1", 2) == "1 1");         /* 16 and 16 */
    CHECK(weights(hmat.get(), "1-2", 2) == "25 6");        /* 25.6, 6.4 */
    CHECK(weights(hmat.get(), "2", 1) == "1");             /* 32 alone */
    CHECK(weights(hmat.get(), "0-2", 2) == "14 14");       /* room for two */
    CHECK(weights(hmat.get(), "0-2", 5) == "14 14 3 0 0"); /* nothing there */
    CHECK(weights(hmat.get(), "0-2", 0).empty());
    CHECK(weights(hmat.get(), "", 2) == "0 0");

    const auto sparse = read_topology(
        fixture("sparse-hmat")); /* 0: 120000, 2: 400000, 7: 30000, 5: - */
    CHECK(weights(sparse.get(), "0,2,7", 3) == "6 23 1");
    CHECK(weights(sparse.get(), "0,7", 2) == "25 6");
    CHECK(weights(sparse.get(), "0,2,5", 3) == "1 1 1"); /* one without a figure: all equal */
    CHECK(weights(sparse.get(), "0,2,3", 3) == "1 1 1"); /* one that is not there */
    CHECK(weights(nullptr, "0-1", 2) == "1 1");
    CHECK(weights(read_topology(fixture("two-nodes")).get(), "0-1", 2) == "1 1");

    tree at(fixture("hmat"));
    put_figure(at, 0, "read_bandwidth", "4294967295");
    put_figure(at, 1, "read_bandwidth", "1");
    put_figure(at, 2, "read_bandwidth", "4294967295");
    auto extreme = read_topology(at.root());
    CHECK(weights(extreme.get(), "0-1", 2) == "31 1"); /* the least weight is 1 */
    CHECK(weights(extreme.get(), "0-2", 3) == "15 1 15");
    put_figure(at, 1, "read_bandwidth", "4294967296"); /* more than the kernel can say */
    extreme = read_topology(at.root());
    CHECK(weights(extreme.get(), "0-1", 2) == "1 1");
}

TEST_CASE("the roomiest node has the most headroom, or the most free pages of a pool")
{
    roma_error error = {};
    {
        machine here(fixture("hmat"));
        CHECK(roomiest("", 0, &error) == "2");
        CHECK(roomiest("0-2", 0, &error) == "2");
        CHECK(roomiest("0-1", 0, &error) == "1");
        CHECK(roomiest("", two_mib, &error) == "1");
        CHECK(roomiest("0,2", two_mib, &error) == "2");
        CHECK(roomiest("", size_t{1} << 30, &error) == "0"); /* all are empty: the lowest */
        CHECK(roomiest("1-2", size_t{1} << 30, &error) == "1");
        CHECK(roomiest("", size_t{1} << 34, &error) == "0"); /* no such pool */
    }
    {
        machine here(fixture("sparse-hmat")); /* the higher, the more; 9 is forbidden */
        CHECK(roomiest("", 0, &error) == "7");
        CHECK(roomiest("0-9", 0, &error) == "7");
        CHECK(roomiest("0-5", 0, &error) == "5");
        CHECK(roomiest("9", 0, &error) == std::to_string(-EXDEV));
        CHECK(error.why == ROMA_WHY_NODE_FORBIDDEN);
        CHECK(error.node == 9);
        CHECK(roomiest("3", 0, &error) == std::to_string(-EINVAL));
        CHECK(error.why == ROMA_WHY_NODE_ABSENT);
        CHECK(error.node == 3);
    }
    {
        machine here(fixture("two-nodes")); /* node 0 is nearly full, its pool too */
        CHECK(roomiest("", 0, &error) == "1");
        CHECK(roomiest("", two_mib, &error) == "1");
    }
    {
        machine here(fixture("memory-only"));
        CHECK(roomiest("1-2", 0, &error) == "2");
        CHECK(roomiest("1", 0, &error) == std::to_string(-EINVAL));
    }
    machine here(fixture("no-numa"));
    CHECK(roomiest("", 0, &error) == "0");
    CHECK(roomiest("0", two_mib, &error) == "0");
}

TEST_CASE("the roomiest node is looked for afresh, and equal ones give the lowest")
{
    roma_error error = {};
    tree at(fixture("hmat"));
    machine here(at.root());
    const std::string pool = "/hugepages/hugepages-2048kB/free_hugepages";
    CHECK(roomiest("", two_mib, &error) == "1");
    at.put("/sys/devices/system/node/node2" + pool, "16\n");
    CHECK(roomiest("", two_mib, &error) == "1");
    at.put("/sys/devices/system/node/node2" + pool, "17\n");
    CHECK(roomiest("", two_mib, &error) == "2");
    at.put("/proc/self/status", "Mems_allowed_list:\t0-1\n");
    CHECK(roomiest("", two_mib, &error) == "1");
    at.remove("/sys/devices/system/node/node1/hugepages");
    CHECK(roomiest("", two_mib, &error) == "0");
    at.remove("/sys/devices/system/node/node0/meminfo");
    CHECK(roomiest("", 0, &error) == "1");
}

TEST_CASE("the roomiest node is found or the call that failed is named", "[long]")
{
    machine here(fixture("hmat"));
    for (size_t page_bytes : {size_t{0}, two_mib}) {
        unsigned failures = 0;
        for (long n = 1;; n++) {
            REQUIRE(n < 1000);
            roma_error error = {};
            const roma_nodes all = roma_nodes_none();
            roma_nodes best;
            int code;
            bool reached;
            {
                roma_tests::fail_nth faults(n, EMFILE, true);
                code = roma__order_roomiest(&all, page_bytes, &best, &error);
                reached = roma_tests::fail_nth::reached;
            }
            INFO("call " << n);
            CHECK((code == 0 || code == -EMFILE));
            CHECK(error.code == code);
            if (!reached)
                break;
            failures += code != 0;
        }
        CHECK(failures > 5);
    }
}
