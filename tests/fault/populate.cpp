/* populate.cpp - populating and proving when calls fail, lie, or answer late. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "huge_pages.hpp"
#include "skip.hpp"

#include "sys/kernel.h"

#include <roma.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <thread>
#include <unistd.h>
#include <vector>

using roma_tests::faulty;
using roma_tests::huge_pages;

namespace {

constexpr size_t length = 96u << 20; /* more than one slice */

size_t base_bytes()
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

size_t resident(const roma_extent &extent)
{
    std::vector<unsigned char> present(extent.bytes / base_bytes());
    if (mincore(extent.address, extent.bytes, present.data()) != 0)
        return 0;
    size_t sum = 0;
    for (unsigned char page : present)
        sum += (page & 1) != 0 ? base_bytes() : 0;
    return sum;
}

size_t mapped_bytes()
{
    unsigned long pages = 0;
    if (FILE *stream = std::fopen("/proc/self/statm", "r")) {
        if (std::fscanf(stream, "%lu", &pages) != 1)
            pages = 0;
        std::fclose(stream);
    }
    return pages * base_bytes();
}

roma_extent_request ask(roma_page_kind pages, size_t bytes, unsigned threads)
{
    roma_extent_request request = roma_extent_request_default();
    request.bytes = bytes;
    request.pages = pages;
    request.populate_threads = threads;
    return request;
}

const auto base = (roma_page_kind)ROMA_PAGES_BASE;
const auto transparent = (roma_page_kind)ROMA_PAGES_THP;

/* Replacements for madvise; counts are of MADV_POPULATE_WRITE over more than nothing. */
std::atomic<int> populates, fail_from, fail_to, fail_with;

int agree_to_everything(void *, size_t, int)
{
    return 0;
}

int fail_some(void *address, size_t bytes, int advice)
{
    if (advice != MADV_POPULATE_WRITE || bytes == 0)
        return madvise(address, bytes, advice);
    int n = ++populates;
    if (n < fail_from || n > fail_to)
        return madvise(address, bytes, advice);
    errno = fail_with;
    return -1;
}

void fail_populates(int from, int to, int cause)
{
    populates = 0;
    fail_from = from;
    fail_to = to;
    fail_with = cause;
}

/* Acquire, expecting a failure that leaves nothing mapped. */
roma_error failure_of(const roma_extent_request &request)
{
    const size_t before = mapped_bytes();
    roma_extent extent;
    roma_error error = {};
    int code = roma_provider_acquire(roma_provider_anonymous(), &request, &extent, &error);
    CHECK(code < 0);
    CHECK(error.code == code);
    CHECK(mapped_bytes() < before + request.bytes / 2);
    return error;
}

} // namespace

TEST_CASE("an emulator that agrees to every advice is not believed", "[populate]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(2);
    faulty table;
    table.calls.madvise = agree_to_everything;
    auto request = ask(base, length, 2);
    roma_extent extent;
    REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, nullptr) == 0);
    CHECK(resident(extent) == extent.bytes);
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, nullptr) == 0);
    SKIP_WITHOUT_PAGES(pool);
    roma_error error = failure_of(ask(pool.kind, 2 * pool.page_bytes, 1));
    CHECK(error.code == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_UNSUPPORTED);
}

TEST_CASE("a populate that is interrupted is taken up again, but not for ever", "[populate]")
{
    SKIP_WHERE_EMULATED();
    faulty table;
    table.calls.madvise = fail_some;
    for (int cause : {EINTR, EAGAIN}) {
        fail_populates(1, 5, cause);
        auto request = ask(base, length, 2);
        roma_extent extent;
        REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, nullptr) == 0);
        CHECK(resident(extent) == extent.bytes);
        CHECK(roma_provider_release(roma_provider_anonymous(), &extent, nullptr) == 0);
        fail_populates(1, INT32_MAX, cause);
        CHECK(failure_of(request).cause == EAGAIN);
    }
}

TEST_CASE("a failure in one of several threads is reported when all have ended, and undone",
          "[populate]")
{
    SKIP_WHERE_EMULATED();
    faulty table;
    table.calls.madvise = fail_some;
    for (int nth : {1, 2, 3, 7})
        for (int cause : {ENOMEM, EFAULT}) {
            fail_populates(nth, nth, cause);
            roma_error error = failure_of(ask(base, length, 4));
            CHECK(error.code == -ENOMEM);
            CHECK(error.cause == cause);
            CHECK(populates >= nth);
        }
    fail_populates(2, 2, EHWPOISON);
    roma_error error = failure_of(ask(base, length, 4));
    CHECK(error.code == -EHWPOISON);
    CHECK(std::string(error.subject) == "MADV_POPULATE_WRITE");
}

TEST_CASE("a failed part of a populate of hugetlb pages gives all pages back", "[populate]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(8);
    SKIP_WITHOUT_PAGES(pool);
    faulty table;
    table.calls.madvise = fail_some;
    const uint64_t free_before = pool.free_count();
    for (int nth : {1, 3, 6}) {
        fail_populates(nth, nth, EFAULT);
        roma_error error = failure_of(ask(pool.kind, 8 * pool.page_bytes, 2));
        CHECK(error.code == -ENOMEM);
        CHECK((error.why == ROMA_WHY_POOL_RAN_DRY));
        CHECK(pool.free_count() == free_before);
    }
    fail_populates(2, 2, EHWPOISON);
    CHECK(failure_of(ask(pool.kind, 8 * pool.page_bytes, 2)).code == -EHWPOISON);
    CHECK(pool.free_count() == free_before);
}

TEST_CASE("threads that cannot be started are done without", "[populate]")
{
    SKIP_WHERE_EMULATED();
    faulty table;
    static std::atomic<int> starts;
    starts = 0;
    table.calls.thread_start = [](void **thread, void *(*run)(void *), void *argument) {
        if (++starts == 1)
            return roma__sys_kernel.thread_start(thread, run, argument);
        errno = EAGAIN;
        return -1;
    };
    auto request = ask(base, length, 4);
    roma_extent extent;
    REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, nullptr) == 0);
    CHECK(starts == 2);
    CHECK(resident(extent) == extent.bytes);
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, nullptr) == 0);
}

TEST_CASE("populating by touch loses no write of another thread", "[populate]")
{
    SKIP_WHERE_EMULATED();
    faulty table;
    table.calls.madvise = agree_to_everything;
    auto request = ask(base, 4u << 20, 0);
    roma_extent extent;
    REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, nullptr) == 0);
    auto *bytes = static_cast<unsigned char *>(extent.address);
    roma_range all = {&extent, 0, extent.bytes};
    std::atomic<bool> stop{false};
    std::atomic<unsigned> rounds{0}, lost{0};
    /* Each page's first byte is what a touch exchanges; here it only ever grows by one. */
    std::thread writer([&] {
        for (unsigned char value = 1; !stop; value++, rounds++)
            for (size_t at = 0; at < extent.bytes; at += base_bytes()) {
                unsigned char before = __atomic_load_n(bytes + at, __ATOMIC_RELAXED);
                lost += before != (unsigned char)(value - 1);
                __atomic_store_n(bytes + at, value, __ATOMIC_RELAXED);
            }
    });
    for (int i = 0; i < 200 || rounds < 2; i++)
        REQUIRE(roma_provider_populate(roma_provider_anonymous(), &all, nullptr, nullptr) == 0);
    stop = true;
    writer.join();
    CHECK(lost == 0);
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, nullptr) == 0);
}

TEST_CASE("pages that land on another node are a failure when strict, found slice by slice",
          "[populate]")
{
    SKIP_WHERE_EMULATED();
    auto request = ask(base, length, 1);
    request.nodes = roma_nodes_one(0);
    request.strict = true;
    roma_extent extent;
    roma_error error = {};
    REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, &error) == 0);
    CHECK(extent.populated);
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, &error) == 0);

    faulty table;
    static std::atomic<unsigned> asked;
    asked = 0;
    table.calls.move_pages = [](unsigned long count, void **, const int *, int *status, int) {
        for (unsigned long i = 0; i < count; i++)
            status[i] = ++asked % 4 == 0 ? 1 : 0;
        return 0;
    };
    table.calls.madvise = fail_some;
    fail_populates(INT32_MAX, 0, 0);
    error = failure_of(request);
    CHECK(error.code == -EXDEV);
    CHECK(error.why == ROMA_WHY_LANDED_ELSEWHERE);
    CHECK(error.node == 0);
    CHECK(error.need == 64u << 20);
    CHECK(error.have == 48u << 20);
    request.strict = false;
    REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &request, &extent, &error) == 0);
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, &error) == 0);
}

TEST_CASE("too few transparent huge pages are a failure when strict", "[populate]")
{
    SKIP_WHERE_EMULATED();
    auto request = ask(transparent, length, 0);
    request.strict = true;
    roma_extent extent;
    roma_error error = {};
    int code = roma_provider_acquire(roma_provider_anonymous(), &request, &extent, &error);
    if (code != 0) {
        char text[256];
        SKIP_TEST(std::string("no transparent huge pages: ") +
                  roma_error_text(&error, text, sizeof text));
    }
    CHECK(extent.populated);
    CHECK(resident(extent) == extent.bytes);
    const size_t page = extent.page_bytes;
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, &error) == 0);

    /* The kernel gives base pages where the advice is kept from it. */
    faulty table;
    table.calls.madvise = [](void *address, size_t bytes, int advice) {
        return madvise(address, bytes, advice == MADV_HUGEPAGE ? MADV_NOHUGEPAGE : advice);
    };
    error = failure_of(request);
    CHECK(error.code == -ENOMEM);
    CHECK(error.why == ROMA_WHY_THP_SCARCE);
    CHECK(error.have == 0);
    CHECK(error.need == (64u << 20) / page);
}
