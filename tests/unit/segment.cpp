/* segment.cpp - views of memory: every access is checked against its bounds. */
#include "catch.hpp"

#include <roma/segment.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace {

bool is_null(const roma_segment &segment)
{
    return segment.address == nullptr && segment.bytes == 0;
}

} // namespace

TEST_CASE("a slice stays inside its segment or is the null segment")
{
    char memory[100];
    roma_segment all = roma_segment_of(memory, sizeof memory);
    roma_segment slice = roma_segment_slice(all, 10, 20);
    CHECK(slice.address == memory + 10);
    CHECK(slice.bytes == 20);
    CHECK(roma_segment_slice(all, 100, 0).address == memory + 100); /* empty, at the very end */
    CHECK(is_null(roma_segment_slice(all, 100, 1)));
    CHECK(is_null(roma_segment_slice(all, 101, 0)));
    CHECK(is_null(roma_segment_slice(all, 1, 100)));
    CHECK(is_null(roma_segment_slice(all, SIZE_MAX, 1))); /* no overflow of the sum */
    CHECK(is_null(roma_segment_slice(all, 1, SIZE_MAX)));
    CHECK(is_null(roma_segment_slice(roma_segment_of(nullptr, 0), 0, 0)));
}

TEST_CASE("a split gives both parts, or nothing is written")
{
    char memory[100];
    roma_segment all = roma_segment_of(memory, sizeof memory), left, right;
    REQUIRE(roma_segment_split(all, 30, &left, &right) == 0);
    CHECK(left.address == memory);
    CHECK(left.bytes == 30);
    CHECK(right.address == memory + 30);
    CHECK(right.bytes == 70);
    CHECK(roma_segment_split(all, 101, &left, &right) == -EINVAL);
    CHECK(roma_segment_split(all, 10, nullptr, &right) == -EINVAL);
    CHECK(roma_segment_split(roma_segment_of(nullptr, 0), 0, &left, &right) == -EINVAL);
    CHECK(left.bytes == 30);
    CHECK(right.bytes == 70);
}

TEST_CASE("items are reached by index, and none outside")
{
    double memory[10] = {};
    roma_segment all = roma_segment_of(memory, sizeof memory);
    *ROMA_ITEM(double, all, 9) = 4;
    CHECK(memory[9] == 4);
    CHECK(ROMA_ITEM(double, all, 10) == nullptr);
    CHECK(ROMA_ITEM(double, all, SIZE_MAX / 2) == nullptr); /* the product overflows */
    CHECK(ROMA_ITEMS(double, all) == 10);
    CHECK(ROMA_ITEMS(double, roma_segment_of(memory, 15)) == 1);
    CHECK(roma_segment_at(all, 72, 8) == &memory[9]);
    CHECK(roma_segment_at(all, 73, 8) == nullptr);
}

TEST_CASE("copying allows overlap and refuses what does not fit")
{
    char memory[10] = {'a', 'b', 'c', 'd', 'e'};
    roma_segment all = roma_segment_of(memory, sizeof memory);
    REQUIRE(roma_segment_copy(roma_segment_slice(all, 1, 9), roma_segment_slice(all, 0, 5)) == 0);
    CHECK(std::memcmp(memory, "aabcde", 6) == 0);
    CHECK(roma_segment_copy(roma_segment_slice(all, 0, 3), all) == -ERANGE);
    CHECK(roma_segment_copy(all, roma_segment_of(nullptr, 0)) == 0);
}

TEST_CASE("filling sets every byte and comparing orders as memcmp, then by length")
{
    char memory[10];
    roma_segment all = roma_segment_of(memory, sizeof memory);
    roma_segment_fill(all, 'x');
    for (char byte : memory)
        CHECK(byte == 'x');
    roma_segment_fill(roma_segment_of(nullptr, 0), 'y'); /* nothing to set */
    roma_segment head = roma_segment_slice(all, 0, 5), tail = roma_segment_slice(all, 5, 5);
    CHECK(roma_segment_compare(head, tail) == 0);
    CHECK(roma_segment_compare(head, all) == -1);
    CHECK(roma_segment_compare(all, head) == 1);
    memory[7] = 'a';
    CHECK(roma_segment_compare(head, tail) == 1);
    CHECK(roma_segment_compare(tail, head) == -1);
    CHECK(roma_segment_compare(roma_segment_of(nullptr, 0), head) == -1);
}
