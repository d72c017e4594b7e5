/* cgroup.cpp - hugetlb cgroup limits: named before a page is taken, and also when they strike only
 * while pages are taken. A child enters a cgroup of its own; nothing of it is left behind. */
#include "emulated.hpp"
#include "faulty.hpp"
#include "huge_pages.hpp"
#include "skip.hpp"

#include "sys/kernel.h"

#include <roma.h>

#include <cstring>
#include <functional>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using roma_tests::faulty;
using roma_tests::huge_pages;

namespace {

bool write_text(const std::string &path, const std::string &text)
{
    int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = write(fd, text.data(), text.size()) == (ssize_t)text.size();
    close(fd);
    return good;
}

bool has_word(const std::string &path, const std::string &word)
{
    char text[512] = "";
    if (FILE *stream = fopen(path.c_str(), "r")) {
        if (fgets(text, sizeof text, stream) == nullptr)
            text[0] = '\0';
        fclose(stream);
    }
    return (" " + std::string(text)).find(" " + word) != std::string::npos;
}

/* The kernel's word for a page size in these files' names. */
std::string size_word(size_t page_bytes)
{
    if (page_bytes >= (size_t)1 << 30)
        return std::to_string(page_bytes >> 30) + "GB";
    if (page_bytes >= (size_t)1 << 20)
        return std::to_string(page_bytes >> 20) + "MB";
    return std::to_string(page_bytes >> 10) + "KB";
}

/* A cgroup (version 2) with the hugetlb controller; it and the setting above it go at the end. */
class limited_group {
  public:
    explicit limited_group(size_t page_bytes) : prefix("hugetlb." + size_word(page_bytes) + ".")
    {
        for (const char *mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
            if (has_word(std::string(mount) + "/cgroup.controllers", "hugetlb"))
                top = mount;
        if (top.empty())
            return;
        const std::string control = top + "/cgroup.subtree_control";
        switched_on = !has_word(control, "hugetlb");
        if (switched_on && !write_text(control, "+hugetlb"))
            return;
        name = "/roma-test-" + std::to_string(getpid());
        is_there = mkdir((top + name).c_str(), 0755) == 0;
    }
    ~limited_group()
    {
        if (is_there)
            CHECK(rmdir((top + name).c_str()) == 0);
        if (switched_on)
            (void)write_text(top + "/cgroup.subtree_control", "-hugetlb");
    }
    limited_group(const limited_group &) = delete;
    limited_group &operator=(const limited_group &) = delete;

    bool limit(const char *file, size_t bytes) const
    {
        return write_text(top + name + "/" + prefix + file, std::to_string(bytes));
    }
    bool enter() const { return write_text(top + name + "/cgroup.procs", "0"); }

    std::string name;
    bool is_there = false;

  private:
    std::string top, prefix;
    bool switched_on = false;
};

struct outcome {
    int code;
    roma_error error = {};
};

/* What a function in a child inside the group finds; the child must end well. */
outcome in_group(const limited_group &group, const std::function<outcome()> &act)
{
    void *page = mmap(nullptr, sizeof(outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                      -1, 0);
    REQUIRE(page != MAP_FAILED);
    auto *shared = static_cast<outcome *>(page);
    pid_t child = fork();
    if (child == 0) {
        if (!group.enter())
            _exit(1);
        *shared = act();
        _exit(0);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status)); /* a SIGBUS would end it otherwise */
    CHECK(WEXITSTATUS(status) == 0);
    outcome result = *shared;
    munmap(page, sizeof(outcome));
    return result;
}

outcome acquire_pages(const huge_pages &pool, size_t pages, unsigned threads)
{
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = pages * pool.page_bytes;
    wish.pages = pool.kind;
    wish.populate_threads = threads;
    outcome result = {};
    roma_extent extent;
    result.code = roma_provider_acquire(roma_provider_anonymous(), &wish, &extent, &result.error);
    if (result.code == 0) {
        std::memset(extent.address, 1, extent.bytes);
        (void)roma_provider_release(roma_provider_anonymous(), &extent, nullptr);
    }
    return result;
}

/* The pre-flight sees no hugetlb limits until the mapping is made. */
bool hides_limits;

int open_but_limits(const char *path, int flags)
{
    if (hides_limits && std::strstr(path, "/hugetlb.") != nullptr) {
        errno = ENOENT;
        return -1;
    }
    return roma__sys_kernel.open(path, flags);
}

void *map_and_show(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    if ((flags & MAP_HUGETLB) != 0)
        hides_limits = false;
    return mmap(address, bytes, protection, flags, fd, offset);
}

} // namespace

#define IN_A_LIMITED_GROUP(pool, group)                                                            \
    huge_pages pool(8);                                                                            \
    SKIP_WITHOUT_PAGES(pool);                                                                      \
    limited_group group(pool.page_bytes);                                                          \
    if (!group.is_there)                                                                           \
    SKIP_TEST("no cgroup with the hugetlb controller can be made here")

TEST_CASE("a hugetlb cgroup limit is named before a page is taken", "[cgroup]")
{
    SKIP_WHERE_EMULATED();
    IN_A_LIMITED_GROUP(pool, group);
    for (const char *file : {"max", "rsvd.max"}) {
        REQUIRE(group.limit("max", 8 * pool.page_bytes));
        REQUIRE(group.limit("rsvd.max", 8 * pool.page_bytes));
        REQUIRE(group.limit(file, 2 * pool.page_bytes));
        const uint64_t free_before = pool.free_count();
        outcome seen = in_group(group, [&] { return acquire_pages(pool, 4, 1); });
        INFO(file);
        CHECK(seen.code == -ENOMEM);
        CHECK(seen.error.why == (std::strcmp(file, "max") == 0 ? ROMA_WHY_CGROUP_HUGETLB
                                                               : ROMA_WHY_CGROUP_HUGETLB_RSVD));
        CHECK(seen.error.need == 4 * pool.page_bytes);
        CHECK(seen.error.have == 2 * pool.page_bytes);
        CHECK(seen.error.total == 2 * pool.page_bytes);
        CHECK(group.name == seen.error.subject);
        CHECK(seen.error.call == nullptr);
        CHECK(pool.free_count() == free_before);
        CHECK(in_group(group, [&] { return acquire_pages(pool, 2, 1); }).code == 0);
    }
}

TEST_CASE("a hugetlb cgroup limit that strikes while pages are taken is named, too", "[cgroup]")
{
    SKIP_WHERE_EMULATED();
    IN_A_LIMITED_GROUP(pool, group);
    REQUIRE(group.limit("max", 2 * pool.page_bytes));
    for (unsigned threads : {1u, 2u}) {
        const uint64_t free_before = pool.free_count();
        outcome seen = in_group(group, [&] {
            faulty table;
            table.calls.open = open_but_limits;
            table.calls.mmap = map_and_show;
            hides_limits = true;
            return acquire_pages(pool, 4, threads);
        });
        CHECK(seen.code == -ENOMEM);
        CHECK(seen.error.why == ROMA_WHY_CGROUP_HUGETLB);
        CHECK(seen.error.cause == EFAULT);
        CHECK(seen.error.need == 4 * pool.page_bytes);
        CHECK(seen.error.total == 2 * pool.page_bytes);
        CHECK(group.name == seen.error.subject);
        CHECK(pool.free_count() == free_before);
    }
}
