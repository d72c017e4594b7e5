/* policy.cpp - policies as values: what rules are taken, which rule a request meets, and at which
 * lengths that changes for plain requests. */
#include "catch.hpp"
#include "faulty.hpp"

#include "policy/policy.h"

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace {

struct destroy {
    void operator()(roma_policy *policy) const { roma_policy_destroy(policy); }
};
using owned_policy = std::unique_ptr<roma_policy, destroy>;

owned_policy make()
{
    roma_policy *policy = nullptr;
    REQUIRE(roma_policy_create(&policy) == 0);
    return owned_policy(policy);
}

roma_rule rule_of(const std::function<void(roma_rule &)> &change)
{
    roma_rule rule = roma_rule_default();
    change(rule);
    return rule;
}

void add(const owned_policy &policy, const std::function<void(roma_rule &)> &change)
{
    const roma_rule rule = rule_of(change);
    roma_error error = {};
    REQUIRE(roma_policy_add_rule(policy.get(), &rule, &error) == 0);
    CHECK(error.code == 0);
}

void set_label(roma_rule &rule, const std::string &pattern)
{
    REQUIRE(pattern.size() <= sizeof rule.when.label);
    std::memcpy(rule.when.label, pattern.data(), pattern.size());
}

void set_provider(roma_rule &rule, unsigned index, const std::string &name)
{
    REQUIRE(name.size() <= sizeof rule.providers[index]);
    std::memcpy(rule.providers[index], name.data(), name.size());
}

int match(const owned_policy &policy, const std::function<void(roma_request &)> &change)
{
    roma_request request = roma_request_default();
    change(request);
    return roma__policy_match(policy.get(), &request);
}

/* A rule for lengths from `least` on, up to `most` (0: no upper end). */
void add_lengths(const owned_policy &policy, size_t least, size_t most)
{
    add(policy, [&](roma_rule &rule) {
        rule.when.least_bytes = least;
        rule.when.most_bytes = most;
    });
}

std::vector<size_t> partings(const owned_policy &policy)
{
    std::vector<size_t> found;
    for (size_t at = roma__policy_first_parting(policy.get()); at != SIZE_MAX;
         at = roma__policy_next_parting(policy.get(), at))
        found.push_back(at);
    return found;
}

} // namespace

TEST_CASE("a new policy has no rule, no limit, and fails where all steps do", "[policy]")
{
    const owned_policy policy = make();
    CHECK(roma_policy_rules_count(policy.get()) == 0);
    CHECK(roma_policy_limit(policy.get()) == 0);
    CHECK(roma_policy_threshold(policy.get()) == 0);
    CHECK(roma_policy_otherwise(policy.get()) == ROMA_OTHERWISE_FAIL);
    CHECK(roma__policy_is_valid(policy.get()));
    CHECK(match(policy, [](roma_request &) {}) == -1);
    roma_rule rule;
    CHECK(roma_policy_rule(policy.get(), 0, &rule) == -EINVAL);
}

TEST_CASE("no policy at all is an answer or a mistake, never a crash", "[policy]")
{
    roma_rule rule = roma_rule_default();
    roma_error error = {};
    roma_policy_destroy(nullptr);
    CHECK(roma_policy_create(nullptr) == -EINVAL);
    CHECK(roma_policy_add_rule(nullptr, &rule, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "policy");
    CHECK(roma_policy_rules_count(nullptr) == 0);
    CHECK(roma_policy_rule(nullptr, 0, &rule) == -EINVAL);
    CHECK(roma_policy_set_limit(nullptr, 1, 1) == -EINVAL);
    CHECK(roma_policy_limit(nullptr) == 0);
    CHECK(roma_policy_threshold(nullptr) == 0);
    CHECK(roma_policy_set_otherwise(nullptr, ROMA_OTHERWISE_FAIL) == -EINVAL);
    CHECK(roma_policy_otherwise(nullptr) == ROMA_OTHERWISE_FAIL);
    const owned_policy policy = make();
    CHECK(roma_policy_add_rule(policy.get(), nullptr, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "rule");
    add(policy, [](roma_rule &) {});
    CHECK(roma_policy_rule(policy.get(), 0, nullptr) == -EINVAL);
    roma_policy *copy = policy.get();
    CHECK(roma__policy_copy(nullptr, &copy) == 0);
    CHECK(copy == nullptr);
}

TEST_CASE("without memory there is no policy and no copy", "[policy]")
{
    const owned_policy policy = make();
    roma_policy *other = policy.get(), *copy = policy.get();
    roma_tests::fail_nth none(1, ENOMEM, true);
    CHECK(roma_policy_create(&other) == -ENOMEM);
    CHECK(other == nullptr);
    CHECK(roma__policy_copy(policy.get(), &copy) == -ENOMEM);
    CHECK(copy == nullptr);
}

TEST_CASE("wrong rules are refused with the member named, and nothing is added", "[policy]")
{
    struct row {
        const char *subject;
        int code;
        std::function<void(roma_rule &)> spoil;
    };
    const std::vector<row> rows = {
        {"rule.size", -EINVAL, [](roma_rule &r) { r.size = 0; }},
        {"rule.size", -EINVAL, [](roma_rule &r) { r.size = offsetof(roma_rule, placement) - 1; }},
        {"rule.when.most_bytes", -EINVAL,
         [](roma_rule &r) {
             r.when.least_bytes = 2;
             r.when.most_bytes = 1;
         }},
        {"rule.when.label", -EINVAL, [](roma_rule &r) { set_label(r, std::string(64, 'a')); }},
        {"rule.when.label", -EINVAL, [](roma_rule &r) { set_label(r, "say \"x\""); }},
        {"rule.when.label", -EINVAL, [](roma_rule &r) { set_label(r, "a\nb"); }},
        {"rule.when.label", -EINVAL, [](roma_rule &r) { set_label(r, "a\x7f"); }},
        {"rule.when.lifetime", -EINVAL,
         [](roma_rule &r) { r.when.lifetime = static_cast<roma_lifetime>(3); }},
        {"rule.when.access", -EINVAL,
         [](roma_rule &r) { r.when.access = static_cast<roma_access>(4); }},
        {"rule.when.shared", -EINVAL,
         [](roma_rule &r) { r.when.shared = static_cast<roma_tristate>(3); }},
        {"rule.when.persistent", -EINVAL,
         [](roma_rule &r) { r.when.persistent = static_cast<roma_tristate>(-1); }},
        {"rule.placement", -EINVAL, [](roma_rule &r) { r.placement = ROMA_PLACEMENTS_COUNT; }},
        {"rule.nodes without ROMA_NODES", -EINVAL,
         [](roma_rule &r) { r.nodes = roma_nodes_one(1); }},
        {"rule.nodes", -EINVAL,
         [](roma_rule &r) {
             r.placement = ROMA_NODES;
             r.strict = true;
         }},
        {"rule.weights of nodes not named", -EINVAL,
         [](roma_rule &r) {
             r.placement = ROMA_WEIGHTED;
             r.weights[63] = 1;
         }},
        {"rule.pages", -EINVAL, [](roma_rule &r) { r.pages = 21; }},
        {"rule.pages", -EINVAL, [](roma_rule &r) { r.pages = ROMA_PAGES_BASE << 8; }},
        {"rule.pages", -EINVAL, [](roma_rule &r) { r.pages = ROMA_PAGES_2M | ROMA_PAGES_2M << 8; }},
        {"rule.providers", -EINVAL, [](roma_rule &r) { set_provider(r, 1, "behind-a-hole"); }},
        {"rule.providers", -EINVAL, [](roma_rule &r) { set_provider(r, 0, "No Such Name"); }},
        {"rule.providers", -EINVAL, [](roma_rule &r) { set_provider(r, 0, std::string(32, 'a')); }},
        {"rule.providers", -EINVAL,
         [](roma_rule &r) {
             set_provider(r, 0, "twice");
             set_provider(r, 1, "twice");
         }},
    };
    const owned_policy policy = make();
    for (const row &row : rows) {
        INFO(row.subject);
        const roma_rule rule = rule_of(row.spoil);
        roma_error error = {};
        CHECK(roma_policy_add_rule(policy.get(), &rule, &error) == row.code);
        CHECK(error.code == row.code);
        CHECK(std::string(error.subject) == row.subject);
        CHECK(roma_policy_add_rule(policy.get(), &rule, nullptr) == row.code);
    }
    CHECK(roma_policy_rules_count(policy.get()) == 0);
}

TEST_CASE(
    "a longer rule is taken when its tail is zero and is E2BIG when not; a shorter one is read",
    "[policy]")
{
    struct {
        roma_rule known;
        uint64_t unknown;
    } newer = {roma_rule_default(), 0};
    newer.known.size = sizeof newer;
    newer.known.when.least_bytes = 4096;
    newer.known.strict = true;
    const owned_policy policy = make();
    CHECK(roma_policy_add_rule(policy.get(), &newer.known, nullptr) == 0);
    newer.unknown = 1;
    roma_error error = {};
    CHECK(roma_policy_add_rule(policy.get(), &newer.known, &error) == -E2BIG);
    CHECK(error.why == ROMA_WHY_UNKNOWN_OPTION);
    newer.known.size = offsetof(roma_rule, strict);
    CHECK(roma_policy_add_rule(policy.get(), &newer.known, nullptr) == 0);
    roma_rule first, second;
    REQUIRE(roma_policy_rule(policy.get(), 0, &first) == 0);
    REQUIRE(roma_policy_rule(policy.get(), 1, &second) == 0);
    CHECK(first.size == sizeof first);
    CHECK(first.strict);
    CHECK_FALSE(second.strict);
    CHECK(second.when.least_bytes == 4096);
}

TEST_CASE("64 rules fit; behind a rule for every request there is none", "[policy]")
{
    const owned_policy policy = make();
    for (size_t i = 0; i < ROMA_RULES_MAX; i++)
        add_lengths(policy, i + 2, 0);
    CHECK(roma_policy_rules_count(policy.get()) == ROMA_RULES_MAX);
    roma_rule rule = roma_rule_default();
    roma_error error = {};
    CHECK(roma_policy_add_rule(policy.get(), &rule, &error) == -ENOSPC);
    CHECK(error.code == -ENOSPC);
    CHECK(roma__policy_is_valid(policy.get()));

    for (size_t least : {size_t{0}, size_t{1}}) {
        const owned_policy closed = make();
        add_lengths(closed, least, 0);
        CHECK(roma_policy_add_rule(closed.get(), &rule, &error) == -EINVAL);
        CHECK(std::string(error.subject) == "rule behind one that decides on every request");
        CHECK(roma_policy_rules_count(closed.get()) == 1);
    }
}

TEST_CASE("limit and threshold are kept together, a threshold above the limit is refused",
          "[policy]")
{
    const owned_policy policy = make();
    CHECK(roma_policy_set_limit(policy.get(), 100, 60) == 0);
    CHECK(roma_policy_set_limit(policy.get(), 100, 101) == -EINVAL);
    CHECK(roma_policy_limit(policy.get()) == 100);
    CHECK(roma_policy_threshold(policy.get()) == 60);
    CHECK(roma_policy_set_limit(policy.get(), 100, 100) == 0);
    CHECK(roma_policy_set_limit(policy.get(), 0, 500) == 0); /* below the manager's own limit */
    CHECK(roma_policy_set_limit(policy.get(), 0, 0) == 0);
    CHECK(roma_policy_set_otherwise(policy.get(), ROMA_OTHERWISE_ABORT) == 0);
    CHECK(roma_policy_set_otherwise(policy.get(), static_cast<roma_otherwise>(3)) == -EINVAL);
    CHECK(roma_policy_otherwise(policy.get()) == ROMA_OTHERWISE_ABORT);
}

TEST_CASE("a copy is equal and goes its own way", "[policy]")
{
    const owned_policy policy = make();
    add_lengths(policy, 4096, 8192);
    REQUIRE(roma_policy_set_limit(policy.get(), 1 << 30, 1 << 20) == 0);
    roma_policy *copied = nullptr;
    REQUIRE(roma__policy_copy(policy.get(), &copied) == 0);
    const owned_policy copy(copied);
    CHECK(roma__policy_equal(policy.get(), copy.get()));
    add(copy, [](roma_rule &rule) { rule.placement = ROMA_LOCAL; });
    CHECK_FALSE(roma__policy_equal(policy.get(), copy.get()));
    CHECK(roma_policy_rules_count(policy.get()) == 1);
}

TEST_CASE("policies differ when any member of any rule does", "[policy]")
{
    const std::vector<std::function<void(roma_rule &)>> changes = {
        [](roma_rule &) {},
        [](roma_rule &r) { r.when.least_bytes = 2; },
        [](roma_rule &r) { r.when.most_bytes = 2; },
        [](roma_rule &r) { set_label(r, "a"); },
        [](roma_rule &r) { r.when.lifetime = ROMA_LIFETIME_LONG; },
        [](roma_rule &r) { r.when.access = ROMA_ACCESS_RARE; },
        [](roma_rule &r) { r.when.shared = ROMA_NO; },
        [](roma_rule &r) { r.when.persistent = ROMA_YES; },
        [](roma_rule &r) { r.placement = ROMA_WEIGHTED; },
        [](roma_rule &r) {
            r.placement = ROMA_WEIGHTED;
            r.nodes = roma_nodes_one(0);
        },
        [](roma_rule &r) {
            r.placement = ROMA_WEIGHTED;
            r.nodes = roma_nodes_one(0);
            r.weights[0] = 1;
        },
        [](roma_rule &r) { r.pages = ROMA_PAGES_BASE; },
        [](roma_rule &r) { set_provider(r, 0, "one"); },
        [](roma_rule &r) { r.strict = true; },
        [](roma_rule &r) { r.populate_threads = 1; },
    };
    std::vector<owned_policy> policies;
    for (const auto &change : changes) {
        policies.push_back(make());
        add(policies.back(), change);
    }
    for (size_t i = 0; i < policies.size(); i++)
        for (size_t j = 0; j < policies.size(); j++) {
            INFO(i << " and " << j);
            CHECK(roma__policy_equal(policies[i].get(), policies[j].get()) == (i == j));
        }
}

TEST_CASE("what stands behind the end of a text makes no difference", "[policy]")
{
    const owned_policy a = make(), b = make();
    add(a, [](roma_rule &rule) {
        set_label(rule, std::string("a\0rest", 6));
        set_provider(rule, 0, std::string("p\0rest", 6));
    });
    add(b, [](roma_rule &rule) {
        set_label(rule, "a");
        set_provider(rule, 0, "p");
    });
    CHECK(roma__policy_equal(a.get(), b.get()));
}

TEST_CASE("patterns match labels: * is any text, ? any one byte", "[policy]")
{
    const struct {
        const char *pattern, *text;
        bool matches;
    } rows[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a", "a", true},
        {"a", "A", false},
        {"a", "ab", false},
        {"ab", "a", false},
        {"*", "", true},
        {"*", "anything", true},
        {"**", "", true},
        {"?", "", false},
        {"?", "x", true},
        {"?", "xy", false},
        {"index*", "index", true},
        {"index*", "index of names", true},
        {"index*", "inde", false},
        {"*log", "log", true},
        {"*log", "redo log", true},
        {"*log", "log 2", false},
        {"*log", "loglog", true},
        {"a*b*c", "abc", true},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "a-c-b", false},
        {"*a?c*", "xxabcyy", true},
        {"*a?c*", "xxacyy", false},
        {"?*?", "x", false},
        {"?*?", "xy", true},
        {"*?", "", false},
        {"a*a*a", "aa", false},
        {"a*a*a", "aaa", true},
        {"*ab", "aab", true},
        {"*aab", "aaaab", true},
    };
    for (const auto &row : rows) {
        INFO('"' << row.pattern << "\" on \"" << row.text << '"');
        CHECK(roma__pattern_matches(row.pattern, row.text, std::strlen(row.text)) == row.matches);
    }
}

TEST_CASE("a pattern of stars that nearly matches takes no time", "[policy]")
{
    /* 31 stars: matched by trying every place for each, this would not end. */
    std::string pattern;
    for (int i = 0; i < 31; i++)
        pattern += "*a";
    pattern += 'b';
    const std::string text(5000, 'a');
    CHECK_FALSE(roma__pattern_matches(pattern.c_str(), text.data(), text.size()));
    CHECK(roma__pattern_matches(pattern.c_str(), (text + "b").data(), text.size() + 1));
}

TEST_CASE("the first rule whose conditions all hold decides", "[policy]")
{
    const owned_policy policy = make();
    add(policy, [](roma_rule &rule) {
        rule.when.least_bytes = 1 << 20;
        rule.when.access = ROMA_ACCESS_SEQUENTIAL;
    });
    add(policy, [](roma_rule &rule) { set_label(rule, "index*"); });
    add(policy, [](roma_rule &rule) { rule.when.lifetime = ROMA_LIFETIME_SHORT; });
    add(policy, [](roma_rule &rule) { rule.when.shared = ROMA_YES; });
    add(policy, [](roma_rule &rule) { rule.when.persistent = ROMA_YES; });
    add(policy, [](roma_rule &rule) { rule.when.most_bytes = 64; });
    add(policy, [](roma_rule &rule) {
        rule.when.shared = ROMA_NO;
        rule.when.persistent = ROMA_NO;
        set_label(rule, "*");
    });
    const struct {
        const char *what;
        int rule;
        std::function<void(roma_request &)> change;
    } rows[] = {
        {"nothing said", -1, [](roma_request &r) { r.bytes = 100; }},
        {"long and scanned", 0,
         [](roma_request &r) {
             r.bytes = 1 << 20;
             r.access = ROMA_ACCESS_SEQUENTIAL;
             r.label = "index";
         }},
        {"scanned, a byte short", 1,
         [](roma_request &r) {
             r.bytes = (1 << 20) - 1;
             r.access = ROMA_ACCESS_SEQUENTIAL;
             r.label = "index";
         }},
        {"long, random", -1,
         [](roma_request &r) {
             r.bytes = 1 << 20;
             r.access = ROMA_ACCESS_RANDOM;
         }},
        {"short-lived", 2, [](roma_request &r) { r.lifetime = ROMA_LIFETIME_SHORT; }},
        {"shared before persistent", 3, [](roma_request &r) { r.shared = r.persistent = true; }},
        {"persistent", 4, [](roma_request &r) { r.persistent = true; }},
        {"64 bytes", 5, [](roma_request &r) { r.bytes = 64; }},
        {"no byte at all", 5, [](roma_request &r) { r.bytes = 0; }},
        {"65 bytes", -1, [](roma_request &r) { r.bytes = 65; }},
        {"some label", 6,
         [](roma_request &r) {
             r.bytes = 65;
             r.label = "x";
         }},
        {"an empty label is none", -1,
         [](roma_request &r) {
             r.bytes = 65;
             r.label = "";
         }},
    };
    for (const auto &row : rows) {
        INFO(row.what);
        CHECK(match(policy, row.change) == row.rule);
    }
}

TEST_CASE("of a long label, the 63 bytes count that reports keep", "[policy]")
{
    const owned_policy policy = make();
    add(policy, [](roma_rule &rule) { set_label(rule, "*b"); });
    const std::string kept = std::string(62, 'a') + 'b', longer = kept + std::string(100, 'c');
    CHECK(match(policy, [&](roma_request &r) { r.label = kept.c_str(); }) == 0);
    CHECK(match(policy, [&](roma_request &r) { r.label = longer.c_str(); }) == 0);
}

TEST_CASE("a length of 0 meets the rule that a length of 1 meets", "[policy]")
{
    const owned_policy policy = make();
    add_lengths(policy, 1, 1);
    CHECK(match(policy, [](roma_request &r) { r.bytes = 0; }) == 0);
    CHECK(match(policy, [](roma_request &r) { r.bytes = 1; }) == 0);
    CHECK(match(policy, [](roma_request &r) { r.bytes = 2; }) == -1);
    CHECK(roma__policy_next_parting(policy.get(), 0) == 2);
}

TEST_CASE("plain requests part at the lengths where the deciding rule changes", "[policy]")
{
    struct ends {
        size_t least, most;
    };
    const struct {
        const char *what;
        std::vector<ends> rules;
        std::vector<size_t> partings;
    } rows[] = {
        {"no rule", {}, {}},
        {"one for all", {{0, 0}}, {}},
        {"one for all, spelt out", {{1, 0}}, {}},
        {"a lower end", {{4096, 0}}, {4096}},
        {"an upper end", {{0, 4096}}, {4097}},
        {"both ends", {{100, 200}}, {100, 201}},
        {"two that meet", {{0, 99}, {100, 0}}, {100}},
        {"two with a gap", {{0, 99}, {200, 0}}, {100, 200}},
        {"one inside an earlier one is never met", {{100, 1000}, {200, 300}}, {100, 1001}},
        {"an earlier one inside", {{200, 300}, {100, 1000}}, {100, 200, 301, 1001}},
        {"a rule for the rest", {{1 << 20, 0}, {0, 0}}, {1 << 20}},
        {"only the length 1", {{0, 1}}, {2}},
        {"up to the largest", {{10, SIZE_MAX}}, {10}},
        {"all, up to the largest", {{0, SIZE_MAX}}, {}},
    };
    for (const auto &row : rows) {
        INFO(row.what);
        const owned_policy policy = make();
        for (const ends &ends : row.rules)
            add_lengths(policy, ends.least, ends.most);
        CHECK(partings(policy) == row.partings);
    }
}

TEST_CASE("rules with a label or hint do not part plain requests, but no's hold for them",
          "[policy]")
{
    const owned_policy policy = make();
    add(policy, [](roma_rule &rule) {
        rule.when.least_bytes = 10;
        set_label(rule, "*");
    });
    add(policy, [](roma_rule &rule) {
        rule.when.least_bytes = 20;
        rule.when.access = ROMA_ACCESS_RARE;
    });
    add(policy, [](roma_rule &rule) {
        rule.when.least_bytes = 30;
        rule.when.shared = ROMA_YES;
    });
    CHECK(partings(policy).empty());
    add(policy, [](roma_rule &rule) {
        rule.when.least_bytes = 40;
        rule.when.shared = ROMA_NO;
        rule.when.persistent = ROMA_NO;
    });
    CHECK(partings(policy) == std::vector<size_t>{40});
}
