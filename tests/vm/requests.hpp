/* requests.hpp - what the rig's tests ask for. */
#ifndef ROMA_TESTS_VM_REQUESTS_HPP
#define ROMA_TESTS_VM_REQUESTS_HPP

#include <roma.h>

#include <cstddef>

namespace roma_tests {

constexpr size_t mib = (size_t)1 << 20;

/* Memory on one node, its pages present when the call returns. */
inline roma_request on_node(unsigned node, size_t bytes, roma_pages pages, bool strict)
{
    roma_request want = roma_request_default();
    want.bytes = bytes;
    want.placement = ROMA_NODES;
    want.nodes = roma_nodes_one(node);
    want.pages = pages;
    want.strict = strict;
    want.populate_threads = 1;
    return want;
}

} // namespace roma_tests

#endif
