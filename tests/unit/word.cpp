/* word.cpp - the state word, one thread: counting, saturation, generations and their wrap. */
#include "catch.hpp"

#include "word_shim.h"

#include <cerrno>
#include <cstdint>

namespace {
constexpr uint32_t any = UINT32_MAX;
}

TEST_CASE("a word counts up and down and ends its life once", "[word]")
{
    word_set(5, 1);
    CHECK(word_retain(5) == 2);
    CHECK(word_retain(any) == 3);
    CHECK(word_drop(5) == 2);
    CHECK(word_drop(any) == 1);
    CHECK(word_drop(5) == 0);
    CHECK(word_generation() == 6);
    CHECK(word_drop(5) == -ESTALE);
    CHECK(word_drop(any) == -ESTALE);
    CHECK(word_retain(6) == -ESTALE); /* free: the coming life cannot be retained either */
    CHECK(word_references() == 0);
}

TEST_CASE("an operation of another generation changes nothing", "[word]")
{
    word_set(9, 2);
    CHECK(word_retain(8) == -ESTALE);
    CHECK(word_drop(10) == -ESTALE);
    CHECK(word_references() == 2);
    CHECK(word_generation() == 9);
}

TEST_CASE("counts beyond the word's bits are kept exactly", "[word]")
{
    word_set(1, 1);
    const int many = 5000;
    for (int i = 2; i <= many; i++)
        REQUIRE(word_retain(any) == i);
    CHECK(word_references() == many);
    for (int i = many - 1; i >= 0; i--)
        REQUIRE(word_drop(1) == i);
    CHECK(word_generation() == 2);
}

TEST_CASE("a life can only be ended by force or by its only holder", "[word]")
{
    word_set(3, 2);
    CHECK(word_end_sole() == -EBUSY);
    CHECK(word_drop(any) == 1);
    CHECK(word_end_sole() == 0);
    CHECK(word_generation() == 4);

    word_set(3, 1);
    for (int i = 0; i < 2000; i++)
        word_retain(any);
    CHECK(word_kill());
    CHECK_FALSE(word_kill());
    CHECK(word_generation() == 4);
    CHECK(word_references() == 0);
}

TEST_CASE("a shrink moves the generation on and keeps the count", "[word]")
{
    word_set(3, 2);
    word_next_generation();
    CHECK(word_generation() == 4);
    CHECK(word_references() == 2);
    CHECK(word_drop(3) == -ESTALE);
}

TEST_CASE("generations wrap after 2^22 lives", "[word]")
{
    word_set((1u << 22) - 1, 1);
    CHECK(word_drop((1u << 22) - 1) == 0);
    CHECK(word_generation() == 0);
}
