/* file_path.hpp - a name for a file of a test where temporary files are (TMPDIR, else /tmp), free
 * at first and removed at the end. */
#ifndef ROMA_TESTS_FILE_PATH_HPP
#define ROMA_TESTS_FILE_PATH_HPP

#include <cstdlib>
#include <string>
#include <unistd.h>

namespace roma_tests {

struct file_path {
    std::string text;

    explicit file_path(const std::string &stem)
    {
        static int count;
        const char *folder = std::getenv("TMPDIR");
        text = std::string(folder != nullptr ? folder : "/tmp") + "/" + stem + "-" +
               std::to_string(getpid()) + "-" + std::to_string(count++);
    }
    file_path(const file_path &) = delete;
    file_path &operator=(const file_path &) = delete;
    ~file_path() { unlink(text.c_str()); }

    const char *c_str() const { return text.c_str(); }
    bool exists() const { return access(text.c_str(), F_OK) == 0; }
};

} // namespace roma_tests

#endif
