/* owned.hpp - a manager of a test's own, that collects misuse and is destroyed with the test. */
#ifndef ROMA_TESTS_OWNED_HPP
#define ROMA_TESTS_OWNED_HPP

#include "catch.hpp"
#include "figure.hpp"
#include "sanitized.hpp"

#include <roma.h>

#include <cstring>
#include <mutex>
#include <vector>

namespace roma_tests {

class owned {
public:
    roma_manager *self = nullptr;

    explicit owned(roma_options options = roma_options_default())
    {
        options.misuse_context = this;
        options.on_misuse = [](void *context, const roma_misuse *misuse) {
            auto *me = static_cast<owned *>(context);
            const std::lock_guard<std::mutex> hold(me->lock_);
            me->kinds_.push_back(misuse->kind);
        };
        REQUIRE(roma_manager_create(&self, &options, nullptr) == 0);
    }
    explicit owned(roma_counts counts) : owned(with_counts(counts)) {}
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;
    ~owned() { CHECK(roma_manager_destroy(self) == 0); }

    void *alloc(size_t bytes)
    {
        void *block = roma_alloc(self, bytes);
        REQUIRE(block != nullptr);
        return block;
    }

    /* The misuse told of so far. */
    std::vector<roma_misuse_kind> kinds()
    {
        const std::lock_guard<std::mutex> hold(lock_);
        return kinds_;
    }

    uint64_t figure(const char *wanted)
    {
        sought_figure want{wanted};
        roma_manager_stats(self, want.visit, &want);
        REQUIRE(want.is_found);
        return want.number;
    }

private:
    static roma_options with_counts(roma_counts counts)
    {
        roma_options options = roma_options_default();
        options.counts = counts;
        return options;
    }

    std::mutex lock_;
    std::vector<roma_misuse_kind> kinds_;
};

/* Whether a memory tool watches, which makes every manager exact. */
inline bool under_tool()
{
    roma_options options = roma_options_default();
    options.counts = ROMA_COUNTS_NONE;
    owned manager(options);
    void *block = manager.alloc(16);
    const bool is_counted = roma_retain(block) == 2;
    if (is_counted)
        CHECK(roma_release(block) == 1);
    CHECK(roma_release(block) == 0);
    return is_counted;
}

} // namespace roma_tests

#define SKIP_UNDER_TOOL()                                                                          \
    do {                                                                                           \
        if (roma_tests::under_tool())                                                              \
            SKIP_TEST("a memory tool watches: every manager is exact");                            \
    } while (0)

#endif
