/* prefetch_own_rings.cpp - a program that has rings of io_uring of its own, beside an engine's.
 *
 * The kernel's workers belong to the thread that opened a ring, all of its rings share them, and so
 * does the number that there may be. */
#include "engine.hpp"

#include <sys/syscall.h>
#include <unistd.h>

using namespace roma_tests;

namespace {

constexpr long register_max_workers = 19; /* IORING_REGISTER_IOWQ_MAX_WORKERS, Linux 5.15 */

/* A small ring of this thread's. */
class own_ring {
  public:
    own_ring()
    {
        alignas(8) char parameters[120] = {}; /* struct io_uring_params */
        fd = static_cast<int>(syscall(SYS_io_uring_setup, 4, parameters));
    }
    own_ring(const own_ring &) = delete;
    own_ring &operator=(const own_ring &) = delete;
    ~own_ring() { (void)close(fd); }

    /* Set how many workers of either kind there may be, 0: leave it; how many there might be
     * before. */
    bool workers(unsigned (&limits)[2]) const
    {
        return syscall(SYS_io_uring_register, fd, register_max_workers, limits, 2) == 0;
    }

    int fd;
};

} // namespace

TEST_CASE("making an engine leaves the workers of the program's rings as they are", "[prefetch]")
{
    const own_ring ring;
    if (ring.fd < 0)
        SKIP_TEST("io_uring cannot be had here");
    unsigned limits[2] = {3, 5};
    if (!ring.workers(limits))
        SKIP_TEST("this kernel lets nobody say how many workers a ring has");
    {
        const owned_engine engine(ROMA_PREFETCH_URING);
        SKIP_WITHOUT(engine);
        unsigned seen[2] = {0, 0};
        CHECK(ring.workers(seen));
        CHECK(seen[0] == 3);
        CHECK(seen[1] == 5);
    }
}
