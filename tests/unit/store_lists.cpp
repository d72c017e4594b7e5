/* store_lists.cpp - the lists of what lanes own: as long as a store is large, read once however
 * they are written, and forgotten when the lane leaves. */
#include "store_place.hpp"
#include "store_shim.h"
#include "stores.hpp"

#include <cerrno>
#include <csignal>
#include <ctime>

using namespace roma_tests;

namespace {

constexpr uint64_t MANY = 600000; /* more than a lane and its own pages have entries */

void check_empty(roma_store *store)
{
    CHECK(faults_of(store) == "");
    CHECK(live_blocks(store) == 0);
    CHECK(figure_of(store, "store.free_bytes") == figure_of(store, "store.committed_bytes"));
}

double cpu_seconds()
{
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

} // namespace

TEST_CASE("a lane may own more than its list and the pages of it can name", "[store]")
{
    open_store store(memory_store());
    CHECK(shim_fill_list(store, MANY) == MANY);
    void *small = roma_store_alloc(store, 64), *large = roma_store_alloc(store, 1 << 20);
    REQUIRE(small != nullptr);
    REQUIRE(large != nullptr);
    CHECK(faults_of(store) == "");
    CHECK(roma_store_release(store, small) == 0);
    CHECK(roma_store_release(store, large) == 0);
}

TEST_CASE("a store that older programs may write keeps to lists that they read", "[store]")
{
    store_path path;
    open_store(path.c_str(), true).close();
    edit_super(path.c_str(),
               [](roma__super &super) { super.features = ROMA__FEATURE_LITTLE_ENDIAN; });
    open_store store(path.c_str(), false);
    CHECK(shim_fill_list(store, MANY) < MANY);
    CHECK(roma_store_alloc(store, 64) == nullptr);
    CHECK(errno == ENOSPC);
}

TEST_CASE("what a killed lane with a long list owned is found in all of it", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    REQUIRE(in_child([&] {
                roma_store *own = open_in_child(path);
                if (shim_fill_list(own, MANY) != MANY)
                    return 91;
                for (int i = 0; i < 3; i++)
                    if (roma_store_alloc(own, 64) == nullptr ||
                        roma_store_alloc(own, 1 << 20) == nullptr)
                        return 92;
                kill(getpid(), SIGKILL);
                return 93;
            }) == -SIGKILL);
    CHECK(live_blocks(store) == 6);
    CHECK(faults_of(store) == "");
    CHECK(roma_store_recover(store) == 1);
    check_empty(store);
}

TEST_CASE("a lane leaves with a long list", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true), other(path.c_str(), false);
    CHECK(shim_fill_list(other, MANY) == MANY);
    void *block = roma_store_alloc(other, 64);
    REQUIRE(roma_store_link(other, roma_store_root(other, 0), block) == 0);
    REQUIRE(roma_store_alloc(other, 1 << 20) != nullptr);
    other.close();
    CHECK(faults_of(store) == "");
    CHECK(live_blocks(store) == 1);
    CHECK(roma_store_release_from(store, roma_store_root(store, 0)) == 1);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("a crafted list that names a slab eight million times is looked through once", "[store]")
{
    store_path path;
    open_store store(path.c_str(), true);
    REQUIRE(in_child([&] {
                roma_store *own = open_in_child(path);
                void *block = roma_store_alloc(own, 16); /* one of 2040 */
                if (block == nullptr)
                    return 91;
                shim_repeat_list(own, block);
                kill(getpid(), SIGKILL);
                return 92;
            }) == -SIGKILL);
    CHECK(live_blocks(store) == 1);
    const double before = cpu_seconds();
    CHECK(roma_store_recover(store) == 1);
    CHECK(cpu_seconds() - before < 3.0); /* not by a factor of thousands */
    check_empty(store);
}

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
