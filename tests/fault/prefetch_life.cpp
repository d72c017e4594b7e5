/* prefetch_life.cpp - an engine ends at the worst moment of other threads' calls: who begins to use
 * it, who forks, who wakes its thread. Threads are stopped in a system call, or by a signal in the
 * wait for a lock, and go on when the others are where the test wants them. */
#include "asleep.hpp"
#include "child.hpp"
#include "descriptors.hpp"
#include "held_reads.hpp"
#include "soft_ring.hpp"

#include <atomic>
#include <cerrno>
#include <csignal>
#include <sys/syscall.h>
#include <thread>

using namespace roma_tests;
using namespace soft_rings;

namespace {

/* Threads that a signal stops where they are, until they are let go. */
struct stopped_by_signal {
    static inline std::atomic<bool> is_stopped, may_go;
    struct sigaction before = {};

    stopped_by_signal()
    {
        is_stopped = may_go = false;
        struct sigaction action = {};
        action.sa_handler = [](int) {
            const int saved = errno;
            is_stopped = true;
            while (!may_go)
                usleep(1000);
            errno = saved;
        };
        sigaction(SIGUSR1, &action, &before);
    }
    ~stopped_by_signal() { sigaction(SIGUSR1, &before, nullptr); }
};

/* One call of an entry of the table that is stopped on its way. */
struct stopped_call {
    static inline std::atomic<bool> is_in, may_go;
    static inline std::atomic<int> fd;

    stopped_call() { reset(-1); }
    static void reset(int of)
    {
        is_in = may_go = false;
        fd = of;
    }
    static void pass()
    {
        is_in = true;
        while (!may_go)
            usleep(1000);
    }
};

} // namespace

TEST_CASE("a callback opens a scan, or its engine is destroyed, but never both", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    NEEDS_POPULATE();
    COLD_FILE(file, 8 * MiB);
    held_reads reads;
    static stopped_call write;
    reads.table.calls.write = [](int fd, const void *buffer, size_t bytes) {
        if (fd == write.fd)
            write.pass();
        return roma__sys_kernel.write(fd, buffer, bytes);
    };
    static roma_prefetch_engine *engine;
    static roma_file_range range;
    static roma_scan *scan;
    static std::atomic<int> opened;
    const owned_map map(file);
    range = map.all();
    opened = 1;
    const roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_POOL);
    REQUIRE(roma_prefetch_create(&engine, &options, nullptr) == 0);
    held_reads::hold_after(0);
    roma_prefetch_handle *handle = nullptr;
    REQUIRE(roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, &handle, nullptr) == 0);
    held_reads::await(1);
    stopped_call::reset(roma_prefetch_eventfd(handle));
    REQUIRE(write.fd >= 0);
    REQUIRE(roma_prefetch_on_done(
                handle,
                [](void *, roma_prefetch_handle *, int) {
                    opened = roma_scan_open(engine, &range, nullptr, &scan, nullptr);
                },
                nullptr) == 0);
    held_reads::let_go();
    REQUIRE(await([] { return write.is_in.load(); })); /* in the lock; next is the callback */
    const stopped_by_signal signal;
    std::atomic<int> destroyed{1};
    std::atomic<pid_t> id{0};
    std::thread destroyer([&] {
        id = static_cast<pid_t>(syscall(SYS_gettid));
        destroyed = roma_prefetch_destroy(engine);
    });
    const bool waits = await([&] { return id != 0 && is_asleep(id); }); /* for the lock */
    pthread_kill(destroyer.native_handle(), SIGUSR1);
    /* ThreadSanitizer may keep the signal until the lock is there. */
    (void)await([] { return stopped_by_signal::is_stopped.load(); }, 2000);
    write.may_go = true;
    (void)await([&] { return opened != 1 || destroyed != 1; }, 2000);
    stopped_by_signal::may_go = true;
    destroyer.join();
    roma_prefetch_close(handle); /* no callback runs any more */
    CHECK(waits);
    CHECK(destroyed == (opened == 0 ? -EBUSY : 0));
    CHECK((opened == 0 || opened == -ESHUTDOWN));
    if (destroyed == -EBUSY) {
        CHECK(roma_scan_close(scan) == 0);
        CHECK(roma_prefetch_destroy(engine) == 0);
    }
}

TEMPLATE_TEST_CASE("handles of an engine that was destroyed are closed in a child of fork()",
                   "[prefetch]", by_ring, by_threads, by_plain_calls)
{
    FILE_ON_DISK(file, 2 * MiB);
    const int descriptors = open_descriptors();
    faulty table;
    static stopped_call opening;
    stopped_call::reset(-1);
    table.calls.eventfd = [](unsigned count, int flags) {
        if (opening.fd == 0) { /* in the lock: a fork is to wait for it, if not for ever */
            opening.is_in = true;
            (void)await([] { return opening.may_go.load(); }, 300);
        }
        return roma__sys_kernel.eventfd(count, flags);
    };
    roma_prefetch_handle *one = nullptr, *other = nullptr;
    {
        const owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        const roma_file_range range = file.range(0, file.bytes);
        for (roma_prefetch_handle **handle : {&one, &other})
            REQUIRE(roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_RESIDENT, handle,
                                         nullptr) == 0);
    }
    stopped_call::reset(0);
    std::thread asker([&] {
        (void)roma_prefetch_eventfd(one);
        (void)await([] { return opening.may_go.load(); }, 60000); /* outlives the fork */
    });
    const bool asks = await([] { return opening.is_in.load(); });
    const int code = in_child([&] {
        alarm(20);
        if (roma_prefetch_poll(one) != -ESTALE)
            return 1;
        roma_prefetch_close(one);
        roma_prefetch_close(other);
        if (open_descriptors() != descriptors)
            return 2;
        const pid_t grandchild = fork(); /* there is nothing left that it would lock */
        if (grandchild == 0)
            _exit(0);
        int status = 1;
        return waitpid(grandchild, &status, 0) == grandchild && status == 0 ? 0 : 3;
    });
    opening.may_go = true;
    asker.join();
    CHECK(asks);
    CHECK(code == 0);
    roma_prefetch_close(one);
    roma_prefetch_close(other);
    CHECK(open_descriptors() == descriptors);
}

TEST_CASE("who is about to wake an engine's thread when the engine ends has its descriptor still",
          "[prefetch]")
{
    NEEDS_POPULATE();
    COLD_FILE(file, 8 * MiB);
    const int descriptors = open_descriptors();
    with_soft_rings rings;
    faulty table;
    static stopped_call wake;
    static std::atomic<bool> is_interrupted, had_descriptor;
    static thread_local bool is_waker;
    stopped_call::reset(-1);
    is_interrupted = had_descriptor = false;
    table.calls.write = [](int fd, const void *buffer, size_t bytes) {
        if (is_waker) {
            wake.pass();
            had_descriptor = fcntl(fd, F_GETFD) >= 0;
        }
        return roma__sys_kernel.write(fd, buffer, bytes);
    };
    script.holds = is_populate;
    script.interrupts = [] { return is_interrupted.load(); };
    roma_prefetch_engine *engine = nullptr;
    const roma_prefetch_options options = owned_engine::with_way(ROMA_PREFETCH_URING);
    REQUIRE(roma_prefetch_create(&engine, &options, nullptr) == 0);
    const roma_file_range range = file.range(0, file.bytes);
    roma_prefetch_handle *handle = nullptr;
    REQUIRE(roma_prefetch_submit(engine, &range, 1, ROMA_PREFETCH_RESIDENT, &handle, nullptr) == 0);
    await_held(); /* its thread is asleep, or is about to */
    usleep(50000);
    std::thread waker([&] {
        is_waker = true;
        (void)roma_prefetch_cancel(handle);
    });
    const bool wakes = await([] { return wake.is_in.load(); });
    let_go = true; /* the thread wakes by itself, and sleeps again */
    (void)roma_prefetch_wait(handle, ROMA_FOREVER);
    is_interrupted = true;
    std::atomic<int> destroyed{1};
    std::thread destroyer([&] { destroyed = roma_prefetch_destroy(engine); });
    const bool ended = await([&] { return destroyed == 0; });
    wake.may_go = true;
    waker.join();
    destroyer.join();
    roma_prefetch_close(handle);
    CHECK(wakes);
    CHECK(ended);
    CHECK(had_descriptor);
    CHECK(open_descriptors() == descriptors);
}

TEMPLATE_TEST_CASE("a child of fork() keeps nothing of an engine whose last handle is being closed",
                   "[prefetch]", by_ring, by_threads)
{
    FILE_ON_DISK(file, 2 * MiB);
    const int descriptors = open_descriptors();
    faulty table;
    static stopped_call closing;
    stopped_call::reset(-1);
    table.calls.close = [](int fd) {
        if (fd == closing.fd)
            closing.pass();
        return roma__sys_kernel.close(fd);
    };
    /* Two engines that are destroyed, and have a handle left with a descriptor of its own. */
    roma_prefetch_handle *first = nullptr, *second = nullptr;
    for (roma_prefetch_handle **handle : {&first, &second}) {
        const owned_engine engine(TestType::way);
        SKIP_WITHOUT(engine);
        const roma_file_range range = file.range(0, file.bytes);
        REQUIRE(roma_prefetch_submit(engine.self, &range, 1, ROMA_PREFETCH_RESIDENT, handle,
                                     nullptr) == 0);
        REQUIRE(roma_prefetch_eventfd(*handle) >= 0);
    }
    stopped_call::reset(roma_prefetch_eventfd(first));
    std::thread one([&] { roma_prefetch_close(first); }); /* in the list of all engines */
    const bool is_in_list = await([] { return closing.is_in.load(); });
    const stopped_by_signal signal;
    std::atomic<pid_t> id{0};
    std::atomic<bool> is_forked{false};
    std::thread other([&] {
        id = static_cast<pid_t>(syscall(SYS_gettid));
        roma_prefetch_close(second);                          /* is to go there, too */
        (void)await([&] { return is_forked.load(); }, 60000); /* outlives the fork */
    });
    const bool waits = await([&] { return id != 0 && is_asleep(id); });
    pthread_kill(other.native_handle(), SIGUSR1);
    /* ThreadSanitizer may keep the signal until the lock is there: then it is not to be held. */
    stopped_by_signal::may_go = !await([] { return stopped_by_signal::is_stopped.load(); }, 2000);
    closing.may_go = true;
    one.join();
    const int kept = in_child([&] { return open_descriptors() - descriptors; });
    stopped_by_signal::may_go = is_forked = true;
    other.join();
    CHECK(is_in_list);
    CHECK(waits);
    CHECK(kept == 0);
    CHECK(open_descriptors() == descriptors);
}
