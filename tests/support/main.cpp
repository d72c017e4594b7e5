/* main.cpp - runs the tests of one kind and counts them.
 *
 * Beside Catch2's own report, every test that ends leaves a line in the file that ROMA_TEST_TALLY
 * names: `passed`, `failed` or `skipped`, the kind, the test's name, and the reason of a skip,
 * separated by tabs. A test also leaves `began` first, so that a crash is told by name. The kind is
 * the program's, or what ROMA_TEST_KIND names where CTest runs a program in parts.
 * tests/support/summary counts these lines; without the variable nothing is written.
 *
 * Catch2 2 is told not to catch signals: the dispositions that a test sees are the program's own,
 * and a child that a test forks dies as it would outside. A child's lines are not counted. */

#define CATCH_CONFIG_RUNNER
#define CATCH_CONFIG_NO_POSIX_SIGNALS
#include "emulated.hpp"
#include "skip.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unistd.h>
#include <vector>

namespace {

pid_t first_process;
const char *kind = "tests";
unsigned passed_count, failed_count, skipped_count;
bool running_is_skipped;
std::string running_reason;

bool is_set(const char *variable)
{
    const char *value = std::getenv(variable);
    return value != nullptr && std::strcmp(value, "") != 0 && std::strcmp(value, "0") != 0;
}

/* Opened and closed for each line: a crash loses none, and children share no buffer. */
void tally(const char *what, const std::string &name, const std::string &reason)
{
    const char *path = std::getenv("ROMA_TEST_TALLY");
    if (path == nullptr || *path == '\0' || getpid() != first_process)
        return;
    if (FILE *file = std::fopen(path, "a")) {
        std::fprintf(file, "%s\t%s\t%s\t%s\n", what, kind, name.c_str(), reason.c_str());
        std::fclose(file);
    }
}

#if ROMA_TESTS_CATCH_VERSION == 3
using listener_base = Catch::EventListenerBase;
const std::string &name_of(const Catch::TestCaseStats &stats)
{
    return stats.testInfo->name;
}
#else
using listener_base = Catch::TestEventListenerBase;
const std::string &name_of(const Catch::TestCaseStats &stats)
{
    return stats.testInfo.name;
}
#endif

struct counter : listener_base {
    using listener_base::listener_base;

    void testCaseStarting(const Catch::TestCaseInfo &test) override
    {
        listener_base::testCaseStarting(test);
        running_is_skipped = false;
        tally("began", test.name, "");
    }

    void testCaseEnded(const Catch::TestCaseStats &stats) override
    {
        listener_base::testCaseEnded(stats);
        if (stats.totals.testCases.failed > 0) {
            failed_count++;
            tally("failed", name_of(stats), "");
        } else if (running_is_skipped) {
            skipped_count++;
            tally("skipped", name_of(stats), running_reason);
        } else {
            passed_count++;
            tally("passed", name_of(stats), "");
        }
    }
};

CATCH_REGISTER_LISTENER(counter)

} // namespace

bool roma_tests::skip(const std::string &reason, bool needs_huge_pages)
{
    const std::string name(Catch::getResultCapture().getCurrentTestName());
    if (is_set("ROMA_NO_SKIP") || (needs_huge_pages && is_set("ROMA_HUGE_EXPECTED")))
        return true;
    std::printf("SKIPPED: %s: %s\n", name.c_str(), reason.c_str());
    std::fflush(stdout);
    running_is_skipped = true; /* counted once, though several sections of a test may skip */
    running_reason = reason;
    return false;
}

int main(int argc, char **argv)
{
    first_process = getpid();
    const char *slash = std::strrchr(argv[0], '/');
    kind = slash != nullptr ? slash + 1 : argv[0];
    if (std::strncmp(kind, "test_", 5) == 0)
        kind += 5;
    if (is_set("ROMA_TEST_KIND"))
        kind = std::getenv("ROMA_TEST_KIND");

    std::vector<const char *> arguments(argv, argv + argc);
    if (roma_tests::is_emulated() && !roma_tests::maps_files_past_their_end()) {
        std::printf(
            "SKIPPED: tests of files: an emulator whose pages are larger than the host's maps "
            "none past its end\n");
        for (const char *without :
             {"~[store]~[file]~[prefetch]~[scan]~[map]", "~store *", "~* - roma_tests::file"})
            arguments.insert(arguments.begin() + 1, without);
    }
    int result = Catch::Session().run(static_cast<int>(arguments.size()), arguments.data());
    if (getpid() == first_process && passed_count + failed_count + skipped_count > 0)
        std::printf("%s: %u passed, %u failed, %u skipped\n", kind, passed_count, failed_count,
                    skipped_count);
    return result;
}
