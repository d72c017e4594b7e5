/* prefetch_cpus.cpp - an engine whose threads may not be moved to where they are to run: that is
 * told by whatever way, and no engine runs elsewhere instead. */
#include "engine.hpp"
#include "faulty.hpp"

#include <cerrno>
#include <string>

using namespace roma_tests;

namespace {

void check_refused(roma_prefetch_way way, int code, const char *call)
{
    roma_prefetch_options options = owned_engine::with_way(way);
    options.cpus = "0-8191";
    roma_prefetch_engine *engine = nullptr;
    roma_error error = {};
    CHECK(roma_prefetch_create(&engine, &options, &error) == code);
    CHECK(engine == nullptr);
    CHECK(std::string(error.call != nullptr ? error.call : "none") == call);
}

} // namespace

TEMPLATE_TEST_CASE("threads that may not be moved are an error, by whatever way", "[prefetch]",
                   by_ring, by_threads)
{
    SKIP_WITHOUT(owned_engine(TestType::way));
    faulty table;
    table.calls.set_affinity = [](size_t, const void *) {
        errno = EPERM;
        return -1;
    };
    check_refused(TestType::way, -EPERM, "sched_setaffinity");
    check_refused(ROMA_PREFETCH_AUTO, -EPERM, "sched_setaffinity");
    CHECK(owned_engine(TestType::way).lacks.empty()); /* who says nothing has one */
}

TEST_CASE("a ring whose workers cannot be kept where its thread is leaves that to threads",
          "[prefetch]")
{
    SKIP_WITHOUT(owned_engine(ROMA_PREFETCH_URING));
    faulty table;
    table.calls.get_affinity = [](size_t, void *) {
        errno = ENOSYS;
        return -1;
    };
    check_refused(ROMA_PREFETCH_URING, -ENOSYS, "sched_getaffinity");
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_AUTO);
    options.cpus = "0-8191";
    CHECK(owned_engine(options).report().way == ROMA_PREFETCH_POOL);
}
