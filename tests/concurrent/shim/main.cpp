/* main.cpp - threads that allocate from the malloc shim, in a process in which nothing else does.
 *
 *   concurrent_shim [forks]      settings as for libroma_malloc.so: ROMA_POLICY and so on
 *
 * As in traffic.cpp a lane is a mailbox and one thread at a time, followed by others. A thread
 * takes blocks of all lengths by all calls, resizes them, sends them to other lanes and frees what
 * it finds in its own; when it ends it has freed what it kept, but for one block, which a
 * destructor of the C library's frees after the shim has let the thread's cache go. Meanwhile a
 * watcher asks for figures, writes the report and trims, and with `forks` the main thread makes
 * children that allocate, free, ask and trim.
 *
 * Each block's bytes say which block it is. In the end, since nobody else calls the shim, its
 * figures are exact: all that was taken was released. Without a background thread the heaps prove
 * themselves; with one what is free goes back behind the idle program.
 *
 * Says how much was done, and ends with 0; or with 1, after a sentence, when something was wrong.
 *
 * ROMA_STRESS_OPS is the number of operations of all lanes together (100000; sanitizers: 6000),
 * ROMA_STRESS_SEED the seed. */
#include "concurrent/scene.hpp"
#include "concurrent/shim/inside.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <pthread.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

using scene::failures;
using scene::random_numbers;

constexpr unsigned lanes_count = 6, own_count = 6, heirlooms_count = 32, forks_count = 6;
constexpr size_t heirloom_bytes = 1 << 20;

struct parcel {
    void *address = nullptr;
    size_t bytes = 0;
    uint64_t identity = 0;
};

struct lane {
    std::mutex lock;
    std::vector<parcel> mail;
};

lane lanes[lanes_count];
std::atomic<uint64_t> identities{1}, passed{0}, moved{0}, refused{0}, looks{0}, farewells{0};
std::atomic<bool> is_over{false};
failures wrong;

void check(const parcel &block)
{
    wrong.require(scene::is_signed(block.address, block.bytes, block.identity),
                  "the bytes of a block have changed");
}

/* ---- one thread ------------------------------------------------------------------------------ */

class inhabitant {
    const unsigned number;
    random_numbers random;
    parcel own[own_count];

    size_t some_bytes()
    {
        const uint64_t kind = random.below(1000);
        if (kind < 500)
            return size_t(16) << random.below(5);
        if (kind < 850)
            return random.below(4000);
        if (kind < 970)
            return random.below(256 << 10);
        if (kind < 996)
            return (256 << 10) + random.below(1 << 20);
        return (2 << 20) + random.below(4 << 20);
    }

    void *zeroed(size_t bytes)
    {
        auto *block = static_cast<unsigned char *>(shim_calloc(1, bytes));
        for (size_t at = 0; block != nullptr && at < bytes; at += 509)
            wrong.require(block[at] == 0, "a zeroed block does not read as zero");
        return block;
    }

    void *aligned(size_t bytes)
    {
        const size_t align = size_t(16) << random.below(13);
        void *block = nullptr;
        switch (random.below(3)) {
        case 0: block = shim_aligned_alloc(align, bytes); break;
        case 1: block = shim_memalign(align, bytes); break;
        default:
            if (shim_posix_memalign(&block, align, bytes) != 0)
                block = nullptr;
            break;
        }
        wrong.require(reinterpret_cast<uintptr_t>(block) % align == 0,
                      "an aligned block is not aligned");
        return block;
    }

    /* Of no bytes at no address where there is no memory. */
    parcel make()
    {
        const size_t bytes = some_bytes();
        const uint64_t how = random.below(8);
        void *block = how == 0 ? zeroed(bytes) : how == 1 ? aligned(bytes) : shim_malloc(bytes);
        if (block == nullptr) {
            refused++;
            return {};
        }
        const parcel made = {block, bytes, identities++};
        wrong.require(shim_malloc_usable_size(block) >= bytes, "a block is shorter than asked for");
        scene::sign(block, bytes, made.identity);
        return made;
    }

    void end(parcel &block)
    {
        check(block);
        if (random.below(4) == 0)
            shim_free_sized(block.address, block.bytes);
        else
            shim_free(block.address);
        block = {};
    }

    void resize(parcel &block)
    {
        const size_t bytes = 1 + (random.below(2) != 0 ? some_bytes() : block.bytes * 3 / 2);
        void *now = shim_realloc(block.address, bytes);
        if (now == nullptr) {
            refused++;
            check(block);
            return;
        }
        moved += now != block.address;
        wrong.require(scene::is_signed(now, block.bytes, block.identity, bytes),
                      "a resize lost the bytes");
        block = {now, bytes, identities++};
        scene::sign(now, bytes, block.identity);
    }

    void send(parcel &block)
    {
        lane &to = lanes[random.below(lanes_count)];
        const std::lock_guard<std::mutex> hold(to.lock);
        to.mail.push_back(block);
        block = {};
    }

    void take_in()
    {
        std::vector<parcel> mail;
        {
            lane &mine = lanes[number];
            const std::lock_guard<std::mutex> hold(mine.lock);
            mail.swap(mine.mail);
        }
        for (parcel &block : mail)
            end(block);
        passed += mail.size();
    }

  public:
    inhabitant(unsigned lane, uint64_t seed) : number(lane), random(seed) {}

    /* Returns what is to be freed after the thread's end. */
    parcel live(unsigned long operations)
    {
        for (unsigned long i = 0; i < operations && wrong.count() == 0; i++) {
            parcel &mine = own[random.below(own_count)];
            if (mine.address == nullptr)
                mine = make();
            else if (random.below(4) == 0)
                resize(mine);
            else if (random.below(2) == 0)
                send(mine);
            else
                end(mine);
            if (random.below(16) == 0)
                take_in();
            if (random.below(1000) == 0)
                (void)shim_malloc_trim(random.below(8 << 20));
        }
        for (parcel &mine : own)
            if (mine.address != nullptr)
                end(mine);
        return make();
    }
};

/* ---- after its end --------------------------------------------------------------------------- */

/* Of a key that is made after the shim's and the heap's, whose destructors so come before. */
pthread_key_t last_words;

void say_last_words(void *value)
{
    const auto *kept = static_cast<const parcel *>(value);
    check(*kept);
    shim_free(kept->address);
    delete kept;
    for (const size_t bytes : {24, 3000, 100000, 400000}) {
        void *block = shim_malloc(bytes);
        if (block == nullptr) {
            refused++;
            continue;
        }
        scene::sign(block, bytes, bytes);
        wrong.require(scene::is_signed(block, bytes, bytes),
                      "a block of a thread that ends has other bytes");
        shim_free(block);
    }
    farewells++;
}

/* ---- all of them ----------------------------------------------------------------------------- */

void populate(unsigned number, uint64_t seed, unsigned long operations)
{
    random_numbers random(seed * lanes_count + number);
    for (unsigned long done = 0; done < operations && wrong.count() == 0;) {
        const unsigned long life = 20 + random.below(500);
        const uint64_t own_seed = random.next();
        std::thread([number, own_seed, life] {
            const parcel kept = inhabitant(number, own_seed).live(life);
            if (kept.address != nullptr)
                pthread_setspecific(last_words, new parcel(kept));
        }).join();
        done += life;
    }
}

void watch()
{
    for (uint64_t rounds = 0; !is_over; rounds++) {
        wrong.require(inside_mallinfo_held() < size_t(1) << 40, "what is held is absurd");
        wrong.require(inside_figures_now().blocks_live < 1000000, "live blocks are absurd");
        inside_report();
        if (rounds % 16 == 0)
            (void)shim_malloc_trim(rounds % 32 == 0 ? 0 : 16 << 20);
        looks++;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

/* ---- children -------------------------------------------------------------------------------- */

/* What a child does; 0 is well. A lock that was held at the fork would stop it: hence the alarm. */
int live_on(const std::vector<parcel> &heirlooms)
{
    alarm(60);
    for (const parcel &block : heirlooms) {
        if (!scene::is_signed(block.address, block.bytes, block.identity))
            return 2;
        shim_free(block.address);
    }
    void *blocks[64];
    for (unsigned i = 0; i < 64; i++) {
        const size_t bytes = size_t(1) << i % 21;
        blocks[i] = shim_malloc(bytes / 2);
        if (blocks[i] != nullptr)
            scene::sign(blocks[i], bytes / 2, i);
        void *longer = blocks[i] == nullptr ? nullptr : shim_realloc(blocks[i], bytes);
        if (longer == nullptr && !inside_has_limit())
            return 3;
        if (longer == nullptr) {
            shim_free(blocks[i]);
            blocks[i] = nullptr;
            continue;
        }
        if (!scene::is_signed(longer, bytes / 2, i))
            return 4;
        scene::sign(longer, bytes, i);
        blocks[i] = longer;
    }
    inside_report();
    for (unsigned i = 0; i < 64; i++) {
        if (blocks[i] != nullptr && !scene::is_signed(blocks[i], size_t(1) << i % 21, i))
            return 5;
        shim_free(blocks[i]);
    }
    (void)shim_malloc_trim(0);
    return inside_mallinfo_held() < size_t(1) << 40 ? 0 : 6;
}

void make_children(const std::vector<parcel> &heirlooms)
{
    for (unsigned i = 0; i < forks_count; i++) {
        const pid_t child = fork();
        if (child == 0)
            _exit(live_on(heirlooms));
        int status = -1;
        if (child > 0)
            waitpid(child, &status, 0);
        if (status != 0)
            std::fprintf(stderr, "a child's status is %d\n", status);
        wrong.require(status == 0, "a child did not do well");
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
}

/* ---- the program ----------------------------------------------------------------------------- */

std::vector<parcel> make_heirlooms()
{
    std::vector<parcel> made;
    for (unsigned i = 0; i < heirlooms_count; i++) {
        void *block = shim_malloc(heirloom_bytes);
        if (block == nullptr) {
            refused++;
            continue;
        }
        made.push_back({block, heirloom_bytes, identities++});
        scene::sign(block, heirloom_bytes, made.back().identity);
    }
    return made;
}

void act(const std::vector<parcel> &heirlooms, bool forks)
{
    const unsigned long operations = scene::count_from("ROMA_STRESS_OPS",
                                                       scene::is_sanitized ? 6000 : 100000);
    const unsigned long seed = scene::count_from("ROMA_STRESS_SEED", 1);
    std::thread watcher(watch);
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < lanes_count; i++)
        threads.emplace_back(populate, i, seed, operations / lanes_count);
    if (forks)
        make_children(heirlooms);
    for (std::thread &thread : threads)
        thread.join();
    is_over = true;
    watcher.join();
}

void end_all(const std::vector<parcel> &blocks)
{
    for (const parcel &block : blocks) {
        check(block);
        shim_free(block.address);
    }
}

/* The heirlooms alone were more than what may be left. */
bool goes_back()
{
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (inside_mallinfo_held() >= heirlooms_count * heirloom_bytes / 4) {
        if (std::chrono::steady_clock::now() > limit)
            return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

void judge()
{
    const inside_figures figures = inside_figures_now();
    wrong.require(figures.takes == figures.releases && figures.blocks_live == 0,
                  "more was taken than released");
    wrong.require(figures.bytes_live == 0, "bytes are left");
    wrong.require(passed > 0 && moved > 0 && looks > 0 && farewells > 0, "something was not done");
    wrong.require((refused > 0) == inside_has_limit(),
                  "memory was refused without a limit, or not");
    if (inside_has_background())
        wrong.require(goes_back(), "what is free does not go back behind an idle program");
    else
        wrong.require(inside_faults() == 0, "a heap is damaged");
}

} // namespace

int main(int argc, char **argv)
{
    const std::vector<parcel> heirlooms = make_heirlooms();
    if (pthread_key_create(&last_words, say_last_words) != 0)
        return 2;
    act(heirlooms, argc > 1 && std::strcmp(argv[1], "forks") == 0);
    end_all(heirlooms);
    for (const lane &at : lanes)
        end_all(at.mail);
    judge();
    std::printf("%u heaps: %llu passed, %llu moved, %llu refused, %llu looks, %llu threads\n",
                inside_heaps_count(), (unsigned long long)passed, (unsigned long long)moved,
                (unsigned long long)refused, (unsigned long long)looks,
                (unsigned long long)farewells);
    if (wrong.count() > 0)
        std::fprintf(stderr, "concurrent_shim: %s\n", wrong.first().c_str());
    return wrong.count() == 0 ? 0 : 1;
}
