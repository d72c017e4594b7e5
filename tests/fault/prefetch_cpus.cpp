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

    table.calls.set_affinity = roma__sys_kernel.set_affinity;
    table.calls.get_affinity = [](size_t, void *) {
        errno = ENOSYS;
        return -1;
    };
    check_refused(TestType::way, -ENOSYS, "sched_getaffinity");
}
