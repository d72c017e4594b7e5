/* subjects.hpp - the providers that the conformance suite runs over, a type each. A subject makes
 * its provider, knows what to ask of it, and takes it away; `lacks` says why it cannot be here. */
#ifndef ROMA_TESTS_SUBJECTS_HPP
#define ROMA_TESTS_SUBJECTS_HPP

#include "emulated.hpp"
#include "figure.hpp"
#include "huge_pages.hpp"
#include "skip.hpp"
#include "user_provider.h"

#include <roma.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

namespace roma_tests {

inline size_t base_bytes()
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

struct subject {
    roma_provider *provider = nullptr;
    roma_page_kind pages = (roma_page_kind)ROMA_PAGES_BASE;
    size_t page_bytes = base_bytes();
    std::string lacks;        /* not empty: not to be tested here                */
    bool is_built_in = false; /* cannot be unregistered                          */
    bool moves = false;       /* resize finds another place when one is in the way */
    bool reads_ahead = false; /* the kernel may bring in more pages than are touched */
    size_t aligns_up_to = (size_t)1 << 30;

    roma_extent_request request(size_t bytes) const
    {
        roma_extent_request wish = roma_extent_request_default();
        wish.bytes = bytes;
        wish.pages = pages;
        return wish;
    }
};

struct anonymous_base : subject {
    anonymous_base()
    {
        provider = roma_provider_anonymous();
        is_built_in = moves = true;
    }
};

struct anonymous_transparent : subject {
    anonymous_transparent()
    {
        provider = roma_provider_anonymous();
        is_built_in = moves = true;
        pages = roma_topology_resolve(roma_topology_get(), (roma_page_kind)ROMA_PAGES_THP);
        page_bytes = roma_page_bytes(pages);
        roma_extent_request wish = request(1);
        if (pages == 0)
            lacks = "this kernel has no transparent huge pages";
        else if (roma_provider_probe(provider, &wish, nullptr) != 0)
            lacks = "transparent huge pages are switched off";
    }
};

struct anonymous_hugetlb : subject {
    anonymous_hugetlb() : reserved(48)
    {
        provider = roma_provider_anonymous();
        is_built_in = moves = true;
        pages = reserved.kind;
        page_bytes = reserved.page_bytes;
        roma_extent_request wish = request(1);
        roma_error error = {};
        char text[256];
        if (!reserved.are_there)
            lacks = reserved.lack();
        else if (roma_provider_probe(provider, &wish, &error) != 0)
            lacks = roma_error_text(&error, text, sizeof text);
    }
    huge_pages reserved;
};

/* The arena of the first node with memory that is allowed. */
inline roma_provider *an_arena()
{
    const roma_topology *topology = roma_topology_get();
    const roma_nodes memory = roma_topology_memory_nodes(topology);
    const roma_nodes allowed = roma_topology_allowed_nodes(topology);
    const roma_nodes usable = roma_nodes_both(&memory, &allowed);
    const int node = roma_nodes_next(&usable, 0);
    return node < 0 ? nullptr : roma_provider_node((unsigned)node);
}

/* A subject of the anonymous provider, of an arena instead. */
template <typename Other> struct arena : Other {
    arena()
    {
        roma_error error = {};
        char text[256];
        this->provider = an_arena();
        REQUIRE(this->provider != nullptr);
        roma_extent_request wish = this->request(1);
        if (this->lacks.empty() && roma_provider_probe(this->provider, &wish, &error) != 0)
            this->lacks = roma_error_text(&error, text, sizeof text);
        if (this->lacks.empty() && is_emulated())
            this->lacks = "an emulator has no mbind";
    }
};

using arena_base = arena<anonymous_base>;
using arena_transparent = arena<anonymous_transparent>;
using arena_hugetlb = arena<anonymous_hugetlb>;

/* Room for the largest alignment; what is never touched costs address space alone. */
struct region : subject {
    region()
    {
        bytes = ((size_t)2 << 30) + ((size_t)64 << 20);
        memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (memory == MAP_FAILED) {
            lacks = "no 2 GiB of address space";
            return;
        }
        roma_region_config config = {};
        config.size = sizeof config;
        config.address = (char *)memory + 1; /* not aligned: the first page is left unused */
        config.bytes = bytes - 2;
        config.zeroed = true;
        REQUIRE(roma_provider_region(&config, &provider, nullptr) == 0);
    }
    ~region()
    {
        if (provider != nullptr)
            CHECK(roma_provider_unregister(provider) == 0);
        if (memory != MAP_FAILED)
            munmap(memory, bytes);
    }
    void *memory;
    size_t bytes;
};

/* A file in the directory for temporary ones. */
struct file : subject {
    file()
    {
        reads_ahead = true;
        const char *folder = std::getenv("TMPDIR");
        std::string path = folder != nullptr ? folder : "/tmp";
        path += "/roma-conformance-" + std::to_string(getpid());
        roma_error error = {};
        char text[256];
        REQUIRE(roma_provider_file(path.c_str(), nullptr, &provider, &error) == 0);
        roma_extent_request wish = request(1);
        roma_extent extent;
        int code = roma_provider_acquire(provider, &wish, &extent, &error);
        if (code == -EOPNOTSUPP)
            lacks = roma_error_text(&error, text, sizeof text);
        else
            REQUIRE(roma_provider_release(provider, &extent, nullptr) == 0);
    }
    ~file() { CHECK(roma_provider_unregister(provider) == 0); }
};

/* The counting provider over another subject. */
template <typename Other> struct counting : Other {
    counting()
    {
        other = this->provider;
        if (!this->lacks.empty())
            return;
        REQUIRE(roma_provider_counting(other, &this->provider, nullptr) == 0);
        this->is_built_in = false;
    }
    ~counting()
    {
        if (this->provider == other)
            return;
        CHECK(roma_provider_unregister(this->provider) == 0);
        this->provider = other;
    }
    roma_provider *other;
};

using counting_anonymous = counting<anonymous_base>;
using counting_region = counting<region>;

struct user_written : subject {
    user_written()
    {
        REQUIRE(roma_provider_register(&user_provider_ops, nullptr, &provider, nullptr) == 0);
    }
    ~user_written() { CHECK(roma_provider_unregister(provider) == 0); }
};

/* A figure of a provider by its key; UINT64_MAX: not visited. */
inline uint64_t figure(roma_provider *provider, const char *key)
{
    sought_figure want{key};
    REQUIRE(roma_provider_stats(provider, want.visit, &want) == 0);
    return want.is_found ? want.number : UINT64_MAX;
}

/* An extent that goes back at the end of its scope. */
struct held {
    explicit held(const subject &from) : provider(from.provider) {}
    ~held()
    {
        if (extent.address != nullptr)
            CHECK(roma_provider_release(provider, &extent, nullptr) == 0);
    }
    held(const held &) = delete;
    held &operator=(const held &) = delete;

    unsigned char *bytes() const { return static_cast<unsigned char *>(extent.address); }

    roma_provider *provider;
    roma_extent extent = {};
};

/* Bytes that differ from place to place. */
inline unsigned char mark(size_t offset, unsigned salt)
{
    return (unsigned char)(offset * 31 + offset / 4096 * 7 + salt);
}

inline void write_marks(unsigned char *at, size_t bytes, unsigned salt)
{
    for (size_t i = 0; i < bytes; i += 61)
        at[i] = mark(i, salt);
    at[bytes - 1] = mark(bytes - 1, salt);
}

inline size_t wrong_marks(const unsigned char *at, size_t bytes, unsigned salt)
{
    size_t wrong = 0;
    for (size_t i = 0; i < bytes; i += 61)
        wrong += at[i] != mark(i, salt);
    return wrong;
}

/* What the kernel says of each base page, by a call that roma does not use. */
inline size_t resident_by_mincore(const void *address, size_t bytes)
{
    std::string present(bytes / base_bytes(), '\0');
    if (mincore(const_cast<void *>(address), bytes,
                reinterpret_cast<unsigned char *>(&present[0])) != 0)
        return SIZE_MAX;
    size_t resident = 0;
    for (char page : present)
        resident += (page & 1) != 0 ? base_bytes() : 0;
    return resident;
}

} // namespace roma_tests

/* One test case for every provider. */
#define PROVIDERS_CONFORM(name)                                                                    \
    TEMPLATE_TEST_CASE(name, "[conformance]", roma_tests::anonymous_base,                          \
                       roma_tests::anonymous_transparent, roma_tests::anonymous_hugetlb,           \
                       roma_tests::arena_base, roma_tests::arena_transparent,                      \
                       roma_tests::arena_hugetlb, roma_tests::region, roma_tests::file,            \
                       roma_tests::counting_anonymous,                                             \
                       roma_tests::counting_region, roma_tests::user_written)

#define SUBJECT(variable)                                                                          \
    TestType variable;                                                                             \
    if (!variable.lacks.empty())                                                                   \
    ROMA_SKIP_TEST(variable.lacks, variable.page_bytes > roma_tests::base_bytes() &&               \
                                       roma_page_class(variable.pages) == ROMA_PAGE_CLASS_HUGETLB)

#endif
