/* stress.cpp - 16 threads allocate, resize, retain and release at random; every block is asked who
 * it is, how long it is and how often it is held.
 *
 * Blocks pass between threads through a table of slots. A slot holds one reference, taken and given
 * under the slot's lock; a thread that wants to use the block takes one of its own there and gives
 * it up later, anywhere. So blocks are retained and released by many threads at once and freed by
 * others than allocated them. Handles of weak blocks are copied out without a reference and tried
 * later, when the block may be gone and its address another block's.
 *
 * ROMA_STRESS_OPS is the number of operations a thread (1000000; sanitizers: 30000),
 * ROMA_STRESS_SEED the seed. Memory stays below 2 GiB: slots times the mean of the lengths. */
#include "scene.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using scene::failures;
using scene::random_numbers;

constexpr unsigned threads_count = 16, slots_count = 4096, own_count = 8;

struct held {
    void *address = nullptr;
    size_t bytes = 0;
    uint64_t identity = 0;
    bool weak = false;
};

struct slot {
    std::mutex lock;
    held block;
    /* of the weak block that stands or stood here */
    roma_block weak_handle = {nullptr, 0};
    size_t weak_bytes = 0;
    uint64_t weak_identity = 0;
};

struct stage {
    std::vector<roma_manager *> managers;
    std::array<slot, slots_count> slots;
    failures wrong;
    std::atomic<uint64_t> refused{0}, late{0}, in_time{0}, moved{0};
    std::atomic<bool> ended{false};
};

class actor {
    stage &on;
    random_numbers random;
    uint64_t identity; /* of the next block: thread in the high bits */
    std::array<held, own_count> own;

    bool require(bool holds, const char *what) { return on.wrong.require(holds, what); }

    size_t some_bytes()
    {
        const uint64_t kind = random.below(1000);
        if (kind < 20)
            return random.below(9);
        if (kind < 800)
            return random.below(513);
        if (kind < 980)
            return random.below(16 << 10);
        if (kind < 997)
            return random.below(256 << 10);
        return random.below((4 << 20) + 1);
    }

    void check(const held &block, const char *what)
    {
        require(scene::is_signed(block.address, block.bytes, block.identity), what);
        require(roma_bytes(block.address) == block.bytes, "a held block has another length");
    }

    held make()
    {
        held made;
        roma_manager *manager = on.managers[random.below(on.managers.size())];
        made.bytes = some_bytes();
        made.identity = identity++;
        const uint64_t how = random.below(16);
        if (how < 10) {
            made.address = roma_alloc(manager, made.bytes);
        } else if (how < 12) {
            made.address = roma_alloc_zeroed(manager, made.bytes);
            const auto *data = static_cast<const unsigned char *>(made.address);
            for (size_t at = 0; data != nullptr && at < made.bytes; at += 61)
                require(data[at] == 0, "a zeroed block does not read as zero");
        } else if (how < 13) {
            const size_t align = size_t(16) << random.below(13);
            made.address = roma_alloc_aligned(manager, made.bytes, align);
            require(reinterpret_cast<uintptr_t>(made.address) % align == 0,
                    "an aligned block is not aligned");
        } else {
            roma_request request = roma_request_default();
            request.bytes = made.bytes;
            request.weak = made.weak = true;
            made.address = roma_alloc_with(manager, &request, nullptr);
        }
        if (made.address == nullptr) {
            on.refused++;
            return {};
        }
        require(roma_count(made.address) == 1, "a new block has another count than 1");
        require(roma_manager_of(made.address) == manager, "a new block has another manager");
        scene::sign(made.address, made.bytes, made.identity);
        return made;
    }

    /* Our reference goes; whether the block does depends on the others. */
    void drop(held &block)
    {
        if (block.address == nullptr)
            return;
        check(block, "the bytes of a held block have changed");
        switch (random.below(3)) {
        case 0:
            require(roma_release(block.address) >= 0, "a held block could not be released");
            break;
        case 1: {
            roma_block handle = roma_block_of(block.address);
            require(handle.address == block.address, "a held block has no handle");
            require(roma_block_release(&handle) >= 0, "a held block's handle was refused");
            require(handle.address == nullptr, "a released handle was not cleared");
            break;
        }
        default: roma_free(block.address); break;
        }
        block = {};
    }

    void put()
    {
        held block = make();
        if (block.address == nullptr)
            return;
        slot &at = on.slots[random.below(slots_count)];
        {
            const std::lock_guard<std::mutex> hold(at.lock);
            std::swap(at.block, block);
            if (at.block.weak) {
                at.weak_handle = roma_block_of(at.block.address);
                at.weak_bytes = at.block.bytes;
                at.weak_identity = at.block.identity;
            }
        }
        drop(block);
    }

    void take(held &into)
    {
        drop(into);
        slot &at = on.slots[random.below(slots_count)];
        const std::lock_guard<std::mutex> hold(at.lock);
        if (at.block.address == nullptr)
            return;
        const int count = random.below(2) != 0 ? roma_retain(at.block.address)
                                               : roma_block_retain(roma_block_of(at.block.address));
        if (require(count >= 2, "a held block could not be retained"))
            into = at.block;
    }

    void try_weak()
    {
        slot &at = on.slots[random.below(slots_count)];
        held block;
        roma_block handle;
        {
            const std::lock_guard<std::mutex> hold(at.lock);
            handle = at.weak_handle;
            block = {handle.address, at.weak_bytes, at.weak_identity, true};
        }
        if (handle.address == nullptr)
            return;
        if (random.below(4) == 0)
            std::this_thread::yield();
        const int count = roma_block_try_retain(handle);
        if (count > 0) {
            on.in_time++;
            drop(block);
        } else {
            on.late++;
            require(count == -ESTALE, "a late try failed in another way than stale");
        }
    }

    /* A sole holder gets its block at another length, others get a copy; either way it is ours. */
    void resize(held &block)
    {
        if (block.address == nullptr || block.weak)
            return;
        const size_t bytes = some_bytes();
        void *now = roma_resize(block.address, bytes);
        if (now == nullptr) {
            require(errno == ENOMEM, "a resize failed in another way than for memory");
            check(block, "a failed resize changed the bytes");
            on.refused++;
            return;
        }
        if (now != block.address)
            on.moved++;
        require(scene::is_signed(now, block.bytes, block.identity, bytes),
                "a resize lost the bytes");
        block = {now, bytes, identity++, false};
        require(roma_bytes(now) == bytes, "a resized block has another length");
        require(roma_count(now) == 1, "a resized block has another count than 1");
        scene::sign(now, bytes, block.identity);
    }

    /* A block that nobody else knows: its counts and its end are exact. */
    void count_exactly()
    {
        held block = make();
        if (block.address == nullptr)
            return;
        const roma_block handle = roma_block_of(block.address);
        const int extra = static_cast<int>(random.below(random.below(100) == 0 ? 1200 : 6));
        bool exact = true;
        for (int i = 0; i < extra; i++)
            exact = exact && roma_retain(block.address) == i + 2;
        exact = exact && roma_count(block.address) == extra + 1;
        check(block, "the bytes of a private block have changed");
        for (int i = extra; i >= 0; i--)
            exact = exact && roma_release(block.address) == i;
        require(exact, "the counts of a private block are not exact");
        require(!roma_block_is_live(handle), "a freed block's handle is live");
        require(roma_block_retain(handle) == -ESTALE, "a freed block was retained");
    }

  public:
    actor(stage &stage, unsigned number, uint64_t seed)
        : on(stage), random(seed * 1000 + number), identity(uint64_t(number + 1) << 40)
    {}

    void act(unsigned long operations)
    {
        for (unsigned long i = 0; i < operations && on.wrong.count() == 0; i++) {
            held &mine = own[random.below(own_count)];
            switch (random.below(16)) {
            case 0:
            case 1:
            case 2:
            case 3: put(); break;
            case 4:
            case 5:
            case 6:
            case 7: take(mine); break;
            case 8:
            case 9: try_weak(); break;
            case 10: count_exactly(); break;
            case 11: drop(mine); break;
            case 12:
            case 13: resize(mine); break;
            default:
                drop(mine);
                mine = make();
                break;
            }
        }
        for (held &mine : own)
            drop(mine);
    }
};

/* Trim and the figures run all the time beside the others. */
void look_on(stage &on)
{
    const int nowhere = open("/dev/null", O_WRONLY);
    uint64_t rounds = 0;
    while (!on.ended) {
        for (roma_manager *manager : on.managers) {
            on.wrong.require(roma_manager_trim(manager, rounds % 2 != 0 ? 0 : 16 << 20) >= 0,
                             "trim failed");
            on.wrong.require(scene::figure(manager, "blocks.live") < 100000,
                             "live blocks are absurd");
            on.wrong.require(roma_manager_json(manager, nowhere) == 0,
                             "the figures failed as JSON");
        }
        rounds++;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    close(nowhere);
}

} // namespace

TEST_CASE("16 threads allocate, resize, retain and release at random, and every block stays itself",
          "[stress]")
{
    const unsigned long operations = scene::count_from("ROMA_STRESS_OPS",
                                                       scene::is_sanitized ? 30000 : 1000000);
    const unsigned long seed = scene::count_from("ROMA_STRESS_SEED", 1);
    INFO("ROMA_STRESS_SEED=" << seed << " ROMA_STRESS_OPS=" << operations);
    const scene::counted_manager ordinary(ROMA_PAGES_DEFAULT), base(ROMA_PAGES_BASE);
    std::unique_ptr<scene::counted_manager> huge;
    const auto on = std::make_unique<stage>();
    on->managers = {ordinary.self(), base.self()};
    if (scene::has_free_huge_pages(16)) { /* when they run out, its ladder goes on to others */
        huge = std::make_unique<scene::counted_manager>(ROMA_PAGES_HUGETLB);
        on->managers.push_back(huge->self());
    }

    std::vector<std::thread> threads;
    for (unsigned i = 0; i < threads_count; i++)
        threads.emplace_back([&on, i, seed, operations] { actor(*on, i, seed).act(operations); });
    std::thread watcher(look_on, std::ref(*on));
    for (std::thread &thread : threads)
        thread.join();
    on->ended = true;
    watcher.join();

    for (slot &at : on->slots) {
        if (at.block.address == nullptr)
            continue;
        on->wrong.require(scene::is_signed(at.block.address, at.block.bytes, at.block.identity),
                          "the bytes of a block in a slot have changed");
        on->wrong.require(roma_count(at.block.address) == 1, "a block in a slot is held by others");
        on->wrong.require(roma_release(at.block.address) == 0, "the last release did not free");
    }
    INFO(on->wrong.first());
    CHECK(on->wrong.count() == 0);
    CHECK(on->in_time > 0); /* weak handles were met both ways, and resizes did move */
    CHECK(on->late > 0);
    CHECK(on->moved > 0);
    CHECK(on->refused == 0);
}
