/* prefetch_handover.cpp - the kernel takes fewer calls than were handed over, as it does where it
 * refuses one of them, or has no memory for more: what it left is handed over, too. The ring is the
 * kernel's own, of a process that forbids itself one operation (Linux 5.10). */
#include "disk_file.hpp"
#include "engine.hpp"
#include "faulty.hpp"

#include "prefetch/ring.h"

#include <cerrno>
#include <vector>

using namespace roma_tests;

namespace {

/* The kernel's numbers (linux/io_uring.h), which headers may be too old to have. */
enum : unsigned { SETUP_DISABLED = 1 << 6, REGISTER_RESTRICTIONS = 11, REGISTER_ENABLE = 12 };
enum : unsigned short { ALLOW_REGISTER = 0, ALLOW_OPERATION = 1, ALLOW_FLAGS = 2 };
enum : unsigned char { IO_LINK = 1 << 2, PROBE = 8, MAX_WORKERS = 19 };
enum : unsigned char { FSYNC = 3, SYNC_FILE_RANGE = 8 };

struct restriction {
    unsigned short kind;
    unsigned char value;
    unsigned char unused[13];
};

/* A ring that refuses FADVISE; -1 where there is no such ring. */
int restricted_setup(unsigned entries, void *parameters)
{
    static_cast<unsigned *>(parameters)[2] |= SETUP_DISABLED;
    const int fd = roma__sys_kernel.io_uring_setup(entries, parameters);
    restriction allowed[] = {
        {ALLOW_REGISTER, PROBE, {}},  {ALLOW_REGISTER, MAX_WORKERS, {}},
        {ALLOW_OPERATION, FSYNC, {}}, {ALLOW_OPERATION, SYNC_FILE_RANGE, {}},
        {ALLOW_FLAGS, IO_LINK, {}},
    };
    const unsigned count = sizeof allowed / sizeof allowed[0];
    const auto tell = roma__sys_kernel.io_uring_register;
    if (fd < 0 || (tell(fd, REGISTER_RESTRICTIONS, allowed, count) == 0 &&
                   tell(fd, REGISTER_ENABLE, nullptr, 0) == 0))
        return fd;
    close(fd);
    errno = EOPNOTSUPP;
    return -1;
}

struct restricted_ring : faulty {
    roma__ring *self = nullptr;
    std::string lacks;

    restricted_ring()
    {
        roma_error error = {};
        char text[256];
        calls.io_uring_setup = restricted_setup;
        if (roma__rings_kernel.open(&self, 8, 1, false, &error) != 0)
            lacks = roma_error_text(&error, text, sizeof text);
    }
    ~restricted_ring()
    {
        if (self != nullptr)
            roma__rings_kernel.close(self);
    }

    /* All `count` answers, by tag, without handing over anything more. */
    std::vector<int> answers(size_t count) const
    {
        std::vector<int> results(count, 1);
        for (int ms = 0; count > 0 && ms < 10000; ms++) {
            roma__answer one;
            while (roma__rings_kernel.reap(self, &one, 1) == 1) {
                results[one.tag] = one.result;
                count--;
            }
            usleep(1000);
        }
        return results;
    }
};

} // namespace

TEST_CASE("calls behind one that the kernel refuses are handed over with it", "[prefetch]")
{
    SKIP_WHERE_EMULATED();
    restricted_ring ring;
    SKIP_WITHOUT(ring);
    const disk_file file(MiB);
    const roma__call refused = {ROMA__CALL_FADVISE, file.fd, nullptr, 0, 4096};
    const roma__call writes = {ROMA__CALL_WRITE_RANGE, file.fd, nullptr, 0, 4096};
    const roma__call syncs = {ROMA__CALL_SYNC, file.fd, nullptr, 0, 0};
    uint64_t tag = 0;
    for (const roma__call *call : {&writes, &refused, &refused, &syncs})
        roma__rings_kernel.queue(ring.self, call, tag++, false);
    CHECK(roma__rings_kernel.enter(ring.self, 0) == 0);
    CHECK_FALSE(roma__rings_kernel.unqueue(ring.self, &tag));
    CHECK(ring.answers(4) == std::vector<int>{0, -EACCES, -EACCES, 0});
}
