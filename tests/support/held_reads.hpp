/* held_reads.hpp - populating and syncing that is held, as on a device that takes its time: what an
 * engine has in flight stays there until a test lets it go on.
 *
 * Calls are numbered as they come, and go on in that order. Of the engine's ways, threads and plain
 * calls are held: the kernel makes those of a ring. It is made before the engine and ends after
 * it. */
#ifndef ROMA_TESTS_HELD_READS_HPP
#define ROMA_TESTS_HELD_READS_HPP

#include "faulty.hpp"

#include <atomic>
#include <climits>
#include <thread>
#include <unistd.h>

namespace roma_tests {

struct held_reads {
    static inline std::atomic<int> begun, allowed;
    faulty table;

    held_reads()
    {
        begun = 0;
        allowed = INT_MAX;
        table.calls.madvise = [](void *address, size_t bytes, int advice) {
            const int populate_read = 22;
            if (advice == populate_read && address != nullptr) /* else the kernel is asked for it */
                hold();
            return roma__sys_kernel.madvise(address, bytes, advice);
        };
        table.calls.fdatasync = [](int fd) {
            hold();
            return roma__sys_kernel.fdatasync(fd);
        };
    }

    /* From here on so many go on, and later ones are held. */
    static void hold_after(int count)
    {
        begun = 0;
        allowed = count;
    }
    static void let_go() { allowed = INT_MAX; }
    /* Until so many have been begun. */
    static void await(int count)
    {
        while (begun < count)
            usleep(1000);
    }

private:
    static void hold()
    {
        const int number = begun++;
        while (number >= allowed)
            usleep(1000);
    }
};

enum { DID_NOT_END = 12345 };

/* What a call returns that ends while reads are held; DID_NOT_END when it waits for them, which
 * then go on. */
template <class Call> long while_held(Call call, int most_ms = 10000)
{
    std::atomic<long> code{DID_NOT_END};
    std::thread aside([&] { code = static_cast<long>(call()); });
    for (int ms = 0; code == DID_NOT_END && ms < most_ms; ms++)
        usleep(1000);
    const long seen = code;
    if (seen == DID_NOT_END)
        held_reads::let_go();
    aside.join();
    return seen;
}

} // namespace roma_tests

#endif
