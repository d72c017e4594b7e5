/* hotplug.cpp - a node that goes offline and comes back, as node 2 of the machine `hotplug` can. */
#include "memory_state.hpp"
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

using namespace roma_tests;

namespace {

constexpr size_t bytes = 16 * mib;

} // namespace

TEST_CASE("a node that goes offline takes no block along, is refused by name, and comes back",
          "[hotplug]")
{
    owned manager;
    if (!movable_has_memory()) /* Debian's 6.1 leaves memory that was plugged in offline */
        REQUIRE(set_movable("online_movable"));
    REQUIRE(movable_has_memory());
    const roma_request strict = on_node(movable_node, bytes, ROMA_PAGES_BASE, true);
    const roma_request weak = on_node(movable_node, bytes, ROMA_PAGES_BASE, false);
    auto *before = static_cast<unsigned char *>(roma_alloc_with(manager.self, &strict, nullptr));
    REQUIRE(before != nullptr);
    std::memset(before, 0x5A, bytes);

    REQUIRE(set_movable("offline"));
    CHECK_FALSE(movable_has_memory());
    CHECK(std::count(before, before + bytes, 0x5A) == (std::ptrdiff_t)bytes);
    CHECK(bytes_by_node(before, bytes).count((int)movable_node) == 0);

    roma_grant grant;
    errno = 0;
    void *refused = roma_alloc_with(manager.self, &strict, &grant);
    CHECK(refused == nullptr);
    CHECK(errno == EINVAL);
    CHECK(grant.error.why == ROMA_WHY_NODE_ABSENT);
    CHECK(grant.error.node == (int)movable_node);
    void *elsewhere = roma_alloc_with(manager.self, &weak, &grant);
    REQUIRE(elsewhere != nullptr);
    CHECK(grant.steps_count > 1);
    CHECK(grant.steps[0].error.why == ROMA_WHY_NODE_ABSENT);
    roma_free(elsewhere);
    CHECK(roma_manager_check(manager.self) == 0);

    REQUIRE(set_movable("online_movable"));
    CHECK(movable_has_memory());
    /* Free memory of the node's former life is kept and may serve: ask for more than that. */
    roma_request more = strict;
    more.bytes = 2 * bytes;
    void *again = roma_alloc_with(manager.self, &more, &grant);
    REQUIRE(again != nullptr);
    const auto found = bytes_by_node(again, more.bytes);
    CHECK((found.size() == 1 && found.begin()->first == (int)movable_node));
    roma_free(again);
    roma_free(before);
    CHECK(roma_manager_check(manager.self) == 0);
}
