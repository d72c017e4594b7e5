/* store_directory.cpp - names for blocks: each call is one step, references are counted, damaged
 * chains are errors, and a walk sees what is there from beginning to end exactly once. */
#include "store_place.hpp"
#include "store_shim.h"

#include "store/directory.h"

#include <atomic>
#include <chrono>
#include <map>
#include <set>
#include <thread>
#include <vector>

using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::store_place;

namespace {

using listing = std::map<std::string, std::pair<uint64_t, roma_ref>>; /* name: type, ref */

int append(void *context, const roma_store_entry *entry)
{
    auto &list = *static_cast<std::vector<std::pair<std::string, roma_store_entry>> *>(context);
    list.emplace_back(entry->name, *entry);
    return 0;
}

/* All entries; one that is told twice fails the test. */
listing list_of(roma_store *store)
{
    std::vector<std::pair<std::string, roma_store_entry>> all;
    REQUIRE(roma_store_each(store, append, &all) == 0);
    listing by_name;
    for (const auto &one : all)
        CHECK(by_name.emplace(one.first, std::make_pair(one.second.type, one.second.ref)).second);
    return by_name;
}

void *block_of(roma_store *store, size_t bytes = 40)
{
    void *block = roma_store_alloc(store, bytes);
    REQUIRE(block != nullptr);
    return block;
}

/* So many different names of one chain. */
std::vector<std::string> names_of_chain(unsigned chain, size_t count)
{
    std::vector<std::string> names;
    for (uint64_t i = 0; names.size() < count; i++) {
        const std::string name = "name " + std::to_string(i);
        if (roma__name_chain(name.c_str(), name.size()) == chain)
            names.push_back(name);
    }
    return names;
}

/* The entry in the file that a name has. */
roma__entry *entry_of(roma_store *store, const std::string &name)
{
    roma_ref ref = shim_view(store)->names[roma__name_chain(name.c_str(), name.size())];
    while (ref != 0) {
        auto *entry = static_cast<roma__entry *>(roma_ref_at(store, ref));
        REQUIRE(entry != nullptr);
        if (std::string(entry->name, entry->name_bytes) == name)
            return entry;
        ref = entry->next;
    }
    return nullptr;
}

} // namespace

TEST_CASE("store directory: a name gives the block and the type that were put")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *block = block_of(store);
    std::memcpy(block, "hello", 6);
    uint64_t type = 0;
    errno = 0;
    CHECK(roma_store_get(store, "greeting", &type) == nullptr);
    CHECK(errno == ENOENT);
    REQUIRE(roma_store_put(store, "greeting", block, 77) == 0);
    CHECK(roma_store_put(store, "greeting", block, 78) == -EEXIST);
    CHECK(roma_store_release(store, block) == 0);

    void *found = roma_store_get(store, "greeting", &type);
    REQUIRE(found == block);
    CHECK(type == 77);
    CHECK(std::strcmp(static_cast<char *>(found), "hello") == 0);
    CHECK(roma_store_get(store, "greeting", nullptr) == block);
    CHECK(roma_store_release(store, block) == 0);
    CHECK(roma_store_release(store, block) == 0);

    CHECK(roma_store_remove(store, "greeting") == 0);
    CHECK(roma_store_remove(store, "greeting") == -ENOENT);
    roma_store_block look;
    CHECK(roma_store_look(store, block, &look) == -ESTALE);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store directory: names are 1 to 255 bytes, blocks are blocks")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *block = block_of(store);
    const std::string longest(255, 'n'), longer(256, 'n');
    CHECK(roma_store_put(store, longest.c_str(), block, 1) == 0);
    CHECK(roma_store_put(store, longer.c_str(), block, 1) == -ENAMETOOLONG);
    CHECK(roma_store_replace(store, longer.c_str(), block, 1) == -ENAMETOOLONG);
    CHECK(roma_store_remove(store, longer.c_str()) == -ENAMETOOLONG);
    CHECK(roma_store_put(store, "", block, 1) == -EINVAL);
    CHECK(roma_store_put(store, nullptr, block, 1) == -EINVAL);
    CHECK(roma_store_put(store, "x", nullptr, 1) == -EINVAL);
    CHECK(roma_store_put(nullptr, "x", block, 1) == -EINVAL);
    CHECK(roma_store_put(store, "x", static_cast<char *>(block) + 16, 1) == -EINVAL);
    CHECK(roma_store_remove(store, "") == -EINVAL);
    CHECK(roma_store_get(store, nullptr, nullptr) == nullptr);
    CHECK(errno == EINVAL);
    CHECK(roma_store_each(store, nullptr, nullptr) == -EINVAL);
    CHECK(roma_store_each(nullptr, append, nullptr) == -EINVAL);
    CHECK(list_of(store).size() == 1);
    CHECK(roma_store_release(store, block) == 0);
    CHECK(roma_store_put(store, "gone", block_of(store), 1) == 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store directory: names outlive their session, and a read-only one sees them")
{
    store_place place;
    {
        held_store store(held_store::create(place.path));
        for (int i = 0; i < 10; i++) {
            void *block = block_of(store, 100 + static_cast<size_t>(i));
            CHECK(roma_store_put(store, ("n" + std::to_string(i)).c_str(), block, 7) == 0);
        }
    }
    held_store reader(held_store::open(place.path, true));
    CHECK(list_of(reader).size() == 10);
    CHECK(roma_store_get(reader, "n1", nullptr) == nullptr);
    CHECK(errno == EROFS);
    CHECK(roma_store_remove(reader, "n1") == -EROFS);
    held_store store(held_store::open(place.path));
    void *block = roma_store_get(store, "n3", nullptr);
    REQUIRE(block != nullptr);
    CHECK(roma_store_bytes(store, block) == 103);
    CHECK(roma_store_release(store, block) == 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store directory: replace changes block and type in one step and releases the old block")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *one = block_of(store), *two = block_of(store);
    REQUIRE(roma_store_replace(store, "n", one, 1) == 0); /* was not there */
    REQUIRE(roma_store_replace(store, "n", two, 2) == 0);
    uint64_t type = 0;
    CHECK(roma_store_get(store, "n", &type) == two);
    CHECK(type == 2);
    CHECK(roma_store_release(store, two) == 0);
    CHECK(roma_store_replace(store, "n", two, 3) == 0); /* the same block */
    CHECK(list_of(store)["n"] == std::make_pair(uint64_t(3), roma_ref_of(store, two)));
    CHECK(roma_store_release(store, one) == 0);
    roma_store_block look;
    CHECK(roma_store_look(store, one, &look) == -ESTALE);
    CHECK(roma_store_look(store, two, &look) == 0);
    CHECK(look.shared_count == 1);
    CHECK(roma_store_release(store, two) == 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store directory: more names than chains, and each is visited once")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *block = block_of(store);
    const int count = 12000;
    for (int i = 0; i < count; i++)
        REQUIRE(roma_store_put(store, std::to_string(i).c_str(), block, uint64_t(i)) == 0);
    listing all = list_of(store);
    CHECK(all.size() == size_t(count));
    CHECK(all["11999"].first == 11999);
    for (int i = 0; i < count; i += 2)
        REQUIRE(roma_store_remove(store, std::to_string(i).c_str()) == 0);
    all = list_of(store);
    CHECK(all.size() == size_t(count / 2));
    CHECK(all.count("2") == 0);
    CHECK(all.count("3") == 1);
    roma_store_block look;
    REQUIRE(roma_store_look(store, block, &look) == 0);
    CHECK(look.shared_count == count / 2);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store directory: a chain loses its first, last and middle entry")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *block = block_of(store);
    const std::vector<std::string> names = names_of_chain(5, 4);
    for (size_t gone = 0; gone < names.size(); gone++) {
        for (const std::string &name : names)
            REQUIRE(roma_store_put(store, name.c_str(), block, 1) == 0);
        REQUIRE(roma_store_remove(store, names[gone].c_str()) == 0);
        CHECK(list_of(store).size() == names.size() - 1);
        CHECK(list_of(store).count(names[gone]) == 0);
        CHECK(faults_in(store) == 0);
        for (size_t i = 0; i < names.size(); i++)
            CHECK(roma_store_remove(store, names[i].c_str()) == (i == gone ? -ENOENT : 0));
    }
    CHECK(list_of(store).empty());
}

TEST_CASE("store directory: a visit may change the directory, and its return ends the walk")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *block = block_of(store);
    for (int i = 0; i < 50; i++)
        REQUIRE(roma_store_put(store, std::to_string(i).c_str(), block, 1) == 0);
    CHECK(roma_store_each(
              store,
              [](void *context, const roma_store_entry *entry) {
                  return roma_store_remove(static_cast<roma_store *>(context), entry->name);
              },
              store.self) == 0);
    CHECK(list_of(store).empty());
    REQUIRE(roma_store_put(store, "one", block, 1) == 0);
    CHECK(roma_store_each(
              store, [](void *, const roma_store_entry *) { return 42; }, nullptr) == 42);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store directory: a walk without a lock sees each entry that stays exactly once")
{
    store_place place;
    held_store store(held_store::create(place.path));
    held_store reader(held_store::open(place.path, true));
    void *block = block_of(store);
    const std::vector<std::string> names = names_of_chain(9, 6);
    for (size_t i = 0; i < names.size(); i += 2) /* these stay */
        REQUIRE(roma_store_put(store, names[i].c_str(), block, 1) == 0);
    std::atomic<bool> stop{false};
    std::thread writer([&] {
        for (unsigned round = 0; !stop; round++)
            for (size_t i = 1; i < names.size(); i += 2) {
                if (round % 2 == 0)
                    (void)roma_store_put(store, names[i].c_str(), block, round);
                else
                    (void)roma_store_remove(store, names[i].c_str());
            }
    });
    unsigned walks = 0;
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
    while (std::chrono::steady_clock::now() < until) {
        std::vector<std::pair<std::string, roma_store_entry>> seen;
        const int code = roma_store_each(reader, append, &seen);
        if (code == -EBUSY)
            continue;
        REQUIRE(code == 0);
        std::multiset<std::string> told;
        for (const auto &one : seen)
            told.insert(one.first);
        for (size_t i = 0; i < names.size(); i++) {
            const size_t times = told.count(names[i]);
            if (i % 2 == 0 ? times != 1 : times > 1)
                FAIL(names[i] << " was told " << times << " times");
        }
        walks++;
    }
    stop = true;
    writer.join();
    CHECK(walks > 0);
    CHECK(faults_in(store) == 0);
}

namespace {

/* Be in the middle of changing the type of a name: the stripe is held, the record written; valid
 * and half applied, if that is wanted. The other half is in the user area. */
bool stop_in_change(roma_store *store, const std::string &name, bool is_valid)
{
    const roma__view *view = shim_view(store);
    roma__entry *entry = entry_of(store, name);
    if (entry == nullptr || shim_stay_inside(store) != 0)
        return false;
    uint32_t tag = 1;
    while (view->lanes[tag - 1].word != shim_session(store) + 1)
        tag++;
    roma__lane *lane = &view->lanes[tag - 1];
    view->stripes[ROMA__STRIPE_NAMES].holder = tag;
    lane->pairs[0] = {roma_ref_of(store, &entry->type), 2};
    lane->pairs[1] = {ROMA__AT_USER, 7};
    if (is_valid) {
        lane->redo = ROMA__REDO_VALID | UINT64_C(2) << ROMA__REDO_PAIRS_SHIFT;
        entry->type = 2;
    }
    return true;
}

int none(void *, const roma_store_entry *)
{
    return 0;
}

} // namespace

TEST_CASE("store directory: half of a change is not told, whoever is stopped or killed in it")
{
    store_place place;
    {
        held_store store(held_store::create(place.path));
        REQUIRE(roma_store_put(store, "name", block_of(store), 1) == 0);
    }
    held_store reader(held_store::open(place.path, true));
    pid_t other = roma_tests::start_session(
        place.path, [](roma_store *own) { return stop_in_change(own, "name", false); });
    CHECK(list_of(reader).at("name").first == 1); /* it has changed nothing yet */
    roma_tests::kill_child(other);
    CHECK(list_of(reader).at("name").first == 1);
    other = roma_tests::start_session(
        place.path, [](roma_store *own) { return stop_in_change(own, "name", true); });
    CHECK(roma_store_each(reader, none, nullptr) == -EBUSY);
    roma_tests::kill_child(other);
    CHECK(roma_store_each(reader, none, nullptr) == -EBUSY); /* who only reads recovers nobody */
    held_store store(held_store::open(place.path));
    CHECK(list_of(store).at("name").first == 2);
    CHECK(*static_cast<uint64_t *>(roma_store_user_area(store).address) == 7);
    CHECK(list_of(reader).at("name").first == 2);
    CHECK(roma_store_recover(store) == 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store directory: damaged chains are told, never followed out of the store")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *block = block_of(store);
    const std::vector<std::string> names = names_of_chain(3, 4);
    for (size_t i = 0; i < 3; i++)
        REQUIRE(roma_store_put(store, names[i].c_str(), block, 1) == 0);
    roma__entry *first = entry_of(store, names[0]), *last = entry_of(store, names[2]);
    REQUIRE(first != nullptr);
    REQUIRE(last != nullptr);

    struct damage {
        const char *what;
        uint64_t *place;
        uint64_t value;
    };
    const uint64_t huge = UINT64_C(1) << 60;
    const roma_ref own = roma_ref_of(store, last);
    roma_ref *head = &shim_view(store)->names[3];
    const damage damages[] = {
        {"the last entry leads to itself", &last->next, own},
        {"the last entry leads to the first", &last->next, roma_ref_of(store, first)},
        {"an entry leads out of the file", &last->next, huge},
        {"an entry leads into a block", &last->next, own + 16},
        {"an entry leads to a block that is no entry", &last->next, roma_ref_of(store, block)},
        {"an entry leads to the superblock", &last->next, 16},
        {"a name is too long", &last->name_bytes, 256},
        {"a name is far too long", &last->name_bytes, huge},
        {"a name is empty", &last->name_bytes, 0},
        {"a name is longer than its block", &last->name_bytes, 200},
        {"the chain's head leads nowhere", head, huge},
    };
    for (const damage &one : damages) {
        INFO(one.what);
        const uint64_t before = *one.place;
        *one.place = one.value;
        std::vector<std::pair<std::string, roma_store_entry>> seen;
        CHECK(roma_store_get(store, names[3].c_str(), nullptr) == nullptr);
        CHECK(errno == EUCLEAN);
        CHECK(roma_store_put(store, names[3].c_str(), block, 1) == -EUCLEAN);
        CHECK(roma_store_remove(store, names[3].c_str()) == -EUCLEAN);
        CHECK(roma_store_each(store, append, &seen) == -EUCLEAN);
        CHECK(roma__directory_check(shim_view(store), nullptr, nullptr) > 0);
        CHECK(roma_store_check(store, nullptr, nullptr) > 0);
        *one.place = before;
        CHECK(faults_in(store) == 0);
    }
    const uint64_t named = first->block; /* a name of nothing */
    first->block = huge;
    CHECK(roma_store_get(store, names[0].c_str(), nullptr) == nullptr);
    CHECK(errno == EUCLEAN);
    CHECK(roma_store_replace(store, names[0].c_str(), block, 1) == -EUCLEAN);
    first->block = named;
    CHECK(list_of(store).size() == 3);
}

TEST_CASE("store directory: the check finds names twice, in the wrong chain, or with a byte 0")
{
    store_place place;
    held_store store(held_store::create(place.path));
    void *block = block_of(store);
    const std::vector<std::string> names = names_of_chain(3, 2);
    for (const std::string &name : names)
        REQUIRE(roma_store_put(store, name.c_str(), block, 1) == 0);
    roma__entry *entry = entry_of(store, names[1]);
    REQUIRE(entry != nullptr);
    const auto faults_with = [&](const std::string &name) {
        char before[64];
        std::memcpy(before, entry->name, names[1].size());
        std::memcpy(entry->name, name.data(), names[1].size());
        const int64_t count = roma__directory_check(shim_view(store), nullptr, nullptr);
        std::memcpy(entry->name, before, names[1].size());
        return count;
    };
    CHECK(faults_with(names[1]) == 0);
    if (names[0].size() == names[1].size())
        CHECK(faults_with(names[0]) == 1);
    CHECK(faults_with("NAME" + names[1].substr(4)) == 1);
    CHECK(faults_with(std::string(1, '\0') + names[1].substr(1)) == 1);
    CHECK(roma__directory_check(
              shim_view(store), [](void *, const roma_store_fault *) { return 7; }, nullptr) == 0);
}

TEST_CASE("store directory: whoever is killed changing names, they are whole and nothing is lost")
{
    store_place place;
    held_store store(held_store::create(place.path));
    const std::vector<std::string> names = names_of_chain(3, 5);
    for (int round = 0; round < 40; round++) {
        const pid_t child = roma_tests::start_child([&] {
            roma_store *own = nullptr;
            if (roma_store_open(place.path.c_str(), nullptr, &own, nullptr) < 0)
                return 1;
            for (unsigned i = unsigned(round);; i++) {
                void *block = roma_store_alloc(own, 64);
                const char *name = names[i % names.size()].c_str();
                if (i % 3 == 0)
                    (void)roma_store_put(own, name, block, i);
                else if (i % 3 == 1)
                    (void)roma_store_replace(own, name, block, i);
                else
                    (void)roma_store_remove(own, name);
                (void)roma_store_release(own, block);
            }
        });
        std::this_thread::sleep_for(std::chrono::milliseconds(5 + round % 7));
        REQUIRE(roma_tests::kill_child(child) == 1000 + SIGKILL);
        REQUIRE(roma_store_recover(store) >= 0);
        for (const auto &entry : list_of(store)) {
            void *block = roma_store_get(store, entry.first.c_str(), nullptr);
            REQUIRE(block != nullptr);
            CHECK(roma_store_bytes(store, block) == 64);
            CHECK(roma_store_release(store, block) == 0);
        }
        REQUIRE(faults_in(store) == 0);
    }
}
