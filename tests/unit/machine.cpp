/* machine.cpp - pre-flight checks and node questions over captured trees, and the memory policy. */
#include "faulty.hpp"
#include "topology.hpp"
#include "tree.hpp"

#include "numa/facts.h"
#include "sys/kernel.h"

#include <cstdint>
#include <string>
#include <unistd.h>

using roma_tests::faulty;
using roma_tests::fixture;
using roma_tests::machine;
using roma_tests::node_set;
using roma_tests::tree;

namespace {

constexpr uint64_t mib = 1 << 20;
constexpr size_t two_mib = 2 << 20;

int hugetlb_ready(size_t page_bytes, uint64_t pages, const char *nodes, roma_error *error)
{
    const roma_nodes wanted = node_set(nodes);
    return roma__machine_hugetlb_ready(page_bytes, pages, &wanted, error);
}

int memory_ready(uint64_t bytes, const char *nodes, roma_error *error)
{
    const roma_nodes wanted = node_set(nodes);
    return roma__machine_memory_ready(bytes, &wanted, error);
}

int usable(const char *nodes, bool strict, roma_error *error)
{
    const roma_nodes wanted = node_set(nodes);
    return roma__machine_nodes_usable(&wanted, strict, error);
}

void check_short(const roma_error &error, roma_why why, int node, uint64_t need, uint64_t have,
                 uint64_t total)
{
    CHECK(error.code == -ENOMEM);
    CHECK(error.why == why);
    CHECK(error.node == node);
    CHECK(error.need == need);
    CHECK(error.have == have);
    CHECK(error.total == total);
}

} // namespace

TEST_CASE("hugetlb pre-flight: what others have reserved is not free, surplus is to be had")
{
    machine here(fixture("pools-2m-1g")); /* 100 free, 40 reserved, 8 more by overcommit */
    roma_error error = {};
    CHECK(hugetlb_ready(two_mib, 60, "", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 68, "", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 69, "", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_POOL_EMPTY, -1, 69, 60, 512);
    CHECK(error.pages == ROMA_PAGES_2M);
    CHECK(hugetlb_ready(two_mib, UINT64_MAX, "", &error) == -ENOMEM);
    CHECK(hugetlb_ready(size_t{1} << 30, 1, "0", &error) == 0);
    CHECK(hugetlb_ready(size_t{1} << 30, 2, "0", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_POOL_EMPTY, 0, 2, 1, 2);
    CHECK(hugetlb_ready(64 << 10, 1, "", &error) == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_NO_PAGE_KIND);
    CHECK(error.pages == (ROMA_PAGE_CLASS_HUGETLB | 16));
    CHECK(hugetlb_ready(two_mib, 69, "", nullptr) == -ENOMEM);
}

TEST_CASE("hugetlb pre-flight: per node, bounded by the machine's free pages")
{
    /* Free 8 and 500 of 512 each; 6 reserved; no surplus left. */
    machine here(fixture("two-nodes"));
    roma_error error = {};
    CHECK(hugetlb_ready(two_mib, 8, "0", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 9, "0", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_POOL_EMPTY, 0, 9, 8, 512);
    CHECK(hugetlb_ready(two_mib, 500, "1", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 502, "0-1", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 503, "0-1", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_POOL_EMPTY, -1, 503, 502, 1024);
}

TEST_CASE("hugetlb pre-flight: only nodes of the cpuset count, named or not")
{
    machine here(fixture("sparse-ids")); /* free 4, 32, 6 on nodes 0, 2, 5; node 2 is forbidden */
    roma_error error = {};
    CHECK(hugetlb_ready(two_mib, 10, "", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 11, "", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_POOL_EMPTY, -1, 11, 10, 24);
    CHECK(hugetlb_ready(two_mib, 7, "2,5", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_POOL_EMPTY, 5, 7, 6, 8);
}

TEST_CASE("hugetlb pre-flight on a kernel without NUMA looks at the machine's pool")
{
    machine here(fixture("no-numa"));
    roma_error error = {};
    CHECK(hugetlb_ready(two_mib, 2, "0", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 3, "0", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_POOL_EMPTY, -1, 3, 2, 4);
    machine none(fixture("no-huge-pages"));
    CHECK(hugetlb_ready(two_mib, 1, "", &error) == -EOPNOTSUPP);
}

TEST_CASE("hugetlb pre-flight: cgroup limits, in use and reserved, name the cgroup")
{
    roma_error error = {};
    {
        machine here(fixture("cgroup-v2")); /* 8 of 10 MiB in use; 16 MiB may be reserved above */
        CHECK(hugetlb_ready(two_mib, 1, "", &error) == 0);
        CHECK(hugetlb_ready(two_mib, 2, "", &error) == -ENOMEM);
        check_short(error, ROMA_WHY_CGROUP_HUGETLB, -1, 4 * mib, 2 * mib, 10 * mib);
        CHECK(std::string(error.subject) == "/batch.slice/job-7.scope");
        CHECK(error.pages == ROMA_PAGES_2M);
    }
    {
        machine here(fixture("cgroup-v1"));
        CHECK(hugetlb_ready(two_mib, 12, "", &error) == 0);
        CHECK(hugetlb_ready(two_mib, 13, "", &error) == -ENOMEM);
        check_short(error, ROMA_WHY_CGROUP_HUGETLB, -1, 26 * mib, 24 * mib, 64 * mib);
        CHECK(std::string(error.subject) == "/docker/4f2a");
    }
    tree at(fixture("cgroup-v2"));
    at.put("/sys/fs/cgroup/batch.slice/job-7.scope/hugetlb.2MB.max", "max\n");
    machine here(at.root());
    CHECK(hugetlb_ready(two_mib, 8, "", &error) == 0);
    CHECK(hugetlb_ready(two_mib, 9, "", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_CGROUP_HUGETLB_RSVD, -1, 18 * mib, 16 * mib, 16 * mib);
    CHECK(std::string(error.subject) == "/batch.slice");
}

TEST_CASE("memory pre-flight: headroom of the named nodes, without what zones keep back")
{
    machine here(fixture("two-nodes"));
    roma_error error = {};
    const uint64_t page_bytes = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
    /* Node 0: 256 MiB free; file pages and caches keep at most a half; the DMA zone keeps all its
     * 3840 pages (protection 8000 is more than it manages), the other its high watermark, 10000;
     * 12 MiB of the file pages are mapped; and the margin of a node of 8 GiB is 32 MiB. */
    const uint64_t kept = (3840 + 10000) * page_bytes + 32 * mib, low = (20 + 8000) * page_bytes;
    const uint64_t caches = 20 * mib - std::min(10 * mib, low) + 8 * mib - std::min(4 * mib, low);
    const uint64_t all = 256 * mib + caches, have = all > kept ? all - kept : 0;
    uint64_t headroom = 0;
    CHECK(roma__fact_headroom(fixture("two-nodes").c_str(), 0, &headroom) == 0);
    CHECK(headroom == have);
    CHECK(memory_ready(have, "0", &error) == 0);
    CHECK(memory_ready(have + 1, "0", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_NODE_FULL, 0, have + 1, have, 8192 * mib);
    CHECK(memory_ready(have + 1, "0-1", &error) == 0);
    CHECK(memory_ready(UINT64_MAX, "0-1", &error) == -ENOMEM);
    CHECK(error.node == -1);
    CHECK(memory_ready(1, "", &error) == 0); /* no node named: the whole machine's memory */
    CHECK(memory_ready(UINT64_MAX, "", &error) == -ENOMEM);
    CHECK(error.why == ROMA_WHY_NODE_FULL);
    CHECK(error.node == -1);
    CHECK(memory_ready(1, "7", &error) == -ENOMEM);
}

TEST_CASE("memory pre-flight: a node without memory is full; without NUMA the machine tells")
{
    roma_error error = {};
    {
        machine here(fixture("memory-only"));
        CHECK(memory_ready(1, "1", &error) == -ENOMEM);
        check_short(error, ROMA_WHY_NODE_FULL, 1, 1, 0, 0);
        CHECK(memory_ready(8192 * mib, "1-2", &error) == 0);
    }
    machine here(fixture("no-numa"));
    CHECK(memory_ready(4200 * mib, "0", &error) == 0);
    CHECK(memory_ready(4200 * mib + 1, "0", &error) == -ENOMEM);
    check_short(error, ROMA_WHY_NODE_FULL, 0, 4200 * mib + 1, 4200 * mib, 4442 * mib);
}

TEST_CASE("memory pre-flight: a cgroup's file pages give way, the rest of its use does not")
{
    roma_error error = {};
    {
        machine here(fixture("cgroup-v1")); /* 900 of 1024 MiB in use, 300 of them file pages */
        CHECK(memory_ready(424 * mib, "", &error) == 0);
        CHECK(memory_ready(424 * mib + 1, "", &error) == -ENOMEM);
        check_short(error, ROMA_WHY_CGROUP_MEMORY, -1, 424 * mib + 1, 424 * mib, 1024 * mib);
        CHECK(std::string(error.subject) == "/docker/4f2a");
    }
    machine here(fixture("cgroup-hybrid"));
    CHECK(memory_ready(256 * mib, "", &error) == 0);
    CHECK(memory_ready(257 * mib, "", &error) == -ENOMEM);
    CHECK(std::string(error.subject) == "/process/890701bb");
}

TEST_CASE("nodes are usable when they are there, with memory, and the cpuset allows them")
{
    roma_error error = {};
    {
        machine here(fixture("sparse-ids")); /* 0, 2, 5; 2 is forbidden */
        CHECK(usable("", true, &error) == 0);
        CHECK(usable("0,5", true, &error) == 0);
        CHECK(usable("0,2", false, &error) == 0);
        CHECK(usable("0,2", true, &error) == -EXDEV);
        CHECK(error.why == ROMA_WHY_NODE_FORBIDDEN);
        CHECK(error.node == 2);
        CHECK(usable("2", false, &error) == -EXDEV);
        CHECK(usable("1,2", false, &error) == -EXDEV);
        CHECK(error.node == 2);
        CHECK(usable("1,2", true, &error) == -EINVAL);
        CHECK(error.why == ROMA_WHY_NODE_ABSENT);
        CHECK(error.node == 1);
        CHECK(usable("0,1023", false, &error) == 0);
        CHECK(usable("1023", false, &error) == -EINVAL);
        CHECK(error.node == 1023);
    }
    {
        machine here(fixture("memory-only"));
        CHECK(usable("2", true, &error) == 0);
        CHECK(usable("1", true, &error) == -EINVAL);
        CHECK(usable("0-2", true, &error) == -EINVAL);
        CHECK(error.node == 1);
    }
    machine here(fixture("no-numa"));
    CHECK(usable("0", true, &error) == 0);
    CHECK(usable("1", true, &error) == -EINVAL);
}

TEST_CASE("transparent huge pages: off for all, off for a size, off for the process, not there")
{
    roma_error error = {};
    const auto thp_of = [](unsigned shift) {
        return static_cast<roma_page_kind>(ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, shift));
    };
    {
        machine here(fixture("one-node"));
        CHECK(roma__machine_thp_ready(ROMA_PAGES_THP, &error) == 0);
        CHECK(roma__machine_thp_ready(thp_of(21), &error) == 0);
        CHECK(roma__machine_thp_ready(thp_of(16), &error) == -EOPNOTSUPP);
        CHECK(error.why == ROMA_WHY_THP_OFF);
        CHECK(error.pages == thp_of(16));
        CHECK(roma__machine_thp_ready(thp_of(13), &error) == -EOPNOTSUPP);
        CHECK(error.why == ROMA_WHY_NO_PAGE_KIND);
        CHECK(roma__machine_thp_ready(ROMA_PAGES_BASE, &error) == -EOPNOTSUPP);
    }
    {
        machine here(fixture("pools-2m-1g"));
        CHECK(roma__machine_thp_ready(thp_of(21), &error) == -EOPNOTSUPP);
        CHECK(error.why == ROMA_WHY_THP_OFF);
        CHECK(roma__machine_thp_ready(thp_of(16), &error) == 0);
    }
    {
        machine here(fixture("no-huge-pages"));
        CHECK(roma__machine_thp_ready(ROMA_PAGES_THP, &error) == -EOPNOTSUPP);
        CHECK(error.why == ROMA_WHY_NO_PAGE_KIND);
    }
    tree at(fixture("two-nodes"));
    machine here(at.root());
    CHECK(roma__machine_thp_ready(ROMA_PAGES_THP, &error) == 0);
    at.put("/proc/self/status", "THP_enabled:\t0\n");
    CHECK(roma__machine_thp_ready(ROMA_PAGES_THP, &error) == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_THP_OFF);
    /* Modes are read afresh: what the administrator changes counts at once. */
    at.put("/proc/self/status", "THP_enabled:\t1\n");
    at.put("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
    CHECK(roma__machine_thp_ready(ROMA_PAGES_THP, &error) == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_THP_OFF);
}

TEST_CASE("page kinds get the machine's sizes")
{
    machine here(fixture("pools-2m-1g"));
    const auto base = roma__machine_resolve(ROMA_PAGES_BASE);
    CHECK(roma_page_bytes(base) == roma__machine_base_bytes());
    CHECK(roma__machine_resolve(base) == base);
    CHECK(roma__machine_resolve(static_cast<roma_page_kind>(base + 1)) == 0);
    CHECK(roma__machine_resolve(ROMA_PAGES_HUGETLB) == ROMA_PAGES_2M);
    CHECK(roma__machine_resolve(ROMA_PAGES_THP) == (ROMA_PAGE_CLASS_THP | 21));
    CHECK(roma__machine_resolve(0) == 0);
    CHECK(roma__machine_smaller_hugetlb(ROMA_PAGES_1G) == ROMA_PAGES_2M);
    CHECK(roma__machine_smaller_hugetlb(ROMA_PAGES_2M) == 0);
    CHECK(roma__machine_smaller_hugetlb(ROMA_PAGE_CLASS_HUGETLB | 34) ==
          roma_pages_then(ROMA_PAGES_1G, ROMA_PAGES_2M));

    faulty table; /* base pages are there even when nothing can be read */
    table.calls.open = [](const char *, int) {
        errno = EMFILE;
        return -1;
    };
    roma__machine_root(fixture("pools-2m-1g").c_str());
    CHECK(roma_topology_get() == nullptr);
    CHECK(roma__machine_resolve(ROMA_PAGES_BASE) == base);
    CHECK(roma__machine_resolve(ROMA_PAGES_THP) == 0);
    CHECK(roma__machine_smaller_hugetlb(ROMA_PAGES_1G) == 0);
    table.calls.open = roma__sys_kernel.open;
    CHECK(roma_topology_get() != nullptr);
}

TEST_CASE("checks that cannot read fail with the call, not with a wrong answer")
{
    machine here(fixture("cgroup-v2"));
    REQUIRE(roma_topology_get() != nullptr);
    const auto each = [](roma_error *error, int which) {
        switch (which) {
        case 0: return hugetlb_ready(two_mib, 1, "0", error);
        case 1: return memory_ready(mib, "0", error);
        case 2: return usable("0", true, error);
        default: return roma__machine_thp_ready(ROMA_PAGES_THP, error);
        }
    };
    for (int which = 0; which < 4; which++) {
        unsigned failures = 0;
        for (long n = 1;; n++) {
            REQUIRE(n < 1000);
            roma_error error = {};
            int code;
            bool reached;
            {
                roma_tests::fail_nth faults(n, EMFILE, true);
                code = each(&error, which);
                reached = roma_tests::fail_nth::reached;
            }
            INFO("check " << which << " call " << n);
            CHECK((code == 0 || code == -EMFILE));
            CHECK(error.code == code);
            if (!reached)
                break;
            failures += code != 0;
        }
        CHECK(failures > 0);
    }
}

TEST_CASE("the local node is the CPU's, or a refused call")
{
    unsigned node = 77;
    roma_error error = {};
    REQUIRE(roma__machine_local_node(&node, &error) == 0);
    const roma_nodes nodes = roma_topology_nodes(roma_topology_get());
    CHECK(roma_nodes_has(&nodes, node));
    faulty table;
    table.calls.getcpu = [](unsigned *, unsigned *) {
        errno = EPERM;
        return -1;
    };
    CHECK(roma__machine_local_node(&node, &error) == -EPERM);
    CHECK(error.why == ROMA_WHY_CALL_REFUSED);
    CHECK(std::string(error.call) == "getcpu");
}

namespace {

/* What mbind was last asked for. */
struct asked {
    static inline int mode, calls, cause;
    static inline uint64_t first_word;
    static inline unsigned long max_node;
    static int mbind(void *, size_t, int m, const unsigned long *nodes, unsigned long max, unsigned)
    {
        mode = m;
        max_node = max;
        first_word = nodes[0];
        calls++;
        if (cause == 0 || (cause == EINVAL && m == MPOL_PREFERRED))
            return 0;
        errno = cause;
        return -1;
    }
};

} // namespace

TEST_CASE("bind asks for the right policy and falls back where preferred-many is not known")
{
    machine here(fixture("sparse-ids"));
    faulty table;
    table.calls.mbind = asked::mbind;
    roma_error error = {};
    const roma_nodes wanted = node_set("2,5");
    asked::calls = asked::cause = 0;
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__BIND, &error) == 0);
    CHECK(asked::mode == MPOL_BIND);
    CHECK(asked::first_word == 36);
    CHECK(asked::max_node == ROMA_NODES_MAX + 1);
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__PREFER, &error) == 0);
    CHECK(asked::mode == MPOL_PREFERRED_MANY);
    CHECK(asked::calls == 2);
    const roma_nodes none = roma_nodes_none();
    CHECK(roma__machine_bind(nullptr, 4096, &none, ROMA__BIND, &error) == 0);
    CHECK(asked::calls == 2);

    asked::cause = EINVAL;
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__PREFER, &error) == 0);
    CHECK(asked::mode == MPOL_PREFERRED);
    CHECK(asked::first_word == 4);
}

TEST_CASE("a bind that fails says whether the node, the cpuset or a filter is why")
{
    machine here(fixture("sparse-ids"));
    faulty table;
    table.calls.mbind = asked::mbind;
    roma_error error = {};
    asked::cause = EINVAL;
    roma_nodes wanted = node_set("2");
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__BIND, &error) == -EXDEV);
    CHECK(error.why == ROMA_WHY_NODE_FORBIDDEN);
    wanted = node_set("7");
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__BIND, &error) == -EINVAL);
    CHECK(error.why == ROMA_WHY_NODE_ABSENT);
    wanted = node_set(
        "0"); /* a node that is fine: then it is the kernel that does not know the call */
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__BIND, &error) == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_CALL);
    CHECK(error.cause == EINVAL);
    for (int cause : {EPERM, ENOSYS}) {
        asked::cause = cause;
        CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__BIND, &error) == -cause);
        CHECK(error.why == ROMA_WHY_CALL_REFUSED);
        CHECK(std::string(error.call) == "mbind");
    }
}

TEST_CASE("without NUMA in the kernel, binding to exactly node 0 is nothing to do")
{
    machine here(fixture("no-numa"));
    faulty table;
    table.calls.mbind = asked::mbind;
    asked::cause = ENOSYS;
    roma_error error = {};
    roma_nodes wanted = node_set("0");
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__BIND, &error) == 0);
    wanted = node_set("0-1");
    CHECK(roma__machine_bind(nullptr, 4096, &wanted, ROMA__BIND, &error) == -ENOSYS);
}
