/* hotplug.cpp - a node that goes offline and comes back, as node 2 of the machine `hotplug` can. */
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <glob.h>
#include <string>

using namespace roma_tests;

namespace {

constexpr unsigned movable_node = 2;
constexpr size_t bytes = 16 * mib;

/* Put all memory of the node into a state; what is there already stays. */
bool set_memory(const std::string &state)
{
    glob_t found;
    const std::string pattern = "/sys/devices/system/node/node" + std::to_string(movable_node) +
                                "/memory*/state";
    if (glob(pattern.c_str(), 0, nullptr, &found) != 0)
        return false;
    bool all = true;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const bool is_online = read_text(found.gl_pathv[i]) == "online\n";
        if (is_online != (state != "offline"))
            all = write_text(found.gl_pathv[i], state) && all;
    }
    globfree(&found);
    return all;
}

bool has_memory()
{
    const auto nodes = memory_nodes();
    return std::count(nodes.begin(), nodes.end(), movable_node) == 1;
}

} // namespace

TEST_CASE("a node that goes offline takes no block along, is refused by name, and comes back",
          "[hotplug]")
{
    owned manager;
    if (!has_memory()) /* Debian's 6.1 leaves memory that was plugged in offline */
        REQUIRE(set_memory("online_movable"));
    REQUIRE(has_memory());
    const roma_request strict = on_node(movable_node, bytes, ROMA_PAGES_BASE, true);
    const roma_request weak = on_node(movable_node, bytes, ROMA_PAGES_BASE, false);
    auto *before = static_cast<unsigned char *>(roma_alloc_with(manager.self, &strict, nullptr));
    REQUIRE(before != nullptr);
    std::memset(before, 0x5A, bytes);

    REQUIRE(set_memory("offline"));
    CHECK_FALSE(has_memory());
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

    REQUIRE(set_memory("online_movable"));
    CHECK(has_memory());
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
