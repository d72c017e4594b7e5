/* placement.cpp - which placements, nodes and weights go together, by a table. */
#include "catch.hpp"

#include "policy/placement.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct row {
    roma_placement placement;
    unsigned nodes_count;
    bool strict;
    std::vector<uint8_t> weights;
    const char *subject; /* nullptr: fine */
};

std::string refused(const row &row)
{
    roma_nodes nodes = roma_nodes_none();
    for (unsigned i = 0; i < row.nodes_count; i++)
        roma_nodes_add(&nodes, 3 * i);
    uint8_t weights[ROMA_WEIGHTS_MAX] = {};
    for (size_t i = 0; i < row.weights.size(); i++)
        weights[i] = row.weights[i];
    roma_error error = {};
    std::memset(&error, 0, sizeof error);
    int code = roma__placement_check(row.placement, &nodes, weights, row.strict, &error,
                                     "request.");
    CHECK(code == roma__placement_check(row.placement, &nodes, weights, row.strict, nullptr, ""));
    if (code == 0)
        return "";
    CHECK(code == -EINVAL);
    CHECK(error.code == -EINVAL);
    CHECK(error.why == ROMA_WHY_INVALID);
    return error.subject;
}

} // namespace

TEST_CASE("each placement takes as many nodes as it can use, and weights only where they count",
          "[policy]")
{
    const std::vector<row> rows = {
        {ROMA_ANYWHERE, 0, false, {}, nullptr},
        {ROMA_ANYWHERE, 0, true, {}, nullptr},
        {ROMA_ANYWHERE, 1, false, {}, "request.nodes without ROMA_NODES"},
        {ROMA_LOCAL, 0, true, {}, nullptr},
        {ROMA_LOCAL, 1, true, {}, "request.nodes without ROMA_NODES"},
        {ROMA_NODES, 0, false, {}, nullptr},
        {ROMA_NODES, 0, true, {}, "request.nodes"},
        {ROMA_NODES, 1, true, {}, nullptr},
        {ROMA_NODES, 300, false, {}, nullptr},
        {ROMA_NODES, 2, false, {1}, "request.weights without ROMA_WEIGHTED"},
        {ROMA_PREFERRED, 0, false, {}, "request.nodes of ROMA_PREFERRED"},
        {ROMA_PREFERRED, 1, true, {}, nullptr},
        {ROMA_PREFERRED, 2, false, {}, "request.nodes of ROMA_PREFERRED"},
        {ROMA_PREFERRED_MANY, 0, false, {}, "request.nodes of ROMA_PREFERRED_MANY"},
        {ROMA_PREFERRED_MANY, 1, false, {}, nullptr},
        {ROMA_PREFERRED_MANY, 9, true, {}, nullptr},
        {ROMA_INTERLEAVE, 0, true, {}, nullptr},
        {ROMA_INTERLEAVE, 300, false, {}, nullptr},
        {ROMA_INTERLEAVE, 2, false, {0, 1}, "request.weights without ROMA_WEIGHTED"},
        {ROMA_WEIGHTED, 0, false, {}, nullptr},
        {ROMA_WEIGHTED, 0, false, {1}, "request.weights of nodes not named"},
        {ROMA_WEIGHTED, 2, true, {3, 1}, nullptr},
        {ROMA_WEIGHTED, 2, false, {0, 255}, nullptr},
        {ROMA_WEIGHTED, 2, false, {3, 1, 1}, "request.weights of nodes not named"},
        {ROMA_WEIGHTED, 64, false, std::vector<uint8_t>(64, 1), nullptr},
        {ROMA_WEIGHTED, 65, false, {}, "request.nodes of ROMA_WEIGHTED"},
        {ROMA_NEAREST, 0, true, {}, nullptr},
        {ROMA_NEAREST, 1, false, {}, nullptr},
        {ROMA_NEAREST, 2, false, {}, "request.nodes of ROMA_NEAREST"},
        {ROMA_BANDWIDTH, 0, true, {}, nullptr},
        {ROMA_BANDWIDTH, 1, false, {}, "request.nodes without ROMA_NODES"},
        {ROMA_LATENCY, 0, false, {}, nullptr},
        {ROMA_LATENCY, 1, false, {}, "request.nodes without ROMA_NODES"},
        {ROMA_CAPACITY, 0, false, {}, nullptr},
        {ROMA_CAPACITY, 1, true, {}, "request.nodes without ROMA_NODES"},
        {ROMA_CAPACITY, 0, false, {1}, "request.weights without ROMA_WEIGHTED"},
        {ROMA_PLACEMENTS_COUNT, 0, false, {}, "request.placement"},
    };
    for (const row &r : rows) {
        INFO("placement " << static_cast<int>(r.placement) << ", " << r.nodes_count << " nodes"
                          << (r.strict ? ", strict" : ""));
        CHECK(refused(r) == (r.subject == nullptr ? "" : r.subject));
    }
}

TEST_CASE("weights are given when one of them, also the last, is not 0", "[policy]")
{
    uint8_t weights[ROMA_WEIGHTS_MAX] = {};
    CHECK_FALSE(roma__weights_are_given(weights));
    weights[ROMA_WEIGHTS_MAX - 1] = 1;
    CHECK(roma__weights_are_given(weights));
}
