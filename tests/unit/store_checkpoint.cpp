/* store_checkpoint.cpp - a checkpoint is the store as it was at one moment, whatever its sessions
 * were doing; it opens as a store, and takes the place of one that a crash of the machine
 * interrupted. */
#include "emulated.hpp"
#include "skip.hpp"
#include "store_place.hpp"
#include "store_shim.h"

#include <atomic>
#include <chrono>
#include <sys/stat.h>
#include <thread>
#include <vector>

using roma_tests::crash_machine;
using roma_tests::end_of;
using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::kill_child;
using roma_tests::put_text;
using roma_tests::start_child;
using roma_tests::start_session;
using roma_tests::store_place;
using roma_tests::text_at;
using roma_tests::text_in;

namespace {

roma_store_checkpoint_options checkpoint_options()
{
    roma_store_checkpoint_options options{};
    options.size = sizeof options;
    return options;
}

int checkpoint(roma_store *store, const std::string &path, roma_error *error = nullptr)
{
    return roma_store_checkpoint(store, path.c_str(), nullptr, error);
}

/* A store that said one thing at its checkpoint, beside it, and says another now. */
roma_store *make_checkpointed(const store_place &place, const char *then, const char *now)
{
    roma_store *store = held_store::create(place.path);
    put_text(store, 0, then);
    REQUIRE(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
    put_text(store, 0, now);
    return store;
}

uint64_t bytes_of(const std::string &path)
{
    struct stat status {};
    return stat(path.c_str(), &status) == 0 ? uint64_t(status.st_size) : 0;
}

} // namespace

TEST_CASE("store checkpoint: the copy opens as a store and shows the moment of the copy")
{
    store_place place;
    const std::string copy = place.path + ".checkpoint";
    {
        held_store store(make_checkpointed(place, "one", "two"));
        CHECK(text_in(copy) == "one");
        REQUIRE(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
        CHECK(text_in(copy) == "two");
        CHECK(text_at(store, 0) == "two");
        CHECK(faults_in(store) == 0);
    }
    CHECK(text_in(place.path) == "two");
    CHECK(text_in(copy) == "two");
    CHECK_FALSE(store_place::is_there(copy + ".roma-part"));
    roma_store_info info;
    REQUIRE(roma_store_info_of(copy.c_str(), &info, nullptr) == 0);
    CHECK(info.is_clean);
    CHECK_FALSE(info.is_crashed);
}

TEST_CASE("store checkpoint: what sessions hold themselves is not in it, what slots name is")
{
    store_place place;
    const std::string copy = place.beside("copy");
    held_store store(held_store::create(place.path));
    std::vector<void *> held;
    for (int i = 0; i < 1000; i++)
        held.push_back(roma_store_alloc(store, 100));
    put_text(store, 3, "named");
    const pid_t other = start_session(place.path, [](roma_store *own) {
        return roma_store_alloc(own, 5000) != nullptr &&
               roma_store_load(own, roma_store_root(own, 3)) != nullptr;
    });
    REQUIRE(checkpoint(store, copy) == 0);
    kill_child(other);
    held_store opened(held_store::open(copy));
    CHECK(roma_store_recover(opened) == 2);
    CHECK(faults_in(opened) == 0);
    roma_store_block look;
    CHECK(roma_store_look(opened, roma_ref_at(opened, roma_ref_of(store, held[7])), &look) < 0);
    CHECK(text_at(opened, 3) == "named");
    for (void *block : held)
        CHECK(roma_store_release(store, block) == 0);
}

TEST_CASE("store checkpoint: quiesce comes before, resume after, and a refusal is told")
{
    struct order {
        roma_store *store;
        std::string events;
        int answer;
    };
    store_place place;
    const std::string copy = place.beside("copy");
    held_store store(held_store::create(place.path));
    order seen = {store, "", 0};
    roma_store_checkpoint_options options = checkpoint_options();
    options.context = &seen;
    options.quiesce = [](void *context) {
        auto *to = static_cast<order *>(context);
        put_text(to->store, 0, "whole"); /* calls work */
        to->events += "quiesce ";
        return to->answer;
    };
    options.resume = [](void *context) {
        auto *to = static_cast<order *>(context);
        put_text(to->store, 0, "later");
        to->events += "resume ";
    };
    REQUIRE(roma_store_checkpoint(store, copy.c_str(), &options, nullptr) == 0);
    CHECK(seen.events == "quiesce resume ");
    CHECK(text_in(copy) == "whole");
    seen.answer = 11;
    roma_error error = {};
    CHECK(roma_store_checkpoint(store, copy.c_str(), &options, &error) == 11);
    CHECK(error.why == ROMA_WHY_STORE_DECLINED);
    CHECK(seen.events == "quiesce resume quiesce ");
    CHECK(text_in(copy) == "whole"); /* the one before */
    CHECK_FALSE(store_place::is_there(copy + ".roma-part"));
}

TEST_CASE("store checkpoint: options of a newer roma are refused")
{
    store_place place;
    held_store store(held_store::create(place.path));
    roma_store_checkpoint_options options = checkpoint_options();
    options.reserved[0] = true;
    CHECK(roma_store_checkpoint(store, nullptr, &options, nullptr) == -E2BIG);
    options = checkpoint_options();
    options.size = 4;
    CHECK(roma_store_checkpoint(store, nullptr, &options, nullptr) == -EINVAL);
    CHECK(roma_store_checkpoint(nullptr, nullptr, nullptr, nullptr) == -EINVAL);
}

TEST_CASE("store checkpoint: a session that stays in a call is named, a dead one is not waited for")
{
    store_place place;
    const std::string copy = place.beside("copy");
    held_store store(held_store::create(place.path));
    put_text(store, 0, "text");
    const pid_t other = start_session(place.path,
                                      [](roma_store *own) { return shim_stay_inside(own) == 0; });
    roma_store_checkpoint_options options = checkpoint_options();
    options.timeout_ns = 200000000;
    roma_error error{};
    CHECK(roma_store_checkpoint(store, copy.c_str(), &options, &error) == -ETIMEDOUT);
    CHECK(error.why == ROMA_WHY_STORE_UNPARKED);
    CHECK(std::string(error.subject) == "the other one");
    CHECK(error.need == 1);
    CHECK_FALSE(store_place::is_there(copy));
    CHECK(text_at(store, 0) == "text"); /* calls go on */
    kill_child(other);
    CHECK(roma_store_checkpoint(store, copy.c_str(), &options, &error) == 0);
    CHECK(text_in(copy) == "text");
    CHECK(roma_store_recover(store) == 1);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store checkpoint: who dies while all others are parked lets them go")
{
    store_place place;
    held_store store(held_store::create(place.path));
    put_text(store, 0, "text");
    const pid_t other = start_session(place.path,
                                      [](roma_store *own) { return shim_stay_parked(own) == 0; });
    roma_store_checkpoint_options options = checkpoint_options();
    options.timeout_ns = 100000000;
    roma_error error{};
    CHECK(roma_store_checkpoint(store, nullptr, &options, &error) == -EBUSY);
    std::thread killer([other] {
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        kill(other, SIGKILL);
    });
    CHECK(text_at(store, 0) == "text"); /* waits until the other one is dead */
    killer.join();
    CHECK(end_of(other) == 1000 + SIGKILL);
    CHECK(roma_store_checkpoint(store, nullptr, &options, &error) == 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store checkpoint: who opens a store and recovers a dead session waits while all is held")
{
    store_place place;
    roma_store_options options = roma_tests::small_options();
    options.sessions = 2;
    held_store store(held_store::create(place.path, options));
    kill_child(
        start_session(place.path, [](roma_store *own) { return shim_stay_inside(own) == 0; }));
    const roma__view *view = shim_view(store);
    REQUIRE(shim_stay_parked(store) == 0);
    std::atomic<bool> is_open{false};
    roma_store *other = nullptr;
    std::thread opener([&] { /* threads of tests do not assert */
                             is_open = roma_store_open(place.path.c_str(), nullptr, &other,
                                                       nullptr) == 0;
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    CHECK_FALSE(is_open);
    CHECK(view->sessions[1].generation == 0); /* nothing of it was given back yet */
    shim_unpark(store);
    opener.join();
    REQUIRE(is_open);
    CHECK(roma_store_close(other) == 0);
    CHECK(view->sessions[1].generation == 2); /* that of the dead, and that of the opener */
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store checkpoint: who takes the slot of one that died while it held all is not held")
{
    store_place place;
    roma_store_options options = roma_tests::small_options();
    options.sessions = 2;
    held_store store(held_store::create(place.path, options));
    kill_child(start_session(place.path, [](roma_store *own) {
        return roma_store_alloc(own, 8) != nullptr && shim_stay_parked(own) == 0;
    }));
    REQUIRE(shim_view(store)->live->park != 0);
    held_store other(held_store::open(place.path));
    CHECK(shim_view(store)->live->park == 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store checkpoint: a park that nobody can have left is taken back")
{
    store_place place;
    held_store store(held_store::create(place.path));
    shim_view(store)->live->park = 0xffff0000;
    put_text(store, 0, "text");
    CHECK(text_at(store, 0) == "text");
    shim_view(store)->live->park = 9; /* a session that is not there */
    CHECK(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
}

TEST_CASE("store checkpoint: taken while others change everything, it is sound")
{
    SKIP_WHERE_EMULATED();
    store_place place;
    const std::string copy = place.beside("copy");
    held_store store(held_store::create(place.path));
    std::vector<pid_t> others;
    for (unsigned seed = 0; seed < 3; seed++)
        others.push_back(start_session(place.path, [seed](roma_store *own) {
            (void)start_child([] { return 0; }); /* a fork in between changes nothing */
            std::thread([own, seed] {
                for (unsigned i = seed;; i++) {
                    roma_store_request request = roma_store_request_of(32 + i % 3000);
                    request.refs_count = 2;
                    request.refs_stride = 8;
                    roma_ref *root = roma_store_root(own, i % 7);
                    void *block = roma_store_alloc_with(own, &request);
                    if (block == nullptr)
                        continue;
                    void *child = roma_store_load(own, root);
                    if (child != nullptr) {
                        if (i % 64 != 0)
                            (void)roma_store_link(own, static_cast<roma_ref *>(block), child);
                        (void)roma_store_release(own, child);
                    }
                    (void)roma_store_relink(own, root, block);
                    const std::string name = std::to_string(i % 11);
                    (void)roma_store_replace(own, name.c_str(), block, i);
                    if (i % 5 == 0)
                        (void)roma_store_remove(own, name.c_str());
                    (void)roma_store_release(own, block);
                }
            }).detach();
            return true;
        }));
    for (int round = 0; round < 12; round++) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        REQUIRE(checkpoint(store, copy) == 0);
        held_store opened(held_store::open(copy));
        CHECK(roma_store_recover(opened) >= 0);
        REQUIRE(faults_in(opened) == 0);
    }
    for (const pid_t other : others)
        kill_child(other);
    CHECK(roma_store_recover(store) == 3);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store checkpoint: what stands at its path is replaced only if it is a store at rest")
{
    store_place place;
    const std::string copy = place.beside("copy");
    held_store store(held_store::create(place.path));
    roma_error error{};
    CHECK(checkpoint(store, place.path, &error) == -EINVAL); /* itself */
    place.folder.put("/foreign", "something that a person wrote, and not in vain");
    CHECK(checkpoint(store, place.beside("foreign"), &error) == -EMEDIUMTYPE);
    CHECK(bytes_of(place.beside("foreign")) == 46);
    place.folder.put("/empty", "");
    CHECK(checkpoint(store, place.beside("empty"), &error) == 0);
    REQUIRE(checkpoint(store, copy, &error) == 0);
    {
        held_store opened(held_store::open(copy));
        CHECK(checkpoint(store, copy, &error) == -EBUSY);
    }
    {
        held_store reader(held_store::open(copy, true));
        CHECK(checkpoint(store, copy, &error) == -EBUSY);
    }
    CHECK(checkpoint(store, copy, &error) == 0);
    CHECK(checkpoint(store, place.beside("nosuch/copy"), &error) == -ENOENT);
}

TEST_CASE("store checkpoint: not of a store that is read-only, or in memory without a path")
{
    store_place place;
    {
        held_store store(held_store::create(place.path));
        put_text(store, 0, "text");
    }
    roma_error error{};
    held_store reader(held_store::open(place.path, true));
    CHECK(checkpoint(reader, place.beside("copy"), &error) == -EROFS);

    roma_store *made = nullptr;
    roma_store_options options = roma_tests::small_options();
    REQUIRE(roma_store_create_memory("test", &options, &made, &error) == 0);
    held_store memory(made);
    put_text(memory, 0, "of memory");
    CHECK(roma_store_checkpoint(memory, nullptr, nullptr, &error) == -EOPNOTSUPP);
    REQUIRE(checkpoint(memory, place.beside("copy"), &error) == 0);
    CHECK(text_in(place.beside("copy")) == "of memory");
}

TEST_CASE("store checkpoint: one whose file was unlinked before it was attached has no path")
{
    store_place place;
    held_store store(held_store::create(place.path));
    put_text(store, 0, "text");
    REQUIRE(unlink(place.path.c_str()) == 0);
    roma_store *self = nullptr;
    REQUIRE(roma_store_attach(roma_store_fd(store), nullptr, &self, nullptr) == 0);
    held_store attached(self);
    CHECK(roma_store_checkpoint(attached, nullptr, nullptr, nullptr) == -EOPNOTSUPP);
    CHECK_FALSE(store_place::is_there(place.path + " (deleted).checkpoint"));
    CHECK(checkpoint(attached, place.beside("copy")) == 0);
    CHECK(text_in(place.beside("copy")) == "text");
}

TEST_CASE("store checkpoint: a copy has the space that the store has, and no more")
{
    store_place place;
    const std::string copy = place.beside("copy");
    held_store store(held_store::create(place.path));
    void *block = roma_store_alloc(store, 40 << 20);
    REQUIRE(block != nullptr);
    std::memset(block, 7, 1 << 20);
    REQUIRE(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    CHECK(roma_store_release(store, block) == 0);
    roma_store_checkpoint_options options = checkpoint_options();
    options.copy = true;
    REQUIRE(roma_store_checkpoint(store, copy.c_str(), &options, nullptr) == 0);
    struct stat status {
    }, own{};
    REQUIRE(stat(copy.c_str(), &status) == 0);
    REQUIRE(stat(place.path.c_str(), &own) == 0);
    CHECK(status.st_blocks <= own.st_blocks + 64);
    held_store opened(held_store::open(copy));
    const char *same = static_cast<char *>(roma_store_load(opened, roma_store_root(opened, 0)));
    REQUIRE(same != nullptr);
    CHECK(same[0] == 7);
    CHECK(same[(1 << 20) - 1] == 7);
    CHECK(same[1 << 20] == 0);
    CHECK((roma_store_capabilities(opened) & ROMA_STORE_FULL_IS_ERROR) ==
          (roma_store_capabilities(store) & ROMA_STORE_FULL_IS_ERROR));
}

/* ---- after a crash of the machine ------------------------------------------------------------ */

TEST_CASE("store restore: a crashed store says so, names its checkpoint, and is replaced by it")
{
    store_place place;
    const std::string copy = place.path + ".checkpoint";
    {
        held_store store(make_checkpointed(place, "kept", "lost"));
    }
    crash_machine(place.path);
    roma_store *opened = nullptr;
    roma_error error{};
    CHECK(roma_store_open(place.path.c_str(), nullptr, &opened, &error) == -EUCLEAN);
    CHECK(error.why == ROMA_WHY_STORE_CRASHED);
    CHECK(std::string(error.subject).find("store.checkpoint") != std::string::npos);
    roma_store_info info;
    REQUIRE(roma_store_info_of(place.path.c_str(), &info, &error) == 0);
    CHECK(info.is_crashed);

    REQUIRE(roma_store_restore(place.path.c_str(), nullptr, &error) == 0);
    CHECK(text_in(place.path) == "kept");
    CHECK(text_in(copy) == "kept"); /* still there, for another time */
    REQUIRE(store_place::is_there(place.path + ".crashed"));
    REQUIRE(roma_store_info_of((place.path + ".crashed").c_str(), &info, &error) == 0);
    CHECK(info.is_crashed);
    {
        held_store store(held_store::open(place.path)); /* it has space for all of it again */
        unsigned wanted = roma_store_capabilities(store);
        held_store fresh(held_store::create(place.beside("fresh")));
        CHECK((wanted & ROMA_STORE_FULL_IS_ERROR) ==
              (roma_store_capabilities(fresh) & ROMA_STORE_FULL_IS_ERROR));
    }
    /* Once more, over what the first time kept. */
    crash_machine(place.path);
    REQUIRE(roma_store_restore(place.path.c_str(), copy.c_str(), &error) == 0);
    CHECK(text_in(place.path) == "kept");
}

TEST_CASE("store restore: also where the store is gone altogether")
{
    store_place place;
    {
        held_store store(held_store::create(place.path));
        put_text(store, 0, "kept");
        REQUIRE(checkpoint(store, place.beside("copy")) == 0);
    }
    REQUIRE(unlink(place.path.c_str()) == 0);
    roma_error error{};
    CHECK(roma_store_restore(place.path.c_str(), nullptr, &error) == -ENOENT);
    REQUIRE(roma_store_restore(place.path.c_str(), place.beside("copy").c_str(), &error) == 0);
    CHECK(text_in(place.path) == "kept");
    CHECK_FALSE(store_place::is_there(place.path + ".crashed"));
}

TEST_CASE("store restore: nothing happens while somebody has either open, or the copy is damaged")
{
    store_place place;
    const std::string copy = place.path + ".checkpoint";
    roma_error error{};
    {
        held_store store(make_checkpointed(place, "kept", "later"));
        CHECK(roma_store_restore(place.path.c_str(), nullptr, &error) == -EBUSY);
        CHECK(error.why == ROMA_WHY_STORE_BUSY);
    }
    {
        held_store reader(held_store::open(place.path, true));
        CHECK(roma_store_restore(place.path.c_str(), nullptr, &error) == -EBUSY);
    }
    {
        held_store opened(held_store::open(copy));
        CHECK(roma_store_restore(place.path.c_str(), nullptr, &error) == -EBUSY);
    }
    CHECK(text_in(place.path) == "later");
    {
        held_store opened(held_store::open(copy));
        *roma_store_root(opened, 5) = 4096; /* names what is no block */
    }
    CHECK(roma_store_restore(place.path.c_str(), nullptr, &error) == -EUCLEAN);
    CHECK(text_in(place.path) == "later");
    CHECK_FALSE(store_place::is_there(place.path + ".crashed"));
    CHECK(roma_store_restore(nullptr, nullptr, &error) == -EINVAL);
}
