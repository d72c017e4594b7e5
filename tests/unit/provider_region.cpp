/* provider_region.cpp - what is particular to regions: their bytes stay untouched, first fit, what
 * they are made of and where. */
#include "catch.hpp"

#include <roma.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace {

struct memory {
    explicit memory(size_t pages, int protection = PROT_READ | PROT_WRITE)
        : page((size_t)sysconf(_SC_PAGESIZE)), bytes(pages * page)
    {
        at = static_cast<char *>(
            mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        REQUIRE(at != MAP_FAILED);
    }
    ~memory()
    {
        CHECK((provider == nullptr || roma_provider_unregister(provider) == 0));
        munmap(at, bytes);
    }
    memory(const memory &) = delete;
    memory &operator=(const memory &) = delete;

    roma_region_config config() const
    {
        roma_region_config config = {};
        config.size = sizeof config;
        config.address = at;
        config.bytes = bytes;
        return config;
    }
    void open(const roma_region_config &config)
    {
        REQUIRE(roma_provider_region(&config, &provider, nullptr) == 0);
    }
    int take(size_t pages, roma_extent &extent, roma_error *error = nullptr, size_t align = 0)
    {
        roma_extent_request wish = roma_extent_request_default();
        wish.bytes = pages * page;
        wish.pages = (roma_page_kind)ROMA_PAGES_BASE;
        wish.align = align;
        return roma_provider_acquire(provider, &wish, &extent, error);
    }
    size_t page, bytes;
    char *at;
    roma_provider *provider = nullptr;
};

} // namespace

TEST_CASE("region: memory that cannot even be read is managed all the same", "[region]")
{
    memory dark(16, PROT_NONE);
    dark.open(dark.config());
    roma_extent one, two;
    REQUIRE(dark.take(3, one) == 0);
    REQUIRE(dark.take(5, two) == 0);
    CHECK(one.address == dark.at);
    CHECK(two.address == dark.at + 3 * dark.page);
    CHECK(roma_provider_resize(dark.provider, &two, 9 * dark.page, true, nullptr) == 0);
    CHECK_FALSE(one.zeroed);
    CHECK(roma_provider_release(dark.provider, &one, nullptr) == 0);
    CHECK(roma_provider_release(dark.provider, &two, nullptr) == 0);
    /* To populate it is an error, not a crash, and leaves it as it was. */
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = 2 * dark.page;
    wish.pages = (roma_page_kind)ROMA_PAGES_BASE;
    wish.populate_threads = 2;
    roma_error error = {};
    CHECK(roma_provider_acquire(dark.provider, &wish, &one, &error) < 0);
    CHECK(std::string(error.subject).rfind("MADV_POPULATE_WRITE", 0) == 0);
    REQUIRE(dark.take(16, one) == 0);
    CHECK(roma_provider_release(dark.provider, &one, nullptr) == 0);
}

TEST_CASE("region: what it holds is kept, and zero is promised only where nobody was", "[region]")
{
    memory room(8);
    std::memset(room.at + 7 * room.page, 0x11, room.page);
    auto config = room.config();
    config.bytes -= room.page; /* the last page is not zero, so it stays out */
    config.zeroed = true;
    room.open(config);
    roma_extent one, two;
    REQUIRE(room.take(2, one) == 0);
    CHECK(one.zeroed);
    std::memset(one.address, 0x22, one.bytes);
    REQUIRE(roma_provider_release(room.provider, &one, nullptr) == 0);
    REQUIRE(room.take(1, one) == 0);
    CHECK_FALSE(one.zeroed);
    CHECK(room.at[5] == 0x22);
    REQUIRE(room.take(1, two) == 0);
    CHECK_FALSE(two.zeroed);
    REQUIRE(roma_provider_release(room.provider, &one, nullptr) == 0);
    REQUIRE(roma_provider_release(room.provider, &two, nullptr) == 0);
    REQUIRE(room.take(3, one, nullptr, 0) == 0);
    CHECK_FALSE(one.zeroed); /* pages 0 and 1 were somebody's */
    REQUIRE(room.take(1, two) == 0);
    CHECK(two.zeroed);
    REQUIRE(roma_provider_release(room.provider, &one, nullptr) == 0);
    CHECK(roma_provider_resize(room.provider, &two, 3 * room.page, false, nullptr) == 0);
    CHECK(two.zeroed); /* grown over pages that nobody had */
    REQUIRE(roma_provider_release(room.provider, &two, nullptr) == 0);
    CHECK(room.at[7 * room.page] == 0x11);
}

TEST_CASE("region: full, occupied and foreign are errors that say so", "[region]")
{
    memory room(4);
    room.open(room.config());
    roma_extent all, none;
    roma_error error = {};
    REQUIRE(room.take(4, all) == 0);
    CHECK(room.take(1, none, &error) == -ENOMEM);
    CHECK(error.why == ROMA_WHY_REGION_FULL);
    CHECK(error.need == room.page);
    CHECK(error.have == 0);
    CHECK(error.total == 4 * room.page);
    CHECK(roma_provider_resize(room.provider, &all, 5 * room.page, true, &error) == -ENOMEM);
    CHECK(error.why == ROMA_WHY_REGION_FULL);
    CHECK(all.bytes == 4 * room.page);

    roma_extent copy = all, foreign = all;
    foreign.address = room.at + 64 * room.page;
    CHECK(roma_provider_release(room.provider, &foreign, &error) == -EINVAL);
    CHECK(std::strcmp(error.subject, "extent") == 0);
    CHECK(roma_provider_release(room.provider, &all, &error) == 0);
    CHECK(roma_provider_release(room.provider, &copy, &error) == -EINVAL); /* twice */
    CHECK(room.take(5, none, &error) == -ENOMEM);
}

TEST_CASE("region: a kind, a place or a proof that it does not have is refused", "[region]")
{
    memory room(4);
    auto config = room.config();
    config.nodes = roma_nodes_one(3);
    room.open(config);
    roma_extent_request wish = roma_extent_request_default();
    roma_extent extent;
    roma_error error = {};
    wish.bytes = 1;
    wish.pages = (roma_page_kind)ROMA_PAGES_THP;
    CHECK(roma_provider_acquire(room.provider, &wish, &extent, &error) == -EOPNOTSUPP);
    CHECK(error.why == ROMA_WHY_NO_PAGE_KIND);
    wish.pages = (roma_page_kind)ROMA_PAGES_BASE;
    wish.nodes = roma_nodes_one(2);
    wish.strict = true;
    CHECK(roma_provider_acquire(room.provider, &wish, &extent, &error) == -EXDEV);
    CHECK(error.why == ROMA_WHY_LANDED_ELSEWHERE);
    CHECK(error.node == 2);
    wish.strict = false; /* a wish alone is granted anywhere */
    REQUIRE(roma_provider_acquire(room.provider, &wish, &extent, &error) == 0);
    CHECK(roma_provider_release(room.provider, &extent, &error) == 0);
    wish.strict = true;
    roma_nodes_add(&wish.nodes, 3);
    REQUIRE(roma_provider_acquire(room.provider, &wish, &extent, &error) == 0);
    CHECK(roma_provider_release(room.provider, &extent, &error) == 0);

    memory unknown(4);
    unknown.open(unknown.config());
    CHECK(roma_provider_acquire(unknown.provider, &wish, &extent, &error) == -EXDEV);
    CHECK(error.why == ROMA_WHY_UNSUPPORTED);
}
