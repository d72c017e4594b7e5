/* prefetch_executor.cpp - each system call failed at its N-th use while a file provider populates
 * and advises through an engine: the calls return, with an error that has a name, and nothing is
 * left behind. */
#include "descriptors.hpp"
#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"
#include "filed.hpp"

#include <roma.h>

#include <cerrno>
#include <climits>

using namespace roma_tests;

namespace {

void check(int code, const roma_error &error)
{
    REQUIRE(code <= 0);
    if (code < 0) {
        REQUIRE(error.code == code);
        REQUIRE(error.why != ROMA_WHY_NONE);
    }
}

} // namespace

TEMPLATE_TEST_CASE("each call failed while files go through an engine is told, and leaks nothing",
                   "[prefetch]", by_ring, by_threads, by_plain_calls)
{
    FILE_ON_DISK(beside, MiB);
    filed pages(beside, 8 * MiB);
    SKIP_WITHOUT(pages);
    pages.write_pattern();
    roma_provider *const provider = pages.self;
    const roma_range all = pages.all();
    const int before = open_descriptors();
    for (int number : {ENOMEM, EIO, EMFILE}) {
        for (bool for_good : {false, true}) {
            for (long n = 1;; n++) {
                INFO("call " << n << (for_good ? " and on" : "") << ", errno " << number);
                /* The table is there before the engine's threads are, and nothing fails yet. */
                fail_nth faults(LONG_MAX, number, for_good);
                faults.table.calls.thread_join = roma__sys_kernel.thread_join;
                faults.table.calls.write = roma__sys_kernel.write;
                owned_engine engine(TestType::way);
                SKIP_WITHOUT(engine);
                const roma_executor executor = engine.executor();
                (void)roma_provider_sync(provider, &all, nullptr);
                (void)roma_provider_advise(provider, &all, ROMA_ADVICE_PAGEOUT, nullptr, nullptr);
                fail_nth::left = n;
                const roma_populate_options options = {sizeof options, 2, &executor};
                roma_error error = {};
                int code = roma_provider_populate(provider, &all, &options, &error);
                check(code, error);
                for (roma_advice advice :
                     {ROMA_ADVICE_NEED, ROMA_ADVICE_COLD, ROMA_ADVICE_PAGEOUT}) {
                    code = roma_provider_advise(provider, &all, advice, &executor, &error);
                    check(code, error);
                }
                REQUIRE(roma_prefetch_drain(engine.self, ROMA_FOREVER) == 0);
                fail_nth::left = LONG_MAX;
                if (!fail_nth::reached)
                    break;
            }
        }
    }
    CHECK(open_descriptors() == before);
}
