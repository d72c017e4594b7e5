/* engine.hpp - a prefetch engine for the time of a test, in one of the three ways, and handles that
 * close themselves. */
#ifndef ROMA_TESTS_ENGINE_HPP
#define ROMA_TESTS_ENGINE_HPP

#include "catch.hpp"
#include "figure.hpp"
#include "sanitized.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <cstring>
#include <string>

namespace roma_tests {

struct by_ring {
    static constexpr roma_prefetch_way way = ROMA_PREFETCH_URING;
};
struct by_threads {
    static constexpr roma_prefetch_way way = ROMA_PREFETCH_POOL;
};
struct by_plain_calls {
    static constexpr roma_prefetch_way way = ROMA_PREFETCH_PLAIN;
};

class owned_engine {
  public:
    roma_prefetch_engine *self = nullptr;
    std::string lacks; /* not empty: cannot be here */

    explicit owned_engine(roma_prefetch_options options)
    {
        roma_error error = {};
        char text[256];
        if (roma_prefetch_create(&self, &options, &error) != 0)
            lacks = roma_error_text(&error, text, sizeof text);
        else if (!report().populate)
            lacks = "this kernel has no MADV_POPULATE_READ";
    }
    explicit owned_engine(roma_prefetch_way way) : owned_engine(with_way(way)) {}
    owned_engine(const owned_engine &) = delete;
    owned_engine &operator=(const owned_engine &) = delete;
    ~owned_engine() { CHECK(roma_prefetch_destroy(self) == 0); }

    static roma_prefetch_options with_way(roma_prefetch_way way)
    {
        roma_prefetch_options options = roma_prefetch_options_default();
        options.way = way;
        return options;
    }

    roma_prefetch_report report() const
    {
        roma_prefetch_report report = {};
        report.size = sizeof report;
        REQUIRE(roma_prefetch_backend(self, &report) == 0);
        return report;
    }

    roma_executor executor() const
    {
        roma_executor executor = {};
        REQUIRE(roma_prefetch_executor(self, &executor) == 0);
        return executor;
    }

    uint64_t figure(const char *wanted) const
    {
        sought_figure want{wanted};
        REQUIRE(roma_prefetch_stats(self, want.visit, &want) == 0);
        REQUIRE(want.is_found);
        return want.number;
    }
};

class owned_handle {
  public:
    roma_prefetch_handle *self = nullptr;

    owned_handle() = default;
    owned_handle(const owned_engine &engine, const roma_file_range *ranges, size_t n,
                 roma_prefetch_level level = ROMA_PREFETCH_RESIDENT)
    {
        REQUIRE(roma_prefetch_submit(engine.self, ranges, n, level, &self, nullptr) == 0);
    }
    owned_handle(const owned_engine &engine, const roma_file_range &range,
                 roma_prefetch_level level = ROMA_PREFETCH_RESIDENT)
        : owned_handle(engine, &range, 1, level)
    {
    }
    owned_handle(const owned_handle &) = delete;
    owned_handle &operator=(const owned_handle &) = delete;
    ~owned_handle() { roma_prefetch_close(self); }

    int wait() { return roma_prefetch_wait(self, ROMA_FOREVER); }

    roma_prefetch_progress progress()
    {
        roma_prefetch_progress progress = {};
        progress.size = sizeof progress;
        REQUIRE(roma_prefetch_progress_of(self, &progress) == 0);
        return progress;
    }
};

/* A handle of a flush. */
class owned_flush : public owned_handle {
  public:
    owned_flush(const owned_engine &engine, const roma_file_range *ranges, size_t n)
    {
        REQUIRE(roma_flush_submit(engine.self, ranges, n, &self, nullptr) == 0);
    }
    owned_flush(const owned_engine &engine, const roma_file_range &range)
        : owned_flush(engine, &range, 1)
    {
    }
};

/* Every byte of a done handle is accounted for. */
inline bool adds_up(const roma_prefetch_progress &progress)
{
    return progress.planned &&
           progress.done_bytes + progress.failed_bytes + progress.cancelled_bytes ==
               progress.total_bytes &&
           progress.resident_bytes + progress.joined_bytes <= progress.done_bytes;
}

} // namespace roma_tests

/* Where a way cannot be here, the test is left out by name. */
#define SKIP_WITHOUT(engine)                                                                       \
    if (!(engine).lacks.empty())                                                                   \
    SKIP_TEST((engine).lacks)

#endif
