/* prefetch_threads.cpp - an engine in a process that may have no more threads: neither it nor the
 * kernel, for its workers, can start one. Whoever is there already does the work. */
#include "child.hpp"
#include "disk_file.hpp"
#include "engine.hpp"

#include <cerrno>
#include <sys/resource.h>
#include <vector>

using namespace roma_tests;

namespace {

constexpr uid_t NOBODY_ELSE = 65531; /* whose processes are counted: not root's, nor a service's */

enum : int { IS_WELL, IS_NOT_LIMITED, IS_WRONG };

/* From here on this process starts no thread. */
bool start_none_any_more()
{
    const struct rlimit none = {0, 0};
    if (geteuid() == 0 && (setgid(NOBODY_ELSE) != 0 || setuid(NOBODY_ELSE) != 0))
        return false;
    if (setrlimit(RLIMIT_NPROC, &none) != 0)
        return false;
    const pid_t child = fork();
    if (child == 0)
        _exit(0);
    return child < 0 && errno == EAGAIN;
}

bool is_done(roma_prefetch_handle *handle)
{
    roma_prefetch_progress progress = {};
    progress.size = sizeof progress;
    const bool done = roma_prefetch_wait(handle, ROMA_FOREVER) == 0 &&
                      roma_prefetch_progress_of(handle, &progress) == 0 &&
                      progress.done_bytes == progress.total_bytes && progress.total_bytes > 0;
    roma_prefetch_close(handle);
    return done;
}

bool reads(roma_prefetch_engine *engine, const std::vector<roma_file_range> &ranges,
           roma_prefetch_level level)
{
    roma_prefetch_handle *handle = nullptr;
    posix_fadvise(ranges[0].fd, 0, 0, POSIX_FADV_DONTNEED);
    return roma_prefetch_submit(engine, ranges.data(), ranges.size(), level, &handle, nullptr) ==
               0 &&
           is_done(handle);
}

bool flushes(roma_prefetch_engine *engine, const roma_file_range &range)
{
    roma_prefetch_handle *handle = nullptr;
    return roma_flush_submit(engine, &range, 1, &handle, nullptr) == 0 && is_done(handle);
}

/* What the child does; the engine is made while threads may still be started. */
int read_without_threads(const disk_file &file, void *address, roma_prefetch_way way)
{
    roma_prefetch_engine *engine = nullptr;
    const roma_prefetch_options options = owned_engine::with_way(way);
    if (roma_prefetch_create(&engine, &options, nullptr) != 0)
        return IS_WRONG;
    if (!start_none_any_more())
        return IS_NOT_LIMITED;
    const roma_file_range all = roma_file_range_own(file.fd, 0, address, file.bytes);
    std::vector<roma_file_range> apart;
    for (size_t at = 0; at + 4096 <= file.bytes; at += 65536)
        apart.push_back(roma_file_range_own(file.fd, at, static_cast<char *>(address) + at, 4096));
    bool well = flushes(engine, all);
    for (auto level : {ROMA_PREFETCH_ISSUED, ROMA_PREFETCH_RESIDENT, ROMA_PREFETCH_MAPPED})
        well = reads(engine, {all}, level) && reads(engine, apart, level) && well;
    return roma_prefetch_destroy(engine) == 0 && well ? IS_WELL : IS_WRONG;
}

} // namespace

TEMPLATE_TEST_CASE("a process that may have no more threads reads, and flushes", "[prefetch]",
                   by_ring, by_threads, by_plain_calls)
{
    SKIP_WITHOUT(owned_engine(TestType::way));
    FILE_ON_DISK(file, 12 * MiB);
    void *address = mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.fd, 0);
    REQUIRE(address != MAP_FAILED);
    const int seen = in_child([&] { return read_without_threads(file, address, TestType::way); });
    munmap(address, file.bytes);
    if (seen == IS_NOT_LIMITED)
        SKIP_TEST("this process may start threads beyond RLIMIT_NPROC");
    CHECK(seen == IS_WELL);
}
