/* prefetch_mappings.cpp - what every way of an engine must hold to: mappings of the program's own
 * that cannot be populated. */
#include "disk_file.hpp"
#include "engine.hpp"

#include <roma/prefetch.h>

#include <cerrno>
#include <cstring>

using namespace roma_tests;

#define EVERY_WAY by_ring, by_threads, by_plain_calls

namespace {

/* A file mapped to be read, in two halves, each a range. */
class two_halves {
  public:
    explicit two_halves(const disk_file &file) : half(file.bytes / 2)
    {
        void *mapped = mmap(nullptr, 2 * half, PROT_READ, MAP_SHARED, file.fd, 0);
        REQUIRE(mapped != MAP_FAILED);
        address = static_cast<char *>(mapped);
        ranges[0] = roma_file_range_own(file.fd, 0, address, half);
        ranges[1] = roma_file_range_own(file.fd, half, address + half, half);
    }
    two_halves(const two_halves &) = delete;
    two_halves &operator=(const two_halves &) = delete;
    ~two_halves() { munmap(address, 2 * half); }

    const size_t half;
    char *address;
    roma_file_range ranges[2];
};

/* The first half is mapped, and the second one's error its own. */
void check_second_fails(const owned_engine &engine, const two_halves &own, int code)
{
    owned_handle handle(engine, own.ranges, 2, ROMA_PREFETCH_MAPPED);
    CHECK(handle.wait() == code);
    CHECK(roma_prefetch_range_error(handle.self, 0, nullptr) == 0);
    CHECK(roma_prefetch_range_error(handle.self, 1, nullptr) == code);
    const roma_prefetch_progress progress = handle.progress();
    CHECK(adds_up(progress));
    CHECK(progress.done_bytes == own.half);
    CHECK(progress.failed_ranges == 1);
}

} // namespace

TEMPLATE_TEST_CASE("a mapping that may not be read is the error of its range alone", "[prefetch]",
                   EVERY_WAY)
{
    const owned_engine engine(TestType::way);
    SKIP_WITHOUT(engine);
    for (size_t bytes : {2 * page_bytes(), 12 * MiB, 40 * MiB}) {
        CAPTURE(bytes);
        const disk_file file(bytes);
        const two_halves own(file);
        REQUIRE(mprotect(own.address + own.half, own.half, PROT_NONE) == 0);
        check_second_fails(engine, own, -EOPNOTSUPP);
        owned_handle handle(engine, own.ranges[1], ROMA_PREFETCH_MAPPED);
        CHECK(handle.wait() == -EOPNOTSUPP);
        roma_error error = {};
        CHECK(roma_prefetch_range_error(handle.self, 0, &error) == -EOPNOTSUPP);
        CHECK(std::strstr(error.subject, "mapping") != nullptr);
    }
}
