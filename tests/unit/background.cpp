/* background.cpp - free memory goes back after its delay, behind an idle process by a thread. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "owned.hpp"
#include "skip.hpp"
#include "threads.hpp"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <fstream>
#include <set>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

using roma_tests::owned;
using roma_tests::threads_now;
using std::chrono::milliseconds;

namespace {

constexpr uint64_t millisecond_ns = 1000000;

roma_options options_with(uint64_t return_delay_ns, bool background)
{
    roma_options options = roma_options_default();
    options.return_delay_ns = return_delay_ns;
    options.background = background;
    return options;
}

/* Use a good deal of memory and free it. */
void use_and_free(roma_manager *manager)
{
    std::vector<void *> blocks;
    for (size_t bytes : {size_t{100}, size_t{64} << 10, size_t{4} << 20}) {
        for (size_t all = 0; all < 16u << 20; all += bytes) {
            blocks.push_back(roma_alloc(manager, bytes));
            if (blocks.back() == nullptr)
                return;
            std::memset(blocks.back(), 1, bytes);
        }
    }
    for (void *block : blocks)
        roma_free(block);
}

/* Held with pages, by the figures. No slow path of the manager. */
uint64_t with_pages(owned &manager)
{
    return manager.figure("extents.bytes") - manager.figure("returned.bytes");
}

template <typename condition> bool comes_true(condition holds, milliseconds within)
{
    const auto end = std::chrono::steady_clock::now() + within;
    while (!holds()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::sleep_for(milliseconds(2));
    }
    return true;
}

uint64_t blocked_signals_of(const std::string &thread)
{
    std::ifstream status("/proc/self/task/" + thread + "/status");
    std::string word;
    while (status >> word)
        if (word == "SigBlk:")
            return status >> word ? std::stoull(word, nullptr, 16) : 0;
    return 0;
}

} // namespace

TEST_CASE("a background thread gives back what is free after the delay, without any call")
{
    owned manager(options_with(50 * millisecond_ns, true));
    use_and_free(manager.self);
    const uint64_t peak = manager.figure("extents.peak_bytes");
    CHECK(peak >= 48u << 20);
    CHECK(comes_true([&] { return with_pages(manager) < peak / 20; }, milliseconds(5000)));
}

TEST_CASE("without one it stays behind an idle process, and goes at the next slow path after it")
{
    owned manager(options_with(20 * millisecond_ns, false));
    use_and_free(manager.self);
    const uint64_t held = with_pages(manager);
    CHECK(held > 0);
    std::this_thread::sleep_for(milliseconds(100));
    CHECK(with_pages(manager) == held);
    const uint64_t peak = manager.figure("extents.peak_bytes");
    /* The first such call empties the thread's caches, what was in them is due a delay later. */
    for (int round = 0; round < 2; round++) {
        roma_free(manager.alloc(1u << 20));
        std::this_thread::sleep_for(milliseconds(40));
    }
    roma_free(manager.alloc(1u << 20));
    CHECK(with_pages(manager) < peak / 5);
}

TEST_CASE("memory that is never to go back goes by trim alone")
{
    owned manager(options_with(ROMA_RETURN_NEVER, false));
    use_and_free(manager.self);
    const uint64_t untouched = manager.figure("returned.bytes");
    std::this_thread::sleep_for(milliseconds(20));
    roma_free(manager.alloc(1u << 20));
    CHECK(manager.figure("returned.bytes") <= untouched);
    CHECK(with_pages(manager) > 16u << 20);
    CHECK(roma_manager_trim(manager.self, 0) > 0);
    CHECK(with_pages(manager) == 0);
}

TEST_CASE("the thread comes with the first manager that asks, and goes with the last")
{
    const std::set<std::string> before = threads_now();
    for (int round = 0; round < 3; round++) {
        owned plain(options_with(0, false));
        /* The kernel lists a thread for a moment after it was joined. */
        CHECK(comes_true([&] { return threads_now() == before; }, milliseconds(5000)));
        owned first(options_with(millisecond_ns, true));
        const std::set<std::string> now = threads_now();
        REQUIRE(now.size() == before.size() + 1);
        for (const std::string &thread : now)
            if (before.count(thread) == 0)
                for (int signal : {SIGUSR1, SIGTERM, SIGALRM, SIGINT})
                    CHECK((blocked_signals_of(thread) >> (signal - 1) & 1) == 1);
        {
            owned second(options_with(ROMA_RETURN_AT_ONCE, true));
            CHECK(threads_now() == now);
        }
        CHECK(threads_now() == now);
    }
    CHECK(comes_true([&] { return threads_now() == before; }, milliseconds(1000)));
}

TEST_CASE("managers come and go on many threads while the background thread works")
{
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([] {
            for (int round = 0; round < 20; round++) {
                roma_options options = options_with(ROMA_RETURN_AT_ONCE, true);
                roma_manager *manager = nullptr;
                if (roma_manager_create(&manager, &options, nullptr) != 0)
                    std::abort();
                for (size_t bytes = 16; bytes < 2u << 20; bytes *= 4)
                    roma_free(roma_alloc(manager, bytes));
                if (roma_manager_destroy(manager) != 0)
                    std::abort();
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    SUCCEED("none stopped");
}

TEST_CASE("a manager is not made when its background thread cannot be")
{
    roma_tests::faulty table;
    table.calls.thread_start = [](void **, void *(*)(void *), void *) {
        errno = EAGAIN;
        return -1;
    };
    const roma_options options = options_with(0, true);
    roma_manager *manager = nullptr;
    roma_error error = {};
    CHECK(roma_manager_create(&manager, &options, &error) == -EAGAIN);
    CHECK(error.code == -EAGAIN);
    CHECK(std::string(error.call) == "pthread_create");
    CHECK(manager == nullptr);
}

TEST_CASE("a child of fork has a background thread of its own after its first call that needs one")
{
#ifdef ROMA_TESTS_UNDER_TSAN
    SKIP_TEST("ThreadSanitizer allows no threads in a child of a program with threads");
#else
    SKIP_WHERE_EMULATED(); /* which has threads of its own */
    owned manager(options_with(20 * millisecond_ns, true));
    use_and_free(manager.self);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(20);
        if (threads_now().size() != 1)
            _exit(1);
        use_and_free(manager.self);
        if (threads_now().size() != 2)
            _exit(2);
        const uint64_t peak = manager.figure("extents.peak_bytes");
        if (!comes_true([&] { return with_pages(manager) < peak / 20; }, milliseconds(5000)))
            _exit(3);
        if (roma_manager_destroy(manager.self) != 0)
            _exit(4);
        /* The kernel lists a thread for a moment after it was joined. */
        _exit(comes_true([] { return threads_now().size() == 1; }, milliseconds(5000)) ? 0 : 5);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
#endif
}
