/* place.hpp - a provider that stands for a place: named, and an address tells whose it is. */
#ifndef ROMA_TESTS_PLACE_HPP
#define ROMA_TESTS_PLACE_HPP

#include "catch.hpp"

#include <roma.h>

#include <vector>

namespace roma_tests {

struct place {
    std::vector<char> bytes;
    roma_provider *self = nullptr;

    explicit place(const char *name, size_t size = 32u << 20) : bytes(size)
    {
        roma_region_config config{};
        config.size = sizeof config;
        config.name = name;
        config.address = bytes.data();
        config.bytes = bytes.size();
        REQUIRE(roma_provider_region(&config, &self, nullptr) == 0);
    }
    place(const place &) = delete;
    place &operator=(const place &) = delete;
    ~place() { CHECK(roma_provider_unregister(self) == 0); }

    bool has(const void *block) const
    {
        return block >= bytes.data() && block < bytes.data() + bytes.size();
    }
};

} // namespace roma_tests

#endif
