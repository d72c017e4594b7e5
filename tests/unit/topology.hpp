/* topology.hpp - topologies of captured trees, and the library on another machine. */
#ifndef ROMA_TESTS_TOPOLOGY_HPP
#define ROMA_TESTS_TOPOLOGY_HPP

#include "catch.hpp"

#include "numa/machine.h"

#include <roma/topology.h>

#include <memory>
#include <string>

namespace roma_tests {

/* The library sees another machine until the test ends. */
struct machine {
    explicit machine(const std::string &root) { roma__machine_root(root.c_str()); }
    machine(const machine &) = delete;
    machine &operator=(const machine &) = delete;
    ~machine() { roma__machine_root(nullptr); }
};

struct topology_free {
    void operator()(roma_topology *topology) const { roma_topology_free(topology); }
};
using topology_ptr = std::unique_ptr<roma_topology, topology_free>;

inline topology_ptr read_topology(const std::string &root)
{
    roma_topology *topology = nullptr;
    roma_error error = {};
    const int code = roma_topology_read(root.c_str(), &topology, &error);
    INFO(root);
    REQUIRE(code == 0);
    return topology_ptr(topology);
}

inline roma_nodes node_set(const std::string &text)
{
    roma_nodes nodes = roma_nodes_none();
    REQUIRE(roma_nodes_parse(text.c_str(), &nodes) == 0);
    return nodes;
}

inline std::string text_of(const roma_nodes &set)
{
    char text[256];
    return roma_nodes_text(&set, text, sizeof text);
}

inline roma_node_info node_of(const roma_topology *topology, unsigned node)
{
    roma_node_info info = {};
    CHECK(roma_topology_node(topology, node, &info) == 0);
    return info;
}

} // namespace roma_tests

#endif
