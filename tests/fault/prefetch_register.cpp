/* prefetch_register.cpp - what a ring says of itself: a kernel that lacks one of the operations
 * that prefetch needs, or does not tell which it knows, is one without a ring. Its queues are the
 * kernel's own; only what is registered with them is faulted. */
#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <string>

using namespace roma_tests;

namespace {

/* The kernel's numbers (linux/io_uring.h), which headers may be too old to have. */
enum : unsigned {
    REGISTER_PROBE = 8,
    REGISTER_PLACE = 17,
    REGISTER_MAX_WORKERS = 19,
    IS_SUPPORTED = 1
};

struct probe {
    unsigned char last, count;
    unsigned short unused;
    unsigned more[3];
    struct {
        unsigned char number, unused;
        unsigned short flags;
        unsigned more;
    } operations[256];
};

struct operation {
    unsigned char number;
    const char *name;
};

constexpr operation needed[] = {
    {24, "IORING_OP_FADVISE"},        {25, "IORING_OP_MADVISE"}, {22, "IORING_OP_READ"},
    {8, "IORING_OP_SYNC_FILE_RANGE"}, {3, "IORING_OP_FSYNC"},    {6, "IORING_OP_POLL_ADD"},
};

constexpr unsigned char LAST = 25; /* of those */

/* What the kernel is made to say. */
struct {
    std::atomic<int> lacks{-1}, last{-1}; /* the number of an operation; -1: its own answer */
    std::atomic<int> probe_error{0}, place_error{0}, workers_error{0};
    std::atomic<unsigned> workers{0};    /* seen: how many were asked for,              */
    std::atomic<unsigned long> place{0}; /* and on which of the first 64 CPUs           */
} script;

void edit(probe *told)
{
    if (script.lacks >= 0)
        told->operations[script.lacks].flags &= static_cast<unsigned short>(~IS_SUPPORTED);
    if (script.last >= 0)
        told->last = static_cast<unsigned char>(script.last.load());
}

int scripted_register(int fd, unsigned operation, void *argument, unsigned count)
{
    if (operation == REGISTER_MAX_WORKERS)
        script.workers = *static_cast<unsigned *>(argument);
    if (operation == REGISTER_PLACE)
        script.place = *static_cast<unsigned long *>(argument);
    const int error = operation == REGISTER_PROBE   ? script.probe_error
                      : operation == REGISTER_PLACE ? script.place_error
                                                    : script.workers_error;
    if (error != 0) {
        errno = error;
        return -1;
    }
    const int result = roma__sys_kernel.io_uring_register(fd, operation, argument, count);
    if (operation == REGISTER_PROBE && result >= 0)
        edit(static_cast<probe *>(argument));
    return result;
}

/* The script is followed for the time of a test. */
struct scripted : faulty {
    scripted()
    {
        script.lacks = script.last = -1;
        script.probe_error = script.place_error = script.workers_error = 0;
        script.workers = 0;
        script.place = 0;
        calls.io_uring_register = scripted_register;
    }
};

std::string text_of(const roma_error &error)
{
    char text[256];
    return roma_error_text(&error, text, sizeof text);
}

void check_reads(const owned_engine &engine, const disk_file &file)
{
    REQUIRE(file.chill());
    const owned_map map(file);
    owned_handle handle(engine, map.all());
    CHECK(handle.wait() == 0);
    CHECK(file.came(0, file.bytes) == file.bytes);
    CHECK(disk_file::holds(map.address(), 0, file.bytes));
}

/* No ring for this reason: threads do it and say why, and who wants nothing else is told. */
void check_no_ring(const disk_file &file, int code, const char *reason, const char *cpus = nullptr)
{
    INFO(reason);
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_AUTO);
    options.cpus = cpus;
    owned_engine engine(options);
    const roma_prefetch_report report = engine.report();
    CHECK(report.way == ROMA_PREFETCH_POOL);
    REQUIRE(report.steps_count == 1);
    CHECK(report.steps[0].way == ROMA_PREFETCH_URING);
    CHECK(report.steps[0].error.code == code);
    CHECK(text_of(report.steps[0].error).find(reason) != std::string::npos);
    check_reads(engine, file);

    options.way = ROMA_PREFETCH_URING;
    roma_prefetch_engine *forced = nullptr;
    roma_error error = {};
    CHECK(roma_prefetch_create(&forced, &options, &error) == code);
    CHECK(forced == nullptr);
    CHECK(text_of(error) == text_of(report.steps[0].error));
}

} // namespace

#define NEEDS_RING() SKIP_WITHOUT(owned_engine(ROMA_PREFETCH_URING))

TEST_CASE("a ring that lacks an operation is none, and which one is said", "[prefetch]")
{
    NEEDS_RING();
    FILE_ON_DISK(file, 2 * MiB);
    scripted kernel;
    for (const operation &one : needed) {
        script.lacks = one.number;
        check_no_ring(file, -EOPNOTSUPP, one.name);
    }
}

TEST_CASE("a ring of a kernel that ends before an operation is none, and which one is said",
          "[prefetch]")
{
    NEEDS_RING();
    FILE_ON_DISK(file, 2 * MiB);
    scripted kernel;
    for (const operation &one : needed) {
        script.last = one.number - 1;
        /* The one that Linux has had for the shortest time, where there are several. */
        check_no_ring(file, -EOPNOTSUPP, one.number == LAST ? one.name : "IORING_OP_FADVISE");
    }
    script.last = LAST;
    owned_engine engine(ROMA_PREFETCH_AUTO);
    CHECK(engine.report().way == ROMA_PREFETCH_URING);
    check_reads(engine, file);
}

TEST_CASE("a ring that may not be asked what it knows is none", "[prefetch]")
{
    NEEDS_RING();
    FILE_ON_DISK(file, 2 * MiB);
    scripted kernel;
    script.probe_error = EPERM;
    check_no_ring(file, -EPERM, "the kernel refused io_uring_register");
    script.probe_error = EINVAL; /* before Linux 5.6 */
    check_no_ring(file, -EOPNOTSUPP,
                  "io_uring_register failed for IORING_REGISTER_PROBE (Linux 5.6)");
}

TEST_CASE("a ring is one also where the number of its workers is the kernel's", "[prefetch]")
{
    NEEDS_RING();
    FILE_ON_DISK(file, 2 * MiB);
    scripted kernel;
    for (int error : {0, EINVAL, EPERM}) {
        script.workers_error = error;
        script.workers = 0;
        roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_AUTO);
        options.threads = 7;
        owned_engine engine(options);
        CHECK(engine.report().way == ROMA_PREFETCH_URING);
        CHECK(engine.report().steps_count == 0);
        CHECK(script.workers == 7);
        check_reads(engine, file);
    }
}

TEST_CASE("a ring whose workers cannot be told where to run is none for who says where",
          "[prefetch]")
{
    NEEDS_RING();
    FILE_ON_DISK(file, 2 * MiB);
    scripted kernel;
    script.place_error = EINVAL;
    owned_engine anywhere(ROMA_PREFETCH_AUTO);
    CHECK(anywhere.report().way == ROMA_PREFETCH_URING);
    CHECK(script.place == 0); /* nor is the kernel asked */
    check_no_ring(file, -EOPNOTSUPP,
                  "io_uring_register failed for IORING_REGISTER_IOWQ_AFF (Linux 5.14)", "0-8191");
}

TEST_CASE("a ring's workers are told to run where its thread may", "[prefetch]")
{
    NEEDS_RING();
    scripted kernel;
    kernel.calls.set_affinity = [](size_t, const void *) { return 0; };
    kernel.calls.get_affinity = [](size_t bytes, void *cpus) {
        memset(cpus, 0, bytes);
        *static_cast<unsigned long *>(cpus) = 1; /* CPU 0, which each process here may use */
        return 0;
    };
    roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    options.cpus = "0-3";
    CHECK(owned_engine(options).lacks.empty());
    CHECK(script.place == 1);
}
