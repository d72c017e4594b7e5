/* descriptors.hpp - how many descriptors this process has, for tests that none is left behind: what
 * looks counts itself, and so is in both numbers that are compared. */
#ifndef ROMA_TESTS_DESCRIPTORS_HPP
#define ROMA_TESTS_DESCRIPTORS_HPP

#include <dirent.h>

namespace roma_tests {

inline int open_descriptors()
{
    int count = 0;
    if (DIR *folder = opendir("/proc/self/fd")) {
        while (readdir(folder) != nullptr)
            count++;
        closedir(folder);
    }
    return count;
}

} // namespace roma_tests

#endif
