/* store_locks.cpp - locks of a store in the order that keeps threads and processes apart: hooks in
 * the table of system calls look at what is held in the middle of a call. */
#include "faulty.hpp"
#include "store_place.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <sys/statfs.h>

using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::store_place;

namespace {

int answer_xfs(int fd, struct statfs *status)
{
    const int code = roma__sys_kernel.fstatfs(fd, status);
    status->f_type = 0x58465342;
    return code;
}

/* The first wait for the file lock after `is_armed` opens another store meanwhile. */
struct other_opening {
    static inline std::atomic<bool> is_armed{false};
    static inline std::string path;
    static inline std::future<int> code;
    static inline bool was_open = false;

    static int lock(int fd, int command, struct flock *range)
    {
        if (command == F_OFD_SETLKW && range->l_start == off_t(ROMA__LOCK_FILE) &&
            is_armed.exchange(false)) {
            code = std::async(std::launch::async, [] {
                roma_store *store = nullptr;
                const int opened = roma_store_open(path.c_str(), nullptr, &store, nullptr);
                return opened == 0 ? roma_store_close(store) : opened;
            });
            was_open = code.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
        }
        return roma__sys_kernel.lock(fd, command, range);
    }
};

} // namespace

TEST_CASE("store locks: a checkpoint that waits for the file lock keeps nobody from opening")
{
    store_place place;
    roma_tests::faulty table;
    table.calls.fstatfs = answer_xfs; /* pages may be shared: the superblock says so meanwhile */
    table.calls.lock = other_opening::lock;
    held_store store(held_store::create(place.path));
    other_opening::path = place.beside("other");
    held_store(held_store::create(other_opening::path)).close();
    other_opening::is_armed = true;
    CHECK(roma_store_checkpoint(store, nullptr, nullptr, nullptr) == 0);
    REQUIRE_FALSE(other_opening::is_armed);
    CHECK(other_opening::was_open);
    CHECK(other_opening::code.get() == 0);
    CHECK(faults_in(store) == 0);
}
