/* races.cpp - two or more threads at the end of a block's life: one of them frees, the others are
 * told; at once where the manager is exact, one drain later where threads own their blocks.
 *
 * Each round starts the threads at the same moment by a barrier on which they spin; what they were
 * answered is judged together afterwards. */
#include "scene.hpp"

#include <cerrno>
#include <functional>
#include <thread>
#include <vector>

namespace {

class barrier {
    const unsigned parties;
    std::atomic<unsigned> waiting{0}, round{0};

  public:
    explicit barrier(unsigned count) : parties(count) {}
    void wait()
    {
        const unsigned mine = round.load(std::memory_order_acquire);
        if (waiting.fetch_add(1, std::memory_order_acq_rel) + 1 == parties) {
            waiting.store(0, std::memory_order_relaxed);
            round.store(mine + 1, std::memory_order_release);
            return;
        }
        for (unsigned spins = 0; round.load(std::memory_order_acquire) == mine; spins++)
            if (spins % 256 == 255)
                std::this_thread::yield();
    }
};

constexpr unsigned racers_max = 4;

/* `rounds` times: prepare, all racers at once, judge. Returns how often judge said yes. */
unsigned race(unsigned racers, unsigned rounds, const std::function<bool()> &prepare,
              const std::function<void(unsigned)> &run, const std::function<bool()> &judge)
{
    barrier start(racers + 1), finish(racers + 1);
    std::atomic<bool> ended{false};
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < racers; i++)
        threads.emplace_back([&, i] {
            for (;;) {
                start.wait();
                if (ended)
                    return;
                run(i);
                finish.wait();
            }
        });
    unsigned good = 0;
    for (unsigned round = 0; round < rounds; round++) {
        if (!prepare())
            break;
        start.wait();
        finish.wait();
        good += judge();
    }
    ended = true;
    start.wait();
    for (std::thread &thread : threads)
        thread.join();
    return good;
}

unsigned rounds_count()
{
    return scene::is_sanitized ? 1000 : 20000;
}

const size_t lengths[] = {0, 24, 500, 4096, 40000};

} // namespace

TEST_CASE("of racing releases of one handle exactly one frees and the others are stale", "[race]")
{
    const scene::counted_manager manager(ROMA_PAGES_BASE, 0, ROMA_COUNTS_EXACT);
    const unsigned racers = GENERATE(2u, racers_max);
    roma_block handles[racers_max];
    int results[racers_max];
    unsigned round = 0;
    CHECK(race(
              racers, rounds_count(),
              [&] {
                  void *block = roma_alloc(manager.self(), lengths[round++ % 5]);
                  for (roma_block &handle : handles)
                      handle = roma_block_of(block);
                  return block != nullptr;
              },
              [&](unsigned i) { results[i] = roma_block_release(&handles[i]); },
              [&] {
                  unsigned freed = 0, stale = 0;
                  for (unsigned i = 0; i < racers; i++) {
                      freed += results[i] == 0 && handles[i].address == nullptr;
                      stale += results[i] == -ESTALE && handles[i].address != nullptr;
                  }
                  return freed == 1 && stale == racers - 1;
              }) == rounds_count());
}

TEST_CASE("of racing releases of one pointer exactly one frees and the others are told", "[race]")
{
    const scene::counted_manager manager(ROMA_PAGES_BASE, 0, ROMA_COUNTS_EXACT);
    void *block = nullptr, *kept = roma_alloc(manager.self(), 24);
    int results[racers_max];
    CHECK(race(
              racers_max, rounds_count(),
              [&] { return (block = roma_alloc(manager.self(), 24)) != nullptr; },
              [&](unsigned i) { results[i] = roma_release(block); },
              [&] {
                  unsigned freed = 0, stale = 0;
                  for (int result : results) {
                      freed += result == 0;
                      stale += result == -ESTALE;
                  }
                  return freed == 1 && stale == racers_max - 1;
              }) == rounds_count());
    CHECK(roma_release(kept) == 0);
}

/* Each release says that it was the last or is told that it came too late, and what says the former
 * is told the latter when the owner looks: as many releases as were made, less the one that
 * freed. */
TEST_CASE(
    "of racing releases of a block that a thread owns one frees, the others are told in the end",
    "[race]")
{
    const bool owner_races = GENERATE(false, true);
    std::atomic<unsigned> told{0};
    roma_options options = roma_options_default();
    options.on_misuse = [](void *context, const roma_misuse *misuse) {
        if (misuse->kind == ROMA_MISUSE_DOUBLE_FREE)
            ++*static_cast<std::atomic<unsigned> *>(context);
    };
    options.misuse_context = &told;
    roma_manager *manager = nullptr;
    REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    void *block = nullptr;
    int results[racers_max];
    unsigned stale = 0;
    /* The first racer allocates the block, in a round of its own, and so is its owner. */
    unsigned round = 0;
    const unsigned rounds = rounds_count();
    CHECK(race(
              racers_max, 2 * rounds,
              [&] {
                  round++;
                  return true;
              },
              [&](unsigned i) {
                  const bool makes = round % 2 != 0;
                  if (makes && i == 0)
                      block = roma_alloc(manager, lengths[round / 2 % 5]);
                  if (!makes)
                      results[i] = i > 0 || owner_races ? roma_release(block) : -ESTALE;
              },
              [&] {
                  if (round % 2 != 0)
                      return block != nullptr;
                  unsigned freed = 0;
                  for (int result : results) {
                      freed += result == 0;
                      stale += result == -ESTALE;
                  }
                  /* What is on its way arrives. */
                  return freed >= 1 && roma_manager_trim(manager, SIZE_MAX) >= 0 &&
                         scene::figure(manager, "blocks.live") == 0;
              }) == 2 * rounds);
    INFO("stale " << stale << ", told " << told << ", owner races " << owner_races);
    CHECK(stale + told == rounds * (racers_max - 1));
    CHECK((told > 0 || scene::is_sanitized)); /* under a memory tool all are told at once */
    CHECK(roma_manager_check(manager) == 0);
    CHECK(roma_manager_destroy(manager) == 0);
}

TEST_CASE("a try to retain wins against the last release or is stale, and never both", "[race]")
{
    const scene::counted_manager manager(ROMA_PAGES_BASE);
    roma_request request = roma_request_default();
    request.weak = true;
    roma_block handle = {nullptr, 0};
    int released = 0, tried = 0;
    unsigned won = 0, lost = 0, round = 0;
    CHECK(race(
              2, rounds_count(),
              [&] {
                  request.bytes = lengths[round++ % 5];
                  void *block = roma_alloc_with(manager.self(), &request, nullptr);
                  handle = roma_block_of(block);
                  return block != nullptr;
              },
              [&](unsigned i) {
                  if (i == 0) {
                      roma_block mine = handle;
                      released = roma_block_release(&mine);
                  } else {
                      if (round % 3 == 0)
                          std::this_thread::yield();
                      tried = roma_block_try_retain(handle);
                  }
              },
              [&] {
                  if (tried == -ESTALE) {
                      lost++;
                      return released == 0 && !roma_block_is_live(handle);
                  }
                  won++;
                  const bool ours = tried == 2 ? released == 1 : false;
                  return ours && roma_release(handle.address) == 0;
              }) == rounds_count());
    INFO("won " << won << ", lost " << lost);
    CHECK(won + lost == rounds_count());
}

TEST_CASE("racing retains and releases of a shared block add up", "[race]")
{
    const scene::counted_manager manager(ROMA_PAGES_BASE);
    void *block = roma_alloc(manager.self(), 100);
    REQUIRE(block != nullptr);
    std::vector<std::thread> threads;
    std::atomic<unsigned> wrong{0};
    const unsigned rounds = rounds_count();
    REQUIRE(roma_retain(block) == 2);
    for (unsigned i = 0; i < racers_max;
         i++) /* past the word's bits into the side table and back */
        threads.emplace_back([&] {
            for (unsigned round = 0; round < rounds / 400; round++) {
                for (unsigned k = 0; k < 400; k++)
                    wrong += roma_retain(block) < 3;
                for (unsigned k = 0; k < 400; k++)
                    wrong += roma_release(block) < 2;
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    CHECK(wrong == 0);
    CHECK(roma_count(block) == 2);
    CHECK(roma_release(block) == 1);
    CHECK(roma_release(block) == 0);
}

TEST_CASE("threads that resize a block that they share each get one of their own", "[race]")
{
    const scene::counted_manager manager(ROMA_PAGES_BASE);
    void *block = nullptr;
    void *results[2] = {};
    unsigned round = 0;
    size_t bytes = 0;
    CHECK(race(
              2, rounds_count() / 4,
              [&] {
                  bytes = lengths[round++ % 5];
                  block = roma_alloc(manager.self(), bytes);
                  if (block == nullptr || roma_retain(block) != 2)
                      return false;
                  scene::sign(block, bytes, round);
                  return true;
              },
              [&](unsigned i) {
                  results[i] = roma_resize(block, bytes + 100);
                  if (results[i] != nullptr)
                      static_cast<char *>(results[i])[bytes + 99] = static_cast<char>(i);
              },
              [&] {
                  bool good = results[0] != nullptr && results[1] != nullptr &&
                              results[0] != results[1];
                  for (unsigned i = 0; good && i < 2; i++)
                      good = roma_count(results[i]) == 1 && roma_bytes(results[i]) == bytes + 100 &&
                             static_cast<char *>(results[i])[bytes + 99] == static_cast<char>(i) &&
                             scene::is_signed(results[i], bytes, round);
                  for (void *result : results)
                      roma_free(result);
                  return good;
              }) == rounds_count() / 4);
}
