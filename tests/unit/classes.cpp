/* classes.cpp - size classes: every length fits its class, and alignment follows from the
 * length. */
#include "catch.hpp"

extern "C" {
#include "heap/classes.h"
}

#include <algorithm>
#include <cstdint>

namespace {
constexpr size_t granule = 64 << 10;
}

TEST_CASE("every length gets the smallest class that holds it", "[classes]")
{
    for (size_t bytes = 0; bytes <= ROMA__CLASS_MAX_BYTES; bytes++) {
        unsigned index = roma__class_of(bytes);
        bool fits = index < ROMA__CLASS_COUNT && roma__class_bytes(index) >= bytes &&
                    (index == 0 || roma__class_bytes(index - 1) < bytes);
        if (!fits) {
            INFO("length " << bytes << " got class " << index);
            REQUIRE(fits);
        }
    }
    CHECK(roma__class_bytes(ROMA__CLASS_COUNT - 1) == ROMA__CLASS_MAX_BYTES);
}

TEST_CASE("a class's cells are aligned to every power of two that divides the length", "[classes]")
{
    for (size_t bytes = 16; bytes <= ROMA__CLASS_MAX_BYTES; bytes += 16) {
        size_t divides = std::min(bytes & (~bytes + 1), granule);
        size_t cell = roma__class_bytes(roma__class_of(bytes));
        if (cell % divides != 0) {
            INFO("length " << bytes << " in cells of " << cell);
            REQUIRE(cell % divides == 0);
        }
    }
    SUCCEED("all lengths");
}

TEST_CASE("a slab wastes at most a sixteenth at its end and holds at least 8 cells", "[classes]")
{
    for (unsigned i = 0; i < ROMA__CLASS_COUNT; i++) {
        size_t cell = roma__class_bytes(i), slab = roma__class_granules(i) * granule;
        INFO("class " << i << ": cells of " << cell << " in " << slab);
        CHECK(slab <= (2u << 20));
        CHECK(slab / cell >= 8);
        CHECK((slab % cell <= slab / 16 || slab == (2u << 20)));
    }
}
