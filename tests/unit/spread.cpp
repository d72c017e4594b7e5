/* spread.cpp - pages laid by weight, as the memory policies that the kernel is told: on a captured
 * machine, where mbind only notes what it is asked. */
#include "faulty.hpp"
#include "topology.hpp"
#include "tree.hpp"

#include <roma.h>

#include <cstdlib>
#include <map>
#include <cmath>
#include <vector>

using namespace roma_tests;

namespace {

constexpr size_t mib = 1 << 20;

std::map<int, size_t> laid; /* bytes by node */

struct noting {
    faulty table;
    noting()
    {
        laid.clear();
        table.calls.mbind = [](void *, size_t bytes, int, const unsigned long *mask, unsigned long,
                               unsigned) -> int {
            laid[__builtin_ctzl(mask[0])] += bytes;
            return 0;
        };
    }
};

/* Obtain and give back so many extents; what each node got is in `laid`. */
void lay(std::vector<uint8_t> weights, size_t bytes, unsigned extents)
{
    roma_extent_request want = roma_extent_request_default();
    want.bytes = bytes;
    want.pages = ROMA_PAGES_BASE;
    want.spread = ROMA_SPREAD_WEIGHTED;
    for (size_t i = 0; i < weights.size(); i++) {
        roma_nodes_add(&want.nodes, (unsigned)i);
        want.weights[i] = weights[i];
    }
    for (unsigned i = 0; i < extents; i++) {
        roma_extent extent;
        REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &want, &extent, nullptr) == 0);
        CHECK(roma_provider_release(roma_provider_anonymous(), &extent, nullptr) == 0);
    }
}

} // namespace

namespace {

const std::vector<std::vector<uint8_t>> tables = {{3, 1},    {1, 1}, {1, 1, 1},
                                                  {5, 2, 1}, {0, 1}, {200, 100, 1}};

unsigned sum_of(const std::vector<uint8_t> &weights)
{
    unsigned sum = 0;
    for (const uint8_t weight : weights)
        sum += weight;
    return sum;
}

} // namespace

TEST_CASE("extents of less than a round of turns keep to their weights together", "[spread]")
{
    const machine here(fixture("hmat"));
    for (const auto &weights : tables) {
        const unsigned sum = sum_of(weights);
        for (const size_t granules : {1, 2, 3, 5, 16}) {
            if (granules >= sum)
                continue;
            const noting calls;
            lay(weights, granules * 2 * mib, sum);
            for (size_t i = 0; i < weights.size(); i++) {
                INFO("node " << i << " of " << weights.size() << ", weight " << (int)weights[i]
                             << " of " << sum << ", " << granules << " granules");
                CHECK(laid[(int)i] == weights[i] * granules * 2 * mib);
            }
        }
    }
}

TEST_CASE("an extent of a whole round of turns or more keeps to its weights alone", "[spread]")
{
    const machine here(fixture("hmat"));
    for (const auto &weights : tables) {
        const unsigned sum = sum_of(weights);
        for (const size_t granules : {sum, sum + 1, 2 * sum, 2 * sum + sum / 2}) {
            if (granules > 64) /* a small machine does not even give the addresses of more */
                continue;
            const noting calls;
            lay(weights, granules * 2 * mib, 1);
            for (size_t i = 0; i < weights.size(); i++) {
                const double wanted = (double)(weights[i] * granules) / sum;
                const double held = (double)laid[(int)i] / (2 * mib);
                INFO("node " << i << " has " << held << " of " << wanted << " granules");
                CHECK(std::abs(held - wanted) < 1);
            }
        }
    }
}
