/* migrate.cpp - moving pages to other nodes: what is counted where, and why pages did not move.
 *
 * This machine may have one node only, so the kernel is made up here: it knows a node for each page
 * and answers as the real one does. Blocks on the real one are for migrate_block.cpp; what it does
 * with several nodes is for tests/vm. */
#include "catch.hpp"
#include "emulated.hpp"
#include "faulty.hpp"
#include "skip.hpp"
#include "topology.hpp"
#include "tree.hpp"

#include "numa/machine.h"
#include "numa/migrate.h"
#include "sys/kernel.h"

#include <roma.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <vector>

using roma_tests::faulty;
using roma_tests::fixture;

namespace {

const size_t base_bytes = roma__machine_base_bytes();
constexpr int nowhere = -ENOENT;

/* The made-up kernel. Pages of `unit_pages` entries move together, named by any of them. */
struct kernel {
    static inline char *start;
    static inline size_t page_bytes;
    static inline std::vector<int> nodes;      /* of each entry, or a negative status     */
    static inline std::map<size_t, int> stuck; /* entries that do not move, and why       */
    static inline size_t unit_pages;
    static inline int room;       /* pages that the targets can still take   */
    static inline int call_error; /* of every call that is to move           */
    static inline int ask_error;  /* of every call that asks                 */
    static inline int bind_error;
    static inline int bind_mode;
    static inline roma_nodes bind_nodes;
    static inline unsigned asks, moves, binds;
    static inline size_t longest;

    const roma_tests::machine machine{fixture("two-nodes")};
    faulty table;

    kernel(size_t pages, int node, size_t bytes = base_bytes)
    {
        page_bytes = bytes;
        start = reinterpret_cast<char *>((uintptr_t)1 << 40);
        nodes.assign(pages, node);
        stuck.clear();
        unit_pages = 1;
        room = 1 << 30;
        call_error = ask_error = bind_error = bind_mode = 0;
        bind_nodes = roma_nodes_none();
        asks = moves = binds = 0;
        longest = 0;
        table.calls.move_pages = move_pages;
        table.calls.mbind = [](void *, size_t, int mode, const unsigned long *mask, unsigned long,
                               unsigned) {
            binds++;
            errno = bind_error;
            bind_mode = mode;
            std::memcpy(bind_nodes.words, mask, sizeof bind_nodes.words);
            return bind_error != 0 ? -1 : 0;
        };
    }

    static size_t index_of(void *page)
    {
        const size_t index = (size_t)((char *)page - start) / page_bytes;
        if (index >= nodes.size())
            throw std::out_of_range("a page that is not of the range");
        return index;
    }

    static bool take_along(size_t index, int target)
    {
        if (room == 0)
            return false;
        room--;
        for (size_t i = index / unit_pages * unit_pages; i < (index / unit_pages + 1) * unit_pages;
             i++)
            nodes[i] = target;
        return true;
    }

    /* As Linux does it: pages gather in a list, which is moved when it ends or a page cannot be put
     * into it; where not all of a list move, the call ends, with what is left as its answer. */
    static int move_pages(unsigned long count, void **pages, const int *targets, int *status, int)
    {
        longest = std::max(longest, (size_t)count);
        if (targets == nullptr) {
            asks++;
            errno = ask_error;
            for (unsigned long i = 0; i < count && ask_error == 0; i++)
                status[i] = nodes[index_of(pages[i])];
            return ask_error == 0 ? 0 : -1;
        }
        moves++;
        if (call_error != 0) {
            errno = call_error;
            return -1;
        }
        std::vector<unsigned long> list;
        const auto flush = [&](unsigned long next) -> int {
            int failed = 0;
            for (const unsigned long i : list) {
                const size_t index = index_of(pages[i]);
                const auto held = stuck.find(index);
                if (held != stuck.end())
                    failed++;
                else if (!take_along(index, targets[i])) {
                    errno = ENOMEM;
                    return -1;
                }
            }
            if (failed > 0)
                return failed + (int)(count - next);
            for (const unsigned long i : list)
                status[i] = targets[i];
            list.clear();
            return 0;
        };
        for (unsigned long i = 0; i < count; i++) {
            const size_t index = index_of(pages[i]);
            const auto held = stuck.find(index);
            const bool is_listed = std::any_of(list.begin(), list.end(), [&](unsigned long other) {
                return index_of(pages[other]) / unit_pages == index / unit_pages;
            });
            int answer = nodes[index];
            if (answer >= 0 && answer != targets[i]) {
                if (held == stuck.end() ? !is_listed : held->second == EAGAIN) {
                    list.push_back(i);
                    continue;
                }
                answer = held != stuck.end() ? -held->second : -EBUSY;
            }
            status[i] = answer;
            const int left = flush(i);
            if (left != 0)
                return left;
        }
        return flush(count);
    }
};

struct outcome {
    int code;
    roma_migration migration;
    roma_error error = {};
};

outcome migrate(const roma_nodes &nodes, roma_pages pages = ROMA_PAGES_BASE,
                size_t unit = base_bytes)
{
    outcome got = {};
    got.code = roma__machine_migrate(kernel::start, kernel::nodes.size() * kernel::page_bytes,
                                     static_cast<roma_page_kind>(pages), unit, &nodes,
                                     &got.migration, &got.error);
    const roma_migration &counts = got.migration;
    if (counts.page_bytes != 0 && (got.code == 0 || got.code == -EXDEV))
        CHECK(counts.moved + counts.already + counts.absent + counts.failed ==
              kernel::nodes.size());
    size_t reasons = 0;
    for (unsigned i = 0; i < counts.reasons_count; i++)
        reasons += counts.reasons[i].pages;
    CHECK(reasons == counts.failed);
    return got;
}

size_t failed_for(const roma_migration &migration, int cause)
{
    for (unsigned i = 0; i < migration.reasons_count; i++)
        if (migration.reasons[i].cause == cause)
            return migration.reasons[i].pages;
    return 0;
}

size_t pages_on(int node)
{
    return (size_t)std::count(kernel::nodes.begin(), kernel::nodes.end(), node);
}

std::string text_of(const roma_error &error)
{
    char text[256];
    return roma_error_text(&error, text, sizeof text);
}

} // namespace

TEST_CASE("each page is moved, was there or is absent, in ranges of any length", "[migrate]")
{
    for (const size_t pages : {1u, 2u, 511u, 512u, 513u, 1600u, 16384u, 40000u}) {
        kernel here(pages, 0);
        size_t there = 0, absent = 0;
        for (size_t i = 0; i < pages; i++) {
            if (i % 3 == 1) {
                kernel::nodes[i] = 1;
                there++;
            } else if (i % 7 == 2) {
                kernel::nodes[i] = i % 2 == 0 ? nowhere : -EFAULT; /* never touched; all zeros */
                absent++;
            }
        }
        INFO(pages << " pages");
        const outcome got = migrate(roma_nodes_one(1));
        CHECK(got.code == 0);
        CHECK(got.migration.page_bytes == base_bytes);
        CHECK(got.migration.already == there);
        CHECK(got.migration.absent == absent);
        CHECK(got.migration.moved == pages - there - absent);
        CHECK(pages_on(1) == pages - absent);
        CHECK(kernel::longest <= 512);
        /* One call asks first; the rest is a question and a move for each 512 pages. */
        CHECK(kernel::asks <= 2 + pages / 512 + 2 * (pages / 16384 + 1));
        CHECK(kernel::moves <= 1 + pages / 512 + pages / 16384 + 1);
        CHECK(kernel::binds == 1);
        CHECK(kernel::bind_mode == MPOL_PREFERRED);
    }
}

TEST_CASE("what lies on its node already is not moved, and costs no call that moves", "[migrate]")
{
    kernel here(1000, 1);
    const outcome got = migrate(roma_nodes_one(1));
    CHECK(got.code == 0);
    CHECK(got.migration.already == 1000);
    CHECK(kernel::moves == 0);
    CHECK(kernel::binds == 1); /* the policy is set all the same */
}

TEST_CASE("a transparent huge page moves as a whole, and each of its base pages counts",
          "[migrate]")
{
    kernel here(1 << 14, 0);
    kernel::unit_pages = 512;
    for (size_t i = 512; i < 1024; i++)
        kernel::nodes[i] = 1;
    const outcome got = migrate(roma_nodes_one(1), ROMA_PAGES_THP, 512 * base_bytes);
    CHECK(got.code == 0);
    CHECK(got.migration.moved == (1 << 14) - 512);
    CHECK(got.migration.already == 512);
    CHECK(pages_on(1) == 1 << 14);
    CHECK(kernel::moves <= 64); /* one or two a huge page, not one a base page */
}

TEST_CASE("several nodes get contiguous shares, whole pages of the range's kind", "[migrate]")
{
    kernel here(7 * 8, 0);
    roma_nodes both = roma_nodes_one(0);
    roma_nodes_add(&both, 1);
    const outcome got = migrate(both, ROMA_PAGES_THP, 8 * base_bytes);
    CHECK(got.code == 0);
    CHECK(got.migration.already == 4 * 8); /* the first share is the longer one */
    CHECK(got.migration.moved == 3 * 8);
    for (size_t i = 0; i < kernel::nodes.size(); i++)
        CHECK(kernel::nodes[i] == (i < 4 * 8 ? 0 : 1));
    CHECK(roma_nodes_equal(&kernel::bind_nodes, &both));

    kernel fewer(1, 1); /* fewer pages than nodes */
    CHECK(migrate(both).code == 0);
    CHECK(kernel::nodes[0] == 0);
}

TEST_CASE("hugetlb pages count as what they are, and their range is bound", "[migrate]")
{
    const size_t huge = (size_t)2 << 20;
    kernel here(9, 0, huge);
    kernel::nodes[4] = nowhere;
    const outcome got = migrate(roma_nodes_one(1), ROMA_PAGES_2M, huge);
    CHECK(got.code == 0);
    CHECK(got.migration.page_bytes == huge);
    CHECK(got.migration.moved == 8);
    CHECK(got.migration.absent == 1);
    CHECK(kernel::bind_mode == MPOL_BIND);
}

TEST_CASE("pages that do not move are counted by their cause, and all others move", "[migrate]")
{
    for (const int cause : {EBUSY, EACCES, EFAULT, ENOMEM, EIO, EINVAL, EAGAIN}) {
        kernel here(1200, 0);
        for (const size_t page : {0u, 1u, 2u, 100u, 511u, 512u, 1199u})
            kernel::stuck[page] = cause;
        INFO(strerror(cause));
        const outcome got = migrate(roma_nodes_one(1));
        CHECK(got.code == -EXDEV);
        CHECK(got.error.why == ROMA_WHY_LANDED_ELSEWHERE);
        CHECK(got.error.node == 1);
        CHECK(got.error.cause == cause);
        CHECK(got.error.need == 1200 * base_bytes);
        REQUIRE(got.migration.reasons_count == 1);
        if (cause == ENOMEM) { /* of one page: then the node is full */
            CHECK(got.migration.failed >= 7);
        } else {
            CHECK(got.migration.failed == 7);
            CHECK(got.migration.moved == 1193);
            CHECK(pages_on(1) == 1193);
        }
        CHECK(failed_for(got.migration, cause) == got.migration.failed);
    }
}

TEST_CASE("several causes are told apart, the first eight of them", "[migrate]")
{
    kernel here(600, 0);
    const int causes[] = {EBUSY, EACCES, EFAULT, EIO, EINVAL, EAGAIN, EPERM, ENXIO, EROFS, EPIPE};
    for (size_t i = 0; i < 10; i++)
        for (size_t k = 0; k <= i; k++)
            kernel::stuck[i * 20 + k] = causes[i];
    const outcome got = migrate(roma_nodes_one(1));
    CHECK(got.code == -EXDEV);
    CHECK(got.migration.failed == 55);
    CHECK(got.migration.reasons_count == ROMA_MIGRATION_REASONS);
    for (size_t i = 0; i < 7; i++)
        CHECK(failed_for(got.migration, causes[i]) == i + 1);
    CHECK(failed_for(got.migration, 0) == 8 + 9 + 10);
    CHECK(got.migration.moved == 545);
}

TEST_CASE("a node that fills up gets what it has room for, and the rest is not tried", "[migrate]")
{
    kernel here(40000, 0);
    kernel::room = 700;
    const outcome got = migrate(roma_nodes_one(1));
    CHECK(got.code == -EXDEV);
    CHECK(got.migration.moved == 700);
    CHECK(failed_for(got.migration, ENOMEM) == 39300);
    CHECK(got.error.cause == ENOMEM);
    CHECK(kernel::moves < 10);
    const std::string text = text_of(got.error);
    INFO(text);
    CHECK(text.find("node 1") != std::string::npos);

    /* A full share says nothing of the next one. */
    kernel again(100, 1);
    kernel::room = 0;
    roma_nodes both = roma_nodes_one(0);
    roma_nodes_add(&both, 1);
    const outcome half = migrate(both);
    CHECK(half.code == -EXDEV);
    CHECK(half.migration.failed == 50);
    CHECK(half.migration.already == 50);
    CHECK(half.error.node == -1);
}

TEST_CASE("a page that is busy for a moment is tried again", "[migrate]")
{
    static unsigned busy;
    for (const int times : {1, 2, 3}) {
        kernel here(3, 0);
        busy = (unsigned)times;
        here.table.calls.move_pages = [](unsigned long count, void **pages, const int *targets,
                                         int *status, int flags) {
            if (targets != nullptr && busy > 0) {
                busy--;
                for (unsigned long i = 0; i < count; i++)
                    status[i] = -EBUSY;
                return 0;
            }
            return kernel::move_pages(count, pages, targets, status, flags);
        };
        CHECK(migrate(roma_nodes_one(1)).code == 0);
        CHECK(pages_on(1) == 3);
    }
}

TEST_CASE("a call that is refused is -EPERM by name, and nothing was changed", "[migrate]")
{
    for (const int cause : {EPERM, ENOSYS}) {
        kernel here(10, 0);
        kernel::ask_error = cause;
        outcome got = migrate(roma_nodes_one(1));
        CHECK(got.code == -EPERM);
        CHECK(got.error.code == -EPERM);
        CHECK(got.error.why == ROMA_WHY_CALL_REFUSED);
        CHECK(got.error.cause == cause);
        CHECK(std::string(got.error.call) == "move_pages");
        CHECK(got.migration.page_bytes == 0);
        CHECK(kernel::binds == 0);

        kernel::ask_error = 0;
        kernel::bind_error = cause;
        got = migrate(roma_nodes_one(1));
        CHECK(got.code == -EPERM);
        CHECK(got.error.code == -EPERM);
        CHECK(got.error.why == ROMA_WHY_CALL_REFUSED);
        CHECK(std::string(got.error.call) == "mbind");
        CHECK(kernel::moves == 0);
        CHECK(pages_on(0) == 10);

        kernel::bind_error = 0;
        kernel::call_error = cause;
        got = migrate(roma_nodes_one(1));
        CHECK(got.code == -EPERM);
        CHECK(got.error.why == ROMA_WHY_CALL_REFUSED);
        CHECK(pages_on(0) == 10);
    }
}

TEST_CASE("a call that fails for another reason ends the migration with that reason", "[migrate]")
{
    kernel here(10, 0);
    kernel::call_error = EACCES;
    const outcome got = migrate(roma_nodes_one(1));
    CHECK(got.code == -EACCES);
    CHECK(got.error.why == ROMA_WHY_CALL);
    CHECK(got.migration.failed == 0);
}

TEST_CASE("nodes that are not there or not allowed are refused before anything is done",
          "[migrate]")
{
    kernel here(10, 0);
    outcome got = migrate(roma_nodes_one(7));
    CHECK(got.code == -EINVAL);
    CHECK(got.error.why == ROMA_WHY_NODE_ABSENT);
    CHECK(got.error.node == 7);
    roma_nodes half = roma_nodes_one(1);
    roma_nodes_add(&half, 7);
    CHECK(migrate(half).code == -EINVAL);
    roma__machine_root(fixture("sparse-ids").c_str()); /* node 2 is not in the cpuset */
    got = migrate(roma_nodes_one(2));
    CHECK(got.code == -EXDEV);
    CHECK(got.error.why == ROMA_WHY_NODE_FORBIDDEN);
    CHECK(got.error.node == 2);
    CHECK(kernel::asks + kernel::moves + kernel::binds == 0);
}

TEST_CASE("a kernel without NUMA has everything on node 0 already", "[migrate]")
{
    SKIP_WHERE_EMULATED();
    void *at = mmap(nullptr, 4 * base_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    REQUIRE(at != MAP_FAILED);
    madvise(at, 4 * base_bytes, MADV_NOHUGEPAGE);
    static_cast<char *>(at)[base_bytes] = 1;
    static_cast<char *>(at)[3 * base_bytes] = 1;
    roma_migration migration = {};
    roma_error error = {};
    roma_nodes zero = roma_nodes_one(0), one = roma_nodes_one(1);
    {
        kernel here(4, 0);
        kernel::ask_error = ENOSYS;
        kernel::bind_error = ENOSYS;
        roma__machine_root(fixture("no-numa").c_str());
        CHECK(roma__machine_migrate(at, 4 * base_bytes, ROMA_PAGES_BASE, base_bytes, &zero,
                                    &migration, &error) == 0);
        CHECK(migration.already == 2);
        CHECK(migration.absent == 2);
        CHECK(roma__machine_migrate(at, 4 * base_bytes, ROMA_PAGES_BASE, base_bytes, &one,
                                    &migration, &error) == -EINVAL);
        CHECK(error.why == ROMA_WHY_NODE_ABSENT);
    }
    munmap(at, 4 * base_bytes);
}
