/* policy_mistakes.cpp - mistakes in a policy's text: each is told with its line, its column, and
 * what was expected there, and nothing comes of it. */
#include "policy_text.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

using namespace policy_text;

namespace {

struct mistake {
    std::string text;
    uint64_t line, column;
    const char *expected;
};

void check_mistake(const mistake &mistake, int expected_code = -EINVAL)
{
    roma_policy *policy = reinterpret_cast<roma_policy *>(1);
    roma_error error = {};
    INFO(mistake.text);
    CHECK(roma_policy_parse(mistake.text.c_str(), &policy, &error) == expected_code);
    CHECK(policy == nullptr);
    CHECK(error.code == expected_code);
    CHECK(error.why == ROMA_WHY_POLICY_TEXT);
    CHECK(error.need == mistake.line);
    CHECK(error.have == mistake.column);
    CHECK(std::string(error.subject) == mistake.expected);
    CHECK(std::strlen(error.subject) < sizeof error.subject - 1); /* not cut */
    CHECK(roma_policy_parse(mistake.text.c_str(), &policy, nullptr) == expected_code);
}

void check_mistakes(const std::vector<mistake> &mistakes)
{
    for (const mistake &mistake : mistakes)
        check_mistake(mistake);
}

} // namespace

TEST_CASE("mistakes in statements are told with their place", "[policy]")
{
    check_mistakes({
        {"local", 1, 1, "any, a condition, limit, threshold or otherwise"},
        {"\n\n  -> local", 3, 3, "any, a condition, limit, threshold or otherwise"},
        {"Any -> local", 1, 1, "any, a condition, limit, threshold or otherwise"},
        {"\xef\xbb\xbf", 1, 1, "any, a condition, limit, threshold or otherwise"},
        {"any", 1, 4, "->"},
        {"any size > 4 -> local", 1, 5, "->"},
        {"any - > local", 1, 5, "->"},
        {"size >= 4\n-> local", 1, 10, "another condition or ->"},
        {"size >= 4 any -> local", 1, 11, "another condition or ->"},
        {"any -> local local", 1, 14, "a comma or the end of the line"},
        {"any -> local 0", 1, 14, "a comma or the end of the line"},
        {"any -> local ->", 1, 14, "a comma or the end of the line"},
        {"any -> local\nany -> local", 2, 1, "no rule behind one that decides on every request"},
        {"size > 0 -> local; any -> local", 1, 20,
         "no rule behind one that decides on every request"},
        {"limit", 1, 6, "a size, such as 64M"},
        {"limit 8G,", 1, 9, "the end of the line"},
        {"limit much", 1, 7, "a size, such as 64M"},
        {"limit 1.5G", 1, 7, "a size, such as 64M"},
        {"limit -1", 1, 7, "a size, such as 64M"},
        {"limit 0", 1, 7, "a size above 0"},
        {"limit 18446744073709551616", 1, 7, "a size that fits into 64 bits"},
        {"limit " + many("1", 40), 1, 7, "a size, such as 64M"},
        {"limit 1G\nlimit 1G", 2, 1, "only one limit in a policy"},
        {"limit 1G threshold", 1, 19, "a size, such as 64M"},
        {"limit 1G threshold 0", 1, 20, "a size above 0"},
        {"limit 1G threshold 2G", 1, 20, "a threshold that is not above the limit"},
        {"limit 1G threshold 1G threshold 1G", 1, 23, "the end of the line"},
        {"limit 1G; threshold 2G", 1, 21, "a threshold that is not above the limit"},
        {"threshold 2G; limit 1G", 1, 21, "a limit that is not below the threshold"},
        {"threshold 2G; threshold 2G", 1, 15, "only one threshold in a policy"},
        {"threshold 1G\nlimit 2G threshold 1G", 2, 10, "only one threshold in a policy"},
        {"otherwise", 1, 10, "fail, plain or abort"},
        {"otherwise panic", 1, 11, "fail, plain or abort"},
        {"otherwise fail plain", 1, 16, "the end of the line"},
        {"otherwise fail\notherwise fail", 2, 1, "only one otherwise in a policy"},
    });
}

TEST_CASE("mistakes in conditions are told with their place", "[policy]")
{
    check_mistakes({
        {"size 4K -> local", 1, 6, ">=, <=, > or < and a size"},
        {"size = 4K -> local", 1, 6, ">=, <=, > or < and a size"},
        {"size == 4K -> local", 1, 6, ">=, <=, > or < and a size"},
        {"size > = 4K -> local", 1, 8, "a size, such as 64M"},
        {"size >= -> local", 1, 9, "a size, such as 64M"},
        {"size >= 0 -> local", 1, 9, "a size above 0"},
        {"size <= 0 -> local", 1, 9, "a size above 0"},
        {"size < 1 -> local", 1, 8, "a size above 1"},
        {"size < 0 -> local", 1, 8, "a size above 1"},
        {"size > 18446744073709551615 -> local", 1, 8, "a size that leaves a larger one"},
        {"size >= 4 size > 5 -> local", 1, 16, "only one lower end of size in a rule"},
        {"size <= 4 size < 5 -> local", 1, 16, "only one upper end of size in a rule"},
        {"size >= 4 size < 4 -> local", 1, 16, "ends of size with a length between them"},
        {"size <= 4 size > 4 -> local", 1, 16, "ends of size with a length between them"},
        {"label index -> local", 1, 7, "a pattern in quotes, such as \"index*\""},
        {"label -> local", 1, 7, "a pattern in quotes, such as \"index*\""},
        {"label \"index -> local", 1, 22, "a closing quote"},
        {"label \"index\n\" -> local", 1, 13, "a closing quote"},
        {"label \"\" -> local", 1, 7, "a pattern that is not empty"},
        {"label \"" + many("a", 64) + "\" -> local", 1, 7, "a pattern of at most 63 bytes"},
        {"label \"a\tb\" -> local", 1, 9, "no control byte in a pattern; use ?"},
        {"label \"a\" label \"b\" -> local", 1, 11, "only one label in a rule"},
        {"lifetime -> local", 1, 10, "short or long"},
        {"lifetime unknown -> local", 1, 10, "short or long"},
        {"lifetime long lifetime long -> local", 1, 15, "only one lifetime in a rule"},
        {"access seq -> local", 1, 8, "sequential, random or rare"},
        {"access rare access rare -> local", 1, 13, "only one access in a rule"},
        {"shared maybe -> local", 1, 8, "yes or no"},
        {"shared yes shared no -> local", 1, 12, "only one shared in a rule"},
        {"persistent -> local", 1, 12, "yes or no"},
        {"persistent no persistent no -> local", 1, 15, "only one persistent in a rule"},
    });
}

TEST_CASE("mistakes in actions are told with their place", "[policy]")
{
    check_mistakes({
        {"any ->", 1, 7, "a placement, pages, providers, populate or strict"},
        {"any -> here", 1, 8, "a placement, pages, providers, populate or strict"},
        {"any -> local,", 1, 14, "a placement, pages, providers, populate or strict"},
        {"any -> local, # more\n strict", 1, 21,
         "a placement, pages, providers, populate or strict"},
        {"any -> , local", 1, 8, "a placement, pages, providers, populate or strict"},
        {"any -> local, capacity", 1, 15, "only one placement in a rule"},
        {"any -> anywhere, anywhere", 1, 18, "only one placement in a rule"},
        {"any -> pages", 1, 13, "a page kind: base, thp, thp:SIZE, hugetlb or a SIZE"},
        {"any -> pages 3M", 1, 14, "a page kind: base, thp, thp:SIZE, hugetlb or a SIZE"},
        {"any -> pages thp huge", 1, 18, "a page kind: base, thp, thp:SIZE, hugetlb or a SIZE"},
        {"any -> pages 2M, thp", 1, 18,
         "an action (kinds and names in a list have spaces between)"},
        {"any -> pages 2M 2048K", 1, 17, "each page kind only once"},
        {"any -> pages 2 4 8 16 32 64 128 256 512", 1, 37, "at most 8 page kinds"},
        {"any -> pages thp, pages base", 1, 19, "only one pages in a rule"},
        {"any -> providers", 1, 17, "a provider's name: up to 31 of a-z, 0-9, - and _"},
        {"any -> providers A", 1, 18, "a provider's name: up to 31 of a-z, 0-9, - and _"},
        {"any -> providers \"a\"", 1, 18, "a provider's name: up to 31 of a-z, 0-9, - and _"},
        {"any -> providers " + many("a", 32), 1, 18,
         "a provider's name: up to 31 of a-z, 0-9, - and _"},
        {"any -> providers a a", 1, 20, "each provider only once"},
        {"any -> providers a b c d e", 1, 26, "at most 4 providers"},
        {"any -> providers a, b", 1, 21,
         "an action (kinds and names in a list have spaces between)"},
        {"any -> providers a, providers b", 1, 21, "only one providers in a rule"},
        {"any -> populate", 1, 16, "a number of threads above 0"},
        {"any -> populate 0", 1, 17, "a number of threads above 0"},
        {"any -> populate 2K", 1, 17, "a number of threads above 0"},
        {"any -> populate 4294967296", 1, 17, "a number of threads above 0"},
        {"any -> populate 1, populate 1", 1, 20, "only one populate in a rule"},
        {"any -> strict, strict", 1, 16, "only one strict in a rule"},
    });
}

TEST_CASE("mistakes in nodes and weights are told with their place", "[policy]")
{
    check_mistakes({
        {"any -> nodes", 1, 13, "nodes, such as 0-1,3"},
        {"any -> nodes all", 1, 14, "nodes, such as 0-1,3"},
        {"any -> nodes ,", 1, 14, "nodes, such as 0-1,3"},
        {"any -> nodes 0,", 1, 16, "a placement, pages, providers, populate or strict"},
        {"any -> nodes 0 1", 1, 16, "a comma or the end of the line"},
        {"any -> nodes 0 - 1", 1, 16, "a comma or the end of the line"},
        {"any -> nodes 1024", 1, 14, "a node below 1024"},
        {"any -> nodes 0,99999999999", 1, 16, "a node below 1024"},
        {"any -> nodes 0-1024", 1, 16, "a node below 1024"},
        {"any -> nodes 0-", 1, 16, "a node below 1024"},
        {"any -> nodes 3-1", 1, 14, "a range that rises"},
        {"any -> nodes 1-2-3", 1, 17, "nodes, such as 0-1,3"},
        {"any -> nodes 1x", 1, 15, "nodes, such as 0-1,3"},
        {"any -> nodes 0=1", 1, 15, "a comma or the end of the line"},
        {"any -> strict, nodes any", 1, 16, "nodes by number, for the rule is strict"},
        {"any -> nodes any, strict", 1, 8, "nodes by number, for the rule is strict"},
        {"any -> preferred", 1, 17, "nodes, such as 0-1,3"},
        {"any -> preferred 0-1", 1, 18, "one node"},
        {"any -> preferred 0,1", 1, 18, "one node"},
        {"any -> preferred-many, strict", 1, 22, "nodes, such as 0-1,3"},
        {"any -> nearest 0,1", 1, 16, "one node"},
        {"any -> nearest any", 1, 16, "nodes, such as 0-1,3"},
        {"any -> interleave any", 1, 19, "nodes, such as 0-1,3"},
        {"any -> weighted x", 1, 17, "nodes, such as 0-1,3 or 0=3,1=1"},
        {"any -> weighted 0=", 1, 19, "a weight from 0 to 255"},
        {"any -> weighted 0=256", 1, 19, "a weight from 0 to 255"},
        {"any -> weighted 0=1x", 1, 19, "a weight from 0 to 255"},
        {"any -> weighted 0=1,1", 1, 22, "= and a weight, for the first node has one"},
        {"any -> weighted 0,1=1", 1, 20, "no weight, for the first node has none"},
        {"any -> weighted 0=0,1=0", 1, 17, "a weight above 0 for some node"},
        {"any -> weighted 0=1,0=2", 1, 21, "each node only once"},
        {"any -> weighted 3=1,0-4=2", 1, 21, "each node only once"},
        {"any -> weighted 0-64=1", 1, 17, "at most 64 nodes"},
        {"any -> weighted 0-64", 1, 17, "at most 64 nodes"},
        {"any -> weighted 1024=1", 1, 17, "a node below 1024"},
    });
}

TEST_CASE("one rule too many is -ENOSPC, told with its place", "[policy]")
{
    check_mistake({many("size >= 2 -> local\n", ROMA_RULES_MAX) + "  size >= 2 -> local",
                   ROMA_RULES_MAX + 1, 3, "at most 64 rules"},
                  -ENOSPC);
}

TEST_CASE("a mistake reads as a sentence", "[policy]")
{
    roma_policy *policy;
    roma_error error = {};
    CHECK(roma_policy_parse("any -> local\nlimit 8X\n", &policy, &error) == -EINVAL);
    CHECK(policy == nullptr);
    CHECK(sentence_of(error) ==
          "the policy is wrong at line 2, column 7: expected a size, such as 64M; docs/policy.md "
          "has the grammar");
    error.need = error.have = UINT64_MAX; /* the longest still fits */
    std::memset(error.subject, 'x', sizeof error.subject - 1);
    CHECK(sentence_of(error).size() < 255);
}

TEST_CASE("the manual's examples are policies, and its mistakes are told as it says", "[policy]")
{
    std::ifstream manual(std::string(ROMA_SOURCE_DIR) + "/docs/policy.md");
    REQUIRE(manual);
    const std::string row_mark = " | line 1, column ";
    std::string line, example;
    unsigned examples = 0, mistakes = 0;
    bool inside = false, described = false;
    while (std::getline(manual, line)) {
        described = described || line == "## Rules"; /* what comes later in ``` is no policy */
        const size_t row = line.find(row_mark);
        if (line == "```" && inside && !described) {
            CHECK(print(parse(example)) != "");
            examples++;
        } else if (row != std::string::npos) { /* | `text` | line 1, column N: expected ... | */
            const std::string said = line.substr(row + row_mark.size());
            const size_t expected = said.find(": expected ") + 11;
            const std::string subject = said.substr(expected, said.size() - expected - 2);
            check_mistake({line.substr(3, row - 4), 1, std::stoul(said), subject.c_str()});
            mistakes++;
        }
        inside = line == "```" ? !inside : inside;
        example = line == "```" ? "" : example + line + "\n";
    }
    CHECK(examples >= 6);
    CHECK(mistakes >= 6);
}

TEST_CASE("NULL is a mistake that is named", "[policy]")
{
    roma_policy *policy = reinterpret_cast<roma_policy *>(1);
    roma_error error = {};
    CHECK(roma_policy_parse("", nullptr, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "policy");
    CHECK(roma_policy_parse(nullptr, &policy, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "text");
    CHECK(policy == nullptr);
    CHECK(roma_policy_read("x", nullptr, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "policy");
    policy = reinterpret_cast<roma_policy *>(1);
    CHECK(roma_policy_read(nullptr, &policy, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "path");
    CHECK(policy == nullptr);
    CHECK(roma_policy_print(nullptr, stderr) == -EINVAL);
    CHECK(roma_policy_print(parse("").get(), nullptr) == -EINVAL);
}
