/* traffic.cpp - blocks that are freed by others than allocated them, in all directions, while
 * threads come and go.
 *
 * A lane is a mailbox and one thread at a time, which lives for some hundred operations and is then
 * followed by another. A thread puts most of its blocks into the mailboxes of other lanes and frees
 * what it finds in its own; when it ends, blocks of its slabs are in the mailboxes still, so that
 * its caches are orphans with releases on their way, and the threads that follow adopt them or take
 * their slabs over. One more thread trims the manager and asks for its figures all the time.
 *
 * Each block's bytes say which block it is. In the end none is left, no release was misuse, the
 * manager proves itself, and all extents are given back.
 *
 * ROMA_STRESS_OPS is the number of operations for each of ten runs' lanes together (1000000;
 * sanitizers: 30000), ROMA_STRESS_SEED the seed. */
#include "scene.hpp"

#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace {

using scene::failures;
using scene::random_numbers;

constexpr unsigned lanes_max = 16;

struct parcel {
    void *address = nullptr;
    size_t bytes = 0;
    uint64_t identity = 0;
    bool is_shared = false; /* its maker may hold a reference for a moment more */
};

struct lane {
    std::mutex lock;
    std::vector<parcel> mail;
};

struct town {
    roma_manager *manager = nullptr;
    bool has_counts = true;
    unsigned lanes_count = 0;
    lane lanes[lanes_max];
    std::atomic<uint64_t> identities{1}, passed{0};
    std::atomic<bool> is_over{false};
    failures wrong;
};

class inhabitant {
    town &of;
    const unsigned number;
    random_numbers random;

    bool require(bool holds, const char *what) { return of.wrong.require(holds, what); }

    /* Mostly a few lengths, so that slabs fill up; some of any class; now and then a large one. */
    size_t some_bytes()
    {
        const uint64_t kind = random.below(1000);
        if (kind < 700)
            return size_t(16) << random.below(5);
        if (kind < 950)
            return 1 + random.below(2000);
        if (kind < 999)
            return 1 + random.below(64 << 10);
        return (256 << 10) + random.below(64 << 10);
    }

    parcel make(void *address, size_t bytes)
    {
        const parcel made = {address, bytes, of.identities++, false};
        if (require(address != nullptr, "no memory"))
            scene::sign(address, bytes, made.identity);
        return made;
    }

    /* Give up the reference that came with it, by one of the ways to do so. */
    void end(const parcel &block)
    {
        require(scene::is_signed(block.address, block.bytes, block.identity),
                "the bytes of a block have changed");
        require(roma_usable(block.address) >= block.bytes, "a block is shorter than it was");
        switch (random.below(5)) {
        case 0: {
            const int left = roma_release(block.address);
            require(left == 0 || (left == 1 && block.is_shared), "a release says what cannot be");
            break;
        }
        case 1: roma_free(block.address); break;
        case 2: roma_free_sized(block.address, block.bytes); break;
        case 3: roma_free_batch(&block.address, 1); break;
        default:
            if (roma_cache *cache = roma_cache_of(of.manager))
                roma_cache_free(cache, block.address, block.bytes);
            else
                require(false, "no cache");
            break;
        }
    }

    void send(const parcel &block)
    {
        lane &to = of.lanes[random.below(of.lanes_count)];
        const std::lock_guard<std::mutex> hold(to.lock);
        to.mail.push_back(block);
    }

    /* Two references, one here and one there: whoever is later frees. */
    void share(parcel block)
    {
        block.is_shared = true;
        require(roma_retain(block.address) == 2, "a block of two holders has another count");
        send(block);
        require(roma_release(block.address) >= 0, "a held block could not be released");
    }

    void send_some()
    {
        void *blocks[24];
        const size_t bytes = some_bytes(), count = 1 + random.below(24);
        if (count < 4 || bytes > 4096) {
            send(make(roma_alloc(of.manager, bytes), bytes));
            return;
        }
        const bool is_made = roma_alloc_batch(of.manager, bytes, blocks, count) == 0;
        for (size_t i = 0; require(is_made, "no memory for a batch") && i < count; i++)
            send(make(blocks[i], bytes));
    }

    void take_in(size_t most)
    {
        std::vector<parcel> mail;
        {
            lane &mine = of.lanes[number];
            const std::lock_guard<std::mutex> hold(mine.lock);
            if (mine.mail.size() <= most) {
                mail.swap(mine.mail);
            } else {
                mail.assign(mine.mail.end() - static_cast<std::ptrdiff_t>(most), mine.mail.end());
                mine.mail.resize(mine.mail.size() - most);
            }
        }
        for (const parcel &block : mail)
            end(block);
        of.passed += mail.size();
    }

  public:
    inhabitant(town &town, unsigned lane, uint64_t seed) : of(town), number(lane), random(seed) {}

    void live(unsigned long operations)
    {
        for (unsigned long i = 0; i < operations && of.wrong.count() == 0; i++) {
            switch (random.below(8)) {
            case 0:
            case 1: send_some(); break;
            case 2:
                if (of.has_counts) {
                    const size_t bytes = some_bytes();
                    share(make(roma_alloc(of.manager, bytes), bytes));
                }
                break;
            case 3: { /* a cell that is in use for a moment */
                const size_t bytes = some_bytes();
                end(make(roma_alloc(of.manager, bytes), bytes));
                break;
            }
            default: take_in(8 + random.below(32)); break;
            }
        }
    }
};

/* One thread after the other. The last one leaves its mail to the test's own. */
void populate(town &of, unsigned number, uint64_t seed, unsigned long operations)
{
    random_numbers random(seed * lanes_max + number);
    for (unsigned long done = 0; done < operations && of.wrong.count() == 0;) {
        const unsigned long life = 20 + random.below(1000);
        const uint64_t own_seed = random.next();
        std::thread([&of, number, own_seed, life] {
            inhabitant(of, number, own_seed).live(life);
        }).join();
        done += life;
    }
}

void trim_on_and_on(town &of)
{
    for (uint64_t rounds = 0; !of.is_over; rounds++) {
        of.wrong.require(roma_manager_trim(of.manager, rounds % 2 != 0 ? 0 : 16 << 20) >= 0,
                         "trim failed");
        if (rounds % 16 == 0)
            of.wrong.require(scene::figure(of.manager, "misuse.count") == 0,
                             "a release was taken for misuse");
        std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
}

void run_town(town &of, uint64_t seed, unsigned long operations)
{
    std::thread trimmer(trim_on_and_on, std::ref(of));
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < of.lanes_count; i++)
        threads.emplace_back(populate, std::ref(of), i, seed, operations / of.lanes_count);
    for (std::thread &thread : threads)
        thread.join();
    of.is_over = true;
    trimmer.join();
    for (lane &at : of.lanes)
        for (const parcel &block : at.mail) {
            of.wrong.require(scene::is_signed(block.address, block.bytes, block.identity),
                             "the bytes of a block in a mailbox have changed");
            of.wrong.require(roma_release(block.address) == 0, "the last release did not free");
        }
}

} // namespace

TEST_CASE(
    "blocks freed by other threads than made them, by threads that come and go, all come home",
    "[traffic]")
{
    const roma_counts counts = GENERATE(ROMA_COUNTS_NONE, ROMA_COUNTS_COUNTED, ROMA_COUNTS_EXACT);
    const unsigned lanes = GENERATE(2u, 5u, lanes_max);
    const unsigned long operations = scene::count_from("ROMA_STRESS_OPS",
                                                       scene::is_sanitized ? 30000 : 1000000) /
                                     10;
    const unsigned long seed = scene::count_from("ROMA_STRESS_SEED", 1);
    INFO("ROMA_STRESS_SEED=" << seed << ", operations " << operations << ", counts " << counts
                             << ", lanes " << lanes);
    scene::counted_manager manager(ROMA_PAGES_BASE, 0, counts);
    const auto of = std::make_unique<town>();
    of->manager = manager.self();
    of->has_counts = counts != ROMA_COUNTS_NONE;
    of->lanes_count = lanes;
    run_town(*of, seed, operations);
    INFO(of->wrong.first());
    CHECK(of->wrong.count() == 0);
    CHECK(of->passed > operations / 10);
    manager.end();
}
