/* session_files.cpp - the part of the scripted session that reads files ahead.
 *
 * By plain calls, on the session's own thread: the same calls in the same order at each run. The
 * ways that have threads are failed in prefetch.cpp. */
#include "session_judge.hpp"

#include <roma/prefetch.h>

#include <cerrno>

namespace session {
namespace {

constexpr size_t long_bytes = size_t(5) << 20;

void end_handle(const char *call, roma_prefetch_handle *handle, size_t n)
{
    counted(call, roma_prefetch_wait(handle, ROMA_FOREVER));
    counted("eventfd", roma_prefetch_eventfd(handle));
    roma_prefetch_progress progress = {};
    progress.size = sizeof progress;
    require(roma_prefetch_progress_of(handle, &progress) == 0, call, "no progress");
    require(progress.done_bytes + progress.failed_bytes + progress.cancelled_bytes ==
                progress.total_bytes,
            call, "bytes are missing");
    for (size_t i = 0; i < n; i++) {
        roma_error error = {};
        judged(call, roma_prefetch_range_error(handle, i, &error), error);
    }
    roma_prefetch_close(handle);
}

void use_map(roma_prefetch_engine *engine, roma_map *map)
{
    const roma_file_range ranges[] = {roma_file_range_of(map, 0, long_bytes),
                                      roma_file_range_of(map, 6 << 20, 5000)};
    roma_error error = {};
    roma_residency residency = {};
    residency.size = sizeof residency;
    judged("residency", roma_residency_of(ranges, 2, &residency, &error), error);
    for (int level = ROMA_PREFETCH_ISSUED; level <= ROMA_PREFETCH_MAPPED; level++) {
        if (level == ROMA_PREFETCH_RESIDENT) { /* once: the disk is slower than all the rest */
            error = {};
            judged("evict", roma_evict(ranges, 2, ROMA_EVICT_DROP, &error), error);
        }
        roma_prefetch_handle *handle = nullptr;
        error = {};
        if (judged("submit",
                   roma_prefetch_submit(engine, ranges, 2, static_cast<roma_prefetch_level>(level),
                                        &handle, &error),
                   error))
            end_handle("prefetch", handle, 2);
    }
    roma_prefetch_handle *handle = nullptr;
    error = {};
    if (judged("flush", roma_flush_submit(engine, ranges, 2, &handle, &error), error))
        end_handle("flush", handle, 2);
    counted("refresh", roma_map_refresh(map));
}

} // namespace

void use_files(int fd)
{
    where = "files";
    roma_prefetch_options options = roma_prefetch_options_default();
    options.way = ROMA_PREFETCH_PLAIN;
    roma_prefetch_engine *engine = nullptr;
    roma_error error = {};
    if (!judged("engine", roma_prefetch_create(&engine, &options, &error), error)) {
        require(engine == nullptr, "engine", "one in spite of an error");
        return;
    }
    roma_map *map = nullptr;
    error = {};
    if (judged("map", roma_map_open_fd(fd, nullptr, &map, &error), error)) {
        use_map(engine, map);
        require(roma_map_close(map) == 0, "map", "it cannot be closed");
    }
    require(roma_prefetch_destroy(engine) == 0, "engine", "it cannot be destroyed");
}

} // namespace session
