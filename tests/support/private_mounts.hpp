/* private_mounts.hpp - a step of a test that sees mounts of its own. Nobody else does, and each is
 * gone when the last descriptor of it is closed.
 *
 * A thread takes the step, whose namespace it is: the test stays where it was, and goes on with
 * what the thread has opened. */
#ifndef ROMA_TESTS_PRIVATE_MOUNTS_HPP
#define ROMA_TESTS_PRIVATE_MOUNTS_HPP

#include <fcntl.h>
#include <sched.h>
#include <string>
#include <sys/mount.h>
#include <thread>

namespace roma_tests {

/* Run `step`, which must not assert. False: this process may not mount, and nothing has run. */
template <typename function> bool with_private_mounts(const function &step)
{
    bool may = false;
    std::thread([&] {
        may = unshare(CLONE_NEWNS) == 0 &&
              mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
        if (may)
            step();
    }).join();
    return may;
}

/* The same where a file's folder can be seen at `at`, too, and cannot be written to there. `step`
 * gets the file's path there. */
template <typename function>
bool with_read_only_mount(const std::string &path, const std::string &at, const function &step)
{
    bool is_mounted = false;
    const size_t slash = path.rfind('/');
    return with_private_mounts([&] {
               is_mounted = mount(path.substr(0, slash).c_str(), at.c_str(), nullptr, MS_BIND,
                                  nullptr) == 0 &&
                            mount(nullptr, at.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY,
                                  nullptr) == 0;
               if (is_mounted)
                   step(at + path.substr(slash));
           }) &&
           is_mounted;
}

/* A file opened through such a mount; -1: nothing can be mounted here. */
inline int open_read_only(const std::string &path, const std::string &at)
{
    int fd = -1;
    (void)with_read_only_mount(path, at, [&](const std::string &there) {
        fd = open(there.c_str(), O_RDONLY | O_CLOEXEC);
    });
    return fd;
}

} // namespace roma_tests

#endif
