/* store_refusals.cpp - files that are no store, no longer one, or not to be had: clear errors, and
 * nothing is lost. What needs a mount is in store_mounts.cpp. */
#include "faulty.hpp"
#include "skip.hpp"
#include "store_place.hpp"

#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <thread>
#include <vector>

using roma_tests::end_of;
using roma_tests::faults_in;
using roma_tests::held_store;
using roma_tests::start_child;
using roma_tests::store_place;

namespace {

/* Opening fails with that code and reason. */
void refuse(const std::string &path, int code, roma_why why, bool read_only = false)
{
    roma_store *store = nullptr;
    roma_error error{};
    roma_store_options options = roma_store_options_default();
    options.read_only = read_only;
    CHECK(roma_store_open(path.c_str(), &options, &store, &error) == code);
    INFO(held_store::text_of(error));
    CHECK(error.code == code);
    CHECK(error.why == why);
    CHECK(store == nullptr);
    if (store != nullptr)
        roma_store_close(store);
}

/* A closed store with a text in it. */
void make_store(const std::string &path)
{
    held_store store(held_store::create(path));
    roma_tests::put_text(store, 0, "text");
}

int answer_nfs(int fd, struct statfs *status)
{
    const int code = roma__sys_kernel.fstatfs(fd, status);
    status->f_type = 0x6969;
    return code;
}

} // namespace

TEST_CASE("store refusals: a network file system, for opening and for creating")
{
    store_place place;
    make_store(place.path);
    roma_tests::faulty table;
    for (const long type : {0x6969L, 0x517BL, 0xFF534D42L, 0xFE534D42L, 0x00c36400L, 0x01021997L,
                            0x65735546L, 0x0BD00BD0L}) {
        static long magic;
        magic = type;
        table.calls.fstatfs = [](int fd, struct statfs *status) {
            const int code = roma__sys_kernel.fstatfs(fd, status);
            status->f_type = static_cast<decltype(status->f_type)>(magic);
            return code;
        };
        refuse(place.path, -EOPNOTSUPP, ROMA_WHY_STORE_FILESYSTEM);
        refuse(place.path, -EOPNOTSUPP, ROMA_WHY_STORE_FILESYSTEM, true);
    }
    table.calls.fstatfs = answer_nfs;
    roma_store *store = nullptr;
    roma_error error{};
    const std::string other = place.beside("other");
    CHECK(roma_store_create(other.c_str(), nullptr, &store, &error) == -EOPNOTSUPP);
    CHECK(std::string(error.subject).find("NFS") != std::string::npos);
    CHECK_FALSE(store_place::is_there(other));
    table.calls.fstatfs = roma__sys_kernel.fstatfs;
    CHECK(roma_tests::text_in(place.path) == "text");
}

TEST_CASE("store refusals: copy-on-write file systems make no promise about a full disk")
{
    store_place place;
    make_store(place.path);
    roma_tests::faulty table;
    table.calls.fstatfs = [](int fd, struct statfs *status) {
        const int code = roma__sys_kernel.fstatfs(fd, status);
        status->f_type = static_cast<decltype(status->f_type)>(0x9123683E); /* btrfs */
        return code;
    };
    held_store store(held_store::open(place.path));
    const unsigned can = roma_store_capabilities(store);
    CHECK((can & ROMA_STORE_FULL_IS_ERROR) == 0);
    CHECK((can & ROMA_STORE_REFLINKS) != 0);
    CHECK((can & ROMA_STORE_SURVIVES) != 0);
}

TEST_CASE("store refusals: a file that is shorter than its superblock says")
{
    store_place place;
    make_store(place.path);
    struct stat status {};
    REQUIRE(stat(place.path.c_str(), &status) == 0);
    for (const off_t bytes :
         {off_t(status.st_size - 1), off_t(status.st_size / 2), off_t(300000)}) {
        REQUIRE(truncate(place.path.c_str(), bytes) == 0);
        refuse(place.path, -EUCLEAN, ROMA_WHY_STORE_SHORT);
        refuse(place.path, -EUCLEAN, ROMA_WHY_STORE_SHORT, true);
    }
    REQUIRE(truncate(place.path.c_str(), 100) == 0);
    roma_store *store = nullptr;
    CHECK(roma_store_open(place.path.c_str(), nullptr, &store, nullptr) < 0);
    REQUIRE(truncate(place.path.c_str(), 0) == 0);
    refuse(place.path, -EMEDIUMTYPE, ROMA_WHY_STORE_FOREIGN);
}

TEST_CASE("store refusals: another program's file, and one of a newer roma")
{
    store_place place;
    place.folder.put("/foreign", std::string(100000, 'x'));
    refuse(place.beside("foreign"), -EMEDIUMTYPE, ROMA_WHY_STORE_FOREIGN);
    refuse(place.beside("nosuch"), -ENOENT, ROMA_WHY_CALL);
    CHECK(roma_store_check_file(place.beside("foreign").c_str(), nullptr, nullptr, nullptr) ==
          -EMEDIUMTYPE);
    make_store(place.path);
    roma_tests::edit_super(place.path, [](roma__super &super) { super.features |= 1u << 9; });
    refuse(place.path, -EPROTONOSUPPORT, ROMA_WHY_STORE_NEWER);
    refuse(place.path, -EPROTONOSUPPORT, ROMA_WHY_STORE_NEWER, true);
}

TEST_CASE("store refusals: the copy of a store in use, but not that of one at rest")
{
    store_place place;
    const std::string copy = place.beside("copy");
    {
        held_store store(held_store::create(place.path));
        roma_tests::put_text(store, 0, "text");
        std::ofstream(copy, std::ios::binary)
            << std::ifstream(place.path, std::ios::binary).rdbuf();
        refuse(copy, -EUCLEAN, ROMA_WHY_STORE_COPIED);
        CHECK(roma_tests::text_at(store, 0) == "text");
    }
    std::ofstream(copy, std::ios::binary) << std::ifstream(place.path, std::ios::binary).rdbuf();
    CHECK(roma_tests::text_in(copy) == "text");
}

TEST_CASE("store refusals: no permission, which a stranger has not")
{
    if (getuid() != 0)
        SKIP_TEST("only root can become a stranger");
    store_place place;
    make_store(place.path);
    REQUIRE(chmod(place.folder.root(), 0755) == 0);
    const auto as_stranger = [&](mode_t mode, bool read_only) {
        REQUIRE(chmod(place.path.c_str(), mode) == 0);
        return end_of(start_child([&] {
            roma_store *store = nullptr;
            roma_store_options options = roma_store_options_default();
            options.read_only = read_only;
            if (setgid(65534) != 0 || setuid(65534) != 0)
                return 99;
            return -roma_store_open(place.path.c_str(), &options, &store, nullptr);
        }));
    };
    CHECK(as_stranger(0600, false) == EACCES);
    CHECK(as_stranger(0600, true) == EACCES);
    CHECK(as_stranger(0644, false) == EACCES);
    CHECK(as_stranger(0644, true) == 0);
    CHECK(roma_tests::text_in(place.path) == "text");
}

TEST_CASE("store refusals: session slots and lanes are exhausted, and come back")
{
    store_place place;
    roma_store_options options = roma_tests::small_options();
    options.sessions = 2;
    options.lanes = 2;
    held_store one(held_store::create(place.path, options));
    {
        held_store two(held_store::open(place.path));
        roma_store *three = nullptr;
        roma_error error{};
        CHECK(roma_store_open(place.path.c_str(), nullptr, &three, &error) == -EUSERS);
        CHECK(error.why == ROMA_WHY_STORE_SESSIONS);
        CHECK(error.total == 2);
        held_store reader(held_store::open(place.path, true)); /* takes none */
    }
    held_store again(held_store::open(place.path));
    void *mine = roma_store_alloc(one, 16);
    REQUIRE(mine != nullptr);
    std::thread([&] {
        void *second = roma_store_alloc(one, 16);
        CHECK(second != nullptr);
        std::thread([&] {
            errno = 0;
            CHECK(roma_store_alloc(one, 16) == nullptr);
            CHECK(errno == EUSERS);
        }).join();
        CHECK(roma_store_release(one, second) == 0);
    }).join();
    CHECK(roma_store_release(one, mine) == 0);
    CHECK(faults_in(one) == 0);
}

TEST_CASE("store refusals: lanes that the dead have are given back when there are no others")
{
    for (const bool by_call : {false, true}) {
        store_place place;
        roma_store_options options = roma_tests::small_options();
        options.lanes = 2;
        held_store store(held_store::create(place.path, options));
        const pid_t child = start_child([&] {
            held_store own(held_store::open(place.path));
            bool has_both = roma_store_alloc(own, 100) != nullptr;
            std::thread([&] { has_both = has_both && roma_store_alloc(own, 100); }).join();
            return has_both ? raise(SIGKILL) : 1;
        });
        REQUIRE(end_of(child) == 1000 + SIGKILL);
        if (by_call)
            CHECK(roma_store_recover(store) == 1);
        void *block = roma_store_alloc(store, 100);
        REQUIRE(block != nullptr);
        CHECK(roma_store_release(store, block) == 0);
        CHECK(roma_store_recover(store) == 0);
        CHECK(faults_in(store) == 0);
    }
}

TEST_CASE("store refusals: the largest size is reached, everything is intact, and room comes back")
{
    store_place place;
    roma_store_options options = roma_tests::small_options();
    options.max_bytes = 4 << 20;
    held_store store(held_store::create(place.path, options));
    std::vector<void *> blocks;
    errno = 0;
    while (void *block = roma_store_alloc(store, 100000)) {
        std::memset(block, 1, 100000);
        blocks.push_back(block);
    }
    CHECK(errno == ENOSPC);
    CHECK(blocks.size() > 20);
    CHECK(faults_in(store) == 0);
    for (void *block : blocks)
        CHECK(roma_store_release(store, block) == 0);
    void *block = roma_store_alloc(store, 3 << 20);
    CHECK(block != nullptr);
    CHECK(roma_store_release(store, block) == 0);
    CHECK(faults_in(store) == 0);
}

TEST_CASE("store refusals: beyond the limit of a file's size it is an error, and no signal")
{
    store_place place;
    make_store(place.path);
    const int end = end_of(start_child([&] {
        roma_store *store = nullptr;
        if (roma_store_open(place.path.c_str(), nullptr, &store, nullptr) < 0)
            return 1;
        struct stat status {};
        const struct rlimit limit = {rlim_t(8) << 20, rlim_t(8) << 20};
        if (stat(place.path.c_str(), &status) < 0 || status.st_size > 8 << 20 ||
            setrlimit(RLIMIT_FSIZE, &limit) < 0)
            return 2;
        int count = 0;
        while (roma_store_alloc(store, 1 << 20) != nullptr)
            if (++count > 20)
                return 3;
        if (errno != EFBIG && errno != ENOSPC)
            return 4;
        void *block = roma_store_alloc(store, 100); /* what is there can be used */
        if (block == nullptr || roma_store_check(store, nullptr, nullptr) != 0)
            return 5;
        return roma_store_close(store) == 0 ? 0 : 6;
    }));
    CHECK(end == 0);
    CHECK(roma_tests::text_in(place.path) == "text");
    const std::string other = place.beside("other");
    CHECK(end_of(start_child([&] {
              const struct rlimit limit = {65536, 65536};
              roma_store *store = nullptr;
              return setrlimit(RLIMIT_FSIZE, &limit) < 0
                         ? 1
                         : -roma_store_create(other.c_str(), nullptr, &store, nullptr);
          })) == EFBIG);
    CHECK_FALSE(store_place::is_there(other));
}
