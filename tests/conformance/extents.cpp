/* extents.cpp - every provider: acquiring, resizing and releasing extents. */
#include "emulated.hpp"
#include "sanitized.hpp"
#include "subjects.hpp"

#include <atomic>
#include <cerrno>
#include <random>
#include <sys/wait.h>
#include <thread>
#include <vector>

using namespace roma_tests;

PROVIDERS_CONFORM("an extent is whole pages, at least as long as asked, and writable to its end")
{
    SUBJECT(subject);
    const size_t page = subject.page_bytes;
    for (size_t bytes : {(size_t)1, page - 1, page, page + 1, 3 * page + 5}) {
        held got(subject);
        auto wish = subject.request(bytes);
        wish.label = "conformance [test]";
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
        CHECK(got.extent.bytes >= bytes);
        CHECK(got.extent.bytes - bytes < page);
        CHECK(got.extent.page_bytes == page);
        CHECK(got.extent.bytes % got.extent.page_bytes == 0);
        CHECK((uintptr_t)got.extent.address % page == 0);
        CHECK(roma_page_class(got.extent.pages) == roma_page_class(subject.pages));
        CHECK(roma_page_bytes(got.extent.pages) == page);
        write_marks(got.bytes(), got.extent.bytes, 1);
        CHECK(wrong_marks(got.bytes(), got.extent.bytes, 1) == 0);
    }
}

PROVIDERS_CONFORM("every alignment up to 1 GiB is honoured")
{
    SUBJECT(subject);
    for (size_t align = 1; align <= subject.aligns_up_to; align *= 2) {
        held got(subject);
        auto wish = subject.request(subject.page_bytes);
        wish.align = align;
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
        CHECK((uintptr_t)got.extent.address % align == 0);
        got.bytes()[got.extent.bytes - 1] = 1;
    }
}

PROVIDERS_CONFORM("an extent that says it reads as zero does, also where another stood before")
{
    SUBJECT(subject);
    bool was_promised = false;
    for (int round = 0; round < 3; round++) {
        held got(subject);
        auto wish = subject.request(2 * subject.page_bytes);
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
        was_promised = was_promised || got.extent.zeroed;
        size_t not_zero = 0;
        for (size_t i = 0; got.extent.zeroed && i < got.extent.bytes; i++)
            not_zero += got.bytes()[i] != 0;
        CHECK(not_zero == 0);
        std::memset(got.extent.address, 0xA5, got.extent.bytes);
    }
    CHECK(was_promised);
}

PROVIDERS_CONFORM("contents survive growing and shrinking, and new bytes are usable")
{
    SUBJECT(subject);
    const size_t page = subject.page_bytes;
    held got(subject);
    auto wish = subject.request(page);
    wish.align = 16 * page;
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    write_marks(got.bytes(), page, 2);
    unsigned grown = 0;
    for (size_t pages : {3, 8, 2, 5, 1}) {
        size_t before = got.extent.bytes;
        bool was_zeroed = got.extent.zeroed;
        int code = roma_provider_resize(subject.provider, &got.extent, pages * page - 1, true,
                                        nullptr);
        if (pages * page > before && code != 0) {
            CHECK((code == -ENOMEM || code == -EOPNOTSUPP));
            CHECK(got.extent.bytes == before);
            continue;
        }
        REQUIRE(code == 0);
        REQUIRE(got.extent.bytes == pages * page);
        grown += pages * page > before ? 1 : 0;
        CHECK((uintptr_t)got.extent.address % wish.align == 0);
        CHECK(wrong_marks(got.bytes(), page, 2) == 0);
        size_t not_zero = 0;
        for (size_t i = before; was_zeroed && got.extent.zeroed && i < got.extent.bytes; i++)
            not_zero += got.bytes()[i] != 0;
        CHECK(not_zero == 0);
        if (got.extent.bytes > page)
            std::memset(got.bytes() + page, 0x5A, got.extent.bytes - page);
    }
    if (subject.moves)
        CHECK(grown == 3);
}

PROVIDERS_CONFORM("growing past something in the way fails in place and leaves all as it was")
{
    SUBJECT(subject);
    if (is_emulated())
        SKIP_TEST("qemu-user before 8.1 does not know MAP_FIXED_NOREPLACE");
    const size_t page = subject.page_bytes;
    held got(subject), behind(subject);
    auto wish = subject.request(4 * page);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    write_marks(got.bytes(), got.extent.bytes, 3);
    /* Something stands behind it: ours if the provider puts extents there, else a mapping. */
    void *wall = mmap(got.bytes() + got.extent.bytes, page, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    auto next = subject.request(page);
    if (wall == MAP_FAILED)
        REQUIRE(roma_provider_acquire(subject.provider, &next, &behind.extent, nullptr) == 0);

    const roma_extent before = got.extent;
    roma_error error = {};
    int code = roma_provider_resize(subject.provider, &got.extent, 8 * page, false, &error);
    CHECK(code == -ENOMEM);
    CHECK(error.code == code);
    CHECK(error.why != ROMA_WHY_NONE);
    CHECK(std::memcmp(&before, &got.extent, sizeof before) == 0);
    CHECK(wrong_marks(got.bytes(), got.extent.bytes, 3) == 0);
    if (subject.moves) {
        REQUIRE(roma_provider_resize(subject.provider, &got.extent, 8 * page, true, &error) == 0);
        CHECK(got.extent.address != before.address);
        CHECK(got.extent.bytes == 8 * page);
        CHECK((uintptr_t)got.extent.address % page == 0);
        CHECK(wrong_marks(got.bytes(), before.bytes, 3) == 0);
        got.bytes()[8 * page - 1] = 1;
        /* Moved once, it is several mappings; it moves again all the same. */
        void *second = mmap(got.bytes() + got.extent.bytes, page, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        REQUIRE(roma_provider_resize(subject.provider, &got.extent, 12 * page, true, &error) == 0);
        CHECK(wrong_marks(got.bytes(), before.bytes, 3) == 0);
        CHECK(got.bytes()[8 * page - 1] == 1);
        if (second != MAP_FAILED)
            munmap(second, page);
    }
    if (wall != MAP_FAILED)
        munmap(wall, page);
}

PROVIDERS_CONFORM("a resize that cannot be leaves the extent and its contents as they were")
{
    SUBJECT(subject);
    held got(subject);
    auto wish = subject.request(subject.page_bytes);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    write_marks(got.bytes(), got.extent.bytes, 4);
    const roma_extent before = got.extent;
    const size_t beyond[] = {(size_t)PTRDIFF_MAX / 2,
                             (size_t)PTRDIFF_MAX - subject.page_bytes,
                             (size_t)PTRDIFF_MAX,
                             SIZE_MAX - 1,
                             SIZE_MAX,
                             0};
    for (size_t bytes : beyond) {
        roma_error error = {};
        int code = roma_provider_resize(subject.provider, &got.extent, bytes, true, &error);
        CHECK(code < 0);
        CHECK((code == -ENOMEM || code == -EOVERFLOW || (code == -EINVAL && bytes == 0)));
        CHECK(error.code == code);
        CHECK(std::memcmp(&before, &got.extent, sizeof before) == 0);
        CHECK(wrong_marks(got.bytes(), got.extent.bytes, 4) == 0);
    }
}

PROVIDERS_CONFORM("release clears the extent, and the figures come back to what they were")
{
    SUBJECT(subject);
    const uint64_t live = figure(subject.provider, "extents.live");
    const uint64_t bytes = figure(subject.provider, "extents.bytes");
    const uint64_t counted = figure(subject.provider, "dispatch.extents");
    REQUIRE(live != UINT64_MAX);
    REQUIRE(bytes != UINT64_MAX);
    {
        held one(subject), two(subject);
        auto wish = subject.request(2 * subject.page_bytes);
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &one.extent, nullptr) == 0);
        REQUIRE(roma_provider_acquire(subject.provider, &wish, &two.extent, nullptr) == 0);
        REQUIRE(roma_provider_resize(subject.provider, &two.extent, 1, false, nullptr) == 0);
        CHECK(figure(subject.provider, "extents.live") == live + 2);
        CHECK(figure(subject.provider, "extents.bytes") == bytes + 3 * subject.page_bytes);
        CHECK(figure(subject.provider, "dispatch.extents") == counted + 2);
        REQUIRE(roma_provider_release(subject.provider, &one.extent, nullptr) == 0);
        const roma_extent cleared = {};
        CHECK(std::memcmp(&cleared, &one.extent, sizeof cleared) == 0);
        CHECK(roma_provider_release(subject.provider, &one.extent, nullptr) == -EINVAL);
    }
    CHECK(figure(subject.provider, "extents.live") == live);
    CHECK(figure(subject.provider, "extents.bytes") == bytes);
    CHECK(figure(subject.provider, "dispatch.extents") == counted);
}

PROVIDERS_CONFORM("a provider cannot be unregistered while extents live, a built-in one never")
{
    SUBJECT(subject);
    held got(subject);
    auto wish = subject.request(1);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    CHECK(roma_provider_unregister(subject.provider) == (subject.is_built_in ? -EINVAL : -EBUSY));
    CHECK(roma_provider_release(subject.provider, &got.extent, nullptr) == 0);
}

PROVIDERS_CONFORM("probe answers as acquire would, and does nothing")
{
    SUBJECT(subject);
    const uint64_t live = figure(subject.provider, "extents.live");
    auto wish = subject.request(subject.page_bytes);
    CHECK(roma_provider_probe(subject.provider, &wish, nullptr) == 0);
    CHECK(figure(subject.provider, "extents.live") == live);
    held got(subject);
    CHECK(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);

    /* A hugetlb size that no machine has. */
    auto odd = subject.request(1);
    odd.pages = (roma_page_kind)ROMA_PAGES_OF(ROMA_PAGE_CLASS_HUGETLB, 13);
    roma_error probed = {}, acquired = {};
    roma_extent none;
    int code = roma_provider_probe(subject.provider, &odd, &probed);
    CHECK(code == -EOPNOTSUPP);
    CHECK(probed.why == ROMA_WHY_NO_PAGE_KIND);
    CHECK(roma_provider_acquire(subject.provider, &odd, &none, &acquired) == code);
    CHECK(acquired.why == probed.why);
    CHECK(acquired.pages == odd.pages);
    CHECK(none.address == nullptr);
}

/* ThreadSanitizer clears a shadow for each page that is mapped, and sees a race wherever two
 * accesses are not ordered, whether they meet or not. */
#ifdef ROMA_TESTS_UNDER_TSAN
constexpr int rounds_count = 20;
#else
constexpr int rounds_count = 60;
#endif

PROVIDERS_CONFORM("threads that acquire, resize and release at once leave nothing behind")
{
    SUBJECT(subject);
    const uint64_t live = figure(subject.provider, "extents.live");
    const uint64_t bytes = figure(subject.provider, "extents.bytes");
    std::atomic<unsigned> granted{0}, damaged{0}, odd{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 8; t++)
        threads.emplace_back([&, t] {
            std::minstd_rand random(t + 1);
            for (int i = 0; i < rounds_count; i++) {
                roma_extent extent;
                auto wish = subject.request((1 + random() % 2) * subject.page_bytes);
                wish.populate_threads = is_emulated() ? 0 : random() % 3;
                int code = roma_provider_acquire(subject.provider, &wish, &extent, nullptr);
                if (code != 0) {
                    odd += code != -ENOMEM;
                    continue;
                }
                granted++;
                auto *at = static_cast<unsigned char *>(extent.address);
                write_marks(at, subject.page_bytes, t);
                size_t next = (1 + random() % 4) * subject.page_bytes;
                code = roma_provider_resize(subject.provider, &extent, next, random() % 2 == 0,
                                            nullptr);
                odd += code != 0 && code != -ENOMEM;
                at = static_cast<unsigned char *>(extent.address);
                damaged += wrong_marks(at, subject.page_bytes, t) != 0;
                odd += roma_provider_release(subject.provider, &extent, nullptr) != 0;
            }
        });
    for (auto &thread : threads)
        thread.join();
    CHECK(granted > 0);
    CHECK(damaged == 0);
    CHECK(odd == 0);
    CHECK(figure(subject.provider, "extents.live") == live);
    CHECK(figure(subject.provider, "extents.bytes") == bytes);
}

PROVIDERS_CONFORM("a child made by fork has what is inherited, and may release and acquire")
{
    SUBJECT(subject);
    held got(subject);
    auto wish = subject.request(2 * subject.page_bytes);
    REQUIRE(roma_provider_acquire(subject.provider, &wish, &got.extent, nullptr) == 0);
    write_marks(got.bytes(), got.extent.bytes, 5);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        if (got.extent.inherited && wrong_marks(got.bytes(), got.extent.bytes, 5) != 0)
            _exit(1);
        void *other = MAP_FAILED;
        if (!got.extent.inherited) /* the range is a hole, which somebody else fills */
            other = mmap(got.extent.address, got.extent.bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (roma_provider_release(subject.provider, &got.extent, nullptr) != 0)
            _exit(2);
        if (other != MAP_FAILED)
            *static_cast<volatile char *>(other) = 1; /* and that was not released */
        roma_extent own;
        wish.populate_threads = is_emulated() ? 0 : 2;
        if (roma_provider_acquire(subject.provider, &wish, &own, nullptr) != 0)
            _exit(3);
        std::memset(own.address, 1, own.bytes);
        _exit(roma_provider_release(subject.provider, &own, nullptr) == 0 ? 0 : 4);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(wrong_marks(got.bytes(), got.extent.bytes, 5) == 0);
}
