/* asleep.hpp - wait until another thread is where the test wants it. */
#ifndef ROMA_TESTS_ASLEEP_HPP
#define ROMA_TESTS_ASLEEP_HPP

#include "catch.hpp"

#include <atomic>
#include <cstdio>
#include <string>
#include <sys/syscall.h>
#include <thread>
#include <unistd.h>

namespace roma_tests {

/* Until it is so; not for ever. */
template <class condition> bool await(const condition &is_so, int most_ms = 10000)
{
    for (int ms = 0; !is_so() && ms < most_ms; ms++)
        usleep(1000);
    return is_so();
}

/* Does a thread of this process sleep, in whatever call? */
inline bool is_asleep(pid_t thread)
{
    char state = 0;
    const std::string path = "/proc/self/task/" + std::to_string(thread) + "/stat";
    if (FILE *stat = std::fopen(path.c_str(), "r")) {
        (void)std::fscanf(stat, "%*d (%*[^)]) %c", &state);
        std::fclose(stat);
    }
    return state == 'S';
}

/* A thread whose call is to wait for something: it does, when this is made. */
class waiting_thread {
  public:
    template <class function>
    explicit waiting_thread(function call)
        : thread_([this, call] {
              id_ = static_cast<pid_t>(syscall(SYS_gettid));
              call();
          })
    {
        CHECK(await([&] { return id_ != 0 && is_asleep(id_); }));
    }
    void join() { thread_.join(); }

  private:
    std::atomic<pid_t> id_{0};
    std::thread thread_;
};

} // namespace roma_tests

#endif
