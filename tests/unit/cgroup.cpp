/* cgroup.cpp - limits of cgroups of version 1, 2 and both, wherever they are mounted. */
#include "catch.hpp"
#include "tree.hpp"

#include "sys/cgroup.h"

#include <cerrno>
#include <string>
#include <vector>

using roma_tests::fixture;
using roma_tests::tree;

namespace {

constexpr size_t sizes[] = {size_t{1} << 30, 2u << 20, 64u << 10};
constexpr uint64_t mib = 1 << 20;

int add_limit(void *limits, const roma__limit *limit)
{
    static_cast<std::vector<roma__limit> *>(limits)->push_back(*limit);
    return 0;
}

std::vector<roma__limit> limits_of(const std::string &root)
{
    std::vector<roma__limit> limits;
    CHECK(roma__cgroup_limits(root.c_str(), sizes, 3, add_limit, &limits) == 0);
    return limits;
}

void check(const roma__limit &limit, roma__limit_kind kind, unsigned version, uint64_t max_bytes,
           uint64_t used_bytes, const std::string &cgroup)
{
    CHECK(limit.kind == kind);
    CHECK(limit.version == version);
    CHECK(limit.max_bytes == max_bytes);
    CHECK(limit.used_bytes == used_bytes);
    CHECK(limit.cgroup == cgroup);
    CHECK(limit.page_bytes == (kind == ROMA__LIMIT_MEMORY ? 0 : 2u << 20));
}

/* A process in `path` of a version 2 hierarchy of which `top` is mounted at /cg. */
void put_membership(const tree &at, const std::string &path, const std::string &top)
{
    at.put("/proc/self/cgroup", "0::" + path + "\n");
    at.put("/proc/self/mountinfo", "31 24 0:26 " + top + " /cg rw shared:9 - cgroup2 cgroup2 rw\n");
}

} // namespace

TEST_CASE("cgroup limits of version 1, through a container's mounts; 2^63 is no limit")
{
    const auto limits = limits_of(fixture("cgroup-v1"));
    REQUIRE(limits.size() == 3);
    check(limits[0], ROMA__LIMIT_MEMORY, 1, 1024 * mib, 900 * mib, "/docker/4f2a");
    CHECK(limits[0].cache_bytes == 300 * mib);
    check(limits[1], ROMA__LIMIT_HUGETLB_RSVD, 1, 32 * mib, 8 * mib, "/docker/4f2a/job");
    check(limits[2], ROMA__LIMIT_HUGETLB, 1, 64 * mib, 40 * mib, "/docker/4f2a");
}

TEST_CASE("cgroup limits of version 2, the cgroup's and its parent's; memory.high is none")
{
    const auto limits = limits_of(fixture("cgroup-v2"));
    REQUIRE(limits.size() == 3);
    check(limits[0], ROMA__LIMIT_MEMORY, 2, 4096 * mib, 1024 * mib, "/batch.slice");
    CHECK(limits[0].cache_bytes == 24 * mib);
    check(limits[1], ROMA__LIMIT_HUGETLB, 2, 10 * mib, 8 * mib, "/batch.slice/job-7.scope");
    check(limits[2], ROMA__LIMIT_HUGETLB_RSVD, 2, 16 * mib, 0, "/batch.slice");
}

TEST_CASE("cgroup limits of a hybrid: each controller where it is")
{
    const auto limits = limits_of(fixture("cgroup-hybrid"));
    REQUIRE(limits.size() == 2);
    check(limits[0], ROMA__LIMIT_MEMORY, 1, 768 * mib, 512 * mib, "/process/890701bb");
    check(limits[1], ROMA__LIMIT_HUGETLB, 2, 6 * mib, 2 * mib, "/job");
}

TEST_CASE("machines without cgroups, or with none mounted, have no limits")
{
    CHECK(limits_of(fixture("one-node")).empty());
    CHECK(limits_of(fixture("two-nodes")).empty());
    tree at;
    CHECK(limits_of(at.root()).empty());
    at.put("/proc/self/cgroup", "0::/\n");
    CHECK(limits_of(at.root()).empty());
}

TEST_CASE("a process is found in a mount of part of the hierarchy, or known not to be in it")
{
    const struct {
        const char *path, *top;
        std::vector<const char *> seen; /* folders below the mount whose limits bind */
    } cases[] = {
        {"/", "/", {""}},
        {"/a", "/", {"/a", ""}},
        {"/a/b", "/", {"/a/b", "/a", ""}},
        {"/a/b", "/a", {"/b", ""}},
        {"/a/b", "/a/b", {""}},
        {"/ab", "/a", {}},  /* a name that only starts the same */
        {"/x", "/a", {}},   /* mounted elsewhere                */
        {"/", "/..", {""}}, /* namespace below the mount's root */
        {"/a", "/../..", {""}},
        {"/../b", "/..", {"/b", ""}}, /* moved out of its namespace       */
        {"/../b", "/", {}},
        {"/../../b", "/..", {}},
        {"/..a", "/", {"/..a", ""}},
    };
    for (const auto &c : cases) {
        INFO(c.path << " in a mount of " << c.top);
        tree at;
        put_membership(at, c.path, c.top);
        const char *all[] = {"", "/a", "/b", "/a/b", "/ab", "/x", "/..a"};
        for (const char *folder : all) {
            at.put(std::string("/cg") + folder + "/memory.max",
                   std::to_string(1000 + std::string(folder).size()));
            at.put(std::string("/cg") + folder + "/memory.current", "7\n");
        }
        const auto limits = limits_of(at.root());
        REQUIRE(limits.size() == c.seen.size());
        for (size_t i = 0; i < limits.size(); i++)
            CHECK(limits[i].max_bytes == 1000 + std::string(c.seen[i]).size());
    }
}

TEST_CASE("of several mounts of a hierarchy the one that shows most counts")
{
    tree at;
    at.put("/proc/self/cgroup", "0::/a/b\n");
    at.put("/proc/self/mountinfo", "1 1 0:1 /a/b /part rw - cgroup2 none rw\n"
                                   "2 1 0:1 / /all rw - cgroup2 none rw\n"
                                   "3 1 0:1 /a /some rw - cgroup2 none rw\n");
    at.put("/all/a/memory.max", "4096\n");
    const auto limits = limits_of(at.root());
    REQUIRE(limits.size() == 1);
    CHECK(limits[0].used_bytes == 0);
    CHECK(limits[0].cgroup == std::string("/a"));
}

TEST_CASE("mount points with blanks, page sizes of each unit, limits that are not numbers")
{
    tree at;
    at.put("/proc/self/cgroup", "0::/job\n");
    at.put("/proc/self/mountinfo", "1 1 0:1 / /my\\040mount\\134 rw - cgroup2 none rw\n");
    at.put("/my mount\\/job/hugetlb.1GB.max", "1073741824\n");
    at.put("/my mount\\/job/hugetlb.64KB.rsvd.max", "65536\n");
    at.put("/my mount\\/job/hugetlb.2MB.max", "lots\n");
    at.put("/my mount\\/job/memory.max", "\n");
    const auto limits = limits_of(at.root());
    REQUIRE(limits.size() == 2);
    CHECK(limits[0].page_bytes == size_t{1} << 30);
    CHECK(limits[0].kind == ROMA__LIMIT_HUGETLB);
    CHECK(limits[1].page_bytes == 64u << 10);
    CHECK(limits[1].kind == ROMA__LIMIT_HUGETLB_RSVD);
}

TEST_CASE("damaged lines of cgroup and mountinfo are passed over")
{
    tree at;
    at.put("/proc/self/cgroup", "\n:\n4\n4:memory\n::\n0:\n0::/job\n");
    at.put("/proc/self/mountinfo", "\n - \n - cgroup2\n1 2 - cgroup2 none rw\n"
                                   "1 1 0:1 / relative rw - cgroup2 none rw\n" +
                                       std::string(9000, 'x') + "\n" +
                                       "1 1 0:1 / /cg rw - cgroup2 none rw\n");
    at.put("/cg/job/memory.max", "4096\n");
    CHECK(limits_of(at.root()).size() == 1);
    put_membership(at, "/" + std::string(3000, 'p'), "/");
    CHECK(limits_of(at.root()).empty());
}

TEST_CASE("a long cgroup path keeps its end, and a visitor may stop the walk")
{
    tree at;
    const std::string path = "/" + std::string(200, 'a') + "/" + std::string(150, 'b');
    put_membership(at, path, "/");
    at.put("/cg" + path + "/memory.max", "4096\n");
    const auto limits = limits_of(at.root());
    REQUIRE(limits.size() == 1);
    CHECK(std::string(limits[0].cgroup) == path.substr(path.size() - 255));
    CHECK(roma__cgroup_limits(
              at.root(), sizes, 3, [](void *, const roma__limit *) { return -7; }, nullptr) == -7);
}
