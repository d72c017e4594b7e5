/* filed.hpp - a file provider on the disk that a file is on, and an extent of it, for the time of a
 * test: pages that an engine can be asked to read. Nothing of the extent is in memory at first. */
#ifndef ROMA_TESTS_FILED_HPP
#define ROMA_TESTS_FILED_HPP

#include "catch.hpp"
#include "disk_file.hpp"

#include <roma/provider.h>

#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace roma_tests {

inline std::string path_beside(const disk_file &file, const char *name)
{
    return file.path + "-" + name;
}

/* `lacks` is not empty where there can be none: SKIP_WITHOUT(pages). */
struct filed {
    roma_provider *self = nullptr;
    roma_extent extent = {};
    std::string lacks;

    filed(const disk_file &beside, size_t bytes, const roma_executor *executor = nullptr)
    {
        roma_file_options options = roma_file_options_default();
        options.executor = executor;
        const std::string path = path_beside(beside, "pages");
        REQUIRE(roma_provider_file(path.c_str(), &options, &self, nullptr) == 0);
        roma_extent_request wish = roma_extent_request_default();
        wish.bytes = bytes;
        wish.pages = static_cast<roma_page_kind>(ROMA_PAGES_BASE);
        if (roma_provider_acquire(self, &wish, &extent, nullptr) != 0)
            lacks = "this file system cannot reserve space";
    }
    filed(const filed &) = delete;
    filed &operator=(const filed &) = delete;
    ~filed()
    {
        if (extent.address != nullptr)
            CHECK(roma_provider_release(self, &extent, nullptr) == 0);
        CHECK(roma_provider_unregister(self) == 0);
    }

    unsigned char *address() const { return static_cast<unsigned char *>(extent.address); }
    roma_range part(size_t offset, size_t bytes) const { return {&extent, offset, bytes}; }
    roma_range all() const { return part(0, extent.bytes); }

    /* That of a disk_file, as far as its holds() looks. */
    void write_pattern() const
    {
        for (size_t at = 0; at < extent.bytes; at += 509)
            address()[at] = disk_file::pattern(at);
    }

    size_t resident() const
    {
        std::vector<unsigned char> present(extent.bytes / page_bytes());
        REQUIRE(mincore(extent.address, extent.bytes, present.data()) == 0);
        size_t sum = 0;
        for (unsigned char page : present)
            sum += (page & 1) != 0 ? page_bytes() : 0;
        return sum;
    }

    /* Out of memory with it. */
    bool chill() const
    {
        const roma_range whole = all();
        for (int tries = 0; tries < 50 && resident() > 0; tries++) {
            (void)roma_provider_sync(self, &whole, nullptr);
            (void)roma_provider_advise(self, &whole, ROMA_ADVICE_PAGEOUT, nullptr, nullptr);
            usleep(2000);
        }
        return resident() < extent.bytes / 8; /* the kernel may keep some for a while */
    }

    bool becomes_resident() const
    {
        for (int tries = 0; tries < 5000 && resident() < extent.bytes; tries++)
            usleep(1000);
        return resident() == extent.bytes;
    }
};

} // namespace roma_tests

#endif
