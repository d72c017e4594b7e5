/* store_opening.cpp - openings that fail half way leave everything as if they had not begun, and
 * those that need not fail do not. */
#include "faults.hpp"
#include "faulty.hpp"
#include "store_place.hpp"

#include <atomic>
#include <chrono>
#include <future>
#include <thread>
#include <utility>

using roma_tests::cleanness;
using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::store_place;

namespace {

int open_at(const std::string &path, roma_store **store)
{
    roma_error error{};
    const int code = roma_store_open(path.c_str(), nullptr, store, &error);
    if (code < 0)
        CHECK(error.code == code);
    return code;
}

} // namespace

TEST_CASE("store opening: one that fails leaves a store clean that was")
{
    store_place place;
    held_store(held_store::create(place.path)).close();
    unsigned failed = 0;
    const std::pair<faults::entry, int> kinds[] = {
        {faults::at_lock, ENOLCK}, {faults::at_fsync, EIO}, {faults::at_madvise, ENOMEM}};
    for (const auto &[entry, number] : kinds)
        for (unsigned long nth = 1;; nth++) {
            INFO(faults::name_of(entry) << " number " << nth);
            roma_store *store = nullptr;
            faults::arm({entry, nth, faults::mode::once, number});
            const int code = open_at(place.path, &store);
            const bool has_fired = faults::has_fired();
            faults::disarm();
            failed += code < 0;
            if (code == 0)
                CHECK(roma_store_close(store) == 0);
            CHECK(cleanness(place.path) == 1);
            if (!has_fired)
                break;
        }
    roma__sys_replace(nullptr);
    CHECK(failed >=
          4); /* the file lock, that of the session, the superblock written, the mapping */
}

namespace {

/* Somebody looks at the slot of a session when it is to be taken, for a few tries. */
struct looker {
    static inline std::atomic<int> left{0};

    static int lock(int fd, int command, struct flock *range)
    {
        if (command == F_OFD_SETLK && range->l_type == F_WRLCK &&
            range->l_start == off_t(ROMA__LOCK_SESSIONS + 1) && left > 0) {
            left--;
            errno = EAGAIN;
            return -1;
        }
        return roma__sys_kernel.lock(fd, command, range);
    }
};

} // namespace

TEST_CASE("store opening: the last free slot is had although somebody looks at it")
{
    store_place place;
    roma_tests::faulty table;
    table.calls.lock = looker::lock;
    roma_store_options options = roma_tests::small_options();
    options.sessions = 2;
    held_store store(held_store::create(place.path, options));
    looker::left = 6;
    roma_store *second = nullptr;
    REQUIRE(open_at(place.path, &second) == 0);
    CHECK(looker::left == 0);
    roma_store *third = nullptr;
    CHECK(open_at(place.path, &third) == -EUSERS);
    CHECK(roma_store_close(second) == 0);
}

namespace {

/* A new store cannot be written out; somebody tries to open the file just then. */
struct early_bird {
    static inline std::atomic<bool> is_armed{false};
    static inline std::string path;
    static inline std::future<int> opened, looked;

    static int open_it(bool read_only)
    {
        roma_store_options options = roma_store_options_default();
        roma_store *store = nullptr;
        options.read_only = read_only;
        const int code = roma_store_open(path.c_str(), &options, &store, nullptr);
        (void)roma_store_close(store);
        return code;
    }
    static int fsync(int fd)
    {
        if (!is_armed.exchange(false))
            return roma__sys_kernel.fsync(fd);
        opened = std::async(std::launch::async, open_it, false);
        looked = std::async(std::launch::async, open_it, true);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        errno = EIO;
        return -1;
    }
};

} // namespace

TEST_CASE("store opening: a store that could not be made is nobody's")
{
    store_place place;
    roma_tests::faulty table;
    table.calls.fsync = early_bird::fsync;
    early_bird::path = place.path;
    early_bird::is_armed = true;
    const roma_store_options options = roma_tests::small_options();
    roma_store *store = nullptr;
    CHECK(roma_store_create(place.path.c_str(), &options, &store, nullptr) == -EIO);
    REQUIRE_FALSE(early_bird::is_armed);
    CHECK(early_bird::opened.get() == -EMEDIUMTYPE);
    CHECK(early_bird::looked.get() == -EMEDIUMTYPE);
    CHECK_FALSE(store_place::is_there(place.path));
}

namespace {

/* A file system that shares pages, or says so; `code`: what comes of having one's own again. */
struct sharing {
    static constexpr int unshare_range = 0x40;
    static inline int code = 0;
    static inline unsigned asked = 0;

    static int fallocate(int fd, int mode, off_t offset, off_t bytes)
    {
        if (mode != unshare_range)
            return roma__sys_kernel.fallocate(fd, mode, offset, bytes);
        asked++;
        errno = ENOSPC;
        return code;
    }
};

/* Does a full disk stay an error, as a session that is alone sees it? */
bool keeps_promise(const std::string &path)
{
    held_store store(held_store::open(path));
    return (roma_store_capabilities(store) & ROMA_STORE_FULL_IS_ERROR) != 0;
}

void kill_checkpoint(const std::string &path, bool stay_shared)
{
    const pid_t child = roma_tests::start_child([&] {
        roma_store *store = nullptr;
        if (roma_store_open(path.c_str(), nullptr, &store, nullptr) != 0)
            return 1;
        roma_store_checkpoint_options options{};
        options.size = sizeof options;
        options.stay_shared = stay_shared;
        return roma_store_checkpoint(store, nullptr, &options, nullptr);
    });
    REQUIRE(roma_tests::end_of(child) == 1000 + SIGKILL);
}

} // namespace

TEST_CASE("store opening: what a killed checkpoint left shared is the first session's own again")
{
    store_place place;
    roma_tests::faulty table;
    table.calls.fstatfs = roma_tests::answer_xfs;
    table.calls.fallocate = sharing::fallocate;
    table.calls.clone_file = [](int, int) { return kill(getpid(), SIGKILL); };
    held_store(held_store::create(place.path)).close();
    CHECK(keeps_promise(place.path));
    sharing::asked = 0;
    kill_checkpoint(place.path, true); /* it was to stay so */
    CHECK_FALSE(keeps_promise(place.path));
    CHECK(sharing::asked == 0);
    kill_checkpoint(place.path, false);
    sharing::code = -1;
    CHECK_FALSE(keeps_promise(place.path)); /* no room */
    CHECK(sharing::asked == 1);
    sharing::code = 0;
    CHECK_FALSE(keeps_promise(place.path)); /* only one tries */
    CHECK(sharing::asked == 1);
    kill_checkpoint(place.path, false);
    CHECK(keeps_promise(place.path));
    CHECK(sharing::asked > 1);
}
