/* pool.cpp - a page pool that others empty at the worst moment: an error, never a SIGBUS, and no
 * signal handler to make it so. The competitor is a real process that takes real pages. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "huge_pages.hpp"
#include "sanitized.hpp"

#include "sys/kernel.h"

#include <roma.h>

#include <csignal>
#include <cstring>
#include <sys/wait.h>
#include <unistd.h>

using roma_tests::faulty;
using roma_tests::huge_pages;

namespace {

void *map_huge(size_t bytes, size_t page_bytes)
{
    int shift = __builtin_ctzl(page_bytes);
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE |
                    (shift << MAP_HUGE_SHIFT),
                -1, 0);
}

/* A process that takes all free pages but a few and keeps them until it is told to end. */
class competitor {
  public:
    void take_all_but(const huge_pages &pool, uint64_t rest)
    {
        int ready[2];
        REQUIRE(pipe(ready) == 0);
        size_t bytes = (size_t)(pool.free_count() - rest) * pool.page_bytes;
        child = fork();
        if (child == 0) {
            void *taken = map_huge(bytes, pool.page_bytes);
            bool good = taken != MAP_FAILED && madvise(taken, bytes, MADV_POPULATE_WRITE) == 0;
            (void)!write(ready[1], good ? "y" : "n", 1);
            pause();
            _exit(0);
        }
        char answer = 'n';
        CHECK(read(ready[0], &answer, 1) == 1);
        CHECK(answer == 'y');
        close(ready[0]);
        close(ready[1]);
    }
    void end()
    {
        if (child <= 0)
            return;
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        child = -1;
    }
    ~competitor() { end(); }

  private:
    pid_t child = -1;
};

roma_extent_request ask(const huge_pages &pool, size_t pages, unsigned threads)
{
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = pages * pool.page_bytes;
    wish.pages = pool.kind;
    wish.populate_threads = threads;
    return wish;
}

using handler = void (*)(int);

handler sigbus_handler()
{
    struct sigaction now;
    REQUIRE(sigaction(SIGBUS, nullptr, &now) == 0);
    return now.sa_handler; /* shares its place with the other form of handlers */
}

/* Sanitizers have one of their own; then it is enough that theirs stays. */
handler expected_handler()
{
#ifdef ROMA_TESTS_UNDER_SANITIZER
    static const handler first = sigbus_handler();
    return first;
#else
    return SIG_DFL;
#endif
}

bool sigbus_is_untouched()
{
    return sigbus_handler() == expected_handler();
}

/* The moment between pre-flight and populate: the mapping is made, no page is taken yet. */
const huge_pages *contested;
competitor *rival;
uint64_t rest_count;
bool untouched_then;

void *strike_then_map(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if ((flags & MAP_HUGETLB) != 0 && rival != nullptr) {
        rival->take_all_but(*contested, rest_count);
        rival = nullptr;
        untouched_then = sigbus_is_untouched();
    }
    return mmap(address, bytes, protection, flags, fd, offset);
}

/* For its time the first mapping of huge pages is that moment, and the rival leaves so many. */
struct contest {
    faulty table;

    contest(const huge_pages &pool, competitor &other, uint64_t rest)
    {
        contested = &pool;
        rival = &other;
        rest_count = rest;
        untouched_then = false;
        table.calls.mmap = strike_then_map;
    }
};

} // namespace

TEST_CASE("without populate, a touch of a dry pool is a SIGBUS: the danger is real", "[pool]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(4);
    SKIP_WITHOUT_PAGES(pool);
    competitor other;
    other.take_all_but(pool, 1);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL);
        auto *at = static_cast<volatile char *>(map_huge(2 * pool.page_bytes, pool.page_bytes));
        at[0] = 1;
        at[pool.page_bytes] = 1;
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
#ifndef ROMA_TESTS_UNDER_SANITIZER
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGBUS);
#else
    CHECK(!(WIFEXITED(status) && WEXITSTATUS(status) == 0));
#endif
}

TEST_CASE("a pool that runs dry between pre-flight and populate is -ENOMEM, with all given back",
          "[pool]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(10);
    SKIP_WITHOUT_PAGES(pool);
    for (unsigned threads : {0u, 1u, 2u, 4u}) {
        roma_provider *provider = roma_provider_anonymous();
        auto wish = ask(pool, 6, threads);
        const uint64_t free_before = pool.free_count();
        roma_extent extent;
        roma_error error = {};
        competitor other;
        {
            const contest striking(pool, other, 3);
            CHECK(sigbus_is_untouched());
            CHECK(roma_provider_acquire(provider, &wish, &extent, &error) == -ENOMEM);
        }
        CHECK(rival == nullptr); /* it struck */
        CHECK(untouched_then);
        CHECK(sigbus_is_untouched());
        CHECK(extent.address == nullptr);
        CHECK(error.why == ROMA_WHY_POOL_RAN_DRY);
        CHECK(std::string(error.call) == "madvise");
        CHECK(error.cause == EFAULT);
        CHECK(error.pages == pool.kind);
        CHECK(error.need == 6);
        CHECK(error.have == 0);
        CHECK(pool.free_count() == 3);
        other.end();
        CHECK(pool.free_count() == free_before);

        REQUIRE(roma_provider_acquire(provider, &wish, &extent, &error) == 0);
        CHECK(pool.free_count() == free_before - 6);
        std::memset(extent.address, 1, extent.bytes);
        CHECK(roma_provider_release(provider, &extent, &error) == 0);
        CHECK(pool.free_count() == free_before);
    }
}

TEST_CASE("a pool with too few pages is refused by the pre-flight, which tells how many there are",
          "[pool]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(4);
    SKIP_WITHOUT_PAGES(pool);
    auto wish = ask(pool, (size_t)pool.figure("nr_hugepages") + 1, 1);
    const uint64_t free_before = pool.free_count();
    roma_error error = {};
    roma_extent extent;
    REQUIRE(pool.figure("nr_overcommit_hugepages") == 0);
    CHECK(roma_provider_probe(roma_provider_anonymous(), &wish, &error) == -ENOMEM);
    CHECK(roma_provider_acquire(roma_provider_anonymous(), &wish, &extent, &error) == -ENOMEM);
    CHECK(error.why == ROMA_WHY_POOL_EMPTY);
    CHECK(error.need == pool.figure("nr_hugepages") + 1);
    CHECK(error.have == free_before);
    CHECK(error.total == pool.figure("nr_hugepages"));
    CHECK(pool.free_count() == free_before);
}

TEST_CASE("growing into a pool that runs dry leaves the old pages where they were", "[pool]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(10);
    SKIP_WITHOUT_PAGES(pool);
    roma_provider *provider = roma_provider_anonymous();
    for (bool may_move : {false, true}) {
        auto wish = ask(pool, 7, 1);
        roma_extent extent;
        roma_error error = {};
        REQUIRE(roma_provider_acquire(provider, &wish, &extent, &error) == 0);
        REQUIRE(roma_provider_resize(provider, &extent, 2 * pool.page_bytes, false, &error) == 0);
        /* Now there is room behind it; to make it move, that is taken. */
        void *wall = MAP_FAILED;
        if (may_move)
            wall = mmap(static_cast<char *>(extent.address) + extent.bytes, pool.page_bytes,
                        PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        std::memset(extent.address, 0x3C, extent.bytes);
        const roma_extent before = extent;
        competitor other;
        {
            const contest striking(pool, other, 2);
            CHECK(roma_provider_resize(provider, &extent, 7 * pool.page_bytes, may_move, &error) ==
                  -ENOMEM);
        }
        CHECK(error.why == ROMA_WHY_POOL_RAN_DRY);
        CHECK(std::memcmp(&before, &extent, sizeof before) == 0);
        size_t odd = 0;
        for (size_t i = 0; i < extent.bytes; i++)
            odd += static_cast<unsigned char *>(extent.address)[i] != 0x3C;
        CHECK(odd == 0);
        CHECK(pool.free_count() == 2);
        other.end();
        REQUIRE(roma_provider_resize(provider, &extent, 7 * pool.page_bytes, may_move, &error) ==
                0);
        CHECK((extent.address != before.address) == may_move);
        std::memset(extent.address, 1, extent.bytes);
        CHECK(roma_provider_release(provider, &extent, &error) == 0);
        if (wall != MAP_FAILED)
            munmap(wall, pool.page_bytes);
    }
}
