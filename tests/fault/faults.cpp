/* faults.cpp - see faults.hpp. Mappings are kept as a list of disjoint ranges of addresses: mmap
 * and mremap add one and take away what stood there, munmap takes away. */
#include "faults.hpp"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace faults {
namespace {

plan planned;
plan missing;
bool has_missing;
std::atomic<bool> armed{false};
std::atomic<bool> fired{false};
std::atomic<unsigned long> counts[entry_count];

/* ---- account of mappings --------------------------------------------------------------------- */

struct range {
    uintptr_t start, end;
};

/* No container that allocates: the test counts what the heap of the C library holds. */
constexpr size_t ranges_max = 4096;
range ranges[ranges_max];
size_t ranges_count;
std::mutex ranges_lock;
std::atomic<size_t> kept{0};
std::atomic<int> advice_failed{0};

void append(uintptr_t start, uintptr_t end)
{
    if (start >= end)
        return;
    if (ranges_count == ranges_max)
        std::abort();
    ranges[ranges_count++] = {start, end};
}

void take_away(uintptr_t start, uintptr_t end)
{
    for (size_t i = 0; i < ranges_count;) {
        const range old = ranges[i];
        if (old.end <= start || end <= old.start) {
            i++;
            continue;
        }
        ranges[i] = ranges[--ranges_count];
        append(old.start, start);
        append(end, old.end);
    }
}

size_t whole_pages(size_t bytes)
{
    static const size_t page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    return (bytes + page_bytes - 1) / page_bytes * page_bytes;
}

/* ---- what an entry needs beyond counting ----------------------------------------------------- */

/* fail: before the failure is returned. done: after the call went through with `result`. cut:
 * shortens the length where the call may do less than asked. */
struct plain {
    template <typename... types> static void fail(types...) {}
    template <typename... types> static void cut(types &...) {}
    template <typename... types> void done(types...) const {}
};

template <entry which, typename result_type> struct special : plain {
    explicit special(result_type) {}
};

template <> struct special<at_close, int> : plain {
    explicit special(int) {}
    static void fail(int fd) { roma__sys_kernel.close(fd); }
};

template <> struct special<at_pwrite, ssize_t> : plain {
    explicit special(ssize_t) {}
    static void cut(int, const void *, size_t &bytes, off_t) { bytes = bytes < 8 ? bytes : 8; }
};

template <> struct special<at_thread_join, int> : plain {
    explicit special(int) {}
    static void fail(void *thread) { roma__sys_kernel.thread_join(thread); }
};

template <> struct special<at_madvise, int> : plain {
    explicit special(int) {}
    static void fail(void *, size_t, int advice) { advice_failed = advice; }
};

template <> struct special<at_read, ssize_t> : plain {
    explicit special(ssize_t) {}
    /* Not one: some files of /sys are at their end for who asks for a single byte. */
    static void cut(int, void *, size_t &bytes) { bytes = bytes < 2 ? bytes : 2; }
};

template <> struct special<at_pread, ssize_t> : plain {
    explicit special(ssize_t) {}
    static void cut(int, void *, size_t &bytes, off_t) { bytes = bytes < 8 ? bytes : 8; }
};

template <> struct special<at_write, ssize_t> : plain {
    explicit special(ssize_t) {}
    static void cut(int, const void *, size_t &bytes) { bytes = bytes < 1 ? bytes : 1; }
};

template <> struct special<at_mmap, void *> : plain {
    void *result;
    explicit special(void *value) : result(value) {}
    void done(void *, size_t bytes, int, int, int, off_t) const
    {
        if (result == MAP_FAILED)
            return;
        const auto start = reinterpret_cast<uintptr_t>(result);
        const std::lock_guard<std::mutex> hold(ranges_lock);
        take_away(start, start + whole_pages(bytes));
        append(start, start + whole_pages(bytes));
    }
};

template <> struct special<at_munmap, int> : plain {
    int result;
    explicit special(int value) : result(value) {}
    static void fail(void *, size_t bytes) { kept += whole_pages(bytes); }
    void done(void *address, size_t bytes) const
    {
        if (result != 0)
            return;
        const auto start = reinterpret_cast<uintptr_t>(address);
        const std::lock_guard<std::mutex> hold(ranges_lock);
        take_away(start, start + whole_pages(bytes));
    }
};

template <> struct special<at_mremap, void *> : plain {
    void *result;
    explicit special(void *value) : result(value) {}
    void done(void *address, size_t old_bytes, size_t bytes, int, void *) const
    {
        if (result == MAP_FAILED)
            return;
        const auto from = reinterpret_cast<uintptr_t>(address);
        const auto to = reinterpret_cast<uintptr_t>(result);
        const std::lock_guard<std::mutex> hold(ranges_lock);
        take_away(from, from + whole_pages(old_bytes));
        take_away(to, to + whole_pages(bytes));
        append(to, to + whole_pages(bytes));
    }
};

enum class verdict { pass, fail, dribble };

verdict judge(entry which)
{
    const unsigned long nth = ++counts[which];
    if (!armed)
        return verdict::pass;
    if (has_missing && which == missing.which) {
        errno = missing.error;
        return verdict::fail;
    }
    if (which != planned.which || planned.nth == 0 || nth < planned.nth ||
        (planned.how == mode::once && nth > planned.nth))
        return verdict::pass;
    fired = true;
    if (planned.how == mode::dribble)
        return verdict::dribble;
    errno = planned.error;
    return verdict::fail;
}

#define X(type, name, failure, parameters, arguments)                                              \
    type faulty_##name parameters                                                                  \
    {                                                                                              \
        using extra = special<at_##name, type>;                                                    \
        const verdict how = judge(at_##name);                                                      \
        if (how == verdict::fail) {                                                                \
            const int error = errno;                                                               \
            extra::fail arguments;                                                                 \
            errno = error;                                                                         \
            return (type)failure;                                                                  \
        }                                                                                          \
        if (how == verdict::dribble)                                                               \
            extra::cut arguments;                                                                  \
        type result = roma__sys_kernel.name arguments;                                             \
        const int error = errno;                                                                   \
        extra(result).done arguments;                                                              \
        errno = error;                                                                             \
        return result;                                                                             \
    }
ROMA_SYS_CALLS(X)
#undef X

const struct roma__sys table = {
#define X(type, name, failure, parameters, arguments) faulty_##name,
    ROMA_SYS_CALLS(X)
#undef X
};

} // namespace

const char *name_of(entry which)
{
    static const char *const names[] = {
#define X(type, name, failure, parameters, arguments) #name,
        ROMA_SYS_CALLS(X)
#undef X
    };
    return names[which];
}

std::vector<int> errors_of(entry which)
{
    switch (which) {
    case at_mmap: return {ENOMEM, EPERM};
    case at_munmap: return {ENOMEM};
    case at_mremap: return {ENOMEM, EFAULT};
    case at_mprotect: return {ENOMEM, EACCES};
    case at_madvise: return {ENOMEM, EINVAL, EFAULT, EPERM};
    case at_mbind: return {EPERM, EINVAL};
    case at_move_pages: return {EPERM, ENOSYS};
    case at_getcpu: return {ENOSYS};
    case at_set_affinity: return {EINVAL, EPERM};
    case at_get_affinity: return {EPERM, ENOSYS};
    case at_name_mapping: return {EINVAL};
    case at_open: return {ENOENT, EMFILE};
    case at_read: return {EIO};
    case at_pread: return {EIO};
    case at_write: return {ENOSPC, EPIPE};
    case at_getdents: return {EIO};
    case at_close: return {EIO};
    case at_dup: return {EMFILE};
    case at_fstat: return {EBADF, EIO};
    case at_fstatfs: return {ENOSYS};
    case at_fadvise: return {EINVAL, EBADF};
    case at_sync_file_range: return {EIO, ESPIPE};
    case at_fdatasync: return {EIO, ENOSPC};
    case at_cachestat: return {ENOSYS, EPERM};
    case at_mincore: return {EAGAIN, ENOMEM};
    case at_eventfd: return {EMFILE};
    case at_pagemap_scan: return {ENOTTY, EPERM};
    case at_io_uring_setup: return {EPERM, ENOSYS};
    case at_io_uring_register: return {EPERM, EINVAL};
    case at_membarrier: return {EPERM, ENOSYS};
    case at_thread_start: return {EAGAIN};
    case at_thread_join: return {ESRCH};
    case at_reset_signal: return {EINVAL};
    case at_create: return {EACCES, ENOSPC};
    case at_memfd_create: return {ENOMEM, ENOSYS};
    case at_add_seals: return {EPERM};
    case at_statx: return {ENOSYS};
    case at_fallocate: return {ENOSPC, EFBIG, EINTR};
    case at_ftruncate: return {EFBIG, EIO};
    case at_lock: return {ENOLCK, EINTR};
    case at_pwrite: return {ENOSPC, EIO};
    case at_lseek: return {EINVAL};
    case at_fsync: return {EIO, ENOSPC};
    case at_msync: return {EIO};
    case at_clone_file: return {EOPNOTSUPP, EXDEV};
    case at_rename: return {EACCES, ENOSPC};
    case at_link: return {EPERM, EMLINK};
    case at_unlink: return {EACCES};
    case at_readlink: return {ENOENT};
    case at_getrlimit: return {EINVAL};
    default: return {ENOMEM, EPERM}; /* an entry that is new here */
    }
}

void arm(const plan &what, const plan *background)
{
    planned = what;
    has_missing = background != nullptr;
    if (has_missing)
        missing = *background;
    for (auto &count : counts)
        count = 0;
    fired = false;
    kept = 0;
    armed = true;
    roma__sys_replace(&table);
}

void disarm()
{
    armed = false;
}

unsigned long calls(entry which)
{
    return counts[which];
}

bool has_fired()
{
    return fired;
}

size_t mapped_bytes()
{
    const std::lock_guard<std::mutex> hold(ranges_lock);
    size_t sum = 0;
    for (size_t i = 0; i < ranges_count; i++)
        sum += ranges[i].end - ranges[i].start;
    return sum;
}

size_t kept_bytes()
{
    return kept;
}

int failed_advice()
{
    return advice_failed;
}

unsigned long stride(unsigned long otherwise)
{
    const char *text = std::getenv("ROMA_FAULT_STRIDE");
    const unsigned long asked = text != nullptr ? std::strtoul(text, nullptr, 10) : 0;
    return asked > 0 ? asked : otherwise;
}

unsigned long next_use(unsigned long nth, unsigned long step)
{
    return nth + (nth < (stride() > 16 ? 4 : 16) ? 1 : step);
}

} // namespace faults
