/* read.cpp - readers of small kernel files, the table of system calls, records. */
#include "catch.hpp"
#include "faulty.hpp"
#include "tree.hpp"

#include "sys/hugepool.h"
#include "sys/read.h"
#include "sys/records.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

using roma_tests::faulty;
using roma_tests::tree;

namespace {

std::vector<std::string> lines_of(const tree &at, const char *path)
{
    std::vector<std::string> result;
    roma__lines lines;
    REQUIRE(roma__lines_open(&lines, at.root(), "%s", path) == 0);
    while (const char *line = roma__lines_next(&lines))
        result.emplace_back(line);
    CHECK(roma__lines_next(&lines) == nullptr);
    CHECK(lines.error == 0);
    roma__lines_close(&lines);
    return result;
}

int add_name(void *names, const char *name)
{
    static_cast<std::vector<std::string> *>(names)->emplace_back(name);
    return 0;
}

int stop_at_once(void *, const char *)
{
    return 7;
}

} // namespace

TEST_CASE("a file is read whole, without its last newline, or not at all")
{
    tree at;
    at.put("/a/b3", "text\n");
    at.put("/two", "1\n\n");
    at.put("/empty", "");
    char buffer[6];
    CHECK(roma__read_file(at.root(), buffer, sizeof buffer, "/a/b%d", 3) == 4);
    CHECK(std::string(buffer) == "text");
    CHECK(roma__read_file(at.root(), buffer, sizeof buffer, "/two") == 2);
    CHECK(std::string(buffer) == "1\n");
    CHECK(roma__read_file(at.root(), buffer, sizeof buffer, "/empty") == 0);
    CHECK(std::string(buffer).empty());
    CHECK(roma__read_file(at.root(), buffer, 5, "/a/b3") == -EFBIG);
    CHECK(std::string(buffer).empty());
    CHECK(roma__read_file(at.root(), buffer, 0, "/a/b3") == -EFBIG);
    CHECK(roma__read_file(at.root(), buffer, sizeof buffer, "/none") == -ENOENT);
    CHECK(roma__read_file(at.root(), buffer, sizeof buffer, "/a") == -EISDIR);
    CHECK(roma__read_file("", buffer, sizeof buffer, "/%s", std::string(5000, 'x').c_str()) ==
          -ENAMETOOLONG);
    CHECK(roma__read_file(std::string(5000, 'x').c_str(), buffer, sizeof buffer, "/a") ==
          -ENAMETOOLONG);
}

TEST_CASE("interrupted and short reads are gone on with, failing ones are told")
{
    tree at;
    at.put("/number", "1234\n");
    uint64_t number = 0;
    faulty table;
    table.calls.read = [](int fd, void *buffer, size_t bytes) -> ssize_t {
        static bool interrupted;
        interrupted = !interrupted;
        errno = EINTR;
        return interrupted ? -1 : roma__sys_kernel.read(fd, buffer, std::min<size_t>(bytes, 1));
    };
    table.calls.open = [](const char *path, int flags) {
        static bool interrupted;
        interrupted = !interrupted;
        errno = EINTR;
        return interrupted ? -1 : roma__sys_kernel.open(path, flags);
    };
    CHECK(roma__read_number(at.root(), &number, "/number") == 0);
    CHECK(number == 1234);
    CHECK(lines_of(at, "/number") == std::vector<std::string>{"1234"});

    table.calls.read = [](int, void *, size_t) -> ssize_t {
        errno = EIO;
        return -1;
    };
    char buffer[16];
    CHECK(roma__read_file(at.root(), buffer, sizeof buffer, "/number") == -EIO);
    CHECK(std::string(buffer).empty());
    CHECK(roma__read_number(at.root(), &number, "/number") == -EIO);
    roma__lines lines;
    REQUIRE(roma__lines_open(&lines, at.root(), "/number") == 0);
    CHECK(roma__lines_next(&lines) == nullptr);
    CHECK(lines.error == -EIO);
    roma__lines_close(&lines);
    table.calls.getdents = [](int, void *, size_t) -> ssize_t {
        errno = EIO;
        return -1;
    };
    std::vector<std::string> names;
    CHECK(roma__folder_each(at.root(), "/", add_name, &names) == -EIO);
}

TEST_CASE("numbers are decimal, alone, within 64 bits; max is the largest")
{
    tree at;
    uint64_t number = 77;
    const struct {
        const char *text;
        int code;
        uint64_t value;
    } cases[] = {
        {"0\n", 0, 0},
        {"512", 0, 512},
        {"max\n", 0, UINT64_MAX},
        {"18446744073709551615\n", 0, UINT64_MAX},
        {"18446744073709551616\n", -EINVAL, 77},
        {"", -EINVAL, 77},
        {"\n", -EINVAL, 77},
        {"-1\n", -EINVAL, 77},
        {" 1\n", -EINVAL, 77},
        {"1 \n", -EINVAL, 77},
        {"12 kB\n", -EINVAL, 77},
        {"maximum\n", -EINVAL, 77},
        {"00000000000000000000000000000000000000000001", -EINVAL, 77},
    };
    for (const auto &c : cases) {
        INFO(c.text);
        at.put("/number", c.text);
        number = 77;
        CHECK(roma__read_number(at.root(), &number, "/number") == c.code);
        CHECK(number == c.value);
    }
    CHECK(roma__read_number(at.root(), &number, "/none") == -ENOENT);
}

TEST_CASE("the word in brackets is the choice")
{
    tree at;
    char word[8];
    at.put("/mode", "always [madvise] never\n");
    CHECK(roma__read_choice(at.root(), word, sizeof word, "/mode") == 0);
    CHECK(std::string(word) == "madvise");
    CHECK(roma__read_choice(at.root(), word, 7, "/mode") == -EFBIG);
    CHECK(std::string(word).empty());
    for (const char *text : {"always madvise never\n", "", "[never", "]never["}) {
        at.put("/mode", text);
        CHECK(roma__read_choice(at.root(), word, sizeof word, "/mode") == -EINVAL);
    }
    CHECK(roma__read_choice(at.root(), word, sizeof word, "/none") == -ENOENT);
}

TEST_CASE("lines are read one by one, long ones cut and the next ones whole")
{
    tree at;
    const std::string longer(10000, 'x'), exact(sizeof(roma__lines::buffer) - 1, 'y');
    at.put("/lines", "one\n\n" + longer + "\ntwo\n" + exact + "\nlast without newline");
    CHECK(lines_of(at, "/lines") == std::vector<std::string>{"one", "",
                                                             longer.substr(0, exact.size()), "two",
                                                             exact, "last without newline"});
    at.put("/long", "a\n" + longer);
    CHECK(lines_of(at, "/long") == std::vector<std::string>{"a", longer.substr(0, exact.size())});
    at.put("/empty", "");
    CHECK(lines_of(at, "/empty").empty());
    at.put("/newlines", "\n\n");
    CHECK(lines_of(at, "/newlines") == std::vector<std::string>{"", ""});
    roma__lines lines;
    CHECK(roma__lines_open(&lines, at.root(), "/none") == -ENOENT);
    CHECK(roma__lines_next(&lines) == nullptr);
    roma__lines_close(&lines);
}

TEST_CASE("a folder's names are visited without the two of the folder itself")
{
    tree at;
    std::vector<std::string> expected, names;
    for (int i = 0; i < 200; i++) {
        expected.push_back("name-of-some-length-" + std::to_string(1000 + i));
        at.put("/folder/" + expected.back(), "");
    }
    CHECK(roma__folder_each(at.root(), "/folder", add_name, &names) == 0);
    std::sort(names.begin(), names.end());
    CHECK(names == expected);
    CHECK(roma__folder_each(at.root(), "/folder", stop_at_once, nullptr) == 7);
    CHECK(roma__folder_each(at.root(), "/none", add_name, &names) == -ENOENT);
    CHECK(roma__folder_each(at.root(),
                            "/folder/"
                            "name-of-some-length-1000",
                            add_name, &names) == -ENOTDIR);
}

TEST_CASE("page pool sizes come from folder names, the largest first, odd names left out")
{
    tree at;
    size_t sizes[ROMA__HUGEPOOLS_MAX];
    CHECK(roma__hugepool_sizes(at.root(), sizes) == 0);
    for (const char *name : {"2048kB", "1048576kB", "64kB", "3kB", "0kB", "kB", "2048", "-4kB",
                             "8kBx", "99999999999999999999kB"})
        at.put(std::string("/sys/kernel/mm/hugepages/hugepages-") + name + "/nr_hugepages", "0\n");
    at.put("/sys/kernel/mm/hugepages/other-2048kB", "");
    REQUIRE(roma__hugepool_sizes(at.root(), sizes) == 3);
    CHECK(sizes[0] == size_t{1} << 30);
    CHECK(sizes[1] == 2u << 20);
    CHECK(sizes[2] == 64u << 10);
    for (unsigned shift = 1; shift < 21; shift++)
        at.put("/sys/kernel/mm/hugepages/hugepages-" + std::to_string(1u << shift) + "kB/x", "");
    REQUIRE(roma__hugepool_sizes(at.root(), sizes) == ROMA__HUGEPOOLS_MAX);
    CHECK(sizes[0] == size_t{1} << 30);
    CHECK(sizes[7] == size_t{1} << 23);
}

TEST_CASE("a page pool is read whole or not at all")
{
    const std::string root = roma_tests::fixture("two-nodes");
    roma__hugepool pool;
    CHECK(roma__hugepool_read(root.c_str(), 2u << 20, -1, &pool) == 0);
    CHECK(pool.total == 1024);
    CHECK(pool.free == 508);
    CHECK(pool.reserved == 6);
    CHECK(pool.surplus == 4);
    CHECK(pool.overcommit == 4);
    CHECK(roma__hugepool_read(root.c_str(), 2u << 20, 1, &pool) == 0);
    CHECK(pool.total == 512);
    CHECK(pool.free == 500);
    CHECK(pool.reserved == 0);
    CHECK(roma__hugepool_read(root.c_str(), size_t{1} << 30, -1, &pool) == -ENOENT);
    CHECK(roma__hugepool_read(root.c_str(), 2u << 20, 2, &pool) == -ENOENT);

    tree at(root);
    at.put("/sys/kernel/mm/hugepages/hugepages-2048kB/resv_hugepages", "many\n");
    pool.total = 77;
    CHECK(roma__hugepool_read(at.root(), 2u << 20, -1, &pool) == -EINVAL);
    CHECK(pool.total == 77);
}

TEST_CASE("records are zeroed, come from the table's mmap, and its failure is told")
{
    auto *record = static_cast<unsigned char *>(roma__record_new(100000));
    REQUIRE(record != nullptr);
    CHECK(std::all_of(record, record + 100000, [](unsigned char c) { return c == 0; }));
    std::memset(record, 1, 100000);
    errno = 5;
    roma__record_free(record, 100000);
    roma__record_free(nullptr, 100000);
    CHECK(errno == 5);
    faulty table;
    table.calls.mmap = [](void *, size_t, int, int, int, off_t) {
        errno = ENOMEM;
        return MAP_FAILED;
    };
    CHECK(roma__record_new(1) == nullptr);
    CHECK(errno == ENOMEM);
}

TEST_CASE("every entry of the kernel's table is there, and a replaced table is put back")
{
#define X(type, name, failure, parameters, arguments) CHECK(roma__sys_kernel.name != nullptr);
    ROMA_SYS_CALLS(X)
#undef X
    const struct roma__sys *before = roma__sys;
    {
        faulty table;
        CHECK(roma__sys == &table.calls);
        CHECK(roma__sys_replace(nullptr) == &table.calls);
        CHECK(roma__sys == &roma__sys_kernel);
    }
    CHECK(roma__sys == before);
}

TEST_CASE("files are opened close-on-exec, and threads start with all signals blocked")
{
    const int fd = roma__sys->open("/dev/null", O_RDONLY);
    REQUIRE(fd >= 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(roma__sys->close(fd) == 0);
    CHECK(roma__sys->close(fd) == -1);
    CHECK(errno == EBADF);

    sigset_t before, after, inside;
    pthread_sigmask(SIG_SETMASK, nullptr, &before);
    void *thread = nullptr;
    REQUIRE(roma__sys->thread_start(
                &thread,
                [](void *argument) -> void * {
                    pthread_sigmask(SIG_SETMASK, nullptr, static_cast<sigset_t *>(argument));
                    return nullptr;
                },
                &inside) == 0);
    CHECK(roma__sys->thread_join(thread) == 0);
    CHECK(sigismember(&inside, SIGINT) == 1);
    CHECK(sigismember(&inside, SIGTERM) == 1);
    pthread_sigmask(SIG_SETMASK, nullptr, &after);
    CHECK(sigismember(&after, SIGINT) == sigismember(&before, SIGINT));
}
