/* seccomp.cpp - calls that a filter refuses, as containers have: each is a named step, not a
 * surprise. The filter stands in a child; it is a few instructions, so no library is needed. */
#include "descriptors.hpp"
#include "disk_file.hpp"
#include "emulated.hpp"
#include "huge_pages.hpp"
#include "skip.hpp"

#include "sys/kernel.h"

#include <roma.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

using roma_tests::huge_pages;

namespace {

struct refusal {
    unsigned call;
    int value; /* of an argument; -1: the call as a whole */
    int cause;
    unsigned argument = 2; /* of madvise its advice */
};

/* Refuse some calls from now on. The number is compared, then the argument. */
bool refuse(const std::vector<refusal> &refusals)
{
    std::vector<sock_filter> code;
    const unsigned number = offsetof(seccomp_data, nr);
    const auto low_half = [](unsigned argument) { /* little endian */
                                                  return static_cast<unsigned>(
                                                      offsetof(seccomp_data, args) + 8 * argument);
    };
    for (const refusal &row : refusals) {
        const unsigned answer = SECCOMP_RET_ERRNO | ((unsigned)row.cause & SECCOMP_RET_DATA);
        code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number));
        if (row.value < 0) {
            code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, row.call, 0, 1));
        } else {
            code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, row.call, 0, 3));
            code.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, low_half(row.argument)));
            code.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)row.value, 0, 1));
        }
        code.push_back(BPF_STMT(BPF_RET | BPF_K, answer));
    }
    code.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    sock_fprog program = {(unsigned short)code.size(), code.data()};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

struct outcome {
    bool filtered;
    int code;
    roma_error error = {};
    size_t resident;
};

struct wish {
    roma_page_kind pages;
    bool on_node_zero, strict;
    unsigned threads;
    size_t pages_count = 4;
};

/* Acquire under a filter, in a child; what was found there. */
outcome acquire_under(const std::vector<refusal> &refusals, const wish &wish)
{
    void *page = mmap(nullptr, sizeof(outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);
    REQUIRE(page != MAP_FAILED);
    auto *shared = new (page) outcome();
    roma_page_kind pages = roma_topology_resolve(roma_topology_get(), wish.pages);
    pid_t child = fork();
    if (child == 0) {
        roma_extent_request request = roma_extent_request_default();
        request.bytes = wish.pages_count * roma_page_bytes(pages);
        request.pages = wish.pages;
        request.strict = wish.strict;
        request.populate_threads = wish.threads;
        if (wish.on_node_zero)
            request.nodes = roma_nodes_one(0);
        shared->filtered = refuse(refusals);
        roma_extent extent;
        shared->code = roma_provider_acquire(roma_provider_anonymous(), &request, &extent,
                                             &shared->error);
        for (size_t at = 0; shared->code == 0 && at < extent.bytes; at += 4096) {
            unsigned char present = 0;
            (void)mincore(static_cast<char *>(extent.address) + at, 1, &present);
            shared->resident += (present & 1) != 0 ? 4096 : 0;
        }
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    outcome seen = *shared;
    if (seen.error.call != nullptr) /* a literal of this program, the same in the child */
        CHECK(std::strlen(seen.error.call) > 0);
    munmap(page, sizeof(outcome));
    return seen;
}

bool names(const outcome &seen, const char *call, const char *subject)
{
    return seen.error.why == ROMA_WHY_CALL_REFUSED && seen.error.call != nullptr &&
           std::strcmp(seen.error.call, call) == 0 && std::string(seen.error.subject) == subject;
}

const auto base = (roma_page_kind)ROMA_PAGES_BASE;
const auto transparent = (roma_page_kind)ROMA_PAGES_THP;

const refusal no_mbind = {SYS_mbind, -1, EPERM};
const refusal no_populate = {SYS_madvise, MADV_POPULATE_WRITE, EPERM};
const refusal no_huge_advice = {SYS_madvise, MADV_HUGEPAGE, EPERM};

bool has_transparent()
{
    roma_extent_request request = roma_extent_request_default();
    request.bytes = 1;
    request.pages = transparent;
    return roma_provider_probe(roma_provider_anonymous(), &request, nullptr) == 0;
}

} // namespace

#define NEEDS_FILTER(seen)                                                                         \
    if (!seen.filtered)                                                                            \
    SKIP_TEST("this kernel installs no seccomp filter")

TEST_CASE("a refused mbind is named, and is none where no node is asked", "[seccomp]")
{
    for (int cause : {EPERM, ENOSYS}) {
        outcome seen = acquire_under({{SYS_mbind, -1, cause}}, {base, true, false, 0});
        NEEDS_FILTER(seen);
        if (cause == ENOSYS && seen.code == 0)
            continue; /* a kernel without NUMA, whose one node was asked for */
        CHECK(seen.code == -cause);
        CHECK(names(seen, "mbind", ""));
        char text[256];
        CHECK(std::strstr(roma_error_text(&seen.error, text, sizeof text), "seccomp") != nullptr);
    }
    CHECK(acquire_under({no_mbind}, {base, false, false, 2}).code == 0);
}

TEST_CASE("a refused MADV_HUGEPAGE is named", "[seccomp]")
{
    if (!has_transparent())
        SKIP_TEST("no transparent huge pages here");
    outcome seen = acquire_under({no_huge_advice}, {transparent, false, false, 0});
    NEEDS_FILTER(seen);
    CHECK(seen.code == -EPERM);
    CHECK(names(seen, "madvise", "MADV_HUGEPAGE"));
}

TEST_CASE("a refused MADV_NOHUGEPAGE does no harm, but for strict base pages is named", "[seccomp]")
{
    const refusal no_advice = {SYS_madvise, MADV_NOHUGEPAGE, EPERM};
    outcome seen = acquire_under({no_advice}, {base, false, false, 1});
    NEEDS_FILTER(seen);
    CHECK(seen.code == 0);
    seen = acquire_under({no_advice}, {base, false, true, 1});
    CHECK(seen.code == -EPERM);
    CHECK(names(seen, "madvise", "MADV_NOHUGEPAGE"));
}

TEST_CASE("ordinary pages are populated also where MADV_POPULATE_WRITE is refused", "[seccomp]")
{
    for (int cause : {EPERM, EACCES, ENOSYS, EINVAL}) {
        const refusal no = {SYS_madvise, MADV_POPULATE_WRITE, cause};
        outcome seen = acquire_under({no}, {base, false, false, 3, 100});
        NEEDS_FILTER(seen);
        CHECK(seen.code == 0);
        CHECK(seen.resident == 100 * (size_t)sysconf(_SC_PAGESIZE));
    }
}

TEST_CASE("hugetlb pages are refused by name where MADV_POPULATE_WRITE is", "[seccomp]")
{
    huge_pages pool(4);
    SKIP_WITHOUT_PAGES(pool);
    const uint64_t free_before = pool.free_count();
    outcome seen = acquire_under({no_populate}, {pool.kind, false, false, 1, 2});
    NEEDS_FILTER(seen);
    CHECK(seen.code == -EPERM);
    CHECK(names(seen, "madvise", "MADV_POPULATE_WRITE"));
    CHECK(seen.error.pages == pool.kind);
    seen = acquire_under({{SYS_madvise, MADV_POPULATE_WRITE, EINVAL}},
                         {pool.kind, false, false, 1, 2});
    CHECK(seen.code == -EOPNOTSUPP);
    CHECK(seen.error.why == ROMA_WHY_UNSUPPORTED);
    seen = acquire_under({no_mbind}, {pool.kind, true, false, 1, 2});
    CHECK(seen.code == -EPERM);
    CHECK(names(seen, "mbind", ""));
    seen = acquire_under({{SYS_madvise, MADV_DONTFORK, EPERM}}, {pool.kind, false, false, 1, 2});
    CHECK(seen.code == -EPERM);
    CHECK(names(seen, "madvise", "MADV_DONTFORK"));
    CHECK(pool.free_count() == free_before);
}

TEST_CASE("strict placement that cannot be proved is refused by name", "[seccomp]")
{
    outcome seen = acquire_under({{SYS_move_pages, -1, EPERM}}, {base, true, true, 1});
    NEEDS_FILTER(seen);
    CHECK(seen.code == -EPERM);
    CHECK(names(seen, "move_pages", ""));
    CHECK(acquire_under({{SYS_move_pages, -1, EPERM}}, {base, true, false, 1}).code == 0);
}

TEST_CASE("a migration that is refused is named, and the block is as it was", "[seccomp]")
{
    /* What the child found, as a status: 0 all well, 77 no filter, else which check failed. */
    const auto migrate_under = [](unsigned call, const char *name) {
        const pid_t child = fork();
        if (child == 0) {
            const size_t bytes = (size_t)4 << 20;
            auto *block = static_cast<unsigned char *>(roma_alloc(roma_default(), bytes));
            if (block == nullptr)
                _exit(1);
            std::memset(block, 0x5A, bytes);
            if (!refuse({{call, -1, EPERM}}))
                _exit(77);
            const roma_nodes zero = roma_nodes_one(0);
            roma_migration migration;
            if (roma_migrate(block, &zero, &migration) != -EPERM)
                _exit(2);
            if (migration.error.why != ROMA_WHY_CALL_REFUSED ||
                std::strcmp(migration.error.call, name) != 0)
                _exit(3);
            if (migration.moved + migration.failed != 0)
                _exit(4);
            _exit(block[bytes - 1] == 0x5A ? 0 : 5);
        }
        int status = 0;
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(WIFEXITED(status));
        return WEXITSTATUS(status);
    };
    const roma_nodes memory = roma_topology_memory_nodes(roma_topology_get());
    if (access("/sys/devices/system/node/online", F_OK) != 0 || !roma_nodes_has(&memory, 0))
        SKIP_TEST("no node 0 with memory, or a kernel without NUMA");
    const int code = migrate_under(SYS_move_pages, "move_pages");
    if (code == 77)
        SKIP_TEST("this kernel installs no seccomp filter");
    CHECK(code == 0);
    CHECK(migrate_under(SYS_mbind, "mbind") == 0);
}

TEST_CASE("where no thread can be started the caller populates alone", "[seccomp]")
{
    outcome seen = acquire_under({{SYS_clone, -1, EPERM}, {SYS_clone3, -1, ENOSYS}},
                                 {base, false, false, 4, 100});
    NEEDS_FILTER(seen);
    CHECK(seen.code == 0);
    CHECK(seen.resident == 100 * (size_t)sysconf(_SC_PAGESIZE));
}

TEST_CASE("strict placement on a node that is not there is refused before anything is mapped",
          "[seccomp]")
{
    huge_pages pool(1);
    for (roma_page_kind kind : {base, transparent, pool.kind}) {
        if (roma_topology_resolve(roma_topology_get(), kind) == 0)
            continue;
        roma_extent_request request = roma_extent_request_default();
        request.bytes = 1;
        request.pages = kind;
        request.strict = true;
        request.nodes = roma_nodes_one(ROMA_NODES_MAX - 1);
        roma_extent extent;
        roma_error error = {};
        CHECK(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, &error) ==
              -EINVAL);
        CHECK(error.why == ROMA_WHY_NODE_ABSENT);
        CHECK(error.node == ROMA_NODES_MAX - 1);
        roma_nodes_add(&request.nodes, 0); /* one of them is there: strict needs both */
        CHECK(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, &error) ==
              -EINVAL);
        CHECK(error.why == ROMA_WHY_NODE_ABSENT);
    }
}

namespace {

struct engine_outcome {
    bool filtered;
    int forced_code, code;
    roma_error forced_error = {};
    roma_prefetch_report report;
    int read_code, flush_code;
};

/* Make an engine under a filter, in a child, and read a file with it. */
engine_outcome prefetch_under(const std::vector<refusal> &refusals)
{
    roma_tests::disk_file file(6 * roma_tests::MiB);
    (void)file.chill();
    void *page = mmap(nullptr, sizeof(engine_outcome), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(page != MAP_FAILED);
    auto *shared = new (page) engine_outcome();
    const pid_t child = fork();
    if (child == 0) {
        const int descriptors = roma_tests::open_descriptors();
        shared->filtered = refuse(refusals);
        roma_prefetch_options options = roma_prefetch_options_default();
        options.way = ROMA_PREFETCH_URING;
        roma_prefetch_engine *engine = nullptr;
        shared->forced_code = roma_prefetch_create(&engine, &options, &shared->forced_error);
        (void)roma_prefetch_destroy(engine);
        engine = nullptr;
        shared->code = roma_prefetch_create(&engine, nullptr, nullptr);
        const roma_file_range range = file.range(0, file.bytes);
        roma_prefetch_handle *handle = nullptr;
        shared->read_code = roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, &handle,
                                                 nullptr);
        if (shared->read_code == 0)
            shared->read_code = roma_prefetch_wait(handle, ROMA_FOREVER);
        shared->report.size = sizeof shared->report;
        (void)roma_prefetch_backend(engine, &shared->report);
        roma_prefetch_close(handle);
        shared->flush_code = roma_flush_submit(engine, &range, 1, &handle, nullptr);
        if (shared->flush_code == 0)
            shared->flush_code = roma_prefetch_wait(handle, ROMA_FOREVER);
        roma_prefetch_close(handle);
        const int code = roma_prefetch_destroy(engine);
        _exit(code != 0 ? 1 : roma_tests::open_descriptors() - descriptors);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0); /* no descriptor is left behind, either */
    const engine_outcome seen = *shared;
    munmap(page, sizeof(engine_outcome));
    return seen;
}

} // namespace

TEST_CASE("where io_uring is refused threads prefetch, and say why", "[seccomp][prefetch]")
{
    SKIP_WHERE_EMULATED();
    for (int cause : {EPERM, ENOSYS}) {
        const engine_outcome seen = prefetch_under({{SYS_io_uring_setup, -1, cause}});
        NEEDS_FILTER(seen);
        CHECK(seen.code == 0);
        CHECK(seen.read_code == 0);
        CHECK(seen.report.way == ROMA_PREFETCH_POOL);
        REQUIRE(seen.report.steps_count == 1);
        const roma_error &error = seen.report.steps[0].error;
        if (error.why == ROMA_WHY_UNSUPPORTED)
            SKIP_TEST("roma was built without liburing");
        CHECK(error.why == ROMA_WHY_CALL_REFUSED);
        CHECK(error.code == -cause);
        CHECK(seen.forced_code == -cause);
        char text[256];
        CHECK(std::strstr(roma_error_text(&error, text, sizeof text), "seccomp") != nullptr);
    }
}

TEST_CASE("threads flush where writing may not be begun, and only the sync may tell",
          "[seccomp][prefetch]")
{
    SKIP_WHERE_EMULATED();
    const engine_outcome seen = prefetch_under(
        {{SYS_io_uring_setup, -1, EPERM}, {SYS_sync_file_range, -1, EPERM}});
    NEEDS_FILTER(seen);
    CHECK(seen.code == 0);
    CHECK(seen.report.way == ROMA_PREFETCH_POOL);
    CHECK(seen.flush_code == 0);
}

TEST_CASE("a ring that may be made but not entered is left, and the file is read",
          "[seccomp][prefetch]")
{
    SKIP_WHERE_EMULATED();
    const unsigned enter = SYS_io_uring_setup + 1; /* everywhere */
    const engine_outcome seen = prefetch_under({{enter, -1, EPERM}});
    NEEDS_FILTER(seen);
    CHECK(seen.code == 0);
    CHECK(seen.read_code == 0);
    CHECK(seen.report.way == ROMA_PREFETCH_POOL);
    REQUIRE(seen.report.steps_count == 1);
    if (seen.forced_code == 0) /* io_uring is there */
        CHECK(std::string(seen.report.steps[0].error.call) == "io_uring_enter");
}

TEST_CASE("a ring whose queues cannot be mapped is none, and threads say so", "[seccomp][prefetch]")
{
    SKIP_WHERE_EMULATED();
    const refusal no_ring = {SYS_mmap, MAP_SHARED | MAP_POPULATE, ENOMEM, 3};
    const refusal no_entries = {SYS_mmap, 0x10000000, ENOMEM, 5}; /* IORING_OFF_SQES */
    for (refusal queues : {no_ring, no_entries})
        for (int cause : {ENOMEM, EPERM}) {
            queues.cause = cause;
            const engine_outcome seen = prefetch_under({queues});
            NEEDS_FILTER(seen);
            CHECK(seen.code == 0);
            CHECK(seen.read_code == 0);
            CHECK(seen.report.way == ROMA_PREFETCH_POOL);
            REQUIRE(seen.report.steps_count > 0);
            const roma_error &error = seen.report.steps[0].error;
            if (error.call == nullptr || std::strcmp(error.call, "mmap") != 0)
                SKIP_TEST("there is no io_uring here");
            CHECK(seen.report.steps_count == (cause == ENOMEM ? 2 : 1)); /* a smaller one first */
            CHECK(error.code == -cause);
            CHECK(std::string(error.subject) == "the queues of a ring");
            CHECK(seen.forced_code == -cause);
        }
}
