/* store_waits.cpp - whom a process keeps waiting that is stopped where it holds something, and whom
 * it does not. */
#include "store_place.hpp"
#include "store_shim.h"

#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <vector>

using roma_tests::cleanness;
using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::kill_child;
using roma_tests::put_text;
using roma_tests::start_session;
using roma_tests::store_place;
using roma_tests::text_at;

namespace {

template <typename function> auto in_background(function act)
{
    return std::async(std::launch::async, act);
}

template <typename type> bool comes_to_its_end(std::future<type> &what)
{
    return what.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
}

/* The child's end. */
int fork_once()
{
    const pid_t child = fork();
    int status = -1;
    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

int open_and_close(const std::string &path)
{
    roma_store *store = nullptr;
    const int code = roma_store_open(path.c_str(), nullptr, &store, nullptr);
    return code == 0 ? roma_store_close(store) : code;
}

/* A second process that holds all calls of the store, as one that is stopped in a checkpoint. */
pid_t start_parker(const std::string &path)
{
    return start_session(path, [](roma_store *own) { return shim_stay_parked(own) == 0; });
}

/* A byte lock of a process that is stopped. */
class held_byte {
  public:
    held_byte(const std::string &path, int64_t byte) : fd_(open(path.c_str(), O_RDWR | O_CLOEXEC))
    {
        struct flock range = {};
        range.l_type = F_WRLCK;
        range.l_whence = SEEK_SET;
        range.l_start = off_t(byte);
        range.l_len = 1;
        REQUIRE(fd_ >= 0);
        REQUIRE(fcntl(fd_, F_OFD_SETLK, &range) == 0);
    }
    held_byte(const held_byte &) = delete;
    held_byte &operator=(const held_byte &) = delete;
    ~held_byte() { let_go(); }
    void let_go()
    {
        if (fd_ >= 0)
            ::close(fd_);
        fd_ = -1;
    }

  private:
    int fd_;
};

} // namespace

TEST_CASE("store waits: threads end, children are forked, other stores open, while calls are held")
{
    store_place place;
    const std::string elsewhere = place.beside("other");
    held_store(held_store::create(elsewhere)).close();
    held_store store(held_store::create(place.path));
    put_text(store, 0, "text");
    std::atomic<int> stage{0};
    std::thread thread([&] {
        stage = roma_store_alloc(store, 100) != nullptr ? 1 : 2;
        while (stage < 2)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    while (stage == 0)
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const pid_t parker = start_parker(place.path);
    stage = 2;
    auto ended = in_background([&] { thread.join(); });
    CHECK(comes_to_its_end(ended));
    auto forked = in_background(fork_once);
    CHECK(comes_to_its_end(forked));
    auto opened = in_background([&] { return open_and_close(elsewhere); });
    CHECK(comes_to_its_end(opened));
    kill_child(parker);
    ended.get();
    CHECK(forked.get() == 0);
    CHECK(opened.get() == 0);
    CHECK(text_at(store, 0) == "text");
    CHECK(roma_store_recover(store) == 1);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store waits: an opening that waits to recover a dead session keeps nobody else waiting")
{
    store_place place;
    const std::string elsewhere = place.beside("other");
    held_store(held_store::create(elsewhere)).close();
    roma_store_options options = roma_tests::small_options();
    options.sessions = 3;
    held_store store(held_store::create(place.path, options));
    kill_child(
        start_session(place.path, [](roma_store *own) { return shim_stay_inside(own) == 0; }));
    const pid_t parker = start_parker(place.path);
    auto opener = in_background([&] { return open_and_close(place.path); });
    CHECK(opener.wait_for(std::chrono::milliseconds(100)) != std::future_status::ready);
    auto forked = in_background(fork_once);
    CHECK(comes_to_its_end(forked));
    auto opened = in_background([&] { return open_and_close(elsewhere); });
    CHECK(comes_to_its_end(opened));
    kill_child(parker);
    CHECK(forked.get() == 0);
    CHECK(opened.get() == 0);
    CHECK(opener.get() == 0);
    CHECK(roma_store_recover(store) >= 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store waits: who is not the last closes while somebody else opens, or is stopped there")
{
    store_place place;
    held_store store(held_store::create(place.path));
    roma_store *second = held_store::open(place.path);
    held_byte opener(place.path, ROMA__LOCK_FILE);
    auto closed = in_background([second] { return roma_store_close(second); });
    CHECK(comes_to_its_end(closed));
    opener.let_go();
    CHECK(closed.get() == 0);
    CHECK(cleanness(place.path) == 0);
    CHECK(faults_in(store) == 0);
    store.close();
    CHECK(cleanness(place.path) == 1);
}

TEST_CASE("store waits: of several that close at once one makes it clean")
{
    store_place place;
    roma_store_options options = roma_tests::small_options();
    options.unsynced = true;
    held_store(held_store::create(place.path, options)).close();
    for (int round = 0; round < 100; round++) {
        std::vector<std::thread> threads;
        std::atomic<int> waiting{3}, failed{0};
        for (int i = 0; i < 3; i++)
            threads.emplace_back([&] {
                roma_store *store = nullptr;
                failed += roma_store_open(place.path.c_str(), &options, &store, nullptr) != 0;
                waiting--;
                while (waiting > 0)
                    std::this_thread::yield();
                failed += roma_store_close(store) != 0;
            });
        for (std::thread &thread : threads)
            thread.join();
        REQUIRE(failed == 0);
        REQUIRE(cleanness(place.path) == 1);
    }
}
