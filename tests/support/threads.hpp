/* threads.hpp - the threads of this process, as /proc names them. */
#ifndef ROMA_TESTS_THREADS_HPP
#define ROMA_TESTS_THREADS_HPP

#include "catch.hpp"

#include <dirent.h>
#include <set>
#include <string>

namespace roma_tests {

inline std::set<std::string> threads_now()
{
    std::set<std::string> all;
    DIR *folder = opendir("/proc/self/task");
    REQUIRE(folder != nullptr);
    while (const dirent *entry = readdir(folder))
        if (entry->d_name[0] != '.')
            all.insert(entry->d_name);
    closedir(folder);
    return all;
}

} // namespace roma_tests

#endif
