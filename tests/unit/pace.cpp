/* pace.cpp - when libroma_malloc.so asks for transparent huge pages. */
#include "catch.hpp"

#include "malloc/pace.h"

namespace {

const size_t huge_bytes = 2 << 20;
const uint64_t quick_ns = 100000, slow_ns = 3500000;
const uint64_t least_bytes = ROMA__PACE_REST_LEAST_BYTES, most_bytes = ROMA__PACE_REST_MOST_BYTES;

roma__pace at_start = ROMA__PACE_AT_START;

/* Extents of one huge page until the next try; how many that were. */
uint64_t extents_until_try(roma__pace *pace)
{
    uint64_t extents = 0;
    while (roma__pace_rests(pace, huge_bytes))
        extents++;
    return extents;
}

} // namespace

TEST_CASE("a process begins with base pages, and goes on with huge ones while they come quickly")
{
    roma__pace pace = at_start;
    REQUIRE(extents_until_try(&pace) == ROMA__PACE_START_BYTES / huge_bytes);
    for (int i = 0; i < 100; i++) {
        REQUIRE(roma__pace_is_quick(&pace, huge_bytes, quick_ns));
        REQUIRE(extents_until_try(&pace) == 0);
    }
}

TEST_CASE("after a slow huge page base pages come, for twice as long each time up to a bound")
{
    roma__pace pace = at_start;
    extents_until_try(&pace);
    for (uint64_t rest = least_bytes; rest <= most_bytes; rest *= 2) {
        REQUIRE_FALSE(roma__pace_is_quick(&pace, huge_bytes, slow_ns));
        REQUIRE(extents_until_try(&pace) == rest / huge_bytes);
    }
    REQUIRE_FALSE(roma__pace_is_quick(&pace, huge_bytes, slow_ns));
    REQUIRE(extents_until_try(&pace) == most_bytes / huge_bytes);
}

TEST_CASE("after a quick huge page the next slow one has the shortest rest again")
{
    roma__pace pace = at_start;
    for (int i = 0; i < 4; i++)
        (void)roma__pace_is_quick(&pace, huge_bytes, slow_ns);
    extents_until_try(&pace);
    REQUIRE(roma__pace_is_quick(&pace, huge_bytes, quick_ns));
    REQUIRE_FALSE(roma__pace_is_quick(&pace, huge_bytes, slow_ns));
    REQUIRE(extents_until_try(&pace) == least_bytes / huge_bytes);
}

TEST_CASE("a rest ends with the extent that is longer than what is left of it")
{
    roma__pace pace = at_start;
    (void)roma__pace_is_quick(&pace, huge_bytes, slow_ns);
    REQUIRE(roma__pace_rests(&pace, least_bytes - 1));
    REQUIRE(roma__pace_rests(&pace, (size_t)1 << 40));
    REQUIRE_FALSE(roma__pace_rests(&pace, huge_bytes));
}
