/* policy_text.cpp - policies as text: what is read from it, where mistakes are told, what is
 * written, and files. */
#include "catch.hpp"
#include "faulty.hpp"
#include "tree.hpp"

#include "policy/policy.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace {

struct destroy {
    void operator()(roma_policy *policy) const { roma_policy_destroy(policy); }
};
using owned_policy = std::unique_ptr<roma_policy, destroy>;

std::string sentence_of(const roma_error &error)
{
    char text[256];
    return roma_error_text(&error, text, sizeof text);
}

owned_policy parse(const std::string &text)
{
    roma_policy *policy = nullptr;
    roma_error error;
    int code = roma_policy_parse(text.c_str(), &policy, &error);
    INFO(text << ": " << sentence_of(error));
    REQUIRE(code == 0);
    CHECK(error.code == 0);
    CHECK(roma__policy_is_valid(policy));
    return owned_policy(policy);
}

std::string print(const owned_policy &policy)
{
    char *text = nullptr;
    size_t bytes = 0;
    FILE *stream = open_memstream(&text, &bytes);
    CHECK(roma_policy_print(policy.get(), stream) == 0);
    std::fclose(stream);
    std::string printed(text, bytes);
    std::free(text);
    return printed;
}

roma_rule rule_of(const std::string &text)
{
    const owned_policy policy = parse(text);
    roma_rule rule = roma_rule_default();
    REQUIRE(roma_policy_rules_count(policy.get()) == 1);
    CHECK(roma_policy_rule(policy.get(), 0, &rule) == 0);
    return rule;
}

std::string many(const std::string &text, unsigned count)
{
    std::string all;
    for (unsigned i = 0; i < count; i++)
        all += text;
    return all;
}

struct mistake {
    std::string text;
    uint64_t line, column;
    const char *expected;
};

void check_mistake(const mistake &mistake, int expected_code = -EINVAL)
{
    roma_policy *policy = reinterpret_cast<roma_policy *>(1);
    roma_error error;
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

const char sample[] = "# large scans where the bandwidth is, everything else near its thread\n"
                      "size >= 64M access sequential -> bandwidth, pages 2M thp base\n"
                      "label \"index*\"                -> local, pages 1G 2M, strict\n"
                      "any                           -> local\n"
                      "limit 8G threshold 6G\n";

} // namespace

/* ---- what is read --------------------------------------------------------------------------- */

TEST_CASE("the sample of the header is read as it says", "[policy]")
{
    const owned_policy policy = parse(sample);
    roma_rule rule;
    REQUIRE(roma_policy_rules_count(policy.get()) == 3);
    REQUIRE(roma_policy_rule(policy.get(), 0, &rule) == 0);
    CHECK(rule.when.least_bytes == size_t{64} << 20);
    CHECK(rule.when.access == ROMA_ACCESS_SEQUENTIAL);
    CHECK(rule.placement == ROMA_BANDWIDTH);
    CHECK(rule.pages ==
          roma_pages_then(ROMA_PAGES_2M, roma_pages_then(ROMA_PAGES_THP, ROMA_PAGES_BASE)));
    CHECK_FALSE(rule.strict);
    REQUIRE(roma_policy_rule(policy.get(), 1, &rule) == 0);
    CHECK(std::string(rule.when.label) == "index*");
    CHECK(rule.placement == ROMA_LOCAL);
    CHECK(rule.strict);
    REQUIRE(roma_policy_rule(policy.get(), 2, &rule) == 0);
    CHECK(roma__conditions_hold_always(&rule.when));
    CHECK(roma_policy_limit(policy.get()) == size_t{8} << 30);
    CHECK(roma_policy_threshold(policy.get()) == size_t{6} << 30);
    CHECK(roma_policy_otherwise(policy.get()) == ROMA_OTHERWISE_FAIL);
}

TEST_CASE("text without a statement is a policy without rules", "[policy]")
{
    for (const char *text : {"", "\n", "\n\n;;\n", "  \t\r\n", "# only a comment", "#\n#\n"}) {
        INFO('"' << text << '"');
        const owned_policy policy = parse(text);
        CHECK(roma_policy_rules_count(policy.get()) == 0);
        CHECK(print(policy).empty());
    }
}

TEST_CASE("every comparison of size becomes the ends that it means", "[policy]")
{
    const struct {
        const char *text;
        size_t least, most;
    } rows[] = {
        {"size >= 1 -> local", 1, 0},
        {"size >= 4K -> local", 4096, 0},
        {"size > 4K -> local", 4097, 0},
        {"size > 0 -> local", 1, 0},
        {"size <= 4K -> local", 0, 4096},
        {"size < 4K -> local", 0, 4095},
        {"size < 2 -> local", 0, 1},
        {"size>=1K size<1M -> local", 1024, (1 << 20) - 1},
        {"size<=1M size>1K->local", 1025, 1 << 20},
        {"size >= 7 size <= 7 -> local", 7, 7},
        {"size >= 18446744073709551615 -> local", SIZE_MAX, 0},
        {"size > 18446744073709551614 -> local", SIZE_MAX, 0},
    };
    for (const auto &row : rows) {
        INFO(row.text);
        const roma_rule rule = rule_of(row.text);
        CHECK(rule.when.least_bytes == row.least);
        CHECK(rule.when.most_bytes == row.most);
    }
}

TEST_CASE("policies read back as they were written, word by word", "[policy]")
{
    const struct {
        const char *text, *printed;
    } rows[] = {
        {"any->local", "any -> local\n"},
        {"any -> anywhere", "any -> anywhere\n"},
        {"any -> anywhere, strict", "any -> strict\n"},
        {"any -> nodes 3,0-1", "any -> nodes 0-1,3\n"},
        {"any -> nodes 0, 1 , 2", "any -> nodes 0-2\n"},
        {"any -> nodes 0,1,strict", "any -> nodes 0-1, strict\n"},
        {"any -> nodes 1,1-1", "any -> nodes 1\n"},
        {"any -> nodes any", "any -> nodes any\n"},
        {"any -> nodes 0-1023", "any -> nodes 0-1023\n"},
        {"any -> preferred 1023", "any -> preferred 1023\n"},
        {"any -> preferred-many 0,2", "any -> preferred-many 0,2\n"},
        {"any -> interleave", "any -> interleave\n"},
        {"any -> interleave, pages thp", "any -> interleave, pages thp\n"},
        {"any -> interleave 1-2", "any -> interleave 1-2\n"},
        {"any -> nearest", "any -> nearest\n"},
        {"any -> nearest 4", "any -> nearest 4\n"},
        {"any -> weighted", "any -> weighted\n"},
        {"any -> weighted 0-1", "any -> weighted 0-1\n"},
        {"any -> weighted 0=3,1=1", "any -> weighted 0=3,1=1\n"},
        {"any -> weighted 5 = 1, 0-1 = 3, strict", "any -> weighted 0=3,1=3,5=1, strict\n"},
        {"any -> weighted 0=0,1=255", "any -> weighted 0=0,1=255\n"},
        {"any -> bandwidth", "any -> bandwidth\n"},
        {"any -> latency", "any -> latency\n"},
        {"any -> capacity", "any -> capacity\n"},
        {"any -> pages base base:4K thp thp:64K hugetlb 2M 1g 16",
         "any -> pages base base:4K thp thp:64K hugetlb 2M 1G 16\n"},
        {"any -> pages 8388608T", "any -> pages 8388608T\n"},
        {"any -> providers anonymous a_b-9", "any -> providers anonymous a_b-9\n"},
        {"any -> providers a b c d", "any -> providers a b c d\n"},
        {"any -> populate 4294967295", "any -> populate 4294967295\n"},
        {"any -> strict,populate 2,providers p,pages base,latency",
         "any -> latency, pages base, providers p, populate 2, strict\n"},
        {"lifetime short -> local", "lifetime short -> local\n"},
        {"lifetime long -> local", "lifetime long -> local\n"},
        {"access sequential -> local", "access sequential -> local\n"},
        {"access random -> local", "access random -> local\n"},
        {"access rare -> local", "access rare -> local\n"},
        {"persistent no shared yes -> local", "shared yes persistent no -> local\n"},
        {"persistent yes shared no -> local", "shared no persistent yes -> local\n"},
        {"label \"a # b; c -> d\" -> local", "label \"a # b; c -> d\" -> local\n"},
        {"label \"\xc3\xa4*?\" -> local", "label \"\xc3\xa4*?\" -> local\n"},
        {"size >= 3072 -> local", "size >= 3K -> local\n"},
        {"size >= 1025K size <= 2048G -> local", "size >= 1025K size <= 2T -> local\n"},
        {"limit 1G", "limit 1G\n"},
        {"limit 1025 threshold 1024", "limit 1025\nthreshold 1K\n"},
        {"threshold 1G; limit 1G", "limit 1G\nthreshold 1G\n"},
        {"threshold 5", "threshold 5\n"},
        {"otherwise fail", ""},
        {"otherwise plain", "otherwise plain\n"},
        {"otherwise abort", "otherwise abort\n"},
        {"limit 1K\r\nany -> local\r\n", "any -> local\nlimit 1K\n"},
        {"any -> local # nearby\n", "any -> local\n"},
        {"size >= 2 -> local; any -> capacity", "size >= 2 -> local\nany -> capacity\n"},
    };
    for (const auto &row : rows) {
        INFO(row.text);
        const owned_policy policy = parse(row.text);
        CHECK(print(policy) == row.printed);
        CHECK(roma__policy_equal(policy.get(), parse(row.printed).get()));
    }
}

TEST_CASE("the longest lists of nodes, weights and rules read back", "[policy]")
{
    std::string nodes = "any -> nodes 0", weights = "any -> weighted 0=1", rules;
    for (int i = 2; i < ROMA_NODES_MAX; i += 2)
        nodes += "," + std::to_string(i);
    for (int i = 1; i < ROMA_WEIGHTS_MAX; i++)
        weights += "," + std::to_string(960 + i) + "=" + std::to_string(i);
    for (int i = 0; i < ROMA_RULES_MAX; i++)
        rules += "size >= " + std::to_string(1025 + 2 * i) + " -> local\n";
    for (const std::string &text : {nodes + "\n", weights + "\n", rules})
        CHECK(print(parse(text)) == text);
}

TEST_CASE("weights are kept in the order of nodes", "[policy]")
{
    const roma_rule rule = rule_of("any -> weighted 7=2,1-2=5,0=0");
    CHECK(roma_nodes_count(&rule.nodes) == 4);
    const std::vector<uint8_t> weights(rule.weights, rule.weights + 5);
    CHECK(weights == std::vector<uint8_t>{0, 5, 5, 2, 0});
}

/* ---- mistakes ------------------------------------------------------------------------------- */

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
    roma_error error;
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
    roma_error error;
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

/* ---- streams and files ---------------------------------------------------------------------- */

TEST_CASE("a stream that takes no more ends the printing with its error", "[policy]")
{
    const owned_policy policy = parse(sample);
    FILE *full = std::fopen("/dev/full", "w");
    REQUIRE(full != nullptr);
    std::setvbuf(full, nullptr, _IONBF, 0);
    CHECK(roma_policy_print(policy.get(), full) == -ENOSPC);
    std::fclose(full);
    FILE *for_reading = std::fopen("/dev/null", "r");
    REQUIRE(for_reading != nullptr);
    CHECK(roma_policy_print(policy.get(), for_reading) == -EBADF);
    std::fclose(for_reading);
}

TEST_CASE("a file is read up to 64 KiB, and what keeps it from being read is told", "[policy]")
{
    const roma_tests::tree tree;
    const auto path = [&](const std::string &name) { return tree.root() + name; };
    const std::string comment = "#" + std::string((64 << 10) - 2, 'x') + "\n";
    tree.put("/sample", sample);
    tree.put("/fits", comment);
    tree.put("/too-big", "\n" + comment);
    tree.put("/mistake", "any -> local\n  local\n");
    tree.put("/zero", std::string("any -> local\n\0any -> local\n", 27));
    roma_policy *policy = nullptr;
    roma_error error;

    REQUIRE(roma_policy_read(path("/sample").c_str(), &policy, &error) == 0);
    CHECK(roma__policy_equal(policy, parse(sample).get()));
    roma_policy_destroy(policy);
    CHECK(roma_policy_read(path("/fits").c_str(), &policy, &error) == 0);
    roma_policy_destroy(policy);

    CHECK(roma_policy_read(path("/too-big").c_str(), &policy, &error) == -EFBIG);
    CHECK(policy == nullptr);
    CHECK(error.code == -EFBIG);

    CHECK(roma_policy_read(path("/none").c_str(), &policy, &error) == -ENOENT);
    CHECK(error.why == ROMA_WHY_CALL);
    CHECK(error.cause == ENOENT);
    CHECK(std::string(error.call) == "open");
    CHECK(std::string(error.subject) == path("/none").substr(0, 63));
    CHECK(sentence_of(error).find("(No such file or directory); check its name") !=
          std::string::npos);
    CHECK(roma_policy_read(path("/none").c_str(), &policy, nullptr) == -ENOENT);

    CHECK(roma_policy_read(tree.root(), &policy, &error) == -EISDIR);
    CHECK(std::string(error.call) == "read");
    CHECK(roma_policy_read(std::string(2000, 'x').c_str(), &policy, &error) == -ENAMETOOLONG);

    CHECK(roma_policy_read(path("/mistake").c_str(), &policy, &error) == -EINVAL);
    CHECK(error.need == 2);
    CHECK(error.have == 3);
    CHECK(roma_policy_read(path("/zero").c_str(), &policy, &error) == -EINVAL);
    CHECK(error.need == 2); /* not the end of the text: what is behind it would be ignored */
    CHECK(error.have == 1);

    roma_tests::fail_nth none(1, ENOMEM, true);
    CHECK(roma_policy_parse(sample, &policy, &error) == -ENOMEM);
    CHECK(policy == nullptr);
    CHECK(error.why == ROMA_WHY_OUT_OF_MEMORY);
    CHECK(roma_policy_read(path("/sample").c_str(), &policy, &error) == -ENOMEM);
    CHECK(error.why == ROMA_WHY_OUT_OF_MEMORY);
}

TEST_CASE("reading a file fails with every system call that fails, and leaves nothing behind",
          "[policy]")
{
    const roma_tests::tree tree;
    const std::string path = std::string(tree.root()) + "/sample";
    tree.put("/sample", sample);
    for (bool for_good : {false, true}) {
        bool reached = true;
        for (long nth = 1; reached; nth++) {
            INFO("call " << nth << (for_good ? " and all later ones" : ""));
            roma_policy *policy = nullptr;
            roma_error error;
            int code;
            {
                const roma_tests::fail_nth failing(nth, EIO, for_good);
                code = roma_policy_read(path.c_str(), &policy, &error);
            }
            reached = roma_tests::fail_nth::reached;
            CHECK((code == 0) == (policy != nullptr));
            CHECK((code == 0 || code == -EIO || code == -ENOMEM));
            CHECK(error.code == code);
            CHECK((reached == (code != 0)));
            roma_policy_destroy(policy);
            REQUIRE(nth < 20);
        }
    }
}

TEST_CASE("a setting is the text of a policy, or names its file", "[policy]")
{
    const roma_tests::tree tree;
    tree.put("/sample", sample);
    tree.put("/mistake", "any -> local\n  local\n");
    const std::string file = std::string("@") + tree.root();
    roma_policy *policy = nullptr;
    roma_error error;

    REQUIRE(roma_policy_from(sample, &policy, &error) == 0);
    CHECK(roma__policy_equal(policy, parse(sample).get()));
    roma_policy_destroy(policy);
    REQUIRE(roma_policy_from((file + "/sample").c_str(), &policy, &error) == 0);
    CHECK(roma__policy_equal(policy, parse(sample).get()));
    roma_policy_destroy(policy);

    CHECK(roma_policy_from("any -> locl", &policy, &error) == -EINVAL);
    CHECK(policy == nullptr);
    CHECK(error.need == 1);
    CHECK(error.have == 8);
    CHECK(roma_policy_from((file + "/mistake").c_str(), &policy, &error) == -EINVAL);
    CHECK(error.need == 2);
    CHECK(roma_policy_from((file + "/none").c_str(), &policy, &error) == -ENOENT);
    CHECK(std::string(error.call) == "open");
    CHECK(roma_policy_from("@", &policy, &error) == -ENOENT);
    CHECK(policy == nullptr);
    CHECK(roma_policy_from(nullptr, &policy, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "text");
    CHECK(roma_policy_from(sample, nullptr, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "policy");
    CHECK(roma_policy_from("@x", nullptr, nullptr) == -EINVAL);
}
