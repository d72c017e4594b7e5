/* fd_map.hpp - a map of a file that a test has open, for the time of a test. */
#ifndef ROMA_TESTS_FD_MAP_HPP
#define ROMA_TESTS_FD_MAP_HPP

#include "catch.hpp"

#include <roma/prefetch.h>

namespace roma_tests {

class fd_map {
  public:
    roma_map *self = nullptr;

    explicit fd_map(int fd, roma_map_options options = roma_map_options_default())
    {
        REQUIRE(roma_map_open_fd(fd, &options, &self, nullptr) == 0);
    }
    fd_map(const fd_map &) = delete;
    fd_map &operator=(const fd_map &) = delete;
    ~fd_map() { CHECK(roma_map_close(self) == 0); }

    void *address() const { return roma_map_segment(self).address; }
    roma_file_range range(size_t offset, size_t length) const
    {
        return roma_file_range_of(self, offset, length);
    }
};

} // namespace roma_tests

#endif
