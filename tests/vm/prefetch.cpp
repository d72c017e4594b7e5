/* prefetch.cpp - where io_uring is forbidden, by the machine or to a process, prefetch goes on by
 * threads, says why, and a file and a scan of it come into memory all the same.
 *
 * The machine forbids it by kernel.io_uring_disabled, which Linux has since 6.6; a process is
 * forbidden it by a seccomp filter, as containers have one, on any kernel. */
#include "disk_file.hpp"
#include "engine.hpp"
#include "skip.hpp"

#include <roma/prefetch.h>

#include <cerrno>
#include <cstddef>
#include <fstream>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

using namespace roma_tests;

namespace {

const char switch_path[] = "/proc/sys/kernel/io_uring_disabled";

/* Refuse io_uring_setup from now on. */
bool refuse_rings()
{
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog program = {sizeof code / sizeof code[0], code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* All of a cold file, by one request and then by a scan. 0, or the line that found a fault. */
int read_in_all_ways(const disk_file &file, roma_prefetch_way expected)
{
    roma_prefetch_engine *engine = nullptr;
    roma_prefetch_report report = {};
    report.size = sizeof report;
    if (roma_prefetch_create(&engine, nullptr, nullptr) != 0 ||
        roma_prefetch_backend(engine, &report) != 0)
        return __LINE__;
    if (report.way != expected)
        return __LINE__;
    if (expected != ROMA_PREFETCH_URING &&
        (report.steps_count == 0 || report.steps[0].way != ROMA_PREFETCH_URING ||
         report.steps[0].error.code != -EPERM))
        return __LINE__;
    roma_file_range whole = file.range(0, file.bytes);
    roma_prefetch_handle *handle = nullptr;
    if (!file.chill() ||
        roma_prefetch_submit(engine, &whole, 1, ROMA_PREFETCH_RESIDENT, &handle, nullptr) != 0 ||
        roma_prefetch_wait(handle, ROMA_FOREVER) != 0 || file.came(0, file.bytes) < file.bytes)
        return __LINE__;
    roma_prefetch_close(handle);
    if (!file.chill())
        return __LINE__;
    whole.address = mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.fd, 0);
    roma_scan *scan = nullptr;
    roma_segment piece;
    size_t seen = 0;
    if (roma_scan_open(engine, &whole, nullptr, &scan, nullptr) != 0)
        return __LINE__;
    for (; roma_scan_next(scan, &piece) == 1; seen += piece.bytes)
        if (!disk_file::holds(piece.address, seen, piece.bytes))
            return __LINE__;
    roma_scan_close(scan);
    munmap(whole.address, file.bytes);
    return roma_prefetch_destroy(engine) == 0 && seen == file.bytes ? 0 : __LINE__;
}

int forced_ring()
{
    roma_prefetch_options options = roma_prefetch_options_default();
    roma_prefetch_engine *engine = nullptr;
    options.way = ROMA_PREFETCH_URING;
    const int code = roma_prefetch_create(&engine, &options, nullptr);
    (void)roma_prefetch_destroy(engine);
    return code;
}

bool write_switch(const char *text)
{
    std::ofstream stream(switch_path);
    stream << text << std::flush;
    return stream.good();
}

constexpr size_t file_bytes = 12 * MiB + 77;

} // namespace

TEST_CASE("where io_uring is allowed it is what prefetch uses", "[prefetch]")
{
    const disk_file file(file_bytes);
    CHECK(forced_ring() == 0);
    CHECK(read_in_all_ways(file, ROMA_PREFETCH_URING) == 0);
}

TEST_CASE("where a filter refuses io_uring prefetch goes on by threads, and says why", "[prefetch]")
{
    const disk_file file(file_bytes);
    const pid_t child = fork();
    if (child == 0) {
        if (!refuse_rings())
            _exit(1);
        if (forced_ring() != -EPERM)
            _exit(2);
        _exit(read_in_all_ways(file, ROMA_PREFETCH_POOL) == 0 ? 0 : 3);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("where the machine forbids io_uring prefetch goes on by threads, and says why",
          "[prefetch]")
{
    if (access(switch_path, W_OK) != 0)
        SKIP_TEST("this kernel cannot forbid io_uring");
    const disk_file file(file_bytes);
    REQUIRE(write_switch("2"));
    const int forced = forced_ring(), code = read_in_all_ways(file, ROMA_PREFETCH_POOL);
    REQUIRE(write_switch("0"));
    CHECK(forced == -EPERM);
    CHECK(code == 0);
    CHECK(forced_ring() == 0);
}
