/* topology.cpp - the library's own topology is read by whoever needs it first, on any thread, and
 * refreshed by several at once. */
#include "catch.hpp"
#include "tree.hpp"

#include "numa/machine.h"

#include <roma/topology.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

TEST_CASE("threads that ask for the topology at once all get the same one")
{
    for (int round = 0; round < 20; round++) {
        roma__machine_root(nullptr); /* forget what was read */
        constexpr unsigned count = 8;
        std::vector<const roma_topology *> seen(count);
        std::atomic<unsigned> ready{0};
        std::vector<std::thread> threads;
        for (unsigned i = 0; i < count; i++) {
            threads.emplace_back([&, i] {
                ready++;
                while (ready < count)
                    std::this_thread::yield();
                seen[i] = roma_topology_get();
                if (seen[i] != nullptr && roma_topology_kinds_count(seen[i]) == 0)
                    seen[i] = nullptr;
            });
        }
        for (std::thread &thread : threads)
            thread.join();
        REQUIRE(seen[0] != nullptr);
        for (unsigned i = 1; i < count; i++)
            CHECK(seen[i] == seen[0]);
        CHECK(roma_topology_get() == seen[0]);
    }
}

/* A distance only grows while threads refresh and look. A refresh that was overtaken must not put
 * its older reading in place of a newer one: nobody may see the distance fall. */
TEST_CASE("threads that refresh at once never bring back what has been replaced")
{
    constexpr unsigned first = 20, last = 120;
    roma_tests::tree at(roma_tests::fixture("two-nodes"));
    roma__machine_root(at.root());
    const roma_topology *oldest = roma_topology_get();
    REQUIRE(oldest != nullptr);
    const std::string path = "/sys/devices/system/node/node0/distance";
    std::atomic<bool> done{false};
    std::atomic<unsigned> faults{0};
    const auto put = [&](unsigned distance) { /* at once: no reader finds an empty file */
                                              at.put("/next",
                                                     "10 " + std::to_string(distance) + "\n");
                                              const std::string root = at.root();
                                              std::filesystem::rename(root + "/next", root + path);
    };
    put(first);
    CHECK(roma_topology_refresh() == 1);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; i++) {
        threads.emplace_back([&, refreshes = i % 2 == 0] {
            unsigned seen = first;
            while (!done) {
                if (refreshes && roma_topology_refresh() < 0)
                    faults++;
                const unsigned now = roma_topology_distance(roma_topology_get(), 0, 1);
                if (now < seen)
                    faults++;
                seen = now;
            }
        });
    }
    for (unsigned distance = first + 1; distance <= last; distance++) {
        put(distance);
        CHECK(roma_topology_refresh() >= 0);
        CHECK(roma_topology_distance(roma_topology_get(), 0, 1) == distance);
    }
    done = true;
    for (std::thread &thread : threads)
        thread.join();
    CHECK(faults == 0);
    CHECK(roma_topology_refresh() == 0);
    CHECK(roma_topology_distance(roma_topology_get(), 0, 1) == last);
    CHECK(roma_topology_distance(oldest, 0, 1) == 21);
    roma__machine_root(nullptr);
}
