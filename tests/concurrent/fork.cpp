/* fork.cpp - fork() at any moment of other threads' calls: the child allocates and frees at once.
 *
 * A fork holds every lock of every manager. ThreadSanitizer's search for deadlocks ends the program
 * at the 64th lock that a thread holds, so under it this test runs in a process without that
 * search; the other tests keep it. */
#include "scene.hpp"

#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

/* What a child does; 0 is well. A lock that was held at the fork would stop it: hence the alarm. */
int live_on(const std::vector<roma_manager *> &managers, void *inherited, size_t bytes,
            uint64_t identity)
{
    alarm(30);
    if (!scene::is_signed(inherited, bytes, identity) || roma_count(inherited) != 1)
        return 2;
    for (roma_manager *manager : managers) {
        void *blocks[64];
        for (unsigned i = 0; i < 64; i++) {
            const size_t length = size_t(1) << i % 20;
            blocks[i] = roma_alloc(manager, length);
            if (blocks[i] == nullptr)
                return 3;
            scene::sign(blocks[i], length, i);
        }
        for (unsigned i = 0; i < 64; i++)
            if (!scene::is_signed(blocks[i], size_t(1) << i % 20, i) ||
                roma_release(blocks[i]) != 0)
                return 4;
        if (roma_manager_trim(manager, 0) < 0)
            return 5;
    }
    if (roma_release(inherited) != 0 || roma_count(inherited) >= 0)
        return 6;
    roma_manager *fresh = nullptr;
    if (roma_manager_create(&fresh, nullptr, nullptr) != 0)
        return 7;
    roma_free(roma_alloc(fresh, 100000));
    return roma_manager_destroy(fresh) == 0 ? 0 : 8;
}

#ifdef ROMA_TESTS_UNDER_TSAN
constexpr bool needs_other_options = true;
#else
constexpr bool needs_other_options = false;
#endif

/* This program again, for the tests of this file. Returns its status. */
int run_without_deadlock_search()
{
    const char *before = std::getenv("TSAN_OPTIONS");
    const std::string options = std::string(before != nullptr ? before : "") +
                                " detect_deadlocks=0";
    const pid_t child = fork();
    if (child == 0) {
        setenv("TSAN_OPTIONS", options.c_str(), 1);
        unsetenv("ROMA_TEST_TALLY");
        execl("/proc/self/exe", "test_concurrent", "[fork]", nullptr);
        _exit(127);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return status;
}

} // namespace

TEST_CASE("a child made while other threads allocate can allocate, free and trim", "[fork]")
{
    const char *options = std::getenv("TSAN_OPTIONS");
    if (needs_other_options &&
        (options == nullptr || std::strstr(options, "detect_deadlocks=0") == nullptr)) {
        CHECK(run_without_deadlock_search() == 0);
        return;
    }
    const scene::counted_manager base(ROMA_PAGES_BASE), ordinary(ROMA_PAGES_DEFAULT),
        debugged(ROMA_PAGES_BASE, ROMA_DEBUG_ALL & ~ROMA_DEBUG_LEAKS);
    const std::vector<roma_manager *> managers = {base.self(), ordinary.self(), debugged.self(),
                                                  roma_default()};
    const size_t bytes = 300000;
    void *inherited = roma_alloc(base.self(), bytes);
    REQUIRE(inherited != nullptr);
    scene::sign(inherited, bytes, 77);

    std::atomic<bool> ended{false};
    std::atomic<unsigned long> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; i++)
        threads.emplace_back([&, i] {
            scene::random_numbers random(i + 1);
            while (!ended) {
                roma_manager *manager = managers[random.below(managers.size())];
                const size_t length = random.below(20) == 0 ? random.below(3 << 20)
                                                            : random.below(5000);
                void *block = roma_alloc_zeroed(manager, length);
                wrong += block == nullptr || roma_retain(block) != 2 || roma_release(block) != 1;
                if (random.below(8) == 0)
                    block = roma_resize(block, length + 10000);
                if (random.below(64) == 0)
                    wrong += roma_manager_trim(manager, 0) < 0;
                wrong += roma_release(block) != 0;
            }
        });

    const unsigned forks = scene::is_sanitized ? 20 : 100;
    std::vector<int> statuses;
    for (unsigned i = 0; i < forks; i++) {
        const pid_t child = fork();
        if (child == 0)
            _exit(live_on(managers, inherited, bytes, 77));
        int status = -1;
        if (child > 0)
            waitpid(child, &status, 0);
        if (status != 0)
            statuses.push_back(status);
    }
    ended = true;
    for (std::thread &thread : threads)
        thread.join();
    CHECK(wrong == 0);
    for (int status : statuses) {
        INFO("the child's status " << status << " (a signal: " << WTERMSIG(status) << ")");
        CHECK(status == 0);
    }
    CHECK(scene::is_signed(inherited, bytes, 77));
    CHECK(roma_release(inherited) == 0);
    CHECK(roma_manager_trim(roma_default(), 0) >= 0);
}
