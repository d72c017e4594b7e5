/* sizes.cpp - byte counts and page kinds as text, both ways. */
#include "catch.hpp"

#include <roma/common.h>

#include <cerrno>
#include <string>

namespace {

std::string size_text(uint64_t size)
{
    char text[64];
    return roma_size_text(size, text, sizeof text);
}

std::string kind_text(roma_pages kind)
{
    char text[64];
    return roma_page_kind_text(static_cast<roma_page_kind>(kind), text, sizeof text);
}

} // namespace

TEST_CASE("sizes print in the largest unit, whole or with one decimal that never says too much")
{
    const struct {
        uint64_t size;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1, "1 B"},
        {64, "64 B"},
        {1023, "1023 B"},
        {1024, "1 KiB"},
        {1536, "1.5 KiB"},
        {1537, "1.5 KiB"},
        {2097152, "2 MiB"},
        {1048575, "1023.9 KiB"},
        {(1u << 20) + 1, "1.0 MiB"},
        {(5u << 20) / 2, "2.5 MiB"},
        {UINT64_C(1) << 30, "1 GiB"},
        {UINT64_C(3) << 40, "3 TiB"},
        {UINT64_C(1) << 50, "1 PiB"},
        {UINT64_C(1) << 60, "1 EiB"},
        {UINT64_MAX, "15.9 EiB"},
    };
    for (const auto &c : cases)
        CHECK(size_text(c.size) == c.text);
}

TEST_CASE("size text is cut and terminated in a small buffer and not written to an empty one")
{
    char text[4] = {'x', 'x', 'x', 'x'};
    CHECK(roma_size_text(2097152, text, 0) == text);
    CHECK(text[0] == 'x');
    CHECK(std::string(roma_size_text(2097152, text, 1)) == "");
    CHECK(std::string(roma_size_text(2097152, text, 4)) == "2 M");
    CHECK(std::string(roma_size_text(123456, text, 4)) == "120");
}

TEST_CASE("sizes are read with every unit, in either case, all binary")
{
    const struct {
        const char *text;
        uint64_t size;
    } cases[] = {
        {"0", 0},
        {"4096", 4096},
        {"007", 7},
        {"64K", 65536},
        {"64k", 65536},
        {"64KB", 65536},
        {"64kib", 65536},
        {"2MiB", 2097152},
        {"2mB", 2097152},
        {"1g", UINT64_C(1) << 30},
        {"3TIB", UINT64_C(3) << 40},
        {"0T", 0},
        {"18446744073709551615", UINT64_MAX},
        {"18014398509481983K", UINT64_MAX - 1023},
        {"16777215T", UINT64_C(16777215) << 40},
    };
    for (const auto &c : cases) {
        uint64_t size = 77;
        INFO(c.text);
        CHECK(roma_size_parse(c.text, &size) == 0);
        CHECK(size == c.size);
    }
}

TEST_CASE("text that is no size is refused and leaves the result alone")
{
    const struct {
        const char *text;
        int code;
    } cases[] = {
        {"", -EINVAL},
        {" 1", -EINVAL},
        {"1 ", -EINVAL},
        {"1 K", -EINVAL},
        {"-1", -EINVAL},
        {"+1", -EINVAL},
        {"1.5K", -EINVAL},
        {"0x10", -EINVAL},
        {"K", -EINVAL},
        {"iB", -EINVAL},
        {"1B", -EINVAL},
        {"1Ki", -EINVAL},
        {"1KiBB", -EINVAL},
        {"1KK", -EINVAL},
        {"1P", -EINVAL},
        {"1E", -EINVAL},
        {"ten", -EINVAL},
        {"1\n", -EINVAL},
        {"99999999999999999999999x", -EINVAL},
        {"18446744073709551616", -ERANGE},
        {"99999999999999999999999", -ERANGE},
        {"36893488147419103232", -ERANGE},
        {"18014398509481984K", -ERANGE},
        {"16777216T", -ERANGE},
    };
    for (const auto &c : cases) {
        uint64_t size = 77;
        INFO(c.text);
        CHECK(roma_size_parse(c.text, &size) == c.code);
        CHECK(size == 77);
    }
    uint64_t size = 77;
    CHECK(roma_size_parse(nullptr, &size) == -EINVAL);
    CHECK(roma_size_parse("1", nullptr) == -EINVAL);
}

TEST_CASE("page kinds print their size where they name one")
{
    CHECK(kind_text(ROMA_PAGES_BASE) == "base");
    CHECK(kind_text(ROMA_PAGES_THP) == "transparent huge");
    CHECK(kind_text(ROMA_PAGES_HUGETLB) == "hugetlb");
    CHECK(kind_text(ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE, 12)) == "4 KiB base");
    CHECK(kind_text(ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, 21)) == "2 MiB transparent huge");
    CHECK(kind_text(ROMA_PAGES_1G) == "1 GiB hugetlb");
    CHECK(kind_text(0) == "no kind");
    CHECK(kind_text(21) == "no kind");
}

TEST_CASE("lists of page kinds are read in order, each kind once")
{
    roma_pages pages = 0;
    CHECK(roma_pages_parse("base", &pages) == 0);
    CHECK(pages == ROMA_PAGES_BASE);
    CHECK(roma_pages_parse("1G,2M,thp,base", &pages) == 0);
    CHECK(roma_pages_count(pages) == 4);
    CHECK(roma_pages_at(pages, 0) == ROMA_PAGES_1G);
    CHECK(roma_pages_at(pages, 1) == ROMA_PAGES_2M);
    CHECK(roma_pages_at(pages, 2) == ROMA_PAGES_THP);
    CHECK(roma_pages_at(pages, 3) == ROMA_PAGES_BASE);
    CHECK(roma_pages_parse("hugetlb,thp:64K", &pages) == 0);
    CHECK(roma_pages_at(pages, 0) == ROMA_PAGES_HUGETLB);
    CHECK(roma_pages_at(pages, 1) == ROMA_PAGES_OF(ROMA_PAGE_CLASS_THP, 16));
    CHECK(roma_pages_parse("base:4K", &pages) == 0);
    CHECK(pages == ROMA_PAGES_OF(ROMA_PAGE_CLASS_BASE, 12));
    CHECK(roma_pages_parse("2M,2048K,2M", &pages) == 0);
    CHECK(pages == ROMA_PAGES_2M);
    CHECK(roma_pages_parse("2,4,8,16,32,64,128,256", &pages) == 0);
    CHECK(roma_pages_count(pages) == 8);
}

TEST_CASE("text that is no list of page kinds is refused and leaves the result alone")
{
    const char *cases[] = {
        "",         ",",       "base,", ",base",     "base,,thp",
        "Base",     "bases",   "thp:",  "base:",     "base:3K",
        "thp:0",    "thp:3K",  "3M",    "0",         "1",
        "thp:1",    "-2M",     "2M ",   " 2M",       "2M;1G",
        "hugetlb:", "thp:thp", "1G 2M", "16777216T", "2,4,8,16,32,64,128,256,512"};
    for (const char *text : cases) {
        roma_pages pages = 77;
        INFO(text);
        CHECK(roma_pages_parse(text, &pages) == -EINVAL);
        CHECK(pages == 77);
    }
    roma_pages pages = 77;
    CHECK(roma_pages_parse(nullptr, &pages) == -EINVAL);
    CHECK(roma_pages_parse("base", nullptr) == -EINVAL);
}

TEST_CASE("the version of the library is the one of its headers")
{
    const std::string expected = std::to_string(ROMA_VERSION_MAJOR) + "." +
                                 std::to_string(ROMA_VERSION_MINOR) + "." +
                                 std::to_string(ROMA_VERSION_PATCH);
    CHECK(roma_version() == expected);
}
