/* prefetch_limits.cpp - engines under the limits that a kernel really has: memory that may be
 * locked, which a ring is charged to, and open files, of which a ring needs two. From where nothing
 * works to where a ring does, step by step, an engine reads and says why it has no ring. */
#include "child.hpp"
#include "descriptors.hpp"
#include "disk_file.hpp"
#include "engine.hpp"

#include "sys/kernel.h"
#include "sys/sys.h"

#include <cerrno>
#include <string>
#include <sys/resource.h>

using namespace roma_tests;

namespace {

constexpr uid_t LIMITED_USER = 65530; /* whose memory is counted: not root's, nor a service's */
constexpr unsigned CHILD_SECONDS = 120;
constexpr unsigned RING = 256, SMALL_RING = 64;

/* What a child found: its exit code. */
enum : int {
    IS_WELL,
    IS_NOT_CHARGED, /* a ring is free of the limit                                              */
    HAS_NO_RING,    /* it is refused for another reason                                         */
    WRONG_SETTING,  /* the child could not be made what it was to be                            */
    WRONG_WAY,
    WRONG_REASON,
    WRONG_END,
    NOT_READ,
    LOST_DESCRIPTOR,
    NEVER_A_RING
};

bool says(const roma_error &error, int code, const char *call, const char *remedy)
{
    char text[256];
    const std::string sentence = roma_error_text(&error, text, sizeof text);
    return error.code == code && error.call != nullptr && std::string(error.call) == call &&
           sentence.find(remedy) != std::string::npos;
}

bool limit(decltype(RLIMIT_NOFILE) which, rlim_t now)
{
    struct rlimit both = {};
    if (getrlimit(which, &both) != 0)
        return false;
    both.rlim_cur = now;
    return setrlimit(which, &both) == 0;
}

struct child_file {
    const disk_file &file;
    void *address;

    /* The child owns it, so that it may ask. */
    bool is_cold() const
    {
        const roma_file_range all = file.range(0, file.bytes);
        roma_residency found = {};
        found.size = sizeof found;
        for (int tries = 0; tries < 20; tries++) {
            madvise(address, file.bytes, MADV_DONTNEED); /* what was compared */
            posix_fadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
            if (roma_residency_of(&all, 1, &found, nullptr) == 0 && found.resident_bytes == 0)
                return true;
            usleep(10000);
        }
        return false;
    }

    bool is_read_by(roma_prefetch_engine *engine) const
    {
        const roma_file_range all = file.range(0, file.bytes);
        roma_prefetch_handle *handle = nullptr;
        if (!is_cold() ||
            roma_prefetch_submit(engine, &all, 1, ROMA_PREFETCH_RESIDENT, &handle, nullptr) != 0)
            return false;
        const bool is_done = roma_prefetch_wait(handle, ROMA_FOREVER) == 0;
        roma_prefetch_close(handle);
        return is_done && file.came(0, file.bytes) == file.bytes &&
               disk_file::holds(address, 0, file.bytes);
    }
};

struct made {
    roma_prefetch_engine *self = nullptr;
    int code;
    roma_error error = {};
    roma_prefetch_report report = {};

    explicit made(roma_prefetch_way way)
    {
        const roma_prefetch_options options = owned_engine::with_way(way);
        code = roma_prefetch_create(&self, &options, &error);
        report.size = sizeof report;
        if (code == 0)
            code = roma_prefetch_backend(self, &report);
    }
    bool ends() { return roma_prefetch_destroy(self) == 0; }
};

/* ---- memory that may be locked --------------------------------------------------------------- */

bool become_limited()
{
    return geteuid() != 0 || (setresgid(LIMITED_USER, LIMITED_USER, LIMITED_USER) == 0 &&
                              setresuid(LIMITED_USER, LIMITED_USER, LIMITED_USER) == 0);
}

/* What a ring of this process comes to: 0 or -errno. */
int try_ring()
{
    alignas(8) char parameters[ROMA__IO_URING_PARAMS_BYTES] = {};
    const int fd = roma__sys_kernel.io_uring_setup(RING, parameters);
    return fd < 0 ? -errno : close(fd);
}

bool is_short_of_memory(const roma_error &error)
{
    return says(error, -ENOMEM, "io_uring_setup", "(ulimit -l)");
}

/* The kernel takes a charge back some time after a ring was closed, so what is just enough may be
 * too little yet: each step but the first may have any of the outcomes, with its reasons. */
int judge_choice(const roma_prefetch_report &report, bool is_first)
{
    if (is_first && report.way != ROMA_PREFETCH_POOL)
        return WRONG_WAY;
    unsigned steps = 0; /* that were not taken */
    if (report.way == ROMA_PREFETCH_POOL)
        steps = 2;
    else if (report.entries == SMALL_RING)
        steps = 1;
    if (report.steps_count != steps)
        return WRONG_WAY;
    for (unsigned i = 0; i < steps; i++)
        if (report.steps[i].entries != (i == 0 ? RING : SMALL_RING) ||
            !is_short_of_memory(report.steps[i].error))
            return WRONG_REASON;
    return IS_WELL;
}

int read_under_locked_limits(const child_file &file)
{
    alarm(CHILD_SECONDS);
    if (!become_limited() || !limit(RLIMIT_MEMLOCK, 0))
        return WRONG_SETTING;
    const int code = try_ring();
    if (code != -ENOMEM)
        return code == 0 ? IS_NOT_CHARGED : HAS_NO_RING;
    const made forced(ROMA_PREFETCH_URING);
    if (forced.code != -ENOMEM || !is_short_of_memory(forced.error))
        return WRONG_REASON;
    for (rlim_t pages = 0; pages < 64; pages++) {
        if (!limit(RLIMIT_MEMLOCK, pages * page_bytes()))
            return WRONG_SETTING;
        made engine(ROMA_PREFETCH_AUTO);
        if (engine.code != 0)
            return WRONG_END;
        const int judged = judge_choice(engine.report, pages == 0);
        const bool is_read = file.is_read_by(engine.self);
        if (!engine.ends())
            return WRONG_END;
        if (judged != IS_WELL || !is_read)
            return judged != IS_WELL ? judged : NOT_READ;
        if (engine.report.steps_count == 0)
            return IS_WELL;
    }
    return NEVER_A_RING;
}

/* ---- open files ------------------------------------------------------------------------------ */

/* Close what is not needed, so that descriptors are used up in order: the next one is returned. */
int tidy_descriptors(int needed)
{
    for (int fd = 3; fd < 1024; fd++)
        if (fd != needed)
            close(fd);
    for (;;) { /* below the file's there is none left */
        const int fd = dup(needed);
        if (fd < 0)
            return fd;
        if (fd > needed) {
            close(fd);
            return fd;
        }
    }
}

/* What a program asks of a handle and a file that needs a descriptor. */
bool uses_what_is_left(roma_prefetch_engine *engine, const child_file &file, rlim_t left)
{
    const roma_file_range all = file.file.range(0, file.file.bytes);
    roma_prefetch_handle *handle = nullptr;
    roma_map *map = nullptr;
    roma_error error = {};
    const bool has_map = roma_map_open(file.file.path.c_str(), nullptr, &map, &error) == 0;
    bool is_right = has_map == (left > 0) &&
                    (has_map || says(error, -EMFILE, "open", "(ulimit -n)"));
    is_right = roma_map_close(map) == 0 && is_right;
    if (roma_prefetch_submit(engine, &all, 1, ROMA_PREFETCH_ISSUED, &handle, nullptr) != 0)
        return false;
    const int fd = roma_prefetch_eventfd(handle);
    is_right = (left > 0 ? fd >= 0 : fd == -EMFILE) && is_right;
    is_right = roma_prefetch_wait(handle, ROMA_FOREVER) == 0 && is_right;
    roma_prefetch_close(handle);
    return is_right;
}

/* With so many descriptors to be had. */
int read_with_descriptors(const child_file &file, rlim_t left)
{
    constexpr rlim_t of_ring = 2;
    const char *lacking = left == 0 ? "io_uring_setup" : "eventfd";
    made forced(ROMA_PREFETCH_URING);
    if ((forced.code == 0) != (left >= of_ring))
        return WRONG_WAY;
    if (forced.code != 0 && !says(forced.error, -EMFILE, lacking, "(ulimit -n)"))
        return WRONG_REASON;
    if (!forced.ends())
        return WRONG_END;
    made engine(ROMA_PREFETCH_AUTO);
    if (engine.code != 0)
        return WRONG_END;
    const bool has_ring = engine.report.way == ROMA_PREFETCH_URING;
    if (has_ring != (left >= of_ring) || engine.report.steps_count != (has_ring ? 0 : 1))
        return WRONG_WAY;
    if (!has_ring && !says(engine.report.steps[0].error, -EMFILE, lacking, "(ulimit -n)"))
        return WRONG_REASON;
    const bool is_read = file.is_read_by(engine.self);
    const bool is_told = uses_what_is_left(engine.self, file, has_ring ? left - of_ring : left);
    if (!engine.ends())
        return WRONG_END;
    if (!is_told)
        return WRONG_REASON;
    return is_read ? IS_WELL : NOT_READ;
}

int read_under_file_limits(const child_file &file)
{
    alarm(CHILD_SECONDS);
    const int next = tidy_descriptors(file.file.fd);
    struct rlimit before = {};
    if (next < 0 || getrlimit(RLIMIT_NOFILE, &before) != 0)
        return WRONG_SETTING;
    const int descriptors = open_descriptors();
    for (rlim_t left = 0; left <= 4; left++) {
        if (!limit(RLIMIT_NOFILE, static_cast<rlim_t>(next) + left))
            return WRONG_SETTING;
        const int seen = read_with_descriptors(file, left);
        if (seen != IS_WELL)
            return seen;
        if (!limit(RLIMIT_NOFILE, before.rlim_cur))
            return WRONG_SETTING;
        if (open_descriptors() != descriptors)
            return LOST_DESCRIPTOR;
    }
    return IS_WELL;
}

/* ---- both ------------------------------------------------------------------------------------ */

template <typename work> int read_in_child(const disk_file &file, const work &reads)
{
    void *address = mmap(nullptr, file.bytes, PROT_READ, MAP_SHARED, file.fd, 0);
    REQUIRE(address != MAP_FAILED);
    const child_file given = {file, address};
    const int seen = in_child([&] { return reads(given); });
    munmap(address, file.bytes);
    return seen;
}

} // namespace

#ifdef ROMA_TESTS_UNDER_TSAN
#define NEEDS_THREADS_IN_A_CHILD() SKIP_TEST("ThreadSanitizer has no threads in a child of fork()")
#else
#define NEEDS_THREADS_IN_A_CHILD() SKIP_WITHOUT(owned_engine(ROMA_PREFETCH_URING))
#endif

TEST_CASE("who may lock too little memory for a ring reads without, and is told", "[prefetch]")
{
    NEEDS_THREADS_IN_A_CHILD();
    FILE_ON_DISK(file, 6 * MiB);
    if (geteuid() == 0)
        REQUIRE(fchown(file.fd, LIMITED_USER, LIMITED_USER) == 0);
    const int seen = read_in_child(file, read_under_locked_limits);
    if (seen == IS_NOT_CHARGED)
        SKIP_TEST("this kernel does not charge rings to the limit of locked memory");
    if (seen == HAS_NO_RING)
        SKIP_TEST("this kernel gives no rings to who is not root");
    CHECK(seen == IS_WELL);
}

TEST_CASE("who may open too few files for a ring reads without, and is told", "[prefetch]")
{
    NEEDS_THREADS_IN_A_CHILD();
    FILE_ON_DISK(file, 6 * MiB);
    CHECK(read_in_child(file, read_under_file_limits) == IS_WELL);
}
