/* nodes.cpp - node sets as text, both ways, and in libnuma's form. */
#include "catch.hpp"

#include <roma/nodes.h>
#ifdef ROMA_TEST_HAS_LIBNUMA
#include <roma/libnuma.h>
#endif

#include <cerrno>
#include <string>

namespace {

std::string text_of(const roma_nodes &set)
{
    char text[8192];
    return roma_nodes_text(&set, text, sizeof text);
}

} // namespace

TEST_CASE("node sets print as the kernel's lists and are read back")
{
    const struct {
        const char *text;
        unsigned count;
        const char *printed;
    } cases[] = {
        {"", 0, ""},
        {"0", 1, "0"},
        {"0-3,8", 5, "0-3,8"},
        {"8,0-3", 5, "0-3,8"},
        {"0,1,2", 3, "0-2"},
        {"1-1", 1, "1"},
        {"62-65", 4, "62-65"},
        {"0,0,0", 1, "0"},
        {"1023", 1, "1023"},
        {"0-1023", 1024, "0-1023"},
        {"000000000000000000000000005", 1, "5"},
    };
    for (const auto &c : cases) {
        roma_nodes set = roma_nodes_one(99);
        INFO(c.text);
        CHECK(roma_nodes_parse(c.text, &set) == 0);
        CHECK(roma_nodes_count(&set) == c.count);
        CHECK(text_of(set) == c.printed);
    }
}

TEST_CASE("text that is no node list is refused and leaves the set alone")
{
    const struct {
        const char *text;
        int code;
    } cases[] = {
        {",", -EINVAL},
        {"0,", -EINVAL},
        {",0", -EINVAL},
        {"-1", -EINVAL},
        {"1-", -EINVAL},
        {"3-1", -EINVAL},
        {"0 1", -EINVAL},
        {" 0", -EINVAL},
        {"0\n", -EINVAL},
        {"0-3:1/2", -EINVAL},
        {"all", -EINVAL},
        {"+1", -EINVAL},
        {"0--2", -EINVAL},
        {"0x1", -EINVAL},
        {"1024", -ERANGE},
        {"0-1024", -ERANGE},
        {"1024,x", -EINVAL},
        {"99999999999999999999", -ERANGE},
        {"99999999999999999999-0", -EINVAL},
    };
    for (const auto &c : cases) {
        roma_nodes set = roma_nodes_one(99);
        INFO(c.text);
        CHECK(roma_nodes_parse(c.text, &set) == c.code);
        CHECK(text_of(set) == "99");
    }
    roma_nodes set;
    CHECK(roma_nodes_parse(nullptr, &set) == -EINVAL);
    CHECK(roma_nodes_parse("0", nullptr) == -EINVAL);
}

TEST_CASE("the longest list fits its buffer and a short buffer cuts it")
{
    roma_nodes odd = roma_nodes_none();
    for (unsigned node = 1; node < ROMA_NODES_MAX; node += 2)
        roma_nodes_add(&odd, node);
    roma_nodes again;
    CHECK(roma_nodes_parse(text_of(odd).c_str(), &again) == 0);
    CHECK(roma_nodes_equal(&odd, &again));
    char text[6];
    CHECK(std::string(roma_nodes_text(&odd, text, sizeof text)) == "1,3,5");
    CHECK(std::string(roma_nodes_text(&odd, text, 1)) == "");
}

TEST_CASE("operations on node sets at their edges")
{
    roma_nodes set = roma_nodes_none();
    CHECK(roma_nodes_is_empty(&set));
    CHECK(roma_nodes_next(&set, 0) == -1);
    roma_nodes_add(&set, ROMA_NODES_MAX);
    CHECK(roma_nodes_is_empty(&set));
    for (unsigned node : {0u, 63u, 64u, 1023u}) {
        roma_nodes_add(&set, node);
        CHECK(roma_nodes_has(&set, node));
    }
    CHECK(roma_nodes_next(&set, 1) == 63);
    CHECK(roma_nodes_next(&set, 64) == 64);
    CHECK(roma_nodes_next(&set, 65) == 1023);
    CHECK(roma_nodes_next(&set, 1024) == -1);
    roma_nodes_remove(&set, 63);
    roma_nodes_remove(&set, ROMA_NODES_MAX);
    CHECK(text_of(set) == "0,64,1023");
    roma_nodes zero = roma_nodes_one(0);
    CHECK(text_of(roma_nodes_without(&set, &zero)) == "64,1023");
    CHECK(text_of(roma_nodes_both(&set, &zero)) == "0");
}

#ifdef ROMA_TEST_HAS_LIBNUMA
TEST_CASE("node sets go to libnuma's bitmasks and back")
{
    roma_nodes set = roma_nodes_one(0);
    roma_nodes_add(&set, 2);
    roma_nodes_add(&set, 63);
    struct bitmask *mask = numa_bitmask_alloc(64);
    numa_bitmask_setbit(mask, 5);
    CHECK(roma_nodes_to_bitmask(&set, mask) == 0);
    CHECK(numa_bitmask_weight(mask) == 3);
    CHECK(numa_bitmask_isbitset(mask, 63) == 1);
    roma_nodes back = roma_nodes_from_bitmask(mask);
    CHECK(roma_nodes_equal(&set, &back));

    roma_nodes_add(&set, 64);
    CHECK(roma_nodes_to_bitmask(&set, mask) == -ERANGE);
    CHECK(numa_bitmask_weight(mask) == 3);
    CHECK(roma_nodes_to_bitmask(nullptr, mask) == -EINVAL);
    CHECK(roma_nodes_to_bitmask(&set, nullptr) == -EINVAL);
    back = roma_nodes_from_bitmask(nullptr);
    CHECK(roma_nodes_is_empty(&back));
    numa_bitmask_free(mask);

    mask = numa_bitmask_alloc(4096);
    numa_bitmask_setbit(mask, 1023);
    numa_bitmask_setbit(mask, 1024);
    CHECK(text_of(roma_nodes_from_bitmask(mask)) == "1023");
    roma_nodes all;
    REQUIRE(roma_nodes_parse("0-1023", &all) == 0);
    CHECK(roma_nodes_to_bitmask(&all, mask) == 0);
    CHECK(numa_bitmask_weight(mask) == 1024);
    numa_bitmask_free(mask);
}
#endif
