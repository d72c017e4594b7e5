/* policy.cpp - a policy is replaced while threads allocate: each block is where one of the policies
 * in place at that time puts it, and after the call only where the new one does. */
#include "catch.hpp"
#include "place.hpp"
#include "sanitized.hpp"

#include <roma.h>

#include <atomic>
#include <cstring>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

/* ThreadSanitizer sees a race wherever two accesses are not ordered, whether they meet or not; and
 * each round maps two places of 64 MiB and each fork copies them, with a shadow that is larger. */
#ifdef ROMA_TESTS_UNDER_TSAN
constexpr int first_rounds = 20, forks_count = 30;
#else
constexpr int first_rounds = 60, forks_count = 100;
#endif

struct scene {
    roma_tests::place near{"near", 64u << 20}, far{"far", 64u << 20};
    roma_provider *both[2] = {near.self, far.self};
    roma_manager *manager = nullptr;
    std::atomic<bool> ended{false};
    std::atomic<uint64_t> wrong{0}, refused{0}, done{0};

    scene()
    {
        roma_options options = roma_options_default();
        options.providers = both;
        options.providers_count = 2;
        REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    }
    ~scene() { CHECK(roma_manager_destroy(manager) == 0); }

    void put(const std::string &text) const
    {
        roma_policy *policy = nullptr;
        REQUIRE(roma_policy_parse(text.c_str(), &policy, nullptr) == 0);
        REQUIRE(roma_manager_policy(manager, policy, nullptr) == 0);
        roma_policy_destroy(policy);
    }
};

/* Lengths on both sides of all partings; half of them by other calls than roma_alloc(). */
void allocate(scene &on, unsigned seed)
{
    std::vector<char *> held;
    for (unsigned i = seed; !on.ended; i++) {
        const size_t bytes = (size_t)16 << i % 15;
        void *block;
        if (i % 4 == 3) {
            roma_request want = roma_request_default();
            want.bytes = bytes;
            want.label = i % 8 == 3 ? "log" : nullptr;
            block = roma_alloc_with(on.manager, &want, nullptr);
        } else {
            block = roma_alloc(on.manager, bytes);
        }
        if (block == nullptr) {
            on.refused++;
            continue;
        }
        if (!on.near.has(block) && !on.far.has(block))
            on.wrong++;
        std::memset(block, (int)(seed + bytes) & 0xFF, bytes);
        held.push_back(static_cast<char *>(block));
        if (held.size() > 32) {
            roma_free(held[i % held.size()]);
            held[i % held.size()] = held.back();
            held.pop_back();
        }
        on.done++;
    }
    for (char *block : held)
        roma_free(block);
}

} // namespace

TEST_CASE("a policy is replaced while threads allocate", "[policy]")
{
    scene on;
    on.put("any -> providers near, pages base");
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; i++)
        threads.emplace_back([&on, i] { allocate(on, i * 1000); });
    const std::string texts[] = {
        "any -> providers far, pages base",
        "size < 1K -> providers near, pages base; any -> providers far, pages base",
        "size < 64K -> providers far, pages base; any -> providers near, pages base",
        "label \"log\" -> providers far, pages base; any -> providers near, pages base",
    };
    /* After each call this thread's requests go by the new policy, whatever the others do. */
    for (int round = 0; round < 200 || (on.done <= 1000 && round < 100000); round++) {
        on.put(texts[round % 4]);
        for (const size_t bytes : {(size_t)64, (size_t)4096, (size_t)100000}) {
            const bool is_near = round % 4 == 0   ? false
                                 : round % 4 == 1 ? bytes < 1024
                                 : round % 4 == 2 ? bytes >= 65536
                                                  : true;
            void *block = roma_alloc(on.manager, bytes);
            INFO("round " << round << ", " << bytes << " bytes");
            if (block == nullptr)
                continue; /* that place is full for the moment */
            CHECK(on.near.has(block) == is_near);
            roma_free(block);
        }
        if (round % 50 == 49)
            REQUIRE(roma_manager_policy(on.manager, nullptr, nullptr) == 0);
    }
    on.ended = true;
    for (std::thread &thread : threads)
        thread.join();
    CHECK(on.wrong == 0);
    CHECK(on.done > 1000);
    CHECK(on.refused <= on.done / 10);
    CHECK(roma_manager_check(on.manager) == 0);
}

TEST_CASE("the first policy of a manager meets its first requests", "[policy]")
{
    for (int round = 0; round < first_rounds; round++) {
        scene on;
        std::atomic<int> ready{0};
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; i++)
            threads.emplace_back([&] {
                ready++;
                while (ready < 4)
                    std::this_thread::yield();
                for (int k = 0; k < 20; k++)
                    roma_free(roma_alloc(on.manager, 64));
            });
        ready++;
        on.put("any -> providers far, pages base");
        void *block = roma_alloc(on.manager, 64);
        CHECK(on.far.has(block));
        for (std::thread &thread : threads)
            thread.join();
        roma_free(block);
        block = roma_alloc(on.manager, 64);
        CHECK(on.far.has(block));
        roma_free(block);
    }
}

TEST_CASE("a limit that comes and goes refuses nothing that it has room for", "[policy]")
{
    scene on;
    roma_policy *limited = nullptr, *free = nullptr;
    REQUIRE(roma_policy_parse("limit 60M", &limited, nullptr) == 0);
    REQUIRE(roma_policy_parse("any -> providers near far, pages base", &free, nullptr) == 0);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 3; i++)
        threads.emplace_back([&on] {
            while (!on.ended) {
                roma_request want = roma_request_default();
                want.bytes = 2 << 20;
                want.pages = ROMA_PAGES_BASE;
                void *block = roma_alloc_with(on.manager, &want, nullptr);
                on.refused += block == nullptr;
                on.done++;
                roma_free(block);
                (void)roma_manager_trim(on.manager, 0);
            }
        });
    for (int round = 0; round < 1000; round++)
        REQUIRE(roma_manager_policy(on.manager, round % 2 == 0 ? limited : free, nullptr) == 0);
    on.ended = true;
    for (std::thread &thread : threads)
        thread.join();
    CHECK(on.refused == 0);
    CHECK(on.done > 0);
    roma_policy_destroy(limited);
    roma_policy_destroy(free);
}

TEST_CASE("a child made while threads route by a policy can put one in place, and fork", "[policy]")
{
    scene on;
    on.put("any -> providers near, pages base");
    roma_policy *other = nullptr;
    REQUIRE(roma_policy_parse("any -> providers far, pages base", &other, nullptr) == 0);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 3; i++)
        threads.emplace_back([&on, i] { allocate(on, i * 1000); });
    threads.emplace_back([&on, other] { /* writers wait, too */
                                        while (!on.ended)
                                            (void)roma_manager_policy(on.manager, other, nullptr);
    });
    unsigned failed = 0;
    for (int round = 0; round < forks_count; round++) {
        const pid_t child = fork();
        if (child == 0) {
            alarm(20);
            if (roma_manager_policy(on.manager, other, nullptr) != 0)
                _exit(2);
            const pid_t grandchild = fork();
            if (grandchild == 0)
                _exit(0);
            int status = -1;
            waitpid(grandchild, &status, 0);
            _exit(status);
        }
        int status = -1;
        waitpid(child, &status, 0);
        failed += status != 0;
        if (failed > 0)
            break;
    }
    CHECK(failed == 0);
    on.ended = true;
    for (std::thread &thread : threads)
        thread.join();
    roma_policy_destroy(other);
}
