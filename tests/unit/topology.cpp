/* topology.cpp - what is read out of each captured tree, out of damaged ones, and of this machine,
 * where libnuma is an independent witness. */
#include "faulty.hpp"
#include "skip.hpp"
#include "topology.hpp"
#include "tree.hpp"

#ifdef ROMA_TEST_HAS_LIBNUMA
#include <numa.h>
#endif
#include <string>
#include <unistd.h>

using roma_tests::fixture;
using roma_tests::node_of;
using roma_tests::read_topology;
using roma_tests::text_of;
using roma_tests::tree;

namespace {

std::string kinds_of(const roma_topology *topology)
{
    std::string all;
    roma_kind_info info;
    for (unsigned i = 0; roma_topology_kind(topology, i, &info) == 0; i++) {
        char text[64];
        all += roma_page_kind_text(info.pages, text, sizeof text);
        all += info.usable ? "; " : " (off); ";
    }
    return all;
}

const std::string base_kind = [] {
    char text[64];
    const auto page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return std::string(roma_size_text(page_bytes, text, sizeof text)) + " base; ";
}();

} // namespace

TEST_CASE("topology of one node")
{
    const auto topology = read_topology(fixture("one-node"));
    CHECK(text_of(roma_topology_nodes(topology.get())) == "0");
    CHECK(text_of(roma_topology_memory_nodes(topology.get())) == "0");
    CHECK(text_of(roma_topology_cpu_nodes(topology.get())) == "0");
    CHECK(text_of(roma_topology_allowed_nodes(topology.get())) == "0");
    CHECK(roma_topology_distance(topology.get(), 0, 0) == 10);
    CHECK(roma_topology_distance(topology.get(), 0, 1) == 0);
    const roma_node_info node = node_of(topology.get(), 0);
    CHECK(node.total_bytes == UINT64_C(4442) << 20);
    CHECK(node.free_bytes == UINT64_C(4269) << 20);
    CHECK(std::string(node.cpus) == "0-1");
    /* 8 KiB has no `enabled`: such pages are for shared memory only. */
    CHECK(
        kinds_of(topology.get()) ==
        "1 GiB hugetlb; 2 MiB hugetlb; 2 MiB transparent huge; 1 MiB transparent huge (off); "
        "512 KiB transparent huge (off); 256 KiB transparent huge (off); 128 KiB transparent huge "
        "(off); 64 KiB transparent huge (off); 32 KiB transparent huge (off); 16 KiB transparent "
        "huge (off); " +
            base_kind);
    roma_system_info system;
    roma_topology_system(topology.get(), &system);
    CHECK(std::string(system.kernel) == "6.18.44");
    CHECK(std::string(system.thp_enabled) == "madvise");
    CHECK(std::string(system.thp_defrag) == "madvise");
    CHECK(system.thp_bytes == 2u << 20);
    CHECK(system.base_page_bytes == static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    CHECK(system.numa_balancing == 0);
    CHECK(system.overcommit_memory == 0);
    CHECK(system.io_uring_disabled == 0);
    CHECK(system.io_uring_error == 1); /* a captured tree cannot be asked */
    CHECK(system.memory_total_bytes == UINT64_C(4442) << 20);
    CHECK(system.memory_available_bytes == UINT64_C(4200) << 20);
    CHECK(roma_topology_limits_count(topology.get()) == 0);
}

TEST_CASE("topology of two nodes on a kernel with one transparent size")
{
    const auto topology = read_topology(fixture("two-nodes"));
    CHECK(text_of(roma_topology_nodes(topology.get())) == "0-1");
    CHECK(roma_topology_distance(topology.get(), 0, 1) == 21);
    CHECK(roma_topology_distance(topology.get(), 1, 1) == 10);
    CHECK(std::string(node_of(topology.get(), 1).cpus) == "4-7");
    CHECK(node_of(topology.get(), 0).free_bytes == UINT64_C(256) << 20);
    CHECK(kinds_of(topology.get()) == "2 MiB hugetlb; 2 MiB transparent huge; " + base_kind);
    roma_kind_info kind;
    REQUIRE(roma_topology_kind(topology.get(), 1, &kind) == 0);
    CHECK(std::string(kind.mode) == "always");
    roma_pool_info pool;
    CHECK(roma_topology_pool(topology.get(), 2u << 20, -1, &pool) == 0);
    CHECK(pool.total == 1024);
    CHECK(pool.reserved == 6);
    CHECK(pool.overcommit == 4);
    CHECK(roma_topology_pool(topology.get(), 2u << 20, 1, &pool) == 0);
    CHECK(pool.free == 500);
    CHECK(pool.surplus == 4);
    CHECK(roma_topology_pool(topology.get(), size_t{1} << 30, -1, &pool) == -EINVAL);
    CHECK(roma_topology_pool(topology.get(), 2u << 20, 2, &pool) == -EINVAL);
    CHECK(roma_topology_pool(topology.get(), 2u << 20, -2, &pool) == -EINVAL);
    roma_system_info system;
    roma_topology_system(topology.get(), &system);
    CHECK(system.io_uring_disabled == -1); /* before the sysctl */
    CHECK(system.numa_balancing == 1);
}

TEST_CASE("topology of sparse node numbers maps distances to them; the cpuset leaves one out")
{
    const auto topology = read_topology(fixture("sparse-ids"));
    CHECK(text_of(roma_topology_nodes(topology.get())) == "0,2,5");
    CHECK(text_of(roma_topology_allowed_nodes(topology.get())) == "0,5");
    CHECK_FALSE(node_of(topology.get(), 2).allowed);
    CHECK(node_of(topology.get(), 5).allowed);
    CHECK(roma_topology_distance(topology.get(), 0, 5) == 31);
    CHECK(roma_topology_distance(topology.get(), 2, 5) == 22);
    CHECK(roma_topology_distance(topology.get(), 5, 2) == 22);
    CHECK(roma_topology_distance(topology.get(), 0, 1) == 0);
    roma_node_info info;
    CHECK(roma_topology_node(topology.get(), 1, &info) == -EINVAL);
    CHECK(roma_topology_node(topology.get(), 4000000000u, &info) == -EINVAL);
}

TEST_CASE("topology tells nodes without memory and nodes without CPUs")
{
    const auto topology = read_topology(fixture("memory-only"));
    CHECK(text_of(roma_topology_nodes(topology.get())) == "0-2");
    CHECK(text_of(roma_topology_memory_nodes(topology.get())) == "0,2");
    CHECK(text_of(roma_topology_cpu_nodes(topology.get())) == "0-1");
    CHECK_FALSE(node_of(topology.get(), 1).has_memory);
    CHECK(node_of(topology.get(), 1).has_cpus);
    CHECK(node_of(topology.get(), 2).has_memory);
    CHECK_FALSE(node_of(topology.get(), 2).has_cpus);
    CHECK(std::string(node_of(topology.get(), 2).cpus).empty());
    roma_pool_info pool;
    CHECK(roma_topology_pool(topology.get(), 2u << 20, 1, &pool) == -EINVAL);
    CHECK(roma_topology_pool(topology.get(), 2u << 20, 2, &pool) == 0);

    tree older(fixture("memory-only")); /* a kernel that has no has_memory */
    older.remove("/sys/devices/system/node/has_memory");
    CHECK(text_of(roma_topology_memory_nodes(read_topology(older.root()).get())) == "0,2");
}

TEST_CASE("topology without huge pages has base pages alone")
{
    const auto topology = read_topology(fixture("no-huge-pages"));
    CHECK(kinds_of(topology.get()) == base_kind);
    CHECK(roma_topology_resolve(topology.get(), ROMA_PAGES_THP) == 0);
    CHECK(roma_topology_resolve(topology.get(), ROMA_PAGES_HUGETLB) == 0);
    CHECK(roma_topology_resolve(topology.get(), ROMA_PAGES_2M) == 0);
    CHECK(roma_topology_page_bytes(topology.get(), ROMA_PAGES_BASE) ==
          static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    roma_system_info system;
    roma_topology_system(topology.get(), &system);
    CHECK(system.thp_bytes == 0);
    CHECK(std::string(system.thp_enabled).empty());
    CHECK(system.io_uring_disabled == 2);
}

TEST_CASE("topology with two page pools; transparent sizes follow or override the setting for all")
{
    const auto topology = read_topology(fixture("pools-2m-1g"));
    CHECK(kinds_of(topology.get()) == "1 GiB hugetlb; 2 MiB hugetlb; 2 MiB transparent huge (off); "
                                      "64 KiB transparent huge; " +
                                          base_kind);
    CHECK(roma_topology_resolve(topology.get(), ROMA_PAGES_HUGETLB) == ROMA_PAGES_2M);
    CHECK(roma_topology_resolve(topology.get(), ROMA_PAGES_1G) == ROMA_PAGES_1G);
    CHECK(roma_topology_page_bytes(topology.get(), ROMA_PAGES_1G) == size_t{1} << 30);
    CHECK(roma_topology_page_bytes(topology.get(), ROMA_PAGES_THP) == 2u << 20);
    CHECK(roma_topology_resolve(topology.get(), ROMA_PAGE_CLASS_THP | 16) ==
          (ROMA_PAGE_CLASS_THP | 16));
    CHECK(roma_topology_resolve(topology.get(), ROMA_PAGE_CLASS_THP | 17) == 0);
    CHECK(roma_topology_resolve(topology.get(), 0) == 0);
    roma_pool_info pool;
    CHECK(roma_topology_pool(topology.get(), size_t{1} << 30, 0, &pool) == 0);
    CHECK(pool.total == 2);
    CHECK(pool.free == 1);

    tree other(fixture("pools-2m-1g")); /* default_hugepagesz=1G */
    other.put("/proc/meminfo", "Hugepagesize:    1048576 kB\n");
    CHECK(roma_topology_resolve(read_topology(other.root()).get(), ROMA_PAGES_HUGETLB) ==
          ROMA_PAGES_1G);
    other.put("/proc/meminfo", "");
    CHECK(roma_topology_resolve(read_topology(other.root()).get(), ROMA_PAGES_HUGETLB) ==
          ROMA_PAGES_2M);
}

TEST_CASE("topology of a kernel without NUMA is one node 0 with all CPUs and memory")
{
    const auto topology = read_topology(fixture("no-numa"));
    CHECK(text_of(roma_topology_nodes(topology.get())) == "0");
    CHECK(text_of(roma_topology_memory_nodes(topology.get())) == "0");
    CHECK(text_of(roma_topology_allowed_nodes(topology.get())) == "0");
    CHECK(roma_topology_distance(topology.get(), 0, 0) == 10);
    const roma_node_info node = node_of(topology.get(), 0);
    CHECK(std::string(node.cpus) == "0-3");
    CHECK(node.total_bytes == UINT64_C(4442) << 20);
    roma_pool_info pool;
    CHECK(roma_topology_pool(topology.get(), 2u << 20, 0, &pool) == 0);
    CHECK(pool.free == 3);
    CHECK(pool.reserved == 0);
    roma_system_info system;
    roma_topology_system(topology.get(), &system);
    CHECK(system.numa_balancing == -1);
}

TEST_CASE("topology lists the cgroup limits")
{
    const auto topology = read_topology(fixture("cgroup-v2"));
    REQUIRE(roma_topology_limits_count(topology.get()) == 3);
    roma_limit_info limit;
    CHECK(roma_topology_limit(topology.get(), 1, &limit) == 0);
    CHECK(limit.kind == ROMA_LIMIT_HUGETLB);
    CHECK(limit.page_bytes == 2u << 20);
    CHECK(limit.max_bytes == 10u << 20);
    CHECK(limit.used_bytes == 8u << 20);
    CHECK(limit.cgroup_version == 2);
    CHECK(std::string(limit.cgroup) == "/batch.slice/job-7.scope");
    CHECK(roma_topology_limit(topology.get(), 3, &limit) == -EINVAL);
}

TEST_CASE("an empty tree is a machine of which nothing is known but its one node")
{
    tree at;
    const auto topology = read_topology(at.root());
    CHECK(text_of(roma_topology_nodes(topology.get())) == "0");
    CHECK(kinds_of(topology.get()) == base_kind);
    CHECK(node_of(topology.get(), 0).total_bytes == 0);
}

TEST_CASE("damaged files leave their part unknown, a damaged node list is an error")
{
    roma_topology *topology = nullptr;
    roma_error error = {};
    for (const char *list : {"", "\n", "all\n", "0-\n", "1024\n"}) {
        tree at(fixture("two-nodes"));
        at.put("/sys/devices/system/node/online", list);
        INFO(list);
        CHECK(roma_topology_read(at.root(), &topology, &error) == -EINVAL);
        CHECK(topology == nullptr);
        CHECK(error.code == -EINVAL);
        CHECK(std::string(error.subject) == "/sys/devices/system/node/online");
    }
    for (const char *row : {"", "10\n", "10 21 21\n", "10 x\n", "10 99999\n", "-10 21\n"}) {
        tree at(fixture("two-nodes"));
        at.put("/sys/devices/system/node/node0/distance", row);
        INFO(row);
        const auto made = read_topology(at.root());
        CHECK(roma_topology_distance(made.get(), 0, 0) == 0);
        CHECK(roma_topology_distance(made.get(), 0, 1) == 0);
        CHECK(roma_topology_distance(made.get(), 1, 0) == 21);
    }
    tree at(fixture("two-nodes"));
    at.put("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "-1\n");
    at.put("/sys/kernel/mm/transparent_hugepage/enabled", "perhaps\n");
    at.put("/sys/devices/system/node/node0/meminfo", "Node 0 MemTotal: many kB\nMemFree\n:\n");
    at.put("/proc/self/status", "Mems_allowed_list:\tsome\n");
    at.put("/proc/sys/vm/overcommit_memory", "99999999999\n");
    const auto made = read_topology(at.root());
    roma_pool_info pool;
    CHECK(roma_topology_pool(made.get(), 2u << 20, -1, &pool) == -EINVAL);
    CHECK(kinds_of(made.get()) == "2 MiB hugetlb; 2 MiB transparent huge (off); " + base_kind);
    CHECK(node_of(made.get(), 0).total_bytes == 0);
    CHECK(text_of(roma_topology_allowed_nodes(made.get())) == "0-1");
    roma_system_info system;
    roma_topology_system(made.get(), &system);
    CHECK(system.overcommit_memory == -1);
}

TEST_CASE("a CPU list longer than its field is cut at a comma")
{
    tree at(fixture("one-node"));
    std::string list;
    for (int cpu = 100; cpu < 400; cpu += 2)
        list += std::to_string(cpu) + ",";
    at.put("/sys/devices/system/node/node0/cpulist", list + "400\n");
    const std::string cpus = node_of(read_topology(at.root()).get(), 0).cpus;
    CHECK(cpus.size() == 255);
    CHECK(list.compare(0, cpus.size() + 1, cpus + ",") == 0);
}

TEST_CASE("nothing is asked of a topology that is not there")
{
    roma_node_info node;
    roma_kind_info kind;
    roma_pool_info pool;
    roma_limit_info limit;
    roma_system_info system;
    roma_nodes none = roma_topology_nodes(nullptr);
    CHECK(roma_nodes_is_empty(&none));
    CHECK(roma_topology_node(nullptr, 0, &node) == -EINVAL);
    CHECK(roma_topology_distance(nullptr, 0, 0) == 0);
    CHECK(roma_topology_kinds_count(nullptr) == 0);
    CHECK(roma_topology_kind(nullptr, 0, &kind) == -EINVAL);
    CHECK(roma_topology_resolve(nullptr, ROMA_PAGES_BASE) == 0);
    CHECK(roma_topology_pool(nullptr, 4096, -1, &pool) == -EINVAL);
    CHECK(roma_topology_limits_count(nullptr) == 0);
    CHECK(roma_topology_limit(nullptr, 0, &limit) == -EINVAL);
    roma_topology_system(nullptr, &system);
    CHECK(system.io_uring_error == 1);
    roma_topology_system(nullptr, nullptr);
    roma_topology_free(nullptr);
    roma_error error = {};
    CHECK(roma_topology_read("", nullptr, &error) == -EINVAL);
    CHECK(error.why == ROMA_WHY_INVALID);
    const auto topology = read_topology(fixture("one-node"));
    CHECK(roma_topology_node(topology.get(), 0, nullptr) == -EINVAL);
    CHECK(roma_topology_kind(topology.get(), 0, nullptr) == -EINVAL);
    CHECK(roma_topology_pool(topology.get(), 2u << 20, -1, nullptr) == -EINVAL);
    CHECK(roma_topology_limit(topology.get(), 0, nullptr) == -EINVAL);
}

/* Every system call of a reading fails in turn; running out of descriptors must not pass for a
 * machine with less in it. */
TEST_CASE("a topology is read whole or fails with a named error, whichever call fails", "[long]")
{
    for (bool for_good : {false, true}) {
        unsigned failures = 0;
        for (long n = 1;; n++) {
            REQUIRE(n < 10000);
            roma_topology *topology = nullptr;
            roma_error error = {};
            bool reached;
            int code;
            {
                roma_tests::fail_nth faults(n, EMFILE, for_good);
                code = roma_topology_read(fixture("cgroup-hybrid").c_str(), &topology, &error);
                reached = roma_tests::fail_nth::reached;
            }
            if (!reached) {
                CHECK(code == 0);
                roma_topology_free(topology);
                break;
            }
            if (code != 0) {
                failures++;
                CHECK(topology == nullptr);
                CHECK((code == -EMFILE || code == -ENOMEM));
                CHECK(error.code == code);
                char text[256];
                CHECK(std::string(roma_error_text(&error, text, sizeof text)).size() > 10);
            } else {
                roma_topology_free(topology);
            }
        }
        CHECK(failures > 50);
    }
}

TEST_CASE("this machine's topology is consistent and read once")
{
    const roma_topology *topology = roma_topology_get();
    REQUIRE(topology != nullptr);
    CHECK(roma_topology_get() == topology);
    const roma_nodes nodes = roma_topology_nodes(topology);
    const roma_nodes memory = roma_topology_memory_nodes(topology);
    CHECK(roma_nodes_count(&nodes) > 0);
    CHECK(roma_nodes_count(&memory) > 0);
    roma_nodes outside = roma_nodes_without(&memory, &nodes);
    CHECK(roma_nodes_is_empty(&outside));
    roma_system_info system;
    roma_topology_system(topology, &system);
    CHECK(system.io_uring_error <= 0);
    CHECK(system.base_page_bytes == static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    CHECK(roma_topology_page_bytes(topology, ROMA_PAGES_BASE) == system.base_page_bytes);
}

#ifdef ROMA_TEST_HAS_LIBNUMA
TEST_CASE("libnuma agrees on nodes, memory, distances and the cpuset of this machine")
{
    if (numa_available() < 0)
        SKIP_TEST("libnuma says that this kernel has no NUMA");
    const auto topology = read_topology("");
    const roma_nodes nodes = roma_topology_nodes(topology.get());
    const roma_nodes memory = roma_topology_memory_nodes(topology.get());
    const roma_nodes allowed = roma_topology_allowed_nodes(topology.get());
    struct bitmask *listed = numa_parse_nodestring_all(text_of(nodes).c_str());
    REQUIRE(listed != nullptr);
    struct bitmask *mems = numa_get_mems_allowed();
    int last = -1;
    for (int node = 0; node <= numa_max_node(); node++) {
        INFO("node " << node);
        const auto number = static_cast<unsigned>(node);
        const bool there = roma_nodes_has(&nodes, number);
        CHECK(there == (numa_bitmask_isbitset(listed, number) != 0));
        CHECK(roma_nodes_has(&allowed, number) ==
              (numa_bitmask_isbitset(mems, number) != 0 && there));
        if (!there)
            continue;
        last = node;
        long long free_bytes = 0;
        const long long total = numa_node_size64(node, &free_bytes);
        CHECK(roma_nodes_has(&memory, number) == (total > 0));
        CHECK(node_of(topology.get(), number).total_bytes == static_cast<uint64_t>(total));
        for (int other = 0; other <= numa_max_node(); other++)
            CHECK(roma_topology_distance(topology.get(), number, static_cast<unsigned>(other)) ==
                  static_cast<unsigned>(numa_distance(node, other)));
    }
    CHECK(last == numa_max_node());
    numa_bitmask_free(listed);
    numa_bitmask_free(mems);
}
#endif
