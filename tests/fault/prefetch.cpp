/* prefetch.cpp - each system call of the engine failed at its N-th use, once and for good, in each
 * of its ways, until none is left: every call returns, every byte is accounted for, and nothing is
 * left behind.
 *
 * Two entries are not failed. Joining a thread is done in any case, for the test to be able to go
 * on. Writing to an event descriptor, by which the ring's thread is woken, is not failed for good:
 * it has no failure that the kernel knows, and without it there is nobody to tell of one. */
#include "descriptors.hpp"
#include "disk_file.hpp"
#include "emulated.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include <cerrno>
#include <cstdio>

using namespace roma_tests;

namespace {

struct held {
    int descriptors, mappings;
};

held look()
{
    held now = {open_descriptors(), 0};
    if (FILE *maps = std::fopen("/proc/self/maps", "r")) {
        char line[512];
        while (std::fgets(line, sizeof line, maps) != nullptr)
            now.mappings += std::strstr(line, "roma-test") != nullptr;
        std::fclose(maps);
    }
    return now;
}

void check_handle(roma_prefetch_handle *handle, size_t n)
{
    const int code = roma_prefetch_wait(handle, uint64_t(60) * 1000000000);
    REQUIRE(code != -ETIMEDOUT);
    roma_prefetch_progress progress = {};
    progress.size = sizeof progress;
    REQUIRE(roma_prefetch_progress_of(handle, &progress) == 0);
    REQUIRE(adds_up(progress));
    size_t failed = 0;
    for (size_t i = 0; i < n; i++) {
        roma_error error = {};
        const int own = roma_prefetch_range_error(handle, i, &error);
        failed += own != 0;
        if (own != 0)
            REQUIRE(error.why != ROMA_WHY_NONE);
    }
    REQUIRE(failed == progress.failed_ranges);
    REQUIRE((code == 0) == (failed == 0));
    roma_prefetch_close(handle);
}

/* Everything once. Errors are fine as long as they are told. */
void use_all(const disk_file &file, roma_prefetch_way way)
{
    roma_prefetch_options options = owned_engine::with_way(way);
    roma_prefetch_engine *engine = nullptr;
    roma_error error = {};
    if (roma_prefetch_create(&engine, &options, &error) != 0) {
        REQUIRE(error.code < 0);
        return;
    }
    roma_map *map = nullptr;
    if (roma_map_open_fd(file.fd, nullptr, &map, &error) == 0) {
        const roma_file_range ranges[] = {roma_file_range_of(map, 0, 6 * MiB),
                                          roma_file_range_of(map, 7 * MiB, 300000),
                                          roma_file_range_of(map, 8 * MiB - 5, 5)};
        (void)roma_evict(ranges, 3, ROMA_EVICT_DROP, &error);
        roma_residency residency = {};
        residency.size = sizeof residency;
        (void)roma_residency_of(ranges, 3, &residency, &error);
        for (roma_prefetch_level level :
             {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED}) {
            roma_prefetch_handle *handle = nullptr;
            if (roma_prefetch_submit(engine, ranges, 3, level, &handle, &error) != 0)
                continue;
            const int fd = roma_prefetch_eventfd(handle);
            REQUIRE(
                (fd >= 0 || fd == -EIO || fd == -EPERM || fd == -ENOMEM)); /* as it was failed */
            check_handle(handle, 3);
            (void)roma_evict(ranges, 3, ROMA_EVICT_DROP, &error);
        }
        roma_prefetch_handle *handle = nullptr;
        if (roma_flush_submit(engine, ranges, 3, &handle, &error) == 0)
            check_handle(handle, 3);
        (void)roma_map_refresh(map);
        REQUIRE(roma_map_close(map) == 0);
    }
    REQUIRE(roma_prefetch_destroy(engine) == 0);
}

} // namespace

TEMPLATE_TEST_CASE("each call of the engine failed at its N-th use is told, and leaks nothing",
                   "[prefetch]", by_ring, by_threads, by_plain_calls)
{
    SKIP_WHERE_EMULATED();
    {
        owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
    }
    disk_file file(8 * MiB);
    use_all(file, TestType::way);
    const struct {
        int error;
        bool for_good, without_cachestat;
    } rows[] = {{ENOMEM, false, false}, {ENOMEM, true, false}, {EPERM, false, false},
                {EPERM, true, false},   {EIO, false, false},   {EIO, true, false},
                {ENOMEM, false, true},  {ENOMEM, true, true}};
    for (const auto &row : rows) {
        long n = 1;
        for (;; n++) {
            INFO("call " << n << (row.for_good ? " and on" : "") << ", errno " << row.error
                         << (row.without_cachestat ? ", without cachestat" : ""));
            const held before = look();
            {
                fail_nth faults(n, row.error, row.for_good);
                faults.table.calls.thread_join = roma__sys_kernel.thread_join;
                if (row.for_good)
                    faults.table.calls.write = roma__sys_kernel.write;
                if (row.without_cachestat)
                    faults.table.calls.cachestat = [](int, const void *, void *, unsigned) {
                        errno = ENOSYS;
                        return -1;
                    };
                use_all(file, TestType::way);
            }
            const held after = look();
            REQUIRE(after.descriptors == before.descriptors);
            REQUIRE(after.mappings == before.mappings);
            if (!fail_nth::reached)
                break;
        }
        CHECK(n > 20);
    }
    use_all(file, TestType::way);
}
