/* provider_space.cpp - moving ranges of several mappings on kernels that move one mapping at a
 * time, and what is left of the target where a move fails. */
#include "catch.hpp"
#include "emulated.hpp"
#include "faulty.hpp"

#include <roma.h>

extern "C" {
#include "numa/machine.h"
#include "provider/space.h"
}

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

namespace {

size_t page_bytes, refused_beyond;
int refused_with;

void *mremap_of_old(void *address, size_t old_bytes, size_t bytes, int flags, void *to)
{
    if (old_bytes > refused_beyond) {
        munmap(to, bytes); /* as old kernels do before they look */
        errno = refused_with;
        return MAP_FAILED;
    }
    return roma__sys_kernel.mremap(address, old_bytes, bytes, flags, to);
}

/* What another thread is given by mmap() in the moment that the kernel leaves a hole. */
char *stranger;

void *mremap_and_stranger(void *address, size_t old_bytes, size_t bytes, int flags, void *to)
{
    if (to == nullptr)
        return roma__sys_kernel.mremap(address, old_bytes, bytes, flags, to);
    munmap(to, bytes);
    stranger = static_cast<char *>(mmap(to, page_bytes, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
    *stranger = 42;
    errno = refused_with;
    return MAP_FAILED;
}

bool is_mapped(char *address)
{
    unsigned char present;
    return mincore(address, page_bytes, &present) == 0;
}

struct range {
    size_t bytes;
    char *address = nullptr;

    explicit range(size_t length) : bytes(length)
    {
        const roma__space_kind kind = {roma__machine_resolve(ROMA_PAGE_CLASS_BASE), page_bytes,
                                       page_bytes};
        REQUIRE(roma__space_map(&kind, bytes, &address, nullptr) == 0);
        for (size_t i = 0; i < bytes; i++)
            address[i] = static_cast<char>(i / 7);
    }

    bool is_intact_at(const char *where) const
    {
        for (size_t i = 0; i < bytes; i++)
            if (where[i] != static_cast<char>(i / 7))
                return false;
        return true;
    }
};

/* Pages of the base size, which the table's functions count in from here on. */
roma__space_kind base_kind()
{
    page_bytes = roma__machine_base_bytes();
    return {roma__machine_resolve(ROMA_PAGE_CLASS_BASE), page_bytes, page_bytes};
}

} // namespace

TEST_CASE("a range of several mappings is moved piece by piece where the kernel refuses it whole",
          "[provider]")
{
    const roma__space_kind kind = base_kind();
    for (size_t pages : {1, 2, 3, 7, 8}) {
        INFO(pages << " pages");
        const range from(pages * page_bytes);
        char *to = nullptr;
        roma_error error = {};
        REQUIRE(roma__space_reserve(from.bytes, page_bytes, &to, &error) == 0);
        roma_tests::faulty table;
        table.calls.mremap = mremap_of_old;
        refused_beyond = 2 * page_bytes;
        refused_with = EFAULT;
        REQUIRE(roma__space_move(&kind, from.address, from.bytes, to, from.bytes, &error) == 0);
        CHECK(from.is_intact_at(to));
        munmap(to, from.bytes);
    }
}

TEST_CASE("a move that fails for another reason is not tried in pieces and leaves the range",
          "[provider]")
{
    const roma__space_kind kind = base_kind();
    const range from(4 * page_bytes);
    roma_error error = {};
    for (int refusal : {ENOMEM, EFAULT}) { /* EFAULT: down to a page, and no further */
        char *to = nullptr;
        REQUIRE(roma__space_reserve(from.bytes, page_bytes, &to, &error) == 0);
        roma_tests::faulty table;
        table.calls.mremap = mremap_of_old;
        refused_beyond = 0;
        refused_with = refusal;
        CHECK(roma__space_move(&kind, from.address, from.bytes, to, from.bytes, &error) ==
              -refusal);
        CHECK(error.cause == refusal);
        CHECK_FALSE(is_mapped(to));
    }
    CHECK(from.is_intact_at(from.address));
    munmap(from.address, from.bytes);
}

TEST_CASE("a range of one mapping becomes as long as the reservation that it is moved to",
          "[provider]")
{
    const roma__space_kind kind = base_kind();
    const range from(3 * page_bytes);
    char *to = nullptr;
    roma_error error = {};
    REQUIRE(roma__space_reserve(2 * from.bytes, page_bytes, &to, &error) == 0);
    REQUIRE(roma__space_move(&kind, from.address, from.bytes, to, 2 * from.bytes, &error) == 0);
    CHECK(from.is_intact_at(to));
    CHECK(to[2 * from.bytes - 1] == 0);
    CHECK_FALSE(is_mapped(from.address));
    munmap(to, 2 * from.bytes);
}

TEST_CASE("a target that the kernel refused before it touched it is given back", "[provider]")
{
    SKIP_WHERE_EMULATED(); /* /proc shows the emulator's memory, where it may lie elsewhere */
    const roma__space_kind kind = base_kind();
    const range from(4 * page_bytes);
    char *to = nullptr;
    roma_error error = {};
    REQUIRE(roma__space_reserve(from.bytes, page_bytes, &to, &error) == 0);
    {
        roma_tests::faulty table;
        table.calls.mremap = [](void *, size_t, size_t, int, void *) {
            errno = ENOMEM;
            return MAP_FAILED;
        };
        CHECK(roma__space_move(&kind, from.address, from.bytes, to, from.bytes, &error) == -ENOMEM);
    }
    CHECK_FALSE(is_mapped(to));
    CHECK(from.is_intact_at(from.address));
    munmap(from.address, from.bytes);
}

TEST_CASE("what another thread mapped where a move has failed is left alone", "[provider]")
{
    SKIP_WHERE_EMULATED(); /* qemu-user before 8.1 does not know MAP_FIXED_NOREPLACE */
    page_bytes = roma__machine_base_bytes();
    roma_provider *provider = roma_provider_anonymous();
    roma_extent_request ask = roma_extent_request_default();
    ask.bytes = 4 * page_bytes;
    ask.pages = static_cast<roma_page_kind>(ROMA_PAGES_BASE);
    for (int refusal : {ENOMEM, EFAULT}) {
        INFO("errno " << refusal);
        roma_extent extent;
        REQUIRE(roma_provider_acquire(provider, &ask, &extent, nullptr) == 0);
        char *const first = static_cast<char *>(extent.address);
        first[0] = 7;
        void *wall = mmap(first + extent.bytes, page_bytes, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        {
            roma_tests::faulty table;
            table.calls.mremap = mremap_and_stranger;
            refused_with = refusal;
            stranger = nullptr;
            CHECK(roma_provider_resize(provider, &extent, 8 * page_bytes, true, nullptr) ==
                  -refusal);
        }
        REQUIRE(stranger != nullptr);
        REQUIRE(is_mapped(stranger));
        CHECK(*stranger == 42);
        CHECK(extent.address == first);
        CHECK(first[0] == 7);
        munmap(stranger, page_bytes);
        if (wall != MAP_FAILED)
            munmap(wall, page_bytes);
        CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
    }
}

TEST_CASE("memory that the kernel does not account for is not had, and its range is given back",
          "[provider]")
{
    page_bytes = roma__machine_base_bytes();
    const roma__space_kind kind = {roma__machine_resolve(ROMA_PAGE_CLASS_BASE), page_bytes,
                                   16 * page_bytes};
    static char *refused;
    roma_error error = {};
    char *address = nullptr;
    {
        roma_tests::faulty table;
        table.calls.mprotect = [](void *at, size_t, int) {
            refused = static_cast<char *>(at);
            errno = ENOMEM;
            return -1;
        };
        CHECK(roma__space_map(&kind, 4 * page_bytes, &address, &error) == -ENOMEM);
    }
    CHECK(error.cause == ENOMEM);
    CHECK(address == nullptr);
    CHECK_FALSE(is_mapped(refused));
}
