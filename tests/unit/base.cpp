/* base.cpp - bounded text and arithmetic that says when it overflows. */
#include "catch.hpp"

#include "base/bits.h"
#include "base/text.h"

#include <cstdint>
#include <string>

TEST_CASE("text is cut at its buffer's end and says so")
{
    char buffer[8];
    roma__text text = roma__text_in(buffer, sizeof buffer);
    roma__text_put(&text, "abc");
    roma__text_add(&text, "%d", 42);
    CHECK(std::string(buffer) == "abc42");
    CHECK_FALSE(text.cut);
    roma__text_put(&text, "xy");
    CHECK(std::string(buffer) == "abc42xy");
    CHECK_FALSE(text.cut);
    roma__text_put(&text, "z");
    CHECK(text.cut);
    CHECK(std::string(buffer) == "abc42xy");
    roma__text_put(&text, "");
    roma__text_add(&text, "more");
    CHECK(std::string(buffer) == "abc42xy");
    CHECK(text.used == 7);

    text = roma__text_in(buffer, sizeof buffer);
    roma__text_add(&text, "%s", "longer than it");
    CHECK(std::string(buffer) == "longer ");
    CHECK(text.cut);
}

TEST_CASE("numbers print in decimal up to the largest")
{
    char buffer[32];
    for (uint64_t number : {UINT64_C(0), UINT64_C(9), UINT64_C(10), UINT64_MAX}) {
        roma__text text = roma__text_in(buffer, sizeof buffer);
        roma__text_put_number(&text, number);
        CHECK(buffer == std::to_string(number));
        CHECK(text.used == std::to_string(number).size());
    }
}

TEST_CASE("copies are cut and terminated")
{
    char to[4] = {'x', 'x', 'x', 'x'};
    roma__text_copy(to, 0, "abc");
    CHECK(to[0] == 'x');
    roma__text_copy(to, sizeof to, "abcdef");
    CHECK(std::string(to) == "abc");
    roma__text_copy(to, sizeof to, nullptr);
    CHECK(std::string(to).empty());
}

TEST_CASE("rounding and powers of two at their edges")
{
    size_t out = 7;
    CHECK_FALSE(roma__align_up_overflows(SIZE_MAX - 4095, 4096, &out));
    CHECK(out == SIZE_MAX - 4095);
    CHECK(roma__align_up_overflows(SIZE_MAX - 4094, 4096, &out));
    CHECK(out == 0);
    CHECK(roma__align_up(0, 4096) == 0);
    CHECK(roma__align_up(1, 4096) == 4096);
    CHECK(roma__align_down(4097, 4096) == 4096);
    CHECK_FALSE(roma__is_power_of_two(0));
    CHECK(roma__is_power_of_two(1));
    CHECK_FALSE(roma__is_power_of_two(3));
    CHECK(roma__log2_floor(1) == 0);
    CHECK(roma__log2_floor(4097) == 12);
    CHECK(roma__log2_floor(SIZE_MAX) == 63);
    CHECK(roma__add_overflows(SIZE_MAX, 1, &out));
    CHECK(roma__mul_overflows(SIZE_MAX / 2 + 1, 2, &out));
    CHECK_FALSE(roma__mul_overflows(SIZE_MAX / 2, 2, &out));
}
