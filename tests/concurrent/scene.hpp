/* scene.hpp - what the concurrent tests share: managers over counted providers, blocks that say who
 * they are, a generator of random numbers, and failures that threads may report. */
#ifndef ROMA_TESTS_SCENE_HPP
#define ROMA_TESTS_SCENE_HPP

#include "catch.hpp"
#include "figure.hpp"
#include "sanitized.hpp"

#include <roma.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

namespace scene {

#ifdef ROMA_TESTS_UNDER_SANITIZER
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

inline unsigned long count_from(const char *variable, unsigned long otherwise)
{
    const char *text = std::getenv(variable);
    const unsigned long asked = text != nullptr ? std::strtoul(text, nullptr, 10) : 0;
    return asked > 0 ? asked : otherwise;
}

/* xorshift64*: each thread its own, so that a run can be repeated as far as threads allow. */
class random_numbers {
    uint64_t state;

public:
    explicit random_numbers(uint64_t seed) : state(seed * 0x9E3779B97F4A7C15u + 1) {}
    uint64_t next()
    {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        return state * 0x2545F4914F6CDD1Du;
    }
    uint64_t below(uint64_t bound) { return (next() >> 16) % bound; }
};

/* Catch2's assertions are for one thread. Threads count here, and the first sentence is kept. */
class failures {
    std::mutex lock;
    std::string first_text;
    std::atomic<unsigned long> total{0};

public:
    bool require(bool holds, const char *what)
    {
        if (!holds && total++ == 0) {
            const std::lock_guard<std::mutex> hold(lock);
            first_text = what;
        }
        return holds;
    }
    unsigned long count() const { return total; }
    std::string first()
    {
        const std::lock_guard<std::mutex> hold(lock);
        return first_text;
    }
};

/* ---- blocks that say who they are ------------------------------------------------------------ */

/* A block's bytes follow from its identity and their place: all of a small one, of a large one some
 * of every page and the end. */
constexpr size_t fully_written_bytes = 512;

template <typename function> void each_piece(size_t bytes, function call)
{
    const size_t step = bytes <= fully_written_bytes ? 8 : 2048;
    for (size_t at = 0; at < bytes; at += step)
        call(at, bytes - at < 8 ? bytes - at : 8);
    if (bytes > 0) {
        const size_t last = (bytes - 1) & ~size_t(7);
        call(last, bytes - last);
    }
}

inline uint64_t word_of(uint64_t identity, size_t at)
{
    return (identity + at) * 0x9E3779B97F4A7C15u;
}

inline void sign(void *block, size_t bytes, uint64_t identity)
{
    auto *data = static_cast<unsigned char *>(block);
    each_piece(bytes, [&](size_t at, size_t length) {
        const uint64_t word = word_of(identity, at);
        std::memcpy(data + at, &word, length);
    });
}

/* Does a block that was signed at a length of `bytes` still say so, as far as its first `upto`? */
inline bool is_signed(const void *block, size_t bytes, uint64_t identity, size_t upto = SIZE_MAX)
{
    const auto *data = static_cast<const unsigned char *>(block);
    bool same = true;
    each_piece(bytes, [&](size_t at, size_t length) {
        if (at >= upto)
            return;
        const uint64_t word = word_of(identity, at);
        same = same && std::memcmp(data + at, &word, upto - at < length ? upto - at : length) == 0;
    });
    return same;
}

/* ---- managers -------------------------------------------------------------------------------- */

inline uint64_t figure(roma_manager *manager, const char *key)
{
    roma_tests::sought_figure want{key};
    roma_manager_stats(manager, want.visit, &want);
    return want.is_found ? want.number : UINT64_MAX;
}

inline uint64_t figure(roma_provider *provider, const char *key)
{
    roma_tests::sought_figure want{key};
    roma_provider_stats(provider, want.visit, &want);
    return want.is_found ? want.number : UINT64_MAX;
}

/* A manager over a counting provider of its own; the end proves that nothing is left. */
class counted_manager {
    roma_provider *provider = nullptr;
    roma_manager *manager = nullptr;

public:
    explicit counted_manager(roma_pages pages, unsigned debug = 0,
                             roma_counts counts = ROMA_COUNTS_COUNTED)
    {
        REQUIRE(roma_provider_counting(roma_provider_anonymous(), &provider, nullptr) == 0);
        roma_request request = roma_request_default();
        roma_options options = roma_options_default();
        request.pages = pages;
        options.request = &request;
        options.providers = &provider;
        options.providers_count = 1;
        options.debug = debug;
        options.counts = counts;
        REQUIRE(roma_manager_create(&manager, &options, nullptr) == 0);
    }
    counted_manager(const counted_manager &) = delete;
    counted_manager &operator=(const counted_manager &) = delete;
    ~counted_manager() { end(); }

    roma_manager *self() const { return manager; }

    void end()
    {
        if (manager == nullptr)
            return;
        CHECK(figure(manager, "blocks.live") == 0);
        CHECK(figure(manager, "blocks.bytes") == 0);
        CHECK(figure(manager, "misuse.count") == 0);
        CHECK(figure(manager, "allocations.count") == figure(manager, "releases.count"));
        CHECK(roma_manager_check(manager) == 0);
        CHECK(roma_manager_trim(manager, 0) >= 0);
        CHECK(figure(manager, "extents.live") == 0);
        CHECK(figure(provider, "extents.live") == 0);
        CHECK(figure(provider, "extents.bytes") == 0);
        CHECK(figure(provider, "dispatch.extents") == 0);
        CHECK(roma_manager_destroy(manager) == 0);
        CHECK(roma_provider_unregister(provider) == 0);
        manager = nullptr;
    }
};

inline bool has_free_huge_pages(uint64_t least)
{
    roma_topology *now = nullptr;
    if (roma_topology_read("", &now, nullptr) != 0)
        return false;
    roma_pool_info pool = {};
    const size_t page_bytes = roma_topology_page_bytes(now, ROMA_PAGE_CLASS_HUGETLB);
    const bool has = page_bytes > 0 && roma_topology_pool(now, page_bytes, -1, &pool) == 0 &&
                     pool.free >= least;
    roma_topology_free(now);
    return has;
}

} // namespace scene

#endif
