/* provider_mapping.cpp - what is particular to each kind of anonymous pages: exact huge pages, what
 * a child has, advice. */
#include "catch.hpp"
#include "emulated.hpp"
#include "huge_pages.hpp"
#include "skip.hpp"

#include <roma.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

using roma_tests::huge_pages;

namespace {

roma_extent_request ask(roma_page_kind pages, size_t bytes)
{
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = bytes;
    wish.pages = pages;
    return wish;
}

/* How a child ends that reads the 1 that stands at an address and writes there: well only if it has
 * the page. Where it has not, a signal ends it, or it finds what a sanitizer has put there
 *  since. */
int status_of_writer(void *address)
{
    *static_cast<volatile char *>(address) = 1;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        bool is_there = *static_cast<volatile char *>(address) == 1;
        *static_cast<volatile char *>(address) = 9;
        _exit(is_there ? 0 : 1);
    }
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

} // namespace

TEST_CASE("mapping: n hugetlb pages take exactly n pages of the pool, in whatever order",
          "[mapping]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(16);
    SKIP_WITHOUT_PAGES(pool);
    roma_provider *provider = roma_provider_anonymous();
    const uint64_t before = pool.free_count();
    roma_extent held[3];
    uint64_t taken = 0;
    for (unsigned i = 0; i < 3; i++) {
        auto wish = ask(pool.kind, (i + 2) * pool.page_bytes - 5);
        wish.align = i == 1 ? 8 * pool.page_bytes : 0;
        REQUIRE(roma_provider_acquire(provider, &wish, &held[i], nullptr) == 0);
        taken += i + 2;
        CHECK(held[i].pinned);
        CHECK(held[i].populated);
        CHECK_FALSE(held[i].inherited);
        CHECK(pool.free_count() == before - taken);
    }
    REQUIRE(roma_provider_resize(provider, &held[1], 6 * pool.page_bytes, true, nullptr) == 0);
    CHECK(pool.free_count() == before - taken - 3);
    REQUIRE(roma_provider_resize(provider, &held[1], pool.page_bytes, true, nullptr) == 0);
    CHECK(pool.free_count() == before - taken + 2);
    for (auto &extent : held)
        CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
    CHECK(pool.free_count() == before);
}

TEST_CASE("mapping: hugetlb pages are not there in a child, unless asked", "[mapping]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(6);
    SKIP_WITHOUT_PAGES(pool);
    roma_provider *provider = roma_provider_anonymous();
    for (bool inherit : {false, true}) {
        auto wish = ask(pool.kind, pool.page_bytes);
        wish.inherit = inherit;
        roma_extent extent;
        REQUIRE(roma_provider_acquire(provider, &wish, &extent, nullptr) == 0);
        CHECK(extent.inherited == inherit);
        int status = status_of_writer(extent.address);
        CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0) == inherit);
        CHECK(*static_cast<char *>(extent.address) == 1); /* a copy was written, if any */
        CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
    }
}

TEST_CASE("mapping: discarding hugetlb pages is refused, for the next touch could be a SIGBUS",
          "[mapping]")
{
    SKIP_WHERE_EMULATED();
    huge_pages pool(1);
    SKIP_WITHOUT_PAGES(pool);
    auto wish = ask(pool.kind, 1);
    roma_extent extent;
    roma_error error = {};
    REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &wish, &extent, nullptr) == 0);
    roma_range all = {&extent, 0, extent.bytes};
    CHECK(roma_provider_advise(roma_provider_anonymous(), &all, ROMA_ADVICE_DISCARD, nullptr,
                               &error) == -EOPNOTSUPP);
    CHECK(std::string(error.subject) == "MADV_DONTNEED");
    CHECK(error.pages == pool.kind);
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, nullptr) == 0);
}

TEST_CASE("mapping: discarded ordinary pages are gone from memory and read as zero", "[mapping]")
{
    SKIP_WHERE_EMULATED();
    roma_provider *provider = roma_provider_anonymous();
    auto wish = ask((roma_page_kind)ROMA_PAGES_BASE, 1u << 20);
    wish.populate_threads = 1;
    roma_extent extent;
    REQUIRE(roma_provider_acquire(provider, &wish, &extent, nullptr) == 0);
    std::memset(extent.address, 1, extent.bytes);
    roma_range half = {&extent, 0, extent.bytes / 2}, all = {&extent, 0, extent.bytes};
    REQUIRE(roma_provider_advise(provider, &half, ROMA_ADVICE_DISCARD, nullptr, nullptr) == 0);
    roma_report report;
    REQUIRE(roma_provider_query(provider, &all, &report, nullptr) == 0);
    CHECK(report.resident_bytes == extent.bytes / 2);
    CHECK(static_cast<char *>(extent.address)[0] == 0);
    CHECK(static_cast<char *>(extent.address)[extent.bytes - 1] == 1);
    /* A part that was advised is a mapping of its own; the whole still grows and moves. */
    REQUIRE(roma_provider_advise(provider, &half, ROMA_ADVICE_NODUMP, nullptr, nullptr) == 0);
    void *wall = mmap(static_cast<char *>(extent.address) + extent.bytes, 4096, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    REQUIRE(roma_provider_resize(provider, &extent, 3u << 20, true, nullptr) == 0);
    CHECK(static_cast<char *>(extent.address)[(1u << 20) - 1] == 1);
    CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
    if (wall != MAP_FAILED)
        munmap(wall, 4096);
}

TEST_CASE("mapping: advice not to inherit is obeyed by fork", "[mapping]")
{
    SKIP_WHERE_EMULATED();
    auto wish = ask((roma_page_kind)ROMA_PAGES_BASE, 1);
    roma_extent extent;
    REQUIRE(roma_provider_acquire(roma_provider_anonymous(), &wish, &extent, nullptr) == 0);
    CHECK(extent.inherited);
    int status = status_of_writer(extent.address);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    roma_range all = {&extent, 0, extent.bytes};
    REQUIRE(roma_provider_advise(roma_provider_anonymous(), &all, ROMA_ADVICE_NOFORK, nullptr,
                                 nullptr) == 0);
    status = status_of_writer(extent.address);
    CHECK_FALSE((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK(roma_provider_release(roma_provider_anonymous(), &extent, nullptr) == 0);
}

TEST_CASE("mapping: transparent pages smaller than the full size cannot be proved", "[mapping]")
{
    const roma_topology *topology = roma_topology_get();
    REQUIRE(topology != nullptr);
    const roma_page_kind full = roma_topology_resolve(topology, (roma_page_kind)ROMA_PAGES_THP);
    roma_page_kind small = 0;
    roma_kind_info info;
    for (unsigned i = 0; roma_topology_kind(topology, i, &info) == 0; i++)
        if (roma_page_class(info.pages) == ROMA_PAGE_CLASS_THP && info.pages != full)
            small = info.pages;
    if (small == 0)
        SKIP_TEST("this kernel has transparent huge pages of one size only");
    auto wish = ask(small, 1);
    wish.strict = true;
    roma_extent extent;
    roma_error error = {};
    CHECK(roma_provider_acquire(roma_provider_anonymous(), &wish, &extent, &error) == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_UNSUPPORTED);
    CHECK(error.pages == small);
}
