/* policy_text.cpp - policies as text: what is read from it, what is written, and files. Where
 * mistakes are told is for policy_mistakes.cpp. */
#include "faulty.hpp"
#include "policy_text.hpp"
#include "tree.hpp"

#include <cerrno>
#include <vector>

using namespace policy_text;

namespace {

roma_rule rule_of(const std::string &text)
{
    const owned_policy policy = parse(text);
    roma_rule rule = roma_rule_default();
    REQUIRE(roma_policy_rules_count(policy.get()) == 1);
    CHECK(roma_policy_rule(policy.get(), 0, &rule) == 0);
    return rule;
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
    roma_error error = {};

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
            roma_error error = {};
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
    roma_error error = {};

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
