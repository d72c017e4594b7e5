/* placement_requests.cpp - what each placement means on each captured machine: the exact ladder.
 *
 * The rows are written from the headers alone. A step is its nodes, with a sign for how pages are
 * laid on them (~ preferred, + interleaved, % by weight, with the weights behind) or "any"; steps
 * are of base pages, so that there is one for each set of nodes. A strict request has the same
 * without the "any" at the end. */
#include "faulty.hpp"
#include "owned.hpp"
#include "skip.hpp"
#include "topology.hpp"
#include "tree.hpp"

#include "policy/wish.h"

#include <cerrno>
#include <string>
#include <vector>

using namespace roma_tests;

namespace {

unsigned caller_node;
int getcpu_refused;

/* The calling thread runs on that node; -1: the kernel refuses to say. */
struct caller {
    faulty table;
    explicit caller(int node)
    {
        caller_node = (unsigned)node;
        getcpu_refused = node < 0;
        table.calls.getcpu = [](unsigned *cpu, unsigned *at) {
            if (getcpu_refused) {
                errno = EPERM;
                return -1;
            }
            *cpu = 0;
            *at = caller_node;
            return 0;
        };
    }
};

/* A caller on node 0 whose memory may be bound to any node; `asked` are the first 64 of those that
 * it was bound to last. */
struct bound_caller {
    static inline unsigned long asked;
    caller at{0};

    bound_caller()
    {
        asked = 0;
        at.table.calls.mbind = [](void *, size_t, int, const unsigned long *mask, unsigned long,
                                  unsigned) -> int {
            asked = mask[0];
            return 0;
        };
    }
};

std::string weights_of(const roma__ladder &ladder, unsigned count)
{
    std::string all = "(";
    for (unsigned i = 0; i < count; i++)
        all += (i > 0 ? " " : "") + std::to_string(ladder.weights[i]);
    return all + ")";
}

std::string text_of_step(const roma__ladder &ladder, const roma__ladder_step &step)
{
    const char *const signs[] = {"", "~", "+", "%"};
    if (roma_nodes_is_empty(&step.nodes))
        return step.spread == ROMA_SPREAD_NONE ? "any" : "a spread over no node";
    return signs[step.spread] + text_of(step.nodes) +
           (step.spread == ROMA_SPREAD_WEIGHTED ? weights_of(ladder, roma_nodes_count(&step.nodes))
                                                : "");
}

/* The ladder of a request without a policy, or the code of its refusal. */
std::string ladder_of(const roma_request &want, roma__ladder &ladder, roma_error &error)
{
    roma_provider *providers[] = {roma_provider_anonymous()};
    const roma__wisher wisher = {nullptr, providers, 1, 1};
    roma__routing routing;
    int code = roma__wish_of(&wisher, nullptr, &want, &routing, &error);
    if (code == 0)
        code = roma__wish_ladder(&wisher, &routing.wish, &ladder, &error);
    if (code != 0)
        return std::to_string(code);
    std::string all;
    for (unsigned i = 0; i < ladder.count; i++) {
        CHECK(ladder.steps[i].strict == want.strict);
        all += (i > 0 ? " > " : "") + text_of_step(ladder, ladder.steps[i]);
    }
    return all;
}

/* Explaining the request lists the same steps. */
void check_explained(const roma_request &want, const roma__ladder &ladder)
{
    owned manager;
    roma_grant grant;
    REQUIRE(roma_explain(manager.self, &want, &grant) == 0);
    REQUIRE(grant.steps_count == ladder.count);
    for (unsigned i = 0; i < ladder.count; i++) {
        CHECK(roma_nodes_equal(&grant.steps[i].nodes, &ladder.steps[i].nodes));
        CHECK(grant.steps[i].spread == ladder.steps[i].spread);
        CHECK(grant.steps[i].pages == ladder.steps[i].pages);
        CHECK(grant.steps[i].strict == ladder.steps[i].strict);
        CHECK(std::string(grant.steps[i].provider) == "anonymous");
    }
}

roma_request wish(roma_placement placement, const std::string &nodes)
{
    roma_request want = roma_request_default();
    want.bytes = 1 << 20;
    want.pages = ROMA_PAGES_BASE;
    want.placement = placement;
    want.nodes = node_set(nodes);
    return want;
}

struct row {
    const char *tree;
    int caller;
    roma_placement placement;
    const char *nodes;
    const char *steps; /* of the strict request */
};

} // namespace

TEST_CASE("each placement on each captured machine is this ladder", "[placement]")
{
    const std::vector<row> rows = {
        {"two-nodes", 1, ROMA_LOCAL, "", "1"},
        {"two-nodes", 1, ROMA_NODES, "0", "0"},
        {"two-nodes", 1, ROMA_NODES, "0-1", "0-1"},
        {"two-nodes", 1, ROMA_PREFERRED, "0", "~0"},
        {"two-nodes", 1, ROMA_PREFERRED_MANY, "0-1", "~0-1"},
        {"two-nodes", 1, ROMA_INTERLEAVE, "", "+0-1"},
        {"two-nodes", 1, ROMA_INTERLEAVE, "1", "+1"},
        {"two-nodes", 1, ROMA_WEIGHTED, "", "%0-1(1 1)"},
        {"two-nodes", 1, ROMA_WEIGHTED, "0", "%0(1)"},
        {"two-nodes", 1, ROMA_NEAREST, "", "1 > 0"},
        {"two-nodes", 1, ROMA_NEAREST, "0", "0 > 1"},
        {"two-nodes", 1, ROMA_BANDWIDTH, "", "1 > 0"},
        {"two-nodes", 0, ROMA_LATENCY, "", "0 > 1"},
        {"two-nodes", 0, ROMA_CAPACITY, "", "1 > 0"},
        /* 1 has CPUs and no memory, 2 the other way round. */
        {"memory-only", 1, ROMA_LOCAL, "", "1"},
        {"memory-only", 0, ROMA_LOCAL, "", "0"},
        {"memory-only", 1, ROMA_NODES, "2", "2"},
        {"memory-only", 1, ROMA_PREFERRED, "2", "~2"},
        {"memory-only", 1, ROMA_PREFERRED_MANY, "0,2", "~0,2"},
        {"memory-only", 1, ROMA_INTERLEAVE, "", "+0"},
        {"memory-only", 1, ROMA_INTERLEAVE, "0,2", "+0,2"},
        {"memory-only", 1, ROMA_WEIGHTED, "", "%0,2(1 1)"},
        {"memory-only", 1, ROMA_NEAREST, "", "0 > 2"},
        {"memory-only", 1, ROMA_NEAREST, "2", "2 > 0"},
        {"memory-only", 1, ROMA_BANDWIDTH, "", "0 > 2"},
        {"memory-only", 1, ROMA_LATENCY, "", "0 > 2"},
        {"memory-only", 1, ROMA_CAPACITY, "", "2 > 0"},
        /* 0 and 1 are fast, 2 is slow, large and without CPUs. */
        {"hmat", 1, ROMA_LOCAL, "", "1"},
        {"hmat", 1, ROMA_INTERLEAVE, "", "+0-1"},
        {"hmat", 1, ROMA_WEIGHTED, "", "%0-2(14 14 3)"},
        {"hmat", 1, ROMA_WEIGHTED, "0-1", "%0-1(1 1)"},
        {"hmat", 1, ROMA_WEIGHTED, "0,2", "%0,2(25 6)"},
        {"hmat", 1, ROMA_NEAREST, "", "1 > 0 > 2"},
        {"hmat", 1, ROMA_NEAREST, "2", "2 > 0 > 1"},
        {"hmat", 1, ROMA_BANDWIDTH, "", "0-1 > 2"},
        {"hmat", 1, ROMA_LATENCY, "", "0-1 > 2"},
        {"hmat", 1, ROMA_CAPACITY, "", "2 > 0-1"},
        /* 0, 2 and 5; 2 is forbidden. */
        {"sparse-ids", 5, ROMA_LOCAL, "", "5"},
        {"sparse-ids", 2, ROMA_LOCAL, "", "2"},
        {"sparse-ids", 5, ROMA_NODES, "2", "2"}, /* refused by name when it is tried */
        {"sparse-ids", 5, ROMA_PREFERRED, "5", "~5"},
        {"sparse-ids", 5, ROMA_PREFERRED_MANY, "0,5", "~0,5"},
        {"sparse-ids", 5, ROMA_INTERLEAVE, "", "+0,5"},
        {"sparse-ids", 5, ROMA_WEIGHTED, "", "%0,5(1 1)"},
        {"sparse-ids", 5, ROMA_NEAREST, "", "5 > 0"},
        {"sparse-ids", 2, ROMA_NEAREST, "", "0 > 5"},
        {"sparse-ids", 5, ROMA_NEAREST, "2", "0 > 5"},
        {"sparse-ids", 5, ROMA_BANDWIDTH, "", "5 > 0"},
        {"sparse-ids", 5, ROMA_LATENCY, "", "5 > 0"},
        {"sparse-ids", 5, ROMA_CAPACITY, "", "0 > 5"},
        /* 0 and 5 have CPUs, of 5 no figures are known, 9 is forbidden. */
        {"sparse-hmat", 5, ROMA_LOCAL, "", "5"},
        {"sparse-hmat", 5, ROMA_INTERLEAVE, "", "+0,5"},
        {"sparse-hmat", 5, ROMA_WEIGHTED, "", "%0,2,5,7(1 1 1 1)"},
        {"sparse-hmat", 5, ROMA_WEIGHTED, "0,2,7", "%0,2,7(6 23 1)"},
        {"sparse-hmat", 5, ROMA_NEAREST, "", "5 > 2 > 0 > 7"},
        {"sparse-hmat", 5, ROMA_NEAREST, "7", "7 > 0 > 2 > 5"},
        {"sparse-hmat", 5, ROMA_BANDWIDTH, "", "2 > 0 > 7 > 5"},
        {"sparse-hmat", 5, ROMA_LATENCY, "", "0 > 2 > 7 > 5"},
        {"sparse-hmat", 5, ROMA_CAPACITY, "", "7 > 0,2,5"},
    };
    for (const row &r : rows) {
        const machine here(fixture(r.tree));
        const caller at(r.caller);
        INFO(r.tree << ", caller on " << r.caller << ", placement " << r.placement << " of \""
                    << r.nodes << "\"");
        roma_request want = wish(r.placement, r.nodes);
        roma__ladder ladder;
        roma_error error = {};
        CHECK(ladder_of(want, ladder, error) == std::string(r.steps) + " > any");
        check_explained(want, ladder);
        want.strict = true;
        CHECK(ladder_of(want, ladder, error) == r.steps);
        check_explained(want, ladder);
    }
}

TEST_CASE("on a machine of one node, with NUMA or without, every placement is that node",
          "[placement]")
{
    for (const char *tree : {"one-node", "no-numa"}) {
        const machine here(fixture(tree));
        const caller at(0);
        const row rows[] = {
            {tree, 0, ROMA_LOCAL, "", "0"},       {tree, 0, ROMA_NODES, "0", "0"},
            {tree, 0, ROMA_PREFERRED, "0", "~0"}, {tree, 0, ROMA_PREFERRED_MANY, "0", "~0"},
            {tree, 0, ROMA_INTERLEAVE, "", "+0"}, {tree, 0, ROMA_WEIGHTED, "", "%0(1)"},
            {tree, 0, ROMA_NEAREST, "", "0"},     {tree, 0, ROMA_NEAREST, "0", "0"},
            {tree, 0, ROMA_BANDWIDTH, "", "0"},   {tree, 0, ROMA_LATENCY, "", "0"},
            {tree, 0, ROMA_CAPACITY, "", "0"},
        };
        for (const row &r : rows) {
            INFO(tree << ", placement " << r.placement);
            roma_request want = wish(r.placement, r.nodes);
            roma__ladder ladder;
            roma_error error = {};
            CHECK(ladder_of(want, ladder, error) == std::string(r.steps) + " > any");
            want.strict = true;
            CHECK(ladder_of(want, ladder, error) == r.steps);
            check_explained(want, ladder);
        }
    }
}

TEST_CASE("no wish for a place is the kernel's choice, memory-only nodes or not", "[placement]")
{
    for (const char *tree :
         {"two-nodes", "memory-only", "hmat", "sparse-ids", "sparse-hmat", "no-numa", "one-node"}) {
        const machine here(fixture(tree));
        INFO(tree);
        roma__ladder ladder;
        roma_error error = {};
        roma_request want = wish(ROMA_ANYWHERE, "");
        CHECK(ladder_of(want, ladder, error) == "any");
        want.strict = true; /* of the page kind */
        CHECK(ladder_of(want, ladder, error) == "any");
        want = wish(ROMA_NODES, "");
        CHECK(ladder_of(want, ladder, error) == "any");
    }
}

TEST_CASE("weights by hand stand in the ladder as they were given", "[placement]")
{
    const machine here(fixture("hmat"));
    roma_request want = wish(ROMA_WEIGHTED, "0-2");
    want.weights[0] = 255;
    want.weights[2] = 1;
    roma__ladder ladder;
    roma_error error = {};
    CHECK(ladder_of(want, ladder, error) == "%0-2(255 0 1) > any");
}

TEST_CASE("the roomiest node is that of the wanted page kind", "[placement]")
{
    const machine here(fixture("hmat"));
    roma_request want = wish(ROMA_CAPACITY, "");
    want.strict = true;
    want.pages = ROMA_PAGES_2M;
    roma__ladder ladder;
    roma_error error = {};
    CHECK(ladder_of(want, ladder, error) == "1 > 0,2");
    want.pages = ROMA_PAGES_BASE;
    CHECK(ladder_of(want, ladder, error) == "2 > 0-1");
}

TEST_CASE("where the kernel does not say where a thread runs, only strict local fails",
          "[placement]")
{
    const machine here(fixture("two-nodes"));
    const caller nowhere(-1);
    roma__ladder ladder;
    roma_error error = {};
    roma_request want = wish(ROMA_LOCAL, "");
    CHECK(ladder_of(want, ladder, error) == "any");
    want.strict = true;
    CHECK(ladder_of(want, ladder, error) == std::to_string(-EPERM));
    CHECK(error.why == ROMA_WHY_CALL_REFUSED);
    for (const roma_placement placement : {ROMA_NEAREST, ROMA_BANDWIDTH, ROMA_LATENCY}) {
        want = wish(placement, "");
        want.strict = true;
        CHECK(ladder_of(want, ladder, error) == "0 > 1");
    }
}

TEST_CASE("a strict placement for which no node is left fails, and is not anywhere", "[placement]")
{
    const tree only_slow(fixture("memory-only"));
    const std::string status = "Name:\tcat\nCpus_allowed_list:\t0-3\nMems_allowed:\t00000004\n"
                               "Mems_allowed_list:\t2\n";
    only_slow.put("/proc/self/status", status);
    const caller at(0);
    roma__ladder ladder;
    roma_error error = {};
    const machine here(only_slow.root());
    roma_request want = wish(ROMA_INTERLEAVE, ""); /* nodes with memory and CPUs: none */
    CHECK(ladder_of(want, ladder, error) == "any");
    want.strict = true;
    CHECK(ladder_of(want, ladder, error) == std::to_string(-EXDEV));
    owned manager;
    roma_grant grant;
    CHECK(roma_alloc_with(manager.self, &want, &grant) == nullptr);
    CHECK(grant.code == -EXDEV);
    want = wish(ROMA_NEAREST, "");
    want.strict = true;
    CHECK(ladder_of(want, ladder, error) == "2");
}

TEST_CASE("a thread's word goes before the kernel's", "[placement]")
{
    const machine here(fixture("memory-only"));
    const caller at(0);
    roma__ladder ladder;
    roma_error error = {};
    CHECK(roma_thread_bind(1) == 0);
    CHECK(ladder_of(wish(ROMA_LOCAL, ""), ladder, error) == "1 > any");
    CHECK(ladder_of(wish(ROMA_NEAREST, ""), ladder, error) == "0 > 2 > any");
    CHECK(roma_thread_bind(3) == -EINVAL); /* changes nothing */
    CHECK(ladder_of(wish(ROMA_LOCAL, ""), ladder, error) == "1 > any");
    CHECK(roma_thread_bind(-1) == 0);
    CHECK(ladder_of(wish(ROMA_LOCAL, ""), ladder, error) == "0 > any");
}

TEST_CASE("requests go by the topology that was last read, as explaining them does", "[placement]")
{
    const tree changing(fixture("two-nodes"));
    const machine here(changing.root());
    const bound_caller at;
    unsigned long &asked = bound_caller::asked;
    roma_request want = wish(ROMA_INTERLEAVE, "");
    want.bytes = 8 << 20;
    roma_options options = roma_options_default();
    options.request = &want;
    options.return_delay_ns = ROMA_RETURN_AT_ONCE;
    for (const char *text : {"", "size < 4K -> interleave"}) {
        changing.put("/proc/self/status", "Cpus_allowed_list:\t0-7\nMems_allowed_list:\t0-1\n");
        REQUIRE(roma_topology_refresh() >= 0);
        owned manager(options);
        roma_policy *policy = nullptr;
        REQUIRE(roma_policy_parse(text, &policy, nullptr) == 0);
        REQUIRE(roma_manager_policy(manager.self, policy, nullptr) == 0);
        roma_policy_destroy(policy);
        for (const unsigned long nodes : {3ul, 1ul}) {
            INFO("\"" << text << "\", nodes " << nodes);
            if (nodes == 1) {
                changing.put("/proc/self/status",
                             "Cpus_allowed_list:\t0-7\nMems_allowed_list:\t0\n");
                REQUIRE(roma_topology_refresh() == 1);
            }
            roma_grant grant;
            asked = 0;
            void *block = roma_alloc_with(manager.self, &want, &grant);
            REQUIRE(block != nullptr);
            CHECK(asked == nodes);
            CHECK(grant.steps[0].nodes.words[0] == nodes);
            roma_free(block);
            asked = 0;
            REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
            roma_free(manager.alloc(8 << 20));
            CHECK(asked == nodes);
            asked = 0;
            void *small = manager.alloc(200 << (10 * (text[0] == 0))); /* a class's */
            CHECK(asked == nodes);
            roma_free(small);
            REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
            REQUIRE(roma_explain(manager.self, &want, &grant) == 0);
            CHECK(grant.steps[0].nodes.words[0] == nodes);
        }
    }
}

TEST_CASE("plain requests that follow the caller go by the topology last read, too", "[placement]")
{
    const tree changing(fixture("two-nodes"));
    const machine here(changing.root());
    const bound_caller at;
    unsigned long &asked = bound_caller::asked;
    roma_request nearest = wish(ROMA_NEAREST, "");
    roma_options options = roma_options_default();
    options.request = &nearest;
    options.return_delay_ns = ROMA_RETURN_AT_ONCE;
    owned manager(options);
    for (const unsigned long nodes : {1ul, 2ul, 1ul}) {
        INFO("nearest: " << nodes);
        changing.put("/sys/devices/system/node/node0/distance", nodes == 1 ? "10 20" : "20 10");
        REQUIRE(roma_topology_refresh() >= 0);
        for (const size_t bytes : {(size_t)64 << 10, (size_t)8 << 20}) {
            asked = 0;
            roma_free(manager.alloc(bytes));
            CHECK(asked == nodes);
            REQUIRE(roma_manager_trim(manager.self, 0) >= 0);
        }
    }
}

TEST_CASE("a request that finds no place is counted as a failure, by whatever call", "[placement]")
{
    const machine here(fixture("two-nodes"));
    const caller nowhere(-1);
    roma_request local = wish(ROMA_LOCAL, "");
    local.strict = true;
    roma_options options = roma_options_default();
    options.request = &local;
    owned manager(options);
    errno = 0;
    CHECK(roma_alloc(manager.self, 64) == nullptr);
    CHECK(errno == EPERM);
    CHECK(manager.figure("failures.count") == 1);
    void *blocks[4];
    CHECK(roma_alloc_batch(manager.self, 64, blocks, 4) == -EPERM);
    CHECK(manager.figure("failures.count") == 2);
    CHECK(roma_alloc_with(manager.self, &local, nullptr) == nullptr);
    CHECK(manager.figure("failures.count") == 3);
}

TEST_CASE("what a manager without counts refuses, explaining refuses", "[placement]")
{
    SKIP_UNDER_TOOL();
    owned manager(ROMA_COUNTS_NONE);
    roma_request want = wish(ROMA_ANYWHERE, "");
    roma_grant done, told;
    for (const bool weak : {false, true}) {
        want.weak = weak;
        want.registered = !weak;
        CHECK(roma_alloc_with(manager.self, &want, &done) == nullptr);
        CHECK(roma_explain(manager.self, &want, &told) == -EOPNOTSUPP);
        CHECK(told.code == done.code);
        CHECK(std::string(told.error.subject) == done.error.subject);
    }
}
