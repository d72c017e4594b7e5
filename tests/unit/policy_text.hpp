/* policy_text.hpp - for the tests of policies as text: a text read, and written again. */
#ifndef ROMA_TESTS_POLICY_TEXT_HPP
#define ROMA_TESTS_POLICY_TEXT_HPP

#include "catch.hpp"

#include "policy/policy.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace policy_text {

struct destroy {
    void operator()(roma_policy *policy) const { roma_policy_destroy(policy); }
};
using owned_policy = std::unique_ptr<roma_policy, destroy>;

inline std::string sentence_of(const roma_error &error)
{
    char text[256];
    return roma_error_text(&error, text, sizeof text);
}

inline owned_policy parse(const std::string &text)
{
    roma_policy *policy = nullptr;
    roma_error error = {};
    int code = roma_policy_parse(text.c_str(), &policy, &error);
    INFO(text << ": " << sentence_of(error));
    REQUIRE(code == 0);
    CHECK(error.code == 0);
    CHECK(roma__policy_is_valid(policy));
    return owned_policy(policy);
}

inline std::string print(const owned_policy &policy)
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

inline std::string many(const std::string &text, unsigned count)
{
    std::string all;
    for (unsigned i = 0; i < count; i++)
        all += text;
    return all;
}

} // namespace policy_text

#endif
