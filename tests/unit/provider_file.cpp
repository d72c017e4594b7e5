/* provider_file.cpp - the provider of a file's pages: its file, its space, what is refused. */
#include "child.hpp"
#include "emulated.hpp"
#include "faulty.hpp"
#include "file_path.hpp"
#include "owned.hpp"
#include "skip.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using roma_tests::file_path;
using roma_tests::in_child;

namespace {

const size_t page = (size_t)sysconf(_SC_PAGESIZE);

/* No file gets space; and no hole is punched in one, unless that is said to work. */
struct no_space {
    static inline int number;
    static inline bool punches;
    roma_tests::faulty table;

    explicit no_space(int error_number, bool holes_work = false)
    {
        number = error_number;
        punches = holes_work;
        table.calls.fallocate = [](int fd, int mode, off_t offset, off_t bytes) {
            if (mode != 0 && punches)
                return roma__sys_kernel.fallocate(fd, mode, offset, bytes);
            errno = number;
            return -1;
        };
    }
};

struct provided {
    const file_path path{"roma-file"};
    roma_provider *self = nullptr;

    explicit provided(roma_file_options options = roma_file_options_default())
    {
        REQUIRE(roma_provider_file(path.c_str(), &options, &self, nullptr) == 0);
    }
    provided(const provided &) = delete;
    provided &operator=(const provided &) = delete;
    ~provided() { CHECK(roma_provider_unregister(self) == 0); }

    uint64_t file_bytes() const
    {
        struct stat status;
        REQUIRE(stat(path.c_str(), &status) == 0);
        return (uint64_t)status.st_blocks * 512;
    }
};

roma_extent_request pages(size_t count)
{
    roma_extent_request wish = roma_extent_request_default();
    wish.bytes = count * page;
    wish.pages = (roma_page_kind)ROMA_PAGES_BASE;
    return wish;
}

roma_file_options named()
{
    roma_file_options options = roma_file_options_default();
    options.keeps_name = true;
    return options;
}

} // namespace

TEST_CASE("a file's name goes at once, or stays when that is asked", "[file]")
{
    {
        const provided one;
        CHECK(!one.path.exists());
    }
    roma_provider *provider;
    const file_path path("roma-file");
    const roma_file_options options = named();
    REQUIRE(roma_provider_file(path.c_str(), &options, &provider, nullptr) == 0);
    struct stat status;
    REQUIRE(stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0177) == 0); /* 0600, less the umask */
    roma_error error = {};
    roma_provider *second;
    CHECK(roma_provider_file(path.c_str(), nullptr, &second, &error) == -EEXIST);
    CHECK(error.subject == path.text.substr(0, sizeof error.subject - 1));
    REQUIRE(roma_provider_unregister(provider) == 0);
    CHECK(path.exists());
}

TEST_CASE("space is taken at acquire and given back at release", "[file]")
{
    const provided one(named());
    roma_extent extent;
    auto wish = pages(256);
    const int code = roma_provider_acquire(one.self, &wish, &extent, nullptr);
    if (code == -EOPNOTSUPP)
        SKIP_TEST("this file system cannot reserve space");
    REQUIRE(code == 0);
    CHECK(one.file_bytes() >= extent.bytes);
    std::memset(extent.address, 1, extent.bytes);
    REQUIRE(roma_provider_resize(one.self, &extent, page, false, nullptr) == 0);
    CHECK(one.file_bytes() < 256 * page);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
    CHECK(one.file_bytes() < 64 * page);
}

TEST_CASE("what is written and synced is in the file", "[file]")
{
    const provided one(named());
    roma_extent extent;
    auto wish = pages(3);
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, nullptr) == 0);
    std::memset(extent.address, 'a', extent.bytes);
    const roma_range all = {&extent, 0, extent.bytes};
    CHECK(roma_provider_sync(one.self, &all, nullptr) == 0);
    const int fd = open(one.path.c_str(), O_RDONLY | O_CLOEXEC);
    std::string seen(extent.bytes, '\0');
    CHECK(pread(fd, &seen[0], seen.size(), 0) == (ssize_t)seen.size());
    CHECK(seen == std::string(extent.bytes, 'a'));
    close(fd);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
}

TEST_CASE("a full disk is an error at acquire, and nothing is left of it", "[file]")
{
    const provided one;
    roma_extent extent;
    roma_error error = {};
    auto wish = pages(4);
    {
        const no_space full(ENOSPC, true);
        CHECK(roma_provider_acquire(one.self, &wish, &extent, &error) == -ENOSPC);
        CHECK(std::string(error.call) == "fallocate");
        CHECK(error.need == 4 * page);
    }
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, &error) == 0);
    {
        const no_space full(ENOSPC);
        CHECK(roma_provider_resize(one.self, &extent, 5 * page, true, &error) == -ENOSPC);
        CHECK(extent.bytes == 4 * page);
    }
    REQUIRE(roma_provider_resize(one.self, &extent, 5 * page, true, &error) == 0);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
}

TEST_CASE("probe says that a disk is too small before anything is tried", "[file]")
{
    roma_file_options options = roma_file_options_default();
    options.max_bytes = UINT64_C(1) << 40;
    const file_path path("roma-file");
    roma_provider *large;
    roma_error error = {};
    if (roma_provider_file(path.c_str(), &options, &large, &error) != 0)
        SKIP_TEST("no TiB of address space");
    roma_extent_request wish = pages(1);
    CHECK(roma_provider_probe(large, &wish, &error) == 0);
    wish.bytes = (size_t)1 << 40;
    const int code = roma_provider_probe(large, &wish, &error);
    CHECK((code == 0 || code == -ENOSPC)); /* a disk that large is no fault */
    CHECK((code == 0 || error.have < error.need));
    CHECK(roma_provider_unregister(large) == 0);
}

TEST_CASE("pages whose hole cannot be punched do not claim to read as zero", "[file]")
{
    const provided one;
    roma_extent extent;
    auto wish = pages(2);
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, nullptr) == 0);
    CHECK(extent.zeroed);
    std::memset(extent.address, 7, extent.bytes);
    {
        const no_space unsupported(EOPNOTSUPP);
        REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
    }
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, nullptr) == 0);
    CHECK(!extent.zeroed);
    roma_extent behind;
    REQUIRE(roma_provider_acquire(one.self, &wish, &behind, nullptr) == 0);
    CHECK(behind.zeroed);
    REQUIRE(roma_provider_release(one.self, &behind, nullptr) == 0);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
}

TEST_CASE("the limit of a file's length is an error, and no signal", "[file]")
{
    const provided one;
    roma_extent extent, more;
    roma_error error = {};
    auto wish = pages(4);
    REQUIRE(in_child([&] {
                const rlimit limit = {5 * page, 5 * page};
                if (setrlimit(RLIMIT_FSIZE, &limit) != 0)
                    return 1;
                if (roma_provider_acquire(one.self, &wish, &extent, &error) != 0)
                    return 2;
                if (roma_provider_acquire(one.self, &wish, &more, &error) != -EFBIG)
                    return 3;
                if (std::string(error.subject) != "RLIMIT_FSIZE" || error.total != 5 * page)
                    return 4;
                if (roma_provider_resize(one.self, &extent, 6 * page, false, &error) != -EFBIG)
                    return 5;
                if (roma_provider_resize(one.self, &extent, 5 * page, false, &error) != 0)
                    return 6;
                return roma_provider_release(one.self, &extent, nullptr) == 0 ? 0 : 7;
            }) == 0);
}

TEST_CASE("a file is as long as was said and no longer", "[file]")
{
    roma_file_options options = roma_file_options_default();
    options.max_bytes = 4 * page - 1; /* to whole pages */
    const provided one(options);
    roma_extent extent, more;
    roma_error error = {};
    auto wish = pages(4), next = pages(1), large = pages(5);
    CHECK(roma_provider_probe(one.self, &large, &error) == -ENOMEM);
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, nullptr) == 0);
    CHECK(roma_provider_acquire(one.self, &next, &more, &error) == -ENOMEM);
    CHECK(error.why == ROMA_WHY_REGION_FULL);
    CHECK(error.total == 4 * page);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
}

TEST_CASE("what a file's pages cannot be is refused by name", "[file]")
{
    const provided one;
    roma_extent extent;
    roma_error error = {};
    auto wish = pages(1);
    wish.inherit = true;
    CHECK(roma_provider_acquire(one.self, &wish, &extent, &error) == -EOPNOTSUPP);
    wish = pages(1);
    wish.strict = true;
    wish.nodes = roma_nodes_one(0);
    CHECK(roma_provider_acquire(one.self, &wish, &extent, &error) == -EXDEV);

    roma_provider *provider;
    roma_file_options options = roma_file_options_default();
    options.mode = 01000;
    CHECK(roma_provider_file("/tmp/x", &options, &provider, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "mode");
    options = roma_file_options_default();
    options.name = "Not A Name";
    CHECK(roma_provider_file("/tmp/x", &options, &provider, &error) == -EINVAL);
    options = roma_file_options_default();
    options.max_bytes = UINT64_MAX;
    CHECK(roma_provider_file("/tmp/x", &options, &provider, &error) == -EINVAL);
    CHECK(roma_provider_file(nullptr, nullptr, &provider, &error) == -EINVAL);
    CHECK(roma_provider_file("/tmp/x", nullptr, nullptr, &error) == -EINVAL);
    CHECK(roma_provider_file("/nowhere/at/all", nullptr, &provider, &error) == -ENOENT);
}

TEST_CASE("every call that fails while a file is made leaves no file", "[file]")
{
    const file_path path("roma-file");
    unsigned failures = 0;
    for (long n = 1;; n++) {
        roma_provider *provider = nullptr;
        roma_error error = {};
        int code;
        bool reached;
        {
            roma_tests::fail_nth table(n, EIO, false);
            table.table.calls.unlink = roma__sys_kernel.unlink;
            code = roma_provider_file(path.c_str(), nullptr, &provider, &error);
            reached = roma_tests::fail_nth::reached;
        }
        CHECK(!path.exists());
        failures += code < 0 ? 1 : 0;
        if (code == 0)
            CHECK(roma_provider_unregister(provider) == 0);
        if (!reached)
            break;
    }
    CHECK(failures >= 3); /* the file, its mapping, the advice */
}

TEST_CASE("a child of fork has a file of its own, which leaves no name", "[file]")
{
    const provided one(named());
    roma_extent extent;
    auto wish = pages(2);
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, nullptr) == 0);
    std::memset(extent.address, 1, extent.bytes);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        roma_extent own;
        const roma_range all = {&extent, 0, extent.bytes};
        if (roma_provider_populate(one.self, &all, nullptr, nullptr) != -ESTALE)
            _exit(1);
        if (roma_provider_acquire(one.self, &wish, &own, nullptr) != 0)
            _exit(2);
        std::memset(own.address, 2, own.bytes);
        if (access((one.path.text + "." + std::to_string(getpid()) + "-0").c_str(), F_OK) == 0)
            _exit(3);
        if (roma_provider_release(one.self, &extent, nullptr) != 0)
            _exit(4);
        _exit(roma_provider_release(one.self, &own, nullptr) == 0 ? 0 : 5);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    for (size_t i = 0; i < extent.bytes; i += page)
        CHECK(static_cast<char *>(extent.address)[i] == 1);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
}

TEST_CASE("a descriptor of an extent is that extent in another process, too", "[file]")
{
    const provided one, other;
    roma_extent before, extent;
    auto wish = pages(3);
    REQUIRE(roma_provider_acquire(one.self, &wish, &before, nullptr) == 0);
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, nullptr) == 0);
    std::memset(extent.address, 1, extent.bytes);
    const int fd = roma_provider_export_fd(one.self, &extent, nullptr);
    REQUIRE(fd >= 0);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        roma_extent seen;
        roma_error error = {};
        if (roma_provider_import_fd(one.self, fd, &seen, &error) != 0)
            _exit(1);
        if (seen.bytes != extent.bytes || static_cast<char *>(seen.address)[page] != 1)
            _exit(2);
        std::memset(seen.address, 2, seen.bytes);
        if (roma_provider_resize(one.self, &seen, page, true, &error) != -EOPNOTSUPP)
            _exit(3);
        if (roma_provider_export_fd(one.self, &seen, &error) != -EOPNOTSUPP)
            _exit(4);
        const roma_range all = {&seen, 0, seen.bytes};
        if (roma_provider_advise(one.self, &all, ROMA_ADVICE_DISCARD, nullptr, &error) !=
            -EOPNOTSUPP)
            _exit(5);
        _exit(roma_provider_release(one.self, &seen, nullptr) == 0 ? 0 : 6);
    }
    int status;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(static_cast<char *>(extent.address)[extent.bytes - 1] == 2);

    roma_extent there; /* by another provider: what counts is the descriptor */
    REQUIRE(roma_provider_import_fd(other.self, fd, &there, nullptr) == 0);
    CHECK(static_cast<char *>(there.address)[0] == 2);
    CHECK(roma_provider_unregister(other.self) == -EBUSY);
    REQUIRE(roma_provider_release(other.self, &there, nullptr) == 0);
    CHECK(static_cast<char *>(extent.address)[0] == 2);
    close(fd);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
    REQUIRE(roma_provider_release(one.self, &before, nullptr) == 0);
}

TEST_CASE("a descriptor that names no extent is refused", "[file]")
{
    const provided one(named());
    roma_extent extent, none;
    roma_error error = {};
    auto wish = pages(2);
    REQUIRE(roma_provider_acquire(one.self, &wish, &extent, nullptr) == 0);
    const int fd = roma_provider_export_fd(one.self, &extent, nullptr);
    REQUIRE(fd >= 0);
    const int plain = open(one.path.c_str(), O_RDWR | O_CLOEXEC);
    REQUIRE(lseek(plain, (off_t)page, SEEK_SET) == (off_t)page);
    CHECK(roma_provider_import_fd(one.self, plain, &none, &error) == -EINVAL);
    CHECK(std::string(error.subject) == "fd");
    close(fd);
    CHECK(roma_provider_import_fd(one.self, plain, &none, &error) == -EINVAL);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    CHECK(roma_provider_import_fd(one.self, ends[0], &none, &error) < 0);
    close(ends[0]);
    close(ends[1]);
    close(plain);
    REQUIRE(roma_provider_release(one.self, &extent, nullptr) == 0);
}

TEST_CASE("a manager hands out blocks of a file's pages", "[file]")
{
    const provided one;
    roma_options options = roma_options_default();
    options.providers = &one.self;
    options.providers_count = 1;
    {
        roma_tests::owned manager(options);
        void *small = manager.alloc(100), *large = manager.alloc((size_t)8 << 20);
        std::memset(large, 3, (size_t)8 << 20);
        CHECK(roma_release(small) == 0);
        large = roma_resize(large, (size_t)9 << 20);
        REQUIRE(large != nullptr);
        CHECK(static_cast<char *>(large)[((size_t)8 << 20) - 1] == 3);
        CHECK(roma_release(large) == 0);
    }
}
