/* badinput.hpp - for the tests of bad input: a manager that collects misuse, and what may not
 * change. */
#ifndef ROMA_TESTS_BADINPUT_HPP
#define ROMA_TESTS_BADINPUT_HPP

#include "skip.hpp"

#include <roma.h>

#include <cstring>
#include <string>
#include <vector>

namespace badinput {

constexpr size_t huge_align = size_t(1) << 30;

struct misuse_seen {
    std::vector<roma_misuse_kind> kinds;
    std::vector<std::string> texts;
};

inline void note_misuse(void *context, const roma_misuse *misuse)
{
    auto *seen = static_cast<misuse_seen *>(context);
    seen->kinds.push_back(misuse->kind);
    seen->texts.emplace_back(misuse->text);
}

/* A manager that collects misuse instead of ending the program. */
struct owned_manager {
    misuse_seen seen;
    roma_manager *self = nullptr;

    explicit owned_manager(unsigned debug = 0)
    {
        roma_options options = roma_options_default();
        options.name = "bad input";
        options.debug = debug;
        options.on_misuse = note_misuse;
        options.misuse_context = &seen;
        REQUIRE(roma_manager_create(&self, &options, nullptr) == 0);
    }
    owned_manager(const owned_manager &) = delete;
    owned_manager &operator=(const owned_manager &) = delete;
    ~owned_manager() { CHECK(roma_manager_destroy_all(self) == 0); }
};

struct figures {
    std::string text;
};

inline int add_figure(void *context, const char *key, const roma_value *value)
{
    /* Failures and misuse are counted, that is what they are for; all else must stay. */
    if (std::strcmp(key, "failures.count") != 0 && std::strcmp(key, "misuse.count") != 0)
        static_cast<figures *>(context)->text += std::string(key) + "=" +
                                                 std::to_string(value->number) + "\n";
    return 0;
}

inline std::string figures_of(roma_manager *manager)
{
    figures all;
    CHECK(roma_manager_stats(manager, add_figure, &all) == 0);
    return all.text;
}

inline int skip_figure(void *, const char *, const roma_value *)
{
    return 0;
}

inline std::string sentence_of(const roma_error &error)
{
    char text[256];
    return roma_error_text(&error, text, sizeof text);
}

/* A record that agrees with the code and names the field. */
inline void check_record(const roma_error &error, int code, const char *subject)
{
    const std::string sentence = sentence_of(error);
    INFO(sentence);
    CHECK(error.code == code);
    CHECK(error.why != ROMA_WHY_NONE);
    CHECK(sentence.size() > 10);
    if (subject != nullptr)
        CHECK(std::string(error.subject).find(subject) != std::string::npos);
}

} // namespace badinput

#endif
