/* late.cpp - second releases that arrive when what they were of is gone: the slab of the cell, or
 * the life of the cache that they were sent to.
 *
 * A release by another thread than the owner's looks at the cell, then sends it, and later it is
 * received. A second release of the same life may be overtaken by the first between any two of
 * these. Threads go in lock step here, so that it always is. */
#include "late_shim.h"
#include "owned.hpp"
#include "skip.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

using roma_tests::owned;

namespace {

constexpr size_t block_bytes = 64;
const std::vector<roma_misuse_kind> one_double_free = {ROMA_MISUSE_DOUBLE_FREE};

/* A thread that does what it is told and no more, while the teller waits. */
class follower {
  public:
    follower() : thread_([this] { follow(); }) {}
    follower(const follower &) = delete;
    follower &operator=(const follower &) = delete;
    ~follower() { end(); }

    void does(std::function<void()> step)
    {
        std::unique_lock<std::mutex> hold(lock_);
        step_ = std::move(step);
        changed_.notify_all();
        changed_.wait(hold, [this] { return step_ == nullptr; });
    }

    /* With all that is due at a thread's end. */
    void end()
    {
        if (!thread_.joinable())
            return;
        {
            const std::lock_guard<std::mutex> hold(lock_);
            is_over_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

  private:
    void follow()
    {
        std::unique_lock<std::mutex> hold(lock_);
        for (;;) {
            changed_.wait(hold, [this] { return is_over_ || step_ != nullptr; });
            if (step_ == nullptr)
                return;
            step_();
            step_ = nullptr;
            changed_.notify_all();
        }
    }

    std::mutex lock_;
    std::condition_variable changed_;
    std::function<void()> step_;
    bool is_over_ = false;
    std::thread thread_; /* last: it uses the others */
};

roma_cache *cache_of(owned &manager)
{
    roma_cache *cache = roma_cache_of(manager.self);
    REQUIRE(cache != nullptr);
    return cache;
}

/* A block that is signed, to be looked at again. */
struct signed_block {
    unsigned char *bytes;

    explicit signed_block(owned &manager, size_t length = block_bytes)
        : bytes(static_cast<unsigned char *>(manager.alloc(length)))
    {
        std::memset(bytes, 0x5A, block_bytes);
    }
    bool is_whole() const
    {
        return std::all_of(bytes, bytes + block_bytes, [](unsigned char b) { return b == 0x5A; });
    }
};

/* The look of a release at a block whose owner ends it before it is sent, and its slab with it. */
late_cell look_at_one_that_goes(owned &manager, void **address)
{
    follower owner;
    owner.does([&] { *address = manager.alloc(block_bytes); });
    const late_cell cell = late_look(*address);
    owner.does([&] { CHECK(roma_release(*address) == 0); });
    owner.end();
    return cell;
}

/* A manager, and a release on the calling thread that has looked, and was overtaken. */
struct overtaken {
    owned manager;
    void *address = nullptr;
    roma_cache *own = cache_of(manager);
    const late_cell cell = look_at_one_that_goes(manager, &address);
};

/* For two managers: memory for one extent, which they have one after the other. */
struct shared_region {
    static constexpr size_t bytes = 2 << 20;
    std::vector<char> memory = std::vector<char>(2 * bytes);
    roma_provider *provider = nullptr;

    shared_region()
    {
        roma_region_config config;
        std::memset(&config, 0, sizeof config);
        config.size = sizeof config;
        config.address = reinterpret_cast<char *>(
            (reinterpret_cast<uintptr_t>(memory.data()) + bytes - 1) / bytes * bytes);
        config.bytes = bytes;
        REQUIRE(roma_provider_region(&config, &provider, nullptr) == 0);
    }
    shared_region(const shared_region &) = delete;
    shared_region &operator=(const shared_region &) = delete;
    ~shared_region() { CHECK(roma_provider_unregister(provider) == 0); }

    roma_options options() const
    {
        roma_options made = roma_options_default();
        made.providers = &provider;
        made.providers_count = 1;
        made.growth_bytes = bytes;
        return made;
    }
};

} // namespace

/* ---- before it is sent ----------------------------------------------------------------------- */

TEST_CASE("a cell is not sent to the owner of a slab that has gone, but told as freed twice")
{
    SKIP_UNDER_TOOL();
    overtaken late;
    REQUIRE(late_heap(&late.cell) == nullptr);
    late_send(late.own, &late.cell);
    CHECK(late.manager.kinds() == one_double_free);
    CHECK(roma_manager_trim(late.manager.self, 0) >= 0);
    CHECK(roma_manager_check(late.manager.self) == 0);
    CHECK(late.manager.kinds() == one_double_free);
}

TEST_CASE("a cell is not sent where a large block stands by now, but told as freed twice")
{
    SKIP_UNDER_TOOL();
    overtaken late;
    const signed_block large(late.manager, 300000);
    REQUIRE(large.bytes == late_slab_base(&late.cell));
    REQUIRE(late_is_large(&late.cell));
    late_send(late.own, &late.cell);
    CHECK(late.manager.kinds() == one_double_free);
    CHECK(roma_manager_trim(late.manager.self, SIZE_MAX) == 0);
    CHECK(roma_count(large.bytes) == 1);
    CHECK(large.is_whole());
    CHECK(roma_manager_check(late.manager.self) == 0);
    CHECK(roma_release(large.bytes) == 0);
    CHECK(late.manager.kinds() == one_double_free);
}

TEST_CASE("a cell is not sent where another manager's block stands by now, but told as freed twice")
{
    SKIP_UNDER_TOOL();
    const shared_region region;
    owned first(region.options()), second(region.options());
    void *address = nullptr;
    roma_cache *own = cache_of(first);
    const late_cell cell = look_at_one_that_goes(first, &address);
    CHECK(roma_manager_trim(first.self, 0) > 0);
    const signed_block block(second);
    REQUIRE(block.bytes == address);
    REQUIRE(late_heap(&cell) != nullptr);
    late_send(own, &cell);
    CHECK(first.kinds() == one_double_free);
    CHECK(roma_manager_trim(first.self, SIZE_MAX) == 0);
    CHECK(roma_manager_trim(second.self, SIZE_MAX) == 0);
    CHECK(roma_manager_check(first.self) == 0);
    CHECK(roma_count(block.bytes) == 1);
    CHECK(block.is_whole());
    CHECK(roma_manager_check(second.self) == 0);
    CHECK(roma_release(block.bytes) == 0);
    CHECK(second.kinds().empty());
}

/* ---- before it is received ------------------------------------------------------------------- */

TEST_CASE("a batch for a cache that is another manager's by now is refused: its cell stays what it "
          "has become, and the second release is told to its manager")
{
    SKIP_UNDER_TOOL();
    owned first, second(ROMA_COUNTS_NONE);
    follower owner, sender, late_sender, heir;
    const void *object = nullptr;
    void *address = nullptr;
    owner.does([&] {
        object = cache_of(first);
        address = first.alloc(block_bytes);
    });
    for (follower *one : {&sender, &late_sender})
        one->does([&] { CHECK(roma_release(address) == 0); });
    sender.end(); /* what it sent is in the inbox */
    owner.end();  /* and received: no slab is left, and the cache is anybody's */
    const void *inherited = nullptr;
    heir.does([&] { inherited = cache_of(second); });
    REQUIRE(inherited == object);
    const signed_block again(first);
    REQUIRE(again.bytes == address);
    late_sender.end();

    bool has_met_it = false;
    heir.does([&] {
        /* Of another length, so that the inbox is looked into before a magazine is taken from. */
        CHECK(roma_release(second.alloc(4096)) == 0);
        std::vector<void *> blocks(6000);
        for (void *&block : blocks) {
            block = second.alloc(block_bytes);
            has_met_it = has_met_it || block == address;
            std::memset(block, 0, block_bytes);
        }
        for (void *block : blocks)
            CHECK(roma_release(block) == 0);
    });
    CHECK_FALSE(has_met_it);
    CHECK(first.kinds() == one_double_free);
    CHECK(second.kinds().empty());
    CHECK(again.is_whole());
    CHECK(roma_count(address) == 1);
    CHECK(roma_manager_trim(second.self, SIZE_MAX) == 0);
    CHECK(roma_manager_check(second.self) == 0);
    CHECK(roma_manager_trim(first.self, SIZE_MAX) == 0);
    CHECK(roma_manager_check(first.self) == 0);
    CHECK(roma_count(address) == 1);
    CHECK(roma_release(address) == 0);
    CHECK(first.kinds() == one_double_free);
}
