/* handle.cpp - blocks by handle: one life each, checked. */
#include "catch.hpp"
#include "skip.hpp"

#include <roma.h>

#include <cerrno>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

namespace {

struct fixture {
    roma_manager *manager = nullptr;

    fixture() { REQUIRE(roma_manager_create(&manager, nullptr, nullptr) == 0); }
    ~fixture() { CHECK(roma_manager_destroy(manager) == 0); }

    roma_block alloc(size_t bytes, bool weak = false, bool registered = false)
    {
        roma_request request = roma_request_default();
        request.bytes = bytes;
        request.weak = weak;
        request.registered = registered;
        void *block = roma_alloc_with(manager, &request, nullptr);
        REQUIRE(block != nullptr);
        return roma_block_of(block);
    }
};

/* By comparing with itself, one byte on: a loop takes seconds in an emulator. */
bool all_are(const unsigned char *bytes, size_t n, unsigned char value)
{
    return n == 0 || (bytes[0] == value && std::memcmp(bytes, bytes + 1, n - 1) == 0);
}

bool is_cleared(const roma_block &block)
{
    return block.address == nullptr && block.generation == 0;
}

bool is_same(const roma_block &a, const roma_block &b)
{
    return a.address == b.address && a.generation == b.generation;
}

} // namespace

TEST_CASE_METHOD(fixture, "a handle is 16 bytes, gives its address and is cleared by its release")
{
    CHECK(sizeof(roma_block) == 16);
    roma_block block = alloc(100);
    CHECK(roma_block_get(block) == block.address);
    CHECK(roma_block_is_live(block));
    CHECK(roma_block_retain(block) == 2);
    roma_block second = block;
    CHECK(roma_block_release(&second) == 1);
    CHECK(is_cleared(second));
    CHECK(roma_block_release(&block) == 0);
    CHECK(is_cleared(block));
    CHECK(roma_block_release(&block) == 0); /* a cleared handle is a no-op */
}

TEST_CASE_METHOD(fixture, "null and cleared handles are EINVAL")
{
    roma_block none = {nullptr, 0};
    char other = 0;
    CHECK(roma_block_release(nullptr) == -EINVAL);
    CHECK(roma_block_retain(none) == -EINVAL);
    CHECK(roma_block_try_retain(none) == -EINVAL);
    CHECK(roma_block_resize(&none, 10, 0) == -EINVAL);
    CHECK(roma_block_resize(nullptr, 10, 0) == -EINVAL);
    CHECK_FALSE(roma_block_is_live(none));
    errno = 0;
    CHECK(roma_block_get(none) == nullptr);
    CHECK(errno == EINVAL);
    errno = 0;
    CHECK(roma_block_segment(none).address == nullptr);
    CHECK(errno == EINVAL);
    errno = 0;
    CHECK(is_cleared(roma_block_of(nullptr)));
    CHECK(errno == EINVAL);
    errno = 0;
    CHECK(is_cleared(roma_block_of(&other)));
    CHECK(errno == EINVAL);
}

TEST_CASE_METHOD(fixture,
                 "a stale handle is refused by every call, also when its address lives again")
{
    for (size_t bytes : {64u, 300000u, 3u << 20}) {
        INFO(bytes);
        roma_block block = alloc(bytes);
        roma_block stale = block;
        REQUIRE(roma_block_release(&block) == 0);
        roma_block other = alloc(bytes); /* at the same address, most likely */
        for (int round = 0; round < 2; round++) {
            roma_block copy = stale;
            CHECK(roma_block_release(&copy) == -ESTALE);
            CHECK(is_same(copy, stale));
            CHECK(roma_block_retain(stale) == -ESTALE);
            CHECK(roma_block_try_retain(stale) == -ESTALE);
            CHECK(roma_block_resize(&copy, 10, 0) == -ESTALE);
            CHECK_FALSE(roma_block_is_live(stale));
            errno = 0;
            CHECK(roma_block_get(stale) == nullptr);
            CHECK(errno == ESTALE);
            errno = 0;
            CHECK(roma_block_segment(stale).address == nullptr);
            CHECK(errno == ESTALE);
            if (round == 0) {
                CHECK(roma_block_is_live(other));
                REQUIRE(roma_block_release(&other) == 0);
                REQUIRE(roma_manager_trim(manager, 0) >= 0); /* now the address is nobody's */
            }
        }
    }
}

TEST_CASE_METHOD(fixture, "a made-up generation is stale, whatever it is")
{
    roma_block block = alloc(64);
    for (uint64_t generation : {block.generation + 1, uint64_t{UINT32_MAX}, UINT64_MAX,
                                block.generation + (uint64_t{1} << 32)}) {
        roma_block forged = {block.address, generation};
        CHECK(roma_block_retain(forged) == -ESTALE);
        CHECK(roma_block_release(&forged) == -ESTALE);
    }
    CHECK(roma_count(block.address) == 1);
    roma_block_release(&block);
}

TEST_CASE_METHOD(fixture, "an address that is inside another block by now is stale too")
{
    roma_block small[2] = {alloc(64), alloc(64)};
    roma_block stale = small[1];
    roma_block_release(&small[0]);
    roma_block_release(&small[1]);
    REQUIRE(roma_manager_trim(manager, 0) >= 0);
    roma_block large = alloc(200000);
    CHECK(roma_block_retain(stale) == -ESTALE);
    roma_block_release(&large);
}

TEST_CASE_METHOD(fixture, "try_retain works on weak blocks, until it is too late, and on no others")
{
    roma_block weak = alloc(64, true);
    roma_block kept = weak;
    CHECK(roma_block_try_retain(kept) == 2);
    CHECK(roma_block_release(&weak) == 1);
    CHECK(roma_block_try_retain(kept) == 2);
    CHECK(roma_release(kept.address) == 1);
    CHECK(roma_release(kept.address) == 0);
    CHECK(roma_block_try_retain(kept) == -ESTALE);

    roma_block plain = alloc(64);
    CHECK(roma_block_try_retain(plain) == -EINVAL);
    CHECK(roma_count(plain.address) == 1); /* nothing is changed */
    roma_block_release(&plain);
}

TEST_CASE_METHOD(fixture, "a shrink makes old handles stale, growing in place does not")
{
    roma_block block = alloc(100);
    roma_block before = block;
    CHECK(roma_block_resize(&block, 104, ROMA_RESIZE_IN_PLACE) == 0);
    CHECK(roma_block_is_live(before));
    CHECK(roma_block_resize(&block, 50, 0) == 0);
    CHECK_FALSE(roma_block_is_live(before));
    CHECK(roma_block_is_live(block));
    CHECK(roma_bytes(block.address) == 50);
    roma_block_release(&block);
}

TEST_CASE_METHOD(fixture, "resize to 0 leaves a live block of length 0")
{
    roma_block block = alloc(100);
    CHECK(roma_block_resize(&block, 0, 0) == 0);
    CHECK(roma_block_is_live(block));
    CHECK(roma_bytes(block.address) == 0);
    CHECK(roma_block_release(&block) == 0);
}

TEST_CASE_METHOD(fixture, "resize with the zero flag zeroes what is new, whichever way it takes")
{
    const size_t lengths[] = {10, 60, 5000, 300000, 2u << 20, 7u << 20, 30u << 20};
    for (size_t start : {10u, 300000u, 2u << 20}) {
        roma_block block = alloc(start);
        size_t before = start;
        std::memset(block.address, 0xFF, start);
        for (size_t bytes : lengths) {
            if (bytes <= before)
                continue;
            INFO(before << " to " << bytes);
            REQUIRE(roma_block_resize(&block, bytes, ROMA_RESIZE_ZERO) == 0);
            const auto *at = static_cast<const unsigned char *>(block.address);
            CHECK(all_are(at, before, 0xFF));
            CHECK(all_are(at + before, bytes - before, 0));
            std::memset(block.address, 0xFF, bytes);
            before = bytes;
        }
        roma_block_release(&block);
    }
}

TEST_CASE_METHOD(fixture, "a resize that may not move fails where it would have to")
{
    roma_block block = alloc(100);
    roma_block before = block;
    CHECK(roma_block_resize(&block, 100000, ROMA_RESIZE_IN_PLACE) == -ENOMEM);
    CHECK(is_same(block, before));
    CHECK(roma_bytes(block.address) == 100);
    REQUIRE(roma_block_retain(block) == 2);
    CHECK(roma_block_resize(&block, 50, ROMA_RESIZE_IN_PLACE) == -ENOMEM); /* others hold it */
    CHECK(roma_block_resize(&block, 50, 1u << 30) == -EINVAL);
    CHECK(roma_bytes(block.address) == 100);
    roma_release(block.address);
    roma_block_release(&block);
}

TEST_CASE_METHOD(fixture,
                 "a resized weak block stays weak, and one that shrinks leaves the old behind")
{
    roma_block block = alloc(1000, true);
    roma_block before = block;
    CHECK(roma_block_resize(&block, 500, 0) == 0);
    CHECK(roma_block_try_retain(before) == -ESTALE);
    CHECK(roma_block_try_retain(block) == 2);
    roma_release(block.address);
    CHECK(roma_block_resize(&block, 50000, 0) == 0);
    CHECK(roma_block_try_retain(block) == 2);
    roma_release(block.address);
    roma_block_release(&block);
}

TEST_CASE_METHOD(fixture, "a registered block is busy for a resize by handle")
{
    roma_block block = alloc(64, false, true);
    roma_block before = block;
    CHECK(roma_block_resize(&block, 10, 0) == -EBUSY);
    CHECK(is_same(block, before));
    roma_block_release(&block);
}

TEST_CASE_METHOD(fixture, "a handle's segment is its block")
{
    roma_block block = alloc(100);
    roma_segment segment = roma_block_segment(block);
    CHECK(segment.address == block.address);
    CHECK(segment.bytes == 100);
    roma_block_release(&block);
}

TEST_CASE_METHOD(fixture, "a child of fork finds handles to hugetlb blocks stale, and others live")
{
    roma_request request = roma_request_default();
    request.bytes = 1u << 20;
    request.pages = ROMA_PAGES_HUGETLB;
    request.strict = true;
    request.label = "on huge pages";
    void *huge = roma_alloc_with(manager, &request, nullptr);
    if (huge == nullptr)
        SKIP_TEST_HUGE("no free hugetlb pages");
    roma_block block = roma_block_of(huge);
    roma_block ordinary = alloc(1u << 20);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        bool good = roma_block_get(block) == nullptr && errno == ESTALE &&
                    roma_block_retain(block) == -ESTALE && roma_block_is_live(ordinary) &&
                    roma_manager_check(manager) == 0;
        good = good && roma_block_release(&ordinary) == 0;
        good = good && roma_manager_destroy(manager) == 0; /* nothing is live any more */
        _exit(good ? 0 : 1);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(roma_block_release(&block) == 0);
    CHECK(roma_block_release(&ordinary) == 0);
}
