/* session.cpp - every system call of roma failed at its N-th use, once and for good, until the
 * scripted session has no N-th use left.
 *
 * Each case is a child of its own: it runs the session with one call failed, and then a short one
 * with none, which must go well. Judged are each answer (session_script.cpp), and at the end that
 * mappings, descriptors, memory of the C library and the providers' extents are no more than after
 * a session without a fault, save what a failed munmap kept.
 *
 * Cases come in two states. Cold: the library has not been used, so that what it reads and makes
 * once for the process is failed too. Warm: one session was run before, so that account can be kept
 * to the byte; of entries with more than 100 uses it looks at every 11th. A cold process comes
 * from running this program again: the tests before this one have used the library.
 *
 * The page pools of the machine must not change meanwhile: sessions are compared.
 * ROMA_FAULT_STRIDE=K looks at a sample (faults.hpp); with sanitizers it is 7 unless told. */
#include "descriptors.hpp"
#include "faults.hpp"
#include "emulated.hpp"
#include "session_script.hpp"

#include "heap/heap.h"
#include "skip.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNDER_SANITIZER 1
#endif
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define UNDER_ADDRESS_SANITIZER 1
#endif

namespace {

enum : unsigned { parts_count = 2, case_seconds = 60 };
constexpr size_t region_bytes = size_t(8) << 20;
const char part_variable[] = "ROMA_FAULT_PART";

/* What the process holds, as far as roma can have taken it. */
struct holdings {
    size_t mapped_bytes; /* beyond the records that are kept for ever */
    size_t malloc_bytes;
    int descriptors_count;
};

size_t malloc_bytes()
{
#if defined(__GLIBC__) && !defined(UNDER_SANITIZER)
    return mallinfo2().uordblks;
#else
    return 0;
#endif
}

holdings look()
{
    return {faults::mapped_bytes() - roma__heap_process_bytes(), malloc_bytes(),
            roma_tests::open_descriptors()};
}

/* What a child tells its parent. */
struct outcome {
    session::record faulted, after;
    holdings before, then, last; /* at the start, after the faulted session, after the other   */
    size_t kept_bytes;           /* by failed munmaps                                          */
    int failed_advice;
    unsigned long calls[faults::entry_count];
    bool has_fired;
};

struct fault_case {
    faults::plan plan;
    bool without_scan; /* as on a kernel without PAGEMAP_SCAN: the only way to the entry pread */
};

session::setting given;
outcome *shared;
bool is_warm;
unsigned failures_count;

std::string text_of(const fault_case &which)
{
    char text[160];
    const char *how = which.plan.how == faults::mode::once       ? "once"
                      : which.plan.how == faults::mode::for_good ? "for good"
                                                                 : "a few bytes at a time";
    std::snprintf(text, sizeof text, "%s %s at use %lu, %s, %s", is_warm ? "warm" : "cold",
                  faults::name_of(which.plan.which), which.plan.nth, how,
                  which.plan.how == faults::mode::dribble ? "no error"
                                                          : std::strerror(which.plan.error));
    return text;
}

bool munmap_was_failed()
{
    return faults::kept_bytes() > 0;
}

const faults::plan no_scan = {faults::at_pagemap_scan, 1, faults::mode::for_good, ENOTTY};

void *map_or_end(size_t bytes, int flags)
{
    void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        std::abort();
    return memory;
}

/* With a region of its own: what a session advises of it must not reach the children. */
void run_session(session::record &record)
{
    auto *region = static_cast<char *>(map_or_end(2 * region_bytes, MAP_PRIVATE));
    given.region = region + (region_bytes - reinterpret_cast<uintptr_t>(region) % region_bytes);
    given.region_bytes = region_bytes;
    session::run(given, record, munmap_was_failed);
    munmap(region, 2 * region_bytes);
}

/* In the child. */
void run_case(const fault_case &which)
{
    alarm(case_seconds);
    shared->before = look();
    faults::arm(which.plan, which.without_scan ? &no_scan : nullptr);
    run_session(shared->faulted);
    shared->has_fired = faults::has_fired();
    shared->kept_bytes = faults::kept_bytes();
    for (unsigned i = 0; i < faults::entry_count; i++)
        shared->calls[i] = faults::calls(static_cast<faults::entry>(i));
    shared->failed_advice = faults::failed_advice();
    faults::disarm();
    shared->then = look();
    session::run_briefly(shared->after);
    shared->last = look();
}

/* Returns "" when the child ended well. */
std::string run_in_child(const fault_case &which)
{
    std::memset(static_cast<void *>(shared), 0, sizeof *shared);
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        run_case(which);
        _exit(0);
    }
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        return "the child could not be run";
    if (WIFSIGNALED(status))
        return std::string("the process ended by ") + strsignal(WTERMSIG(status)) +
               (shared->faulted.has_ended ? " in the session after" : "") + "; the last notes:\n" +
               std::string(shared->faulted.notes)
                   .substr(std::strlen(shared->faulted.notes) > 200
                               ? std::strlen(shared->faulted.notes) - 200
                               : 0);
    if (WEXITSTATUS(status) != 0)
        return "the process ended with status " + std::to_string(WEXITSTATUS(status));
    return "";
}

/* Each complaint about an entry is shown at its first use; one cause is often seen at many. */
void complain(const fault_case &which, const std::string &what)
{
    static std::map<std::string, unsigned> shown;
    failures_count++;
    unsigned &times = shown[std::string(faults::name_of(which.plan.which)) + what];
    if (++times == 1)
        std::printf("FAILED: %s: %s\n", text_of(which).c_str(), what.c_str());
    else if (times == 2)
        std::printf("FAILED: %s: the same, and more of it\n", text_of(which).c_str());
}

/* The first line in which two sets of notes differ. */
std::string first_difference(const char *is, const char *was)
{
    const char *line_is = is, *line_was = was;
    while (*is != '\0' && *is == *was) {
        if (*is == '\n') {
            line_is = is + 1;
            line_was = was + 1;
        }
        is++;
        was++;
    }
    return std::string(line_is, std::strcspn(line_is, "\n")) +
           " (was: " + std::string(line_was, std::strcspn(line_was, "\n")) + ")";
}

/* A case may hold no more than it held at its start, but for what a case without a fault came to
 * hold (what the process keeps for ever, read or made at its first use). */
void judge_leaks(const fault_case &which, const char *when, const holdings &is, const holdings &was,
                 const holdings &clean_is, const holdings &clean_was)
{
    const auto growth = [](size_t now, size_t before) {
        return static_cast<long long>(now) - static_cast<long long>(before);
    };
    const long long mapped = growth(is.mapped_bytes, was.mapped_bytes) -
                             growth(clean_is.mapped_bytes, clean_was.mapped_bytes);
    const long long memory = growth(is.malloc_bytes, was.malloc_bytes) -
                             growth(clean_is.malloc_bytes, clean_was.malloc_bytes);
    /* A provider with an extent that munmap kept cannot go: its records stay, too. */
    const size_t allowed = shared->kept_bytes > 0 ? shared->kept_bytes + (64 << 10) : 0;
    if (mapped > static_cast<long long>(allowed))
        complain(which, std::to_string(mapped) + " bytes more are mapped " + when);
    if (memory > 0)
        complain(which, std::to_string(memory) + " bytes more of malloc are in use " + when);
    if (is.descriptors_count > was.descriptors_count)
        complain(which, std::string("more descriptors are open ") + when);
}

/* Entries whose failure nobody needs to see: the caller loses nothing by it. */
bool is_harmless(faults::entry which)
{
    switch (which) {
    case faults::at_name_mapping: /* a name in /proc for people who look                        */
    case faults::at_close:        /* the descriptor is gone all the same                        */
    case faults::at_thread_start: /* the calling thread does that part                          */
    case faults::at_thread_join:  /* the thread has ended                                       */
    case faults::at_getcpu:       /* local means the only node on a machine that has one        */
    case faults::
        at_set_affinity:        /* pages are cleared from further away, and lie where they should */
    case faults::at_membarrier: /* what idle threads keep stays with them                     */
    case faults::at_pagemap_scan: /* other files of /proc tell the same, slower                 */
    case faults::at_cachestat:    /* mincore tells the same, slower                             */
    case faults::at_mincore: /* who is told nothing waits for what may be there               */
    case faults::at_sync_file_range: /* the sync that follows writes all, and tells             */
        return true;
    default: return false;
    }
}

/* Single uses that may fail without a word: roma had another way to the same end, or did it for a
 * call that has no record to tell by. Not all uses of an entry, unless it is harmless. */
bool may_be_silent(const faults::plan &plan)
{
    switch (plan.which) {
    case faults::at_open: /* files that this kernel may lack, and a second look at them      */
    case faults::at_read:
    case faults::at_getdents:
    case faults::at_pread:
    case faults::at_munmap:   /* what is kept is counted                                        */
    case faults::at_mmap:     /* growing in place comes before moving; a record of threads      */
    case faults::at_mremap:   /* moving comes before copying                                    */
    case faults::at_mprotect: /* it is of moving, too                                           */
    case faults::at_io_uring_setup: /* of the library's own snapshot, which is not looked at    */
    case faults::at_mbind: /* a mode of newer kernels comes before another; a resize copies  */
        return true;
    case faults::at_madvise: /* hints; but what is relied on is told when it fails for good */
        if (plan.how == faults::mode::once || plan.error == EPERM || plan.error == EINVAL)
            return true; /* a resize copies; pages are populated by touching them */
        return shared->failed_advice != MADV_DONTFORK &&
               shared->failed_advice != MADV_POPULATE_WRITE;
    default: return is_harmless(plan.which) || plan.how == faults::mode::dribble;
    }
}

struct entry_totals {
    unsigned long cases, silent, most;
};

/* One case; false when the session does not reach the planned use. */
bool judge_case(const fault_case &which, const outcome &clean, entry_totals &totals)
{
    const std::string end = run_in_child(which);
    if (!end.empty()) {
        complain(which, end);
        return shared->has_fired || !shared->faulted.has_ended;
    }
    if (shared->faulted.broken_count > 0)
        complain(which, "against the headers:\n" + std::string(shared->faulted.broken));
    if (!shared->has_fired)
        return false;
    totals.cases++;
    const bool is_same = std::strcmp(shared->faulted.notes, clean.faulted.notes) == 0;
    if (is_same && shared->faulted.errors_count == clean.faulted.errors_count &&
        shared->kept_bytes == 0) {
        totals.silent++;
        if (!may_be_silent(which.plan))
            complain(which, "no named error and no weaker grant" +
                                (which.plan.which == faults::at_madvise
                                     ? ", advice " + std::to_string(shared->failed_advice)
                                     : std::string()));
    }
    if (which.plan.how == faults::mode::dribble && !is_same)
        complain(which, "short reads and writes are not an error, yet: " +
                            first_difference(shared->faulted.notes, clean.faulted.notes));
    if (shared->after.broken_count > 0)
        complain(which, "in the calls after:\n" + std::string(shared->after.broken));
    judge_leaks(which, "after the session", shared->then, shared->before, clean.then, clean.before);
    judge_leaks(which, "after the calls after", shared->last, shared->before, clean.last,
                clean.before);
    return true;
}

unsigned long stride()
{
#ifdef UNDER_SANITIZER
    return faults::stride(7);
#else
    return faults::stride();
#endif
}

entry_totals fail_entry(faults::entry entry, const outcome &clean)
{
    entry_totals totals = {0, 0, clean.calls[entry]};
    const auto walk = [&](faults::mode how, int error) {
        /* Warm, the calls that read files come from the same places. */
        const unsigned long step = is_warm && totals.most > 100 ? 11 * stride() : stride();
        for (unsigned long nth = 1;; nth = faults::next_use(nth, step)) {
            const fault_case which = {{entry, nth, how, error}, entry == faults::at_pread};
            if (!judge_case(which, clean, totals))
                return;
        }
    };
    for (int error : faults::errors_of(entry)) {
        walk(faults::mode::once, error);
        /* With many uses, from where on it fails for good says the same for each error. */
        if (error == faults::errors_of(entry).front() || totals.most < 100)
            walk(faults::mode::for_good, error);
    }
    if (entry == faults::at_read || entry == faults::at_write || entry == faults::at_pread) {
        const fault_case which = {{entry, 1, faults::mode::dribble, 0}, entry == faults::at_pread};
        judge_case(which, clean, totals);
    }
    return totals;
}

/* A session without a fault: nothing against the headers, the same when it is run again, and once
 * the process has what it keeps for ever nothing is left behind. */
outcome run_clean(bool without_scan)
{
    const fault_case none = {{faults::at_mmap, 0, faults::mode::once, 0}, without_scan};
    const std::string end = run_in_child(none);
    const outcome clean = *shared;
    const std::string end_again = run_in_child(none);
    if (!end.empty() || !end_again.empty())
        complain(none, end + end_again);
    if (clean.faulted.broken_count + clean.after.broken_count > 0)
        complain(none,
                 "without a fault:\n" + std::string(clean.faulted.broken) + clean.after.broken);
    if (std::strcmp(clean.faulted.notes, shared->faulted.notes) != 0)
        complain(none, "two sessions without a fault differ: " +
                           first_difference(shared->faulted.notes, clean.faulted.notes));
    if (is_warm)
        judge_leaks(none, "without a fault", clean.last, clean.before, {0, 0, 0}, {0, 0, 0});
    return clean;
}

/* Calls on files of which stores, and the provider of a file's pages, are made. The session has
 * neither: tests/fault/store*.cpp and tests/unit/provider_file.cpp fail them. */
bool is_of_files(faults::entry entry)
{
    switch (entry) {
    case faults::at_create:
    case faults::at_memfd_create:
    case faults::at_add_seals:
    case faults::at_statx:
    case faults::at_fallocate:
    case faults::at_ftruncate:
    case faults::at_lock:
    case faults::at_pwrite:
    case faults::at_lseek:
    case faults::at_fsync:
    case faults::at_msync:
    case faults::at_clone_file:
    case faults::at_rename:
    case faults::at_link:
    case faults::at_unlink:
    case faults::at_readlink:
    case faults::at_getrlimit: return true;
    default: return false;
    }
}

/* mincore is for kernels without cachestat, and for pages that have not come yet
 * (tests/fault/prefetch.cpp); the session has no ring, which io_uring_register asks
 * (tests/fault/prefetch_register.cpp), and for which get_affinity is asked
 * (tests/fault/prefetch_cpus.cpp); signals are reset by the malloc shim alone, which is not
 * here (tests/malloc/death_handled.c). Under a memory tool threads' caches hold nothing, so that
 * none is ever claimed. */
bool is_used_here(faults::entry entry)
{
    if (entry == faults::at_mincore || entry == faults::at_io_uring_register ||
        entry == faults::at_get_affinity || entry == faults::at_reset_signal)
        return false;
#ifdef UNDER_ADDRESS_SANITIZER
    return entry != faults::at_membarrier && !is_of_files(entry);
#else
    return !is_of_files(entry);
#endif
}

/* The entries of one part of the work, in the state at hand. */
void fail_entries(unsigned part)
{
    const outcome clean = run_clean(false), clean_without_scan = run_clean(true);
    for (unsigned i = 0; i < faults::entry_count; i++) {
        const auto entry = static_cast<faults::entry>(i);
        const outcome &from = entry == faults::at_pread ? clean_without_scan : clean;
        if (!is_warm && from.calls[entry] == 0 && is_used_here(entry)) {
            failures_count++;
            std::printf("FAILED: the session never reaches %s\n", faults::name_of(entry));
        }
        if ((i + (is_warm ? 1 : 0)) % parts_count != part)
            continue;
        const entry_totals totals = fail_entry(entry, from);
        if (totals.cases > 0 && totals.silent == totals.cases && !is_harmless(entry)) {
            failures_count++;
            std::printf("FAILED: no failure of %s was seen\n", faults::name_of(entry));
        }
        std::printf("%s %-15s %4lu uses, %5lu cases, %4lu of them silent\n",
                    is_warm ? "warm" : "cold", faults::name_of(entry), totals.most, totals.cases,
                    totals.silent);
        std::fflush(stdout);
    }
}

/* On a disk if there is one: what the session evicts is to be read again. */
int make_long_file()
{
    char path[] = "/var/tmp/roma-test-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0)
        return -1;
    unlink(path);
    std::vector<char> part(size_t(1) << 20, 'x');
    for (int i = 0; i < 7; i++)
        if (write(fd, part.data(), part.size()) != static_cast<ssize_t>(part.size()))
            return -1;
    return fsync(fd) == 0 ? fd : -1;
}

/* The program run again: `part` of the cases, with nothing done before. */
int run_part(unsigned part)
{
    FILE *file = std::tmpfile();
    given.quiet = std::fopen("/dev/null", "w");
    if (file == nullptr || given.quiet == nullptr)
        return 2;
    std::setvbuf(given.quiet, nullptr, _IONBF, 0);
    given.json_fd = fileno(file);
    given.long_fd = make_long_file();
    if (given.long_fd < 0)
        return 2;
    given.huge_bytes = size_t(2) << 20;
    shared = static_cast<outcome *>(map_or_end(sizeof *shared, MAP_SHARED));

    fail_entries(part);

    is_warm = true;
    faults::arm({faults::at_mmap, 0, faults::mode::once, 0});
    run_session(shared->faulted);
    fail_entries(part);
    return failures_count > 0;
}

struct part_process {
    pid_t id;
    FILE *output;
};

part_process start_part(unsigned part)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t id = fork();
    REQUIRE(id >= 0);
    if (id == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        setenv(part_variable, std::to_string(part).c_str(), 1);
        /* A freed piece in a thread's cache would count as in use. */
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1);
        unsetenv("ROMA_TEST_TALLY");
        execl("/proc/self/exe", "test_fault", "[session-part]", nullptr);
        /* An emulator may not run itself again: cold is then as cold as it gets. */
        _exit(run_part(part));
    }
    close(ends[1]);
    return {id, fdopen(ends[0], "r")};
}

} // namespace

TEST_CASE("a part of the session's cases", "[.][session-part]")
{
    const char *part = std::getenv(part_variable);
    if (part == nullptr)
        SKIP_TEST("it is run by the test of the session");
    std::fflush(stdout);
    const int code = run_part(static_cast<unsigned>(std::atoi(part)));
    std::fflush(stdout);
    _exit(code);
}

TEST_CASE(
    "each system call failed at its N-th use ends in a named error or a weaker grant, without "
    "a leak",
    "[session]")
{
    SKIP_WHERE_EMULATED();
    part_process parts[parts_count];
    for (unsigned i = 0; i < parts_count; i++)
        parts[i] = start_part(i);
    for (part_process &part : parts) {
        std::string said;
        char line[4096];
        while (std::fgets(line, sizeof line, part.output) != nullptr)
            said += line;
        std::fclose(part.output);
        int status = 0;
        REQUIRE(waitpid(part.id, &status, 0) == part.id);
        INFO(said);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
            std::printf("%s", said.c_str());
    }
}
