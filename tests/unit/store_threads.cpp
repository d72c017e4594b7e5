/* store_threads.cpp - several threads in one session: references are the session's, whoever gives
 * them up, and lanes outlive threads. */
#include "stores.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

using namespace roma_tests;

namespace {

template <typename function> void in_thread(const function &work)
{
    std::thread(work).join();
}

/* Threads take turns: each waits for the stage that another one sets. */
void await(const std::atomic<int> &stage, int wanted)
{
    while (stage != wanted)
        std::this_thread::yield();
}

struct lanes {
    uint32_t count = 0;
    static int visit(void *context, const roma_store_session *session)
    {
        static_cast<lanes *>(context)->count += session->lanes;
        return 0;
    }
};

uint32_t lanes_of(roma_store *store)
{
    lanes found;
    REQUIRE(roma_store_sessions(store, lanes::visit, &found) == 0);
    return found.count;
}

} // namespace

TEST_CASE("a thread gives up what another one got, and the owner has it back", "[store]")
{
    open_store store(memory_store());
    std::vector<void *> blocks(3000);
    REQUIRE(roma_store_alloc_batch(store, 64, blocks.data(), blocks.size()) == 3000);
    in_thread([&] {
        CHECK(roma_store_retain(store, blocks[0]) == 0);
        CHECK(roma_store_release_batch(store, blocks.data(), blocks.size()) == 0);
        CHECK(roma_store_release(store, blocks[0]) == 0);
    });
    CHECK(roma_store_trim(store, 0) >= 0);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("what the owner's thread left behind when it ended can still be given up", "[store]")
{
    open_store store(memory_store());
    void *small = nullptr, *large = nullptr;
    in_thread([&] {
        small = roma_store_alloc(store, 64);
        large = roma_store_alloc(store, 1 << 20);
    });
    CHECK(live_blocks(store) == 2);
    CHECK(roma_store_release(store, large) == 0);
    CHECK(roma_store_release(store, small) == 0);
    CHECK(live_blocks(store) == 0); /* nobody else will look: who gave it up did */
}

TEST_CASE("what was sent to an owner that holds no more itself is taken from the cell", "[store]")
{
    open_store store(memory_store());
    roma_ref *const root = roma_store_root(store, 0);
    void *block = nullptr;
    std::atomic<int> stage{0};
    std::thread owner([&] {
        block = roma_store_alloc(store, 64);
        CHECK(roma_store_link(store, root, block) == 0);
        stage = 1;
        await(stage, 2);
        CHECK(roma_store_release(store, block) == 0); /* its one local reference */
        CHECK(roma_store_trim(store, 0) >= 0);        /* looks at what was sent */
        stage = 3;
        await(stage, 4);
    });
    await(stage, 1);
    CHECK(roma_store_release(store, block) == 0); /* sent */
    CHECK(roma_store_load(store, root) == block); /* by a cell: the owner gives this one up */
    stage = 2;
    await(stage, 3);
    roma_store_block seen;
    CHECK(roma_store_look(store, block, &seen) == 0);
    CHECK(seen.local_count == 0);
    CHECK(seen.shared_count == 1); /* the root alone, no cell */
    stage = 4;
    owner.join();
    CHECK(roma_store_release_from(store, root) == 1);
    CHECK(roma_store_trim(store, 0) >= 0);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("what was sent to a thread before it ended is taken over with its lane", "[store]")
{
    open_store store(memory_store());
    void *block = nullptr;
    std::atomic<int> stage{0};
    std::thread owner([&] {
        block = roma_store_alloc(store, 64);
        stage = 1;
        await(stage, 2);
    });
    await(stage, 1);
    CHECK(roma_store_release(store, block) == 0); /* sent */
    stage = 2;
    owner.join();
    int code = -1;
    in_thread([&] { code = roma_store_release(store, roma_store_alloc(store, 64)); });
    CHECK(code == 0);
    CHECK(lanes_of(store) == 2);
    CHECK(live_blocks(store) == 0);
}

TEST_CASE("a thread takes over the lane of one that ended", "[store]")
{
    open_store store(memory_store());
    for (int i = 0; i < 200; i++)
        in_thread([&] { CHECK(roma_store_release(store, roma_store_alloc(store, 64)) == 0); });
    CHECK(lanes_of(store) == 1);
}

TEST_CASE("what idle lanes keep is used before the file grows", "[store]")
{
    enum { THREADS = 30 };
    open_store store(memory_store());
    std::vector<std::thread> threads;
    std::atomic<int> ready{0}, failures{0};
    for (int i = 0; i < THREADS; i++)
        threads.emplace_back([&] {
            void *block = roma_store_alloc(store, 40000); /* of a slab of 6 units */
            ready++;
            await(ready, THREADS);
            if (roma_store_release(store, block) != 0)
                failures++;
        });
    for (std::thread &thread : threads)
        thread.join();
    REQUIRE(failures == 0);
    const uint64_t committed = figure_of(store, "store.committed_bytes");
    const uint64_t kept = figure_of(store, "store.slabs_bytes");
    REQUIRE(kept == THREADS * 6 * 65536);
    const uint64_t wanted = figure_of(store, "store.free_bytes") + kept / 2;
    std::vector<void *> blocks;
    for (uint64_t got = 0; got < wanted; got += 2 * 65536) {
        blocks.push_back(roma_store_alloc(store, 100000));
        REQUIRE(blocks.back() != nullptr);
    }
    CHECK(figure_of(store, "store.committed_bytes") == committed);
    CHECK(roma_store_release_batch(store, blocks.data(), blocks.size()) == 0);
}

TEST_CASE("what a lane was told is looked at before the file grows", "[store]")
{
    enum { COUNT = 30 };
    const bool has_ended = GENERATE(true, false); /* the thread whose lane it is */
    store_path path;
    open_store one(path.c_str(), true), two(path.c_str(), false);
    const roma_store_request request = roma_store_request_of(1 << 20);
    unsigned made = 0;
    const auto fill = [&] {
        for (unsigned i = 0; i < COUNT; i++)
            made += roma_store_alloc_into(one, roma_store_root(one, i), &request) != nullptr;
    };
    CHECK(roma_store_release(one, roma_store_alloc(one, 64)) == 0); /* this thread has a lane */
    if (has_ended)
        in_thread(fill);
    else
        fill();
    REQUIRE(made == COUNT);
    const uint64_t committed = figure_of(one, "store.committed_bytes");
    const uint64_t wanted = figure_of(one, "store.free_bytes") + (COUNT << 20) / 2;
    for (unsigned i = 0; i < COUNT; i++)
        CHECK(roma_store_release_from(two, roma_store_root(two, i)) == 1);
    std::vector<void *> blocks;
    for (uint64_t got = 0; got < wanted; got += 1 << 20) {
        blocks.push_back(roma_store_alloc(one, 1 << 20));
        REQUIRE(blocks.back() != nullptr);
    }
    CHECK(figure_of(one, "store.committed_bytes") == committed);
    CHECK(roma_store_release_batch(one, blocks.data(), blocks.size()) == 0);
}

TEST_CASE("a thread may have several stores open, and outlive them", "[store]")
{
    std::thread thread;
    std::atomic<int> stage{0}, failures{0};
    {
        open_store one(memory_store()), two(memory_store());
        thread = std::thread([&, first = one.self, second = two.self] {
            for (int i = 0; i < 100; i++) {
                void *a = roma_store_alloc(first, 64), *b = roma_store_alloc(second, 64);
                if (roma_store_release(first, a) != 0 || roma_store_release(second, b) != 0)
                    failures++;
            }
            stage = 1;
            await(stage, 2);
            roma_store *third = nullptr; /* perhaps where one of the others was */
            const roma_store_options options = small_store();
            if (roma_store_create_memory("third", &options, &third, nullptr) != 0 ||
                roma_store_release(third, roma_store_alloc(third, 64)) != 0 ||
                roma_store_close(third) != 0)
                failures++;
        });
        await(stage, 1);
    }
    stage = 2;
    thread.join();
    CHECK(failures == 0);
}

TEST_CASE("threads of one session hand blocks around through slots and pointers", "[store]")
{
    open_store store(memory_store());
    std::mutex lock;
    std::vector<void *> common;
    std::vector<std::thread> threads;
    std::atomic<int> failures{0};
    for (unsigned number = 0; number < 4; number++)
        threads.emplace_back([&, number] {
            unsigned seed = number;
            roma_store_request request = roma_store_request_of(100);
            request.refs_count = 2;
            for (int i = 0; i < 4000; i++) {
                seed = seed * 1103515245 + 12345;
                roma_ref *root = roma_store_root(store, seed / 65536 % 5);
                void *mine = nullptr;
                switch (seed / 4096 % 6) {
                case 0: mine = roma_store_alloc_with(store, &request); break;
                case 1: mine = roma_store_load(store, root); break;
                case 2: mine = roma_store_take(store, root); break;
                case 3: (void)roma_store_release_from(store, root); break;
                case 4: (void)roma_store_alloc_into(store, root, &request); break;
                default: mine = roma_store_alloc(store, 3000); break;
                }
                if (mine != nullptr && seed / 8 % 2 == 0)
                    (void)roma_store_relink(store, root, mine);
                if (mine != nullptr && seed / 16 % 8 == 0) {
                    if (roma_store_retain(store, mine) != 0 || roma_store_release(store, mine) != 0)
                        failures++;
                }
                void *given = mine;
                {
                    const std::lock_guard<std::mutex> hold(lock);
                    if (mine != nullptr)
                        common.push_back(mine);
                    given = nullptr;
                    if (common.size() > 50) {
                        const size_t at = seed / 32 % common.size();
                        given = common[at];
                        common[at] = common.back();
                        common.pop_back();
                    }
                }
                if (given != nullptr && roma_store_release(store, given) != 0)
                    failures++;
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    CHECK(failures == 0);
    CHECK(faults_of(store) == "");
    CHECK(roma_store_release_batch(store, common.data(), common.size()) == 0);
    for (unsigned i = 0; i < 5; i++)
        CHECK(roma_store_release_from(store, roma_store_root(store, i)) >= 0);
    CHECK(roma_store_trim(store, 0) >= 0);
    CHECK(live_blocks(store) == 0);
}
