/* shim.cpp - programs under libroma_malloc.so and a policy: what they allocate lies where its rule
 * says, by the kernel's word. */
#include "catch.hpp"
#include "oracle.hpp"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <sched.h>
#include <string>
#include <unistd.h>
#include <vector>

using namespace roma_tests;

namespace {

/* Bytes by length, or by where the program ran, and node. */
using shares = std::map<size_t, std::map<int, size_t>>;

/* This program is BUILD/tests/test_vm. */
std::string build_folder()
{
    char path[1024];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    REQUIRE(length > 0);
    const std::string own(path, (size_t)length);
    return own.substr(0, own.rfind("/tests/"));
}

/* What routed.cpp says of these lengths under a policy. */
shares run_routed(const std::string &policy, const std::string &lengths)
{
    const std::string build = build_folder();
    const std::string command = "ROMA_POLICY='" + policy + "' LD_PRELOAD='" + build +
                                "/libroma_malloc.so' exec '" + build + "/tests/vm_routed' " +
                                lengths;
    FILE *said = popen(command.c_str(), "r");
    REQUIRE(said != nullptr);
    shares found;
    size_t length, bytes;
    int node;
    while (std::fscanf(said, "%zu %d %zu", &length, &node, &bytes) == 3)
        found[length][node] = bytes;
    REQUIRE(pclose(said) == 0);
    REQUIRE(!found.empty());
    return found;
}

bool lies_on(const std::map<int, size_t> &found, unsigned node)
{
    return found.size() == 1 && found.begin()->first == (int)node;
}

/* The program inherits where the test runs. */
struct pinned {
    cpu_set_t before;
    explicit pinned(unsigned node)
    {
        cpu_set_t set;
        CPU_ZERO(&set);
        sched_getaffinity(0, sizeof before, &before);
        const std::string list = read_text("/sys/devices/system/node/node" + std::to_string(node) +
                                           "/cpulist");
        CPU_SET((unsigned)std::stoi(list), &set);
        REQUIRE(sched_setaffinity(0, sizeof set, &set) == 0);
    }
    ~pinned() { sched_setaffinity(0, sizeof before, &before); }
};

const char lengths[] = "64 4096 100000 1048576 8388608";

} // namespace

TEST_CASE("under `any -> nodes N, strict` malloc's memory lies on that node", "[shim]")
{
    for (const unsigned node : memory_nodes()) {
        const std::string policy = "any -> nodes " + std::to_string(node) + ", strict";
        for (const auto &[length, found] : run_routed(policy, lengths)) {
            INFO(policy << ", " << length << " bytes");
            CHECK(lies_on(found, node));
        }
    }
}

TEST_CASE("under `any -> local` malloc's memory lies where its thread runs", "[shim]")
{
    for (const unsigned node : cpu_nodes()) {
        const pinned here(node);
        for (const auto &[length, found] : run_routed("any -> local", lengths)) {
            INFO("node " << node << ", " << length << " bytes");
            CHECK(lies_on(found, node));
        }
    }
}

TEST_CASE("a block that was freed on one node is not given out on another", "[shim][several]")
{
    for (const auto &[node, found] : run_routed("any -> local", "around 33554432")) {
        INFO("node " << node);
        CHECK(lies_on(found, (unsigned)node));
    }
}

TEST_CASE("under `any -> interleave` malloc's memory lies on all nodes in equal shares", "[shim]")
{
    const size_t nodes = cpu_nodes().size();
    for (const auto &[length, found] : run_routed("any -> interleave, pages base", lengths)) {
        size_t sum = 0;
        for (const auto &[node, bytes] : found)
            sum += bytes;
        INFO(length << " bytes");
        CHECK(found.size() == nodes);
        for (const auto &[node, bytes] : found) {
            INFO("node " << node << " has " << bytes << " of " << sum);
            CHECK(bytes > sum / nodes * 8 / 10);
            CHECK(bytes < sum / nodes * 12 / 10);
        }
    }
}

TEST_CASE("each length lies where its rule says", "[shim][several]")
{
    const auto nodes = memory_nodes();
    const std::string first = std::to_string(nodes[0]), second = std::to_string(nodes[1]);
    const std::string policy = "size < 64K -> nodes " + first + "; any -> nodes " + second;
    const shares found = run_routed(policy, "100 65535 65536 1048576 64 8388608");
    for (const auto &[length, where] : found) {
        INFO(length << " bytes");
        CHECK(lies_on(where, nodes[length < 65536 ? 0 : 1]));
    }
}
