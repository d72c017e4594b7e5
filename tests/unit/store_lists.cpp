/* store_lists.cpp - the lists of what lanes own: forgotten when the lane leaves. */
#include "store_shim.h"
#include "stores.hpp"

using namespace roma_tests;

TEST_CASE("a lane that has left takes no slab for its own", "[store]")
{
    open_store store(memory_store());
    for (size_t bytes : {16, 1000, 50000, 300000}) {
        void *block = roma_store_alloc(store, bytes);
        REQUIRE(block != nullptr);
        if (bytes == 1000)
            REQUIRE(roma_store_link(store, roma_store_root(store, 0), block) == 0);
    }
    CHECK(shim_leave_lane(store) == 0);
    CHECK(live_blocks(store) == 1);
}
