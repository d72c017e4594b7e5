/* topology.cpp - the library's own topology is read by whoever needs it first, on any thread. */
#include "catch.hpp"

#include "numa/machine.h"

#include <roma/topology.h>

#include <atomic>
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
