/* file_places.cpp - mappings of files at places of their own, where another thread is quicker: what
 * it mapped there stays, whatever becomes of the file's mapping. */
#include "catch.hpp"
#include "emulated.hpp"
#include "faulty.hpp"
#include "memory_file.hpp"
#include "skip.hpp"
#include "store_place.hpp"

#include <roma/prefetch.h>

extern "C" {
#include "prefetch/file.h"
#include "prefetch/shadow.h"
}

#include <vector>

namespace {

constexpr size_t BYTES = size_t(8) << 20;

/* Whenever a file is to be mapped at an address, another thread maps a page there first. */
struct quicker {
    static inline std::vector<char *> strangers;
    static inline size_t most; /* so often */
    static inline int refusal; /* what the file is refused with then; 0: it is tried */
    roma_tests::faulty table;

    explicit quicker(int refused_with, size_t often = 1)
    {
        strangers.clear();
        most = often;
        refusal = refused_with;
        table.calls.mmap = map;
    }
    ~quicker()
    {
        for (char *stranger : strangers)
            munmap(stranger, page_bytes());
    }

    static size_t page_bytes() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

    static bool are_untouched()
    {
        unsigned char present;
        for (const char *stranger : strangers)
            if (mincore(const_cast<char *>(stranger), page_bytes(), &present) != 0 ||
                *stranger != 42)
                return false;
        return true;
    }

  private:
    static void *map(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
    {
        if (at == nullptr || fd < 0 || strangers.size() == most)
            return roma__sys_kernel.mmap(at, bytes, protection, flags, fd, offset);
        if (refusal != 0 && (flags & MAP_FIXED) != 0)
            munmap(at, bytes); /* as kernels before 6.12 do before they ask the file */
        void *stranger = mmap(at, page_bytes(), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (stranger != MAP_FAILED) {
            strangers.push_back(static_cast<char *>(stranger));
            *strangers.back() = 42;
        }
        if (refusal == 0)
            return roma__sys_kernel.mmap(at, bytes, protection, flags, fd, offset);
        errno = refusal;
        return MAP_FAILED;
    }
};

/* Map a file in one way, use it, and unmap it. Returns 0 or -errno. */
int by_map()
{
    const roma_tests::memory_file file(BYTES);
    REQUIRE(pwrite(file.fd, "x", 1, BYTES - 1) == 1);
    roma_map *map = nullptr;
    const int code = roma_map_open_fd(file.fd, nullptr, &map, nullptr);
    if (code == 0)
        CHECK(static_cast<const char *>(roma_map_segment(map).address)[BYTES - 1] == 'x');
    CHECK(roma_map_close(map) == 0);
    return code;
}

int by_shadow()
{
    const roma_tests::memory_file file(BYTES);
    REQUIRE(pwrite(file.fd, "x", 1, BYTES - 1) == 1);
    roma__shadow shadow = {nullptr, 0};
    const int code = roma__shadow_map(&shadow, file.fd, 0, BYTES, ROMA__SHADOW_HUGE);
    if (code == 0)
        CHECK(shadow.address[BYTES - 1] == 'x');
    roma__shadow_unmap(&shadow);
    return code;
}

roma_error store_error;

int by_store()
{
    const roma_tests::store_place place;
    const roma_store_options options = roma_tests::small_options();
    roma_store *store = nullptr;
    store_error = {};
    const int code = roma_store_create(place.path.c_str(), &options, &store, &store_error);
    if (code == 0) {
        roma_tests::put_text(store, 0, "x");
        CHECK(roma_tests::text_at(store, 0) == "x");
    }
    CHECK(roma_store_close(store) == 0);
    return code;
}

const struct {
    const char *name;
    int (*use)();
    bool is_picky; /* no other place is good enough */
} users[] = {{"a map", by_map, false}, {"a shadow", by_shadow, false}, {"a store", by_store, true}};

} // namespace

#define SKIP_WITHOUT_PLACES()                                                                      \
    SKIP_WHERE_EMULATED();                                                                         \
    if (roma__file_huge_bytes() == 0)                                                              \
    SKIP_TEST("no huge pages of files: maps may lie anywhere")

TEST_CASE("what another thread maps where a file could not be mapped is left alone", "[provider]")
{
    SKIP_WITHOUT_PLACES();
    for (const auto &user : users) {
        INFO(user.name);
        const quicker others(ENOMEM);
        CHECK(user.use() == -ENOMEM);
        REQUIRE(others.strangers.size() == 1);
        CHECK(quicker::are_untouched());
    }
}

TEST_CASE("a place that another thread took is left to it, and the file mapped at the next",
          "[provider]")
{
    SKIP_WITHOUT_PLACES();
    for (const auto &user : users) {
        INFO(user.name);
        const quicker others(0, 5);
        CHECK(user.use() == 0);
        CHECK(others.strangers.size() == 5);
        CHECK(quicker::are_untouched());
    }
}

TEST_CASE("where others take every place a file is mapped anywhere, and a store not at all",
          "[provider]")
{
    SKIP_WITHOUT_PLACES();
    for (const auto &user : users) {
        INFO(user.name);
        const quicker others(0, SIZE_MAX);
        CHECK(user.use() == (user.is_picky ? -ENOMEM : 0));
        CHECK(quicker::are_untouched());
    }
    CHECK(store_error.why == ROMA_WHY_ADDRESS_SPACE);
    CHECK(store_error.cause == EEXIST);
}
