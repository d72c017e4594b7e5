/* block.cpp - blocks by pointer: addresses, references, lengths, and every refusal. */
#include "catch.hpp"
#include "emulated.hpp"

#include <roma.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace {

const size_t huge_sizes[] = {SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2 + 1, PTRDIFF_MAX};

struct fixture {
    roma_manager *manager = nullptr;

    fixture() { REQUIRE(roma_manager_create(&manager, nullptr, nullptr) == 0); }
    ~fixture() { CHECK(roma_manager_destroy(manager) == 0); }

    void *alloc(size_t bytes)
    {
        void *block = roma_alloc(manager, bytes);
        REQUIRE(block != nullptr);
        return block;
    }
};

bool is_aligned(const void *address, size_t align)
{
    return reinterpret_cast<uintptr_t>(address) % align == 0;
}

/* errno of a call that is expected to give NULL. */
template <typename call> int errno_of(call made)
{
    errno = 0;
    CHECK(made() == nullptr);
    return errno;
}

void fill(void *block, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        static_cast<unsigned char *>(block)[i] = static_cast<unsigned char>(i * 31 + seed);
}

bool holds(const void *block, size_t bytes, unsigned seed)
{
    for (size_t i = 0; i < bytes; i++)
        if (static_cast<const unsigned char *>(block)[i] !=
            static_cast<unsigned char>(i * 31 + seed))
            return false;
    return true;
}

bool is_zero(const void *block, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++)
        if (static_cast<const unsigned char *>(block)[i] != 0)
            return false;
    return true;
}

/* The grant of a refused request. */
roma_grant refused(roma_manager *manager, const roma_request &request, int code)
{
    roma_grant grant;
    std::memset(&grant, 0xEE, sizeof grant);
    errno = 0;
    CHECK(roma_alloc_with(manager, &request, &grant) == nullptr);
    CHECK(errno == -code);
    CHECK(grant.code == code);
    CHECK(grant.error.code == code);
    CHECK(grant.steps_count == 0);
    CHECK(grant.page_bytes == 0);
    return grant;
}

} // namespace

TEST_CASE_METHOD(fixture, "a block is aligned to the largest power of two that divides its length")
{
    const size_t page = static_cast<size_t>(getpagesize());
    for (size_t bytes : {1u, 15u, 16u, 24u, 32u, 48u, 100u, 128u, 512u, 1536u, 4096u, 12288u,
                         65536u, 300000u, 1u << 20, 2u << 20, 5u << 20}) {
        size_t divides = bytes & (~bytes + 1);
        size_t align = divides < 16 ? 16 : divides > page ? page : divides;
        void *block = alloc(bytes);
        INFO(bytes);
        CHECK(is_aligned(block, align));
        CHECK(roma_bytes(block) == bytes);
        CHECK(roma_usable(block) >= bytes);
        std::memset(block, 1, bytes);
        roma_free(block);
    }
}

TEST_CASE_METHOD(fixture, "blocks of length 0 live, each at an address of its own")
{
    std::set<void *> addresses;
    for (int i = 0; i < 100; i++)
        addresses.insert(alloc(0));
    CHECK(addresses.size() == 100);
    for (void *block : addresses) {
        CHECK(roma_bytes(block) == 0);
        CHECK(roma_count(block) == 1);
        CHECK(roma_release(block) == 0);
    }
}

TEST_CASE_METHOD(fixture, "zeroed blocks read as zero also where memory was used before")
{
    for (size_t bytes : {64u, 5000u, 300000u, 3u << 20}) {
        for (int round = 0; round < 3; round++) {
            void *block = roma_alloc_zeroed(manager, bytes);
            REQUIRE(block != nullptr);
            CHECK(is_zero(block, 0, bytes));
            std::memset(block, 0xFF, bytes);
            roma_free(block);
        }
    }
}

TEST_CASE_METHOD(fixture, "alignment up to 1 GiB is honoured, and more or no power of two refused")
{
    for (size_t align = 1; align <= 1u << 30; align *= 2) {
        void *block = roma_alloc_aligned(manager, 100, align);
        INFO(align);
        REQUIRE(block != nullptr);
        CHECK(is_aligned(block, align));
        std::memset(block, 1, 100);
        roma_free(block);
    }
    for (size_t align : {size_t{0}, size_t{3}, size_t{24}, size_t{2} << 30, SIZE_MAX})
        CHECK(errno_of([&] { return roma_alloc_aligned(manager, 100, align); }) == EINVAL);
}

TEST_CASE_METHOD(fixture, "lengths beyond the machine are EOVERFLOW, and nothing is left behind")
{
    for (size_t bytes : huge_sizes) {
        roma_request request = roma_request_default();
        request.bytes = bytes;
        void *block = alloc(100);
        void *batch[2];
        CHECK(errno_of([&] { return roma_alloc(manager, bytes); }) == EOVERFLOW);
        CHECK(errno_of([&] { return roma_alloc_zeroed(manager, bytes); }) == EOVERFLOW);
        CHECK(errno_of([&] { return roma_alloc_aligned(manager, bytes, 4096); }) == EOVERFLOW);
        CHECK(errno_of([&] { return roma_resize(block, bytes); }) == EOVERFLOW);
        CHECK(roma_alloc_batch(manager, bytes, batch, 2) == -EOVERFLOW);
        refused(manager, request, -EOVERFLOW);
        CHECK(roma_bytes(block) == 100);
        roma_free(block);
    }
    CHECK(errno_of([&] { return roma_alloc(manager, size_t{1} << 60); }) == ENOMEM);
    CHECK(roma_manager_check(manager) == 0);
}

TEST_CASE_METHOD(fixture, "a null manager or request is EINVAL")
{
    void *block = nullptr;
    roma_request request = roma_request_default();
    roma_grant grant;
    CHECK(errno_of([&] { return roma_alloc(nullptr, 1); }) == EINVAL);
    CHECK(errno_of([&] { return roma_alloc_zeroed(nullptr, 1); }) == EINVAL);
    CHECK(errno_of([&] { return roma_alloc_aligned(nullptr, 1, 16); }) == EINVAL);
    CHECK(errno_of([&] { return roma_alloc_with(nullptr, &request, &grant); }) == EINVAL);
    CHECK(grant.code == -EINVAL);
    CHECK(errno_of([&] { return roma_alloc_with(manager, nullptr, &grant); }) == EINVAL);
    CHECK(grant.code == -EINVAL);
    CHECK(roma_alloc_batch(nullptr, 1, &block, 1) == -EINVAL);
    CHECK(roma_alloc_batch(manager, 1, nullptr, 1) == -EINVAL);
    CHECK(roma_alloc_batch(manager, 1, nullptr, 0) == 0);
}

TEST_CASE_METHOD(fixture, "wrong requests are refused with the field named in the grant")
{
    roma_request request = roma_request_default();
    request.align = 3;
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.align");
    request.align = size_t{2} << 30;
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.align");

    request = roma_request_default();
    request.placement = ROMA_NODES;
    request.strict = true;
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.nodes");

    request = roma_request_default();
    request.nodes = roma_nodes_one(0);
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) ==
          "request.nodes without ROMA_NODES");

    request = roma_request_default();
    request.placement = static_cast<roma_placement>(99);
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.placement");

    request = roma_request_default();
    request.lifetime = static_cast<roma_lifetime>(3);
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.lifetime");

    request = roma_request_default();
    request.access = static_cast<roma_access>(4);
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.access");

    request = roma_request_default();
    request.pages = ROMA_PAGES_BASE << 16; /* a list with a hole at its start */
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.pages");

    request = roma_request_default();
    request.reserved[0] = true;
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.reserved");

    request = roma_request_default();
    request.size = 4;
    CHECK(std::string(refused(manager, request, -EINVAL).error.subject) == "request.size");
}

TEST_CASE_METHOD(fixture, "a longer request is accepted when its tail is zero and E2BIG when not")
{
    struct {
        roma_request known;
        uint64_t unknown;
    } newer = {roma_request_default(), 0};
    newer.known.size = sizeof newer;
    newer.known.bytes = 100;
    void *block = roma_alloc_with(manager, &newer.known, nullptr);
    CHECK(block != nullptr);
    roma_free(block);
    newer.unknown = 1;
    CHECK(refused(manager, newer.known, -E2BIG).error.why == ROMA_WHY_UNKNOWN_OPTION);
}

TEST_CASE_METHOD(fixture, "local and named nodes give blocks on this machine")
{
    roma_nodes memory = roma_topology_memory_nodes(roma_topology_get());
    int node = roma_nodes_next(&memory, 0);
    REQUIRE(node >= 0);
    roma_request request = roma_request_default();
    request.bytes = 10000;
    roma_grant grant;
    for (roma_placement placement : {ROMA_ANYWHERE, ROMA_LOCAL, ROMA_NODES}) {
        request.placement = placement;
        request.nodes = roma_nodes_none();
        if (placement == ROMA_NODES)
            roma_nodes_add(&request.nodes, static_cast<unsigned>(node));
        void *block = roma_alloc_with(manager, &request, &grant);
        REQUIRE(block != nullptr);
        CHECK(grant.code == 0);
        CHECK(grant.bytes == roma_usable(block));
        std::memset(block, 1, request.bytes);
        roma_free(block);
    }
}

TEST_CASE_METHOD(fixture, "references are counted, and the last release frees")
{
    void *block = alloc(100);
    CHECK(roma_count(block) == 1);
    CHECK(roma_retain(block) == 2);
    CHECK(roma_retain(block) == 3);
    CHECK(roma_release(block) == 2);
    roma_free(block);
    CHECK(roma_count(block) == 1);
    CHECK(roma_release(block) == 0);
    CHECK(roma_count(block) == -ESTALE);
}

TEST_CASE_METHOD(fixture, "many thousand references are counted as exactly as few")
{
    void *block = alloc(100);
    for (int count = 2; count <= 5000; count++)
        REQUIRE(roma_retain(block) == count);
    CHECK(roma_count(block) == 5000);
    for (int count = 4999; count >= 0; count--)
        REQUIRE(roma_release(block) == count);
    CHECK(roma_release(block) == -ESTALE);
}

TEST_CASE_METHOD(fixture, "what is no live block is EINVAL, and ESTALE where it was one")
{
    char other[64];
    char *block = static_cast<char *>(alloc(100));
    void *neighbour = alloc(100); /* keeps the slab */
    for (void *wrong : {static_cast<void *>(nullptr), static_cast<void *>(other),
                        static_cast<void *>(block + 16)}) {
        CHECK(roma_retain(wrong) == -EINVAL);
        CHECK(roma_release(wrong) == -EINVAL);
        CHECK(roma_count(wrong) == -EINVAL);
        CHECK(errno_of([&] { return roma_resize(wrong, 10); }) == EINVAL);
        CHECK(errno_of([&] { return roma_manager_of(wrong); }) == EINVAL);
        CHECK(errno_of([&] { return roma_label_of(wrong); }) == EINVAL);
        errno = 0;
        CHECK(roma_bytes(wrong) == 0);
        CHECK(errno == EINVAL);
        errno = 0;
        CHECK(roma_usable(wrong) == 0);
        CHECK(errno == EINVAL);
    }
    CHECK(roma_count(block) == 1);
    CHECK(roma_release(block) == 0);
    CHECK(roma_retain(block) == -ESTALE);
    CHECK(roma_release(block) == -ESTALE);
    CHECK(roma_count(block) == -ESTALE);
    CHECK(errno_of([&] { return roma_resize(block, 10); }) == ESTALE);
    CHECK(errno_of([&] { return roma_manager_of(block); }) == ESTALE);
    CHECK(roma_manager_check(manager) == 0);
    roma_free(neighbour);
}

TEST_CASE_METHOD(fixture, "free of NULL does nothing")
{
    roma_free(nullptr);
    roma_free_sized(nullptr, 10);
    void *none[3] = {nullptr, nullptr, nullptr};
    roma_free_batch(none, 3);
    CHECK(roma_manager_check(manager) == 0);
}

TEST_CASE_METHOD(fixture,
                 "labels are kept up to 63 bytes, through a resize, and end with the block")
{
    std::string text(100, 'x');
    roma_request request = roma_request_default();
    request.bytes = 100;
    request.label = text.c_str();
    void *block = roma_alloc_with(manager, &request, nullptr);
    REQUIRE(block != nullptr);
    CHECK(std::string(roma_label_of(block)) == text.substr(0, 63));
    block = roma_resize(block, 100000);
    REQUIRE(block != nullptr);
    CHECK(std::string(roma_label_of(block)) == text.substr(0, 63));
    block = roma_resize(block, 4u << 20);
    block = roma_resize(block, 40u << 20);
    REQUIRE(block != nullptr);
    CHECK(std::string(roma_label_of(block)) == text.substr(0, 63));
    roma_free(block);
    void *plain = alloc(100);
    CHECK(std::string(roma_label_of(plain)).empty());
    roma_free(plain);
}

TEST_CASE_METHOD(fixture, "a batch is allocated whole or not at all")
{
    void *blocks[100];
    REQUIRE(roma_alloc_batch(manager, 48, blocks, 100) == 0);
    std::set<void *> addresses(blocks, blocks + 100);
    CHECK(addresses.size() == 100);
    for (void *block : blocks)
        CHECK(roma_bytes(block) == 48);
    blocks[50] = nullptr;
    roma_free_batch(blocks, 100);
    for (void *block : addresses)
        if (roma_count(block) > 0)
            roma_free_sized(block, 48);

    roma_options options = roma_options_default();
    options.limit_bytes = 4u << 20;
    roma_manager *small = nullptr;
    REQUIRE(roma_manager_create(&small, &options, nullptr) == 0);
    CHECK(roma_alloc_batch(small, 1u << 20, blocks, 100) == -ENOMEM);
    CHECK(roma_manager_destroy(small) == 0); /* no block was left */
}

TEST_CASE_METHOD(fixture, "a resize keeps what both lengths have, whichever way it takes", "[long]")
{
    const size_t lengths[] = {0, 1, 100, 4000, 70000, 400000, 1u << 20, 3u << 20, 9u << 20};
    for (size_t before : lengths) {
        for (size_t after : lengths) {
            INFO(before << " to " << after);
            void *block = alloc(before);
            fill(block, before, 7);
            block = roma_resize(block, after);
            REQUIRE(block != nullptr);
            CHECK(roma_bytes(block) == after);
            CHECK(roma_count(block) == 1);
            CHECK(holds(block, before < after ? before : after, 7));
            std::memset(block, 1, after);
            roma_free(block);
        }
    }
    CHECK(roma_manager_check(manager) == 0);
}

TEST_CASE_METHOD(fixture, "a resize with other holders leaves them the old block")
{
    void *old = alloc(1000);
    fill(old, 1000, 3);
    REQUIRE(roma_retain(old) == 2);
    void *mine = roma_resize(old, 2000);
    REQUIRE(mine != nullptr);
    CHECK(mine != old);
    CHECK(roma_count(old) == 1);
    CHECK(roma_count(mine) == 1);
    CHECK(roma_bytes(old) == 1000);
    CHECK(roma_bytes(mine) == 2000);
    CHECK(holds(mine, 1000, 3));
    static_cast<char *>(mine)[0] ^= 1;
    CHECK(holds(old, 1000, 3));
    roma_free(old);
    roma_free(mine);
}

TEST_CASE_METHOD(fixture, "a registered block is not resized")
{
    roma_request request = roma_request_default();
    request.bytes = 4096;
    request.registered = true;
    void *block = roma_alloc_with(manager, &request, nullptr);
    REQUIRE(block != nullptr);
    CHECK(errno_of([&] { return roma_resize(block, 100); }) == EBUSY);
    CHECK(roma_bytes(block) == 4096);
    roma_free(block);
}

TEST_CASE_METHOD(fixture, "the report of a block counts the pages that were touched")
{
    SKIP_WHERE_EMULATED();
    const size_t bytes = 8u << 20;
    roma_request request = roma_request_default();
    request.bytes = bytes;
    request.pages = ROMA_PAGES_BASE;
    void *block = roma_alloc_with(manager, &request, nullptr);
    REQUIRE(block != nullptr);
    roma_report report;
    REQUIRE(roma_where(block, &report) == 0);
    CHECK(report.bytes >= bytes);
    std::memset(block, 1, bytes);
    REQUIRE(roma_where(block, &report) == 0);
    CHECK(report.resident_bytes >= bytes);
    CHECK(roma_where(block, nullptr) == -EINVAL);
    roma_free(block);
    CHECK(roma_where(nullptr, &report) == -EINVAL);
}

TEST_CASE_METHOD(fixture, "a child of fork has copies of the blocks, and may allocate and free")
{
    void *block = alloc(5000);
    fill(block, 5000, 9);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bool good = holds(block, 5000, 9) && roma_count(block) == 1;
        std::memset(block, 0, 5000);
        void *more = roma_alloc(manager, 3u << 20);
        good = good && more != nullptr && roma_release(more) == 0 && roma_release(block) == 0;
        good = good && roma_manager_check(manager) == 0;
        _exit(good ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(holds(block, 5000, 9));
    roma_free(block);
}
