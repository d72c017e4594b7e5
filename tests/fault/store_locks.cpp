/* store_locks.cpp - locks of a store in the order that keeps threads and processes apart: hooks in
 * the table of system calls look at what is held in the middle of a call. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "store_place.hpp"

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <thread>
#include <vector>

using roma_tests::cleanness;
using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::store_place;

namespace {

/* The first wait for the file lock after `is_armed` opens another store meanwhile. */
struct other_opening {
    static inline std::atomic<bool> is_armed{false};
    static inline std::string path;
    static inline std::future<int> code;
    static inline bool was_open = false;

    static int lock(int fd, int command, struct flock *range)
    {
        if (command == F_OFD_SETLKW && range->l_start == off_t(ROMA__LOCK_FILE) &&
            is_armed.exchange(false)) {
            code = std::async(std::launch::async, [] {
                roma_store *store = nullptr;
                const int opened = roma_store_open(path.c_str(), nullptr, &store, nullptr);
                return opened == 0 ? roma_store_close(store) : opened;
            });
            was_open = code.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
        }
        return roma__sys_kernel.lock(fd, command, range);
    }
};

} // namespace

TEST_CASE("store locks: a checkpoint that waits for the file lock keeps nobody from opening")
{
    store_place place;
    roma_tests::faulty table;
    /* Pages may be shared: the superblock says so meanwhile. */
    table.calls.fstatfs = roma_tests::answer_xfs;
    table.calls.lock = other_opening::lock;
    held_store store(held_store::create(place.path));
    other_opening::path = place.beside("other");
    held_store(held_store::create(other_opening::path)).close();
    other_opening::is_armed = true;
    CHECK(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
    REQUIRE_FALSE(other_opening::is_armed);
    CHECK(other_opening::was_open);
    CHECK(other_opening::code.get() == 0);
    CHECK(faults_in(store) == 0);
}

namespace {

/* A thread of this process forks in the middle of each fsync(); the children do nothing. */
struct children {
    static inline std::vector<pid_t> all;

    roma_tests::faulty table;

    children()
    {
        all.clear();
        table.calls.fsync = [](int fd) {
            std::thread([] {
                all.push_back(roma_tests::start_child([] { return pause(); }));
            }).join();
            return roma__sys_kernel.fsync(fd);
        };
    }
    ~children()
    {
        for (const pid_t child : all)
            CHECK(roma_tests::kill_child(child) == 1000 + SIGKILL);
    }
};

bool is_locked(const std::string &path, int64_t byte)
{
    struct flock range = {};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = off_t(byte);
    range.l_len = 1;
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    REQUIRE(fcntl(fd, F_OFD_GETLK, &range) == 0);
    close(fd);
    return range.l_type != F_UNLCK;
}

} // namespace

TEST_CASE("store locks: a child forked while a store is closed, copied or restored keeps none")
{
    SKIP_WHERE_EMULATED(); /* its MADV_DONTFORK does nothing: children keep mappings, and locks */
    store_place place;
    const std::string copy = place.path + ".checkpoint";
    held_store store(held_store::create(place.path));
    roma_tests::put_text(store, 0, "text");
    {
        children forked;
        REQUIRE(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
        store.close();
        CHECK_FALSE(is_locked(copy, ROMA__LOCK_FILE));
        CHECK_FALSE(is_locked(place.path, ROMA__LOCK_FILE));
        CHECK(roma_store_restore(place.path.c_str(), nullptr, nullptr) == 0);
        CHECK_FALSE(is_locked(copy, ROMA__LOCK_FILE));
        CHECK_FALSE(is_locked(place.path, ROMA__LOCK_FILE));
        CHECK_FALSE(is_locked(place.path + ".crashed", ROMA__LOCK_FILE));
        CHECK(children::all.size() > 3);
    }
    CHECK(roma_tests::text_in(place.path) == "text");
}

namespace {

/* A thread of this process forks when the session's byte was locked; the child says that it is
 * there, which is when fork()'s handlers have run in it, and does nothing. */
struct fork_in_opening {
    static inline std::atomic<bool> is_armed{false}, has_forked{false};
    static inline std::atomic<pid_t> child{0};
    static inline int news[2] = {-1, -1};

    static int lock(int fd, int command, struct flock *range)
    {
        const int code = roma__sys_kernel.lock(fd, command, range);
        const bool is_session = range->l_start >= off_t(ROMA__LOCK_SESSIONS);
        if (is_session && range->l_type == F_WRLCK && command == F_OFD_SETLK && code == 0 &&
            is_armed.exchange(false)) {
            std::thread([] {
                child = fork();
                if (child == 0) {
                    (void)!write(news[1], "", 1);
                    for (;;)
                        pause();
                }
                has_forked = true;
            }).detach();
            for (int i = 0; i < 10000 && !has_forked; i++)
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            was_in_time = has_forked;
        }
        return code;
    }

    static inline bool was_in_time = false;

    static bool await_child()
    {
        char byte;
        return read(news[0], &byte, 1) == 1;
    }
};

} // namespace

TEST_CASE("store locks: a child forked while a store is opened keeps neither its session nor locks")
{
    SKIP_WHERE_EMULATED();
    store_place place;
    held_store(held_store::create(place.path)).close();
    REQUIRE(pipe2(fork_in_opening::news, O_CLOEXEC) == 0);
    pid_t child = 0;
    {
        roma_tests::faulty table;
        table.calls.lock = fork_in_opening::lock;
        fork_in_opening::is_armed = true;
        held_store store(held_store::open(place.path));
        REQUIRE_FALSE(fork_in_opening::is_armed);
        while (!fork_in_opening::has_forked)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        child = fork_in_opening::child;
        REQUIRE(child > 0);
        CHECK(fork_in_opening::was_in_time);
        CHECK(is_locked(place.path, ROMA__LOCK_SESSIONS));
        CHECK_FALSE(is_locked(place.path, ROMA__LOCK_FILE));
    }
    CHECK(fork_in_opening::await_child());
    CHECK_FALSE(is_locked(place.path, ROMA__LOCK_SESSIONS));
    CHECK(roma_tests::kill_child(child) == 1000 + SIGKILL);
    close(fork_in_opening::news[0]);
    close(fork_in_opening::news[1]);
}

namespace {

/* The first mapping that goes after `is_armed` waits until `act` has come to its end. */
struct before_unmapping {
    static inline std::atomic<bool> is_armed{false}, was_in_time{false};
    static inline std::function<void()> act;
    static inline std::future<void> acting;

    static int munmap(void *address, size_t bytes)
    {
        if (is_armed.exchange(false)) {
            acting = std::async(std::launch::async, act);
            was_in_time = acting.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
        }
        return roma__sys_kernel.munmap(address, bytes);
    }
};

} // namespace

TEST_CASE("store locks: one session goes while another one is the last, and a third begins")
{
    store_place place;
    roma_tests::faulty table;
    table.calls.munmap = before_unmapping::munmap;
    held_store first(held_store::create(place.path));
    roma_store *second = held_store::open(place.path), *third = nullptr;
    int closed = -1, opened = -1, clean_between = -1, clean_then = -1;
    before_unmapping::act = [&] {
        closed = roma_store_close(second);
        clean_between = cleanness(place.path);
        opened = roma_store_open(place.path.c_str(), nullptr, &third, nullptr);
        clean_then = cleanness(place.path);
    };
    before_unmapping::is_armed = true;
    first.close();
    before_unmapping::acting.get();
    CHECK(before_unmapping::was_in_time);
    CHECK(closed == 0);
    CHECK(clean_between == 1);
    REQUIRE(opened == 0);
    CHECK(clean_then == 0);
    CHECK(faults_in(third) == 0);
    CHECK(roma_store_close(third) == 0);
    CHECK(cleanness(place.path) == 1);
}

namespace {

/* When the file is cut, somebody opens it to look. */
struct look_while_cutting {
    static inline std::atomic<bool> is_armed{false};
    static inline std::string path;
    static inline std::future<int64_t> faults;
    static inline bool was_let_in = false;

    static int64_t look()
    {
        roma_store_options options = roma_store_options_default();
        roma_store *reader = nullptr;
        options.read_only = true;
        int64_t code = roma_store_open(path.c_str(), &options, &reader, nullptr);
        if (code == 0)
            code = roma_store_check(reader, nullptr, nullptr);
        (void)roma_store_close(reader);
        return code;
    }
    static int ftruncate(int fd, off_t bytes)
    {
        if (is_armed.exchange(false)) {
            faults = std::async(std::launch::async, look);
            was_let_in = faults.wait_for(std::chrono::milliseconds(300)) ==
                         std::future_status::ready;
        }
        return roma__sys_kernel.ftruncate(fd, bytes);
    }
};

} // namespace

TEST_CASE("store locks: who opens a store to look waits while its file is cut")
{
    store_place place;
    roma_tests::faulty table;
    table.calls.ftruncate = look_while_cutting::ftruncate;
    roma_store_options options = roma_tests::small_options();
    options.shrink = true;
    held_store store(held_store::create(place.path, options));
    CHECK(roma_store_release(store, roma_store_alloc(store, 16u << 20)) == 0);
    look_while_cutting::path = place.path;
    look_while_cutting::is_armed = true;
    store.close();
    REQUIRE_FALSE(look_while_cutting::is_armed);
    CHECK_FALSE(look_while_cutting::was_let_in);
    CHECK(look_while_cutting::faults.get() == 0);
}
