/* faulty.hpp - a table of system calls with some replaced, put back when the test ends.
 *
 *     roma_tests::faulty table;
 *     table.calls.getcpu = [](unsigned *, unsigned *) { errno = ENOSYS; return -1; };
 *
 * roma_tests::fail_nth makes the N-th call of those that read files or map memory fail. */
#ifndef ROMA_TESTS_FAULTY_HPP
#define ROMA_TESTS_FAULTY_HPP

#include "sys/sys.h"

#include <atomic>
#include <cerrno>

namespace roma_tests {

class faulty {
public:
    struct roma__sys calls = roma__sys_kernel;

    faulty() : before_(roma__sys_replace(&calls)) {}
    faulty(const faulty &) = delete;
    faulty &operator=(const faulty &) = delete;
    ~faulty() { roma__sys_replace(before_); }

private:
    const struct roma__sys *before_;
};

/* Counts down at every call of the table; the call that reaches 0 fails with `number`, and when
 * `for_good` every later one too. */
struct fail_nth {
    /* Threads that roma starts make calls, too. */
    static inline std::atomic<long> left;
    static inline int number;
    static inline bool for_good;
    static inline std::atomic<bool> reached;

    static bool fails()
    {
        const long now = --left;
        if (now > 0 || (now < 0 && !for_good))
            return false;
        reached = true;
        errno = number;
        return true;
    }

    faulty table;

    fail_nth(long n, int error_number, bool forever)
    {
        left = n;
        number = error_number;
        for_good = forever;
        reached = false;
#define X(type, name, failure, parameters, arguments)                                              \
    table.calls.name = [] parameters -> type {                                                     \
        return fails() ? (type)(failure) : roma__sys_kernel.name arguments;                        \
    };
        ROMA_SYS_CALLS(X)
#undef X
        /* Giving back is not failed: what it would leave behind is the kernel's, not the test's. */
        table.calls.close = roma__sys_kernel.close;
        table.calls.munmap = roma__sys_kernel.munmap;
    }
};

} // namespace roma_tests

#endif
