/* migrate.cpp - blocks move from node to node: each page is counted, and lies there by the kernel's
 * own word.
 *
 * Where a machine has one node only there is nowhere to go, and nothing here to try. */
#include "oracle.hpp"
#include "owned.hpp"
#include "requests.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using namespace roma_tests;

namespace {

constexpr size_t length = 16 * mib;

struct page_case {
    const char *name;
    roma_pages pages;
    size_t unit; /* of the counts */
};
const page_case page_cases[] = {{"base", ROMA_PAGES_BASE, 4096},
                                {"thp", ROMA_PAGES_THP, 4096},
                                {"hugetlb", ROMA_PAGES_2M, 2 * mib}};

struct pair {
    unsigned from, to;
};

std::vector<pair> pairs()
{
    std::vector<pair> found;
    for (const unsigned from : memory_nodes())
        for (const unsigned to : memory_nodes())
            if (from != to)
                found.push_back({from, to});
    return found;
}

bool has_room(unsigned node, roma_pages pages)
{
    return pages == ROMA_PAGES_2M ? free_huge_on(node) * 2 * mib >= length
                                  : free_on(node) / 4 >= length;
}

std::string pool_of(unsigned node)
{
    return "/sys/devices/system/node/node" + std::to_string(node) +
           "/hugepages/hugepages-2048kB/nr_hugepages";
}

size_t bytes_on(const void *block, unsigned node)
{
    auto found = bytes_by_node(block, length);
    return found[(int)node];
}

void mark(unsigned char *block)
{
    for (size_t i = 0; i < length; i += 64)
        block[i] = (unsigned char)(i / 64 * 7 + i / 4096);
}

size_t wrong_marks(const unsigned char *block)
{
    size_t wrong = 0;
    for (size_t i = 0; i < length; i += 64)
        wrong += block[i] != (unsigned char)(i / 64 * 7 + i / 4096);
    return wrong;
}

size_t kind_bytes(const void *block, unsigned page_class)
{
    roma_report report;
    REQUIRE(roma_where(block, &report) == 0);
    size_t sum = 0;
    for (unsigned i = 0; i < report.kinds_count; i++)
        if (roma_page_class(report.kinds[i].pages) == page_class)
            sum += report.kinds[i].bytes;
    return report.kinds_known ? sum : SIZE_MAX;
}

unsigned char *strict_block(roma_manager *manager, unsigned node, roma_pages pages)
{
    const roma_request want = on_node(node, length, pages, true);
    roma_grant grant;
    void *block = roma_alloc_with(manager, &want, &grant);
    char text[256];
    INFO(roma_error_text(&grant.error, text, sizeof text));
    REQUIRE(block != nullptr);
    CHECK(bytes_on(block, node) == length);
    return static_cast<unsigned char *>(block);
}

void tell(const roma_migration &migration)
{
    std::string reasons;
    for (unsigned i = 0; i < migration.reasons_count; i++)
        reasons += ", " + std::to_string(migration.reasons[i].pages) + " for " +
                   std::string(strerror(migration.reasons[i].cause));
    char text[256];
    UNSCOPED_INFO("moved " << migration.moved << ", already " << migration.already << ", absent "
                           << migration.absent << ", failed " << migration.failed << reasons << "; "
                           << roma_error_text(&migration.error, text, sizeof text));
}

/* A strict block of one node that was moved to another. */
unsigned char *migrated_block(roma_manager *manager, const pair &way, roma_pages pages)
{
    unsigned char *block = strict_block(manager, way.from, pages);
    const roma_nodes target = roma_nodes_one(way.to);
    roma_migration migration;
    const int code = roma_migrate(block, &target, &migration);
    tell(migration);
    REQUIRE(code == 0);
    return block;
}

} // namespace

TEST_CASE("a block moves from node to node with its contents, of each page kind", "[migrate]")
{
    for (const auto &[from, to] : pairs())
        for (const page_case &kind : page_cases) {
            if (!has_room(from, kind.pages) || !has_room(to, kind.pages))
                continue;
            INFO(kind.name << " from node " << from << " to node " << to);
            owned manager;
            unsigned char *block = strict_block(manager.self, from, kind.pages);
            const size_t thp = kind_bytes(block, ROMA_PAGE_CLASS_THP);
            mark(block);
            const roma_nodes target = roma_nodes_one(to);
            const roma_block handle = roma_block_of(block);
            roma_migration migration;
            const int code = roma_migrate(block, &target, &migration);
            tell(migration);
            REQUIRE(code == 0);
            CHECK(migration.page_bytes == kind.unit);
            CHECK(migration.moved == length / kind.unit);
            CHECK(migration.already + migration.absent + migration.failed == 0);
            CHECK(bytes_on(block, to) == length);
            CHECK(wrong_marks(block) == 0);
            CHECK(roma_block_get(handle) == block);
            CHECK(kind_bytes(block, ROMA_PAGE_CLASS_THP) == thp); /* they stay huge */
            roma_report report;
            CHECK(roma_where(block, &report) == 0);
            CHECK(report.nodes_count == 1);
            CHECK(report.nodes[0].node == (int)to);
            CHECK(report.nodes[0].bytes == length);

            CHECK(roma_migrate(block, &target, &migration) == 0);
            CHECK(migration.already == length / kind.unit);
            CHECK(migration.moved == 0);
            roma_free(block);
        }
}

TEST_CASE("pages that were never touched come to the new node when they are", "[migrate]")
{
    for (const auto &[from, to] : pairs()) {
        if (!has_room(from, ROMA_PAGES_BASE) || !has_room(to, ROMA_PAGES_BASE))
            continue;
        INFO("from node " << from << " to node " << to);
        owned manager;
        roma_request want = on_node(from, length, ROMA_PAGES_BASE, false);
        want.populate_threads = 0;
        auto *block = static_cast<unsigned char *>(roma_alloc_with(manager.self, &want, nullptr));
        REQUIRE(block != nullptr);
        std::memset(block, 1, length / 4);
        const roma_nodes target = roma_nodes_one(to);
        roma_migration migration;
        const int code = roma_migrate(block, &target, &migration);
        tell(migration);
        CHECK(code == 0);
        CHECK(migration.moved == length / 4 / 4096);
        CHECK(migration.absent == length / 4 * 3 / 4096);
        std::memset(block, 2, length);
        CHECK(bytes_on(block, to) == length);
        roma_free(block);
    }
}

TEST_CASE("several nodes get a share each, the lowest the first", "[migrate]")
{
    const auto nodes = memory_nodes();
    for (const page_case &kind : page_cases) {
        std::vector<unsigned> targets;
        roma_nodes set = roma_nodes_none();
        for (const unsigned node : nodes)
            if (has_room(node, kind.pages)) {
                targets.push_back(node);
                roma_nodes_add(&set, node);
            }
        if (targets.size() < 2)
            continue;
        INFO(kind.name);
        owned manager;
        unsigned char *block = strict_block(manager.self, targets.back(), kind.pages);
        mark(block);
        roma_migration migration;
        const int code = roma_migrate(block, &set, &migration);
        tell(migration);
        REQUIRE(code == 0);
        const size_t unit = kind.pages == ROMA_PAGES_BASE ? 4096 : 2 * mib;
        size_t start = 0;
        for (size_t i = 0; i < targets.size(); i++) {
            const size_t units = length / unit, shares = targets.size();
            const size_t bytes = (units / shares + (i < units % shares ? 1 : 0)) * unit;
            auto found = bytes_by_node(block + start, bytes);
            INFO("share " << i);
            CHECK(found.size() == 1);
            CHECK(found[(int)targets[i]] == bytes);
            start += bytes;
        }
        CHECK(start == length);
        CHECK(wrong_marks(block) == 0);
        roma_free(block);
    }
}

TEST_CASE("what a migrated block leaves is not given to a strict block on its old node",
          "[migrate]")
{
    for (const auto &[from, to] : pairs())
        for (const page_case &kind : page_cases) {
            if (!has_room(from, kind.pages) || !has_room(to, kind.pages))
                continue;
            INFO(kind.name << " from node " << from << " to node " << to);
            owned manager;
            unsigned char *block = migrated_block(manager.self, {from, to}, kind.pages);
            roma_free(block);
            block = strict_block(manager.self, from, kind.pages); /* looks where it is */
            roma_free(block);
        }
}

TEST_CASE("a migrated block that grows gets its new pages where the others are", "[migrate]")
{
    for (const auto &[from, to] : pairs())
        for (const page_case &kind : page_cases) {
            if (!has_room(from, kind.pages) || !has_room(to, kind.pages) ||
                (kind.pages == ROMA_PAGES_2M && free_huge_on(to) * 2 * mib < 2 * length))
                continue;
            INFO(kind.name << " from node " << from << " to node " << to);
            owned manager;
            unsigned char *block = migrated_block(manager.self, {from, to}, kind.pages);
            void *longer = roma_resize(block, 2 * length);
            REQUIRE(longer != nullptr);
            std::memset(longer, 1, 2 * length);
            auto found = bytes_by_node(longer, 2 * length);
            CHECK(found.size() == 1);
            CHECK(found[(int)to] == 2 * length);
            roma_free(longer);
        }
}

TEST_CASE("huge pages that the target's pool lacks are made of its free memory, and the pool moves",
          "[migrate]")
{
    for (const auto &[from, to] : pairs()) {
        if (!has_room(from, ROMA_PAGES_2M) || free_huge_on(to) == 0 || free_on(to) / 4 < length)
            continue;
        INFO("from node " << from << " to node " << to);
        const std::string before = read_text(pool_of(to)), source = read_text(pool_of(from));
        REQUIRE(write_text(pool_of(to), "0"));
        REQUIRE(free_huge_on(to) == 0);
        owned manager;
        unsigned char *block = strict_block(manager.self, from, ROMA_PAGES_2M);
        mark(block);
        const roma_nodes target = roma_nodes_one(to);
        roma_migration migration;
        const int code = roma_migrate(block, &target, &migration);
        tell(migration);
        CHECK(code == 0);
        CHECK(migration.moved == length / (2 * mib));
        CHECK(bytes_on(block, to) == length);
        CHECK(wrong_marks(block) == 0);
        INFO("pools: source " << read_text(pool_of(from)) << ", target " << read_text(pool_of(to)));
        CHECK(std::stoul(read_text(pool_of(to))) == length / (2 * mib));
        CHECK(std::stoul(read_text(pool_of(from))) == std::stoul(source) - length / (2 * mib));
        roma_free(block);
        write_text(pool_of(to), before);
        write_text(pool_of(from), source);
        CHECK(read_text(pool_of(to)) == before);
        CHECK(read_text(pool_of(from)) == source);
    }
}

TEST_CASE("huge pages that the target has none for are failed, with the reason", "[migrate]")
{
    /* The node is to have no free memory in runs of 2 MiB: its pool is made as large as the kernel
     * can, and all of it used. */
    for (const auto &[from, to] : pairs()) {
        if (!has_room(from, ROMA_PAGES_2M) || free_huge_on(to) == 0)
            continue;
        INFO("from node " << from << " to node " << to);
        const std::string pool = pool_of(to), before = read_text(pool);
        owned manager;
        unsigned char *block = strict_block(manager.self, from, ROMA_PAGES_2M);
        mark(block);
        std::vector<void *> taken;
        roma_migration migration = {};
        int code = 0;
        size_t arrived = 0;
        for (int round = 0; round < 8 && code == 0; round++) { /* until not all of it goes there */
            if (round > 0) {
                const roma_nodes source = roma_nodes_one(from);
                CHECK(roma_migrate(block, &source, nullptr) == 0);
            }
            write_text(pool, "100000");
            const roma_request want = on_node(to, 2 * mib, ROMA_PAGES_2M, true);
            for (void *other; (other = roma_alloc_with(manager.self, &want, nullptr)) != nullptr;)
                taken.push_back(other);
            CHECK(free_huge_on(to) == 0);
            const roma_nodes target = roma_nodes_one(to);
            code = roma_migrate(block, &target, &migration);
        }
        tell(migration);
        arrived = (migration.moved + migration.already) * 2 * mib;
        CHECK(code == -EXDEV);
        CHECK(migration.error.why == ROMA_WHY_LANDED_ELSEWHERE);
        CHECK(migration.error.node == (int)to);
        CHECK(migration.error.cause == ENOMEM);
        CHECK(migration.failed > 0);
        CHECK(migration.failed * 2 * mib + arrived == length);
        REQUIRE(migration.reasons_count == 1);
        CHECK(migration.reasons[0].cause == ENOMEM);
        CHECK(migration.reasons[0].pages == migration.failed);
        CHECK(bytes_on(block, to) == arrived);
        CHECK(bytes_on(block, from) == length - arrived);
        CHECK(wrong_marks(block) == 0);
        for (void *other : taken)
            roma_free(other);
        roma_free(block);
        CHECK(roma_manager_trim(manager.self, 0) > 0);
        write_text(pool, before);
        CHECK(read_text(pool) == before);
        break; /* one pair: it empties a node */
    }
}

TEST_CASE("a child moves what it has written; what it shares with its parent is EACCES",
          "[migrate]")
{
    for (const auto &[from, to] : pairs()) {
        if (!has_room(from, ROMA_PAGES_BASE) || !has_room(to, ROMA_PAGES_BASE))
            continue;
        INFO("from node " << from << " to node " << to);
        owned manager;
        unsigned char *block = strict_block(manager.self, from, ROMA_PAGES_BASE);
        mark(block);
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            std::memset(block, 3, length / 2);
            const roma_nodes target = roma_nodes_one(to);
            roma_migration migration;
            if (roma_migrate(block, &target, &migration) != -EXDEV)
                _exit(1);
            const size_t half = length / 2 / 4096;
            if (migration.failed != half || migration.reasons_count != 1 ||
                migration.reasons[0].cause != EACCES)
                _exit(2);
            _exit(migration.moved == half ? 0 : 3);
        }
        int status;
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
        CHECK(bytes_on(block, from) == length);
        CHECK(wrong_marks(block) == 0);
        roma_free(block);
    }
}
