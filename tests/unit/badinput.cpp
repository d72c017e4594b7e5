/* badinput.cpp - what a caller gets wrong with blocks and handles: each mistake is a clear error
 * and changes nothing. */
#include "badinput.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace badinput;

namespace {

/* A call in a child, with its standard error caught: how it ended and what it said. */
struct ending {
    int status;
    std::string said;
};

ending end_of(const std::function<void()> &call)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    std::fflush(nullptr);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        std::signal(SIGABRT, SIG_DFL);
        call();
        _exit(0);
    }
    close(ends[1]);
    ending end = {0, ""};
    char buffer[512];
    for (ssize_t length; (length = read(ends[0], buffer, sizeof buffer)) > 0;)
        end.said.append(buffer, static_cast<size_t>(length));
    close(ends[0]);
    REQUIRE(waitpid(child, &end.status, 0) == child);
    return end;
}

void check_aborts(const std::function<void()> &call)
{
    const ending end = end_of(call);
    INFO(end.said);
    CHECK(WIFSIGNALED(end.status));
    CHECK(WTERMSIG(end.status) == SIGABRT);
    CHECK(end.said.size() > 10);
}

} // namespace

TEST_CASE("sizes that no machine has are refused, and nothing changes", "[badinput]")
{
    const owned_manager manager;
    void *kept = roma_alloc(manager.self, 1000);
    REQUIRE(kept != nullptr);
    std::memset(kept, 0x3C, 1000);
    const std::string before = figures_of(manager.self);

    const size_t sizes[] = {
        SIZE_MAX,     SIZE_MAX - 1,          SIZE_MAX - 15,      SIZE_MAX - 4096,
        SIZE_MAX / 2, SIZE_MAX / 2 + 1,      size_t(1) << 62,    size_t(1) << 56,
        SIZE_MAX / 4, SIZE_MAX - (2u << 20), size_t(PTRDIFF_MAX)};
    for (size_t bytes : sizes) {
        INFO("bytes " << bytes);
        const auto refused = [&](const void *block) {
            CHECK(block == nullptr);
            CHECK((errno == EOVERFLOW || errno == ENOMEM));
            errno = 0;
        };
        errno = 0;
        refused(roma_alloc(manager.self, bytes));
        refused(roma_alloc_zeroed(manager.self, bytes));
        refused(roma_alloc_aligned(manager.self, bytes, 4096));
        refused(roma_alloc_aligned(manager.self, bytes, huge_align));
        refused(roma_resize(kept, bytes));

        roma_request request = roma_request_default();
        request.bytes = bytes;
        roma_grant grant;
        std::memset(&grant, 0x77, sizeof grant);
        refused(roma_alloc_with(manager.self, &request, &grant));
        CHECK((grant.code == -EOVERFLOW || grant.code == -ENOMEM));
        CHECK(grant.page_bytes == 0);
        CHECK(grant.steps_count <= ROMA_STEPS_MAX);
        check_record(grant.error, grant.code, nullptr);

        void *batch[3] = {&batch, &batch, &batch};
        const int code = roma_alloc_batch(manager.self, bytes, batch, 3);
        CHECK((code == -EOVERFLOW || code == -ENOMEM));

        roma_block handle = roma_block_of(kept);
        const roma_block was = handle;
        const int resized = roma_block_resize(&handle, bytes, ROMA_RESIZE_ZERO);
        CHECK((resized == -EOVERFLOW || resized == -ENOMEM));
        CHECK(handle.address == was.address);
        CHECK(handle.generation == was.generation);
        CHECK(roma_block_is_live(handle));
    }
    CHECK(figures_of(manager.self) == before);
    CHECK(roma_bytes(kept) == 1000);
    for (unsigned i = 0; i < 1000; i++)
        REQUIRE(static_cast<unsigned char *>(kept)[i] == 0x3C);
    CHECK(roma_manager_check(manager.self) == 0);
    CHECK(roma_release(kept) == 0);
}

TEST_CASE("blocks of length 0 have addresses of their own and live as others do", "[badinput]")
{
    const owned_manager manager;
    void *blocks[64];
    for (void *&block : blocks) {
        block = roma_alloc_zeroed(manager.self, 0);
        REQUIRE(block != nullptr);
        CHECK(reinterpret_cast<uintptr_t>(block) % 16 == 0);
        CHECK(roma_bytes(block) == 0);
        CHECK(roma_count(block) == 1);
    }
    for (unsigned i = 0; i < 64; i++)
        for (unsigned j = 0; j < i; j++)
            REQUIRE(blocks[i] != blocks[j]);
    void *grown = roma_resize(blocks[0], 100);
    REQUIRE(grown != nullptr);
    std::memset(grown, 1, 100);
    blocks[0] = roma_resize(grown, 0);
    REQUIRE(blocks[0] != nullptr);
    CHECK(roma_bytes(blocks[0]) == 0);
    roma_free_sized(blocks[0], 0);
    for (unsigned i = 1; i < 64; i++)
        CHECK(roma_release(blocks[i]) == 0);
    void *none[1];
    CHECK(roma_alloc_batch(manager.self, 16, none, 0) == 0);
    roma_free_batch(none, 0);
    CHECK(manager.seen.kinds.empty());
}

TEST_CASE("alignments that are no power of two, or beyond 1 GiB, are refused", "[badinput]")
{
    const owned_manager manager;
    const std::string before = figures_of(manager.self);
    for (size_t align :
         {size_t(3), size_t(15), size_t(24), size_t(4095), size_t(4097), huge_align + 1,
          huge_align * 2, SIZE_MAX, SIZE_MAX / 2 + 1, (size_t(1) << 30) - 1}) {
        INFO("align " << align);
        errno = 0;
        CHECK(roma_alloc_aligned(manager.self, 100, align) == nullptr);
        CHECK(errno == EINVAL);
        roma_request request = roma_request_default();
        request.bytes = 100;
        request.align = align;
        roma_grant grant;
        errno = 0;
        CHECK(roma_alloc_with(manager.self, &request, &grant) == nullptr);
        CHECK(errno == EINVAL);
        check_record(grant.error, -EINVAL, "align");
        CHECK(roma_explain(manager.self, &request, &grant) == -EINVAL);
    }
    CHECK(figures_of(manager.self) == before);
    for (size_t align = 1; align <= size_t(1) << 22; align *= 2) {
        void *block = roma_alloc_aligned(manager.self, 10, align);
        INFO("align " << align);
        REQUIRE(block != nullptr);
        CHECK(reinterpret_cast<uintptr_t>(block) % align == 0);
        roma_free(block);
    }
    void *block = roma_alloc_aligned(manager.self, 10, huge_align);
    if (block != nullptr) { /* address space may be short on small machines */
        CHECK(reinterpret_cast<uintptr_t>(block) % huge_align == 0);
        *static_cast<char *>(block) = 1;
        roma_free(block);
    } else {
        CHECK(errno == ENOMEM);
    }
}

TEST_CASE("null managers, requests and blocks are errors and no more", "[badinput]")
{
    const owned_manager manager;
    const roma_request request = roma_request_default();
    roma_grant grant;
    void *batch[2];
    const auto is_einval = [](const void *block) {
        CHECK(block == nullptr);
        CHECK(errno == EINVAL);
        errno = 0;
    };
    errno = 0;
    is_einval(roma_alloc(nullptr, 10));
    is_einval(roma_alloc_zeroed(nullptr, 10));
    is_einval(roma_alloc_aligned(nullptr, 10, 16));
    is_einval(roma_alloc_with(nullptr, &request, &grant));
    CHECK(grant.code == -EINVAL);
    is_einval(roma_alloc_with(manager.self, nullptr, &grant));
    check_record(grant.error, -EINVAL, nullptr);
    is_einval(roma_alloc_with(manager.self, nullptr, nullptr));
    is_einval(roma_resize(nullptr, 10));
    is_einval(roma_manager_of(nullptr));
    is_einval(roma_label_of(nullptr));
    CHECK(roma_alloc_batch(nullptr, 10, batch, 2) == -EINVAL);
    CHECK(roma_alloc_batch(manager.self, 10, nullptr, 2) == -EINVAL);
    CHECK(roma_retain(nullptr) == -EINVAL);
    CHECK(roma_release(nullptr) == -EINVAL);
    roma_free(nullptr);
    CHECK(roma_count(nullptr) == -EINVAL);
    errno = 0;
    CHECK(roma_bytes(nullptr) == 0);
    CHECK(errno == EINVAL);
    errno = 0;
    CHECK(roma_usable(nullptr) == 0);
    CHECK(errno == EINVAL);
    roma_report report;
    CHECK(roma_where(nullptr, &report) == -EINVAL);
    void *block = roma_alloc(manager.self, 16);
    REQUIRE(block != nullptr);
    CHECK(roma_where(block, nullptr) == -EINVAL);
    void *const some[] = {nullptr, block, nullptr};
    roma_free_batch(some, 3);

    CHECK(roma_manager_create(nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_manager_destroy(nullptr) == -EINVAL);
    CHECK(roma_manager_destroy_all(nullptr) == -EINVAL);
    CHECK(roma_manager_destroy(roma_default()) == -EINVAL);
    CHECK(roma_manager_destroy_all(roma_default()) == -EINVAL);
    CHECK(roma_manager_clear(nullptr) == -EINVAL);
    CHECK(roma_manager_trim(nullptr, 0) == -EINVAL);
    CHECK(roma_manager_stats(nullptr, skip_figure, nullptr) == -EINVAL);
    CHECK(roma_manager_stats(manager.self, nullptr, nullptr) == -EINVAL);
    CHECK(roma_manager_json(nullptr, 1) == -EINVAL);
    CHECK(roma_manager_json(manager.self, -1) == -EBADF);
    CHECK(roma_manager_check(nullptr) == -EINVAL);
    CHECK(roma_manager_blocks(nullptr, nullptr, nullptr) == -EINVAL);
    CHECK(roma_manager_blocks(manager.self, nullptr, nullptr) == -EINVAL);
    CHECK(roma_explain(nullptr, &request, &grant) == -EINVAL);
    CHECK(roma_explain(manager.self, nullptr, &grant) == -EINVAL);
    CHECK(roma_explain(manager.self, &request, nullptr) == -EINVAL);
    CHECK(manager.seen.kinds.empty());
}

TEST_CASE("cleared and stale handles are told apart and change nothing", "[badinput]")
{
    const owned_manager manager;
    const roma_block cleared = {nullptr, 0};
    errno = 0;
    CHECK(roma_block_get(cleared) == nullptr);
    CHECK(errno == EINVAL);
    CHECK_FALSE(roma_block_is_live(cleared));
    CHECK(roma_block_retain(cleared) == -EINVAL);
    CHECK(roma_block_try_retain(cleared) == -EINVAL);
    CHECK(roma_block_segment(cleared).address == nullptr);
    roma_block handle = cleared;
    CHECK(roma_block_release(&handle) == 0); /* a no-op */
    CHECK(roma_block_release(nullptr) == -EINVAL);
    CHECK(roma_block_resize(&handle, 10, 0) == -EINVAL);
    CHECK(roma_block_resize(nullptr, 10, 0) == -EINVAL);

    void *block = roma_alloc(manager.self, 100);
    REQUIRE(block != nullptr);
    handle = roma_block_of(block);
    CHECK(roma_block_try_retain(handle) == -EINVAL); /* it is not weak */
    CHECK(roma_block_resize(&handle, 10, 1u << 7) == -EINVAL);
    CHECK(roma_bytes(block) == 100);
    const roma_block wrong[] = {{block, handle.generation + 1},
                                {block, handle.generation - 1},
                                {block, UINT64_MAX},
                                {block, handle.generation + (uint64_t(1) << 22)},
                                {block, handle.generation + (uint64_t(1) << 32)}};
    for (roma_block bad : wrong) {
        INFO("generation " << bad.generation);
        CHECK_FALSE(roma_block_is_live(bad));
        CHECK(roma_block_retain(bad) == -ESTALE);
        roma_block copy = bad;
        CHECK(roma_block_release(&copy) == -ESTALE);
        CHECK(copy.address == bad.address);
        CHECK(copy.generation == bad.generation);
        CHECK(roma_block_resize(&copy, 10, 0) == -ESTALE);
        errno = 0;
        CHECK(roma_block_get(bad) == nullptr);
        CHECK(errno == ESTALE);
    }
    CHECK(roma_count(block) == 1);
    CHECK(roma_bytes(block) == 100);

    const roma_block old = handle;
    CHECK(roma_block_release(&handle) == 0);
    CHECK(handle.address == nullptr);
    CHECK(handle.generation == 0);
    void *again = roma_alloc(manager.self, 100); /* perhaps the same address */
    REQUIRE(again != nullptr);
    roma_block copy = old;
    errno = 0;
    CHECK(roma_block_get(old) == nullptr);
    CHECK(errno == ESTALE);
    CHECK(roma_block_retain(old) == -ESTALE);
    CHECK(roma_block_release(&copy) == -ESTALE);
    CHECK(copy.address == old.address);
    CHECK(roma_block_resize(&copy, 1000, 0) == -ESTALE);
    CHECK(copy.generation == old.generation);
    errno = 0;
    CHECK(roma_block_segment(old).address == nullptr);
    CHECK(errno == ESTALE);
    CHECK(roma_count(again) == 1);
    CHECK(roma_bytes(again) == 100);
    CHECK(roma_release(again) == 0);
    CHECK(manager.seen.kinds.empty());
}

TEST_CASE("handles of large blocks are stale after free, move and shrink", "[badinput]")
{
    const owned_manager manager;
    void *block = roma_alloc(manager.self, 8 << 20);
    REQUIRE(block != nullptr);
    const roma_block first = roma_block_of(block);
    block = roma_resize(block, 5 << 20);
    REQUIRE(block != nullptr);
    CHECK_FALSE(roma_block_is_live(first));
    const roma_block second = roma_block_of(block);
    CHECK(roma_block_is_live(second));
    CHECK(roma_release(block) == 0);
    CHECK_FALSE(roma_block_is_live(second));
    CHECK(roma_manager_trim(manager.self, 0) >= 0); /* the memory may be gone, too */
    errno = 0;
    CHECK(roma_block_get(second) == nullptr);
    CHECK(errno == ESTALE);
    roma_block copy = second;
    CHECK(roma_block_release(&copy) == -ESTALE);
    CHECK(roma_block_retain(second) == -ESTALE);
    CHECK((roma_release(block) == -ESTALE || roma_release(block) == -EINVAL));
}

TEST_CASE("addresses that are no block's start are refused by every question", "[badinput]")
{
    owned_manager manager;
    int local = 0;
    static int global;
    void *outside = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(outside != MAP_FAILED);
    void *small = roma_alloc(manager.self, 100);
    void *large = roma_alloc(manager.self, 5 << 20);
    REQUIRE(small != nullptr);
    REQUIRE(large != nullptr);
    const std::string before = figures_of(manager.self);
    void *const addresses[] = {&local,
                               &global,
                               outside,
                               static_cast<char *>(small) + 1,
                               static_cast<char *>(small) + 16,
                               static_cast<char *>(large) + 1,
                               static_cast<char *>(large) + 4096,
                               static_cast<char *>(large) + (5 << 20) - 1,
                               reinterpret_cast<void *>(1),
                               reinterpret_cast<void *>(16),
                               reinterpret_cast<void *>(UINTPTR_MAX),
                               reinterpret_cast<void *>(UINTPTR_MAX - 4095),
                               reinterpret_cast<void *>(UINTPTR_MAX / 2 + 1),
                               reinterpret_cast<void *>(uintptr_t(1) << 48),
                               reinterpret_cast<void *>(uintptr_t(1) << 57),
                               reinterpret_cast<void *>(uintptr_t(1) << 52)};
    for (void *address : addresses) {
        INFO("address " << address);
        CHECK(roma_retain(address) == -EINVAL);
        CHECK(roma_release(address) == -EINVAL);
        CHECK(roma_count(address) == -EINVAL);
        errno = 0;
        CHECK(roma_bytes(address) == 0);
        CHECK(errno == EINVAL);
        errno = 0;
        CHECK(roma_usable(address) == 0);
        CHECK(errno == EINVAL);
        errno = 0;
        CHECK(roma_resize(address, 10) == nullptr);
        CHECK(errno == EINVAL);
        errno = 0;
        CHECK(roma_manager_of(address) == nullptr);
        CHECK(errno == EINVAL);
        errno = 0;
        CHECK(roma_label_of(address) == nullptr);
        CHECK(errno == EINVAL);
        errno = 0;
        const roma_block handle = roma_block_of(address);
        CHECK(handle.address == nullptr);
        CHECK(handle.generation == 0);
        CHECK(errno == EINVAL);
        roma_report report;
        CHECK(roma_where(address, &report) == -EINVAL);
        roma_block forged = {address, 1};
        CHECK_FALSE(roma_block_is_live(forged));
        CHECK(roma_block_retain(forged) < 0);
        CHECK(roma_block_try_retain(forged) < 0);
        CHECK(roma_block_release(&forged) < 0);
        CHECK(roma_block_resize(&forged, 10, 0) < 0);
        CHECK(roma_block_get(forged) == nullptr);
        CHECK(roma_block_segment(forged).address == nullptr);
    }
    CHECK(figures_of(manager.self) == before);
    CHECK(manager.seen.kinds.empty()); /* each was returned */

    roma_free(static_cast<char *>(small) + 16); /* this one has nowhere to return it to */
    REQUIRE(manager.seen.kinds.size() == 1);
    CHECK(manager.seen.kinds[0] == ROMA_MISUSE_INTERIOR);
    roma_free(static_cast<char *>(large) + 8192);
    REQUIRE(manager.seen.kinds.size() == 2);
    CHECK(manager.seen.kinds[1] == ROMA_MISUSE_INTERIOR);
    CHECK(figures_of(manager.self) == before);
    CHECK(roma_count(small) == 1);
    CHECK(roma_count(large) == 1);
    roma_free(small);
    roma_free(large);
    munmap(outside, 4096);
}

TEST_CASE("a second free and a wrong length are reported once each and have no effect",
          "[badinput]")
{
    const unsigned debug = GENERATE(0u, unsigned(ROMA_DEBUG_ALL));
    owned_manager manager(debug);
    void *kept = roma_alloc(manager.self, 100); /* keeps the neighbourhood in place */
    void *block = roma_alloc(manager.self, 100);
    REQUIRE(kept != nullptr);
    REQUIRE(block != nullptr);

    roma_free_sized(block, 99);
    REQUIRE(manager.seen.kinds.size() == 1);
    CHECK(roma_count(block) == 1);
    roma_free_sized(block, 101);
    REQUIRE(manager.seen.kinds.size() == 2);
    CHECK(roma_count(block) == 1);

    CHECK(roma_release(block) == 0);
    CHECK(roma_release(block) == -ESTALE);
    CHECK(roma_retain(block) == -ESTALE);
    CHECK(roma_count(block) == -ESTALE);
    errno = 0;
    CHECK(roma_bytes(block) == 0);
    CHECK(errno == ESTALE);
    errno = 0;
    CHECK(roma_resize(block, 10) == nullptr);
    CHECK(errno == ESTALE);
    CHECK(manager.seen.kinds.size() == 2);
    roma_free(block);
    REQUIRE(manager.seen.kinds.size() == 3);
    CHECK(manager.seen.kinds[2] == ROMA_MISUSE_DOUBLE_FREE);
    CHECK(manager.seen.texts[2].size() > 10);
    void *const twice[] = {block, block};
    roma_free_batch(twice, 2);
    CHECK(manager.seen.kinds.size() == 5);
    CHECK(roma_count(kept) == 1);
    CHECK(roma_manager_check(manager.self) == 0);
    void *next = roma_alloc(manager.self, 100);
    CHECK(next != nullptr);
    CHECK(next != kept);
    roma_free(next);
    roma_free(kept);
    CHECK(manager.seen.kinds.size() == 5);
}

TEST_CASE("misuse that no manager collects ends the program with a sentence", "[badinput]")
{
    check_aborts([] {
        void *block = roma_alloc(roma_default(), 100);
        void *kept = roma_alloc(roma_default(), 100);
        roma_free(block);
        roma_free(block);
        roma_free(kept);
    });
    check_aborts([] { roma_free(static_cast<char *>(roma_alloc(roma_default(), 100)) + 16); });
    check_aborts([] {
        int local;
        roma_free(&local);
    });
    check_aborts([] { roma_free(reinterpret_cast<void *>(UINTPTR_MAX - 7)); });
    check_aborts([] { roma_free_sized(roma_alloc(roma_default(), 100), 200); });
    check_aborts([] {
        int local[2];
        void *const blocks[] = {&local[0]};
        roma_free_batch(blocks, 1);
    });
    const ending end = end_of([] {
        roma_free(nullptr);
        roma_free(roma_alloc(roma_default(), 100));
    });
    CHECK(WIFEXITED(end.status));
    CHECK(end.said.empty());
}
