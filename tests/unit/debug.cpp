/* debug.cpp - debug options: patterns, guards, call sites, the leak list, and what on_misuse hears.
 *
 * Where a test itself misuses memory it does so through functions that no sanitizer looks into. */
#include "catch.hpp"

#define ROMA_CALL_SITES
#include <roma.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

#define BEHIND_THE_TOOLS __attribute__((noinline, no_sanitize("address"), no_sanitize("thread")))

BEHIND_THE_TOOLS void poke(void *address, size_t offset, int value)
{
    static_cast<volatile unsigned char *>(address)[offset] = static_cast<unsigned char>(value);
}

BEHIND_THE_TOOLS int peek(const void *address, size_t offset)
{
    return static_cast<const volatile unsigned char *>(address)[offset];
}

struct finding {
    roma_misuse_kind kind;
    const void *address;
    std::string text;
};

struct fixture {
    std::vector<finding> found;
    roma_manager *manager = nullptr;
    roma_options options = roma_options_default();

    ~fixture()
    {
        if (manager != nullptr)
            CHECK(roma_manager_destroy(manager) == 0);
    }

    void make(unsigned debug)
    {
        options.debug = debug;
        options.misuse_context = this;
        options.on_misuse = [](void *context, const roma_misuse *misuse) {
            static_cast<fixture *>(context)->found.push_back(
                {misuse->kind, misuse->address, misuse->text});
        };
        REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    }

    bool was_told_once(roma_misuse_kind kind, const void *address)
    {
        return found.size() == 1 && found[0].kind == kind && found[0].address == address;
    }

    bool text_has(const std::string &part)
    {
        return !found.empty() && found.back().text.find(part) != std::string::npos;
    }
};

std::string here(int line)
{
    return std::string(__FILE__) + ":" + std::to_string(line);
}

} // namespace

TEST_CASE_METHOD(fixture, "patterns fill new blocks with A5 and free ones with 5A")
{
    make(ROMA_DEBUG_PATTERNS);
    void *keeper = roma_alloc(manager, 100); /* the slab stays */
    auto *block = static_cast<unsigned char *>(roma_alloc(manager, 100));
    for (size_t i = 0; i < 100; i++)
        REQUIRE(block[i] == 0xA5);
    roma_free(block);
    for (size_t i = 0; i < 100; i++)
        REQUIRE(peek(block, i) == 0x5A);
    auto *zeroed = static_cast<unsigned char *>(roma_alloc_zeroed(manager, 100));
    for (size_t i = 0; i < 100; i++)
        REQUIRE(zeroed[i] == 0);
    roma_free(zeroed);
    roma_free(keeper);
    CHECK(found.empty());
}

TEST_CASE_METHOD(fixture, "a part that a resize adds is filled with A5")
{
    make(ROMA_DEBUG_PATTERNS | ROMA_DEBUG_GUARDS);
    auto *block = static_cast<unsigned char *>(roma_alloc(manager, 100));
    for (size_t bytes : {104u, 5000u, 300000u, 2u << 20, 9u << 20}) {
        size_t before = roma_bytes(block);
        block = static_cast<unsigned char *>(roma_resize(block, bytes));
        REQUIRE(block != nullptr);
        size_t wrong = 0;
        for (size_t i = before; i < bytes; i++)
            wrong += block[i] != 0xA5;
        CHECK(wrong == 0);
    }
    roma_free(block);
    CHECK(found.empty());
}

TEST_CASE_METHOD(fixture, "a write to a free block is told when its memory is used again")
{
    make(ROMA_DEBUG_PATTERNS | ROMA_DEBUG_SITES);
    void *keeper = roma_alloc(manager, 100);
    void *block = roma_alloc(manager, 100);
    int freed_line = __LINE__ + 1;
    roma_free(block);
    poke(block, 42, 1);
    void *next = roma_alloc(manager, 100);
    REQUIRE(next == block); /* the lowest free cell is taken first */
    CHECK(was_told_once(ROMA_MISUSE_WRITE_FREED, block));
    CHECK(text_has("byte 42"));
    CHECK(text_has("released at " + here(freed_line)));
    roma_free(next);
    roma_free(keeper);
}

TEST_CASE_METHOD(fixture,
                 "a write to a free block is found by a check, and an untouched one is not")
{
    make(ROMA_DEBUG_PATTERNS);
    void *keeper = roma_alloc(manager, 5000);
    void *block = roma_alloc(manager, 5000);
    roma_free(block);
    CHECK(roma_manager_check(manager) == 0);
    int before = peek(block, 4999);
    poke(block, 4999, 1);
    CHECK(roma_manager_check(manager) == 1);
    CHECK(was_told_once(ROMA_MISUSE_WRITE_FREED, block));
    poke(block, 4999, before);
    CHECK(roma_manager_check(manager) == 0);
    roma_free(keeper);
}

TEST_CASE_METHOD(fixture,
                 "memory that is cut anew or given back is not taken for written free blocks",
                 "[long]")
{
    make(ROMA_DEBUG_PATTERNS | ROMA_DEBUG_GUARDS);
    for (int round = 0; round < 20; round++) {
        std::vector<void *> blocks;
        for (size_t bytes : {16u, 64u, 900u, 5000u, 66000u, 300000u, 700000u, 3u << 20})
            for (int i = 0; i < 20; i++) {
                void *block = roma_alloc(manager, bytes + static_cast<size_t>(round * 8));
                REQUIRE(block != nullptr);
                std::memset(block, i, bytes);
                blocks.push_back(block);
            }
        for (size_t i = 0; i < blocks.size(); i++)
            if (i % 3 == 0) {
                blocks[i] = roma_resize(blocks[i], roma_bytes(blocks[i]) * 2);
                std::memset(blocks[i], 1, roma_bytes(blocks[i]));
            }
        CHECK(roma_manager_check(manager) == 0);
        for (void *block : blocks)
            roma_free(block);
        if (round % 4 == 3)
            roma_manager_trim(manager, 0);
        CHECK(roma_manager_check(manager) == 0);
    }
    CHECK(found.empty());
}

TEST_CASE_METHOD(fixture, "an overrun is told when the block is freed, and the free goes on")
{
    make(ROMA_DEBUG_GUARDS | ROMA_DEBUG_SITES);
    int line = __LINE__ + 1;
    void *block = roma_alloc(manager, 100);
    poke(block, 103, 1);
    roma_free(block);
    CHECK(was_told_once(ROMA_MISUSE_OVERRUN, block));
    CHECK(text_has("byte 3 behind its end"));
    CHECK(text_has("allocated at " + here(line)));
    CHECK(roma_count(block) == -ESTALE);
}

TEST_CASE_METHOD(fixture, "an overrun is told by a resize and by a check, and guards move along")
{
    make(ROMA_DEBUG_GUARDS);
    void *block = roma_alloc(manager, 100);
    for (size_t bytes : {90u, 104u, 4000u, 600000u, 3u << 20, 50u}) {
        block = roma_resize(block, bytes);
        REQUIRE(block != nullptr);
        CHECK(roma_manager_check(manager) == 0);
    }
    int before = peek(block, 50);
    poke(block, 50, 1);
    CHECK(roma_manager_check(manager) == 1);
    CHECK(was_told_once(ROMA_MISUSE_OVERRUN, block));
    block = roma_resize(block, 40);
    CHECK(found.size() == 2);
    CHECK(before != 1);
    CHECK(roma_manager_check(manager) == 0); /* the new guard is whole */
    roma_free(block);
}

TEST_CASE_METHOD(fixture, "guards do not change what a block tells of its length")
{
    make(ROMA_DEBUG_ALL);
    for (size_t bytes : {0u, 16u, 4096u, 300000u, 2u << 20}) {
        void *block = roma_alloc(manager, bytes);
        REQUIRE(block != nullptr);
        CHECK(roma_bytes(block) == bytes);
        CHECK(roma_usable(block) >= bytes);
        roma_block handle = roma_block_of(block);
        CHECK(roma_block_resize(&handle, roma_usable(block), ROMA_RESIZE_IN_PLACE) == 0);
        roma_free(block);
    }
    CHECK(found.empty());
}

TEST_CASE_METHOD(fixture, "a double free is told with the places of all three calls")
{
    make(ROMA_DEBUG_SITES);
    void *keeper = roma_alloc(manager, 100);
    int line = __LINE__ + 1;
    void *block = roma_alloc(manager, 100);
    roma_free(block);
    roma_free(block);
    CHECK(was_told_once(ROMA_MISUSE_DOUBLE_FREE, block));
    CHECK(text_has("allocated at " + here(line)));
    CHECK(text_has("released at " + here(line + 1)));
    CHECK(text_has("double free of"));
    CHECK(text_has("at " + here(line + 2)));
    roma_free(keeper);
}

TEST_CASE_METHOD(fixture, "the last retain and release of a shared block are kept")
{
    make(ROMA_DEBUG_SITES | ROMA_DEBUG_GUARDS);
    void *block = roma_alloc(manager, 100);
    int line = __LINE__ + 1;
    roma_retain(block);
    roma_free(block);
    poke(block, 100, 1);
    CHECK(roma_manager_check(manager) == 1);
    CHECK(text_has("last retained at " + here(line)));
    CHECK(text_has("released at " + here(line + 1)));
    roma_free(block);
}

TEST_CASE_METHOD(fixture, "a free inside a block is told and has no effect")
{
    make(0);
    char *block = static_cast<char *>(roma_alloc(manager, 100));
    roma_free(block + 10);
    CHECK(was_told_once(ROMA_MISUSE_INTERIOR, block + 10));
    CHECK(text_has("10 bytes inside the block"));
    CHECK(roma_count(block) == 1);
    char *large = static_cast<char *>(roma_alloc(manager, 5u << 20));
    roma_free(large + (3u << 20));
    CHECK(found.size() == 2);
    CHECK(found.back().kind == ROMA_MISUSE_INTERIOR);
    roma_free(large);
    roma_free(block);
}

TEST_CASE_METHOD(fixture, "a free with the wrong length is told and has no effect")
{
    make(0);
    void *block = roma_alloc(manager, 100);
    roma_free_sized(block, 101);
    CHECK(was_told_once(ROMA_MISUSE_SIZE, block));
    CHECK(text_has("as 101 bytes, but the block has 100"));
    CHECK(roma_count(block) == 1);
    roma_free_sized(block, 100);
    CHECK(roma_count(block) == -ESTALE);
}

TEST_CASE_METHOD(fixture, "the leak list names every live block, where it came from, and the total")
{
    char *text = nullptr;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    REQUIRE(stream != nullptr);
    options.leak_stream = stream;
    options.name = "leaky";
    make(ROMA_DEBUG_LEAKS | ROMA_DEBUG_SITES);
    int line = __LINE__ + 1;
    void *first = roma_alloc(manager, 100);
    roma_retain(first);
    roma_request request = roma_request_default();
    request.bytes = 20;
    request.label = "twenty";
    void *second = roma_alloc_with(manager, &request, nullptr);
    REQUIRE(second != nullptr);

    CHECK(roma_manager_destroy(manager) == -EBUSY);
    std::fflush(stream);
    std::string list(text, length);
    CHECK(list.find("100 bytes, allocated at " + here(line) + ", 2 references\n") !=
          std::string::npos);
    CHECK(list.find("20 bytes, \"twenty\", allocated at " + here(line + 5) + ", 1 reference\n") !=
          std::string::npos);
    CHECK(list.find("roma: leak: 2 blocks, 120 bytes in all, manager \"leaky\"\n") !=
          std::string::npos);
    CHECK(found.empty());

    CHECK(roma_manager_destroy_all(manager) == 0);
    manager = nullptr;
    CHECK(was_told_once(ROMA_MISUSE_LEAK, nullptr));
    std::fclose(stream);
    std::free(text);
}

TEST_CASE_METHOD(fixture, "the walk over live blocks tells what each is")
{
    make(ROMA_DEBUG_SITES);
    int line = __LINE__ + 1;
    void *block = roma_alloc(manager, 100);
    struct seen {
        int count;
        roma_block_info info;
    } seen = {0, {}};
    auto visit = [](void *context, const roma_block_info *info) {
        auto *into = static_cast<struct seen *>(context);
        into->count++;
        into->info = *info;
        CHECK(std::string(info->label).empty());
        return 7;
    };
    CHECK(roma_manager_blocks(manager, visit, &seen) == 7);
    CHECK(seen.count == 1);
    CHECK(seen.info.address == block);
    CHECK(seen.info.bytes == 100);
    CHECK(seen.info.usable_bytes == roma_usable(block));
    CHECK(seen.info.count == 1);
    CHECK(seen.info.generation == roma_block_of(block).generation);
    CHECK(std::string(seen.info.file) == __FILE__);
    CHECK(seen.info.line == line);
    roma_free(block);
}

#undef roma_alloc
TEST_CASE_METHOD(fixture, "a caller without file and line is known by its return address")
{
    make(ROMA_DEBUG_SITES);
    void *block = roma_alloc(manager, 100); /* the plain function */
    auto visit = [](void *, const roma_block_info *info) {
        CHECK(info->file == nullptr);
        CHECK(info->return_address != nullptr);
        return 0;
    };
    CHECK(roma_manager_blocks(manager, visit, nullptr) == 0);
    roma_free(block);
}
