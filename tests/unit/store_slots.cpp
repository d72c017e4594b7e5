/* store_slots.cpp - slots own references: link, relink, load, take, alloc into, release from; and
 * blocks that own others. */
#include "sanitized.hpp"
#include "stores.hpp"

#include <cerrno>
#include <cstring>
#include <vector>

using namespace roma_tests;

namespace {

struct node {
    roma_ref next;
    roma_ref other;
    uint64_t number;
};

roma_store_request node_request()
{
    roma_store_request request = roma_store_request_of(sizeof(node));
    request.refs_count = 2;
    return request;
}

node *new_node(roma_store *store, uint64_t number)
{
    const roma_store_request request = node_request();
    auto *made = static_cast<node *>(roma_store_alloc_with(store, &request));
    REQUIRE(made != nullptr);
    CHECK(made->next == 0);
    CHECK(made->other == 0);
    made->number = number;
    return made;
}

roma_store_block look(roma_store *store, const void *block)
{
    roma_store_block found{};
    REQUIRE(roma_store_look(store, block, &found) == 0);
    return found;
}

/* Two openings of one store: two sessions, as of two processes. */
struct pair {
    store_path path;
    open_store one{path.c_str(), true};
    open_store two{path.c_str(), false};
};

} // namespace

TEST_CASE("a slot keeps a block, and the last one out frees it", "[store]")
{
    open_store store(memory_store());
    roma_ref *root = roma_store_root(store, 0), *second = roma_store_root(store, 1);
    void *block = roma_store_alloc(store, 40);
    REQUIRE(roma_store_link(store, root, block) == 0);
    CHECK(roma_store_link(store, root, block) == -EEXIST);
    REQUIRE(roma_store_link(store, second, block) == 0);
    CHECK(look(store, block).shared_count == 2);
    REQUIRE(roma_store_release(store, block) == 0);
    CHECK(roma_store_release_from(store, root) == 1);
    CHECK(live_blocks(store) == 1);
    CHECK(roma_store_release_from(store, second) == 1);
    CHECK(live_blocks(store) == 0);
    CHECK(roma_store_release_from(store, second) == 0);
    CHECK(roma_store_load(store, second) == nullptr);
    CHECK(errno == 0);
}

TEST_CASE("alloc into a slot gives it the only reference", "[store]")
{
    open_store store(memory_store());
    roma_ref *root = roma_store_root(store, 0);
    roma_store_request request = roma_store_request_of(1000);
    request.zero = true;
    for (size_t bytes : {1000, 300000}) {
        request.bytes = bytes;
        auto *block = static_cast<char *>(roma_store_alloc_into(store, root, &request));
        REQUIRE(block != nullptr);
        CHECK(block[bytes - 1] == 0);
        CHECK(look(store, block).local_count == 0);
        CHECK(look(store, block).shared_count == 1);
        CHECK(roma_store_release(store, block) == -ESTALE); /* the session holds none */
        CHECK(roma_store_alloc_into(store, root, &request) == nullptr);
        CHECK(errno == EEXIST);
        CHECK(live_blocks(store) == 1);
        CHECK(roma_store_release_from(store, root) == 1);
        CHECK(live_blocks(store) == 0);
    }
}

TEST_CASE("relink gives up what the slot named in the same step", "[store]")
{
    open_store store(memory_store());
    roma_ref *root = roma_store_root(store, 0);
    void *one = roma_store_alloc(store, 40), *two = roma_store_alloc(store, 4000);
    REQUIRE(roma_store_relink(store, root, one) == 0);
    REQUIRE(roma_store_release(store, one) == 0);
    REQUIRE(roma_store_relink(store, root, two) == 0);
    CHECK(live_blocks(store) == 1);
    REQUIRE(roma_store_relink(store, root, two) == 0);
    CHECK(look(store, two).shared_count == 1);
    REQUIRE(roma_store_relink(store, root, nullptr) == 0);
    CHECK(look(store, two).shared_count == 0);
    CHECK(roma_store_release(store, two) == 0);
}

TEST_CASE("take moves a slot's reference to the session", "[store]")
{
    pair here;
    roma_ref *root = roma_store_root(here.one, 0), *same = roma_store_root(here.two, 0);
    void *block = roma_store_alloc(here.one, 40);
    REQUIRE(roma_store_link(here.one, root, block) == 0);
    REQUIRE(roma_store_release(here.one, block) == 0);
    SECTION("by the owner")
    {
        REQUIRE(roma_store_take(here.one, root) == block);
        CHECK(look(here.one, block).local_count == 1);
        CHECK(look(here.one, block).shared_count == 0);
        CHECK(roma_store_release(here.one, block) == 0);
    }
    SECTION("elsewhere, with and without a reference there already")
    {
        void *held = roma_store_load(here.two, same);
        REQUIRE(held != nullptr);
        CHECK(look(here.two, held).shared_count == 2);
        REQUIRE(roma_store_take(here.two, same) == held);
        CHECK(look(here.two, held).shared_count == 1);
        REQUIRE(roma_store_link(here.two, same, held) == 0);
        CHECK(roma_store_release(here.two, held) == 0);
        CHECK(roma_store_release(here.two, held) == 0);
        CHECK(look(here.two, held).shared_count == 1);
        REQUIRE(roma_store_take(here.two, same) == held);
        CHECK(roma_store_release(here.two, held) == 0);
    }
    CHECK(*root == 0);
    CHECK(roma_store_trim(here.one, 0) >= 0); /* the owner looks at what was told to it */
    CHECK(live_blocks(here.one) == 0);
}

TEST_CASE("another session's references keep a block, and its owner frees it when it looks",
          "[store]")
{
    pair here;
    std::vector<void *> blocks(1000);
    REQUIRE(roma_store_alloc_batch(here.one, 64, blocks.data(), blocks.size()) == 1000);
    std::vector<void *> held;
    for (void *block : blocks) {
        roma_ref *root = roma_store_root(here.one, 0);
        REQUIRE(roma_store_link(here.one, root, block) == 0);
        REQUIRE(roma_store_release(here.one, block) == 0);
        held.push_back(roma_store_load(here.two, roma_store_root(here.two, 0)));
        REQUIRE(held.back() != nullptr);
        REQUIRE(roma_store_release_from(here.one, root) == 1);
    }
    CHECK(faults_of(here.one) == "");
    CHECK(live_blocks(here.one) == 1000);
    REQUIRE(roma_store_retain(here.two, held[5]) == 0);
    CHECK(roma_store_release_batch(here.two, held.data(), held.size()) == 0);
    CHECK(faults_of(here.one) == "");
    CHECK(roma_store_release(here.two, held[5]) == 0);
    CHECK(roma_store_release(here.two, held[5]) == -ESTALE);
    REQUIRE(roma_store_alloc_batch(here.one, 64, blocks.data(), blocks.size()) == 1000);
    CHECK(live_blocks(here.one) == 1000); /* those told of were free again for these */
    CHECK(roma_store_release_batch(here.one, blocks.data(), blocks.size()) == 0);
}

TEST_CASE("a block's slots are released with it", "[store]")
{
    open_store store(memory_store());
    node *parent = new_node(store, 1), *child = new_node(store, 2);
    REQUIRE(roma_store_link(store, &parent->next, child) == 0);
    REQUIRE(roma_store_link(store, &parent->other, child) == 0);
    REQUIRE(roma_store_release(store, child) == 0);
    CHECK(faults_of(store) == "");
    SECTION("by the last reference")
    {
        REQUIRE(roma_store_release(store, parent) == 0);
    }
    SECTION("by the last slot")
    {
        REQUIRE(roma_store_link(store, roma_store_root(store, 0), parent) == 0);
        REQUIRE(roma_store_release(store, parent) == 0);
        CHECK(live_blocks(store) == 2);
        REQUIRE(roma_store_release_from(store, roma_store_root(store, 0)) == 1);
    }
    SECTION("by another session, as an orphan's")
    {
        REQUIRE(roma_store_link(store, roma_store_root(store, 0), parent) == 0);
        const int fd = dup(roma_store_fd(store));
        store.close();
        roma_store *other = nullptr;
        const roma_store_options options = small_store();
        REQUIRE(roma_store_attach(fd, &options, &other, nullptr) == 0);
        close(fd);
        open_store second(other);
        CHECK(live_blocks(second) == 2);
        REQUIRE(roma_store_release_from(second, roma_store_root(second, 0)) == 1);
        CHECK(live_blocks(second) == 0);
        return;
    }
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("a list of a million blocks goes with its head", "[store]")
{
#ifdef ROMA_TESTS_UNDER_TSAN /* one thread: enough to end a stack of 8 MiB, at 48 bytes a call */
    const uint64_t length = 200000;
#else
    const uint64_t length = 1000000;
#endif
    store_path path;
    {
        open_store store(path.c_str(), true, small_store(256u << 20));
        node *head = nullptr;
        for (uint64_t i = 0; i < length; i++) {
            const roma_store_request request = node_request();
            auto *made = static_cast<node *>(roma_store_alloc_with(store, &request));
            if (made == nullptr)
                FAIL("no block " << i << ", errno " << errno);
            if (head != nullptr && (roma_store_link(store, &made->next, head) != 0 ||
                                    roma_store_release(store, head) != 0))
                FAIL("no link " << i);
            head = made;
        }
        CHECK(live_blocks(store) == length);
        REQUIRE(roma_store_link(store, roma_store_root(store, 0), head) == 0);
    }
    open_store store(path.c_str(), false);
    CHECK(live_blocks(store) == length);
    CHECK(roma_store_release_from(store, roma_store_root(store, 0)) == 1);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("more slabs than a lane's own list names end in one go", "[store]")
{
    const uint32_t children = 500000; /* of 64 bytes: some 600 slabs */
    const bool by_recovery = GENERATE(false, true);
    store_path path;
    {
        open_store store(path.c_str(), true, small_store(256u << 20));
        roma_store_request request = roma_store_request_of(children * sizeof(roma_ref));
        request.refs_count = children;
        auto *table = static_cast<roma_ref *>(roma_store_alloc_with(store, &request));
        REQUIRE(table != nullptr);
        for (uint32_t i = 0; i < children; i++) {
            void *child = roma_store_alloc(store, 64);
            if (child == nullptr || roma_store_link(store, &table[i], child) != 0 ||
                roma_store_release(store, child) != 0)
                FAIL("no child " << i << ", errno " << errno);
        }
        REQUIRE(roma_store_link(store, roma_store_root(store, 0), table) == 0);
    }
    open_store store(path.c_str(), false);
    CHECK(live_blocks(store) == children + 1);
    if (by_recovery) {
        const int end = in_child([&] {
            roma_store *own = nullptr;
            if (roma_store_open(path.c_str(), nullptr, &own, nullptr) != 0 ||
                roma_store_take(own, roma_store_root(own, 0)) == nullptr)
                return 91;
            return raise(SIGKILL);
        });
        REQUIRE(end == -SIGKILL);
        CHECK(roma_store_recover(store) == 1);
    } else {
        CHECK(roma_store_release_from(store, roma_store_root(store, 0)) == 1);
    }
    CHECK(live_blocks(store) == 0);
    CHECK(roma_store_check(store, nullptr, nullptr) == 0);
}

TEST_CASE("a hundred different maps of slots are kept apart", "[store]")
{
    open_store store(memory_store());
    std::vector<void *> blocks;
    for (uint32_t i = 1; i <= 100; i++) {
        roma_store_request request = roma_store_request_of(2048);
        request.refs_offset = 8 * (i % 7);
        request.refs_stride = 8 * (1 + i % 3);
        request.refs_count = i % 50 + 1;
        blocks.push_back(roma_store_alloc_with(store, &request));
        REQUIRE(blocks.back() != nullptr);
        const roma_store_block found = look(store, blocks.back());
        CHECK(found.refs_offset == request.refs_offset);
        CHECK(found.refs_stride == request.refs_stride);
        CHECK(found.refs_count == request.refs_count);
    }
    CHECK(roma_store_release_batch(store, blocks.data(), blocks.size()) == 0);
}
