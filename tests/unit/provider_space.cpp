/* provider_space.cpp - moving ranges of several mappings on kernels that move one mapping at a
 * time. */
#include "catch.hpp"
#include "faulty.hpp"

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

} // namespace

TEST_CASE("a range of several mappings is moved piece by piece where the kernel refuses it whole",
          "[provider]")
{
    page_bytes = roma__machine_base_bytes();
    const roma__space_kind kind = {roma__machine_resolve(ROMA_PAGE_CLASS_BASE), page_bytes,
                                   page_bytes};
    for (size_t pages : {1, 2, 3, 7, 8}) {
        INFO(pages << " pages");
        const range from(pages * page_bytes);
        char *to = nullptr;
        roma_error error;
        REQUIRE(roma__space_reserve(from.bytes, page_bytes, &to, &error) == 0);
        roma_tests::faulty table;
        table.calls.mremap = mremap_of_old;
        refused_beyond = 2 * page_bytes;
        refused_with = EFAULT;
        REQUIRE(roma__space_move(&kind, from.address, to, from.bytes, &error) == 0);
        CHECK(from.is_intact_at(to));
        munmap(to, from.bytes);
    }
}

TEST_CASE("a move that fails for another reason is not tried in pieces and leaves the range",
          "[provider]")
{
    page_bytes = roma__machine_base_bytes();
    const roma__space_kind kind = {roma__machine_resolve(ROMA_PAGE_CLASS_BASE), page_bytes,
                                   page_bytes};
    const range from(4 * page_bytes);
    char *to = nullptr;
    roma_error error;
    REQUIRE(roma__space_reserve(from.bytes, page_bytes, &to, &error) == 0);
    {
        roma_tests::faulty table;
        table.calls.mremap = mremap_of_old;
        refused_beyond = 0;
        refused_with = ENOMEM;
        CHECK(roma__space_move(&kind, from.address, to, from.bytes, &error) == -ENOMEM);
        CHECK(error.cause == ENOMEM);
        refused_with = EFAULT; /* down to a page, and no further */
        CHECK(roma__space_move(&kind, from.address, to, from.bytes, &error) == -EFAULT);
    }
    CHECK(from.is_intact_at(from.address));
    munmap(from.address, from.bytes);
    munmap(to, from.bytes);
}
