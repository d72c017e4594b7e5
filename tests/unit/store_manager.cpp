/* store_manager.cpp - a store behind the calls that every manager takes. */
#include "catch.hpp"
#include "child.hpp"
#include "file_path.hpp"
#include "skip.hpp"

#include <roma.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using roma_tests::file_path;
using roma_tests::in_child;

namespace {

/* A store in a file of its own, and its manager, which collects misuse. */
struct stored {
    const file_path path{"roma-managed"};
    roma_store *store = nullptr;
    roma_manager *self = nullptr;
    std::vector<roma_misuse_kind> kinds;
    std::string text; /* of the last one */

    stored()
    {
        roma_store_options options = roma_store_options_default();
        options.max_bytes = 256u << 20;
        options.unsynced = true;
        REQUIRE(roma_store_create(path.c_str(), &options, &store, nullptr) == 0);
        self = roma_store_manager(store);
        REQUIRE(self != nullptr);
        listen(self);
    }
    stored(const stored &) = delete;
    stored &operator=(const stored &) = delete;
    ~stored()
    {
        if (store != nullptr)
            CHECK(roma_store_close(store) == 0);
    }

    void listen(roma_manager *manager)
    {
        roma_manager_on_misuse(
            manager,
            [](void *context, const roma_misuse *misuse) {
                auto *me = static_cast<stored *>(context);
                me->kinds.push_back(misuse->kind);
                me->text = misuse->text;
            },
            this);
    }

    void *alloc(size_t bytes)
    {
        void *block = roma_alloc(self, bytes);
        REQUIRE(block != nullptr);
        return block;
    }

    bool has(const void *block) const { return roma_ref_of(store, block) != 0; }
};

using kinds_of = std::vector<roma_misuse_kind>;

bool all_are(const void *block, size_t bytes, char value)
{
    const auto *at = static_cast<const char *>(block);
    return std::all_of(at, at + bytes, [value](char byte) { return byte == value; });
}

} // namespace

TEST_CASE("a store has one manager, which ends with it", "[store][manager]")
{
    stored made;
    CHECK(roma_store_manager(made.store) == made.self);
    void *block = made.alloc(64);
    CHECK(made.has(block));
    CHECK(roma_manager_of(block) == made.self);
    CHECK(roma_manager_destroy(made.self) == -EINVAL);
    CHECK(roma_manager_destroy_all(made.self) == -EINVAL);
    CHECK(roma_release(block) == 0);
    errno = 0;
    CHECK(roma_store_manager(nullptr) == nullptr);
    CHECK(errno == EINVAL);
    CHECK(roma_store_close(made.store) == 0);
    made.store = nullptr;
    CHECK(roma_release(block) < 0); /* nobody's now */
}

TEST_CASE("blocks of any length come and go by the plain calls", "[store][manager]")
{
    stored made;
    for (size_t bytes : {(size_t)0, (size_t)1, (size_t)16, (size_t)100, (size_t)4096, (size_t)70000,
                         (size_t)3 << 20}) {
        INFO(bytes);
        void *block = made.alloc(bytes);
        std::memset(block, 'x', bytes);
        CHECK(made.has(block));
        CHECK(roma_bytes(block) == bytes);
        CHECK(roma_usable(block) >= bytes);
        CHECK(roma_count(block) == 1);
        CHECK(std::string(roma_label_of(block)).empty());
        void *zeroed = roma_alloc_zeroed(made.self, bytes);
        REQUIRE(zeroed != nullptr);
        CHECK(all_are(zeroed, bytes, 0));
        roma_free(zeroed);
        roma_free_sized(block, bytes);
    }
    for (size_t align = 16; align <= (size_t)2 << 20; align *= 4) {
        void *block = roma_alloc_aligned(made.self, 40, align);
        REQUIRE(block != nullptr);
        CHECK((uintptr_t)block % align == 0);
        roma_free(block);
    }
    CHECK(roma_alloc_aligned(made.self, 40, 24) == nullptr);
    CHECK(errno == EINVAL);
    roma_free(nullptr);
    CHECK(made.kinds.empty());
}

TEST_CASE("references are counted, by this process and by slots", "[store][manager]")
{
    stored made;
    void *block = made.alloc(200);
    CHECK(roma_retain(block) == 2);
    CHECK(roma_retain(block) == 3);
    CHECK(roma_release(block) == 2);
    roma_ref *root = roma_store_root(made.store, 0);
    REQUIRE(roma_store_link(made.store, root, block) == 0);
    CHECK(roma_count(block) == 3);
    CHECK(roma_release(block) == 2);
    CHECK(roma_release(block) == 1);       /* the slot's */
    CHECK(roma_release(block) == -ESTALE); /* which is not this process's to give up */
    CHECK(roma_count(block) == 1);
    CHECK(roma_store_release_from(made.store, root) == 1);
    CHECK(roma_count(block) == -ESTALE);
}

TEST_CASE("a request may wish what a store can, and is refused the rest by name",
          "[store][manager]")
{
    stored made;
    roma_grant grant;
    roma_request request = roma_request_default();
    request.bytes = 100000;
    request.align = 8192;
    request.zero = true;
    request.lifetime = ROMA_LIFETIME_LONG;
    request.label = "not kept";
    void *block = roma_alloc_with(made.self, &request, &grant);
    REQUIRE(block != nullptr);
    CHECK((uintptr_t)block % 8192 == 0);
    CHECK(all_are(block, request.bytes, 0));
    CHECK(grant.code == 0);
    CHECK(grant.zeroed);
    CHECK(grant.bytes == roma_usable(block));
    CHECK(grant.page_bytes == (size_t)sysconf(_SC_PAGESIZE));
    CHECK(std::string(grant.steps[0].provider) == "store");
    CHECK(roma_release(block) == 0);
    CHECK(roma_explain(made.self, &request, &grant) == 0);
    CHECK(grant.code == 0);

    struct {
        const char *name;
        void (*wish)(roma_request *request);
    } rows[] = {
        {"request.placement", [](roma_request *r) { r->placement = ROMA_LOCAL; }},
        {"request.pages", [](roma_request *r) { r->pages = ROMA_PAGES_THP; }},
        {"request.strict", [](roma_request *r) { r->strict = true; }},
        {"request.weak", [](roma_request *r) { r->weak = true; }},
        {"request.registered", [](roma_request *r) { r->registered = true; }},
        {"request.inherit", [](roma_request *r) { r->inherit = true; }},
    };
    for (auto &row : rows) {
        INFO(row.name);
        request = roma_request_default();
        request.bytes = 16;
        row.wish(&request);
        CHECK(roma_alloc_with(made.self, &request, &grant) == nullptr);
        CHECK(errno == EOPNOTSUPP);
        CHECK(grant.code == -EOPNOTSUPP);
        CHECK(std::string(grant.error.subject) == row.name);
        CHECK(roma_explain(made.self, &request, &grant) == -EOPNOTSUPP);
        CHECK(std::string(grant.error.subject) == row.name);
    }
    CHECK(roma_alloc_with(made.self, nullptr, &grant) == nullptr);
    CHECK(errno == EINVAL);
    request = roma_request_default();
    request.align = 3;
    CHECK(roma_alloc_with(made.self, &request, &grant) == nullptr);
    CHECK(errno == EINVAL);
    CHECK(std::string(grant.error.subject) == "request.align");
}

TEST_CASE("what is beyond a store's room is told as that", "[store][manager]")
{
    stored made;
    roma_grant grant;
    roma_request request = roma_request_default();
    request.bytes = (size_t)1 << 30;
    CHECK(roma_alloc_with(made.self, &request, &grant) == nullptr);
    CHECK(errno == ENOSPC);
    CHECK(grant.error.code == -ENOSPC);
    CHECK(roma_alloc(made.self, (size_t)1 << 30) == nullptr);
    CHECK(errno == ENOSPC);
    CHECK(roma_alloc(made.self, SIZE_MAX) == nullptr);
}

TEST_CASE("pages of a block are populated where that is asked", "[store][manager]")
{
    stored made;
    roma_grant grant;
    roma_request request = roma_request_default();
    request.bytes = 4u << 20;
    request.populate_threads = 2;
    void *block = roma_alloc_with(made.self, &request, &grant);
    if (block == nullptr && grant.error.code == -EOPNOTSUPP)
        SKIP_TEST("this kernel cannot populate");
    REQUIRE(block != nullptr);
    CHECK(grant.populated);
    roma_report report;
    REQUIRE(roma_where(block, &report) == 0);
    CHECK(report.bytes >= request.bytes);
    CHECK(report.resident_bytes == report.bytes);
    CHECK(roma_release(block) == 0);
}

TEST_CASE("batches come and go together", "[store][manager]")
{
    stored made;
    std::vector<void *> blocks(200);
    REQUIRE(roma_alloc_batch(made.self, 48, blocks.data(), blocks.size()) == 0);
    std::vector<void *> sorted = blocks;
    std::sort(sorted.begin(), sorted.end());
    CHECK(std::unique(sorted.begin(), sorted.end()) == sorted.end());
    CHECK(std::all_of(blocks.begin(), blocks.end(),
                      [](void *block) { return roma_bytes(block) == 48; }));
    /* Among them nothing, and one of another manager. */
    void *ordinary = roma_alloc(roma_default(), 48);
    REQUIRE(ordinary != nullptr);
    roma_free(blocks[150]);
    blocks[150] = ordinary;
    blocks.push_back(nullptr);
    blocks.insert(blocks.begin(), nullptr);
    roma_free_batch(blocks.data(), blocks.size());
    CHECK(std::none_of(sorted.begin(), sorted.end(),
                       [](void *block) { return roma_count(block) > 0; }));
    CHECK(roma_count(ordinary) < 0);
    CHECK(made.kinds.empty());

    void *none[2] = {};
    CHECK(roma_alloc_batch(made.self, (size_t)200 << 20, none, 2) == -ENOSPC);
    CHECK(roma_alloc_batch(made.self, 16, nullptr, 2) == -EINVAL);
    CHECK(roma_alloc_batch(made.self, 16, nullptr, 0) == 0);
}

TEST_CASE("a resize keeps contents, and others keep their block", "[store][manager]")
{
    stored made;
    auto *block = static_cast<char *>(made.alloc(100));
    std::memset(block, 'a', 100);
    for (size_t bytes : {(size_t)50, (size_t)5000, (size_t)300000, (size_t)100}) {
        block = static_cast<char *>(roma_resize(block, bytes));
        REQUIRE(block != nullptr);
        CHECK(roma_bytes(block) == bytes);
        CHECK(all_are(block, 50, 'a'));
    }
    roma_ref *root = roma_store_root(made.store, 1);
    REQUIRE(roma_store_link(made.store, root, block) == 0);
    auto *copy = static_cast<char *>(roma_resize(block, 1u << 20));
    REQUIRE(copy != nullptr);
    CHECK(copy != block);
    CHECK(all_are(copy, 50, 'a'));
    CHECK(roma_ref_at(made.store, *root) == block);
    CHECK(roma_count(block) == 1);
    CHECK(roma_bytes(block) == 100);
    CHECK(roma_release(copy) == 0);
    CHECK(roma_store_release_from(made.store, root) == 1);
    CHECK(roma_resize(block, 10) == nullptr);
    CHECK(errno == ESTALE);
}

TEST_CASE("a resize in place keeps the address, or fails", "[store][manager]")
{
    stored made;
    const auto in_place = [](void *block, size_t bytes) {
        roma_block handle = roma_block_of(block);
        const int code = roma_block_resize(&handle, bytes, ROMA_RESIZE_IN_PLACE);
        CHECK(handle.address == block);
        if (code == 0)
            CHECK(roma_bytes(block) == bytes);
        return code;
    };
    void *small = made.alloc(4096);
    std::memset(small, 'a', 4096);
    CHECK(in_place(small, 100) == 0);
    CHECK(all_are(small, 100, 'a'));
    CHECK(in_place(small, 4097) == -ENOMEM);
    auto *large = static_cast<char *>(made.alloc(300000));
    std::memset(large, 'b', 300000);
    CHECK(in_place(large, 900000) == 0); /* the units behind it are free */
    CHECK(all_are(large, 300000, 'b'));
    void *behind = made.alloc(100000);
    CHECK(in_place(large, 10000000) == -ENOMEM);
    CHECK(in_place(large, 100) == 0);
    CHECK(all_are(large, 100, 'b'));
    CHECK(roma_usable(large) == 65536); /* the others are given back */
    CHECK(in_place(large, 900000) == 0);
    roma_ref *root = roma_store_root(made.store, 1);
    REQUIRE(roma_store_link(made.store, root, large) == 0);
    CHECK(in_place(large, 10000000) == -ENOMEM); /* others hold it */
    CHECK(in_place(large, 100) == 0);
    CHECK(roma_usable(large) == 917504); /* and they keep all of it */
    CHECK(roma_store_release_from(made.store, root) == 1);
    for (void *block : {small, static_cast<void *>(large), behind})
        CHECK(roma_release(block) == 0);
}

TEST_CASE("a handle names one life of a block", "[store][manager]")
{
    stored made;
    void *block = made.alloc(64);
    roma_block handle = roma_block_of(block);
    REQUIRE(handle.address == block);
    CHECK(roma_block_is_live(handle));
    CHECK(roma_block_get(handle) == block);
    CHECK(roma_block_retain(handle) == 2);
    CHECK(roma_block_try_retain(handle) == -EINVAL); /* it is not weak */
    CHECK(roma_block_segment(handle).bytes == 64);
    roma_block second = handle;
    CHECK(roma_block_release(&second) == 1);
    CHECK(second.address == nullptr);
    CHECK(roma_block_resize(&handle, 100000, ROMA_RESIZE_IN_PLACE) == -ENOMEM);
    CHECK(roma_block_resize(&handle, 100000, ROMA_RESIZE_ZERO) == 0);
    CHECK(all_are(static_cast<char *>(handle.address) + 64, 100000 - 64, 0));
    const roma_block kept = handle;
    CHECK(roma_block_release(&handle) == 0);
    CHECK(!roma_block_is_live(kept));
    CHECK(roma_block_get(kept) == nullptr);
    CHECK(errno == ESTALE);
    CHECK(roma_block_retain(kept) == -ESTALE);
    CHECK(roma_block_segment(kept).address == nullptr);
    /* The place lives again, the handle does not. */
    void *again = nullptr;
    std::vector<void *> others;
    for (int i = 0; i < 5000 && again == nullptr; i++) {
        void *next = made.alloc(100000);
        if (next == kept.address)
            again = next;
        else
            others.push_back(next);
        if (others.size() > 100) {
            roma_free_batch(others.data(), others.size());
            others.clear();
        }
    }
    CHECK(!roma_block_is_live(kept));
    roma_free_batch(others.data(), others.size());
    roma_free(again);
}

TEST_CASE("misuse of a store's blocks is told as elsewhere", "[store][manager]")
{
    stored made;
    auto *block = static_cast<char *>(made.alloc(64));
    auto *large = static_cast<char *>(made.alloc(300000));
    roma_free(block + 16);
    CHECK(made.kinds == kinds_of{ROMA_MISUSE_INTERIOR});
    CHECK(made.text.find("16 bytes inside the block") != std::string::npos);
    roma_free(large + 200000);
    CHECK(made.kinds.back() == ROMA_MISUSE_INTERIOR);
    CHECK(made.text.find("200000 bytes inside the block") != std::string::npos);
    roma_free_sized(block, 63);
    CHECK(made.kinds.back() == ROMA_MISUSE_SIZE);
    CHECK(made.kinds.size() == 3);
    CHECK(roma_count(block) == 1); /* all of that had no effect */
    roma_free(block);
    CHECK(made.kinds.size() == 3);
    roma_free(block);
    CHECK(made.kinds.back() == ROMA_MISUSE_DOUBLE_FREE);
    CHECK(made.text.find(made.path.text) != std::string::npos);
    CHECK(roma_release(block) == -ESTALE);
    CHECK(roma_retain(block) == -ESTALE);
    CHECK(roma_bytes(block) == 0);
    CHECK(errno == ESTALE);
    roma_free(roma_store_user_area(made.store).address);
    CHECK(made.kinds.back() == ROMA_MISUSE_FOREIGN);
    CHECK(made.kinds.size() == 5);

    void *batch[3] = {made.alloc(32), made.alloc(32), nullptr};
    batch[2] = batch[0];
    roma_free_batch(batch, 3);
    CHECK(made.kinds.back() == ROMA_MISUSE_DOUBLE_FREE);
    void *wrong[2] = {made.alloc(32), large + 16};
    roma_free_batch(wrong, 2);
    CHECK(made.kinds.back() == ROMA_MISUSE_INTERIOR);
    CHECK(made.kinds.size() == 7);
    CHECK(roma_count(wrong[0]) < 0);
    CHECK(roma_release(large) == 0);
}

TEST_CASE("a store's block given to another opening is that store's all the same",
          "[store][manager]")
{
    stored one, two;
    void *block = two.alloc(64);
    CHECK(roma_manager_of(block) == two.self);
    CHECK(roma_store_release(one.store, block) == -EINVAL); /* the explicit call is told */
    roma_free(block);                                       /* the plain one finds its store */
    CHECK(roma_count(block) == -ESTALE);
    CHECK(one.kinds.empty());
    CHECK(two.kinds.empty());
    roma_free(block);
    CHECK(one.kinds.empty());
    CHECK(two.kinds == kinds_of{ROMA_MISUSE_DOUBLE_FREE});
}

TEST_CASE("two openings of one file are two managers", "[store][manager]")
{
    stored made;
    roma_store *again;
    REQUIRE(roma_store_open(made.path.c_str(), nullptr, &again, nullptr) == 0);
    roma_manager *other = roma_store_manager(again);
    REQUIRE(other != nullptr);
    CHECK(other != made.self);
    made.listen(other);
    void *block = roma_alloc(other, 64);
    REQUIRE(block != nullptr);
    CHECK(roma_manager_of(block) == other);
    /* The same block in the first opening, where this process holds no reference. */
    void *here = roma_ref_at(made.store, roma_ref_of(again, block));
    CHECK(roma_count(here) == 1);
    roma_free(here);
    CHECK(made.kinds == kinds_of{ROMA_MISUSE_DOUBLE_FREE});
    CHECK(roma_count(block) == 1);
    CHECK(roma_release(block) == 0);
    CHECK(roma_store_close(again) == 0);
}

TEST_CASE("blocks are seen, checked, given back, and told as figures", "[store][manager]")
{
    stored made;
    void *blocks[3] = {made.alloc(16), made.alloc(1000), made.alloc(200000)};
    std::vector<std::pair<void *, size_t>> seen;
    const auto note = [](void *context, const roma_block_info *info) {
        auto *list = static_cast<std::vector<std::pair<void *, size_t>> *>(context);
        list->emplace_back(info->address, info->bytes);
        return info->count == 1 && info->usable_bytes >= info->bytes ? 0 : 1;
    };
    CHECK(roma_manager_blocks(made.self, note, &seen) == 0);
    CHECK(seen.size() == 3);
    for (void *block : blocks)
        CHECK(std::count(seen.begin(), seen.end(), std::make_pair(block, roma_bytes(block))) == 1);
    CHECK(roma_manager_blocks(
              made.self, [](void *, const roma_block_info *) { return 7; }, nullptr) == 7);
    CHECK(roma_manager_blocks(made.self, nullptr, nullptr) == -EINVAL);
    CHECK(roma_manager_check(made.self) == 0);

    std::vector<std::string> keys;
    CHECK(roma_manager_stats(
              made.self,
              [](void *context, const char *key, const roma_value *) {
                  static_cast<std::vector<std::string> *>(context)->push_back(key);
                  return 0;
              },
              &keys) == 0);
    REQUIRE(keys.size() > 3);
    CHECK(keys.front() == "name");
    CHECK(keys.back() == "misuse.count");
    std::sort(keys.begin(), keys.end());
    CHECK(std::unique(keys.begin(), keys.end()) == keys.end());
    CHECK(roma_manager_stats(
              made.self, [](void *, const char *, const roma_value *) { return 5; }, nullptr) == 5);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK(roma_manager_json(made.self, ends[1]) == 0);
    close(ends[1]);
    std::string json(8192, '\0');
    const ssize_t length = read(ends[0], &json[0], json.size());
    close(ends[0]);
    REQUIRE(length > 0);
    json.resize((size_t)length);
    CHECK(json.find("{\"name\":\"roma-managed-") == 0);
    CHECK(json.back() == '\n');

    for (void *block : blocks)
        roma_free(block);
    CHECK(roma_manager_trim(made.self, 0) >= 0);
    CHECK(roma_manager_check(made.self) == 0);
    CHECK(made.kinds.empty());
}

TEST_CASE("what a store's manager cannot do is refused", "[store][manager]")
{
    stored made;
    void *block = made.alloc(1u << 20);
    CHECK(roma_cache_of(made.self) == nullptr);
    CHECK(errno == EOPNOTSUPP);
    CHECK(roma_manager_clear(made.self) == -EOPNOTSUPP);
    roma_error error = {};
    CHECK(roma_manager_policy(made.self, nullptr, &error) == -EOPNOTSUPP);
    const roma_nodes nodes = roma_nodes_one(0);
    roma_migration migration;
    CHECK(roma_migrate(block, &nodes, &migration) == -EOPNOTSUPP);
    CHECK(migration.error.code == -EOPNOTSUPP);
    CHECK(roma_release(block) == 0);
}

TEST_CASE("a store opened for reading is looked at, and not freed from", "[store][manager]")
{
    stored made;
    void *block = made.alloc(64);
    std::memset(block, 'r', 64);
    roma_store_options options = roma_store_options_default();
    options.read_only = true;
    roma_store *reader;
    REQUIRE(roma_store_open(made.path.c_str(), &options, &reader, nullptr) == 0);
    roma_manager *manager = roma_store_manager(reader);
    REQUIRE(manager != nullptr);
    made.listen(manager);
    void *seen = roma_ref_at(reader, roma_ref_of(made.store, block));
    REQUIRE(seen != nullptr);
    CHECK(roma_manager_of(seen) == manager);
    CHECK(roma_bytes(seen) == 64);
    CHECK(all_are(seen, 64, 'r'));
    CHECK(roma_alloc(manager, 64) == nullptr);
    CHECK(errno == EROFS);
    CHECK(roma_release(seen) == -EROFS);
    roma_free(seen);
    CHECK(made.kinds == kinds_of{ROMA_MISUSE_FOREIGN});
    CHECK(roma_store_close(reader) == 0);
    CHECK(roma_release(block) == 0);
}

TEST_CASE("a child of fork has none of it, and says so", "[store][manager]")
{
    stored made;
    void *block = made.alloc(64);
    const int status = in_child([&] {
        if (roma_alloc(made.self, 64) != nullptr || errno != ESTALE)
            return 1;
        if (roma_release(block) != -ESTALE || roma_count(block) != -ESTALE)
            return 2;
        roma_free(block);
        if (made.kinds != kinds_of{ROMA_MISUSE_FOREIGN})
            return 3;
        if (roma_manager_blocks(
                made.self, [](void *, const roma_block_info *) { return 0; }, nullptr) != -ESTALE)
            return 4;
        if (roma_manager_trim(made.self, 0) != -ESTALE || roma_manager_check(made.self) != -ESTALE)
            return 5;
        if (roma_store_close(made.store) != 0)
            return 6;
        return roma_release(block) < 0 ? 0 : 7;
    });
    CHECK(status == 0);
    CHECK(roma_count(block) == 1);
    CHECK(roma_release(block) == 0);
}

TEST_CASE("more stores are found by address than were expected, and each closes for itself",
          "[store][manager]")
{
    std::vector<roma_store *> stores(40);
    std::vector<void *> blocks;
    roma_store_options options = roma_store_options_default();
    options.max_bytes = 1u << 20;
    for (auto &store : stores) {
        REQUIRE(roma_store_create_memory("many", &options, &store, nullptr) == 0);
        blocks.push_back(roma_store_alloc(store, 64));
        REQUIRE(blocks.back() != nullptr);
    }
    for (size_t i = 0; i < stores.size(); i++)
        CHECK(roma_manager_of(blocks[i]) == roma_store_manager(stores[i]));
    for (size_t i = 0; i < stores.size(); i += 2)
        CHECK(roma_store_close(stores[i]) == 0);
    for (size_t i = 0; i < stores.size(); i++)
        CHECK((roma_count(blocks[i]) == 1) == (i % 2 != 0)); /* those of closed ones are nobody's */
    for (size_t i = 1; i < stores.size(); i += 2)
        CHECK(roma_store_close(stores[i]) == 0);
}

TEST_CASE("threads free by plain pointer while other stores open and close", "[store][manager]")
{
    stored made;
    std::atomic<bool> is_over{false};
    std::atomic<unsigned> odd{0};
    std::thread opener([&] {
        roma_store_options options = roma_store_options_default();
        options.max_bytes = 1u << 20;
        while (!is_over) {
            roma_store *store = nullptr;
            if (roma_store_create_memory("passing", &options, &store, nullptr) != 0) {
                odd++;
                continue;
            }
            void *block = roma_store_alloc(store, 32);
            odd += roma_manager_of(block) != roma_store_manager(store);
            odd += roma_release(block) != 0;
            odd += roma_store_close(store) != 0;
        }
    });
    std::vector<std::thread> users;
    for (int t = 0; t < 2; t++)
        users.emplace_back([&] {
            for (int i = 0; i < 3000; i++) {
                void *block = roma_alloc(made.self, 64);
                odd += block == nullptr || roma_manager_of(block) != made.self;
                odd += roma_release(block) != 0;
            }
        });
    for (auto &user : users)
        user.join();
    is_over = true;
    opener.join();
    CHECK(odd == 0);
    CHECK(made.kinds.empty());
}
