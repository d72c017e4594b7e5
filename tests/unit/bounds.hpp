/* bounds.hpp - for the tests of bounds: a manager for one page kind, its figures, a file for direct
 * I/O. */
#ifndef ROMA_TESTS_BOUNDS_HPP
#define ROMA_TESTS_BOUNDS_HPP

#include "figure.hpp"
#include "skip.hpp"

#include <roma.h>

#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <string>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define ROMA_TESTS_UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define ROMA_TESTS_UNDER_SANITIZER 1
#endif
#endif

namespace bounds {

#ifdef ROMA_TESTS_UNDER_SANITIZER
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif

inline const size_t base_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));

inline uint64_t figure(roma_manager *manager, const char *key)
{
    roma_tests::sought_figure want{key};
    REQUIRE(roma_manager_stats(manager, want.visit, &want) == 0);
    REQUIRE(want.is_found);
    return want.number;
}

struct owned_manager {
    roma_manager *self = nullptr;
    explicit owned_manager(roma_pages pages = 0, bool strict = false, bool inherit = false)
    {
        roma_request request = roma_request_default();
        roma_options options = roma_options_default();
        request.pages = pages;
        request.strict = strict;
        request.inherit = inherit;
        options.request = &request;
        REQUIRE(roma_manager_create(&self, &options, nullptr) == 0);
    }
    owned_manager(const owned_manager &) = delete;
    owned_manager &operator=(const owned_manager &) = delete;
    ~owned_manager() { CHECK(roma_manager_destroy_all(self) == 0); }
};

inline bool is_aligned(const void *address, size_t align)
{
    return reinterpret_cast<uintptr_t>(address) % align == 0;
}

/* ---- direct I/O ------------------------------------------------------------------------------ */

/* A file that is read and written past the page cache; gone at the end. */
class direct_file {
    std::string path;

  public:
    int fd = -1;
    std::string folder;

    direct_file()
    {
        std::error_code ignored;
        for (const std::filesystem::path &at :
             {std::filesystem::path("/var/tmp"), std::filesystem::current_path(ignored),
              std::filesystem::temp_directory_path(ignored)}) {
            std::string name = (at / "roma-direct-XXXXXX").string();
            const int plain = mkstemp(name.data());
            if (plain < 0)
                continue;
            close(plain);
            fd = open(name.c_str(), O_RDWR | O_DIRECT);
            if (fd >= 0) {
                path = name;
                folder = at.string();
                return;
            }
            unlink(name.c_str());
        }
    }
    direct_file(const direct_file &) = delete;
    direct_file &operator=(const direct_file &) = delete;
    ~direct_file()
    {
        if (fd >= 0)
            close(fd);
        if (!path.empty())
            unlink(path.c_str());
    }
};

inline void write_and_read_directly(int fd, void *out, void *in, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        static_cast<unsigned char *>(out)[i] = static_cast<unsigned char>(i * 7 + i / 4096);
    std::memset(in, 0, bytes);
    INFO(bytes << " bytes at " << out << " and " << in);
    REQUIRE(pwrite(fd, out, bytes, 0) == static_cast<ssize_t>(bytes));
    REQUIRE(pread(fd, in, bytes, 0) == static_cast<ssize_t>(bytes));
    CHECK(std::memcmp(out, in, bytes) == 0);
}

} // namespace bounds

#endif
