/* placements.cpp - each system call failed at its N-th use while a request of each placement is
 * met, by itself and by a policy's rule: the answer is a block whose grant adds up, or a named
 * error; a strict one is never weaker than asked; and nothing is left behind.
 *
 * ROMA_FAULT_STRIDE=K looks at the first 16 uses and then at every K-th. */
#include "catch.hpp"
#include "emulated.hpp"
#include "faulty.hpp"
#include "figure.hpp"
#include "skip.hpp"

#include <roma.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using roma_tests::fail_nth;

namespace {

constexpr size_t block_bytes = 3 << 19; /* an extent of its own, of one granule */

uint64_t live_extents()
{
    roma_tests::sought_figure live{"extents.live"};
    REQUIRE(roma_provider_stats(roma_provider_anonymous(), live.visit, &live) == 0);
    return live.is_found ? live.number : UINT64_MAX;
}

struct placed {
    roma_placement placement;
    const char *text; /* of a rule */
    bool by_node;
};

const std::vector<placed> all_placements = {
    {ROMA_ANYWHERE, "anywhere", false},
    {ROMA_LOCAL, "local", false},
    {ROMA_NODES, "nodes 0", true},
    {ROMA_PREFERRED, "preferred 0", true},
    {ROMA_PREFERRED_MANY, "preferred-many 0", true},
    {ROMA_INTERLEAVE, "interleave", false},
    {ROMA_WEIGHTED, "weighted", false},
    {ROMA_NEAREST, "nearest", false},
    {ROMA_BANDWIDTH, "bandwidth", false},
    {ROMA_LATENCY, "latency", false},
    {ROMA_CAPACITY, "capacity", false},
};

void check_named(int code, const roma_error &error)
{
    char text[512] = "";
    CHECK(code < 0);
    CHECK(error.code == code);
    CHECK(error.why != ROMA_WHY_NONE);
    CHECK(std::strlen(roma_error_text(&error, text, sizeof text)) > 10);
}

void check_steps(const roma_grant &grant)
{
    REQUIRE(grant.steps_count >= 1);
    for (unsigned i = 0; i + 1 < grant.steps_count; i++)
        check_named(grant.steps[i].error.code, grant.steps[i].error);
    CHECK(grant.steps[grant.steps_count - 1].error.code == grant.code);
}

/* One request and what can be done with its block. `may_weaken`: by the policy's last steps. */
void ask(roma_manager *manager, const roma_request &want, bool is_strict, bool may_weaken)
{
    roma_grant grant;
    std::memset(&grant, 0x55, sizeof grant);
    errno = 0;
    char *block = static_cast<char *>(roma_alloc_with(manager, &want, &grant));
    if (block == nullptr) {
        CHECK(errno == -grant.code);
        check_named(grant.code, grant.error);
        if (grant.steps_count > 0)
            check_steps(grant);
        return;
    }
    CHECK(grant.code == 0);
    check_steps(grant);
    if (is_strict && !may_weaken)
        CHECK(grant.steps[grant.steps_count - 1].strict);
    std::memset(block, 7, want.bytes);
    char *longer = static_cast<char *>(roma_resize(block, want.bytes * 2));
    block = longer != nullptr ? longer : block;
    CHECK(block[want.bytes - 1] == 7);
    CHECK(roma_bytes(block) == (longer != nullptr ? 2 : 1) * want.bytes);
    roma_free(block);
}

void run(const placed &row, bool is_strict, bool by_rule, long n, int cause, bool for_good)
{
    roma_request want = roma_request_default();
    want.bytes = block_bytes;
    want.populate_threads = 2;
    std::string text = "any -> pages base";
    if (by_rule)
        text += std::string(", ") + row.text + (is_strict ? ", strict" : "") + "; otherwise plain";
    else {
        want.placement = row.placement;
        want.pages = ROMA_PAGES_BASE;
        want.strict = is_strict;
        if (row.by_node)
            want.nodes = roma_nodes_one(0);
    }
    roma_policy *policy = nullptr;
    REQUIRE(roma_policy_parse(text.c_str(), &policy, nullptr) == 0);
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, nullptr, nullptr) == 0);
    {
        fail_nth failing(n, cause, for_good);
        failing.table.calls.thread_join = roma__sys_kernel.thread_join; /* it would not wait */
        const int code = roma_manager_policy(manager, policy, nullptr);
        CHECK((code == 0 || code == -ENOMEM));
        /* Without the policy the request by rule is a plain one. */
        ask(manager, want, is_strict, by_rule);
        void *small = roma_alloc(manager, 100);
        if (small != nullptr)
            std::memset(small, 1, 100);
        roma_free(small);
    }
    CHECK(roma_manager_check(manager) == 0);
    CHECK(roma_manager_destroy(manager) == 0);
    roma_policy_destroy(policy);
}

} // namespace

TEST_CASE("each call failed at its N-th use, for each placement, by request and by rule",
          "[placements]")
{
    SKIP_WHERE_EMULATED();
    const roma_nodes memory = roma_topology_memory_nodes(roma_topology_get());
    if (!roma_nodes_has(&memory, 0))
        SKIP_TEST("node 0 has no memory");
    (void)roma_default();
    const char *text = std::getenv("ROMA_FAULT_STRIDE");
    const long stride = text != nullptr && std::atol(text) > 0 ? std::atol(text) : 1;
    const uint64_t before = live_extents();
    for (const placed &row : all_placements)
        for (const bool is_strict : {false, true})
            for (const bool by_rule : {false, true})
                for (const bool for_good : {false, true}) {
                    const int cause = for_good ? EPERM : ENOMEM;
                    long n = 0;
                    do {
                        INFO(row.text << (is_strict ? ", strict" : "")
                                      << (by_rule ? ", by rule" : "") << ", call after " << n
                                      << (for_good ? " and all others: " : ": ")
                                      << std::strerror(cause));
                        n += n < 16 ? 1 : stride;
                        run(row, is_strict, by_rule, n, cause, for_good);
                        CHECK(live_extents() == before);
                    } while (fail_nth::reached && n < 2000);
                    CHECK(n < 2000);
                }
}
