/* store.cpp - a store is made, opened and closed; its blocks, and what is refused. */
#include "store_shim.h"
#include "stores.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <set>
#include <sys/stat.h>
#include <vector>

using namespace roma_tests;

TEST_CASE("a block that is linked from a root is there when the store is opened again", "[store]")
{
    store_path path;
    roma_ref ref = 0;
    {
        open_store store(path.c_str(), true);
        auto *text = static_cast<char *>(roma_store_alloc(store, 100));
        REQUIRE(text != nullptr);
        std::strcpy(text, "it stays");
        ref = roma_ref_of(store, text);
        REQUIRE(roma_store_link(store, roma_store_root(store, 3), text) == 0);
        REQUIRE(roma_store_release(store, text) == 0);
        std::strcpy(static_cast<char *>(roma_store_user_area(store).address), "mine");
    }
    open_store store(path.c_str(), false);
    CHECK(*roma_store_root(store, 3) == ref);
    auto *text = static_cast<char *>(roma_store_load(store, roma_store_root(store, 3)));
    REQUIRE(text != nullptr);
    CHECK(static_cast<void *>(text) == roma_ref_at(store, ref));
    CHECK(std::string(text) == "it stays");
    CHECK(roma_store_bytes(store, text) == 100);
    CHECK(std::string(static_cast<char *>(roma_store_user_area(store).address)) == "mine");
    CHECK(roma_store_release_from(store, roma_store_root(store, 3)) == 1);
    CHECK(live_blocks(store) == 1);
    CHECK(roma_store_release(store, text) == 0);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("what a session holds goes when it closes", "[store]")
{
    store_path path;
    {
        open_store store(path.c_str(), true);
        for (size_t bytes : {1, 64, 5000, 70000, 3000000})
            REQUIRE(roma_store_alloc(store, bytes) != nullptr);
        CHECK(live_blocks(store) == 5);
    }
    open_store store(path.c_str(), false);
    CHECK(live_blocks(store) == 0);
    CHECK(figure_of(store, "store.free_bytes") == figure_of(store, "store.committed_bytes"));
}

TEST_CASE("blocks of every length are apart, aligned, and as long as asked", "[store]")
{
    open_store store(memory_store());
    std::vector<std::pair<char *, size_t>> blocks;
    for (size_t bytes = 0; bytes < 300000; bytes += 1 + bytes / 7) {
        auto *block = static_cast<char *>(roma_store_alloc(store, bytes));
        REQUIRE(block != nullptr);
        CHECK(roma_store_bytes(store, block) == bytes);
        CHECK(roma_store_usable(store, block) >= bytes);
        size_t align = 16;
        while (bytes > 0 && bytes % (align * 2) == 0 && align < 4096)
            align *= 2;
        CHECK(reinterpret_cast<uintptr_t>(block) % align == 0);
        std::memset(block, static_cast<int>(blocks.size()), bytes);
        blocks.emplace_back(block, bytes);
    }
    for (size_t i = 0; i < blocks.size(); i++) {
        for (size_t k = 0; k < blocks[i].second; k++)
            if (static_cast<unsigned char>(blocks[i].first[k]) != (i & 0xff))
                FAIL("block " << i << " was overwritten at " << k);
        CHECK(roma_store_release(store, blocks[i].first) == 0);
    }
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("alignments up to 1 GiB are kept", "[store]")
{
    open_store store(memory_store(small_store(UINT64_C(5) << 30)));
    for (size_t align = 16; align <= size_t(1) << 30; align *= 4) {
        roma_store_request request = roma_store_request_of(24);
        request.align = align;
        void *block = roma_store_alloc_with(store, &request);
        INFO(align);
        if (block == nullptr && errno == ENOSPC && align > (1u << 24))
            continue; /* the machine's memory may be less than what an aligned place needs */
        REQUIRE(block != nullptr);
        CHECK(reinterpret_cast<uintptr_t>(block) % align == 0);
        CHECK(roma_store_release(store, block) == 0);
    }
}

TEST_CASE("wishes that cannot be are refused by name", "[store]")
{
    open_store store(memory_store());
    roma_store_request request = roma_store_request_of(64);
    const auto refused = [&](int cause) {
        errno = 0;
        CHECK(roma_store_alloc_with(store, &request) == nullptr);
        CHECK(errno == cause);
        request = roma_store_request_of(64);
    };
    request.align = 24;
    refused(EINVAL);
    request.align = size_t(1) << 31;
    refused(EINVAL);
    request.size = 8;
    refused(EINVAL);
    request.reserved_tail = 1;
    refused(E2BIG);
    request.bytes = SIZE_MAX;
    refused(EOVERFLOW);
    request.refs_count = 9; /* 72 bytes of slots */
    refused(EINVAL);
    request.refs_count = 1;
    request.refs_offset = 4;
    refused(EINVAL);
    request.refs_offset = 8; /* of no slots */
    refused(EINVAL);
    CHECK(roma_store_alloc_with(store, nullptr) == nullptr);
    CHECK(roma_store_alloc(nullptr, 1) == nullptr);
    CHECK(errno == EINVAL);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("misuse is told and changes nothing", "[store]")
{
    open_store store(memory_store());
    auto *block = static_cast<char *>(roma_store_alloc(store, 100));
    CHECK(roma_store_release(store, block + 16) == -EINVAL);
    CHECK(roma_store_release(store, store.self) == -EINVAL);
    CHECK(roma_store_retain(store, block + 8) == -EINVAL);
    CHECK(roma_store_release(store, block) == 0);
    CHECK(roma_store_release(store, block) == -ESTALE);
    CHECK(roma_store_retain(store, block) == -ESTALE);
    CHECK(roma_store_bytes(store, block) == 0);
    CHECK(errno == ESTALE);
    CHECK(roma_store_link(store, roma_store_root(store, 0), block) == -ESTALE);
    CHECK(roma_store_link(store, nullptr, block) == -EINVAL);
    roma_ref outside = 0;
    CHECK(roma_store_release_from(store, &outside) == -EINVAL);
    CHECK(roma_store_release(store, nullptr) == 0);
    CHECK(roma_store_root(store, ROMA_STORE_ROOTS) == nullptr);
    CHECK(roma_ref_at(store, 16) == nullptr);
    CHECK(roma_ref_of(store, &outside) == 0);
}

TEST_CASE("a slot that names no block is damage, not a crash", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    roma_ref *root = roma_store_root(store, 0);
    for (roma_ref wrong : {roma_ref(1), roma_ref(16), ~roma_ref(0), roma_ref(1) << 43}) {
        *root = wrong;
        CHECK(roma_store_load(store, root) == nullptr);
        CHECK(errno == EUCLEAN);
        CHECK(roma_store_release_from(store, root) == -EUCLEAN);
        CHECK(faults_of(store) != "");
    }
    *root = 0;
}

TEST_CASE("a check counts only what it numbered, whoever writes meanwhile", "[store]")
{
    open_store store(memory_store());
    roma_ref *root = roma_store_root(store, 0);
    REQUIRE(roma_store_alloc(store, 16) != nullptr);
    void *second = roma_store_alloc(store, 16);
    REQUIRE(roma_store_link(store, root, second) == 0);
    struct writer {
        uint64_t *place, before;
        int names;
        static int visit(void *context, const roma_store_fault *fault)
        {
            auto *self = static_cast<writer *>(context);
            *self->place = self->before; /* numbered as a list page, and a slab again */
            self->names += std::strstr(fault->text, "where no block is") != nullptr;
            return 0;
        }
    };
    uint64_t *word = &shim_view(store)->units[*root >> ROMA__UNIT_SHIFT].word;
    writer other{word, *word, 0};
    *word = roma__unit_make(ROMA__UNIT_LIST, 0, 0, 1);
    CHECK(roma_store_check(store, writer::visit, &other) > 0);
    CHECK(other.names == 1);
    CHECK(faults_of(store) == "");
}

TEST_CASE("a block's words: counts, generation, map", "[store]")
{
    open_store store(memory_store());
    roma_store_request request = roma_store_request_of(200);
    request.refs_offset = 40;
    request.refs_stride = 16;
    request.refs_count = 5;
    void *block = roma_store_alloc_with(store, &request);
    roma_store_block found;
    REQUIRE(roma_store_look(store, block, &found) == 0);
    CHECK(found.bytes == 200);
    CHECK(found.local_count == 1);
    CHECK(found.shared_count == 0);
    CHECK(found.refs_offset == 40);
    CHECK(found.refs_stride == 16);
    CHECK(found.refs_count == 5);
    CHECK_FALSE(found.is_large);
    const uint32_t generation = found.generation;
    REQUIRE(roma_store_retain(store, block) == 0);
    REQUIRE(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    REQUIRE(roma_store_look(store, block, &found) == 0);
    CHECK(found.local_count == 2);
    CHECK(found.shared_count == 1);
    REQUIRE(roma_store_release(store, block) == 0);
    REQUIRE(roma_store_release(store, block) == 0);
    REQUIRE(roma_store_release_from(store, roma_store_root(store, 0)) == 1);
    CHECK(roma_store_look(store, block, &found) == -ESTALE);
    void *again = roma_store_alloc(store, 200);
    REQUIRE(again == block);
    REQUIRE(roma_store_look(store, again, &found) == 0);
    CHECK(found.generation == generation + 1);
    CHECK(found.refs_count == 0);
    CHECK(roma_store_release(store, again) == 0);
}

TEST_CASE("batches do what the single calls do", "[store]")
{
    open_store store(memory_store());
    std::vector<void *> blocks(5000);
    REQUIRE(roma_store_alloc_batch(store, 48, blocks.data(), blocks.size()) == 5000);
    CHECK(std::set<void *>(blocks.begin(), blocks.end()).size() == 5000);
    CHECK(live_blocks(store) == 5000);
    blocks[7] = nullptr;
    CHECK(roma_store_release_batch(store, blocks.data(), blocks.size()) == 0);
    CHECK(live_blocks(store) == 1);
    CHECK(roma_store_release_batch(store, blocks.data(), 1) == -ESTALE);
    CHECK(roma_store_alloc_batch(store, 48, nullptr, 0) == 0);
    CHECK(roma_store_alloc_batch(store, 100000, blocks.data(), 3) == 3);
    CHECK(roma_store_release_batch(store, blocks.data(), 3) == 0);
}

TEST_CASE("files that are no store, or no whole one, are refused with the reason", "[store]")
{
    store_path path;
    roma_store *store = nullptr;
    roma_error error = {};
    CHECK(roma_store_open(path.c_str(), nullptr, &store, &error) == -ENOENT);
    {
        const int fd = open(path.c_str(), O_CREAT | O_RDWR, 0600);
        REQUIRE(fd >= 0);
        CHECK(roma_store_open(path.c_str(), nullptr, &store, &error) == -EMEDIUMTYPE);
        CHECK(error.why == ROMA_WHY_STORE_FOREIGN);
        const std::string text(20000, 'x');
        REQUIRE(write(fd, text.data(), text.size()) == 20000);
        close(fd);
        CHECK(roma_store_open(path.c_str(), nullptr, &store, &error) == -EMEDIUMTYPE);
        unlink(path.c_str());
    }
    open_store(path.c_str(), true).close();
    CHECK(roma_store_create(path.c_str(), nullptr, &store, &error) == -EEXIST);
    struct stat status;
    REQUIRE(stat(path.c_str(), &status) == 0);
    REQUIRE(truncate(path.c_str(), status.st_size - 65536) == 0);
    CHECK(roma_store_open(path.c_str(), nullptr, &store, &error) == -EUCLEAN);
    CHECK(error.why == ROMA_WHY_STORE_SHORT);
    CHECK(error.need == static_cast<uint64_t>(status.st_size));
    REQUIRE(truncate(path.c_str(), status.st_size) == 0);
    const int fd = open(path.c_str(), O_RDWR);
    char garbage[8192] = {};
    REQUIRE(pread(fd, garbage, sizeof garbage, 0) == sizeof garbage);
    for (int at : {16, 4112}) { /* both copies: features */
        garbage[at + 300] = 1;
        REQUIRE(pwrite(fd, garbage, sizeof garbage, 0) == sizeof garbage);
    }
    close(fd);
    CHECK(roma_store_open(path.c_str(), nullptr, &store, &error) == -EUCLEAN);
    CHECK(error.why == ROMA_WHY_STORE_DAMAGED);
    CHECK(store == nullptr);
}

TEST_CASE("a copy of a store in use, and a store that a crash interrupted, are refused", "[store]")
{
    store_path path, copy;
    roma_store *other = nullptr;
    roma_error error = {};
    open_store store(path.c_str(), true);
    REQUIRE(std::system(("cp " + path.text + " " + copy.text).c_str()) == 0);
    CHECK(roma_store_open(copy.c_str(), nullptr, &other, &error) == -EUCLEAN);
    CHECK(error.why == ROMA_WHY_STORE_COPIED);
    roma_store_options options = small_store();
    options.keep_crashed = true;
    REQUIRE(roma_store_open(copy.c_str(), &options, &other, &error) == 0);
    open_store rescued(other);
    CHECK(roma_store_recover(rescued) == 1); /* the session that was copied */
}

TEST_CASE("session slots and lanes that are used up are a named error", "[store]")
{
    store_path path;
    roma_store_options options = small_store();
    options.sessions = 2;
    options.lanes = 1;
    roma_store *third = nullptr;
    roma_error error = {};
    open_store one(path.c_str(), true, options);
    {
        open_store two(path.c_str(), false);
        CHECK(roma_store_open(path.c_str(), nullptr, &third, &error) == -EUSERS);
        CHECK(error.why == ROMA_WHY_STORE_SESSIONS);
        CHECK(error.total == 2);
        REQUIRE(roma_store_alloc(one, 8) != nullptr);
        CHECK(roma_store_alloc(two, 8) == nullptr);
        CHECK(errno == EUSERS);
    }
    open_store again(path.c_str(), false);
}

TEST_CASE("a read-only opening sees what is there and changes nothing", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    void *block = roma_store_alloc(store, 64);
    std::memset(block, 7, 64);
    REQUIRE(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    roma_store_options options = small_store();
    options.read_only = true;
    open_store looker(path.c_str(), false, options);
    const roma_ref ref = *roma_store_root(looker, 0);
    REQUIRE(ref == roma_ref_of(store, block));
    CHECK(static_cast<char *>(roma_ref_at(looker, ref))[63] == 7);
    CHECK(roma_store_alloc(looker, 8) == nullptr);
    CHECK(errno == EROFS);
    CHECK(roma_store_load(looker, roma_store_root(looker, 0)) == nullptr);
    CHECK(roma_store_recover(looker) == -EROFS);
    CHECK((roma_store_capabilities(looker) & ROMA_STORE_WRITABLE) == 0);
    CHECK(live_blocks(looker) == 1);
}

TEST_CASE("a store in memory is opened by its descriptor", "[store]")
{
    open_store store(memory_store());
    void *block = roma_store_alloc(store, 64);
    std::strcpy(static_cast<char *>(block), "hello");
    REQUIRE(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    roma_store *other = nullptr;
    roma_error error = {};
    const roma_store_options options = small_store();
    REQUIRE(roma_store_attach(roma_store_fd(store), &options, &other, &error) == 0);
    open_store second(other);
    void *same = roma_store_load(second, roma_store_root(second, 0));
    REQUIRE(same != nullptr);
    CHECK(same != block);
    CHECK(std::string(static_cast<char *>(same)) == "hello");
    CHECK(roma_store_release(second, same) == 0);
    CHECK(roma_store_attach(-1, &options, &other, &error) == -EBADF);
}
